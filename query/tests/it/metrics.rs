//! The metrics, over rows whose answers are worked out by hand.

use flyball_query::catalogue;
use flyball_store::rows::ChargeRow;
use serde_json::json;

use crate::fixture::{ask, charges, decision, engine, moment, whole_world};

#[tokio::test]
async fn cost_per_decision_is_exact() {
    let engine = engine(whole_world()).await;
    let rows = ask(
        &engine,
        "SELECT * FROM cost_per_decision ORDER BY agent_name",
    )
    .await;
    assert_eq!(
        rows,
        vec![
            json!({"agent_name": "triage", "decisions": 2, "cost_usd": "0.003500000000",
                   "cost_per_decision_usd": "0.001750000000", "calls": 3, "unpriced_calls": 0}),
            // No decision, no price: unknown, and not zero.
            json!({"agent_name": "writer", "decisions": 0, "cost_usd": null,
                   "cost_per_decision_usd": null, "calls": 1, "unpriced_calls": 1}),
        ]
    );
}

#[tokio::test]
async fn the_quotient_is_rounded_in_the_twelfth_digit() {
    let mut rows = Vec::new();
    // 2 / 3 of the smallest amount is rounded up, 1 / 3 down, 1 / 2 away from zero.
    for (agent, costs) in [
        (
            "two_thirds",
            ["0.000000000001", "0.000000000001", "0"].as_slice(),
        ),
        ("third", &["0.000000000001", "0", "0"]),
        ("half", &["0.000000000001", "0"]),
        (
            "large",
            &[
                "999999.999999999999",
                "999999.999999999999",
                "999999.999999999998",
            ],
        ),
    ] {
        for (at, cost) in costs.iter().enumerate() {
            rows.push(decision(
                &format!("{agent}-{at}"),
                agent,
                agent,
                at as f64,
                cost,
            ));
        }
    }
    let engine = engine(moment(vec![charges(&rows)])).await;
    let found = ask(
        &engine,
        "SELECT agent_name, cost_per_decision_usd AS c FROM cost_per_decision ORDER BY 1",
    )
    .await;
    assert_eq!(
        found,
        vec![
            json!({"agent_name": "half", "c": "0.000000000001"}),
            // (2 x 999999.999999999999 + 999999.999999999998) / 3 = 999999.9999999999986...
            json!({"agent_name": "large", "c": "999999.999999999999"}),
            json!({"agent_name": "third", "c": "0.000000000000"}),
            json!({"agent_name": "two_thirds", "c": "0.000000000001"}),
        ]
    );
}

#[tokio::test]
async fn sums_past_the_width_of_one_row_stay_exact() {
    let rows: Vec<ChargeRow> = (0..2000)
        .map(|n| decision(&n.to_string(), "a", "e", 0.0, "999999.999999999999"))
        .collect();
    let engine = engine(moment(vec![charges(&rows)])).await;
    let found = ask(
        &engine,
        "SELECT cost_usd, cost_per_decision_usd FROM cost_per_decision",
    )
    .await;
    assert_eq!(
        found,
        vec![
            json!({"cost_usd": "1999999999.999999998000", "cost_per_decision_usd": "999999.999999999999"})
        ]
    );
}

#[tokio::test]
async fn success_and_escalation_count_what_ended() {
    let engine = engine(whole_world()).await;
    let tasks = ask(
        &engine,
        "SELECT agent_name, tasks, successes, rate, open FROM task_success_rate ORDER BY 1",
    )
    .await;
    assert_eq!(
        tasks,
        vec![
            // Two attempts at one task: the later decides.
            json!({"agent_name": "triage", "tasks": 1, "successes": 1, "rate": 1.0, "open": 0}),
            json!({"agent_name": "writer", "tasks": 1, "successes": 0, "rate": 0.0, "open": 1}),
        ]
    );
    let rates = ask(&engine, "SELECT agent_name, executions, escalations, rate, rate_low, open FROM escalation_rate ORDER BY 1").await;
    assert_eq!(
        rates[0],
        json!({"agent_name": "triage", "executions": 2, "escalations": 0, "rate": 0.0, "rate_low": 0.0, "open": 0})
    );
    assert_eq!(rates[1]["executions"], 1);
    assert_eq!(rates[1]["rate"], 1.0);
    assert_eq!(rates[1]["open"], 1);
    // One of one: Wilson's lower bound is 1 / (1 + 1.96^2) = 0.2065.
    assert!((rates[1]["rate_low"].as_f64().unwrap() - 0.2065).abs() < 1e-4);
}

