//! A small world whose every figure can be worked out by hand, and the way to ask about it.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use flyball_query::format::{Format, render};
use flyball_query::{Config, Engine, Source};
use flyball_store::rows::{ActionRow, ChargeRow, ContentRow, Date, Micros, Row};
use flyball_store::{Minutes, Snapshot, Table, TableSnapshot};
use rust_decimal::Decimal;
use serde_json::Value;

/// 2026-03-01T12:00:00Z.
pub(crate) const NOON: i64 = 1_772_366_400;

pub(crate) fn micros(second: f64) -> Micros {
    Micros(NOON * 1_000_000 + (second * 1e6).round() as i64)
}

pub(crate) fn usd(text: &str) -> Option<Decimal> {
    Some(text.parse().unwrap())
}

/// An entry that started so many seconds after noon and took one second.
pub(crate) fn entry(id: &str, kind: &str, agent: &str, execution: &str, second: f64) -> ChargeRow {
    let start = micros(second);
    ChargeRow {
        date: Date::of_micros(start.0),
        start_time: start,
        end_time: Some(Micros(start.0 + 1_000_000)),
        start_unix_nano: start.0 * 1_000,
        duration_ns: Some(1_000_000_000),
        received_at: start,
        known_at: start,
        charge_id: id.into(),
        entry: "charge".into(),
        kind: kind.into(),
        trace_id: format!("trace-{execution}"),
        span_id: format!("span-{id}"),
        execution_id: execution.into(),
        task_id: execution.into(),
        agent_name: Some(agent.into()),
        calls: 1,
        ..ChargeRow::default()
    }
}

/// A model call that was a decision, with exact usage and a cost.
pub(crate) fn decision(
    id: &str,
    agent: &str,
    execution: &str,
    second: f64,
    cost: &str,
) -> ChargeRow {
    ChargeRow {
        operation: Some("chat".into()),
        response_model: Some("m-1".into()),
        usage: Some("exact".into()),
        input_tokens: Some(1000),
        output_tokens: Some(100),
        cost_usd: usd(cost),
        decisions: 1,
        decision: Some(true),
        ..entry(id, "model_call", agent, execution, second)
    }
}

/// An entry taken back: the same id, every quantity negated.
pub(crate) fn reversal(of: &ChargeRow) -> ChargeRow {
    ChargeRow {
        entry: "reversal".into(),
        reason: Some("late_span".into()),
        calls: -of.calls,
        decisions: -of.decisions,
        input_tokens: of.input_tokens.map(|n| -n),
        output_tokens: of.output_tokens.map(|n| -n),
        cost_usd: of.cost_usd.map(|c| -c),
        ..of.clone()
    }
}

/// A span that tells of a call which another span bills.
pub(crate) fn duplicate(id: &str, of: &ChargeRow) -> ChargeRow {
    ChargeRow {
        charge_id: id.into(),
        entry: "duplicate".into(),
        duplicate_of: Some(of.span_id.clone()),
        span_id: format!("span-{id}"),
        calls: 0,
        decisions: 0,
        input_tokens: Some(0),
        output_tokens: Some(0),
        cost_usd: Some(Decimal::ZERO),
        ..of.clone()
    }
}

/// An execution that took ten seconds.
pub(crate) fn execution(
    id: &str,
    agent: &str,
    second: f64,
    termination: Option<&str>,
) -> ChargeRow {
    ChargeRow {
        end_time: termination.map(|_| micros(second + 10.0)),
        duration_ns: termination.map(|_| 10_000_000_000),
        operation: Some("invoke_agent".into()),
        termination: termination.map(Into::into),
        ..entry(&format!("x-{id}"), "execution", agent, id, second)
    }
}

