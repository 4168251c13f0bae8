//! Every query of the console and the dashboards, answered by the real engine over a small journal.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::util::display::array_value_to_string;
use flyball_dashboards::console::{ConsoleState, FleetData, Hosts, router};
use flyball_dashboards::grafana::{TimeRange, catalogue, queries};
use flyball_query::{Config, Engine};
use flyball_runtime::control::View;
use flyball_store::rows::{ActionRow, AlertRow, ChargeRow, Date, Micros, Row, SpanRow};
use flyball_store::{Minutes, Snapshot, Table, TableSnapshot};
use serde_json::Value;

use crate::fake::NOW;

fn micros(seconds_ago: i64) -> Micros {
    Micros(NOW / 1_000 - seconds_ago * 1_000_000)
}

fn entry(id: &str, kind: &str, agent: &str, seconds_ago: i64) -> ChargeRow {
    let start = micros(seconds_ago);
    ChargeRow {
        date: Date::of_micros(start.0),
        start_time: start,
        end_time: Some(Micros(start.0 + 2_000_000)),
        start_unix_nano: start.0 * 1_000,
        duration_ns: Some(2_000_000_000),
        received_at: start,
        known_at: start,
        charge_id: id.to_owned(),
        entry: "charge".to_owned(),
        kind: kind.to_owned(),
        execution_id: format!("run of {agent}"),
        task_id: format!("task of {agent}"),
        agent_name: Some(agent.to_owned()),
        calls: 1,
        ..ChargeRow::default()
    }
}

fn call(id: &str, agent: &str, seconds_ago: i64, cost: Option<&str>) -> ChargeRow {
    ChargeRow {
        operation: Some("chat".to_owned()),
        response_model: Some("large".to_owned()),
        decisions: 1,
        decision: Some(true),
        input_tokens: Some(100),
        cache_read_tokens: Some(40),
        output_tokens: Some(10),
        cost_usd: cost.map(|cost| cost.parse().unwrap()),
        ..entry(id, "model_call", agent, seconds_ago)
    }
}

fn run(agent: &str, seconds_ago: i64, termination: Option<&str>) -> ChargeRow {
    ChargeRow {
        termination: termination.map(str::to_owned),
        ..entry(&format!("run of {agent}"), "execution", agent, seconds_ago)
    }
}

/// Triage: two calls of 0.10 and 0.25 dollars, one of them first entered at 0.20 and taken back; its run
/// escalated. Writer: one call without a price; its run succeeded.
fn journal() -> Vec<ChargeRow> {
    let first = call("c2", "triage", 500, Some("0.2"));
    let taken_back = ChargeRow {
        entry: "reversal".to_owned(),
        calls: -1,
        decisions: -1,
        input_tokens: Some(-100),
        cache_read_tokens: Some(-40),
        output_tokens: Some(-10),
        cost_usd: first.cost_usd.map(|cost| -cost),
        ..first.clone()
    };
    vec![
        call("c1", "triage", 600, Some("0.10")),
        first,
        taken_back,
        call("c3", "triage", 500, Some("0.25")),
        call("c4", "writer", 300, None),
        run("triage", 700, Some("escalation")),
        run("writer", 350, Some("success")),
    ]
}

fn alerts() -> Vec<AlertRow> {
    let one = |state: &str, seconds_ago| AlertRow {
        date: Date::of_micros(micros(seconds_ago).0),
        at: micros(seconds_ago),
        alert_id: "alert-1".to_owned(),
        rule: "runaway-spend".to_owned(),
        key: "agent=triage".to_owned(),
        state: state.to_owned(),
        severity: "critical".to_owned(),
        mode: "enforce".to_owned(),
        value: Some(0.35),
        threshold: Some(0.3),
        summary: "0.35 USD in 60 s".to_owned(),
        ..AlertRow::default()
    };
    vec![one("pending", 499), one("firing", 498)]
}

fn actions() -> Vec<ActionRow> {
    let decided = ActionRow {
        date: Date::of_micros(micros(490).0),
        at: micros(490),
        action_id: "action-1".to_owned(),
        event: "decided".to_owned(),
        state: "frozen".to_owned(),
        scope: "agent".to_owned(),
        target: "triage".to_owned(),
        actor: "rule:runaway-spend".to_owned(),
        reason: "0.35 USD in 60 s".to_owned(),
        mode: "enforce".to_owned(),
        cause_ended_at: Some(Micros(micros(490).0 - 120_000)),
        cause_received_at: Some(Micros(micros(490).0 - 50_000)),
        decided_at: Some(micros(490)),
        ..ActionRow::default()
    };
    let obeyed = ActionRow {
        event: "obeyed".to_owned(),
        obeyed_at: Some(Micros(micros(490).0 + 30_000)),
        obeyed_by: Some("runtime-1".to_owned()),
        ..decided.clone()
    };
    vec![decided, obeyed]
}

