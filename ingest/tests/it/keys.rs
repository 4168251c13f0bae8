//! Both OTLP ports behind a door: each refusal in the protocol's own terms, and nothing read before it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use flyball_ingest::Limits;
use flyball_ingest::door::Door;
use flyball_ingest::server::{RetryInfo, RpcStatus};
use flyball_store::{ApiKeys, Config, KeyOrder, Role, make_secret};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use prost::Message;
use reqwest::{Client, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::{Code, Request, Status};

use crate::collector::{BODY_LIMIT, Collector, request, span};

const JSON: &str = "application/json";

/// A collector that asks for keys, at a time of its own.
struct Guarded {
    _dir: tempfile::TempDir,
    keys: Arc<ApiKeys>,
    collector: Collector,
}

impl Guarded {
    async fn start(clock: fn() -> i64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keys = Arc::new(ApiKeys::open(&Config::local(dir.path())).unwrap());
        let door = Door::with_keys(Arc::clone(&keys)).with_clock(clock);
        let collector = Collector::behind(Limits::of_body(BODY_LIMIT), door).await;
        Self {
            _dir: dir,
            keys,
            collector,
        }
    }

    /// Makes a key; its id and secret.
    fn key(&self, role: Role, more: impl FnOnce(&mut KeyOrder)) -> (String, String) {
        let mut order = KeyOrder {
            name: format!("{role}-{}", self.keys.all().len()),
            role,
            workspace: "default".to_owned(),
            tenants: Vec::new(),
            lasts_s: None,
            requests_per_s: None,
            bytes_per_s: None,
        };
        more(&mut order);
        let now = chrono::DateTime::from_timestamp_nanos(NOON);
        let (key, secret) = self.keys.add(order, "test", now).unwrap();
        (key.id.clone(), secret)
    }

    async fn http(&self, headers: &[(&str, &[u8])], n: u8) -> Response {
        let mut post = Client::new()
            .post(self.collector.url("/v1/traces"))
            .header("content-type", JSON)
            .body(serde_json::to_vec(&request(vec![span(n)])).unwrap());
        for (name, value) in headers {
            post = post.header(*name, *value);
        }
        post.send().await.unwrap()
    }

    async fn grpc(&self, name: &'static str, value: &str, n: u8) -> Result<String, Status> {
        let address = format!("http://{}", self.collector.grpc);
        let mut client = TraceServiceClient::connect(address).await.unwrap();
        let mut request = Request::new(request(vec![span(n)]));
        if !name.is_empty() {
            request.metadata_mut().insert(name, value.parse().unwrap());
        }
        let answer = client.export(request).await?.into_inner();
        Ok(answer
            .partial_success
            .map(|partial| partial.error_message)
            .unwrap_or_default())
    }
}

const NOON: i64 = 1_795_348_800_000_000_000;
const SECOND: i64 = 1_000_000_000;

fn noon() -> i64 {
    NOON
}

#[tokio::test]
async fn every_way_of_showing_a_key_opens_both_ports_and_the_log_names_it() {
    let guarded = Guarded::start(noon).await;
    let (id, secret) = guarded.key(Role::Ingest, |_| {});
    let bearer = format!("Bearer {secret}");
    let lower = format!("bearer  {secret}");
    for (n, (name, value)) in (1..).step_by(2).zip([
        ("authorization", &bearer),
        ("authorization", &lower),
        ("x-api-key", &secret),
    ]) {
        let response = guarded.http(&[(name, value.as_bytes())], n).await;
        assert_eq!(response.status(), 200, "{name}");
        guarded.grpc(name, value, n + 1).await.unwrap();
    }
    let list = guarded.collector.stop().await;
    assert_eq!(list.keys(), vec![Some(id); 6]);
}

#[tokio::test]
async fn without_a_key_that_is_in_force_nobody_gets_in() {
    let guarded = Guarded::start(noon).await;
    let (_, secret) = guarded.key(Role::Ingest, |_| {});
    let (revoked, was_good) = guarded.key(Role::Ingest, |_| {});
    let unknown = make_secret().unwrap();
    guarded
        .keys
        .revoke(&revoked, "test", chrono::Utc::now())
        .unwrap();
    let bearer = |secret: &str| format!("Bearer {secret}").into_bytes();
    let (good, long) = (bearer(&secret), "k".repeat(8_000).into_bytes());
    let hostile: &[(&[(&str, &[u8])], &str)] = &[
        (&[], "no API key was sent"),
        (&[("x-api-key", b"")], "not known"),
        (&[("x-api-key", unknown.as_bytes())], "not known"),
        (&[("authorization", b"Basic a2V5Og==")], "scheme Bearer"),
        (&[("authorization", b"Bearer")], "scheme Bearer"),
        (&[("authorization", b"Bearer \xff\xfe")], "not known"),
        (&[("x-api-key", "fbk_\u{e9}".as_bytes())], "not known"),
        (&[("x-api-key", &long)], "not known"),
        (
            &[("authorization", &good), ("authorization", &good)],
            "more than one",
        ),
        (
            &[("authorization", &good), ("x-api-key", unknown.as_bytes())],
            "more than one",
        ),
        (&[("x-api-key", was_good.as_bytes())], "was revoked at"),
    ];
    for (headers, said) in hostile {
        let response = guarded.http(headers, 1).await;
        assert_eq!(response.status(), 401, "{said}");
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        let status: Value = response.json().await.unwrap();
        assert_eq!(status["code"], json!(16), "UNAUTHENTICATED");
        assert!(
            status["message"].as_str().unwrap().contains(said),
            "{status}"
        );
        assert!(!status.to_string().contains(&secret[4..]));
    }
    for (name, value, said) in [
        ("", "", "no API key was sent"),
        ("x-api-key", &*unknown, "not known"),
        ("authorization", "Basic a2V5Og==", "scheme Bearer"),
        ("x-api-key", &*was_good, "was revoked at"),
    ] {
        let status = guarded.grpc(name, value, 1).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
        assert!(status.message().contains(said), "{status}");
        // Exporters must not try that again.
        assert!(status.details().is_empty());
    }
    assert_eq!(guarded.collector.stop().await.requests(), 0);
}

#[tokio::test]
async fn who_may_only_read_or_operate_may_not_send() {
    let guarded = Guarded::start(noon).await;
    for (role, sends) in [
        (Role::Ingest, true),
        (Role::Read, false),
        (Role::Operate, false),
        (Role::Admin, true),
    ] {
        let (_, secret) = guarded.key(role, |_| {});
        let response = guarded.http(&[("x-api-key", secret.as_bytes())], 1).await;
        let answer = guarded.grpc("x-api-key", &secret, 1).await;
        if sends {
            assert_eq!((response.status().as_u16(), answer.is_ok()), (200, true));
            continue;
        }
        assert_eq!(response.status(), 403);
        let status: Value = response.json().await.unwrap();
        assert_eq!(status["code"], json!(7), "PERMISSION_DENIED");
        let message = status["message"].as_str().unwrap().to_owned();
        assert!(message.contains("expected ingest or admin"), "{message}");
        let status = answer.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied);
        assert_eq!(status.message(), message);
    }
}

