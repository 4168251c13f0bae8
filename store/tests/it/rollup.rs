//! The rollup: which minutes it speaks for, through restarts and failing commits.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use flyball_store::rows::{ChargeRow, Date, Micros, RollupRow, Row};
use flyball_store::{
    Config, Error, JournalUpdate, Minutes, Origin, Retain, Snapshot, Store, Table,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::faulty::{Fault, Faulty, open_on};
use crate::fixture::*;

const MINUTE: i64 = START_MICROS / 60_000_000;

fn call(id: u32, minute: i64) -> ChargeRow {
    let start = Micros((MINUTE + minute) * 60_000_000 + i64::from(id));
    ChargeRow {
        date: Date::of_micros(start.0),
        start_time: start,
        charge_id: format!("c{id}"),
        entry: "charge".into(),
        kind: "model_call".into(),
        trace_id: Told::new(id, 1).trace_id(),
        execution_id: format!("e{id}"),
        agent_name: Some("a".into()),
        calls: 1,
        ..ChargeRow::default()
    }
}

fn enter(store: &Store, rows: Vec<ChargeRow>, settled: bool) {
    let traces = rows.iter().map(|row| row.trace_id.clone()).collect();
    let update = JournalUpdate {
        settled: if settled { traces } else { Vec::new() },
        ..JournalUpdate::of(&rows).unwrap()
    };
    store.journal("default", Origin::Live, update).unwrap();
}

/// The minutes that only the journal speaks for, after the start of the test's time.
fn unrolled(snapshot: &Snapshot) -> Vec<i64> {
    let ranges = snapshot.unrolled.ranges().iter().cloned();
    ranges.flatten().map(|minute| minute - MINUTE).collect()
}

/// What the files say that the rollup lists: calls by minute.
fn listed(dir: &Path, snapshot: &Snapshot) -> BTreeMap<i64, i64> {
    let mut calls = BTreeMap::new();
    let Some(delta) = &snapshot.tables[&Table::Rollup1m].delta else {
        return calls;
    };
    for file in delta.snapshot().unwrap().log_data().iter() {
        let path = dir
            .join("tables/default/rollup_1m")
            .join(file.path().as_ref());
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap());
        for batch in reader.unwrap().build().unwrap() {
            for row in RollupRow::read(&batch.unwrap()).unwrap() {
                *calls.entry(Minutes::of(row.minute.0) - MINUTE).or_default() += row.calls;
            }
        }
    }
    calls
}

#[tokio::test]
async fn a_minute_is_the_rollups_once_all_of_it_is_on_disk_and_summed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    enter(&store, vec![call(1, 0), call(2, 0), call(3, 5)], true);
    enter(&store, vec![call(4, 9)], false);
    assert_eq!(unrolled(&store.snapshot("default")), [0, 5, 9]);
    store.roll_up().await.unwrap();
    assert_eq!(
        unrolled(&store.snapshot("default")),
        [0, 5, 9],
        "nothing is on disk"
    );
    store.flush().await.unwrap();
    store.roll_up().await.unwrap();
    let snapshot = store.snapshot("default");
    assert_eq!(unrolled(&snapshot), [9], "its trace is open");
    assert_eq!(listed(dir.path(), &snapshot), [(0, 2), (5, 1)].into());
    // More of a minute that was summed: stale at once, and its row is replaced, not added to.
    enter(&store, vec![call(5, 0)], true);
    assert_eq!(unrolled(&store.snapshot("default")), [0, 9]);
    store.flush().await.unwrap();
    assert_eq!(unrolled(&store.snapshot("default")), [0, 9]);
    store.roll_up().await.unwrap();
    let snapshot = store.snapshot("default");
    assert_eq!(unrolled(&snapshot), [9]);
    assert_eq!(listed(dir.path(), &snapshot), [(0, 3), (5, 1)].into());
    let stats = store.stats();
    assert_eq!(
        (stats.rolled_rows, stats.rollup_commits, stats.stale_minutes),
        (3, 2, 0)
    );
    assert!(stats.oldest_stale.is_none());
}

#[tokio::test]
async fn a_restart_knows_what_was_not_summed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    enter(&store, vec![call(1, 0), call(2, 1_500)], true);
    store.flush().await.unwrap();
    store.roll_up().await.unwrap();
    store.close().await.unwrap();
    drop(store);
    let store = open(dir.path()).await;
    assert!(store.snapshot("default").unrolled.is_empty());
    enter(&store, vec![call(3, 4)], true);
    store.flush().await.unwrap();
    drop(store);
    // As a reader sees it, who writes nothing.
    let reader = Store::open_read_only(config(dir.path()), Arc::new(Json))
        .await
        .unwrap();
    assert_eq!(unrolled(&reader.snapshot("default")), [4]);
    assert!(matches!(reader.roll_up().await, Err(Error::ReadOnly)));
    reader.close().await.unwrap();
    drop(reader);
    let store = open(dir.path()).await;
    assert_eq!(unrolled(&store.snapshot("default")), [4]);
    store.roll_up().await.unwrap();
    let snapshot = store.snapshot("default");
    assert!(snapshot.unrolled.is_empty());
    assert_eq!(
        listed(dir.path(), &snapshot),
        [(0, 1), (4, 1), (1_500, 1)].into()
    );
}

