//! One moment for all tables: never a row twice, never one missing, while everything moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flyball_store::{Config, Store, Table};

use crate::fixture::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_snapshot_is_a_prefix_of_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        segment_bytes: 20_000,
        ..config(dir.path())
    };
    let store = Store::open(config, Arc::new(Json)).await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..4u32)
        .map(|writer| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for n in 0..100 {
                    // Request n of any writer has one span and one content.
                    store
                        .append(request(&[Told::new(writer * 1_000 + n, 1)]))
                        .await
                        .unwrap();
                }
            })
        })
        .collect();
    let flusher = {
        let (store, done) = (Arc::clone(&store), Arc::clone(&done));
        tokio::spawn(async move {
            while !done.load(Ordering::Relaxed) {
                store.flush().await.unwrap();
            }
        })
    };
    let reader = {
        let (store, done) = (Arc::clone(&store), Arc::clone(&done));
        tokio::spawn(async move {
            let mut seen = 0;
            while !done.load(Ordering::Relaxed) {
                let acknowledged = store.stats().log_visible as usize;
                let snapshot = store.snapshot("default");
                let total =
                    |table| rows_on_disk(&snapshot, table) + rows_buffered(&snapshot, table);
                let (spans, contents) = (total(Table::Spans), total(Table::Contents));
                assert_eq!(spans, contents, "tables of one snapshot agree");
                assert!(spans >= acknowledged && spans >= seen && spans <= 400);
                seen = spans;
                tokio::task::yield_now().await;
            }
        })
    };
    for writer in writers {
        writer.await.unwrap();
    }
    done.store(true, Ordering::Relaxed);
    flusher.await.unwrap();
    reader.await.unwrap();
    assert_eq!(rows(&store, Table::Spans), 400);
    assert_eq!(spans(&store).await.len(), 400);
}

#[tokio::test]
async fn an_unknown_workspace_is_empty_and_complete() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let snapshot = store.snapshot("other");
    assert_eq!(snapshot.tables.len(), Table::ALL.len());
    assert!(
        snapshot
            .tables
            .values()
            .all(|table| table.delta.is_none() && table.buffered.is_empty())
    );
    assert!(store.workspaces().is_empty());
}

#[tokio::test]
async fn of_a_span_told_twice_the_later_is_read_back_wherever_the_first_one_is() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let told = |name: &str| Told {
        name: name.into(),
        ..Told::new(1, 1)
    };
    for name in ["started", "pending"] {
        store.append(request(&[told(name)])).await.unwrap();
    }
    assert_eq!(
        rows(&store, Table::Spans),
        1,
        "in the buffer it stands once"
    );
    store.flush().await.unwrap();
    store.append(request(&[told("final")])).await.unwrap();
    let found = store
        .traces("default", &[told("").trace_id()])
        .await
        .unwrap();
    assert_eq!(
        found
            .spans
            .iter()
            .map(|batch| batch.num_rows())
            .sum::<usize>(),
        1
    );
    assert_eq!(spans(&store).await.values().next().unwrap().name, "final");
}

#[tokio::test]
async fn age_alone_makes_a_flush() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        flush_age: std::time::Duration::from_millis(50),
        ..config(dir.path())
    };
    let store = Store::open(config, Arc::new(Json)).await.unwrap();
    store.append(request(&[Told::new(1, 1)])).await.unwrap();
    let flushed = async {
        while rows_on_disk(&store.snapshot("default"), Table::Contents) == 0
            || store.stats().log_bytes > 0
        {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), flushed)
        .await
        .unwrap();
    assert_eq!(rows(&store, Table::Spans), 1);
}
