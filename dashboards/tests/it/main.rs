//! The console through a real port, and every query of console and dashboards through the real engine.
#![allow(clippy::unwrap_used)]

mod engine;
mod fake;
mod governed;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use fake::{Fake, NOW};
use flyball_dashboards::console::{ConsoleState, Hosts, router, same_origin};
use flyball_runtime::control::{InForce, Scope, State, View};
use governed::Governed;
use serde_json::Value;

struct Console {
    at: SocketAddr,
    data: Arc<Fake>,
    clock: Arc<AtomicI64>,
    http: reqwest::Client,
}

async fn console(data: Fake) -> Console {
    let data = Arc::new(data);
    let clock = Arc::new(AtomicI64::new(NOW));
    let ticks = Arc::clone(&clock);
    let hosts = Hosts::with(["governor.example.com".to_owned()]);
    let now = Arc::new(move || ticks.load(Ordering::SeqCst));
    let orders = axum::Router::new()
        .route("/api/v1/control/orders", post(|| async { "carried out" }))
        .route("/api/v1/control", get(|| async { "told" }))
        .layer(from_fn_with_state(hosts.clone(), same_origin));
    let state = ConsoleState::new(Arc::<Fake>::clone(&data), "default", hosts, now);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        axum::serve(listener, router(state).merge(orders))
            .await
            .unwrap();
    });
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    Console {
        at,
        data,
        clock,
        http,
    }
}

impl Console {
    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.at)
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        self.http.get(self.url(path)).send().await.unwrap()
    }

    async fn fleet(&self) -> Value {
        let answer = self.get("/api/v1/fleet").await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["cache-control"], "no-store");
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }
}

fn agent<'a>(fleet: &'a Value, name: &str) -> &'a Value {
    let agents = fleet["agents"].as_array().unwrap();
    agents.iter().find(|agent| agent["agent"] == name).unwrap()
}

