//! The queries that we ask, against the real query engine.

use std::collections::HashMap;
use std::sync::Arc;

use flyball_alerts::memory::NoMemory;
use flyball_alerts::ports::{Ask, Clock};
use flyball_alerts::rule::{self, When};
use flyball_alerts::state::State;
use flyball_alerts::{Alerts, Parts, Settings};
use flyball_query::{Config, Engine};
use flyball_runtime::control::Control;
use flyball_store::rows::{ChargeRow, Micros, Row};
use flyball_store::{Minutes, Snapshot, Table, TableSnapshot};
use tokio::sync::mpsc;

use crate::engine::{Kept, NoLedger, charge, event, now, until};

pub(crate) async fn over(charges: &[ChargeRow]) -> Arc<Engine> {
    let tables = Table::ALL.map(|table| {
        let buffered = match table {
            Table::Charges => vec![ChargeRow::batch(charges).unwrap()],
            _ => Vec::new(),
        };
        (
            table,
            TableSnapshot {
                table,
                delta: None,
                buffered,
                bounds: Vec::new(),
                spilled: Vec::new(),
                superseded: std::sync::Arc::default(),
            },
        )
    });
    let snapshot = Snapshot {
        workspace: "default".into(),
        tables: HashMap::from(tables),
        unrolled: Minutes::all(),
    };
    Engine::new(Arc::new(snapshot), Config::default())
        .await
        .unwrap()
}

