//! The views of the data model, over rows whose answers are worked out by hand.

use flyball_store::Table;
use flyball_store::rows::{ActionRow, ChargeRow, ContentRow, Micros, Row, SpanRow};
use serde_json::json;

use crate::fixture::{
    actions, ask, charges, contents, decision, engine, execution, micros, moment, told, usd,
    whole_world, world,
};

#[tokio::test]
async fn every_view_of_an_empty_workspace_is_empty_and_not_an_error() {
    let engine = engine(moment(Vec::new())).await;
    for entry in flyball_query::catalogue::all() {
        if entry.kind != flyball_query::catalogue::Kind::Function {
            assert!(
                ask(&engine, &format!("SELECT * FROM {}", entry.name))
                    .await
                    .is_empty(),
                "{}",
                entry.name
            );
        }
    }
    for table in [
        "spans",
        "charges",
        "contents",
        "logs",
        "metrics",
        "alerts",
        "audit",
        "audit_records",
        "action_events",
    ] {
        assert_eq!(
            ask(&engine, &format!("SELECT count(*) AS n FROM {table}")).await,
            vec![json!({"n": 0})]
        );
    }
}

#[tokio::test]
async fn a_clients_clock_is_as_far_off_as_its_promptest_span() {
    let now = Micros(std::time::UNIX_EPOCH.elapsed().unwrap().as_micros() as i64);
    let span = |service: &str, lag_ms: i64, received: Micros| SpanRow {
        service_name: Some(service.into()),
        received_at: received,
        end_time: Micros(received.0 - lag_ms * 1_000),
        ..SpanRow::default()
    };
    let two_hours_ago = Micros(now.0 - 7_200_000_000);
    let of_a_record = SpanRow {
        signal: Some("log".into()),
        ..span("prompt", -9_000, now)
    };
    let rows = [
        // Sent at once, and with a batch.
        span("prompt", 20, now),
        span("prompt", 5_000, now),
        // It ended after we had it: the clock is ahead.
        span("ahead", -60_000, now),
        span("prompt", -9_000, two_hours_ago),
        of_a_record,
    ];
    let engine = engine(moment(vec![(Table::Spans, SpanRow::batch(&rows).unwrap())])).await;
    let sql = "SELECT service_name, spans, behind_ms, longest_lag_ms FROM client_clocks ORDER BY 1";
    let row = |name: &str, spans: i64, behind: f64, longest: f64| json!({ "service_name": name, "spans": spans, "behind_ms": behind, "longest_lag_ms": longest });
    assert_eq!(
        ask(&engine, sql).await,
        [
            row("ahead", 1, -60_000.0, -60_000.0),
            row("prompt", 2, 20.0, 5_000.0)
        ]
    );
}

/// Clients are promised these types, each of which the ports write in every form.
#[tokio::test]
async fn every_column_has_a_type_that_every_port_speaks() {
    use arrow::datatypes::{DataType, TimeUnit};
    let engine = engine(moment(Vec::new())).await;
    for entry in flyball_query::catalogue::all() {
        let call = match entry.kind {
            // Its summary begins with how it is called.
            flyball_query::catalogue::Kind::Function => {
                let (called, _) = entry.summary.split_once(')').unwrap();
                let (name, arguments) = called.split_once('(').unwrap();
                let argument = |name: &str| match name {
                    "at" => "'2026-03-01'",
                    "long" => "'1 hour'",
                    "short" => "'5 minutes'",
                    "factor" => "14.4",
                    name if name.ends_with("_start") || name.ends_with("_end") => "'2026-03-01'",
                    _ => "0.9",
                };
                let given: Vec<_> = arguments.split(", ").map(argument).collect();
                format!("{name}({})", given.join(", "))
            }
            _ => entry.name.clone(),
        };
        let empty = engine
            .query("default", &format!("SELECT * FROM {call}"))
            .await
            .unwrap();
        for field in empty[0].schema().fields() {
            let known = match field.data_type() {
                DataType::Utf8 | DataType::Int64 | DataType::Float64 => true,
                DataType::Boolean | DataType::Date32 | DataType::Binary => true,
                DataType::Decimal128(_, 12) => true,
                DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) => zone.as_ref() == "UTC",
                _ => false,
            };
            assert!(
                known,
                "{}.{}: {}",
                entry.name,
                field.name(),
                field.data_type()
            );
        }
    }
}

