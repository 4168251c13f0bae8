//! OTLP/HTTP with an ordinary HTTP client.

use std::io::Write;
use std::sync::atomic::Ordering;
use std::time::Duration;

use flate2::write::GzEncoder;
use flyball_ingest::Limits;
use flyball_ingest::server::RpcStatus;
use flyball_store::Table;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use reqwest::{Client, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::collector::{BODY_LIMIT, Collector, one_bad_of_three, request, span};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

async fn post(
    collector: &Collector,
    content_type: &str,
    content_encoding: Option<&str>,
    body: Vec<u8>,
) -> Response {
    let mut post = Client::new()
        .post(collector.url("/v1/traces"))
        .header("content-type", content_type)
        .body(body);
    if let Some(encoding) = content_encoding {
        post = post.header("content-encoding", encoding);
    }
    post.send().await.unwrap()
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn content_type(response: &Response) -> String {
    response.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn spans_arrive_in_both_encodings_and_every_compression() {
    let collector = Collector::start().await;
    let protobuf = |n| request(vec![span(n)]).encode_to_vec();
    let json = |n| serde_json::to_vec(&request(vec![span(n)])).unwrap();
    for (encoding, compression, body) in [
        (PROTOBUF, None, protobuf(1)),
        (PROTOBUF, Some("gzip"), gzip(&protobuf(2))),
        (
            PROTOBUF,
            Some("zstd"),
            zstd::stream::encode_all(protobuf(3).as_slice(), 3).unwrap(),
        ),
        (JSON, None, json(4)),
        (JSON, Some("gzip"), gzip(&json(5))),
    ] {
        let response = post(&collector, encoding, compression, body).await;
        assert_eq!(response.status(), 200);
        assert_eq!(content_type(&response), encoding);
        let body = response.bytes().await.unwrap();
        assert_eq!(
            body.as_ref(),
            if encoding == JSON { &b"{}"[..] } else { b"" }
        );
    }
    assert_eq!(
        collector.stop().await.names(),
        ["span 1", "span 2", "span 3", "span 4", "span 5"]
    );
}

#[tokio::test]
async fn a_bad_span_is_told_and_its_neighbours_land() {
    let collector = Collector::start().await;
    let response = post(
        &collector,
        PROTOBUF,
        None,
        one_bad_of_three().encode_to_vec(),
    )
    .await;
    assert_eq!(response.status(), 200);
    let response = ExportTraceServiceResponse::decode(response.bytes().await.unwrap()).unwrap();
    let partial = response.partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 1);
    assert!(partial.error_message.contains("trace_id"), "{partial:?}");

    let response = post(
        &collector,
        JSON,
        None,
        serde_json::to_vec(&one_bad_of_three()).unwrap(),
    )
    .await;
    let response: Value = response.json().await.unwrap();
    assert_eq!(response["partialSuccess"]["rejectedSpans"], json!("1"));
    assert_eq!(
        response["partialSuccess"]["errorMessage"],
        json!(partial.error_message)
    );
    assert_eq!(
        collector.stop().await.names(),
        ["span 1", "span 3", "span 1", "span 3"]
    );
}

#[tokio::test]
async fn a_retried_request_succeeds_and_is_kept_once() {
    let collector = Collector::start().await;
    let body = request(vec![span(1)]).encode_to_vec();
    assert_eq!(
        post(&collector, PROTOBUF, None, body.clone())
            .await
            .status(),
        200
    );
    assert_eq!(
        post(&collector, PROTOBUF, Some("gzip"), gzip(&body))
            .await
            .status(),
        200
    );
    assert_eq!(collector.stop().await.names(), ["span 1"]);
}

#[tokio::test]
async fn bad_bodies_get_the_protocols_own_errors_in_their_own_encoding() {
    let collector = Collector::start().await;
    let bomb = gzip(&vec![0; 100 * BODY_LIMIT]);
    assert!(bomb.len() < BODY_LIMIT);
    for (encoding, compression, body, http, code, reason) in [
        (
            PROTOBUF,
            None,
            b"\xff\xff\xff".to_vec(),
            400,
            3,
            "not a valid protobuf",
        ),
        (
            JSON,
            None,
            b"{\"resourceSpans\": [}".to_vec(),
            400,
            3,
            "line 1, column 20",
        ),
        (JSON, Some("gzip"), b"{}".to_vec(), 400, 3, "not valid gzip"),
        (PROTOBUF, Some("gzip"), bomb, 413, 8, "65536"),
        (PROTOBUF, None, vec![0; BODY_LIMIT + 1], 413, 8, "65536"),
        (JSON, Some("br"), b"{}".to_vec(), 415, 12, "`br`"),
        ("text/plain", None, b"{}".to_vec(), 415, 3, "`text/plain`"),
    ] {
        let response = post(&collector, encoding, compression, body).await;
        assert_eq!(response.status(), http, "{reason}");
        let status = if content_type(&response) == PROTOBUF {
            assert_eq!(encoding, PROTOBUF);
            RpcStatus::decode(response.bytes().await.unwrap()).unwrap()
        } else {
            assert_ne!(encoding, PROTOBUF);
            let body: Value = response.json().await.unwrap();
            let message = body["message"].as_str().unwrap().to_owned();
            RpcStatus {
                code: body["code"].as_i64().unwrap() as i32,
                message,
                details: Vec::new(),
            }
        };
        assert_eq!(status.code, code, "{reason}");
        assert!(status.message.contains(reason), "{}", status.message);
    }
    assert_eq!(
        post(
            &collector,
            JSON,
            None,
            serde_json::to_vec(&request(vec![span(1)])).unwrap()
        )
        .await
        .status(),
        200
    );
    assert_eq!(collector.stop().await.names(), ["span 1"]);
}

#[tokio::test]
async fn a_full_store_says_so_before_anything_is_decoded() {
    let collector = Collector::start().await;
    collector.list.no_room.store(true, Ordering::SeqCst);
    // Bad, and longer than a socket's buffer: the answer must not be lost while it is on its way.
    let body = vec![0xff; super::collector::BODY_LIMIT - 1];
    let response = post(&collector, PROTOBUF, None, body.clone()).await;
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "2", "1.2 s, rounded up");
    collector.list.no_room.store(false, Ordering::SeqCst);
    assert_eq!(post(&collector, PROTOBUF, None, body).await.status(), 400);
    collector.stop().await;
}

#[tokio::test]
async fn a_full_or_broken_store_says_when_to_come_back() {
    let collector = Collector::start().await;
    let body = request(vec![span(1)]).encode_to_vec();
    collector.list.full_for.store(1, Ordering::SeqCst);
    let response = post(&collector, PROTOBUF, None, body.clone()).await;
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "2", "1.2 s, rounded up");

    collector.list.broken.store(true, Ordering::SeqCst);
    let json = serde_json::to_vec(&request(vec![span(1)])).unwrap();
    let response = post(&collector, JSON, None, json).await;
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "5");
    let status: Value = response.json().await.unwrap();
    assert_eq!(status["code"], json!(14));
    assert_eq!(
        status["details"],
        json!([{ "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "5.000000000s" }])
    );

    collector.list.broken.store(false, Ordering::SeqCst);
    assert_eq!(post(&collector, PROTOBUF, None, body).await.status(), 200);
    assert_eq!(collector.stop().await.names(), ["span 1"]);
}

#[tokio::test]
async fn other_paths_and_methods_are_refused_in_words() {
    let collector = Collector::start().await;
    let client = Client::new();
    let response = client
        .post(collector.url("/traces"))
        .header("content-type", JSON)
        .body("{}")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 404);
    let status: Value = response.json().await.unwrap();
    assert!(
        status["message"].as_str().unwrap().contains("/v1/traces"),
        "{status}"
    );
    assert_eq!(
        client
            .get(collector.url("/v1/traces"))
            .send()
            .await
            .unwrap()
            .status(),
        405
    );
    collector.stop().await;
}

#[tokio::test]
async fn bodies_that_are_too_much_together_are_told_to_come_back() {
    let collector = Collector::with(Limits {
        in_flight_bytes: BODY_LIMIT,
        ..Limits::of_body(BODY_LIMIT)
    })
    .await;
    let long = |n| {
        let mut long = span(n);
        long.name = "x".repeat(BODY_LIMIT * 3 / 4);
        request(vec![long]).encode_to_vec()
    };
    // One that stops short of its end holds what it has sent.
    let body = long(1);
    let (most, rest) = body.split_at(body.len() - 1);
    let mut slow = TcpStream::connect(collector.http).await.unwrap();
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: {PROTOBUF}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    slow.write_all(most).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let response = post(&collector, PROTOBUF, None, long(2)).await;
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "1");

    slow.write_all(rest).await.unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(
        post(&collector, PROTOBUF, None, long(2)).await.status(),
        200
    );
    assert_eq!(collector.stop().await.requests(), 2);
}