async fn start(
    rules: &str,
    charges: &[ChargeRow],
    folder: &std::path::Path,
) -> (mpsc::UnboundedSender<flyball_store::Event>, Arc<Alerts>) {
    let path = folder.join("control.sqlite");
    let control = Control::open(&path, Arc::new(NoLedger)).await.unwrap();
    let (events, received) = mpsc::unbounded_channel();
    let parts = Parts {
        events: received,
        orders: control,
        records: Arc::new(Kept::default()),
        ask: over(charges).await,
        notifiers: Vec::new(),
        memory: Arc::new(NoMemory),
        clock: Clock::default(),
        settings: Settings::default(),
    };
    let alerts = Alerts::start(rule::parse("it.yaml", rules).unwrap(), parts).unwrap();
    until("windows are full", || alerts.status().warm).await;
    (events, alerts)
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_are_filled_again_from_the_tables() {
    let folder = tempfile::tempdir().unwrap();
    let long_ago = ChargeRow {
        received_at: Micros::of_nanos(now() - 3_600_000_000_000),
        ..charge("a", 1, 400)
    };
    let before = [long_ago, charge("a", 2, 300), charge("b", 1, 5)];
    let rules = include_str!("../../rules/default.yaml");
    let (events, alerts) = start(rules, &before, folder.path()).await;
    let spend = |alerts: &Alerts| {
        alerts
            .status()
            .rules
            .iter()
            .find(|r| r.name == "spend-rate-high")
            .unwrap()
            .clone()
    };
    assert_eq!(
        spend(&alerts).watched,
        2,
        "what is older than every window is not read"
    );
    events.send(event(vec![charge("a", 3, 200)])).unwrap();
    until("both count", || {
        let a = spend(&alerts)
            .keys
            .into_iter()
            .find(|key| key.key == "a")
            .unwrap();
        a.value.as_deref() == Some("5") && a.state == State::Firing && a.action_id.is_some()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_takes_to_other_tools_drifts_and_one_that_does_not_is_well() {
    const DAY: i64 = 86_400_000_000_000;
    // Three in four calls are of the first tool; of "moved", none since yesterday.
    let call = |agent: &str, id: usize, days: i64, tool: &str| {
        let start = now() - days * DAY - 3_600_000_000_000 - id as i64 * 1_000_000;
        ChargeRow {
            kind: "tool_call".into(),
            cost_usd: None,
            tool_name: Some(tool.into()),
            start_time: Micros::of_nanos(start),
            start_unix_nano: start,
            ..charge(agent, id, 0)
        }
    };
    let tool = |id: usize, one_in: usize| ["read", "write"][usize::from(id.is_multiple_of(one_in))];
    let mut charges = Vec::new();
    for id in 0..400 {
        let days = if id < 200 { 0 } else { 3 };
        let moved = if days == 0 { tool(id, 1) } else { tool(id, 4) };
        charges.push(call("moved", id, days, moved));
        charges.push(call("same", id, days, tool(id, 4)));
        charges.push(call("few", id, days.max(i64::from(id >= 50)), moved));
    }
    let engine = over(&charges).await;
    let text = include_str!("../../rules/behaviour-drift.yaml");
    let rule = rule::parse("behaviour-drift.yaml", text).unwrap().remove(0);
    let When::Sql { query, .. } = &rule.when else {
        panic!("it asks a query");
    };
    let batches = engine.ask("default", query).await.unwrap();
    let shown = arrow::util::pretty::pretty_format_batches(&batches).unwrap();
    let shown = shown.to_string();
    // Jensen-Shannon of (3/4, 1/4) and (0, 1), base 2: sqrt(H(3/8, 5/8) - H(3/4, 1/4) / 2).
    assert!(shown.contains("| moved      | 0.740"), "{shown}");
    assert!(shown.contains("| same       | 0.0"), "{shown}");
    assert!(!shown.contains("few"), "50 are too few: {shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_queries_answer_with_the_columns_that_their_rules_name() {
    let ended = |agent: &str, id: usize, termination: &str| ChargeRow {
        kind: "execution".into(),
        cost_usd: None,
        termination: Some(termination.into()),
        end_time: Some(Micros::of_nanos(now())),
        ..charge(agent, id, 0)
    };
    let mut charges: Vec<_> = (0..10)
        .map(|i| ended("poor", i, if i < 7 { "success" } else { "failure" }))
        .collect();
    charges.extend((0..10).map(|i| ended("good", i, "success")));
    charges.extend((0..9).map(|i| ended("few", i, "failure")));
    // One failure of the good one was a mistake, and taken back.
    let mistake = ended("good", 10, "failure");
    let back = ChargeRow {
        entry: "reversal".into(),
        calls: -1,
        ..mistake.clone()
    };
    charges.extend([mistake, back]);
    let unpriced = |model: &str, id| ChargeRow {
        request_model: Some(model.into()),
        usage: Some("exact".into()),
        cost_usd: None,
        ..charge("good", id, 0)
    };
    let later_priced = unpriced("renamed", 101);
    let taken_back = ChargeRow {
        entry: "reversal".into(),
        calls: -1,
        ..later_priced.clone()
    };
    let priced = ChargeRow {
        cost_usd: Some(rust_decimal::Decimal::ONE),
        ..later_priced.clone()
    };
    charges.extend([
        unpriced("unheard-of", 100),
        later_priced,
        taken_back,
        priced,
    ]);
    let engine = over(&charges).await;

    for rule in rule::default_rules().unwrap() {
        let When::Sql { query, .. } = &rule.when else {
            continue;
        };
        let batches = engine.ask("default", query).await.unwrap();
        let text = arrow::util::pretty::pretty_format_batches(&batches)
            .unwrap()
            .to_string();
        if rule.name == "unpriced-models" {
            // Of three models one has no price; a call that was repriced since was taken back without one.
            assert!(text.contains("| 1.0    |"), "{text}");
            continue;
        }
        assert_eq!(rule.name, "task-success-low");
        assert!(text.contains("| poor       | 0.7          |"), "{text}");
        assert!(text.contains("| good       | 1.0          |"), "{text}");
        assert!(!text.contains("few"), "{text}");
    }

    // And through the engine: the first asking comes within a second here.
    let folder = tempfile::tempdir().unwrap();
    let rules = include_str!("../../rules/default.yaml").replace("every: 30s", "every: 1s");
    let (_events, alerts) = start(&rules, &charges, folder.path()).await;
    let success = || {
        alerts
            .status()
            .rules
            .into_iter()
            .find(|r| r.name == "task-success-low")
            .unwrap()
    };
    until("it fires", || {
        success()
            .keys
            .first()
            .is_some_and(|key| key.state == State::Firing)
    })
    .await;
    let rule = success();
    assert_eq!(
        (rule.health, rule.trouble.clone(), rule.watched),
        (State::Ok, None, 2)
    );
    assert_eq!(
        (rule.keys[0].key.as_str(), rule.keys[0].value.as_deref()),
        ("poor", Some("0.7"))
    );
    assert_eq!(
        (rule.keys[1].key.as_str(), rule.keys[1].state),
        ("good", State::Ok)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn budgets_and_objectives_are_told_by_the_tables_what_came_before() {
    let then = now() - 1_800_000_000_000;
    let old = |id: usize, cents: i64| ChargeRow {
        start_unix_nano: then - 1_000_000,
        end_time: Some(Micros::of_nanos(then)),
        received_at: Micros::of_nanos(then),
        ..charge("a", id, cents)
    };
    let failed = ChargeRow {
        error_type: Some("timeout".into()),
        ..old(1, 150)
    };
    let mistake = old(2, 700);
    let back = ChargeRow {
        entry: "reversal".into(),
        calls: -1,
        cost_usd: Some(rust_decimal::Decimal::from(-7)),
        ..mistake.clone()
    };
    // Received two minutes after it had ended: history, which no window counts.
    let late = ChargeRow {
        start_unix_nano: then - 120_000_000_000,
        end_time: Some(Micros::of_nanos(then - 119_000_000_000)),
        error_type: Some("timeout".into()),
        ..old(3, 900)
    };
    let other = ChargeRow {
        execution_id: "other".into(),
        ..old(4, 33)
    };
    let mut charges = vec![failed, mistake, back, late, other, old(5, 200)];
    charges.extend((10..14).map(|id| ChargeRow {
        error_type: Some("timeout".into()),
        ..old(id, 0)
    }));
    charges.extend((20..32).map(|id| old(id, 0)));
    let rules = "\
rules:
  - name: life
    key: execution
    when:
      budget: { limit: 3.60, per: execution }
  - name: slo
    key: agent
    when:
      slo_burn:
        objective: 0.95
        of: model_errors
        min_calls: 4
        windows: [{ short: 1h, long: 6h, factor: 5 }]
";
    let folder = tempfile::tempdir().unwrap();
    let (events, alerts) = start(rules, &charges, folder.path()).await;
    let key = |rule: usize, name: &str| {
        let status = alerts.status().rules.remove(rule);
        assert_eq!(status.trouble, None);
        let key = status.keys.into_iter().find(|key| key.key == name);
        key.and_then(|key| Some((key.value?, key.state)))
    };
    until("asked", || {
        alerts.status().rules.iter().all(|rule| rule.watched > 0)
    })
    .await;
    events.send(event(vec![charge("a", 6, 10)])).unwrap();
    until("judged", || {
        key(0, "run").is_some() && key(1, "a").is_some()
    })
    .await;
    // 1.50 + 2.00 + 0.10, and 5 calls of 20 failed: five times as fast as 0.05 allow.
    assert_eq!(key(0, "run"), Some(("3.6".to_owned(), State::Firing)));
    assert_eq!(key(1, "a"), Some(("1".to_owned(), State::Firing)));
    assert_eq!(alerts.status().rules[0].watched, 2);
}
