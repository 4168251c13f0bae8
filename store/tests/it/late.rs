//! Late spans: the trace they belong to is read back without opening everything that was ever written.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::SeqCst;

use flyball_store::rows::{ChargeRow, Date, Entry, Micros, SpanRow};
use flyball_store::{JournalUpdate, Origin, Resume, Store, Table, rows::Row};

use crate::faulty::{Faulty, open_on};
use crate::fixture::*;

/// Nanoseconds since 1970 at the start of a test's day.
fn nanos(day: i64) -> i64 {
    (START_MICROS + day * DAY_MICROS) * 1_000
}

/// A span and its charge, flushed: one file in each table.
async fn told_and_charged(store: &Store, trace: u32, span: u32, day: i64) {
    let told = Told {
        day,
        ..Told::new(trace, span)
    };
    let position = store
        .append(request(std::slice::from_ref(&told)))
        .await
        .unwrap()
        .position;
    let start = START_MICROS + day * DAY_MICROS;
    let charge = ChargeRow {
        date: Date::of_micros(start),
        start_time: Micros(start),
        charge_id: format!("{trace}-{span}"),
        entry: Entry::Charge.as_str().into(),
        trace_id: told.trace_id(),
        ..ChargeRow::default()
    };
    let update = JournalUpdate {
        settled: vec![told.trace_id()],
        resolved_to: position,
        ..JournalUpdate::of(&[charge]).unwrap()
    };
    store.journal("default", Origin::Live, update).unwrap();
    store.flush().await.unwrap();
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|end| end == "parquet") {
            found.push(path);
        }
    }
    found
}

/// Numbers of the spans, and how many charges.
fn held(found: &Resume) -> (Vec<String>, usize) {
    let rows = found
        .spans
        .iter()
        .flat_map(|batch| SpanRow::read(batch).unwrap());
    let mut spans: Vec<_> = rows.map(|row| row.span_id).collect();
    spans.sort();
    let charges = found.charges.iter().map(|batch| batch.num_rows()).sum();
    (spans, charges)
}

#[tokio::test]
async fn files_of_another_time_are_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    for (span, day) in [(1, 0), (2, 4), (3, 5), (4, 6), (5, 10)] {
        told_and_charged(&store, 7, span, day).await;
    }
    let trace = [Told::new(7, 0).trace_id()];
    let ids = |spans: std::ops::RangeInclusive<u32>| {
        spans.map(|span| format!("{span:016x}")).collect::<Vec<_>>()
    };
    let all = store
        .traces_between("default", &trace, nanos(10), nanos(0))
        .await
        .unwrap();
    assert_eq!(held(&all), (ids(1..=5), 5), "in either order");
    // What lies more than a day away is gone, and nobody notices.
    let gone = |day: i64| Date::of_micros(START_MICROS + day * DAY_MICROS).0;
    let gone = [gone(0), gone(10)].map(|day| {
        let epoch = chrono::NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
        (epoch + chrono::Days::new(day as u64)).to_string()
    });
    for file in files(dir.path()) {
        let name = file.display().to_string();
        if gone.iter().any(|day| name.contains(&format!("date={day}"))) {
            std::fs::remove_file(&file).unwrap();
        }
    }
    assert!(store.traces("default", &trace).await.is_err());
    let found = store
        .traces_between("default", &trace, nanos(5), nanos(5) + 5_000_000)
        .await
        .unwrap();
    assert_eq!(held(&found), (ids(2..=4), 3));
    // What is still in the buffer is there as well.
    let late = Told {
        day: 5,
        ..Told::new(7, 6)
    };
    store.append(request(&[late])).await.unwrap();
    let found = store
        .traces_between("default", &trace, nanos(5), nanos(5) + 6_000_000)
        .await
        .unwrap();
    assert_eq!(held(&found).0.len(), 4);
    assert_eq!(rows(&store, Table::Charges), 5);
}

#[tokio::test]
async fn several_files_are_read_at_a_time_but_not_all() {
    let dir = tempfile::tempdir().unwrap();
    let faulty = Faulty::new();
    let store = open_on(dir.path(), &faulty).await;
    for n in 0..20 {
        store.append(request(&[Told::new(n, 1)])).await.unwrap();
        store.flush().await.unwrap();
    }
    let traces: Vec<_> = (0..20).map(|n| Told::new(n, 1).trace_id()).collect();
    faulty.reads_most.store(0, SeqCst);
    faulty.slow_ms.store(5, SeqCst);
    let found = store.traces("default", &traces).await.unwrap();
    assert_eq!(held(&found).0.len(), 20);
    assert_eq!(faulty.reads_most.load(SeqCst), 8);
}
