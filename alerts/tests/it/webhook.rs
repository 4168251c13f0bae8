use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use flyball_alerts::notify::{
    About, Notice, Notifier, SIGNATURE_HEADER, TIMESTAMP_HEADER, Webhook, WebhookConfig, sign,
};
use parking_lot::Mutex;

/// A receiver that answers as told, and keeps what it got.
#[derive(Debug, Default)]
struct Receiver {
    answers: Mutex<Vec<StatusCode>>,
    got: Mutex<Vec<(HeaderMap, Bytes)>>,
}

impl Receiver {
    fn seen(&self) -> Vec<serde_json::Value> {
        self.got
            .lock()
            .iter()
            .map(|(_, body)| serde_json::from_slice(body).unwrap())
            .collect()
    }
}

async fn receive(
    State(receiver): State<Arc<Receiver>>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, HeaderMap) {
    receiver.got.lock().push((headers, body));
    let mut answers = receiver.answers.lock();
    let answer = if answers.is_empty() {
        StatusCode::OK
    } else {
        answers.remove(0)
    };
    let mut headers = HeaderMap::new();
    if answer.is_redirection() {
        headers.insert("location", "/elsewhere".parse().unwrap());
    }
    (answer, headers)
}

async fn server(answers: &[StatusCode]) -> (Arc<Receiver>, String) {
    let receiver = Arc::new(Receiver {
        answers: Mutex::new(answers.to_vec()),
        ..Receiver::default()
    });
    let routes = Router::new()
        .route("/hook", post(receive))
        .route("/elsewhere", post(receive).get(receive))
        .with_state(Arc::clone(&receiver));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (receiver, url)
}

fn config(url: &str) -> WebhookConfig {
    WebhookConfig {
        attempts: 4,
        backoff: Duration::from_millis(20),
        timeout: Duration::from_secs(2),
        ..WebhookConfig::new("ops", url)
    }
}

fn notice(id: &str, status: About) -> Arc<Notice> {
    Arc::new(Notice {
        status,
        alert_id: id.into(),
        rule: "spend".into(),
        description: String::new(),
        key: "agent=a".into(),
        severity: "critical",
        workspace: "default".into(),
        summary: "agent a spent 6 USD".into(),
        value: Some("6".into()),
        threshold: "5".into(),
        at: "2026-11-22T00:00:00.000Z".into(),
        action: None,
        evidence: None,
    })
}

async fn settled(webhook: &Webhook, done: u64) {
    for _ in 0..500 {
        let count = webhook.delivered();
        if count.sent + count.failed >= done {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not delivered: {:?}", webhook.delivered());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_tries_again_and_keeps_the_order() {
    let busy = [
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    let (receiver, url) = server(&busy).await;
    let webhook = Webhook::start(config(&url)).unwrap();
    webhook.notify(notice("one", About::Firing));
    webhook.notify(notice("one", About::Resolved));
    settled(&webhook, 2).await;
    let seen: Vec<_> = receiver
        .seen()
        .iter()
        .map(|n| n["status"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(seen, ["firing", "firing", "firing", "resolved"]);
    let ids: Vec<_> = receiver
        .got
        .lock()
        .iter()
        .map(|(h, _)| h["x-flyball-delivery"].clone())
        .collect();
    assert!(
        ids[0] == ids[1] && ids[1] == ids[2] && ids[2] != ids[3],
        "tries share an id, notices do not"
    );
    assert_eq!(
        (webhook.delivered().sent, webhook.delivered().failed),
        (2, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_sends_is_signed_with_the_time() {
    let (receiver, url) = server(&[]).await;
    let webhook = Webhook::start(WebhookConfig {
        secret: Some("s3cret".into()),
        ..config(&url)
    })
    .unwrap();
    webhook.notify(notice("one", About::Firing));
    settled(&webhook, 1).await;
    let (headers, body) = receiver.got.lock()[0].clone();
    let timestamp = headers[TIMESTAMP_HEADER].to_str().unwrap();
    let want = format!("sha256={}", sign(b"s3cret", timestamp, &body));
    assert_eq!(headers[SIGNATURE_HEADER], want.as_str());
    assert_eq!(headers["content-type"], "application/json");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_secret_there_is_no_signature_and_a_refusal_is_final() {
    let (receiver, url) = server(&[StatusCode::BAD_REQUEST]).await;
    let webhook = Webhook::start(config(&url)).unwrap();
    webhook.notify(notice("one", About::Firing));
    settled(&webhook, 1).await;
    assert_eq!(webhook.delivered().failed, 1);
    assert_eq!(receiver.got.lock().len(), 1);
    assert!(!receiver.got.lock()[0].0.contains_key(SIGNATURE_HEADER));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_gives_up_after_its_attempts_and_goes_on() {
    let (receiver, url) = server(&[StatusCode::INTERNAL_SERVER_ERROR; 4]).await;
    let webhook = Webhook::start(config(&url)).unwrap();
    webhook.notify(notice("one", About::Firing));
    webhook.notify(notice("two", About::Firing));
    settled(&webhook, 2).await;
    assert_eq!(
        (webhook.delivered().sent, webhook.delivered().failed),
        (1, 1)
    );
    assert_eq!(receiver.got.lock().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_not_followed() {
    for code in [StatusCode::FOUND, StatusCode::TEMPORARY_REDIRECT] {
        let (receiver, url) = server(&[code]).await;
        let webhook = Webhook::start(config(&url)).unwrap();
        webhook.notify(notice("one", About::Firing));
        settled(&webhook, 1).await;
        assert_eq!(
            (webhook.delivered().failed, receiver.got.lock().len()),
            (1, 1)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_down_never_holds_anybody_up() {
    // Nobody listens there: the port was free a moment ago.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    drop(listener);
    let config = WebhookConfig {
        queue: 10,
        backoff: Duration::from_secs(60),
        ..config(&url)
    };
    let webhook = Webhook::start(config).unwrap();
    let began = Instant::now();
    for i in 0..1_000 {
        webhook.notify(notice(&i.to_string(), About::Firing));
    }
    assert!(
        began.elapsed() < Duration::from_millis(500),
        "{:?}",
        began.elapsed()
    );
    assert!(
        webhook.delivered().dropped >= 980,
        "{:?}",
        webhook.delivered()
    );
}

#[tokio::test]
async fn only_plain_addresses_are_accepted_and_secrets_stay_out_of_errors() {
    for url in [
        "",
        "ops.example/hook",
        "file:///etc/passwd",
        "https://user:hunter2@ops.example/hook",
        "http://",
    ] {
        let error = Webhook::start(config(url)).unwrap_err().to_string();
        assert!(error.starts_with("webhook ops: url is "), "{error}");
        assert!(
            error.contains("accepted is an http:// or https:// URL"),
            "{error}"
        );
        assert!(!error.contains("hunter2"), "{error}");
    }
}