#[tokio::test]
async fn an_agent_with_nothing_ended_has_no_rate() {
    let engine = engine(moment(vec![charges(&[crate::fixture::execution(
        "e", "a", 0.0, None,
    )])]))
    .await;
    assert_eq!(
        ask(
            &engine,
            "SELECT tasks, rate, rate_low, open FROM task_success_rate"
        )
        .await,
        vec![json!({"tasks": 0, "rate": null, "rate_low": null, "open": 1})]
    );
    assert_eq!(
        ask(
            &engine,
            "SELECT executions, rate, rate_high, open FROM escalation_rate"
        )
        .await,
        vec![json!({"executions": 0, "rate": null, "rate_high": null, "open": 1})]
    );
}

#[tokio::test]
async fn latencies_are_percentiles_by_agent_and_operation() {
    // 0, 100, ..., 1000 ms: the median is 500, and 95 % of the way is 950 by interpolation.
    let rows: Vec<ChargeRow> = (0..=10)
        .map(|n| ChargeRow {
            duration_ns: Some(n * 100_000_000),
            ..decision(&n.to_string(), "a", "e", n as f64, "0")
        })
        .collect();
    let engine = engine(moment(vec![charges(&rows)])).await;
    assert_eq!(
        ask(&engine, "SELECT * FROM latency_p95").await,
        vec![
            json!({"agent_name": "a", "operation": "chat", "n": 11, "p50_ms": 500.0, "p95_ms": 950.0, "max_ms": 1000.0})
        ]
    );
}

#[tokio::test]
async fn by_hour_splits_by_the_moment_that_the_definition_names() {
    let rows = [
        decision("1", "a", "e", 0.0, "1"),
        decision("2", "a", "e", 3599.0, "2"),
        decision("3", "a", "e", 3600.0, "4"),
        // Starts before one and ends after: an execution belongs to its end, a call to its start.
        crate::fixture::execution("e", "a", 3595.0, Some("success")),
    ];
    let engine = engine(moment(vec![charges(&rows)])).await;
    assert_eq!(
        ask(&engine, "SELECT hour, decisions, cost_per_decision_usd AS c FROM cost_per_decision_by_hour ORDER BY hour").await,
        vec![
            json!({"hour": "2026-03-01T12:00:00Z", "decisions": 2, "c": "1.500000000000"}),
            json!({"hour": "2026-03-01T13:00:00Z", "decisions": 1, "c": "4.000000000000"}),
        ]
    );
    let ended = json!("2026-03-01T13:00:00Z");
    for view in ["task_success_rate_by_hour", "escalation_rate_by_hour"] {
        assert_eq!(
            ask(&engine, &format!("SELECT hour FROM {view}")).await,
            vec![json!({"hour": ended})]
        );
    }
    let by_operation = ask(
        &engine,
        "SELECT hour, n FROM latency_p95_by_hour WHERE operation = 'invoke_agent'",
    )
    .await;
    assert_eq!(by_operation, vec![json!({"hour": ended, "n": 1})]);
}

