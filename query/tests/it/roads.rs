//! Both roads give the same answer: what comes from the rollup where it may, and what comes from the journal.
//!
//! The store is the real one. Random histories enter charges, take them back, correct and reprice them, tell
//! of duplicates, flush, sum and restart in any order; after every step each question is asked both ways.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use bytes::Bytes;
use flyball_query::Engine;
use flyball_store::rows::{ChargeRow, Micros};
use flyball_store::{Config, Decoder, Error, Header, JournalUpdate, Moment, Origin, Store, Table};
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::fixture::{ask, decision, duplicate, execution, micros, reversal};

/// The journal is fed directly, so that the log has no frames.
#[derive(Debug)]
struct NoFrames;

impl Decoder for NoFrames {
    fn decode(&self, _: &Header, _: &Bytes) -> Result<Vec<(Table, RecordBatch)>, String> {
        Err("there are none".to_owned())
    }
}

/// Flushes and sums only when asked.
pub(crate) async fn open(dir: &Path) -> Arc<Store> {
    let config = Config {
        flush_age: Duration::from_secs(3_600),
        rollup_every: Duration::ZERO,
        ..Config::local(dir)
    };
    // One that was dropped may take a moment to let go.
    for _ in 0..500 {
        match Store::open(config.clone(), Arc::new(NoFrames)).await {
            Err(Error::Locked { .. }) => tokio::time::sleep(Duration::from_millis(20)).await,
            opened => return opened.unwrap(),
        }
    }
    panic!("the lock is still held")
}

pub(crate) async fn engine(store: &Arc<Store>) -> Arc<Engine> {
    let config = flyball_query::Config {
        partitions: 2,
        ..flyball_query::Config::default()
    };
    Engine::new(Arc::clone(store) as _, config).await.unwrap()
}

/// Enters rows; those of traces that have settled may be flushed.
pub(crate) fn enter(store: &Store, rows: Vec<ChargeRow>, settled: bool) {
    let mut traces: Vec<String> = rows.iter().map(|row| row.trace_id.clone()).collect();
    traces.dedup();
    let update = JournalUpdate {
        settled: if settled { traces } else { Vec::new() },
        ..JournalUpdate::of(&rows).unwrap()
    };
    store.journal("default", Origin::Live, update).unwrap();
}

const DIMENSIONS: &str = "kind, agent_name, agent_role, tenant, team, environment, task_type, workflow, operation, provider, \
     request_model, response_model, service_tier, tool_name, usage, termination";