#[tokio::test]
async fn model_calls_are_what_stands_and_agree_with_the_journal() {
    let engine = engine(whole_world()).await;
    let calls = ask(
        &engine,
        "SELECT charge_id, agent_name, model, usage, cost_usd, duration_ms FROM model_calls ORDER BY charge_id",
    )
    .await;
    assert_eq!(
        calls,
        vec![
            json!({"charge_id": "m1", "agent_name": "triage", "model": "m-1", "usage": "exact", "cost_usd": "0.001000000000", "duration_ms": 1000.0}),
            json!({"charge_id": "m2b", "agent_name": "triage", "model": "m-1", "usage": "exact", "cost_usd": "0.002500000000", "duration_ms": 1000.0}),
            json!({"charge_id": "m3", "agent_name": "writer", "model": null, "usage": "unknown", "cost_usd": null, "duration_ms": 1000.0}),
        ]
    );
    let sums = ask(
        &engine,
        "SELECT (SELECT sum(cost_usd) FROM model_calls) AS standing, (SELECT sum(cost_usd) FROM charges) AS journal,
                (SELECT count(*) FROM model_calls) AS n, (SELECT sum(calls) FROM charges WHERE kind = 'model_call') AS calls",
    )
    .await;
    assert_eq!(
        sums,
        vec![
            json!({"standing": "0.003500000000", "journal": "0.003500000000", "n": 3, "calls": 3})
        ]
    );
}

#[tokio::test]
async fn executions_carry_the_sums_of_their_calls() {
    let engine = engine(whole_world()).await;
    let rows = ask(
        &engine,
        "SELECT execution_id, task_id, termination, escalated, duration_ms, cost_usd, model_calls, tool_calls, decisions,
                errors, unpriced_calls, input_tokens, output_tokens
         FROM executions ORDER BY execution_id",
    )
    .await;
    assert_eq!(
        rows[0],
        json!({"execution_id": "e1", "task_id": "t1", "termination": "success", "escalated": null,
        "duration_ms": 10000.0, "cost_usd": "0.003500000000", "model_calls": 2, "tool_calls": 1, "decisions": 2,
        "errors": 1, "unpriced_calls": 0, "input_tokens": 2000, "output_tokens": 200})
    );
    assert_eq!(
        rows[1],
        json!({"execution_id": "e2", "task_id": "t1", "termination": "failure", "escalated": null,
        "duration_ms": 10000.0, "cost_usd": null, "model_calls": 0, "tool_calls": 0, "decisions": 0,
        "errors": 0, "unpriced_calls": 0, "input_tokens": null, "output_tokens": null})
    );
    // A call that nobody could price leaves the cost unknown, and says so.
    assert_eq!(rows[2]["cost_usd"], json!(null));
    assert_eq!(rows[2]["unpriced_calls"], 1);
    assert_eq!(rows[2]["escalated"], true);
    assert_eq!(rows[3]["termination"], json!(null));
    assert_eq!(rows.len(), 4);
}

#[tokio::test]
async fn a_charge_corrected_to_unpriced_leaves_the_cost_unknown_and_not_zero() {
    let mut rows = world();
    rows.retain(|row| ["m1", "x-e1"].contains(&row.charge_id.as_str()));
    let m1 = rows
        .iter()
        .find(|row| row.charge_id == "m1")
        .unwrap()
        .clone();
    rows.push(crate::fixture::reversal(&m1));
    rows.push(ChargeRow {
        charge_id: "m1b".into(),
        cost_usd: None,
        ..m1
    });
    let engine = engine(moment(vec![charges(&rows)])).await;
    let found = ask(
        &engine,
        "SELECT cost_usd, unpriced_calls, model_calls FROM executions",
    )
    .await;
    assert_eq!(
        found,
        vec![json!({"cost_usd": null, "unpriced_calls": 1, "model_calls": 1})]
    );
    let metric = ask(
        &engine,
        "SELECT cost_per_decision_usd, decisions, unpriced_calls FROM cost_per_decision",
    )
    .await;
    assert_eq!(
        metric,
        vec![json!({"cost_per_decision_usd": null, "decisions": 1, "unpriced_calls": 1})]
    );
}

