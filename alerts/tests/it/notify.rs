//! The outbox and its workers against receivers that answer as told, hang, and go away.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use chrono::{TimeDelta, Utc};
use flyball_alerts::memory::NoMemory;
use flyball_alerts::notify::{
    About, Alertmanager, Channel, Figures, Kind, Notice, Options, Outbox, PagerDuty,
    SIGNATURE_HEADER, Secret, SilenceOrder, Slack, TIMESTAMP_HEADER, Webhook, sign,
};
use flyball_alerts::ports::Clock;
use flyball_alerts::rule::Severity;
use parking_lot::Mutex;
use serde_json::Value;

use crate::engine::{Kept, charge, event, house_with};

/// What a receiver says, after how long.
#[derive(Debug, Clone)]
struct Says {
    status: u16,
    retry_after: Option<&'static str>,
    after: Duration,
}

fn says(status: u16) -> Says {
    Says {
        status,
        retry_after: None,
        after: Duration::ZERO,
    }
}

#[derive(Debug, Clone)]
struct Got {
    path: String,
    headers: HeaderMap,
    body: Bytes,
    at: Instant,
}

/// A receiver that answers as told, then 200, and keeps what it got.
#[derive(Debug, Default)]
struct Receiver {
    script: Mutex<Vec<Says>>,
    got: Mutex<Vec<Got>>,
}

impl Receiver {
    fn bodies(&self) -> Vec<Value> {
        let got = self.got.lock();
        got.iter()
            .map(|got| serde_json::from_slice(&got.body).unwrap())
            .collect()
    }

    fn statuses(&self) -> Vec<String> {
        let bodies = self.bodies();
        let status = |body: &Value| body["status"].as_str().unwrap().to_owned();
        bodies.iter().map(status).collect()
    }

    fn deliveries(&self) -> Vec<String> {
        let got = self.got.lock();
        got.iter()
            .map(|got| {
                got.headers["x-flyball-delivery"]
                    .to_str()
                    .unwrap()
                    .to_owned()
            })
            .collect()
    }
}

async fn receive(
    State(receiver): State<Arc<Receiver>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, HeaderMap) {
    receiver.got.lock().push(Got {
        path: uri.path().to_owned(),
        headers,
        body,
        at: Instant::now(),
    });
    let says = {
        let mut script = receiver.script.lock();
        if script.is_empty() {
            says(200)
        } else {
            script.remove(0)
        }
    };
    tokio::time::sleep(says.after).await;
    let mut headers = HeaderMap::new();
    if let Some(seconds) = says.retry_after {
        headers.insert("retry-after", seconds.parse().unwrap());
    }
    if (300..400).contains(&says.status) {
        headers.insert("location", "/elsewhere".parse().unwrap());
    }
    (StatusCode::from_u16(says.status).unwrap(), headers)
}

/// A receiver, and what stands before its paths.
async fn receiver(script: &[Says]) -> (Arc<Receiver>, String) {
    let receiver = Arc::new(Receiver {
        script: Mutex::new(script.to_vec()),
        ..Receiver::default()
    });
    let routes = Router::new()
        .fallback(receive)
        .with_state(Arc::clone(&receiver));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (receiver, url)
}

fn hook(url: &str) -> Channel {
    let webhook = Webhook::to(&format!("{url}/hook"), Some(Secret::new("s3cret")));
    Channel::new("ops", Kind::Webhook(webhook.unwrap()))
}

pub(crate) fn options() -> Options {
    Options {
        backoff: Duration::from_millis(20),
        backoff_max: Duration::from_millis(200),
        timeout: Duration::from_secs(2),
        ..Options::default()
    }
}

pub(crate) fn outbox(folder: &Path, channels: Vec<Channel>, options: Options) -> Arc<Outbox> {
    let path = folder.join("alerts-outbox.db");
    Outbox::open(&path, channels, options, Clock::default()).unwrap()
}

pub(crate) fn notice(id: &str, status: About) -> Arc<Notice> {
    Arc::new(Notice {
        status,
        alert_id: id.into(),
        rule: "spend".into(),
        description: String::new(),
        key: format!("agent={id}"),
        severity: Severity::Critical,
        workspace: "default".into(),
        summary: format!("agent {id} spent 6 USD"),
        value: Some("6".into()),
        threshold: "5".into(),
        at: Utc::now().to_rfc3339(),
        action: None,
        evidence: None,
    })
}

