//! What Flyball keeps is plain Delta Lake: other implementations find the same totals, at the same version, while
//! it runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use rust_decimal::Decimal;
use serde_json::Value;

use crate::harness::{Server, flyball, import, recording, root, run};
use crate::load::Load;
use crate::seaweed::{BUCKET, Seaweed};

/// Totals by name, as numbers.
type Totals = BTreeMap<String, Decimal>;

/// What is added up, by table; `readers.py` does the same.
const QUESTIONS: [(&str, &str); 2] = [
    (
        "spans",
        "SELECT count(*) AS rows, count(DISTINCT span_id) AS ids, coalesce(sum(input_tokens), 0) AS input_tokens, \
         coalesce(sum(output_tokens), 0) AS output_tokens FROM spans",
    ),
    (
        "charges",
        "SELECT count(*) AS rows, count(DISTINCT span_id) AS ids, coalesce(sum(calls), 0) AS calls, \
         coalesce(sum(input_tokens), 0) AS input_tokens, coalesce(sum(output_tokens), 0) AS output_tokens, \
         coalesce(sum(cost_usd), 0) AS cost_usd FROM charges",
    ),
];

/// The Python that has all of them, with `weed` beside it.
pub(crate) fn python() -> Option<PathBuf> {
    let python = std::env::var_os("FLYBALL_TEST_READERS");
    if python.is_none() {
        eprintln!("FLYBALL_TEST_READERS names no Python with the packages of .ci/run: skipped");
    }
    python.map(PathBuf::from)
}

fn digits(value: &Value) -> Decimal {
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    text.parse()
        .unwrap_or_else(|_| panic!("{text} is not a number"))
}

fn totals(row: &Value) -> Totals {
    let row = row.as_object().unwrap();
    row.iter()
        .map(|(name, value)| (name.clone(), digits(value)))
        .collect()
}

/// What `flyball query --committed` says of each table, and of which version; None while one has no version.
fn ours(dir: &Path) -> Option<BTreeMap<&'static str, (u64, Totals)>> {
    let answer = |(table, sql)| {
        let output = run(flyball(dir).args(["query", sql, "--committed", "--format", "json"]));
        let said = String::from_utf8(output.stderr).unwrap();
        let version = said
            .split_once(&format!("-- versions {table}="))
            .unwrap_or_else(|| panic!("no version of {table}: {said}"));
        let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
        let version = version.1.trim().parse().ok()?;
        Some((table, (version, totals(&rows[0]))))
    };
    QUESTIONS.into_iter().map(answer).collect()
}

/// Compares with every other reader at those versions.
fn compare(
    python: &Path,
    tables: &str,
    endpoint: Option<&str>,
    ours: &BTreeMap<&'static str, (u64, Totals)>,
) {
    let versions: BTreeMap<_, _> = ours
        .iter()
        .map(|(table, (version, _))| (table, version))
        .collect();
    let output = run(Command::new(python)
        .arg(root().join("tests/it/readers.py"))
        .arg(tables)
        .arg(serde_json::to_string(&versions).unwrap())
        .args(endpoint));
    let theirs: Value = serde_json::from_slice(&output.stdout).unwrap();
    let theirs = theirs.as_object().unwrap();
    assert_eq!(
        theirs.keys().collect::<Vec<_>>(),
        ["deltalake", "duckdb", "polars"]
    );
    for (reader, found) in theirs {
        for (table, (version, wanted)) in ours {
            assert_eq!(
                &totals(&found[*table]),
                wanted,
                "{reader} on version {version} of {table}"
            );
        }
    }
}

/// Rounds of comparison while requests keep coming in; in each the tables have moved on.
fn agree_while_ingest_runs(
    python: &Path,
    dir: &Path,
    server: &Server,
    tables: &str,
    endpoint: Option<&str>,
) {
    let load = Load::start(server);
    let mut before = Decimal::ZERO;
    for _ in 0..2 {
        let (found, acknowledged) = loop {
            if let Some(found) = ours(dir)
                && found["spans"].1["rows"] > before
                && found["charges"].1["rows"] > Decimal::ZERO
            {
                break (found, load.acknowledged());
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        };
        compare(python, tables, endpoint, &found);
        assert!(load.acknowledged() > acknowledged, "ingest runs meanwhile");
        before = found["spans"].1["rows"];
    }
    load.stop();
}

/// A server that flushes every second.
fn server(dir: &Path, settings: &[(&str, String)]) -> Server {
    let mut command = flyball(dir);
    command
        .env("FLYBALL_STORE_FLUSH_AGE_S", "1")
        .envs(settings.iter().map(|(name, value)| (*name, value)));
    Server::start_as(command, dir, &[])
}

#[test]
fn every_reader_finds_the_same_totals_of_recorded_requests() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    import(
        dir.path(),
        &[recording("oi_langgraph"), recording("traceloop")],
    );
    let ours = ours(dir.path()).unwrap();
    assert_eq!(ours["spans"].1["rows"], Decimal::from(180 + 105));
    assert!(ours["charges"].1["cost_usd"] > Decimal::ZERO);
    let tables = dir.path().join("tables/default");
    compare(&python, tables.to_str().unwrap(), None, &ours);
}

#[test]
fn every_reader_finds_the_same_totals_on_disk_while_ingest_runs() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path(), &[]);
    let tables = dir.path().join("tables/default");
    agree_while_ingest_runs(&python, dir.path(), &server, tables.to_str().unwrap(), None);
    server.stop();
}

#[test]
fn every_reader_finds_the_same_totals_in_a_bucket_while_ingest_runs() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let seaweed = Seaweed::start(&python.with_file_name("weed"));
    let settings = [
        ("FLYBALL_DATA_TABLES_URL", format!("s3://{BUCKET}/tables")),
        ("FLYBALL_DATA_STORAGE_OPTIONS", seaweed.options()),
    ];
    let server = server(dir.path(), &settings);
    let tables = format!("s3://{BUCKET}/tables/default");
    agree_while_ingest_runs(
        &python,
        dir.path(),
        &server,
        &tables,
        Some(&seaweed.endpoint()),
    );
    server.stop();
}
