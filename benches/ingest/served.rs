//! A real server over gRPC, end to end: one process serves, this one sends, both share the machine.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use serde_json::Value;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;

use crate::cpu;
use crate::traffic::Traffic;

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends bytes as they are: a sender that encodes would be measured along.
#[derive(Debug, Clone, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = ExportTraceServiceResponse;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = tonic::Status;

    fn encode(&mut self, item: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), tonic::Status> {
        bytes::BufMut::put_slice(to, &item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = ExportTraceServiceResponse;
    type Error = tonic::Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, tonic::Status> {
        let answer = prost::Message::decode(from);
        answer
            .map(Some)
            .map_err(|e| tonic::Status::internal(e.to_string()))
    }
}

fn start(dir: &Path) -> (Server, Value) {
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

async fn count(http: &str, table: &str) -> usize {
    let answer = reqwest::Client::new()
        .post(format!("http://{http}/api/v1/query"))
        .body(format!("SELECT count(*) AS n FROM {table}"))
        .send()
        .await
        .unwrap();
    let rows: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    let n = &rows[0]["n"];
    n.as_u64()
        .map_or_else(|| n.as_str().unwrap().parse().unwrap(), |n| n as usize)
}

/// Sends every request to the end, asking again where there is no room; how long each acknowledgement took.
async fn send(
    grpc: String,
    traffic: Arc<Traffic>,
    numbers: impl Iterator<Item = usize>,
    pace: Option<Duration>,
) -> Vec<Duration> {
    let channel = tonic::transport::Endpoint::new(grpc).unwrap();
    let mut client = tonic::client::Grpc::new(channel.connect().await.unwrap());
    let mut took = Vec::new();
    let mut next = Instant::now();
    for number in numbers {
        if let Some(pace) = pace {
            tokio::time::sleep_until(next.into()).await;
            next += pace;
        }
        let sent = Instant::now();
        loop {
            client.ready().await.unwrap();
            let body = tonic::Request::new(traffic.body(number));
            let path = PathAndQuery::from_static(EXPORT);
            match client.unary(body, path, Raw).await {
                Ok(_) => break,
                Err(refusal) => {
                    assert_eq!(refusal.code(), tonic::Code::ResourceExhausted, "{refusal}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        took.push(sent.elapsed());
    }
    took
}

/// One run: as fast as it goes, or at a pace of so many spans a second. Prints a row.
pub(crate) async fn measure(
    traffic: Traffic,
    batches: usize,
    senders: usize,
    spans_a_second: Option<f64>,
) {
    let dir = tempfile::tempdir().unwrap();
    let (mut server, ports) = start(dir.path());
    let pid = server.0.id();
    let grpc = format!("http://{}", ports["otlp_grpc"].as_str().unwrap());
    let http = ports["http"].as_str().unwrap();
    let spans = traffic.spans();
    let pace = spans_a_second.map(|rate| Duration::from_secs_f64((spans * senders) as f64 / rate));
    let traffic = Arc::new(traffic);
    let (before, started) = (cpu::of_process(pid), Instant::now());
    let tasks: Vec<_> = (0..senders)
        .map(|sender| {
            let numbers = (sender..batches).step_by(senders);
            let traffic = Arc::clone(&traffic);
            tokio::spawn(send(grpc.clone(), traffic, numbers, pace))
        })
        .collect();
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await.unwrap());
    }
    let acknowledged = started.elapsed().as_secs_f64();
    let at_acknowledged = cpu::of_process(pid) - before;
    let kept = count(http, "spans").await;
    assert_eq!(
        kept,
        batches * spans,
        "every acknowledged span is queryable"
    );
    let queryable = started.elapsed().as_secs_f64();
    let peak = cpu::peak_mib(pid);
    // Ends in good order: what is buffered is written and committed.
    let stopped = Command::new("kill").arg(pid.to_string()).status().unwrap();
    assert!(stopped.success());
    while !cpu::has_ended(pid) {
        std::thread::sleep(Duration::from_millis(10));
    }
    let in_all = cpu::of_process(pid) - before;
    let flushed = started.elapsed().as_secs_f64();
    assert!(server.0.wait().unwrap().success());
    took.sort_unstable();
    let quantile = |q: usize| took[(took.len() * q / 100).min(took.len() - 1)].as_secs_f64() * 1e3;
    let millions = kept as f64 / 1e6;
    println!(
        "| {} | {kept} | {:.0} | {:.1} | {:.1} | {:.1} | {:.0} | {:.0} | {:.2} / {:.2} | {peak:.0} |",
        spans_a_second.map_or("as fast as it goes".to_owned(), |rate| format!(
            "{rate:.0}/s"
        )),
        kept as f64 / acknowledged,
        kept as f64 / acknowledged * (traffic.bytes() / spans) as f64 / 1e6,
        quantile(50),
        quantile(99),
        kept as f64 / queryable,
        kept as f64 / flushed,
        at_acknowledged / millions,
        in_all / millions,
    );
}

/// The head of the table that [`measure`] adds rows to.
pub(crate) fn head() {
    println!(
        "| load | spans | spans/s acknowledged | MB/s | ack p50 ms | ack p99 ms | spans/s until all are queryable | spans/s until all is Parquet | server's CPU s per million spans, at the last acknowledgement / in all | server's peak MiB |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
}
