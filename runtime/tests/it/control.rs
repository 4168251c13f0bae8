//! Control through a real port: REST, and a runtime in another place that keeps a copy.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use flyball_runtime::control::client::{Remote, RemoteConfig};
use flyball_runtime::control::{api, *};
use serde_json::{Value, json};

#[derive(Debug, Default)]
pub(crate) struct Book(pub(crate) Mutex<Vec<ControlEvent>>);

#[async_trait::async_trait]
impl Ledger for Book {
    async fn record(&self, event: &ControlEvent) -> Result<(), String> {
        self.0.lock().unwrap().push(event.clone());
        Ok(())
    }
}

/// A control plane on a port; stops when it is dropped.
pub(crate) struct Plane {
    pub(crate) control: Arc<Control>,
    pub(crate) book: Arc<Book>,
    pub(crate) address: SocketAddr,
    server: tokio::task::JoinHandle<()>,
    connections: tokio::sync::watch::Sender<()>,
}

impl Plane {
    pub(crate) async fn start(file: &Path, address: &str) -> Self {
        let book = Arc::new(Book::default());
        let control = Control::open(file, Arc::<Book>::clone(&book))
            .await
            .unwrap();
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = api::router(Arc::clone(&control));
        let (connections, stopped) = tokio::sync::watch::channel(());
        // a runtime of its own, so that dropping it cuts open connections as a crash would
        let server = tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let mut stopped = stopped;
                tokio::select! {
                    served = axum::serve(listener, router).into_future() => served.unwrap(),
                    _ = stopped.changed() => {}
                }
            });
            runtime.shutdown_background();
        });
        Self {
            control,
            book,
            address,
            server,
            connections,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) async fn stop(self) {
        drop(self.connections);
        self.server.await.unwrap();
    }
}

fn order(agent: &str, state: State, id: &str) -> Order {
    Order {
        scope: Scope::Agent(agent.into()),
        state,
        actor: "rule:test".into(),
        reason: "because".into(),
        rule: Some("test".into()),
        mode: Mode::Enforce,
        cause: None,
        evidence: None,
        action_id: Some(id.into()),
    }
}

fn who(name: &str) -> Subject<'_> {
    Subject {
        workspace: "default",
        agent: name,
        ..Subject::default()
    }
}

async fn post(url: &str, body: &str) -> (u16, Value) {
    let response = reqwest::Client::new()
        .post(url)
        .body(body.to_owned())
        .send()
        .await
        .unwrap();
    let status = response.status().as_u16();
    (
        status,
        serde_json::from_str(&response.text().await.unwrap()).unwrap_or(Value::Null),
    )
}

async fn get(url: &str) -> (u16, Value) {
    let response = reqwest::get(url).await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test]
async fn rest_freezes_shows_and_releases() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(&folder.path().join("c.sqlite"), "127.0.0.1:0").await;
    let base = format!("{}/api/v1/control", plane.url());
    let id_of_file = plane.control.view().plane.clone();
    assert_eq!(
        get(&base).await,
        (200, json!({"epoch": 0, "plane": id_of_file, "entries": []}))
    );

    let (status, decision) = post(
        &format!("{base}/orders"),
        r#"{"action":"freeze","agent":"remediate","reason":"it runs away"}"#,
    )
    .await;
    assert_eq!(
        (status, &decision["state"], &decision["previous"]),
        (200, &json!({"state":"frozen"}), &json!({"state":"running"}))
    );
    let (_, view) = get(&base).await;
    assert_eq!(
        view["entries"][0]["scope"],
        json!({"scope":"agent","target":"remediate"})
    );

    let id = decision["action_id"].as_str().unwrap();
    let word = json!({"action_id": id, "by": "here", "obeyed_at_unix_nano": 7}).to_string();
    assert_eq!(post(&format!("{base}/obeyed"), &word).await.0, 204);
    let unknown = json!({"action_id": "x", "by": "here", "obeyed_at_unix_nano": 7}).to_string();
    let (status, body) = post(&format!("{base}/obeyed"), &unknown).await;
    assert_eq!(
        (status, &body["error"]["field"]),
        (404, &json!("action_id"))
    );

    let (status, body) = post(
        &format!("{base}/orders"),
        r#"{"action":"freeze","agent":" ","reason":"r"}"#,
    )
    .await;
    assert_eq!((status, &body["error"]["field"]), (400, &json!("agent")));
    assert!(
        body["error"]["message"]
            .as_str()
            .unwrap()
            .contains("the name of the agent"),
        "{body}"
    );
    assert_eq!(get(&format!("{base}/watch?epoch=minus")).await.0, 400);

    let (status, released) = post(
        &format!("{base}/orders"),
        r#"{"action":"release","agent":"remediate","reason":"mended"}"#,
    )
    .await;
    assert_eq!(
        (status, &released["action_id"], &released["epoch"]),
        (200, &json!(id), &json!(2))
    );
    assert_eq!(
        get(&base).await.1,
        json!({"epoch": 2, "plane": id_of_file, "entries": []})
    );
    assert!(!plane.book.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_watch_answers_when_the_epoch_differs_or_changes() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(&folder.path().join("c.sqlite"), "127.0.0.1:0").await;
    let watch = format!("{}/api/v1/control/watch", plane.url());
    let began = Instant::now();
    assert_eq!(get(&format!("{watch}?epoch=9")).await.1["epoch"], 0);
    assert_eq!(get(&watch).await.1["epoch"], 0);
    assert_eq!(
        get(&format!("{watch}?epoch=0&wait_ms=50")).await.1["epoch"],
        0
    );
    assert!(began.elapsed() >= Duration::from_millis(50));
    let began = Instant::now();
    get(&format!("{watch}?epoch=0&plane=other&wait_ms=9000")).await;
    assert!(began.elapsed() < Duration::from_secs(5));
    let url = format!("{watch}?epoch=0&plane={}", plane.control.view().plane);
    let waiting = tokio::spawn(async move { (get(&url).await, Instant::now()) });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let ordered = Instant::now();
    plane
        .control
        .order(order("a", State::Frozen, "1"))
        .await
        .unwrap();
    let ((_, view), answered) = waiting.await.unwrap();
    assert_eq!(view["epoch"], 1);
    assert!(answered >= ordered);
}