/// One execution in two traces, as when an agent goes on in another process: the resolver enters it once
/// for each.
fn in_two_traces() -> Vec<ChargeRow> {
    let first = ChargeRow {
        escalated: Some(true),
        value_usd: usd("1.5"),
        ..execution("e1", "triage", 0.0, Some("escalation"))
    };
    let second = ChargeRow {
        charge_id: "x-e1-again".into(),
        trace_id: "trace-e1-again".into(),
        span_id: "span-again".into(),
        escalated: Some(false),
        value_usd: usd("0.25"),
        task_id: "another reading".into(),
        ..execution("e1", "triage", 30.0, Some("success"))
    };
    vec![
        second,
        first,
        decision("m1", "triage", "e1", 1.0, "0.001"),
        ChargeRow {
            trace_id: "trace-e1-again".into(),
            ..decision("m2", "triage", "e1", 31.0, "0.002")
        },
        execution("e2", "triage", 5.0, Some("failure")),
        decision("m3", "triage", "e2", 6.0, "0.004"),
        // Of no execution that we know.
        decision("m4", "triage", "e9", 6.0, "0.5"),
    ]
}

#[tokio::test]
async fn an_execution_in_two_traces_is_one_and_costs_what_its_calls_cost() {
    let engine = engine(moment(vec![charges(&in_two_traces())])).await;
    let rows = ask(
        &engine,
        "SELECT execution_id, task_id, trace_id, start_time, end_time, duration_ms, termination, escalated, value_usd,
                cost_usd, model_calls
         FROM executions ORDER BY execution_id",
    )
    .await;
    assert_eq!(
        rows,
        vec![
            json!({"execution_id": "e1", "task_id": "e1", "trace_id": "trace-e1",
                   "start_time": "2026-03-01T12:00:00Z", "end_time": "2026-03-01T12:00:40Z", "duration_ms": 40000.0,
                   "termination": "success", "escalated": true, "value_usd": "1.750000000000",
                   "cost_usd": "0.003000000000", "model_calls": 2}),
            json!({"execution_id": "e2", "task_id": "e2", "trace_id": "trace-e2",
                   "start_time": "2026-03-01T12:00:05Z", "end_time": "2026-03-01T12:00:15Z", "duration_ms": 10000.0,
                   "termination": "failure", "escalated": null, "value_usd": null,
                   "cost_usd": "0.004000000000", "model_calls": 1}),
        ]
    );
    let sums = ask(
        &engine,
        "SELECT (SELECT sum(cost_usd) FROM executions) AS executions,
                (SELECT sum(cost_usd) FROM charges
                 WHERE execution_id IN (SELECT execution_id FROM charges WHERE kind = 'execution')) AS charges",
    )
    .await;
    assert_eq!(
        sums,
        vec![json!({"executions": "0.007000000000", "charges": "0.007000000000"})]
    );
    assert_eq!(
        ask(
            &engine,
            "SELECT executions, escalations, rate, open FROM escalation_rate"
        )
        .await,
        vec![json!({"executions": 2, "escalations": 1, "rate": 0.5, "open": 0})]
    );
    assert_eq!(
        ask(
            &engine,
            "SELECT tasks, successes, rate, open FROM task_success_rate"
        )
        .await,
        vec![json!({"tasks": 2, "successes": 1, "rate": 0.5, "open": 0})]
    );
}

#[tokio::test]
async fn decisions_tell_what_was_asked_chosen_and_found() {
    let engine = engine(whole_world()).await;
    let rows = ask(
        &engine,
        "SELECT charge_id, input, summary, action, result, cost_usd FROM decisions ORDER BY charge_id",
    )
    .await;
    assert_eq!(
        rows,
        vec![
            json!({"charge_id": "m1", "input": "{\"q\":\"down?\"}", "summary": "restart it", "action": "restart",
                   "result": "{\"done\":true}", "cost_usd": "0.001000000000"}),
            json!({"charge_id": "m2b", "input": "{\"q\":\"up?\"}", "summary": null, "action": "answer",
                   "result": "{\"text\":\"yes\"}", "cost_usd": "0.002500000000"}),
        ]
    );
    assert_eq!(
        ask(&engine, "SELECT count(*) AS n FROM decisions").await,
        vec![json!({"n": 2})]
    );
}