#[tokio::test]
async fn without_a_rollup_every_minute_with_a_charge_is_stale() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    enter(&store, vec![call(1, 0), call(2, 2_000)], true);
    store.close().await.unwrap();
    drop(store);
    let store = open(dir.path()).await;
    assert_eq!(unrolled(&store.snapshot("default")), [0, 2_000]);
}

/// One fault on the rollup's file or commit, and what comes after.
async fn recovers(fault: Fault, suffix: &'static str, times: usize, crash: bool) {
    let case = format!("{fault:?} {suffix} x{times} crash={crash}");
    let dir = tempfile::tempdir().unwrap();
    let faulty = Faulty::new();
    let store = open_on(dir.path(), &faulty).await;
    if suffix == "00002.json" {
        enter(&store, vec![call(1, 0), call(2, 1)], true);
        store.flush().await.unwrap();
        store.roll_up().await.unwrap();
    }
    enter(&store, vec![call(3, 1), call(4, 2)], true);
    store.flush().await.unwrap();
    faulty.fail(fault, suffix, times);
    let failed = store.roll_up().await;
    let snapshot = store.snapshot("default");
    // Either it is known to be made, or the journal is asked: never half and half.
    match failed {
        Ok(()) => assert!(snapshot.unrolled.is_empty(), "{case}"),
        Err(_) => assert_eq!(unrolled(&snapshot), [1, 2], "{case}"),
    }
    enter(&store, vec![call(5, 1), call(6, 3)], true);
    faulty.heal();
    store.flush().await.unwrap();
    let store = if crash {
        drop(store);
        open_on(dir.path(), &faulty).await
    } else {
        store
    };
    store
        .roll_up()
        .await
        .unwrap_or_else(|error| panic!("{case}: {error}"));
    let snapshot = store.snapshot("default");
    assert!(snapshot.unrolled.is_empty(), "{case}");
    let early = usize::from(suffix == "00002.json") as i64;
    let mut wanted: BTreeMap<i64, i64> = [(1, 2 + early), (2, 1), (3, 1)].into();
    if early > 0 {
        wanted.insert(0, 1);
    }
    assert_eq!(listed(dir.path(), &snapshot), wanted, "{case}");
}

#[tokio::test]
async fn whatever_fails_no_minute_is_lost_or_doubled() {
    let mut cases = Vec::new();
    for fault in [Fault::Before, Fault::After, Fault::AfterThenDown] {
        for suffix in [".parquet", "00000.json", "00001.json", "00002.json"] {
            for times in [1, 100] {
                cases.extend([false, true].map(|crash| recovers(fault, suffix, times, crash)));
            }
        }
    }
    futures::future::join_all(cases).await;
}

#[tokio::test]
async fn a_days_minutes_stay_in_few_files() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    for minute in 0..12 {
        enter(&store, vec![call(minute, i64::from(minute))], true);
        store.flush().await.unwrap();
        store.roll_up().await.unwrap();
    }
    let snapshot = store.snapshot("default");
    let delta = snapshot.tables[&Table::Rollup1m].delta.as_ref().unwrap();
    assert_eq!(delta.snapshot().unwrap().log_data().num_files(), 1);
    assert_eq!(listed(dir.path(), &snapshot).len(), 12);
}

#[tokio::test]
async fn what_was_summed_outlives_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config {
        rollup_every: Duration::from_secs(3_600),
        ..config(dir.path())
    };
    // The test's time is long past by any clock that runs it.
    config.maintenance.retain = vec![Retain {
        workspace: None,
        table: Table::Charges,
        days: 10,
    }];
    let past = |id: u32| ChargeRow {
        date: Date::of_micros(60_000_000 * i64::from(id)),
        start_time: Micros(60_000_000 * i64::from(id)),
        ..call(id, 0)
    };
    let store = Store::open(config.clone(), Arc::new(Json)).await.unwrap();
    enter(&store, vec![past(1), past(2)], true);
    store.flush().await.unwrap();
    store.maintain().await.unwrap();
    assert_eq!(
        rows(&store, Table::Charges),
        2,
        "they wait until they are summed"
    );
    store.roll_up().await.unwrap();
    store.maintain().await.unwrap();
    assert_eq!(rows(&store, Table::Charges), 0);
    assert!(store.snapshot("default").unrolled.is_empty());
    store.roll_up().await.unwrap();
    assert_eq!(rows(&store, Table::Rollup1m), 2);
    store.close().await.unwrap();
    drop(store);
    let store = Store::open(config, Arc::new(Json)).await.unwrap();
    assert!(store.snapshot("default").unrolled.is_empty());
    store.roll_up().await.unwrap();
    assert_eq!(rows(&store, Table::Rollup1m), 2);
}