#[tokio::test]
async fn a_remote_sees_a_freeze_within_milliseconds() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(&folder.path().join("c.sqlite"), "127.0.0.1:0").await;
    let remote = Remote::connect(&plane.url()).await.unwrap();
    let mut took = Vec::new();
    for n in 0..50 {
        let mut watch = remote.watch();
        let state = if n % 2 == 0 {
            State::Frozen
        } else {
            State::Running
        };
        let began = Instant::now();
        let epoch = plane
            .control
            .order(order("a", state, &format!("{n}")))
            .await
            .unwrap()
            .epoch;
        watch.wait_for(|view| view.epoch >= epoch).await.unwrap();
        took.push(began.elapsed());
    }
    took.sort();
    println!(
        "order to remote view: p50 {:?}, p98 {:?}",
        took[25], took[48]
    );
    assert!(took[25] < Duration::from_millis(100), "{took:?}");
    let word = Obeyed {
        action_id: "0".into(),
        by: "remote".into(),
        obeyed_at_unix_nano: 3,
    };
    Governor::obeyed(remote.as_ref(), word).await.unwrap();
    let unknown = Obeyed {
        action_id: "x".into(),
        by: "remote".into(),
        obeyed_at_unix_nano: 3,
    };
    let error = Governor::obeyed(remote.as_ref(), unknown)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("404"), "{error}");
    // so it is not told again and again, with everything else waiting behind it
    assert!(error.is_callers());
}

#[tokio::test]
async fn a_lost_control_plane_leaves_the_last_state_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.sqlite");
    let plane = Plane::start(&file, "127.0.0.1:0").await;
    let config = RemoteConfig {
        stale_after: Duration::from_millis(300),
        ..RemoteConfig::default()
    };
    let remote = Remote::connect_with(&plane.url(), config).await.unwrap();
    plane
        .control
        .order(order("a", State::Frozen, "1"))
        .await
        .unwrap();
    remote
        .watch()
        .wait_for(|view| view.epoch == 1)
        .await
        .unwrap();
    assert!(!remote.is_stale());
    let address = plane.address.to_string();
    plane.stop().await;
    eventually(|| remote.is_stale()).await;
    assert_eq!(
        remote.view().verdict(&who("a")).unwrap().state,
        State::Frozen
    );

    // one that has lost its memory is obeyed, and does not loosen what held before
    let empty = Plane::start(&folder.path().join("empty.sqlite"), &address).await;
    eventually(|| !remote.is_stale()).await;
    let frozen = |agent: &str| {
        let view = remote.view();
        let entry = view.verdict(&who(agent)).map(|entry| entry.state.clone());
        entry == Some(State::Frozen)
    };
    assert!(frozen("a") && !frozen("b"));
    let everybody = |state, id| Order {
        scope: Scope::Global,
        ..order("", state, id)
    };
    let ordered = |state, id| empty.control.order(everybody(state, id));
    ordered(State::Frozen, "e1").await.unwrap();
    eventually(|| frozen("b")).await;
    ordered(State::Running, "e2").await.unwrap();
    eventually(|| !frozen("b")).await;
    assert!(frozen("a"));
    empty.stop().await;
    eventually(|| remote.is_stale()).await;

    let plane = Plane::start(&file, &address).await;
    eventually(|| !remote.is_stale()).await;
    plane
        .control
        .order(order("a", State::Running, "2"))
        .await
        .unwrap();
    remote
        .watch()
        .wait_for(|view| view.entries.is_empty())
        .await
        .unwrap();
}

#[tokio::test]
async fn without_a_first_view_nobody_starts() {
    let error = Remote::connect("http://127.0.0.1:1").await.unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("control plane http://127.0.0.1:1:"),
        "{error}"
    );
    assert!(
        Remote::connect("here")
            .await
            .unwrap_err()
            .to_string()
            .contains("control_url")
    );
}

async fn eventually(what: impl Fn() -> bool) {
    for _ in 0..1000 {
        if what() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not happen within 10 s");
}