#[tokio::test]
async fn what_records_said_of_a_span_stands_in_for_what_it_does_not_say_itself() {
    let own = contents();
    let record =
        |of: &ContentRow, id: &str, input: Option<&str>, output: Option<&str>| ContentRow {
            span_id: id.into(),
            of_span_id: Some(of.span_id.clone()),
            input: input.map(Into::into),
            output: output.map(Into::into),
            ..of.clone()
        };
    let records = [
        record(&own[0], "r2", Some("user"), None),
        record(&own[0], "r1", Some("system"), None),
        record(&own[0], "r3", None, Some("choice")),
        record(&own[1], "r4", None, Some("done")),
        // m2b carries its own.
        record(&own[2], "r5", Some("told again"), Some("told again")),
        own[2].clone(),
    ];
    let engine = engine(moment(vec![charges(&world()), told(&records)])).await;
    let rows = ask(
        &engine,
        "SELECT charge_id, input, action, result FROM decisions ORDER BY charge_id",
    )
    .await;
    assert_eq!(
        rows,
        vec![
            json!({"charge_id": "m1", "input": "system\nuser", "action": "restart", "result": "done"}),
            json!({"charge_id": "m2b", "input": "{\"q\":\"up?\"}", "action": "answer", "result": "{\"text\":\"yes\"}"}),
        ]
    );
}

fn event(action: &str, event: &str, second: f64) -> ActionRow {
    ActionRow {
        at: micros(second),
        action_id: action.into(),
        event: event.into(),
        state: "frozen".into(),
        scope: "agent".into(),
        target: "runaway".into(),
        actor: "rule:runaway".into(),
        reason: "spends 3 $/min".into(),
        mode: "enforce".into(),
        rule: Some("runaway".into()),
        cause_span_id: Some("s1".into()),
        cause_ended_at: Some(micros(10.0)),
        cause_received_at: Some(micros(10.02)),
        decided_at: Some(micros(10.025)),
        ..ActionRow::default()
    }
}

#[tokio::test]
async fn an_action_is_one_row_from_decision_to_release() {
    let decided = event("a1", "decided", 10.025);
    let obeyed = ActionRow {
        obeyed_at: Some(micros(10.1)),
        obeyed_by: Some("r1".into()),
        ..event("a1", "obeyed", 10.1)
    };
    let released = ActionRow {
        state: "running".into(),
        actor: "ada".into(),
        reason: "fixed".into(),
        ..event("a1", "released", 90.0)
    };
    let shadow = ActionRow {
        mode: "shadow".into(),
        ..event("a2", "decided", 11.0)
    };
    let engine = engine(moment(vec![actions(&[released, obeyed, decided, shadow])])).await;
    let rows = ask(
        &engine,
        "SELECT action_id, state, target, actor, mode, released_by, release_reason, obeyed_by, ended_to_received_ms,
                received_to_decided_ms, decided_to_obeyed_ms, ended_to_obeyed_ms
         FROM actions ORDER BY action_id",
    )
    .await;
    assert_eq!(
        rows[0],
        json!({"action_id": "a1", "state": "frozen", "target": "runaway", "actor": "rule:runaway", "mode": "enforce",
               "released_by": "ada", "release_reason": "fixed", "obeyed_by": "r1", "ended_to_received_ms": 20.0,
               "received_to_decided_ms": 5.0, "decided_to_obeyed_ms": 75.0, "ended_to_obeyed_ms": 100.0})
    );
    assert_eq!(rows[1]["ended_to_obeyed_ms"], json!(null));
    let speed = ask(
        &engine,
        "SELECT actions, n, p50_ms, max_ms FROM control_latency",
    )
    .await;
    assert_eq!(
        speed,
        vec![json!({"actions": 1, "n": 1, "p50_ms": 100.0, "max_ms": 100.0})]
    );
}
