//! What is in files and what is in the buffer are one table: each row once, in the table's own types.

use std::sync::Arc;

use deltalake::DeltaTable;
use deltalake::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake::kernel::{StructField, StructType};
use flyball_store::rows::{ChargeRow, Row};
use flyball_store::{Snapshot, Table, TableSnapshot};
use serde_json::json;
use tempfile::TempDir;

use crate::fixture::{ask, engine, moment, world};

async fn empty(dir: &TempDir) -> DeltaTable {
    let url = url::Url::from_directory_path(dir.path()).unwrap();
    let schema: StructType = Table::Charges.schema().as_ref().try_into_kernel().unwrap();
    let columns: Vec<StructField> = schema.fields().cloned().collect();
    let table = DeltaTable::try_from_url(url).await.unwrap();
    table
        .create()
        .with_columns(columns)
        .with_partition_columns(["date"])
        .await
        .unwrap()
}

async fn appended(table: DeltaTable, rows: &[ChargeRow]) -> DeltaTable {
    table
        .write([ChargeRow::batch(rows).unwrap()])
        .await
        .unwrap()
}

fn snapshot(delta: Option<DeltaTable>, buffered: &[ChargeRow]) -> Snapshot {
    let mut all = moment(Vec::new());
    let buffered = if buffered.is_empty() {
        Vec::new()
    } else {
        vec![ChargeRow::batch(buffered).unwrap()]
    };
    all.tables.insert(
        Table::Charges,
        TableSnapshot {
            table: Table::Charges,
            delta,
            buffered,
            bounds: Vec::new(),
            spilled: Vec::new(),
            superseded: std::sync::Arc::default(),
        },
    );
    all
}

const TOTALS: &str =
    "SELECT count(*) AS rows, sum(calls) AS calls, sum(cost_usd) AS cost FROM charges";

#[tokio::test]
async fn files_and_buffer_are_one_table_at_one_version() {
    let dir = TempDir::new().unwrap();
    let world = world();
    let (first, rest) = world.split_at(4);
    let (second, third) = rest.split_at(3);
    let one = appended(empty(&dir).await, first).await;
    let two = appended(one.clone(), second).await;
    let all = ask(&*engine(snapshot(None, &world)).await, TOTALS).await;
    assert_eq!(
        all,
        vec![json!({"rows": 11, "calls": 8, "cost": "0.003500000000"})]
    );
    // The version of the snapshot counts, not the newest: the same rows, however they are spread.
    for (delta, buffered) in [(&one, &world[4..]), (&two, third)] {
        let engine = engine(snapshot(Some(delta.clone()), buffered)).await;
        assert_eq!(ask(&engine, TOTALS).await, all);
        assert_eq!(
            ask(&engine, "SELECT cost_per_decision_usd AS c FROM cost_per_decision WHERE agent_name = 'triage'").await,
            vec![json!({"c": "0.001750000000"})]
        );
    }
    let only_files = engine(snapshot(Some(one), &[])).await;
    assert_eq!(
        ask(&only_files, "SELECT count(*) AS n FROM charges").await,
        vec![json!({"n": 4})]
    );
}

#[tokio::test]
async fn both_sides_have_the_schema_of_the_table() {
    let dir = TempDir::new().unwrap();
    let world = world();
    let table = appended(empty(&dir).await, &world[..5]).await;
    for source in [
        snapshot(Some(table.clone()), &world[5..]),
        snapshot(Some(table), &[]),
        snapshot(None, &world),
    ] {
        let engine = engine(source).await;
        let batches = engine
            .query("default", "SELECT * FROM charges")
            .await
            .unwrap();
        assert_eq!(
            batches[0].schema().fields(),
            Table::Charges.schema().fields()
        );
        let mut read: Vec<ChargeRow> = batches
            .iter()
            .flat_map(|b| ChargeRow::read(b).unwrap())
            .collect();
        read.sort_by(|a, b| (&a.charge_id, &a.entry).cmp(&(&b.charge_id, &b.entry)));
        for row in &read {
            assert!(world.contains(row), "{row:?}");
        }
    }
}

