//! What leaves the runtime, as a collector sees it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flyball_runtime::clock::{Clock, SystemClock};
use flyball_runtime::control::{Governor, NoControl, Obeyed, View};
use flyball_runtime::engine::Engine;
use flyball_runtime::machine::SqliteJournal;
use flyball_runtime::model::scripted::Failure;
use flyball_runtime::model::{Judgement, Scripted};
use flyball_runtime::spec::Task;
use flyball_runtime::telemetry::{ExporterConfig, Telemetry};
use flyball_runtime::tools::Effect;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::json;

use crate::workshop::*;

/// A span, when it came, and the resource it came with.
pub(crate) type Arrival = (Span, i64, HashMap<String, String>);

#[derive(Debug, Clone, Default)]
pub(crate) struct Collector {
    pub(crate) spans: Arc<Mutex<Vec<Arrival>>>,
    refusals: Arc<Mutex<u32>>,
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        let now = SystemClock.unix_nano();
        {
            let mut refusals = self.refusals.lock().unwrap();
            if *refusals > 0 {
                *refusals -= 1;
                return Err(tonic::Status::resource_exhausted("later"));
            }
        }
        for group in request.into_inner().resource_spans {
            let resource = text(&group.resource.unwrap_or_default().attributes);
            for scope in group.scope_spans {
                let arrived = scope
                    .spans
                    .into_iter()
                    .map(|span| (span, now, resource.clone()));
                self.spans.lock().unwrap().extend(arrived);
            }
        }
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

pub(crate) async fn collector() -> (Collector, String) {
    let collector = Collector::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let service = TraceServiceServer::new(collector.clone());
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    tokio::spawn(
        tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(incoming),
    );
    (collector, url)
}

pub(crate) fn text(attributes: &[KeyValue]) -> HashMap<String, String> {
    let value = |attribute: &KeyValue| match attribute.value.clone().unwrap_or_default().value {
        Some(Any::StringValue(text)) => text,
        Some(Any::IntValue(number)) => number.to_string(),
        Some(Any::BoolValue(flag)) => flag.to_string(),
        Some(Any::DoubleValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    attributes
        .iter()
        .map(|attribute| (attribute.key.clone(), value(attribute)))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_is_told_within_a_tenth_of_a_second() {
    let (collector, url) = collector().await;
    let telemetry = Telemetry::start(ExporterConfig::to(url)).unwrap();
    let mut first = calls(&[("look", json!({"at": 1}))]);
    first.judgement = Judgement {
        confidence: Some(0.75),
        summary: Some("look first".into()),
        plan: Some(json!({"nodes": ["look"]})),
        ..Judgement::default()
    };
    first.latency_ms = 30;
    let tool =
        Arc::new(Counting::new("look", Effect::ReadOnly, false).taking(Duration::from_millis(60)));
    let mut parts = parts(
        Arc::new(NoControl::default()),
        Arc::new(SqliteJournal::in_memory().unwrap()),
        Arc::new(Scripted::new(script(vec![first, answer("done")]))),
        toolbox(vec![tool]),
    );
    parts.telemetry = telemetry.clone();
    let mut spec = spec(&["look"]);
    spec.team = Some("data".into());
    let task = Task {
        id: Some("t1".into()),
        kind: Some("incident".into()),
        tenant: Some("acme".into()),
        ..Task::new("go")
    };
    let outcome = Engine::new(parts).run(&spec, &task).await.unwrap();
    assert!(telemetry.flush(Duration::from_secs(5)).await);

    let spans = collector.spans.lock().unwrap().clone();
    let names: Vec<&str> = spans.iter().map(|(span, ..)| span.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "chat m",
            "plan worker",
            "execute_tool look",
            "evaluate worker",
            "chat m",
            "plan worker",
            "evaluate worker",
            "invoke_agent worker"
        ]
    );
    let trace = &spans[0].0.trace_id;
    for (index, (span, arrived, resource)) in spans.iter().enumerate() {
        let late = arrived - i64::try_from(span.end_time_unix_nano).unwrap();
        assert!(
            late < 100_000_000,
            "{} came {} ms after its end",
            span.name,
            late / 1_000_000
        );
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
        assert_eq!((&span.trace_id, resource["team"].as_str()), (trace, "data"));
        // children before parents
        assert!(
            spans[..index]
                .iter()
                .all(|(before, ..)| before.span_id != span.parent_span_id)
        );
        let said = text(&span.attributes);
        assert_eq!(said["flyball.execution.id"], outcome.execution_id);
        assert_eq!(
            (
                said["gen_ai.agent.name"].as_str(),
                said["flyball.task.id"].as_str()
            ),
            ("worker", "t1")
        );
        assert_eq!(said["tenant.id"], "acme");
    }
    let said = |index: usize| text(&spans[index].0.attributes);
    let chat = said(0);
    for (key, value) in [
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "scripted"),
        ("gen_ai.request.model", "m"),
        ("gen_ai.usage.input_tokens", "1000"),
        ("gen_ai.usage.output_tokens", "50"),
        ("flyball.decision", "true"),
        ("flyball.confidence", "0.75"),
        ("flyball.step", "1"),
        ("flyball.state", "PLAN"),
        ("flyball.summary", "look first"),
        ("flyball.plan", "{\"nodes\":[\"look\"]}"),
        ("flyball.budget.limit_usd", "1"),
    ] {
        assert_eq!(chat[key], value, "{key}");
    }
    let tool = said(2);
    for (key, value) in [
        ("gen_ai.operation.name", "execute_tool"),
        ("gen_ai.tool.name", "look"),
        ("flyball.policy.verdict", "allow"),
        ("flyball.policy.rule", "read_only"),
        ("flyball.tool.effect", "read_only"),
        ("flyball.state", "ACT"),
    ] {
        assert_eq!(tool[key], value, "{key}");
    }
    assert_eq!(tool["flyball.tool.input_hash"].len(), 64);
    let agent = said(7);
    assert_eq!(agent["flyball.termination"], "success");
    assert_eq!(agent["flyball.termination.reason"], "goal_reached");
    assert_eq!(agent["flyball.escalated"], "false");
    assert_eq!(
        spans[0].0.parent_span_id, spans[1].0.span_id,
        "the model call is the plan's child"
    );
    assert_eq!(telemetry.sent().accepted, 8);
}

/// A control plane that has gone silent.
#[derive(Debug, Default)]
struct Silent(NoControl);

#[async_trait::async_trait]
impl Governor for Silent {
    fn view(&self) -> Arc<View> {
        self.0.view()
    }

    fn watch(&self) -> tokio::sync::watch::Receiver<Arc<View>> {
        self.0.watch()
    }

    fn is_stale(&self) -> bool {
        true
    }

    async fn obeyed(&self, _: Obeyed) -> Result<(), flyball_runtime::Error> {
        Ok(())
    }
}

#[tokio::test]
async fn spans_say_when_control_is_stale() {
    let (collector, url) = collector().await;
    let telemetry = Telemetry::start(ExporterConfig::to(url)).unwrap();
    let governors: [Arc<dyn Governor>; 2] =
        [Arc::new(NoControl::default()), Arc::new(Silent::default())];
    for governor in governors {
        let mut parts = parts(
            governor,
            Arc::new(SqliteJournal::in_memory().unwrap()),
            Arc::new(Scripted::new(script(vec![answer("done")]))),
            toolbox(vec![]),
        );
        parts.telemetry = telemetry.clone();
        let run = Engine::new(parts).run(&spec(&[]), &Task::new("go")).await;
        run.unwrap();
    }
    assert!(telemetry.flush(Duration::from_secs(5)).await);
    let spans = collector.spans.lock().unwrap().clone();
    let said: Vec<Option<String>> = spans
        .iter()
        .filter(|(span, ..)| span.name == "invoke_agent worker")
        .map(|(span, ..)| text(&span.attributes).remove("flyball.control.stale"))
        .collect();
    assert_eq!(said, [None, Some("true".to_owned())]);
}

#[tokio::test]
async fn a_refusing_collector_is_asked_again_and_a_dead_one_costs_no_agent() {
    let (collector, url) = collector().await;
    *collector.refusals.lock().unwrap() = 3;
    let run = async |telemetry: &Telemetry| {
        let fails = flyball_runtime::model::scripted::Line {
            error: Some(Failure::Overloaded),
            ..answer("x")
        };
        let mut parts = parts(
            Arc::new(NoControl::default()),
            Arc::new(SqliteJournal::in_memory().unwrap()),
            Arc::new(Scripted::new(script(vec![fails]))),
            toolbox(vec![]),
        );
        parts.telemetry = telemetry.clone();
        Engine::new(parts)
            .run(&spec(&[]), &Task::new("go"))
            .await
            .unwrap()
    };
    let telemetry = Telemetry::start(ExporterConfig::to(url)).unwrap();
    run(&telemetry).await;
    assert!(telemetry.flush(Duration::from_secs(10)).await);
    // three attempts, one plan, one execution
    assert_eq!(
        (telemetry.sent().accepted, telemetry.sent().dropped),
        (5, 0)
    );
    let spans = collector.spans.lock().unwrap().clone();
    let failed = text(&spans[0].0.attributes);
    assert_eq!(failed["error.type"], "overloaded");
    assert!(!failed.contains_key("gen_ai.usage.input_tokens"));

    let dead = Telemetry::start(ExporterConfig {
        queue: 3,
        ..ExporterConfig::to("http://127.0.0.1:1")
    })
    .unwrap();
    let outcome = tokio::time::timeout(Duration::from_secs(10), run(&dead))
        .await
        .unwrap();
    assert_eq!(outcome.reason, "model_unavailable");
    assert!(Telemetry::start(ExporterConfig::to("not a url")).is_err());
}
