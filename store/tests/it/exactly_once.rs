//! Crashes at every point between acknowledgement and cut log: each row is there once.

use std::path::Path;
use std::sync::Arc;

use flyball_store::{Config, Error, Store, Table};

use crate::fixture::*;

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

async fn tell(store: &Store, traces: std::ops::Range<u32>) {
    for trace in traces {
        let told = [
            Told::new(trace, 1),
            Told {
                day: 1,
                ..Told::new(trace, 2)
            },
        ];
        store.append(request(&told)).await.unwrap();
    }
}

/// Twenty traces of two spans on two days, in table or buffer.
async fn check(store: &Store) {
    assert_eq!(
        (rows(store, Table::Spans), rows(store, Table::Contents)),
        (40, 40)
    );
    let spans = spans(store).await;
    assert_eq!(spans.len(), 40);
    for trace in 0..20u32 {
        let row = &spans[&(format!("{trace:032x}"), format!("{:016x}", 2))];
        assert_eq!(row.log_position, i64::from(trace) + 1);
        assert_eq!(row.start_time.0, START_MICROS + DAY_MICROS + 2);
        assert_eq!(
            row.date,
            flyball_store::rows::Date::of_micros(row.start_time.0)
        );
    }
}

#[tokio::test]
async fn a_crash_before_any_flush() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    tell(&store, 0..20).await;
    check(&store).await;
    drop(store);
    check(&*open(dir.path()).await).await;
}

#[tokio::test]
async fn a_flush_and_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    tell(&store, 0..7).await;
    store.flush().await.unwrap();
    let snapshot = store.snapshot("default");
    assert_eq!(
        (
            rows_on_disk(&snapshot, Table::Spans),
            rows_buffered(&snapshot, Table::Spans)
        ),
        (14, 0)
    );
    tell(&store, 7..20).await;
    check(&store).await;
    drop(store);
    let store = open(dir.path()).await;
    check(&store).await;
    store.close().await.unwrap();
    let store = open(dir.path()).await;
    check(&store).await;
    assert_eq!(rows_on_disk(&store.snapshot("default"), Table::Spans), 40);
}

#[tokio::test]
async fn a_crash_after_the_commit_and_before_the_cut() {
    let dir = tempfile::tempdir().unwrap();
    let kept = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    tell(&store, 0..12).await;
    copy_folder(&dir.path().join("log"), kept.path());
    store.flush().await.unwrap();
    drop(store);
    std::fs::remove_dir_all(dir.path().join("log")).unwrap();
    copy_folder(kept.path(), &dir.path().join("log"));
    let store = open(dir.path()).await;
    assert_eq!(rows_buffered(&store.snapshot("default"), Table::Spans), 0);
    tell(&store, 12..20).await;
    check(&store).await;
}

#[tokio::test]
async fn a_lost_log_does_not_give_positions_out_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    tell(&store, 0..12).await;
    store.close().await.unwrap();
    std::fs::remove_dir_all(dir.path().join("log")).unwrap();
    let store = open(dir.path()).await;
    tell(&store, 12..20).await;
    check(&store).await;
}

#[tokio::test]
async fn a_log_that_is_older_than_the_tables_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let kept = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    tell(&store, 0..3).await;
    copy_folder(&dir.path().join("log"), kept.path());
    tell(&store, 3..6).await;
    store.close().await.unwrap();
    std::fs::remove_dir_all(dir.path().join("log")).unwrap();
    copy_folder(kept.path(), &dir.path().join("log"));
    let error = Store::open(config(dir.path()), Arc::new(Json))
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::LogBehindTables {
                log: 3,
                committed: 6,
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_log_longer_than_the_buffer_is_flushed_while_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    tell(&store, 0..20).await;
    drop(store);
    let config = Config {
        flush_bytes: 1,
        ..config(dir.path())
    };
    let store = Store::open(config, Arc::new(Json)).await.unwrap();
    assert_eq!(rows_on_disk(&store.snapshot("default"), Table::Spans), 40);
    check(&store).await;
}

