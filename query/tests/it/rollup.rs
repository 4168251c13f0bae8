//! What the rollup saves: files that are not opened, and time.

use std::path::Path;
use std::time::{Duration, Instant};

use flyball_query::Engine;
use flyball_store::Store;
use flyball_store::rows::ChargeRow;
use serde_json::json;

use crate::fixture::{ask, decision};
use crate::roads::{Dice, engine, enter, open};

const DAY: f64 = 86_400.0;

/// The plan of a statement with what running it took.
async fn analysed(engine: &Engine, sql: &str) -> String {
    let rows = ask(engine, &format!("EXPLAIN ANALYZE {sql}")).await;
    let lines = rows
        .iter()
        .map(|row| row["plan"].as_str().unwrap().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}

/// The files that a plan opens, by the folder of their table.
fn opened(plan: &str, table: &str) -> usize {
    let mut files: Vec<&str> = plan
        .split([' ', ',', '[', ']', '{', '}'])
        .filter(|word| word.contains("/part-") && word.contains(&format!("/{table}/")))
        .collect();
    files.sort_unstable();
    files.dedup();
    files.len()
}

fn files(store: &Store, table: flyball_store::Table) -> usize {
    let snapshot = store.snapshot("default");
    let delta = snapshot.tables[&table].delta.as_ref().unwrap();
    delta.snapshot().unwrap().log_data().num_files()
}

#[tokio::test]
async fn a_query_over_one_day_opens_that_days_files_and_what_is_not_summed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let engine = engine(&store).await;
    for day in 0..5 {
        let rows = (0..40).map(|at| {
            let second = f64::from(day) * DAY + f64::from(at) * 60.0;
            decision(&format!("d{day}-{at}"), "triage", "e", second, "0.01")
        });
        enter(&store, rows.collect(), true);
        store.flush().await.unwrap();
    }
    store.roll_up().await.unwrap();
    // A late call on the fourth day, four hours after the others.
    let late = decision("late", "triage", "e", 3.0 * DAY + 14_400.0, "0.5");
    enter(&store, vec![late], true);
    store.flush().await.unwrap();
    let (charges, rollup) = (
        flyball_store::Table::Charges,
        flyball_store::Table::Rollup1m,
    );
    assert_eq!((files(&store, charges), files(&store, rollup)), (6, 5));
    for (when, cost, rollup_files, charge_files) in [
        ("true", "2.500000000000", 5, 1),
        ("date = '2026-03-02'", "0.400000000000", 1, 0),
        (
            "minute >= '2026-03-02T00:00:00Z' AND minute < '2026-03-03T00:00:00Z'",
            "0.400000000000",
            1,
            0,
        ),
        ("date = '2026-03-04'", "0.900000000000", 1, 1),
    ] {
        let sql = format!(
            "SELECT CAST(sum(cost_usd) AS DECIMAL(38, 12)) AS cost FROM minutes WHERE {when}"
        );
        assert_eq!(ask(&engine, &sql).await, [json!({"cost": cost})], "{when}");
        let plan = analysed(&engine, &sql).await;
        let found = (opened(&plan, "rollup_1m"), opened(&plan, "charges"));
        assert_eq!(found, (rollup_files, charge_files), "{when}\n{plan}");
        assert!(
            !plan.contains("durations"),
            "sketches that nobody asks for are not read: {plan}"
        );
    }
}

#[tokio::test]
async fn the_views_have_the_columns_of_the_table() {
    use flyball_store::rows::{RollupRow, Row};
    let engine = crate::fixture::engine(crate::fixture::moment(Vec::new())).await;
    let sketches = ["durations", "executions", "sessions", "users"];
    for (view, with_sketches) in [("minutes", false), ("minute_sketches", true)] {
        let empty = engine
            .query("default", &format!("SELECT * FROM {view}"))
            .await
            .unwrap();
        let found = empty[0].schema();
        let table = RollupRow::schema();
        let wanted = table
            .fields()
            .iter()
            .filter(|field| with_sketches || !sketches.contains(&field.name().as_str()));
        let wanted = wanted.filter(|field| !with_sketches || found.index_of(field.name()).is_ok());
        let told =
            |field: &arrow::datatypes::Field| (field.name().clone(), field.data_type().clone());
        assert_eq!(
            found
                .fields()
                .iter()
                .map(|field| told(field))
                .collect::<Vec<_>>(),
            wanted.map(|field| told(field)).collect::<Vec<_>>(),
            "{view}"
        );
        assert_eq!(found.index_of("users").is_ok(), with_sketches);
    }
}