/// A question, asked of the rollup's views and of the journal.
fn questions() -> Vec<(String, String)> {
    let plain = [
        "input_tokens",
        "cache_read_tokens",
        "cache_write_tokens",
        "cache_write_1h_tokens",
        "audio_input_tokens",
        "image_input_tokens",
        "output_tokens",
        "reasoning_tokens",
        "audio_output_tokens",
        "image_output_tokens",
    ];
    let money = [
        "cost_usd",
        "cost_input_usd",
        "cost_cache_read_usd",
        "cost_cache_write_usd",
        "cost_output_usd",
        "cost_request_usd",
        "client_cost_usd",
        "value_usd",
    ];
    let mut sums: Vec<String> = plain
        .iter()
        .map(|name| format!("sum({name}) AS {name}"))
        .collect();
    sums.extend(
        money
            .iter()
            .map(|name| format!("CAST(sum({name}) AS DECIMAL(38, 12)) AS {name}")),
    );
    let sums = sums.join(", ");
    vec![
        (
            format!(
                "SELECT date, minute, ended_minute, priced, {DIMENSIONS}, {sums}, sum(entries) AS entries, sum(calls) AS calls,
                   sum(decisions) AS decisions, sum(errors) AS errors, sum(escalations) AS escalations, sum(timed) AS timed,
                   sum(duration_ns) AS duration_ns, sum(queued) AS queued, sum(queue_wait_ms) AS queue_wait_ms,
                   max(log_position) AS log_position
                 FROM minutes GROUP BY date, minute, ended_minute, priced, {DIMENSIONS}"
            ),
            format!(
                "SELECT date, date_trunc('minute', start_time) AS minute,
                   CASE WHEN kind = 'execution' THEN date_trunc('minute', end_time) END AS ended_minute,
                   cost_usd IS NOT NULL AS priced, {DIMENSIONS}, {sums}, count(*) AS entries, sum(calls) AS calls,
                   sum(decisions) AS decisions, coalesce(sum(calls) FILTER (WHERE error_type IS NOT NULL), 0) AS errors,
                   coalesce(sum(calls) FILTER (WHERE escalated), 0) AS escalations,
                   coalesce(sum(calls) FILTER (WHERE duration_ns IS NOT NULL), 0) AS timed,
                   sum(duration_ns * calls) AS duration_ns,
                   coalesce(sum(calls) FILTER (WHERE queue_wait_ms IS NOT NULL), 0) AS queued,
                   sum(queue_wait_ms * calls) AS queue_wait_ms, max(log_position) AS log_position
                 FROM charges GROUP BY 1, 2, 3, 4, {DIMENSIONS}"
            ),
        ),
        (
            "SELECT agent_name, hour, decisions, cost_usd, calls, unpriced_calls FROM cost_per_decision_by_hour".to_owned(),
            "SELECT agent_name, date_trunc('hour', start_time) AS hour, sum(decisions) AS decisions,
               CASE WHEN sum(calls) FILTER (WHERE cost_usd IS NOT NULL) > 0 THEN CAST(sum(cost_usd) AS DECIMAL(38, 12)) END AS cost_usd,
               sum(calls) AS calls,
               coalesce(sum(calls) FILTER (WHERE cost_usd IS NULL AND kind <> 'tool_call'), 0) AS unpriced_calls
             FROM charges WHERE kind <> 'execution' GROUP BY 1, 2 HAVING sum(calls) <> 0"
                .to_owned(),
        ),
        (
            "SELECT hour, agent_name, operation, n, p50_ms, p95_ms, max_ms FROM latency_p95_by_hour".to_owned(),
            "SELECT date_trunc('hour', CASE WHEN kind = 'execution' THEN end_time ELSE start_time END) AS hour, agent_name,
               coalesce(operation, kind) AS operation, count(*) AS n,
               percentile_cont(0.5) WITHIN GROUP (ORDER BY CAST(duration_ns AS DOUBLE)) / 1e6 AS p50_ms,
               percentile_cont(0.95) WITHIN GROUP (ORDER BY CAST(duration_ns AS DOUBLE)) / 1e6 AS p95_ms,
               max(duration_ns) / 1e6 AS max_ms
             FROM standing_charges WHERE duration_ns IS NOT NULL GROUP BY 1, 2, 3"
                .to_owned(),
        ),
        (
            "SELECT hour, agent_name, executions, sessions, users FROM agent_activity_by_hour".to_owned(),
            "SELECT date_trunc('hour', start_time) AS hour, agent_name, count(DISTINCT execution_id) AS executions,
               count(DISTINCT session_id) AS sessions, count(DISTINCT user_id) AS users
             FROM standing_charges GROUP BY 1, 2"
                .to_owned(),
        ),
        (
            "SELECT execution_id, agent_name, start_time, end_time, termination, escalated, value_usd FROM standing_executions"
                .to_owned(),
            "SELECT execution_id, first_value(agent_name ORDER BY agent_name IS NULL, start_unix_nano, charge_id) AS agent_name,
               min(start_time) AS start_time, max(end_time) AS end_time,
               first_value(termination ORDER BY termination IS NULL, coalesce(end_time, start_time) DESC, charge_id) AS termination,
               bool_or(escalated) AS escalated, CAST(sum(value_usd) AS DECIMAL(38, 12)) AS value_usd
             FROM standing_charges WHERE kind = 'execution' GROUP BY execution_id"
                .to_owned(),
        ),
    ]
}

/// Asks everything both ways.
async fn same_answers(engine: &Engine, when: &str) {
    for (rollup, journal) in questions() {
        let answer = async |sql: &str| {
            let mut rows = ask(engine, sql).await;
            rows.sort_by_key(|row| exact(row).to_string());
            rows
        };
        let (one, other) = (answer(&rollup).await, answer(&journal).await);
        assert_eq!(
            one.len(),
            other.len(),
            "{when}: {rollup}\n{one:#?}\n{other:#?}"
        );
        let differs = one
            .iter()
            .zip(&other)
            .find(|(one, other)| !same(one, other));
        assert!(differs.is_none(), "{when}: {rollup}\n{differs:#?}");
    }
}

/// A row without its floating point.
fn exact(row: &Value) -> Value {
    let mut row = row.clone();
    if let Some(fields) = row.as_object_mut() {
        fields.retain(|_, value| !value.is_f64());
    }
    row
}

