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
    for port in [
        "--otlp-grpc",
        "--otlp-http",
        "--postgres",
        "--flight-sql",
        "--http",
    ] {
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

/// When a sender sends: not all at the same moment.
#[derive(Debug, Clone, Copy)]
struct Pace {
    first: Duration,
    every: Duration,
}

/// Sends every request to the end, asking again where there is no room; how long each acknowledgement took.
async fn send(
    grpc: String,
    traffic: Arc<Traffic>,
    numbers: impl Iterator<Item = usize>,
    pace: Option<Pace>,
) -> Vec<Duration> {
    let channel = tonic::transport::Endpoint::new(grpc).unwrap();
    let mut client = tonic::client::Grpc::new(channel.connect().await.unwrap());
    let mut took = Vec::new();
    let mut next = Instant::now() + pace.map_or(Duration::ZERO, |pace| pace.first);
    for number in numbers {
        if let Some(pace) = pace {
            tokio::time::sleep_until(next.into()).await;
            next += pace.every;
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

/// Who else is at the server while it takes in.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Beside {
    Nobody = 0,
    /// Two that ask for more than there is time for, again and again.
    Readers = 2,
}

/// Joins every span with every later one of its agent: as many cores as there are, until the time limit.
const HEAVY: &str = "SELECT a.agent_name, count(*) AS n, max(b.attributes) AS last FROM spans a \
     JOIN spans b ON a.agent_name = b.agent_name AND a.start_unix_nano < b.start_unix_nano GROUP BY 1";

async fn read(http: String) {
    let client = reqwest::Client::new();
    loop {
        let asked = client.post(format!("http://{http}/api/v1/query"));
        // Refused or cut off, it asks again.
        let _ = asked.body(HEAVY).send().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// One run: as fast as it goes, or at a pace of so many spans a second. Prints a row; spans acknowledged a second.
pub(crate) async fn measure(
    traffic: Traffic,
    batches: usize,
    senders: usize,
    spans_a_second: Option<f64>,
    beside: Beside,
) -> f64 {
    let dir = tempfile::tempdir().unwrap();
    let (mut server, ports) = start(dir.path());
    let pid = server.0.id();
    let grpc = format!("http://{}", ports["otlp_grpc"].as_str().unwrap());
    let http = ports["http"].as_str().unwrap();
    let readers: Vec<_> = (0..beside as usize)
        .map(|_| tokio::spawn(read(http.to_owned())))
        .collect();
    let spans = traffic.spans();
    let every = spans_a_second.map(|rate| Duration::from_secs_f64((spans * senders) as f64 / rate));
    let traffic = Arc::new(traffic);
    let (before, started) = (cpu::of_process(pid), Instant::now());
    let tasks: Vec<_> = (0..senders)
        .map(|sender| {
            let numbers = (sender..batches).step_by(senders);
            let traffic = Arc::clone(&traffic);
            let pace = every.map(|every| Pace {
                first: every * sender as u32 / senders as u32,
                every,
            });
            tokio::spawn(send(grpc.clone(), traffic, numbers, pace))
        })
        .collect();
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await.unwrap());
    }
    let acknowledged = started.elapsed().as_secs_f64();
    let at_acknowledged = cpu::of_process(pid) - before;
    for reader in readers {
        reader.abort();
    }
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
        "| {}{} | {kept} | {:.0} | {:.1} | {:.1} | {:.1} | {:.0} | {:.0} | {:.2} / {:.2} | {peak:.0} |",
        spans_a_second.map_or("as fast as it goes".to_owned(), |rate| format!(
            "{rate:.0}/s"
        )),
        match beside {
            Beside::Nobody => "",
            Beside::Readers => ", beside two heavy queries",
        },
        kept as f64 / acknowledged,
        kept as f64 / acknowledged * (traffic.bytes() / spans) as f64 / 1e6,
        quantile(50),
        quantile(99),
        kept as f64 / queryable,
        kept as f64 / flushed,
        at_acknowledged / millions,
        in_all / millions,
    );
    kept as f64 / acknowledged
}

/// The head of the table that [`measure`] adds rows to.
pub(crate) fn head() {
    println!(
        "| load | spans | spans/s acknowledged | MB/s | ack p50 ms | ack p99 ms | spans/s until all are queryable | spans/s until all is Parquet | server's CPU s per million spans, at the last acknowledgement / in all | server's peak MiB |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
}

/// The type of the detail that tells how long to wait.
const RETRY_INFO: &[u8] = b"type.googleapis.com/google.rpc.RetryInfo";
/// Requests that may be under way at once: what is offered beyond them was not sent in time.
const UNDER_WAY: usize = 512;

/// What became of the requests of an overload.
#[derive(Debug, Default)]
struct Answers {
    acknowledged: usize,
    refused: usize,
}

/// Offers so many spans a second for so long, whatever the answers are, and sends nothing twice. Prints what became of
/// them, and fails when an acknowledged span is missing or a refusal says no delay.
pub(crate) async fn overload(traffic: Traffic, spans_a_second: f64, lasts: Duration) {
    let dir = tempfile::tempdir().unwrap();
    let (server, ports) = start(dir.path());
    let pid = server.0.id();
    let grpc = format!("http://{}", ports["otlp_grpc"].as_str().unwrap());
    let mut channels = Vec::new();
    for _ in 0..8 {
        let endpoint = tonic::transport::Endpoint::new(grpc.clone()).unwrap();
        channels.push(endpoint.connect().await.unwrap());
    }
    let (spans, traffic) = (traffic.spans(), Arc::new(traffic));
    let room = Arc::new(tokio::sync::Semaphore::new(UNDER_WAY));
    let mut tasks = tokio::task::JoinSet::new();
    let (started, mut answers, mut peak) = (Instant::now(), Answers::default(), 0_f64);
    let mut number = 0;
    while started.elapsed() < lasts {
        let due = (started.elapsed().as_secs_f64() * spans_a_second / spans as f64) as usize;
        while number < due
            && let Ok(permit) = Arc::clone(&room).try_acquire_owned()
        {
            let (channel, traffic) = (
                channels[number % channels.len()].clone(),
                Arc::clone(&traffic),
            );
            tasks.spawn(async move {
                let _permit = permit;
                offer(channel, traffic.body(number)).await
            });
            number += 1;
        }
        while let Some(acknowledged) = tasks.try_join_next() {
            answers.count(acknowledged.unwrap());
        }
        peak = peak.max(cpu::peak_mib(pid));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    while let Some(acknowledged) = tasks.join_next().await {
        answers.count(acknowledged.unwrap());
    }
    let took = started.elapsed().as_secs_f64();
    let kept = count(ports["http"].as_str().unwrap(), "spans").await;
    assert_eq!(
        kept,
        answers.acknowledged * spans,
        "every acknowledged span is there, no other"
    );
    println!(
        "\nOffered {spans_a_second:.0} spans/s for {took:.0} s, {:.0} spans/s of it sent: {} requests acknowledged ({:.0} spans/s), \
         all of whose spans are there; {} refused, each with a delay. The server's peak was {:.0} MiB.",
        (number * spans) as f64 / took,
        answers.acknowledged,
        (answers.acknowledged * spans) as f64 / took,
        answers.refused,
        peak.max(cpu::peak_mib(pid)),
    );
}

impl Answers {
    fn count(&mut self, acknowledged: bool) {
        if acknowledged {
            self.acknowledged += 1;
        } else {
            self.refused += 1;
        }
    }
}

/// Sends a request once; whether it was acknowledged.
async fn offer(channel: tonic::transport::Channel, body: Vec<u8>) -> bool {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let path = PathAndQuery::from_static(EXPORT);
    match client.unary(tonic::Request::new(body), path, Raw).await {
        Ok(_) => true,
        Err(refusal) => {
            assert_eq!(refusal.code(), tonic::Code::ResourceExhausted, "{refusal}");
            let mut details = refusal.details().windows(RETRY_INFO.len());
            assert!(details.any(|some| some == RETRY_INFO), "{refusal:?}");
            false
        }
    }
}