#[tokio::test]
async fn a_web_page_cannot_send_spans() {
    let collector = Collector::start().await;
    let body = |n| serde_json::to_vec(&request(vec![span(n)])).unwrap();
    let send = async |name: &str, value: &str, n: u8| {
        let post = Client::new()
            .post(collector.url("/v1/traces"))
            .header("content-type", JSON)
            .header(name, value);
        post.body(body(n)).send().await.unwrap()
    };
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("host", "evil.example:4318"),
        ("host", "localhost.evil.example"),
        ("host", "127.0.0.1.evil.example"),
    ] {
        let response = send(name, value, 1).await;
        assert_eq!(response.status(), 403, "{name}: {value}");
        let status: Value = response.json().await.unwrap();
        assert_eq!(status["code"], json!(7));
    }
    let ours = [
        "127.0.0.1",
        "[::1]:4318",
        "localhost:4318",
        "flyball.localhost",
        "collector:4318",
        "host.docker.internal:4318",
    ];
    for (n, host) in (1..).zip(ours) {
        assert_eq!(send("host", host, n).await.status(), 200, "{host}");
    }
    assert_eq!(collector.stop().await.requests(), ours.len());
}

#[tokio::test]
async fn many_clients_at_once_lose_nothing() {
    let collector = Collector::start().await;
    let client = Client::new();
    let mut sending = tokio::task::JoinSet::new();
    for n in 1..=100 {
        let post = client
            .post(collector.url("/v1/traces"))
            .header("content-type", PROTOBUF);
        let post = post.body(request(vec![span(n)]).encode_to_vec());
        sending.spawn(async move { post.send().await.unwrap().status() });
    }
    while let Some(status) = sending.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
    drop(client);
    assert_eq!(collector.stop().await.requests(), 100);
}

#[tokio::test]
async fn logs_and_metrics_are_kept_and_what_is_not_is_counted() {
    let collector = Collector::start().await;
    let impossible = u64::MAX.to_string();
    for (path, body, refused) in [
        (
            "/v1/logs",
            json!({ "resourceLogs": [{ "scopeLogs": [{ "logRecords": [
                { "body": { "stringValue": "a line" } }, { "timeUnixNano": impossible } ] }] }] }),
            "rejectedLogRecords",
        ),
        (
            "/v1/metrics",
            json!({ "resourceMetrics": [{ "scopeMetrics": [{ "metrics": [ { "name": "m", "gauge": { "dataPoints": [
                { "asInt": "1" }, { "timeUnixNano": impossible } ] } } ] }] }] }),
            "rejectedDataPoints",
        ),
    ] {
        let response = Client::new()
            .post(collector.url(path))
            .header("content-type", JSON)
            .body(body.to_string())
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        let answer: Value = response.json().await.unwrap();
        assert_eq!(answer["partialSuccess"][refused], json!("1"), "{answer}");
    }
    let list = collector.stop().await;
    assert_eq!((list.rows(Table::Logs), list.rows(Table::Metrics)), (1, 1));
}
