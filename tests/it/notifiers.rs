//! Who is told of alerts, through the real binary: Debian's Alertmanager, a webhook, silences.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::routing::post;
use axum::{Json, Router};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value};
use serde_json::{Value, json};

use crate::harness::{Server, flyball, run};
use crate::keys::key;
use crate::serve::one_call_in;

/// Any call fires it, and ten seconds without one end it.
const RULES: &str = "\
rules:
  - name: spend
    description: An agent spends anything at all.
    key: agent
    when:
      spend_rate: { at_least: 0.0001, window: 10s }
    cool_down: 1s
    action: notify
";

/// What a receiver was sent.
type Got = Arc<Mutex<Vec<Value>>>;

/// A receiver that takes everything, and its address.
async fn receiver() -> (Got, String) {
    let got = Got::default();
    let keep = Arc::clone(&got);
    let take = async move |Json(body): Json<Value>| keep.lock().unwrap().push(body);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let routes = Router::new().route("/", post(take));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (got, url)
}

fn written(folder: &Path, name: &str, text: &str) -> PathBuf {
    std::fs::create_dir_all(folder).unwrap();
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// One model call of an agent, now.
async fn call(server: &Server, agent: &str) {
    let mut request = one_call_in(uuid::Uuid::new_v4().as_bytes());
    for span in &mut request.resource_spans[0].scope_spans[0].spans {
        for attribute in &mut span.attributes {
            if attribute.key == "gen_ai.agent.name" {
                let name = any_value::Value::StringValue(agent.to_owned());
                attribute.value = Some(AnyValue { value: Some(name) });
            }
        }
    }
    let address = format!("http://{}", server.address("otlp_grpc"));
    let mut grpc = TraceServiceClient::connect(address).await.unwrap();
    grpc.export(request).await.unwrap();
}

async fn until(what: &str, seconds: u64, mut done: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    while !done().await {
        assert!(Instant::now() < deadline, "not within {seconds} s: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Ended when dropped, as by `kill -9`.
struct Alertmanager {
    child: Child,
    port: u16,
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Alertmanager {
    const PROGRAM: &str = "prometheus-alertmanager";

    fn start(folder: &Path, config: &Path, port: u16) -> Self {
        let child = Command::new(Self::PROGRAM)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", folder.join("am").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--cluster.listen-address=")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, port }
    }

    async fn get(&self, path: &str) -> Option<String> {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let answer = reqwest::get(url).await.ok()?;
        answer.text().await.ok()
    }

    /// The agents whose alerts it shows.
    async fn shows(&self) -> Vec<Value> {
        let text = self.get("/api/v2/alerts").await.unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    async fn agents(&self) -> Vec<String> {
        let alerts = self.shows().await;
        let agents = alerts.iter().map(|alert| alert["labels"]["agent"].as_str());
        let mut agents: Vec<String> = agents.flatten().map(str::to_owned).collect();
        agents.sort();
        agents
    }

    /// Alerts that it was sent since its start, by status.
    async fn received(&self, status: &str) -> u64 {
        let series = format!("alertmanager_alerts_received_total{{status=\"{status}\"");
        let text = self.get("/metrics").await.unwrap_or_default();
        let lines = text.lines().filter(|line| line.starts_with(&series));
        let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum::<f64>() as u64
    }
}

/// How often Alertmanager has told its own receiver this of an agent.
fn told(got: &Got, status: &str, agent: &str) -> usize {
    let got = got.lock().unwrap();
    let alerts = got
        .iter()
        .flat_map(|body| body["alerts"].as_array().unwrap());
    let of = alerts.filter(|a| a["status"] == status && a["labels"]["agent"] == agent);
    of.count()
}

/// `FLYBALL_TEST_OUTAGE_S` sets how long Alertmanager is away (60 unless set).
#[tokio::test(flavor = "multi_thread")]
async fn alertmanager_shows_an_alert_and_its_end_and_misses_nothing_while_it_was_dead() {
    if Command::new(Alertmanager::PROGRAM)
        .arg("--version")
        .output()
        .is_err()
    {
        eprintln!("no {} here: skipped", Alertmanager::PROGRAM);
        return;
    }
    let outage = std::env::var("FLYBALL_TEST_OUTAGE_S").ok();
    let outage = outage.and_then(|s| s.parse().ok()).unwrap_or(60);
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let (got, url) = receiver().await;
    let config = format!(
        "route:\n  receiver: test\n  group_by: [agent]\n  group_wait: 0s\n  group_interval: 1s\n  repeat_interval: 1h\n\
         receivers:\n  - name: test\n    webhook_configs:\n      - url: '{url}'\n"
    );
    let config = written(folder, "alertmanager.yml", &config);
    // Somebody else may take the port before Alertmanager does; then the test fails, and says so.
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let alertmanager = Alertmanager::start(folder, &config, port);
    let notifiers = format!(
        "notifiers:\n  - {{ name: am, kind: alertmanager, url: 'http://127.0.0.1:{port}', repeat_interval: 2s }}\n"
    );
    let mut command = flyball(&folder.join("data"));
    command
        .env("FLYBALL_ALERTS_RULES", written(folder, "rules.yaml", RULES))
        .env(
            "FLYBALL_ALERTS_NOTIFIERS",
            written(folder, "notifiers.yaml", &notifiers),
        );
    let server = Server::start_as(command, &folder.join("data"), &[]);

    // It shows the alert ...
    call(&server, "first").await;
    until("the alert is shown", 30, async || {
        alertmanager.agents().await == ["first"]
    })
    .await;
    let alert = alertmanager.shows().await.remove(0);
    let labels = &alert["labels"];
    assert_eq!(
        (
            &labels["alertname"],
            &labels["workspace"],
            &labels["severity"]
        ),
        (&json!("spend"), &json!("default"), &json!("warning"))
    );
    assert_eq!(labels["alert_id"].as_str().unwrap().len(), 32);
    let annotations = &alert["annotations"];
    assert_eq!(
        annotations["description"],
        "An agent spends anything at all."
    );
    assert!(
        annotations["summary"]
            .as_str()
            .unwrap()
            .starts_with("agent first spent 0.00021 USD")
    );
    until("it is told on", 10, async || {
        told(&got, "firing", "first") > 0
    })
    .await;
    // ... and its end.
    until("its end is told on", 40, async || {
        told(&got, "resolved", "first") > 0
    })
    .await;
    assert!(alertmanager.agents().await.is_empty());

    // One alert stands when it is killed and ends while it is dead; one begins then and goes on.
    call(&server, "during").await;
    until("the next is shown", 30, async || {
        alertmanager.agents().await == ["during"]
    })
    .await;
    drop(alertmanager);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(outage) {
        call(&server, "late").await;
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    let waiting = server_waiting(&server).await;
    assert!(waiting >= 2, "what it has to be told waits: {waiting}");
    let alertmanager = Alertmanager::start(folder, &config, port);
    let mut last = Instant::now();
    until("it shows what stands", 60, async || {
        if last.elapsed() > Duration::from_secs(3) {
            last = Instant::now();
            call(&server, "late").await;
        }
        alertmanager.agents().await == ["late"]
    })
    .await;
    until("it was told the end of what it forgot", 30, async || {
        alertmanager.received("resolved").await > 0
    })
    .await;
    until("it tells it on", 10, async || {
        told(&got, "firing", "late") > 0
    })
    .await;
    until("and its end", 60, async || {
        told(&got, "resolved", "late") > 0
    })
    .await;
    until("it shows nothing", 10, async || {
        alertmanager.agents().await.is_empty()
    })
    .await;
    let text = metrics(&server).await;
    for (name, value) in [
        ("failed_total", 0),
        ("dropped_total", 0),
        ("cancelled_total", 0),
    ] {
        let line = format!("flyball_notifier_{name}{{notifier=\"am\"}} {value}\n");
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
    server.stop();
}

async fn metrics(server: &Server) -> String {
    let url = format!("http://{}/metrics", server.address("http"));
    reqwest::get(url).await.unwrap().text().await.unwrap()
}

async fn server_waiting(server: &Server) -> u64 {
    let text = metrics(server).await;
    let series = "flyball_notifier_waiting{notifier=\"am\"} ";
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    line.unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silence_is_on_the_ledger_and_mutes_only_the_telling() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (got, url) = receiver().await;
    let mut command = flyball(&data);
    command
        .env(
            "FLYBALL_ALERTS_RULES",
            written(dir.path(), "rules.yaml", RULES),
        )
        .env("FLYBALL_ALERTS_WEBHOOK_URL", &url);
    let server = Server::start_as(command, &data, &[]);
    let alerts = |args: &[&str]| {
        let output = run(flyball(&data).arg("alerts").args(args));
        String::from_utf8(output.stdout).unwrap()
    };
    let why = "a load test";
    let said = alerts(&["silence", "key=~agent=quiet.*", "--for", "1h", "--why", why]);
    let id = said.split(' ').nth(1).unwrap().to_owned();
    let listed = alerts(&["silences"]);
    assert!(
        listed.contains(&id) && listed.contains("active") && listed.contains(why),
        "{listed}"
    );
    for agent in ["quiet-1", "loud"] {
        call(&server, agent).await;
    }
    until("the other is told", 30, async || {
        !got.lock().unwrap().is_empty()
    })
    .await;
    let keys = || -> Vec<Value> {
        let got = got.lock().unwrap();
        got.iter().map(|body| body["key"].clone()).collect()
    };
    assert_eq!(keys(), ["agent=loud"]);
    // It is an alert all the same.
    let fired = "SELECT key FROM alerts WHERE state = 'firing' AND key = 'agent=quiet-1'";
    until("it is recorded", 10, async || {
        !server.query(fired).is_empty()
    })
    .await;
    let shown = alerts(&["notifiers"]);
    assert!(shown.contains("webhook"), "{shown}");
    // Ended while the alert stands: now people hear of it.
    alerts(&["unsilence", &id]);
    until("it is told after all", 10, async || {
        keys().contains(&json!("agent=quiet-1"))
    })
    .await;
    let records =
        server.query("SELECT event, subject FROM audit WHERE event LIKE 'alerts.%' ORDER BY seq");
    let subject = format!("silence:{id}");
    assert_eq!(
        records,
        [
            json!({ "event": "alerts.silenced", "subject": subject }),
            json!({ "event": "alerts.unsilenced", "subject": subject }),
        ]
    );
    // What would mute everything is refused, in words.
    let refused = flyball(&data)
        .args(["alerts", "silence", "rule=~.*", "--for", "1h", "--why", why])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && said.contains("silence: matchers is"),
        "{said}"
    );

    // Who may only read silences nothing.
    let (_, reader) = key(&data, "reader", "read", &[]);
    let (_, operator) = key(&data, "operator", "operate", &[]);
    let order = json!({
        "silence": {
            "matchers": ["rule=spend"], "until": chrono::Utc::now() + chrono::TimeDelta::hours(1), "why": why
        },
    });
    let at = format!("http://{}/api/v1/alerts/silences", server.address("http"));
    let http = reqwest::Client::new();
    for (secret, status) in [(&reader, 403), (&operator, 200)] {
        let answer = http.post(&at).bearer_auth(secret).json(&order).send().await;
        assert_eq!(answer.unwrap().status(), status);
        assert_eq!(
            http.get(&at)
                .bearer_auth(secret)
                .send()
                .await
                .unwrap()
                .status(),
            200
        );
    }
    server.stop();
}

#[test]
fn a_notifier_that_makes_no_sense_ends_the_start_and_names_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let text =
        "notifiers:\n  - name: pager\n    kind: pagerduty\n    secret_env: NO_SUCH_VARIABLE\n";
    let output = flyball(dir.path())
        .env(
            "FLYBALL_ALERTS_NOTIFIERS",
            written(dir.path(), "notifiers.yaml", text),
        )
        .args([
            "serve",
            "--postgres",
            "127.0.0.1:0",
            "--http",
            "127.0.0.1:0",
        ])
        .args([
            "--otlp-grpc",
            "127.0.0.1:0",
            "--otlp-http",
            "127.0.0.1:0",
            "--flight-sql",
            "127.0.0.1:0",
        ])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        said.contains("notifiers.yaml:4: notifier pager: secret_env is \"NO_SUCH_VARIABLE\""),
        "{said}"
    );
}