/// Equal, but for milliseconds: `percentile_cont` interpolates in millionths of the way between two values.
fn same(one: &Value, other: &Value) -> bool {
    let close = |name: &str| match (one[name].as_f64(), other[name].as_f64()) {
        (Some(one), Some(other)) => (one - other).abs() < 0.01,
        _ => one[name] == other[name],
    };
    exact(one) == exact(other) && ["p50_ms", "p95_ms", "max_ms"].into_iter().all(close)
}

/// Dice that fall the same for the same seed.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len() as u64) as usize].clone()
    }

    /// A call or execution of some trace, in one of a few hours of two days.
    fn charge(&mut self, id: u64) -> ChargeRow {
        let second = (self.roll(3) * 43_200 + self.roll(2) * 3_600 + self.roll(300)) as f64;
        let agent: &str = self.pick(&["triage", "writer", "critic"]);
        let run = format!("e{}", self.roll(9));
        let cost = format!("0.{:012}", self.roll(1_000_000_000));
        let text = |some: bool, text: &str| some.then(|| text.to_owned());
        let mut row = match self.roll(5) {
            0 => {
                let ended = [None, Some("success"), Some("failure"), Some("escalation")];
                // Most leave one trace, some several, also of several agents.
                let run = match id % 3 {
                    0 => run,
                    _ => format!("{run}-{id}"),
                };
                let mut row = execution(&run, agent, second, self.pick(&ended));
                row.charge_id = format!("x{id}");
                row.escalated = self.pick(&[None, Some(true), Some(false)]);
                row.end_time = row
                    .end_time
                    .map(|_| micros(second + self.roll(7_200) as f64));
                row.value_usd = Some(Decimal::new(self.roll(1_000) as i64, 3));
                row
            }
            1 => ChargeRow {
                kind: "tool_call".into(),
                operation: text(true, "execute_tool"),
                tool_name: text(true, "restart"),
                cost_usd: None,
                decisions: 0,
                decision: None,
                usage: None,
                input_tokens: None,
                output_tokens: None,
                ..decision(&format!("c{id}"), agent, &run, second, "0")
            },
            _ => decision(&format!("c{id}"), agent, &run, second, &cost),
        };
        row.trace_id = format!("t{}", self.roll(40));
        row.tenant = self.pick(&[None, text(true, "acme"), text(true, "zeta")]);
        row.user_id = self.pick(&[None, text(true, "ada"), text(true, "bob"), text(true, "cy")]);
        row.session_id = Some(format!("s{}", self.roll(30)));
        row.log_position = id as i64;
        row.duration_ns = row.duration_ns.map(|_| self.roll(5_000_000_000) as i64);
        if self.roll(4) == 0 {
            row.error_type = text(true, "timeout");
            row.queue_wait_ms = Some(self.roll(900) as i64);
        }
        if row.kind == "model_call" && self.roll(5) == 0 {
            (row.cost_usd, row.usage) = (None, text(true, "unknown"));
            (row.input_tokens, row.output_tokens) = (None, None);
        }
        row
    }

    /// What a correction makes of it.
    fn corrected(&mut self, of: &ChargeRow, id: u64) -> ChargeRow {
        let mut row = ChargeRow {
            charge_id: format!("{}+{id}", of.charge_id),
            ..of.clone()
        };
        match self.roll(4) {
            0 => row.tenant = Some("merged".into()),
            1 => row.duration_ns = row.duration_ns.map(|ns| ns / 2),
            2 => row.start_time = Micros(row.start_time.0 + 61_000_000),
            _ => {
                row.cost_usd = row
                    .cost_usd
                    .map(|cost| (cost * Decimal::new(15, 1)).round_dp(12));
            }
        }
        row.date = flyball_store::rows::Date::of_micros(row.start_time.0);
        row.start_unix_nano = row.start_time.0 * 1_000;
        row
    }
}

