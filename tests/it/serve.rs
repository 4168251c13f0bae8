//! A running server through its real ports: OTLP in, SQL out, control between, and what survives its death.

use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;

use crate::harness::{Server, flyball, number, run};

fn now_unix_nano() -> u64 {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    u64::try_from(now.as_nanos()).unwrap()
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn one_call(seed: u8) -> ExportTraceServiceRequest {
    one_call_in(&[seed; 16])
}

/// One agent that called `gpt-4o-mini` once: 1,000 tokens in, 100 out.
pub(crate) fn one_call_in(trace: &[u8; 16]) -> ExportTraceServiceRequest {
    let text = |v: &str| any_value::Value::StringValue(v.to_owned());
    let (start, end) = (now_unix_nano() - 1_000_000, now_unix_nano());
    let agent = Span {
        trace_id: trace.to_vec(),
        span_id: vec![1; 8],
        name: "invoke_agent triage".into(),
        start_time_unix_nano: start,
        end_time_unix_nano: end,
        attributes: vec![
            attribute("gen_ai.operation.name", text("invoke_agent")),
            attribute("gen_ai.agent.name", text("triage")),
        ],
        ..Span::default()
    };
    let call = Span {
        trace_id: trace.to_vec(),
        span_id: vec![2; 8],
        parent_span_id: vec![1; 8],
        name: "chat gpt-4o-mini".into(),
        start_time_unix_nano: start,
        end_time_unix_nano: end,
        attributes: vec![
            attribute("gen_ai.operation.name", text("chat")),
            attribute("gen_ai.provider.name", text("openai")),
            attribute("gen_ai.request.model", text("gpt-4o-mini")),
            attribute(
                "gen_ai.usage.input_tokens",
                any_value::Value::IntValue(1_000),
            ),
            attribute(
                "gen_ai.usage.output_tokens",
                any_value::Value::IntValue(100),
            ),
            attribute("gen_ai.response.finish_reasons", text("stop")),
        ],
        ..Span::default()
    };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans: vec![ScopeSpans {
                spans: vec![call, agent],
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_answered_at_once_and_survives_kill_nine() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let mut grpc = TraceServiceClient::connect(format!("http://{}", server.address("otlp_grpc")))
        .await
        .unwrap();
    grpc.export(one_call(1)).await.unwrap();
    let http = reqwest::Client::new();
    let answer = http
        .post(format!("http://{}/v1/traces", server.address("otlp_http")))
        .header("content-type", "application/x-protobuf")
        .body(one_call(2).encode_to_vec())
        .send()
        .await
        .unwrap();
    assert!(answer.status().is_success());

    let sql =
        "SELECT agent_name, decisions, cost_usd, cost_per_decision_usd FROM cost_per_decision";
    let client = server.postgres().await;
    let deadline = Instant::now() + Duration::from_secs(2);
    let rows = loop {
        let rows = client.simple_query(sql).await.unwrap();
        let row = rows.iter().find_map(|m| match m {
            tokio_postgres::SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        if let Some(row) = row.filter(|row| row.get("decisions") == Some("2")) {
            break (
                row.get("agent_name").map(str::to_owned),
                row.get("cost_usd").map(str::to_owned),
            );
        }
        assert!(
            Instant::now() < deadline,
            "two calls are not answered: {rows:?}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    // 2 x (1,000 x $0.15 + 100 x $0.60) a million tokens.
    assert_eq!(rows.0.as_deref(), Some("triage"));
    let cost: rust_decimal::Decimal = rows.1.unwrap().parse().unwrap();
    assert_eq!(cost, rust_decimal::Decimal::new(42, 5));

    server.kill();
    let server = Server::start(dir.path(), &[]);
    let spans = &server.query("SELECT count(*) AS n FROM spans")[0];
    assert_eq!(number(&spans["n"]), 4.0);
    let charges = &server.query(
        "SELECT sum(calls) AS calls, sum(cost_usd) AS cost FROM charges WHERE kind = 'model_call'",
    )[0];
    assert_eq!(number(&charges["calls"]), 2.0);
    assert_eq!(number(&charges["cost"]), 0.00042);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_reading_gets_through_the_postgres_port() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let client = server.postgres().await;
    for hostile in [
        "INSERT INTO spans (name) VALUES ('x')",
        "DROP VIEW model_calls",
        "DELETE FROM charges",
        "UPDATE charges SET cost_usd = 0",
        "CREATE TABLE t (a int)",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "COPY (SELECT 1) TO '/tmp/flyball-hostile.csv'",
    ] {
        assert!(
            client.simple_query(hostile).await.is_err(),
            "{hostile} got through"
        );
        assert!(
            client.query(hostile, &[]).await.is_err(),
            "{hostile} got through, prepared"
        );
    }
    assert!(!std::path::Path::new("/tmp/flyball-hostile.csv").exists());
    assert_eq!(client.query("SELECT 1 AS one", &[]).await.unwrap().len(), 1);
}

#[test]
fn psql_itself_is_answered() {
    if std::process::Command::new("psql")
        .arg("--version")
        .output()
        .is_err()
    {
        eprintln!("no psql here: skipped");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    crate::harness::import(dir.path(), &[crate::harness::recording("oi_langgraph")]);
    let server = Server::start(dir.path(), &[]);
    let address = server.address("postgres");
    let (host, port) = address.rsplit_once(':').unwrap();
    let psql = |sql: &str| {
        let output = run(std::process::Command::new("psql").args([
            "-X", "-h", host, "-p", port, "-U", "flyball", "-d", "flyball", "-c", sql,
        ]));
        String::from_utf8(output.stdout).unwrap()
    };
    let answer = psql("select agent_name, cost_per_decision_usd from cost_per_decision");
    assert!(
        answer.contains("cost_per_decision_usd") && !answer.contains("(0 rows)"),
        "{answer}"
    );
    let tables = psql("\\dt");
    assert!(
        tables.contains("spans") && tables.contains("charges"),
        "{tables}"
    );
}

#[test]
fn control_is_set_shown_and_released_from_the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    run(flyball(dir.path()).args(["freeze", "--agent", "triage", "--reason", "it loops"]));
    let status = run(flyball(dir.path()).arg("status"));
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(
        status.contains("triage") && status.contains("frozen") && status.contains("it loops"),
        "{status}"
    );
    // A death forgets nothing.
    server.kill();
    let server = Server::start(dir.path(), &[]);
    let status = run(flyball(dir.path()).arg("status"));
    assert!(String::from_utf8(status.stdout).unwrap().contains("triage"));
    run(flyball(dir.path()).args(["release", "--agent", "triage", "--reason", "mended"]));
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let rows = server.query("SELECT state, released_at FROM actions WHERE target = 'triage'");
        if rows
            .first()
            .is_some_and(|row| !row["released_at"].is_null())
        {
            break;
        }
        assert!(Instant::now() < deadline, "{rows:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
    let ledger = server.query("SELECT event FROM audit WHERE event LIKE 'control.%' ORDER BY at");
    assert_eq!(ledger.len(), 2, "{ledger:?}");
    server.stop();
}