/// Baseline hour: confidences 0 and 1 by turns; window hour: one quarter 0, three quarters 1. By hand,
/// (0.25 - 0.5) ln(0.25 / 0.5) + (0.75 - 0.5) ln(0.75 / 0.5) = 0.274653.
fn confidences(a_side: usize) -> Vec<ChargeRow> {
    let of = |side: &str, second: f64, n: usize, confidence: f64| ChargeRow {
        confidence: Some(confidence),
        ..decision(&format!("{side}{n}"), "a", "e", second, "0")
    };
    let mut rows: Vec<ChargeRow> = (0..a_side)
        .map(|n| of("b", n as f64, n, if n % 2 == 0 { 0.0 } else { 1.0 }))
        .collect();
    rows.extend((0..a_side).map(|n| {
        of(
            "w",
            3600.0 + n as f64,
            n,
            if n % 4 == 0 { 0.0 } else { 1.0 },
        )
    }));
    rows
}

const DRIFT: &str = "SELECT * FROM confidence_drift('2026-03-01T12:00:00Z', '2026-03-01T13:00:00Z',
                                                    '2026-03-01T13:00:00Z', '2026-03-01T14:00:00Z')";

#[tokio::test]
async fn confidence_drift_by_hand() {
    let engine = engine(moment(vec![charges(&confidences(400))])).await;
    let rows = ask(&engine, DRIFT).await;
    assert_eq!(rows.len(), 1);
    assert_eq!(
        (&rows[0]["n_baseline"], &rows[0]["n_window"]),
        (&json!(400), &json!(400))
    );
    assert!(
        (rows[0]["psi"].as_f64().unwrap() - 0.274_653).abs() < 1e-6,
        "{rows:?}"
    );
    // Two bins: (2 - 1)(1/400 + 1/400).
    assert!((rows[0]["psi_expected"].as_f64().unwrap() - 0.005).abs() < 1e-12);
    assert_eq!(rows[0]["verdict"], "drift");
    // A window against itself has not moved.
    let itself = DRIFT
        .replace("13:00:00Z", "12:59:59Z")
        .replace("14:00:00Z", "12:59:59Z");
    assert!(ask(&engine, &itself).await[0]["psi"].is_null());
    let same = "SELECT psi, verdict FROM confidence_drift('2026-03-01', '2026-03-02', '2026-03-01', '2026-03-02')";
    assert_eq!(
        ask(&engine, same).await,
        vec![json!({"psi": 0.0, "verdict": "no drift"})]
    );
    // Any constant will do.
    let relative = "SELECT count(*) AS n FROM confidence_drift(now() - interval '2 hours', now(), now(), now() + interval '1 hour')";
    assert_eq!(ask(&engine, relative).await, vec![json!({"n": 0})]);
}

#[tokio::test]
async fn few_values_have_an_index_and_no_verdict() {
    let engine = engine(moment(vec![charges(&confidences(100))])).await;
    let rows = ask(&engine, DRIFT).await;
    assert!(rows[0]["psi"].as_f64().unwrap() > 0.25);
    assert_eq!(rows[0]["verdict"], json!(null));
}

#[tokio::test]
async fn a_function_names_the_argument_that_is_wrong() {
    let engine = engine(moment(Vec::new())).await;
    for (call, told) in [
        ("confidence_drift('2026-03-01')", "takes 4 arguments"),
        (
            "confidence_drift('yesterday', '2026-03-02', '2026-03-01', '2026-03-02')",
            "argument 1",
        ),
        (
            "confidence_drift('2026-03-01', NULL, '2026-03-01', '2026-03-02')",
            "argument 2",
        ),
    ] {
        let error = engine
            .query("default", &format!("SELECT * FROM {call}"))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(told), "{call}: {error}");
    }
}