#[tokio::test]
async fn filters_and_projections_reach_the_files() {
    let dir = TempDir::new().unwrap();
    let world = world();
    let table = appended(empty(&dir).await, &world[..6]).await;
    let engine = engine(snapshot(Some(table), &world[6..])).await;
    let filtered = "SELECT charge_id FROM charges
                    WHERE agent_name = 'triage' AND entry = 'charge' AND date = '2026-03-01'
                      AND start_time BETWEEN '2026-03-01T12:00:01Z' AND '2026-03-01T12:00:02.5Z' ORDER BY 1";
    assert_eq!(
        ask(&engine, filtered).await,
        vec![json!({"charge_id": "k1"}), json!({"charge_id": "m1"})]
    );
    let plan = ask(&engine, &format!("EXPLAIN {filtered}")).await;
    let text = plan
        .iter()
        .map(|row| row["plan"].as_str().unwrap())
        .collect::<Vec<_>>()
        .join("\n");
    assert!(text.contains("Scan"), "{text}");
    assert!(
        !text.contains("cost_usd"),
        "columns that are not asked for are not read: {text}"
    );
    let none = ask(
        &engine,
        "SELECT count(*) AS n FROM charges WHERE date = '2020-01-01'",
    )
    .await;
    assert_eq!(none, vec![json!({"n": 0})]);
}

/// A condition that is met behind the scan, before it or both, and what is read as it is asked for.
#[tokio::test]
async fn what_is_asked_of_files_is_answered_as_of_rows_in_memory() {
    let dir = TempDir::new().unwrap();
    let world = world();
    let table = appended(empty(&dir).await, &world[..4]).await;
    let table = appended(table, &world[4..]).await;
    let (files, memory) = (
        engine(snapshot(Some(table), &[])).await,
        engine(snapshot(None, &world)).await,
    );
    for condition in [
        "kind = 'model_call'",
        "kind <> 'model_call' AND entry = 'charge'",
        "kind = 'execution' AND termination IS NOT NULL",
        "decision AND cost_usd > 0.001",
        "NOT decision OR kind = 'tool_call'",
        "NOT escalated",
        "escalated IS NOT NULL AND agent_name = 'triage'",
        "agent_name IS NOT NULL AND kind = 'model_call' AND start_time > '2026-03-01T12:00:01Z'",
        "date IS NOT NULL AND date = '2026-03-01' AND kind = 'tool_call'",
    ] {
        for sql in [
            format!(
                "SELECT charge_id, entry, agent_name, cost_usd FROM charges WHERE {condition} ORDER BY 1, 2"
            ),
            format!("SELECT count(*) AS n, sum(cost_usd) AS cost FROM charges WHERE {condition}"),
            format!("SELECT charge_id FROM charges WHERE {condition} ORDER BY charge_id LIMIT 2"),
            format!(
                "SELECT count(*) AS n FROM (SELECT 1 FROM charges WHERE {condition} LIMIT 2) c"
            ),
        ] {
            assert_eq!(ask(&files, &sql).await, ask(&memory, &sql).await, "{sql}");
        }
    }
}

#[tokio::test]
async fn a_table_that_was_never_loaded_is_named_in_the_error() {
    let dir = TempDir::new().unwrap();
    let url = url::Url::from_directory_path(dir.path()).unwrap();
    let unloaded = DeltaTable::try_from_url(url).await.unwrap();
    let engine = engine(snapshot(Some(unloaded), &[])).await;
    let error = engine
        .query("default", "SELECT * FROM charges")
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("charges"), "{error}");
    let shared: Arc<_> = engine;
    assert_eq!(
        ask(&shared, "SELECT count(*) AS n FROM spans").await,
        vec![json!({"n": 0})]
    );
}

/// The rows in two files, those of the earlier half in one; how many files there are, and their bytes.
pub(crate) async fn two_files(dir: &TempDir, rows: &[ChargeRow]) -> (Snapshot, usize, u64) {
    let mut rows = rows.to_vec();
    rows.sort_by_key(|row| row.start_time.0);
    let one = appended(empty(dir).await, &rows[..1]).await;
    let two = appended(one, &rows[1..]).await;
    let files: Vec<u64> = two
        .snapshot()
        .unwrap()
        .log_data()
        .iter()
        .map(|file| file.size().unsigned_abs())
        .collect();
    (snapshot(Some(two), &[]), files.len(), files.iter().sum())
}