/// What the journal has none of: a tool that failed after it had waited.
fn tool_call() -> ChargeRow {
    ChargeRow {
        operation: Some("execute_tool".to_owned()),
        tool_name: Some("look".to_owned()),
        error_type: Some("timeout".to_owned()),
        queue_wait_ms: Some(5),
        step: Some(1),
        ..entry("k1", "tool_call", "triage", 450)
    }
}

/// A person let the agent go on.
fn approval() -> SpanRow {
    let start = micros(460);
    SpanRow {
        date: Date::of_micros(start.0),
        start_time: start,
        end_time: Micros(start.0 + 1_000_000),
        received_at: start,
        trace_id: "t".to_owned(),
        span_id: "s".to_owned(),
        agent_name: Some("triage".to_owned()),
        intervention: Some("approve".to_owned()),
        ..SpanRow::default()
    }
}

async fn engine(filled: bool) -> Arc<Engine> {
    engine_over(filled.then(journal)).await
}

/// The engine over these charges, with the alerts and actions; or over nothing at all.
async fn engine_over(rows: Option<Vec<ChargeRow>>) -> Arc<Engine> {
    let batches = |table: Table| match table {
        _ if rows.is_none() => Vec::new(),
        Table::Charges => vec![ChargeRow::batch(&rows.clone().unwrap()).unwrap()],
        Table::Alerts => vec![AlertRow::batch(&alerts()).unwrap()],
        Table::Actions => vec![ActionRow::batch(&actions()).unwrap()],
        Table::Spans => vec![SpanRow::batch(&[approval()]).unwrap()],
        _ => Vec::new(),
    };
    let tables: HashMap<Table, TableSnapshot> = Table::ALL
        .into_iter()
        .map(|table| {
            (
                table,
                TableSnapshot {
                    table,
                    delta: None,
                    buffered: batches(table),
                    bounds: Vec::new(),
                    spilled: Vec::new(),
                    superseded: std::sync::Arc::default(),
                },
            )
        })
        .collect();
    let snapshot = Snapshot {
        workspace: Arc::from("default"),
        tables,
        unrolled: Minutes::all(),
    };
    Engine::new(Arc::new(snapshot), Config::default())
        .await
        .unwrap()
}

fn cells(batches: &[RecordBatch], column: &str) -> Vec<String> {
    batches
        .iter()
        .flat_map(|batch| {
            let values = batch.column_by_name(column).unwrap();
            (0..batch.num_rows())
                .map(|row| array_value_to_string(values, row).unwrap())
                .collect::<Vec<_>>()
        })
        .collect()
}

#[tokio::test]
async fn every_panel_is_answered_with_and_without_data() {
    let rows = journal().into_iter().chain([tool_call()]).collect();
    let (filled, empty) = (engine_over(Some(rows)).await, engine(false).await);
    for query in queries(&TimeRange::last_hours(NOW / 1_000_000, 1)).unwrap() {
        let answer = empty.query("default", &query.sql).await;
        assert!(
            answer.is_ok(),
            "{}: {}\n{}",
            query.title,
            answer.unwrap_err(),
            query.sql
        );
        let rows = filled.query("default", &query.sql).await.unwrap();
        let count: usize = rows.iter().map(RecordBatch::num_rows).sum();
        assert!(count > 0, "{} shows nothing:\n{}", query.title, query.sql);
        if query.format == "time_series" && query.file == catalogue::FILE {
            // All in the hour that began on 22 November 2026 at nine.
            let hours = cells(&rows, "time");
            let hours = hours.iter().map(|time| time.parse::<f64>().unwrap());
            assert!(hours.eq(vec![1_795_338_000.0; count]), "{}", query.title);
            let named = cells(&rows, "metric");
            assert!(named.iter().all(|name| !name.is_empty()), "{}", query.title);
        } else if query.format == "time_series" {
            // 22 November 2026, 9:40 to 10:00.
            let times: Vec<f64> = cells(&rows, "time")
                .iter()
                .map(|time| time.parse().unwrap())
                .collect();
            assert!(
                times
                    .iter()
                    .all(|time| (1_795_340_400.0..=1_795_341_600.0).contains(time)),
                "{times:?}"
            );
            assert!(
                times.iter().all(|time| time % 60.0 == 0.0) && times.is_sorted(),
                "{times:?}"
            );
        }
    }
}

