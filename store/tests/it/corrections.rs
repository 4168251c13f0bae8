//! What a flush corrects on disk stands on the ledger: once, whatever fails on the way.

use std::path::Path;
use std::sync::Arc;

use flyball_store::rows::{AuditRow, ChargeRow, Date, Entry, Micros, Row};
use flyball_store::{Config, JournalUpdate, Origin, Store, Table, verify_ledger};
use object_store::ObjectStore;
use serde_json::Value;

use crate::faulty::{Fault, Faulty};
use crate::fixture::*;

fn entry(id: &str, entry: Entry, reason: Option<&str>, micro_usd: i64) -> ChargeRow {
    ChargeRow {
        date: Date::of_micros(START_MICROS),
        start_time: Micros(START_MICROS),
        known_at: Micros(START_MICROS + 1),
        charge_id: id.into(),
        entry: entry.as_str().into(),
        reason: reason.map(Into::into),
        kind: "model_call".into(),
        trace_id: Told::new(1, 1).trace_id(),
        cost_usd: Some(rust_decimal::Decimal::new(micro_usd, 6)),
        ..ChargeRow::default()
    }
}

fn post(store: &Store, post: Vec<ChargeRow>) {
    let update = JournalUpdate {
        settled: vec![Told::new(1, 1).trace_id()],
        ..JournalUpdate::of(&post).unwrap()
    };
    store.journal("default", Origin::Live, update).unwrap();
}

fn repriced() -> Vec<ChargeRow> {
    vec![
        entry("a", Entry::Reversal, Some("repriced"), -20),
        entry("a2", Entry::Charge, Some("repriced"), 25),
    ]
}

/// The records of corrections that the buffer or a file holds.
async fn told(store: &Store) -> Vec<Value> {
    // What the first corrects is told when it is done; the second writes that.
    store.flush().await.unwrap();
    store.flush().await.unwrap();
    let snapshot = store.snapshot("default");
    let delta = snapshot.tables[&Table::Audit].delta.as_ref();
    let mut found = Vec::new();
    for file in delta
        .map(|delta| delta.get_file_uris().unwrap())
        .into_iter()
        .flatten()
    {
        let path = url::Url::parse(&file)
            .map_or_else(|_| file.clone().into(), |url| url.to_file_path().unwrap());
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(
            std::fs::File::open(path).unwrap(),
        );
        for batch in reader.unwrap().build().unwrap() {
            found.extend(AuditRow::read(&batch.unwrap()).unwrap());
        }
    }
    found.retain(|row| row.event == "charges.corrected");
    found.sort_by_key(|row| row.seq);
    found
        .iter()
        .map(|row| serde_json::from_str(&row.record).unwrap())
        .collect()
}

#[tokio::test]
async fn a_flush_that_takes_charges_back_says_so_on_the_ledger() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    post(
        &store,
        vec![
            entry("a", Entry::Charge, None, 20),
            entry("b", Entry::Charge, None, 7),
        ],
    );
    store.flush().await.unwrap();
    // What never was on disk corrects nothing.
    post(&store, vec![entry("c", Entry::Charge, None, 1)]);
    post(
        &store,
        vec![
            entry("c", Entry::Reversal, Some("late_span"), -1),
            entry("c2", Entry::Charge, Some("late_span"), 2),
        ],
    );
    assert_eq!(told(&store).await, Vec::<Value>::new());
    post(&store, repriced());
    let [record] = &told(&store).await[..] else {
        panic!("{:?}", told(&store).await)
    };
    assert_eq!(record["reversed"], 1);
    assert_eq!(record["entered"], 1);
    assert_eq!(record["cost_usd_change"], "0.000005");
    assert_eq!(record["reasons"], serde_json::json!({ "repriced": 2 }));
    assert_eq!(record["charge_ids"], serde_json::json!(["a"]));
    let file = record["file"].as_str().unwrap();
    assert!(
        dir.path()
            .join("tables/default/charges")
            .join(file)
            .is_file(),
        "{file}"
    );
    // What the last flush corrects is told before the ledger is closed.
    post(
        &store,
        vec![entry("b", Entry::Reversal, Some("duplicate"), -7)],
    );
    store.close().await.unwrap();
    drop(store);
    assert!(
        !std::fs::read_to_string(dir.path().join("corrections.json"))
            .unwrap()
            .contains("charges")
    );
    let store = open(dir.path()).await;
    let records = told(&store).await;
    assert_eq!(records.len(), 2);
    assert_eq!(records[1]["cost_usd_change"], "-0.000007");
    store.close().await.unwrap();
    let report = verify_ledger(&config(dir.path()), "default", None)
        .await
        .unwrap();
    assert_eq!(report.findings, Vec::new());
}

async fn open_on(dir: &Path, faulty: &Arc<Faulty>) -> Arc<Store> {
    let tables = dir.join("tables");
    std::fs::create_dir_all(&tables).unwrap();
    let url = url::Url::from_directory_path(tables.canonicalize().unwrap()).unwrap();
    let objects: Arc<dyn ObjectStore> = Arc::<Faulty>::clone(faulty);
    let config = Config { ..config(dir) };
    Store::open_on(config, Arc::new(Json), objects, url)
        .await
        .unwrap()
}

/// The commit fails in some way, then the process ends, or goes on.
async fn once(fault: Fault, crash: bool) {
    let dir = tempfile::tempdir().unwrap();
    let faulty = Faulty::new();
    let mut store = open_on(dir.path(), &faulty).await;
    post(&store, vec![entry("a", Entry::Charge, None, 20)]);
    store.flush().await.unwrap();
    post(&store, repriced());
    faulty.fail(fault, "00002.json", 100);
    let flushed = store.flush().await;
    assert_eq!(flushed.is_err(), fault != Fault::After, "{fault:?}");
    if crash {
        drop(store);
        faulty.heal();
        store = open_on(dir.path(), &faulty).await;
        let snapshot = store.snapshot("default");
        let committed = rows_on_disk(&snapshot, Table::Charges);
        assert_eq!(
            committed,
            if fault == Fault::Before { 1 } else { 3 },
            "{fault:?}"
        );
        let wanted = usize::from(fault != Fault::Before);
        assert_eq!(told(&store).await.len(), wanted, "{fault:?}");
        if fault == Fault::Before {
            // The resolver enters it anew.
            post(&store, repriced());
        }
    }
    faulty.heal();
    for _ in 0..2 {
        assert_eq!(told(&store).await.len(), 1, "{fault:?}, {crash}");
        assert_eq!(rows(&store, Table::Charges), 3);
    }
    store.close().await.unwrap();
}

#[tokio::test]
async fn whatever_becomes_of_the_commit_it_is_told_once() {
    for fault in [Fault::Before, Fault::After, Fault::AfterThenDown] {
        for crash in [false, true] {
            once(fault, crash).await;
        }
    }
}