async fn history(seed: u64, steps: u64) -> (u64, u64) {
    let dir = tempfile::tempdir().unwrap();
    let mut dice = Dice::new(seed);
    let mut store = open(dir.path()).await;
    let mut engine = engine(&store).await;
    let (mut standing, mut id): (Vec<ChargeRow>, u64) = (Vec::new(), 0);
    let (mut from_rollup, mut asked) = (0, 0);
    for step in 0..steps {
        let what = dice.roll(12);
        match what {
            0..=3 => {
                let rows: Vec<ChargeRow> = (0..1 + dice.roll(25))
                    .map(|_| {
                        id += 1;
                        dice.charge(id)
                    })
                    .collect();
                standing.extend(rows.iter().cloned());
                enter(&store, rows, dice.roll(3) > 0);
            }
            4 | 5 if !standing.is_empty() => {
                // Late spans and new prices: reversal and new entry; or a span that tells what is billed already.
                let mut rows = Vec::new();
                for _ in 0..1 + dice.roll(6) {
                    id += 1;
                    let at = dice.roll(standing.len() as u64) as usize;
                    if dice.roll(4) == 0 {
                        rows.push(duplicate(&format!("d{id}"), &standing[at]));
                        continue;
                    }
                    let corrected = dice.corrected(&standing[at], id);
                    let value = standing[at].value_usd.map(|value| -value);
                    rows.push(ChargeRow {
                        value_usd: value,
                        ..reversal(&standing[at])
                    });
                    rows.push(corrected.clone());
                    standing[at] = corrected;
                }
                enter(&store, rows, true);
            }
            6 | 7 => store.flush().await.unwrap(),
            8..=10 => {
                if dice.roll(2) == 0 {
                    store.flush().await.unwrap();
                }
                store.roll_up().await.unwrap();
            }
            11 => {
                // What has not settled is forgotten: in life the resolver enters it anew.
                if dice.roll(2) == 0 {
                    store.close().await.unwrap();
                } else {
                    store.flush().await.unwrap();
                }
                drop(engine);
                drop(store);
                store = open(dir.path()).await;
                engine = self::engine(&store).await;
                standing = standing_now(&engine).await;
            }
            _ => {}
        }
        same_answers(&engine, &format!("seed {seed}, step {step}, {what}")).await;
        let parted = "SELECT (SELECT count(*) FROM executions_alone) + (SELECT count(*) FROM executions_shared) = \
                      (SELECT count(*) FROM charges WHERE kind = 'execution') AS whole";
        assert_eq!(ask(&engine, parted).await, [json!({"whole": true})]);
        let unrolled = ask(&engine, "SELECT count(*) AS n FROM charges_unrolled").await;
        let all = ask(&engine, "SELECT count(*) AS n FROM charges").await;
        asked += all[0]["n"].as_u64().unwrap();
        from_rollup += all[0]["n"].as_u64().unwrap() - unrolled[0]["n"].as_u64().unwrap();
    }
    (from_rollup, asked)
}

async fn standing_now(engine: &Engine) -> Vec<ChargeRow> {
    use flyball_store::rows::Row;
    let batches = engine
        .query("default", "SELECT * FROM standing_charges")
        .await
        .unwrap();
    batches
        .iter()
        .flat_map(|batch| ChargeRow::read(batch).unwrap())
        .collect()
}

/// A few histories here; `FLYBALL_SEEDS=100` tries more.
#[tokio::test]
async fn whatever_happens_both_roads_give_the_same_answer() {
    let seeds = std::env::var("FLYBALL_SEEDS")
        .ok()
        .and_then(|seeds| seeds.parse().ok())
        .unwrap_or(1);
    let (mut from_rollup, mut asked) = (0, 0);
    for seed in 0..seeds {
        let (rolled, all) = history(seed, 24).await;
        (from_rollup, asked) = (from_rollup + rolled, asked + all);
    }
    // The test would be worth little if the rollup were hardly asked.
    assert!(from_rollup * 4 > asked, "{from_rollup} of {asked} rows");
}

/// Which executions left several entries is remembered of the present, and read of the past.
#[tokio::test]
async fn an_execution_of_two_traces_was_one_of_a_single_trace_before() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let engine = engine(&store).await;
    let part = |charge: &str, second, ended| ChargeRow {
        charge_id: charge.to_owned(),
        trace_id: format!("t-{charge}"),
        ..execution("e1", "triage", second, ended)
    };
    let other = execution("e2", "triage", 5.0, Some("success"));
    enter(
        &store,
        vec![part("x1", 0.0, Some("escalation")), other],
        true,
    );
    store.flush().await.unwrap();
    let told = async |session: &flyball_query::Session| {
        let sql = "SELECT execution_id, termination FROM standing_executions ORDER BY 1";
        let batches = session.query(sql).await.unwrap();
        flyball_query::format::render(&batches, flyball_query::format::Format::Csv).unwrap()
    };
    let (now, before) = (engine.session("default"), chrono::Utc::now());
    let alone = "execution_id,termination\ne1,escalation\ne2,success\n";
    assert_eq!(told(&now).await, alone);
    tokio::time::sleep(Duration::from_millis(50)).await;
    enter(&store, vec![part("x2", 3_600.0, Some("success"))], true);
    // In the buffer, and on disk.
    let together = "execution_id,termination\ne1,success\ne2,success\n";
    assert_eq!(told(&now).await, together);
    store.flush().await.unwrap();
    assert_eq!(told(&now).await, together);
    let past = |moment| engine.session("default").at(moment);
    assert_eq!(told(&past(Moment::At(before))).await, alone);
    assert_eq!(told(&past(Moment::At(chrono::Utc::now()))).await, together);
    assert_eq!(told(&past(Moment::Committed)).await, together);
}