#[tokio::test]
async fn small_segments_roll_and_are_cut() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        segment_bytes: 300,
        ..config(dir.path())
    };
    let store = Store::open(config.clone(), Arc::new(Json)).await.unwrap();
    tell(&store, 0..10).await;
    assert_eq!(segments(dir.path()).len(), 10);
    drop(store);
    let store = Store::open(config, Arc::new(Json)).await.unwrap();
    tell(&store, 10..20).await;
    check(&store).await;
    store.flush().await.unwrap();
    assert_eq!(segments(dir.path()), [(format!("{:020}.log", 21), 0)]);
    check(&store).await;
}

#[tokio::test]
async fn a_damaged_log_stops_with_segment_and_offset() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    tell(&store, 0..5).await;
    drop(store);
    let (name, bytes) = segments(dir.path()).remove(0);
    let path = dir.path().join("log").join(&name);
    let mut log = std::fs::read(&path).unwrap();
    log[(bytes / 2) as usize] ^= 1;
    std::fs::write(&path, &log).unwrap();
    let error = Store::open(config(dir.path()), Arc::new(Json))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::LogCorrupt { .. }), "{error}");
    assert!(
        error.to_string().contains(&name) && error.to_string().contains("offset"),
        "{error}"
    );
    assert_eq!(
        std::fs::read(&path).unwrap(),
        log,
        "the evidence is left alone"
    );
}

#[tokio::test]
async fn a_look_without_a_server_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let missing = Store::open_read_only(config(&dir.path().join("none")), Arc::new(Json)).await;
    assert!(matches!(missing, Err(Error::NoData { .. })));
    let store = open(dir.path()).await;
    tell(&store, 0..8).await;
    store.flush().await.unwrap();
    tell(&store, 8..20).await;
    drop(store);
    let before = segments(dir.path());
    let reader = Store::open_read_only(config(dir.path()), Arc::new(Json))
        .await
        .unwrap();
    check(&reader).await;
    assert!(matches!(
        reader.append(request(&[Told::new(1, 9)])).await,
        Err(Error::ReadOnly)
    ));
    assert!(matches!(reader.flush().await, Err(Error::ReadOnly)));
    reader.close().await.unwrap();
    assert_eq!(segments(dir.path()), before);
}

#[tokio::test]
async fn a_look_after_a_crash_does_not_hide_it_from_the_next_server() {
    let dir = tempfile::tempdir().unwrap();
    let version = |store: &Store| {
        let delta = &store.snapshot("default").tables[&Table::Spans].delta;
        delta.as_ref().unwrap().version().unwrap()
    };
    let store = open(dir.path()).await;
    tell(&store, 0..8).await;
    store.flush().await.unwrap();
    let crashed = version(&store);
    drop(store);
    let reader = Store::open_read_only(config(dir.path()), Arc::new(Json))
        .await
        .unwrap();
    assert_eq!(version(&reader), crashed);
    reader.close().await.unwrap();
    // The commit that shuts out what the crashed one may have had on its way.
    let store = open(dir.path()).await;
    assert_eq!(version(&store), crashed + 1);
    store.close().await.unwrap();
    assert_eq!(version(&*open(dir.path()).await), crashed + 1);
}

#[tokio::test]
async fn a_directory_with_an_odd_name_is_as_good_as_any() {
    let dir = tempfile::tempdir().unwrap();
    let odd = dir.path().join("a b #1 \u{e4}?&=");
    let store = open(&odd).await;
    tell(&store, 0..12).await;
    store.flush().await.unwrap();
    tell(&store, 12..20).await;
    store.close().await.unwrap();
    assert!(odd.join("tables/default/spans/_delta_log").is_dir());
    check(&*open(&odd).await).await;
    let refused = Store::open(config(&dir.path().join("100%")), Arc::new(Json))
        .await
        .unwrap_err();
    assert!(matches!(refused, Error::TablesUrl { .. }), "{refused}");
}
