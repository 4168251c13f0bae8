//! How many spans a second a real server acknowledges over gRPC, durable and queryable, and how long an
//! acknowledgement takes. One process serves, another (this one) sends; both share the machine.
//!
//!     cargo bench --bench ingest                    a release build (40 minutes the first time)
//!     cargo bench --bench ingest --profile dev      the build that tests use; compare ratios only
//!
//! BATCHES (200), SPANS (500 a batch) and SENDERS (4) can be set in the environment.
#![allow(clippy::unwrap_used, missing_docs)]

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use serde_json::Value;

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name)
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(default)
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, any_value::Value::StringValue(value.to_owned()))
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

/// Traces of ten spans: an agent, its steps' model calls and tool calls, without content.
fn batch(number: usize, spans: usize) -> ExportTraceServiceRequest {
    let now = u64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos()).unwrap();
    let agents = ["triage", "refunds", "search", "billing"];
    let spans = (0..spans).map(|i| {
        let (trace, place) = ((number * spans + i) / 10, i % 10);
        let id = |place: usize| ((trace * 10 + place + 1) as u64).to_be_bytes().to_vec();
        let mut attributes = vec![text("gen_ai.agent.name", agents[trace % agents.len()])];
        let operation = match place {
            0 => "invoke_agent",
            p if p % 2 == 1 => "chat",
            _ => "execute_tool",
        };
        attributes.push(text("gen_ai.operation.name", operation));
        if operation == "chat" {
            attributes.extend([
                text("gen_ai.provider.name", "openai"),
                text("gen_ai.request.model", "gpt-4o-mini"),
                text("gen_ai.response.model", "gpt-4o-mini-2024-07-18"),
                text(
                    "gen_ai.response.id",
                    &format!("chatcmpl-{trace:016x}{place}"),
                ),
                text("gen_ai.response.finish_reasons", "tool_calls"),
                attribute(
                    "gen_ai.usage.input_tokens",
                    any_value::Value::IntValue(1_200 + place as i64),
                ),
                attribute("gen_ai.usage.output_tokens", any_value::Value::IntValue(85)),
                attribute(
                    "gen_ai.request.temperature",
                    any_value::Value::DoubleValue(0.2),
                ),
            ]);
        } else if operation == "execute_tool" {
            attributes.push(text("gen_ai.tool.name", "lookup_order"));
            attributes.push(text(
                "gen_ai.tool.call.id",
                &format!("call-{trace:016x}{place}"),
            ));
        }
        Span {
            trace_id: (trace as u128 + 1).to_be_bytes().to_vec(),
            span_id: id(place),
            parent_span_id: if place == 0 { Vec::new() } else { id(0) },
            name: format!("{operation} bench"),
            start_time_unix_nano: now - 1_000_000,
            end_time_unix_nano: now,
            attributes,
            ..Span::default()
        }
    });
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: vec![text("service.name", "bench")],
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans {
                spans: spans.collect(),
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    }
}

fn start(dir: &std::path::Path) -> (Server, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flyball"));
    command.arg("--data-dir").arg(dir).arg("serve");
    for port in ["--otlp-grpc", "--otlp-http", "--postgres", "--http"] {
        command.args([port, "127.0.0.1:0"]);
    }
    let server = Server(command.stdout(Stdio::null()).spawn().unwrap());
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Ok(text) = std::fs::read(dir.join("ports.json")) {
            return (server, serde_json::from_slice(&text).unwrap());
        }
        assert!(Instant::now() < deadline, "the server did not come up");
        std::thread::sleep(Duration::from_millis(20));
    }
}

async fn count(http: &str) -> usize {
    let answer = reqwest::Client::new()
        .post(format!("http://{http}/api/v1/query"))
        .body("SELECT count(*) AS n FROM spans")
        .send()
        .await
        .unwrap();
    let rows: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    let n = &rows[0]["n"];
    n.as_u64()
        .map_or_else(|| n.as_str().unwrap().parse().unwrap(), |n| n as usize)
}

#[tokio::main]
async fn main() {
    let (batches, spans, senders) = (
        number("BATCHES", 200),
        number("SPANS", 500),
        number("SENDERS", 4),
    );
    let dir = tempfile::tempdir().unwrap();
    let (server, ports) = start(dir.path());
    let grpc = format!("http://{}", ports["otlp_grpc"].as_str().unwrap());
    let bytes = batch(0, spans).encoded_len();
    let started = Instant::now();
    let tasks: Vec<_> = (0..senders)
        .map(|sender| {
            let grpc = grpc.clone();
            tokio::spawn(async move {
                let mut client = TraceServiceClient::connect(grpc).await.unwrap();
                let mut took = Vec::new();
                for number in (sender..batches).step_by(senders) {
                    let request = batch(number, spans);
                    let sent = Instant::now();
                    while let Err(refusal) = client.export(request.clone()).await {
                        assert_eq!(refusal.code(), tonic::Code::ResourceExhausted, "{refusal}");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                    took.push(sent.elapsed());
                }
                took
            })
        })
        .collect();
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await.unwrap());
    }
    let acknowledged = started.elapsed().as_secs_f64();
    let kept = count(ports["http"].as_str().unwrap()).await;
    assert_eq!(
        kept,
        batches * spans,
        "every acknowledged span is queryable"
    );
    took.sort_unstable();
    let quantile = |q: usize| took[(took.len() * q / 100).min(took.len() - 1)].as_secs_f64() * 1e3;
    let rate = kept as f64 / acknowledged;
    println!(
        "| spans | bytes a span | senders | spans/s acknowledged | MB/s | ack p50 ms | ack p99 ms |"
    );
    println!("|---|---|---|---|---|---|---|");
    println!(
        "| {kept} | {} | {senders} | {rate:.0} | {:.1} | {:.1} | {:.1} |",
        bytes / spans,
        rate * (bytes / spans) as f64 / 1e6,
        quantile(50),
        quantile(99)
    );
    drop(server);
}
