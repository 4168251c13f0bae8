//! The loop closed through the real ports: a bad span freezes its agent within a second while others send, and nobody else.
//! How fast it is, `cargo bench --bench loop` measures.

use std::sync::Arc;
use std::time::{Duration, Instant};

use flyball_runtime::clock::SystemClock;
use flyball_runtime::control::client::Remote;
use flyball_runtime::control::{Governor, Subject};
use flyball_runtime::gate::Gate;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::any_value::Value;

use crate::harness::{Server, number};
use crate::load::Load;
use crate::serve::one_call_in;

const AGENT: &str = "spendthrift";

fn subject(agent: &str) -> Subject<'_> {
    Subject {
        workspace: "default",
        tenant: None,
        agent,
        tool: None,
        execution: None,
    }
}

/// One call of the spendthrift with so many output tokens, at 0.60 US dollars a million.
fn call(trace: u8, output_tokens: i64) -> ExportTraceServiceRequest {
    let mut request = one_call_in(&[trace; 16]);
    let spans = &mut request.resource_spans[0].scope_spans[0].spans;
    for attribute in spans.iter_mut().flat_map(|span| &mut span.attributes) {
        let value = match &*attribute.key {
            "gen_ai.agent.name" => Value::StringValue(AGENT.to_owned()),
            "gen_ai.usage.output_tokens" => Value::IntValue(output_tokens),
            _ => continue,
        };
        attribute.value.as_mut().unwrap().value = Some(value);
    }
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_span_freezes_its_agent_within_a_second_while_others_send() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let http = format!("http://{}", server.address("http"));
    let mut grpc = TraceServiceClient::connect(format!("http://{}", server.address("otlp_grpc")))
        .await
        .unwrap();
    let governor: Arc<dyn Governor> = Remote::connect(&http).await.unwrap();
    let gate = Gate::new(governor, "test", Arc::new(SystemClock));
    let load = Load::start(&server);
    grpc.export(call(0xa1, 100)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(gate.stop(&subject(AGENT)), None, "all is well so far");

    let sent = Instant::now();
    // 30 US dollars: past the hard limit of 20 a minute.
    grpc.export(call(0xa2, 50_000_000)).await.unwrap();
    let bad = subject(AGENT);
    let stop = tokio::time::timeout(Duration::from_secs(10), gate.frozen(&bad)).await;
    let took = sent.elapsed();
    assert!(took < Duration::from_secs(1), "frozen after {took:?}");
    assert!(stop.unwrap().detail.contains("spend-hard-limit"));
    assert_eq!(gate.stop(&subject("triage")), None, "others go on");
    assert!(gate.settle(Duration::from_secs(10)).await);
    load.stop();

    let metrics = reqwest::get(format!("{http}/metrics")).await.unwrap();
    let metrics = metrics.text().await.unwrap();
    for line in [
        "flyball_rule_actions_total{rule=\"spend-hard-limit\"} 1\n",
        "flyball_rule_overruns_total{rule=\"spend-hard-limit\"} 1\n",
        "flyball_rule_overruns_unordered_total{rule=\"spend-hard-limit\"} 0\n",
        "flyball_rule_overruns_unobeyed_total{rule=\"spend-hard-limit\"} 0\n",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    let frozen = server.query("SELECT count(*) AS n FROM actions WHERE state = 'frozen'");
    assert_eq!(number(&frozen[0]["n"]), 1.0);
}