#[tokio::test]
async fn panels_show_what_was_worked_out_by_hand() {
    let engine = engine(true).await;
    let queries = queries(&TimeRange::last_hours(NOW / 1_000_000, 1)).unwrap();
    for (title, column, expected) in [
        ("Spend", "Spend", vec!["0.350000000000"]),
        // 0.35 / 3 decisions
        (
            "Cost per decision",
            "Cost per decision",
            vec!["0.116666666667"],
        ),
        ("Decisions", "Decisions", vec!["3"]),
        ("Escalation rate", "Escalation rate", vec!["0.5"]),
        ("Alerts firing", "Alerts firing", vec!["1"]),
        ("Freezes in force", "Freezes in force", vec!["1"]),
        (
            "Spend over time by agent",
            "spend",
            vec!["0.100000000000", "0.250000000000"],
        ),
        ("Model calls by model", "calls", vec!["1", "1", "1"]),
        ("Tokens by kind", "uncached input", vec!["60", "60", "60"]),
        ("p95 latency by operation", "p95", vec!["2000.0"; 5]),
        ("Frozen now", "target", vec!["triage"]),
        ("Actions", "ended_to_obeyed_ms", vec!["150.0"]),
        ("Agents, all time", "agent", vec!["triage", "writer"]),
        ("Firing alerts", "rule", vec!["runaway-spend"]),
        // Triage: 0.35 / 2 decisions; writer's call has no price.
        (
            "cost per decision: cost_per_decision_usd, by hour",
            "cost_per_decision_usd",
            vec!["0.175000000000", ""],
        ),
        (
            "escalation rate: rate, by hour",
            "metric",
            vec!["triage", "writer"],
        ),
        (
            "incident recurrence, everything kept",
            "incidents",
            vec!["1"],
        ),
    ] {
        let query = queries.iter().find(|query| query.title == title).unwrap();
        let rows = engine.query("default", &query.sql).await.unwrap();
        assert_eq!(cells(&rows, column), expected, "{title}: {}", query.sql);
    }
}

#[derive(Debug)]
struct Real(Arc<Engine>);

#[async_trait::async_trait]
impl FleetData for Real {
    async fn query(&self, sql: &str) -> Result<Vec<RecordBatch>, String> {
        self.0
            .query("default", sql)
            .await
            .map_err(|error| error.to_string())
    }

    fn control_view(&self) -> Arc<View> {
        Arc::default()
    }
}

#[tokio::test]
async fn the_console_reads_the_real_engine() {
    for filled in [true, false] {
        let data = Arc::new(Real(engine(filled).await));
        let state = ConsoleState::new(data, "default", Hosts::default(), Arc::new(|| NOW));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router(state)).await.unwrap() });
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        for window in ["1h", "all"] {
            let answer = http
                .get(format!("http://{at}/api/v1/fleet?window={window}"))
                .send()
                .await
                .unwrap();
            let fleet: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
            assert_eq!(fleet["errors"], serde_json::json!([]));
            if !filled {
                assert_eq!(fleet["totals"]["cost_usd"], Value::Null);
                continue;
            }
            assert_eq!(fleet["totals"]["cost_usd"], "0.350000000000");
            let triage = &fleet["agents"][0];
            assert_eq!(
                (&triage["agent"], &triage["cost_usd"]),
                (&"triage".into(), &"0.350000000000".into())
            );
            assert_eq!(
                (
                    &triage["decisions"],
                    &triage["executions"],
                    &triage["calls"]
                ),
                (&2.into(), &1.into(), &2.into())
            );
            assert_eq!(triage["cost_per_decision_usd"], "0.175000000000");
            assert_eq!(triage["last_alert"]["state"], "firing");
            let spend = triage["spend_usd"].as_array().unwrap();
            let spent: Vec<&Value> = spend
                .iter()
                .filter(|minute| *minute != "0.000000000000")
                .collect();
            assert_eq!(spent, ["0.100000000000", "0.250000000000"]);
            assert_eq!(fleet["agents"][1]["unpriced_calls"], 1);
            assert_eq!(fleet["actions"][0]["obeyed_after_us"], 150_000);
            assert_eq!(fleet["alerts"].as_array().unwrap().len(), 1);
        }
    }
}