#[tokio::test]
async fn a_correction_counts_at_once_and_again_once_it_is_summed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let engine = engine(&store).await;
    let call = decision("m1", "triage", "e1", 1.0, "0.25");
    enter(
        &store,
        vec![call.clone(), decision("m2", "triage", "e1", 70.0, "0.5")],
        true,
    );
    let cost = async || {
        ask(&engine, "SELECT cost_usd FROM cost_per_decision").await[0]["cost_usd"].clone()
    };
    let unrolled = async || {
        ask(&engine, "SELECT count(*) AS n FROM charges_unrolled").await[0]["n"]
            .as_u64()
            .unwrap()
    };
    assert_eq!(
        (cost().await, unrolled().await),
        (json!("0.750000000000"), 2)
    );
    store.flush().await.unwrap();
    assert_eq!(
        (cost().await, unrolled().await),
        (json!("0.750000000000"), 2)
    );
    store.roll_up().await.unwrap();
    assert_eq!(
        (cost().await, unrolled().await),
        (json!("0.750000000000"), 0)
    );
    assert_eq!(
        ask(&engine, "SELECT count(*) AS n FROM rollup_1m").await,
        [json!({"n": 2})]
    );
    let repriced = ChargeRow {
        charge_id: "m1b".into(),
        cost_usd: Some(Decimal::new(10, 2)),
        ..call.clone()
    };
    enter(&store, vec![reversal(&call), repriced], true);
    assert_eq!(
        (cost().await, unrolled().await),
        (json!("0.600000000000"), 3)
    );
    // The other minute is still the rollup's.
    assert_eq!(
        ask(&engine, "SELECT count(*) AS n FROM rollup_1m").await,
        [json!({"n": 1})]
    );
    store.flush().await.unwrap();
    store.roll_up().await.unwrap();
    assert_eq!(
        (cost().await, unrolled().await),
        (json!("0.600000000000"), 0)
    );
    let stats = store.stats();
    assert_eq!(
        (
            stats.rolled_minutes,
            stats.stale_minutes,
            stats.rollup_commits
        ),
        (3, 0, 2)
    );
}

#[tokio::test]
async fn many_values_are_within_the_sketches_stated_errors() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let engine = engine(&store).await;
    let mut dice = Dice::new(7);
    for part in 0..4 {
        let rows = (0..1_500).map(|at| {
            let id = part * 1_500 + at;
            ChargeRow {
                duration_ns: Some(dice.roll(1 << 31) as i64),
                user_id: Some(format!("user-{id}")),
                ..decision(
                    &format!("c{id}"),
                    "triage",
                    &format!("e{}", id % 3_000),
                    (id % 600) as f64,
                    "0.1",
                )
            }
        });
        enter(&store, rows.collect(), true);
        store.flush().await.unwrap();
        if part != 2 {
            store.roll_up().await.unwrap();
        }
    }
    enter(
        &store,
        vec![decision("last", "triage", "e0", 5.0, "0.1")],
        true,
    );
    let answer = ask(&engine, "SELECT n, p95_ms, max_ms FROM latency_p95").await;
    let rank = ask(
        &engine,
        &format!(
            "SELECT CAST(count(*) FILTER (WHERE duration_ns / 1e6 <= {}) AS DOUBLE) / count(*) AS rank, max(duration_ns) / 1e6 AS max
             FROM standing_charges",
            answer[0]["p95_ms"]
        ),
    )
    .await;
    assert_eq!(answer[0]["n"], 6_001);
    assert_eq!(answer[0]["max_ms"], rank[0]["max"]);
    // Three times the error that holds with 99 % confidence.
    let off = (rank[0]["rank"].as_f64().unwrap() - 0.95).abs();
    assert!(off < 3.0 * 0.007, "{off}");
    let activity = ask(&engine, "SELECT executions, users FROM agent_activity").await;
    for (column, truly) in [("executions", 3_000.0), ("users", 6_000.0)] {
        let off = (activity[0][column].as_f64().unwrap() - truly).abs() / truly;
        assert!(off < 4.0 * 0.0163, "{column}: {off}");
    }
}