/// One row for each of 3,000 values a side, in two partitions: what the engine puts together is what one grid holds.
#[tokio::test]
async fn distances_do_not_depend_on_how_rows_come() {
    let call = |n: u32, window: bool| ChargeRow {
        // No two alike, and more than are told apart; the window is a tenth slower.
        duration_ns: Some(1_000_000 + i64::from(n * n) * if window { 1_100 } else { 1_000 }),
        ..decision(
            &format!("{n}-{window}"),
            if window { "after" } else { "before" },
            "e",
            f64::from(n),
            "0",
        )
    };
    let rows: Vec<ChargeRow> = (0..3000)
        .flat_map(|n| [call(n, false), call(n, true)])
        .collect();
    let sql = "SELECT get_field(ks, 'n_baseline') AS n, get_field(ks, 'd') AS d, get_field(ks, 'p') AS p_d, \
               get_field(ks, 'rounding') AS rounding, get_field(w, 'effect') AS effect, get_field(w, 'p') AS p, \
               get_field(js, 'distance') AS js, get_field(js, 'pooled') AS pooled FROM (SELECT \
               ks_drift(duration_ns, agent_name = 'before', agent_name = 'after') AS ks, \
               wasserstein_drift(duration_ns, agent_name = 'before', agent_name = 'after') AS w, \
               js_drift(charge_id, agent_name = 'before', agent_name = 'after') AS js FROM charges) d";
    let mut backwards = rows.clone();
    backwards.reverse();
    let one = engine(moment(vec![charges(&rows)])).await;
    let parts: Vec<_> = backwards.chunks(77).map(charges).collect();
    let many = engine(moment(parts)).await;
    let found = ask(&one, sql).await;
    assert_eq!(found, ask(&many, sql).await);
    let found = &found[0];
    assert_eq!(found["n"], 3000, "{found}");
    let rounding = found["rounding"].as_f64().unwrap();
    assert!(0.0 < rounding && rounding < 0.01, "{found}");
    // n^2 <= x for sqrt(x) of 3,000 values, and for sqrt(x / 1.1) of the window's: 1 - 1 / sqrt(1.1) at the far end.
    assert!(
        (found["d"].as_f64().unwrap() - 0.0465).abs() < 1e-3,
        "{found}"
    );
    assert!(found["p"].as_f64().unwrap() < 0.05, "{found}");
    assert_eq!(found["pooled"], 6000 - 1024);
}

#[tokio::test]
async fn an_empty_side_has_no_distance_and_is_counted_all_the_same() {
    let engine = engine(whole_world()).await;
    let rows = ask(
        &engine,
        "SELECT get_field(ks, 'd') AS d, get_field(ks, 'n_baseline') AS priced, get_field(w, 'effect') AS effect, \
         get_field(w, 'n_window') AS on_neither, get_field(js, 'p') AS p, get_field(js, 'n_window') AS told FROM (SELECT \
         ks_drift(cost_usd, true, false) AS ks, wasserstein_drift(cost_usd, NULL, NULL) AS w, \
         js_drift(kind, false, true) AS js FROM standing_charges WHERE kind = 'model_call') d",
    )
    .await;
    // Two calls have a price, and three are told of.
    assert_eq!(
        rows,
        vec![
            json!({"d": null, "priced": 2, "effect": null, "on_neither": 0, "p": null, "told": 3})
        ]
    );
}

/// What a panel draws, and what names its lines, are columns of that kind, and all texts are named.
#[tokio::test]
async fn a_metric_names_its_own_columns() {
    let engine = engine(whole_world()).await;
    for entry in catalogue::all() {
        if entry.kind != catalogue::Kind::Metric {
            continue;
        }
        let session = engine.session("default");
        let plan = session.plan(&format!("SELECT * FROM {}", entry.name)).await;
        let plan = plan.unwrap();
        let fields = || plan.schema().fields().iter();
        let texts = fields().filter(|field| field.data_type().is_string());
        let texts: Vec<&String> = texts.map(|field| field.name()).collect();
        assert_eq!(entry.by.iter().collect::<Vec<_>>(), texts, "{}", entry.name);
        let shown = fields().find(|field| *field.name() == entry.shows);
        assert!(
            shown.is_some_and(|field| field.data_type().is_numeric()),
            "{}: {}",
            entry.name,
            entry.shows
        );
    }
}
