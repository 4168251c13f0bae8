//! Reading what the tables held at an earlier time.

use chrono::{DateTime, Utc};
use flyball_store::{Error, Moment, Snapshot, Store, Table};

use crate::fixture::*;

/// A moment that no commit shares.
async fn now() -> DateTime<Utc> {
    let pause = || tokio::time::sleep(std::time::Duration::from_millis(20));
    pause().await;
    let now = Utc::now();
    pause().await;
    now
}

async fn append(store: &Store, trace: u32) {
    store.append(request(&[Told::new(trace, 1)])).await.unwrap();
}

async fn read(store: &Store, moment: Moment) -> Result<Snapshot, Error> {
    store.snapshot_at("default", moment, &Table::ALL).await
}

/// Rows on disk and in the buffer.
fn counts(snapshot: &Snapshot) -> (usize, usize) {
    (
        rows_on_disk(snapshot, Table::Spans),
        rows_buffered(snapshot, Table::Spans),
    )
}

#[tokio::test]
async fn a_moment_shows_what_was_flushed_by_then() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let before = now().await;
    append(&store, 1).await;
    let buffered = now().await;
    store.flush().await.unwrap();
    let one = now().await;
    append(&store, 2).await;
    store.flush().await.unwrap();
    append(&store, 3).await;
    for (moment, wanted) in [
        (Moment::Latest, (2, 1)),
        (Moment::Committed, (2, 0)),
        (Moment::At(before), (0, 0)),
        (Moment::At(buffered), (0, 0)),
        (Moment::At(one), (1, 0)),
        (Moment::At(now().await), (2, 0)),
        (Moment::At(Utc::now() + chrono::TimeDelta::hours(1)), (2, 1)),
        (Moment::Ago(chrono::TimeDelta::days(1)), (0, 0)),
    ] {
        // Twice: the second time an old version is loaded already.
        for _ in 0..2 {
            let snapshot = read(&store, moment).await.unwrap();
            assert_eq!(counts(&snapshot), wanted, "{moment}");
            let mut missing = Table::ALL.to_vec();
            missing.retain(|table| !snapshot.tables.contains_key(table));
            // Sums are replaced all the time: the past is read from what was summed.
            assert!(
                missing.iter().all(|table| *table == Table::Rollup1m),
                "{moment}: {missing:?}"
            );
        }
    }
    let only = store
        .snapshot_at("default", Moment::At(one), &[Table::Spans])
        .await
        .unwrap();
    assert_eq!(only.tables[&Table::Spans].version(), Some(1));
    assert_eq!(only.tables.len(), 1, "no more than was asked for");
    let nobody = store
        .snapshot_at("nobody", Moment::At(one), &Table::ALL)
        .await
        .unwrap();
    assert!(nobody.tables.values().all(|table| table.delta.is_none()));
}

#[tokio::test]
async fn what_a_vacuum_took_is_said_to_be_gone_and_since_when() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    for trace in 1..=3 {
        append(&store, trace).await;
        store.flush().await.unwrap();
    }
    let three = now().await;
    let spans = store.snapshot("default").tables[&Table::Spans].clone();
    let files: Vec<_> = spans
        .delta
        .as_ref()
        .unwrap()
        .get_file_uris()
        .unwrap()
        .collect();
    assert_eq!(files.len(), 3);
    // As compaction or retention would: the rows are gone, the files are not yet.
    let (emptied, _) = spans.delta.unwrap().delete().await.unwrap();
    let emptied_at = {
        let version = emptied.version().unwrap();
        let commit = dir.path().join(format!(
            "tables/default/spans/_delta_log/{version:020}.json"
        ));
        DateTime::<Utc>::from(commit.metadata().unwrap().modified().unwrap())
    };
    store.close().await.unwrap();
    let store = open(dir.path()).await;
    assert_eq!(
        counts(&read(&store, Moment::Committed).await.unwrap()),
        (0, 0)
    );
    assert_eq!(
        counts(&read(&store, Moment::At(three)).await.unwrap()),
        (3, 0)
    );
    store.close().await.unwrap();
    // As a vacuum would.
    let first = files[0].trim_start_matches("file://");
    std::fs::remove_file(first).unwrap();
    let store = open(dir.path()).await;
    let error = read(&store, Moment::At(three)).await.unwrap_err();
    let Error::HistoryEnds {
        table,
        asked,
        oldest,
    } = &error
    else {
        panic!("{error}");
    };
    assert_eq!((table.as_str(), *asked), ("default/spans", three));
    assert_eq!(oldest.timestamp_millis(), emptied_at.timestamp_millis());
    let text = error.to_string();
    assert!(text.contains("the oldest point is 2"), "{text}");
    assert_eq!(
        counts(&read(&store, Moment::At(*oldest)).await.unwrap()),
        (0, 0)
    );
}

#[tokio::test]
async fn a_log_that_was_cleaned_up_says_where_it_begins() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let before = now().await;
    for trace in 1..=3 {
        append(&store, trace).await;
        store.flush().await.unwrap();
    }
    let spans = store.snapshot("default").tables[&Table::Spans].clone();
    deltalake::checkpoints::create_checkpoint(&spans.delta.unwrap(), None)
        .await
        .unwrap();
    let log = dir.path().join("tables/default/spans/_delta_log");
    for version in 0..=2 {
        std::fs::remove_file(log.join(format!("{version:020}.json"))).unwrap();
    }
    let error = read(&store, Moment::At(before)).await.unwrap_err();
    assert!(matches!(error, Error::HistoryEnds { .. }), "{error}");
    assert_eq!(
        counts(&read(&store, Moment::At(now().await)).await.unwrap()),
        (3, 0)
    );
}