#[tokio::test]
async fn a_key_expires_and_is_revoked_between_two_requests() {
    static NOW: AtomicI64 = AtomicI64::new(NOON);
    let guarded = Guarded::start(|| NOW.load(Ordering::SeqCst)).await;
    let (_, brief) = guarded.key(Role::Ingest, |order| order.lasts_s = Some(60));
    let (id, lasting) = guarded.key(Role::Ingest, |_| {});
    NOW.store(NOON + 60 * SECOND - 1, Ordering::SeqCst);
    guarded.grpc("x-api-key", &brief, 1).await.unwrap();
    NOW.store(NOON + 60 * SECOND, Ordering::SeqCst);
    let status = guarded.grpc("x-api-key", &brief, 2).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(
        status.message().contains("expired at 2026-11-22T12:01:00Z"),
        "{status}"
    );

    // Also on a connection that stands.
    let address = format!("http://{}", guarded.collector.grpc);
    let mut client = TraceServiceClient::connect(address).await.unwrap();
    let send = |n| {
        let mut request = Request::new(request(vec![span(n)]));
        request
            .metadata_mut()
            .insert("x-api-key", lasting.parse().unwrap());
        request
    };
    client.export(send(3)).await.unwrap();
    guarded
        .keys
        .revoke(&id, "test", chrono::Utc::now())
        .unwrap();
    let status = client.export(send(4)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(guarded.collector.stop().await.names(), ["span 1", "span 3"]);
}

#[tokio::test]
async fn who_is_over_the_rate_is_told_when_to_come_back_and_is_let_in_then() {
    static NOW: AtomicI64 = AtomicI64::new(NOON);
    let guarded = Guarded::start(|| NOW.load(Ordering::SeqCst)).await;
    let (_, secret) = guarded.key(Role::Ingest, |order| order.requests_per_s = Some(2));
    let key: &[(&str, &[u8])] = &[("x-api-key", secret.as_bytes())];
    for n in 1..=2 {
        assert_eq!(guarded.http(key, n).await.status(), 200);
    }
    let response = guarded.http(key, 3).await;
    assert_eq!(response.status(), 429);
    assert_eq!(
        response.headers()["retry-after"],
        "1",
        "half a second, rounded up"
    );
    let status: Value = response.json().await.unwrap();
    assert_eq!(status["code"], json!(8), "RESOURCE_EXHAUSTED");
    assert_eq!(status["details"][0]["retryDelay"], "0.500000000s");
    let status = guarded.grpc("x-api-key", &secret, 3).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    let details = RpcStatus::decode(status.details()).unwrap().details;
    let delay = RetryInfo::decode(&*details[0].value)
        .unwrap()
        .retry_delay
        .unwrap();
    assert_eq!((delay.seconds, delay.nanos), (0, 500_000_000));
    NOW.store(NOON + SECOND / 2, Ordering::SeqCst);
    assert_eq!(guarded.http(key, 3).await.status(), 200);
    assert_eq!(guarded.http(key, 4).await.status(), 429);
}

#[tokio::test]
async fn bytes_are_counted_as_they_are_unpacked() {
    static NOW: AtomicI64 = AtomicI64::new(NOON);
    let guarded = Guarded::start(|| NOW.load(Ordering::SeqCst)).await;
    let (_, secret) = guarded.key(Role::Ingest, |order| order.bytes_per_s = Some(1_000));
    let post = async |body: Vec<u8>, encoding: &'static str| {
        Client::new()
            .post(guarded.collector.url("/v1/traces"))
            .header("content-type", "application/x-protobuf")
            .header("content-encoding", encoding)
            .header("x-api-key", &secret)
            .body(body)
            .send()
            .await
            .unwrap()
    };
    let mut long = span(1);
    long.name = "x".repeat(20_000);
    let body = request(vec![long]).encode_to_vec();
    let bytes = body.len() as i64;
    let packed = zstd::stream::encode_all(body.as_slice(), 3).unwrap();
    assert!(packed.len() < 1_000);
    assert_eq!(post(packed, "zstd").await.status(), 200);
    let small = || request(vec![span(2)]).encode_to_vec();
    // 1,000 were there, one has to be again; a byte is a millisecond.
    let due = NOON + (bytes - 1_000 + 1) * 1_000_000;
    NOW.store(due - 1, Ordering::SeqCst);
    assert_eq!(post(small(), "identity").await.status(), 429);
    NOW.store(due, Ordering::SeqCst);
    assert_eq!(post(small(), "identity").await.status(), 200);
    // What cannot be unpacked weighs what was sent.
    NOW.store(due + 60 * SECOND, Ordering::SeqCst);
    assert_eq!(post(vec![b'x'; 3_000], "gzip").await.status(), 400);
    assert_eq!(post(small(), "identity").await.status(), 429);
}