fn bytes_below(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|entry| match entry.path() {
            path if path.ends_with("_delta_log") => 0,
            path if path.is_dir() => bytes_below(&path),
            path => path.metadata().unwrap().len(),
        })
        .sum()
}

async fn median(engine: &Engine, sql: &str) -> Duration {
    let mut times = Vec::new();
    for _ in 0..7 {
        let begin = Instant::now();
        ask(engine, sql).await;
        times.push(begin.elapsed());
    }
    times.sort();
    times[times.len() / 2]
}

/// `FLYBALL_ROLLUP_BENCH=N` prints, for 30 days of N charges each by 40 agents: the time of a few questions with
/// and without the rollup, and what a row of it takes on disk.
#[tokio::test]
async fn what_the_rollup_saves() {
    let Some(charges) = std::env::var("FLYBALL_ROLLUP_BENCH")
        .ok()
        .and_then(|n| n.parse::<u64>().ok())
    else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let engine = engine(&store).await;
    let mut dice = Dice::new(1);
    for day in 0..30 {
        let rows = (0..charges).map(|at| {
            let agent = dice.roll(40);
            let second = day as f64 * DAY - 43_200.0 + dice.roll(86_400) as f64;
            ChargeRow {
                duration_ns: Some(dice.roll(8_000_000_000) as i64),
                team: Some(format!("team-{}", agent % 7)),
                response_model: Some(format!("model-{}", agent % 3)),
                user_id: Some(format!("user-{}", dice.roll(2_000))),
                execution_id: format!("e-{day}-{}", at / 6),
                ..decision(
                    &format!("c-{day}-{at}"),
                    &format!("agent-{agent}"),
                    "",
                    second,
                    "0.0123",
                )
            }
        });
        enter(&store, rows.collect(), true);
        store.flush().await.unwrap();
    }
    let begin = Instant::now();
    store.roll_up().await.unwrap();
    let took = begin.elapsed();
    let rows = ask(&engine, "SELECT count(*) AS n FROM rollup_1m").await[0]["n"]
        .as_u64()
        .unwrap();
    let folder = |table: &str| bytes_below(&dir.path().join("tables/default").join(table));
    let (rolled, journal) = (folder("rollup_1m"), folder("charges"));
    println!(
        "{} charges over 30 days, summed in {took:.1?} to {rows} rows",
        30 * charges
    );
    println!(
        "on disk: charges {journal} bytes, {:.1} a charge; rollup {rolled} bytes, {:.1} a row",
        journal as f64 / (30 * charges) as f64,
        rolled as f64 / rows as f64
    );
    for (what, with, without) in [
        (
            "cost by agent and day, 30 days",
            "SELECT agent_name, date, sum(cost_usd) AS cost FROM minutes GROUP BY 1, 2 ORDER BY 1, 2",
            "SELECT agent_name, date, sum(cost_usd) AS cost FROM charges GROUP BY 1, 2 ORDER BY 1, 2",
        ),
        (
            "cost by agent, one day",
            "SELECT agent_name, sum(cost_usd) AS cost FROM minutes WHERE date = '2026-03-20' GROUP BY 1 ORDER BY 1",
            "SELECT agent_name, sum(cost_usd) AS cost FROM charges WHERE date = '2026-03-20' GROUP BY 1 ORDER BY 1",
        ),
        (
            "p95 by agent, 30 days",
            "SELECT agent_name, p95_ms FROM latency_p95 ORDER BY 1",
            "SELECT agent_name, percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_ns / 1e6) AS p95_ms
             FROM standing_charges WHERE duration_ns IS NOT NULL GROUP BY 1 ORDER BY 1",
        ),
    ] {
        let (fast, slow) = (median(&engine, with).await, median(&engine, without).await);
        println!(
            "{what}: rollup {fast:.1?}, journal {slow:.1?}, ratio {:.2}",
            slow.as_secs_f64() / fast.as_secs_f64()
        );
        if !what.contains("p95") {
            assert_eq!(ask(&engine, with).await, ask(&engine, without).await, "{what}");
        }
    }
}
