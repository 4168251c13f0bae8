//! What questions cost: the same data and the same files, asked by us and by DuckDB in one run.
//!
//!     cargo bench --bench query                 generates ten million spans once, then asks
//!
//! SPANS (10000000), QUERY_DATA (a folder to keep the data in; else one under the target folder), ROUNDS (5) and
//! THREADS (2, of both) can be set in the environment. FLYBALL_TEST_READERS names a Python that has `duckdb`; without
//! it our column stands alone.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "query/fleet.rs"]
mod fleet;
#[path = "query/load.rs"]
mod load;
#[path = "query/questions.rs"]
mod questions;

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flyball_query::{Engine, Session};
use serde_json::{Value, json};

use questions::{PANELS, QUESTIONS};

/// The server's own.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn number(name: &str, default: usize) -> usize {
    let set = std::env::var(name).ok();
    set.and_then(|n| n.parse().ok()).unwrap_or(default)
}

fn main() {
    let spans = number("SPANS", 10_000_000);
    let (rounds, threads) = (number("ROUNDS", 5), number("THREADS", 2));
    let folder = std::env::var_os("QUERY_DATA").map_or_else(
        || PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("query-bench"),
        PathBuf::from,
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        load::once(&folder, spans).await;
        let store = load::open(&folder).await;
        let config = flyball_query::Config {
            partitions: threads,
            ..flyball_query::Config::default()
        };
        let engine = Engine::new(Arc::clone(&store) as _, config).await.unwrap();
        let session = engine.session(load::WORKSPACE);
        let trace = fleet::trace_id(spans as u64 / fleet::SPANS_OF_TRACE / 2);
        let fill = |sql: &str| fleet::fill(sql, &trace);

        let asked = QUESTIONS.map(|question| fill(question.duckdb));
        let theirs = duckdb(&folder, &asked, rounds, threads);
        println!("| question | rows | flyball ms: first, best, median | DuckDB ms: first, best, median | ratio of medians |");
        println!("|---|---|---|---|---|");
        let mut logs = Vec::new();
        for (at, question) in QUESTIONS.iter().enumerate() {
            let ours = ask(&session, &fill(question.flyball), rounds).await;
            let theirs = theirs.as_ref().map(|all| Times::read(&all[at]));
            if let Some(theirs) = &theirs {
                assert_eq!(ours.rows, theirs.rows, "{}", question.name);
                logs.push((ours.median() / theirs.median()).ln());
            }
            let ratio = theirs.as_ref().map(|theirs| ours.median() / theirs.median());
            println!(
                "| {} | {} | {} | {} | {} |",
                question.name,
                ours.rows,
                ours.told(),
                theirs.map_or_else(|| "-".to_owned(), |theirs| theirs.told()),
                ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}")),
            );
        }
        if !logs.is_empty() {
            let mean = (logs.iter().sum::<f64>() / logs.len() as f64).exp();
            println!("\ngeometric mean of the ratios: {mean:.2} (below 1: we are ahead)");
        }
        println!("\n| panel, from the rollup | rows | ms: first, best, median |\n|---|---|---|");
        for panel in PANELS {
            let ours = ask(&session, &fill(panel.flyball), rounds).await;
            println!("| {} | {} | {} |", panel.name, ours.rows, ours.told());
        }
        store.close().await.unwrap();
    });
}

struct Times {
    rows: usize,
    /// Milliseconds, in the order in which they were taken.
    each: Vec<f64>,
}

impl Times {
    fn read(value: &Value) -> Self {
        let each = value["ms"].as_array().unwrap();
        Self {
            rows: value["rows"].as_u64().unwrap() as usize,
            each: each.iter().map(|ms| ms.as_f64().unwrap()).collect(),
        }
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.each.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }

    fn median(&self) -> f64 {
        self.sorted()[self.each.len() / 2]
    }

    fn told(&self) -> String {
        format!(
            "{:.0}, {:.0}, {:.0}",
            self.each[0],
            self.sorted()[0],
            self.median()
        )
    }
}

async fn ask(session: &Session, sql: &str, rounds: usize) -> Times {
    let mut times = Times {
        rows: 0,
        each: Vec::new(),
    };
    for _ in 0..rounds {
        let started = Instant::now();
        let batches = session
            .query(sql)
            .await
            .unwrap_or_else(|e| panic!("{sql}\n{e}"));
        times.each.push(started.elapsed().as_secs_f64() * 1e3);
        times.rows = batches
            .iter()
            .map(arrow::array::RecordBatch::num_rows)
            .sum();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    times
}

/// DuckDB's rows and times, in a process of its own, on exactly the files of the tables' last versions.
fn duckdb(
    folder: &std::path::Path,
    asked: &[String],
    rounds: usize,
    threads: usize,
) -> Option<Vec<Value>> {
    let python = std::env::var_os("FLYBALL_TEST_READERS")?;
    let order = json!({
        "tables": folder.join("tables").join(load::WORKSPACE),
        "questions": asked,
        "rounds": rounds,
        "threads": threads,
    });
    let output = Command::new(python)
        .arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/query/duck.py"))
        .arg(order.to_string())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}