/// Two agents. `triage`: e1 (success) with two decisions that stand, 0.001 and 0.0025 dollars, one of
/// which was first entered at 0.002 and taken back, one duplicate, and one tool call; e2, the earlier
/// attempt at e1's task, a failure without calls. `writer`: e3, escalated, one unpriced model call that
/// was no decision; e4, still running.
pub(crate) fn world() -> Vec<ChargeRow> {
    let m1 = decision("m1", "triage", "e1", 1.0, "0.001");
    let first_reading = decision("m2", "triage", "e1", 4.0, "0.002");
    let m2 = ChargeRow {
        charge_id: "m2b".into(),
        cost_usd: usd("0.0025"),
        ..first_reading.clone()
    };
    let tool = ChargeRow {
        operation: Some("execute_tool".into()),
        tool_name: Some("restart".into()),
        error_type: Some("timeout".into()),
        ..entry("k1", "tool_call", "triage", "e1", 2.5)
    };
    let unpriced = ChargeRow {
        operation: Some("chat".into()),
        usage: Some("unknown".into()),
        decision: Some(false),
        ..entry("m3", "model_call", "writer", "e3", 5.0)
    };
    let retry = ChargeRow {
        task_id: "t1".into(),
        ..execution("e1", "triage", 0.0, Some("success"))
    };
    let attempt = ChargeRow {
        task_id: "t1".into(),
        ..execution("e2", "triage", -60.0, Some("failure"))
    };
    let mut rows = vec![
        duplicate("d1", &m1),
        reversal(&first_reading),
        first_reading,
        m2,
        tool,
        unpriced,
        m1,
    ];
    rows.extend([retry, attempt]);
    rows.push(ChargeRow {
        escalated: Some(true),
        ..execution("e3", "writer", 3.0, Some("escalation"))
    });
    rows.push(execution("e4", "writer", 20.0, None));
    rows
}

fn content(
    of: &ChargeRow,
    position: i64,
    input: &str,
    output: &str,
    reasoning: Option<&str>,
) -> ContentRow {
    ContentRow {
        date: of.date,
        start_time: of.start_time,
        trace_id: of.trace_id.clone(),
        span_id: of.span_id.clone(),
        input: Some(input.into()),
        output: Some(output.into()),
        reasoning: reasoning.map(Into::into),
        log_position: position,
        ..ContentRow::default()
    }
}

/// What the calls of `world` said.
pub(crate) fn contents() -> Vec<ContentRow> {
    let world = world();
    let of = |id: &str| world.iter().find(|c| c.charge_id == id).unwrap();
    vec![
        content(
            of("m1"),
            2,
            "{\"q\":\"down?\"}",
            "{\"call\":\"restart\"}",
            Some("{\"flyball.summary\":\"restart it\"}"),
        ),
        content(of("k1"), 2, "{}", "{\"done\":true}", None),
        content(of("m2b"), 3, "{\"q\":\"up?\"}", "{\"text\":\"yes\"}", None),
    ]
}

/// Rows of some tables as one moment, nothing flushed.
pub(crate) fn moment(tables: Vec<(Table, RecordBatch)>) -> Snapshot {
    let mut all: HashMap<Table, TableSnapshot> = Table::ALL
        .into_iter()
        .map(|table| {
            (
                table,
                TableSnapshot {
                    table,
                    delta: None,
                    buffered: Vec::new(),
                    bounds: Vec::new(),
                    spilled: Vec::new(),
                    superseded: Arc::default(),
                },
            )
        })
        .collect();
    for (table, batch) in tables {
        all.get_mut(&table).unwrap().buffered.push(batch);
    }
    Snapshot {
        workspace: "default".into(),
        tables: all,
        unrolled: Minutes::all(),
    }
}

pub(crate) fn charges(rows: &[ChargeRow]) -> (Table, RecordBatch) {
    (Table::Charges, ChargeRow::batch(rows).unwrap())
}

pub(crate) fn told(rows: &[ContentRow]) -> (Table, RecordBatch) {
    (Table::Contents, ContentRow::batch(rows).unwrap())
}

pub(crate) fn actions(rows: &[ActionRow]) -> (Table, RecordBatch) {
    (Table::Actions, ActionRow::batch(rows).unwrap())
}

pub(crate) fn whole_world() -> Snapshot {
    moment(vec![charges(&world()), told(&contents())])
}

pub(crate) async fn engine(source: impl Source + 'static) -> Arc<Engine> {
    let config = Config {
        partitions: 2,
        ..Config::default()
    };
    Engine::new(Arc::new(source), config).await.unwrap()
}

/// The answer as JSON rows.
pub(crate) async fn ask(engine: &Engine, sql: &str) -> Vec<Value> {
    let batches = match engine.query("default", sql).await {
        Ok(batches) => batches,
        Err(error) => panic!("{sql}: {error}"),
    };
    serde_json::from_str(&render(&batches, Format::Json).unwrap()).unwrap()
}