#[tokio::test]
async fn the_page_and_its_assets_come_with_a_strict_policy() {
    let console = console(Fake::busy()).await;
    let page = console.get("/").await;
    let policy = page.headers()["content-security-policy"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(
        policy.contains("default-src 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    let text = page.text().await.unwrap();
    let assets = text.split('"').filter(|part| part.starts_with("/console/"));
    let mut kinds = Vec::new();
    for asset in assets.chain(["/console/words.js", "/console/orders.js"]) {
        let answer = console.get(asset).await;
        assert_eq!(answer.status(), 200, "{asset}");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        kinds.push(
            answer.headers()["content-type"]
                .to_str()
                .unwrap()
                .to_owned(),
        );
    }
    for kind in [
        "image/svg+xml",
        "text/css; charset=utf-8",
        "text/javascript; charset=utf-8",
    ] {
        assert!(
            kinds.iter().any(|found| found == kind),
            "{kind} in {kinds:?}"
        );
    }
    assert_eq!(console.get("/console/../Cargo.toml").await.status(), 404);
}

#[tokio::test]
async fn the_fleet_shows_states_and_exact_costs() {
    let console = console(Fake::busy()).await;
    let fleet = console.fleet().await;
    assert_eq!(fleet["errors"], serde_json::json!([]));
    assert_eq!(
        (&fleet["now"], &fleet["window"]),
        (&"2026-11-22T10:00:00.000000Z".into(), &"24h".into())
    );
    let diagnose = agent(&fleet, "diagnose");
    assert_eq!(diagnose["state"], "frozen");
    assert_eq!(diagnose["held_by"]["actor"], "rule:runaway-spend");
    assert_eq!(diagnose["held_by"]["since"], "2026-11-22T09:59:19.000000Z");
    assert_eq!(diagnose["cost_usd"], "8.423117200034");
    // 8.423117200034 / 418 = 0.02015099808620...
    assert_eq!(diagnose["cost_per_decision_usd"], "0.020150998086");
    assert_eq!(diagnose["last_alert"]["rule"], "runaway-spend");
    assert_eq!(diagnose["spend_usd"].as_array().unwrap().len(), 30);
    let support = agent(&fleet, "support");
    assert_eq!(
        (&support["state"], &support["own_state"]),
        (&"throttled".into(), &"throttled".into())
    );
    assert_eq!(support["held_by"]["parameters"]["calls_per_minute"], 6);
    assert_eq!(agent(&fleet, "monitor")["state"], "running");
    // 8.423117200034 + 4.1180005 + 0.9623 + 0.288000000001 + 0.10145 + 0.000007
    assert_eq!(fleet["totals"]["cost_usd"], "13.892874700035");
    assert_eq!(fleet["totals"]["agents"], 6);
    assert_eq!(
        (&fleet["totals"]["frozen"], &fleet["totals"]["throttled"]),
        (&1.into(), &1.into())
    );
    assert_eq!(fleet["totals"]["firing"], 2);
    let names: Vec<&Value> = fleet["agents"]
        .as_array()
        .unwrap()
        .iter()
        .map(|agent| &agent["agent"])
        .collect();
    assert_eq!(
        (names[0], names[6]),
        (&"diagnose".into(), &"<img src=x onerror=alert(1)>".into())
    );
}

#[tokio::test]
async fn actions_come_with_their_measured_times() {
    let console = console(Fake::busy()).await;
    let fleet = console.fleet().await;
    let action = &fleet["actions"][0];
    assert_eq!(action["received_after_us"], 41_000);
    assert_eq!(action["decided_after_us"], 49_000);
    assert_eq!(action["obeyed_after_us"], 143_000);
    // A person's order has no causing span.
    let action = &fleet["actions"][1];
    assert_eq!(action["obeyed_after_us"], Value::Null);
    assert_eq!(action["obeyed_after_decision_us"], 520_000);
}

#[tokio::test]
async fn a_frozen_agent_that_was_never_heard_of_is_listed() {
    let data = Fake::busy();
    let entry = InForce {
        action_id: "a-9".into(),
        scope: Scope::Agent("ghost".into()),
        state: State::Frozen,
        actor: "cli:ana".into(),
        reason: "not wanted".into(),
        decided_at_unix_nano: NOW,
    };
    *data.view.lock().unwrap() = Arc::new(View {
        epoch: 1,
        entries: vec![entry],
        ..View::default()
    });
    let console = console(data).await;
    let fleet = console.fleet().await;
    let ghost = agent(&fleet, "ghost");
    assert_eq!(
        (&ghost["state"], &ghost["last_seen"]),
        (&"frozen".into(), &Value::Null)
    );
    assert_eq!(ghost["cost_usd"], Value::Null);
}

#[tokio::test]
async fn a_global_freeze_shows_at_every_agent_at_once() {
    let console = console(Fake::busy()).await;
    assert_eq!(agent(&console.fleet().await, "monitor")["state"], "running");
    let entry = InForce {
        action_id: "a-10".into(),
        scope: Scope::Global,
        state: State::Frozen,
        actor: "console".into(),
        reason: "fire".into(),
        decided_at_unix_nano: NOW,
    };
    *console.data.view.lock().unwrap() = Arc::new(View {
        epoch: 8,
        entries: vec![entry],
        ..View::default()
    });
    // Figures may be a second old; what is in force may not.
    let fleet = console.fleet().await;
    let monitor = agent(&fleet, "monitor");
    assert_eq!(
        (&monitor["state"], &monitor["own_state"]),
        (&"frozen".into(), &"running".into())
    );
    assert_eq!(monitor["held_by"]["scope"], "global");
    assert_eq!(fleet["totals"]["frozen"], 6);
}

#[tokio::test]
async fn figures_that_cannot_be_read_do_not_hide_the_rest() {
    let data = Fake {
        broken: vec!["FROM charges"],
        ..Fake::busy()
    };
    let console = console(data).await;
    let fleet = console.fleet().await;
    assert_eq!(agent(&fleet, "diagnose")["state"], "frozen");
    assert_eq!(fleet["alerts"].as_array().unwrap().len(), 4);
    assert!(
        fleet["errors"][0]
            .as_str()
            .unwrap()
            .starts_with("charges cannot be read: "),
        "{}",
        fleet["errors"]
    );
}

#[tokio::test]
async fn many_pages_ask_once_a_second() {
    let console = console(Fake::busy()).await;
    for _ in 0..5 {
        console.fleet().await;
    }
    assert_eq!(console.data.asked.lock().unwrap().len(), 4);
    console.clock.fetch_add(1_000_000_000, Ordering::SeqCst);
    console.fleet().await;
    assert_eq!(console.data.asked.lock().unwrap().len(), 8);
    // A clock that was set back must not keep old figures for ever.
    console.clock.fetch_sub(3_600_000_000_000, Ordering::SeqCst);
    console.fleet().await;
    assert_eq!(console.data.asked.lock().unwrap().len(), 12);
}

#[tokio::test]
async fn states_are_shown_while_figures_are_waited_for() {
    let console = console(Fake::busy()).await;
    let stuck = console.data.busy.write().await;
    let started = std::time::Instant::now();
    // Several pages on several windows wait beside each other, and not in a row.
    let windows = ["1h", "24h", "24h", "7d", "all"];
    let pages = windows.map(|window| {
        let request = console
            .http
            .get(console.url(&format!("/api/v1/fleet?window={window}")));
        tokio::spawn(async move {
            let answer = request.send().await.unwrap();
            serde_json::from_slice::<Value>(&answer.bytes().await.unwrap()).unwrap()
        })
    });
    for page in pages {
        let fleet = page.await.unwrap();
        assert_eq!(agent(&fleet, "diagnose")["state"], "frozen");
        assert_eq!(fleet["totals"]["cost_usd"], Value::Null);
        let error = fleet["errors"][0].as_str().unwrap();
        assert!(error.contains("no answer within 2 s"), "{error}");
    }
    let waited = started.elapsed();
    assert!(waited < std::time::Duration::from_secs(8), "{waited:?}");
    // One question a window, which goes on: its answer is there for the next request.
    assert_eq!(console.data.asked.lock().unwrap().len(), 4 * 4);
    drop(stuck);
    let fleet = console.fleet().await;
    assert_eq!(fleet["errors"], serde_json::json!([]));
    assert_eq!(fleet["totals"]["cost_usd"], "13.892874700035");

    let _stuck = console.data.busy.write().await;
    console.clock.fetch_add(60_000_000_000, Ordering::SeqCst);
    *console.data.view.lock().unwrap() = Arc::default();
    let fleet = console.fleet().await;
    assert_eq!(agent(&fleet, "diagnose")["state"], "running");
    assert_eq!(fleet["totals"]["cost_usd"], "13.892874700035");
    let error = fleet["errors"][0].as_str().unwrap();
    assert!(
        error.contains("as they were at 2026-11-22T10:00:00Z"),
        "{error}"
    );
}

#[tokio::test]
async fn the_window_bounds_what_is_summed() {
    let console = console(Fake::busy()).await;
    let sum_of = |asked: Vec<String>| {
        asked
            .into_iter()
            .find(|sql| sql.contains("AS executions"))
            .unwrap()
    };
    for (window, bound) in [("1h", Some(NOW - 3_600_000_000_000)), ("all", None)] {
        console.data.asked.lock().unwrap().clear();
        let answer = console.get(&format!("/api/v1/fleet?window={window}")).await;
        assert_eq!(answer.status(), 200);
        let sql = sum_of(console.data.asked.lock().unwrap().clone());
        match bound {
            Some(bound) => assert!(
                sql.contains(&format!("start_unix_nano >= {bound}")),
                "{sql}"
            ),
            None => assert!(!sql.contains("WHERE start_unix_nano"), "{sql}"),
        }
    }
    let refused = console.get("/api/v1/fleet?window=1%27;DROP").await;
    assert_eq!(refused.status(), 400);
    let message = refused.text().await.unwrap();
    assert!(
        message.contains("window") && message.contains("1h, 24h, 7d, all"),
        "{message}"
    );
}

#[tokio::test]
async fn other_sites_can_neither_order_nor_read() {
    let console = console(Fake::busy()).await;
    let own = format!("http://{}", console.at);
    let order = |origin: Option<&str>, host: Option<&str>| {
        let mut request = console
            .http
            .post(console.url("/api/v1/control/orders"))
            .body("{}");
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        if let Some(host) = host {
            request = request.header("host", host);
        }
        request.send()
    };
    assert_eq!(order(None, None).await.unwrap().status(), 200);
    assert_eq!(order(Some(&own), None).await.unwrap().status(), 200);
    let named = order(
        Some("https://governor.example.com"),
        Some("governor.example.com"),
    )
    .await
    .unwrap();
    assert_eq!(named.status(), 200);
    for foreign in ["http://evil.example", "null", "http://127.0.0.1:1"] {
        let refused = order(Some(foreign), None).await.unwrap();
        assert_eq!(refused.status(), 403, "{foreign}");
        assert!(refused.text().await.unwrap().contains("Origin"));
    }
    // The name of another site that was made to resolve to this machine.
    let rebound = order(Some("http://evil.example"), Some("evil.example"))
        .await
        .unwrap();
    assert_eq!(rebound.status(), 403);
    for path in ["/api/v1/fleet", "/api/v1/control"] {
        assert_eq!(console.get(path).await.status(), 200, "{path}");
        let read = console
            .http
            .get(console.url(path))
            .header("host", "evil.example")
            .send()
            .await
            .unwrap();
        assert_eq!(read.status(), 403, "{path}");
    }
}

#[tokio::test]
async fn the_buttons_orders_are_carried_out_and_seen_at_once() {
    let governed = Arc::new(Governed::start().await);
    let state = ConsoleState::new(
        Arc::<Governed>::clone(&governed),
        "default",
        Hosts::default(),
        Arc::new(|| NOW),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let routes = router(state).merge(governed.orders());
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    // Word for word what orders.js sends.
    for (order, name, expected) in [
        (
            r#"{"action":"freeze","reason":"looks wrong","actor":"console","agent":"monitor"}"#,
            "monitor",
            "frozen",
        ),
        (
            r#"{"action":"release","reason":"is fine","actor":"console","agent":"monitor"}"#,
            "monitor",
            "running",
        ),
        (
            r#"{"action":"freeze","reason":"fire","actor":"console","global":true}"#,
            "supervise",
            "frozen",
        ),
        (
            r#"{"action":"release","reason":"drill","actor":"console","global":true}"#,
            "supervise",
            "running",
        ),
    ] {
        let answer = http
            .post(format!("http://{at}/api/v1/control/orders"))
            .header("content-type", "application/json")
            .header("x-flyball", "console")
            .header("origin", format!("http://{at}"))
            .header("sec-fetch-site", "same-origin")
            .body(order)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "{order}");
        let fleet = http
            .get(format!("http://{at}/api/v1/fleet"))
            .send()
            .await
            .unwrap();
        let fleet: Value = serde_json::from_slice(&fleet.bytes().await.unwrap()).unwrap();
        assert_eq!(agent(&fleet, name)["state"], expected, "{order}");
    }
}