#[tokio::test]
async fn nothing_of_a_body_is_read_before_its_key_is_good() {
    let guarded = Guarded::start(noon).await;
    guarded.key(Role::Ingest, |_| {});
    let mut stream = TcpStream::connect(guarded.collector.http).await.unwrap();
    // It announces a body and sends none of it: the answer is there all the same.
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-type: {JSON}\r\ncontent-length: 60000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    let read = stream.read_exact(&mut answer);
    tokio::time::timeout(Duration::from_secs(5), read)
        .await
        .expect("an answer before the body")
        .unwrap();
    assert_eq!(&answer, b"HTTP/1.1 401");
}

#[tokio::test]
async fn a_spoofed_tenant_is_told_as_partial_success() {
    let guarded = Guarded::start(noon).await;
    let (_, secret) = guarded.key(Role::Ingest, |order| {
        order.tenants = vec!["acme".to_owned()];
    });
    let mut spoofed = span(2);
    spoofed.attributes = vec![KeyValue {
        key: "tenant.id".to_owned(),
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue("umbra".to_owned())),
        }),
        ..KeyValue::default()
    }];
    let response = Client::new()
        .post(guarded.collector.url("/v1/traces"))
        .header("content-type", JSON)
        .header("x-api-key", &secret)
        .body(serde_json::to_vec(&request(vec![span(1), spoofed])).unwrap())
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    let answer: Value = response.json().await.unwrap();
    assert_eq!(answer["partialSuccess"]["rejectedSpans"], json!("1"));
    let message = answer["partialSuccess"]["errorMessage"].as_str().unwrap();
    assert!(
        message.contains("span 1: tenant \"umbra\"") && message.contains("expected acme"),
        "{message}"
    );
    assert_eq!(guarded.collector.stop().await.names(), ["span 1"]);
}

#[tokio::test]
async fn with_a_key_any_host_name_will_do_and_a_web_page_still_will_not() {
    let guarded = Guarded::start(noon).await;
    let (_, secret) = guarded.key(Role::Ingest, |_| {});
    let key = ("x-api-key", secret.as_bytes());
    let named: &[(&str, &[u8])] = &[key, ("host", b"flyball.example.com:4318")];
    assert_eq!(guarded.http(named, 1).await.status(), 200);
    let page: &[(&str, &[u8])] = &[key, ("origin", b"https://flyball.example.com")];
    assert_eq!(guarded.http(page, 2).await.status(), 403);
}