pub(crate) fn tell(outbox: &Outbox, id: &str, status: About) {
    for notifier in outbox.notifiers() {
        notifier.notify(notice(id, status));
    }
}

/// Waits until the first notifier's figures are as wanted.
pub(crate) async fn until(outbox: &Outbox, wanted: impl Fn(&Figures) -> bool) -> Figures {
    for _ in 0..1_000 {
        let figures = outbox.figures().remove(0);
        if wanted(&figures) {
            return figures;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not within 10 s: {:?}", outbox.figures());
}

async fn arrived(receiver: &Receiver, count: usize) {
    for _ in 0..1_000 {
        if receiver.got.lock().len() >= count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} of {count} within 10 s", receiver.got.lock().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_tries_again_under_one_id_and_keeps_the_order() {
    let folder = tempfile::tempdir().unwrap();
    let (receiver, url) = receiver(&[says(503), says(429), says(408)]).await;
    let outbox = outbox(folder.path(), vec![hook(&url)], options());
    tell(&outbox, "one", About::Firing);
    arrived(&receiver, 1).await;
    tell(&outbox, "one", About::Resolved);
    until(&outbox, |f| f.sent == 2).await;
    assert_eq!(
        receiver.statuses(),
        ["firing", "firing", "firing", "firing", "resolved"]
    );
    let ids = receiver.deliveries();
    assert!(
        ids[..4].iter().all(|id| *id == ids[0]) && ids[4] != ids[0],
        "{ids:?}"
    );
    let figures = until(&outbox, |f| f.waiting == 0).await;
    assert_eq!(
        (figures.failed, figures.dropped, figures.trouble),
        (0, 0, None)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_sends_is_signed_with_the_time() {
    let folder = tempfile::tempdir().unwrap();
    let (receiver, url) = receiver(&[]).await;
    let outbox = outbox(folder.path(), vec![hook(&url)], options());
    tell(&outbox, "one", About::Firing);
    arrived(&receiver, 1).await;
    let got = receiver.got.lock()[0].clone();
    let timestamp = got.headers[TIMESTAMP_HEADER].to_str().unwrap();
    let want = format!("sha256={}", sign(b"s3cret", timestamp, &got.body));
    assert_eq!(got.headers[SIGNATURE_HEADER], want.as_str());
    assert_eq!(got.headers["content-type"], "application/json");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_final_and_kept_with_its_reason_and_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let (receiver, url) = receiver(&[says(400), says(302), says(307)]).await;
    let outbox = outbox(folder.path(), vec![hook(&url)], options());
    for id in ["bad", "moved", "moved too", "good"] {
        tell(&outbox, id, About::Firing);
    }
    let figures = until(&outbox, |f| f.sent == 1).await;
    assert_eq!(figures.failed, 3);
    // Redirects are not followed.
    let paths: Vec<_> = receiver
        .got
        .lock()
        .iter()
        .map(|got| got.path.clone())
        .collect();
    assert_eq!(paths, ["/hook"; 4]);
    let lost = outbox.lost().await.unwrap();
    let bad = lost.last().unwrap();
    assert_eq!(bad.alert_id, "bad");
    assert_eq!(bad.reason, "the receiver answers 400 Bad Request");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_comes_back_no_sooner_than_it_is_asked_to() {
    let folder = tempfile::tempdir().unwrap();
    let busy = Says {
        retry_after: Some("1"),
        ..says(429)
    };
    let (receiver, url) = receiver(&[busy]).await;
    let outbox = outbox(folder.path(), vec![hook(&url)], options());
    tell(&outbox, "one", About::Firing);
    until(&outbox, |f| f.sent == 1).await;
    let got = receiver.got.lock();
    let waited = got[1].at - got[0].at;
    assert!(waited >= Duration::from_secs(1), "{waited:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_mid_flight_it_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let hangs = Says {
        after: Duration::from_secs(60),
        ..says(200)
    };
    let (receiver, url) = receiver(&[says(200), hangs]).await;
    let first = outbox(folder.path(), vec![hook(&url)], options());
    tell(&first, "told", About::Firing);
    until(&first, |f| f.sent == 1).await;
    tell(&first, "under way", About::Firing);
    arrived(&receiver, 2).await;
    tell(&first, "waiting", About::Firing);
    tell(&first, "told", About::Resolved);
    until(&first, |f| f.waiting == 3).await;
    // Its tasks end where they are, as after `kill -9`.
    drop(first);

    let second = outbox(folder.path(), vec![hook(&url)], options());
    until(&second, |f| f.sent == 3 && f.waiting == 0).await;
    let ids: Vec<String> = receiver
        .bodies()
        .iter()
        .map(|body| body["alert_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids, ["told", "under way", "under way", "waiting", "told"]);
    let deliveries = receiver.deliveries();
    assert_eq!(
        deliveries[1], deliveries[2],
        "the receiver can tell that it is a double"
    );
    assert_eq!(receiver.statuses()[4], "resolved");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_away_hears_everything_in_order() {
    let folder = tempfile::tempdir().unwrap();
    // Nobody listens there: the port was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let first = outbox(
        folder.path(),
        vec![hook(&format!("http://{address}"))],
        options(),
    );
    for id in 0..20 {
        tell(&first, &id.to_string(), About::Firing);
    }
    until(&first, |f| f.waiting == 20 && f.trouble.is_some()).await;
    first.stop(Duration::from_secs(1)).await;
    drop(first);
    let (receiver, url) = receiver(&[]).await;
    let second = outbox(folder.path(), vec![hook(&url)], options());
    tell(&second, "last", About::Firing);
    until(&second, |f| f.sent == 21).await;
    let ids: Vec<String> = receiver
        .bodies()
        .iter()
        .map(|body| body["alert_id"].as_str().unwrap().to_owned())
        .collect();
    let want: Vec<String> = (0..20)
        .map(|id| id.to_string())
        .chain(["last".into()])
        .collect();
    assert_eq!(ids, want);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn only_its_owner_can_read_what_waits() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let outbox = outbox(folder.path(), vec![hook("http://127.0.0.1:1")], options());
    tell(&outbox, "one", About::Firing);
    until(&outbox, |f| f.waiting == 1).await;
    let mut seen = 0;
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", file.path());
        seen += 1;
    }
    assert!(seen >= 2, "the file and its log");
}

const THROTTLE: &str = "\
rules:
  - name: spend
    key: agent
    mode: enforce
    when:
      spend_rate: { at_least: 5.00, window: 10s }
    action:
      throttle: { calls_per_minute: 10 }
";

/// The receiver takes the connection and never answers, the disk takes nothing, the queue is full: orders arrive as
/// fast as ever.
#[tokio::test(flavor = "multi_thread")]
async fn neither_a_receiver_nor_a_disk_that_hangs_delays_an_action() {
    let folder = tempfile::tempdir().unwrap();
    let hung = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", hung.local_addr().unwrap());
    let small = Options {
        queue: 50,
        ..options()
    };
    let outbox = outbox(folder.path(), vec![hook(&url)], small);
    let mut house = house_with(
        folder.path(),
        THROTTLE,
        Kept::default(),
        Vec::new(),
        Arc::new(NoMemory),
        outbox.notifiers(),
    )
    .await;
    house
        .events
        .send(event(vec![charge("first", 0, 600)]))
        .unwrap();
    house.arrived.recv().await.unwrap();
    until(&outbox, |f| f.waiting == 1).await;
    // From now on nobody can write to the file.
    let path = folder.path().join("alerts-outbox.db");
    let lock = rusqlite::Connection::open(path).unwrap();
    lock.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let mut times = Vec::new();
    for i in 0..500 {
        let sent = Instant::now();
        let runaway = charge(&format!("runaway-{i}"), i, 600);
        house.events.send(event(vec![runaway])).unwrap();
        let (arrived, _) = house.arrived.recv().await.unwrap();
        times.push(arrived - sent);
    }
    times.sort();
    println!(
        "event to order: p50 {:?}, p99 {:?}, max {:?}",
        times[250], times[495], times[499]
    );
    assert!(
        times[495] < Duration::from_millis(50),
        "p99 {:?}",
        times[495]
    );
    let dropped = outbox.figures()[0].dropped;
    assert!(dropped >= 100, "the queue was full: {dropped} dropped");
    lock.execute_batch("ROLLBACK").unwrap();
    // What was in the queue is kept after all.
    until(&outbox, |f| f.waiting >= 50).await;
    drop(hung);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silence_mutes_survives_a_restart_and_can_be_ended() {
    let folder = tempfile::tempdir().unwrap();
    let (receiver, url) = receiver(&[]).await;
    let first = outbox(folder.path(), vec![hook(&url)], options());
    let order = SilenceOrder {
        matchers: vec!["key=~agent=test-.*".into()],
        from: None,
        until: Utc::now() + TimeDelta::hours(1),
        why: "a test".into(),
    };
    let silence = first.check_silence(&order, "cli:ada").unwrap();
    first.silence(silence.clone()).await.unwrap();
    for id in ["test-1", "test-2", "prod"] {
        tell(&first, id, About::Firing);
    }
    let figures = until(&first, |f| f.sent == 1 && f.silenced == 2).await;
    // What is held back on purpose does not look like trouble.
    assert_eq!((figures.waiting, figures.oldest_waiting_s), (0, 0));
    first.stop(Duration::from_secs(1)).await;
    drop(first);

    let second = outbox(folder.path(), vec![hook(&url)], options());
    let standing = second.silences().await.unwrap();
    assert_eq!((standing.len(), standing[0].state), (1, "active"));
    tell(&second, "test-1", About::Resolved);
    until(&second, |f| f.silenced == 1 && f.cancelled == 2).await;
    assert!(second.unsilence("nobody").await.unwrap().is_none());
    assert!(second.unsilence(&silence.id).await.unwrap().is_some());
    assert!(
        second.unsilence(&silence.id).await.unwrap().is_none(),
        "it is over"
    );
    until(&second, |f| f.sent == 1 && f.silenced == 0).await;
    let ids: Vec<Value> = receiver
        .bodies()
        .iter()
        .map(|body| body["alert_id"].clone())
        .collect();
    assert_eq!(ids, ["prod", "test-2"]);
    assert_eq!(second.silences().await.unwrap()[0].state, "over");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_notifier_goes_its_own_way() {
    let folder = tempfile::tempdir().unwrap();
    let (slack, slack_url) = receiver(&[]).await;
    let (pager, pager_url) = receiver(&[]).await;
    let (manager, manager_url) = receiver(&[]).await;
    let chat = Slack::new(&Secret::new(format!("{slack_url}/services/T/B/X"))).unwrap();
    let mut chat = Channel::new("chat", Kind::Slack(chat));
    let group = chat.group.as_mut().unwrap();
    (group.wait, group.interval) = (Duration::from_millis(300), Duration::from_secs(60));
    let pagerduty = Kind::PagerDuty(PagerDuty {
        url: pager_url.parse().unwrap(),
        routing_key: Secret::new("key"),
    });
    let alertmanager = Kind::Alertmanager(Alertmanager {
        url: manager_url.parse().unwrap(),
        secret: Some(Secret::new("token")),
    });
    let mut alertmanager = Channel::new("am", alertmanager);
    alertmanager.repeat = Some(Duration::from_secs(1));
    let mut loud = Channel::new(
        "loud",
        Kind::Webhook(Webhook::to("http://127.0.0.1:1", None).unwrap()),
    );
    loud.min_severity = Severity::Critical;
    let channels = vec![chat, Channel::new("pager", pagerduty), alertmanager, loud];
    let outbox = outbox(folder.path(), channels, options());
    for id in ["a", "b"] {
        tell(&outbox, id, About::Firing);
    }
    let mild = Notice {
        severity: Severity::Warning,
        ..(*notice("mild", About::Firing)).clone()
    };
    outbox.notifiers()[3].notify(Arc::new(mild));
    arrived(&slack, 1).await;
    arrived(&pager, 2).await;
    // Told again after a second, with an end that moves on.
    arrived(&manager, 3).await;
    let message = &slack.bodies()[0];
    assert_eq!(message["text"], "[FIRING:2] spend");
    assert_eq!(slack.got.lock()[0].path, "/services/T/B/X");
    let events = pager.bodies();
    assert_eq!(
        (&events[0]["dedup_key"], &events[1]["dedup_key"]),
        (&"a".into(), &"b".into())
    );
    assert_eq!(pager.got.lock()[0].path, "/v2/enqueue");
    let got = manager.got.lock().last().unwrap().clone();
    assert_eq!(got.path, "/api/v2/alerts");
    assert_eq!(got.headers["authorization"], "Bearer token");
    let alerts = manager.bodies();
    let of_a = |body: &Value| {
        let all = body.as_array().unwrap().iter();
        all.filter(|alert| alert["labels"]["agent"] == "a")
            .map(|alert| alert["endsAt"].as_str().unwrap().to_owned())
            .next()
    };
    let ends: Vec<String> = alerts.iter().filter_map(of_a).collect();
    assert!(ends.len() >= 2 && ends[0] < ends[1], "{ends:?}");
    let figures = outbox.figures();
    assert_eq!((figures[3].waiting, figures[3].name.as_str()), (2, "loud"));
}
