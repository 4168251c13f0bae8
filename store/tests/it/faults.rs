//! An object store that fails: before, after, or for a while. Rows stay visible and end up on disk once.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use async_trait::async_trait;
use flyball_store::rows::{ChargeRow, Entry};
use flyball_store::{DurableLocal, Error, JournalUpdate, Origin, Store, Table};
use futures::stream::BoxStream;
use object_store::path::Path as Location;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use crate::faulty::{Fault, Faulty, open_on};
use crate::fixture::*;

async fn tell(store: &Store, traces: Range<u32>) {
    for trace in traces {
        store.append(request(&[Told::new(trace, 1)])).await.unwrap();
    }
}

fn counts(store: &Store) -> (usize, usize) {
    let snapshot = store.snapshot("default");
    (
        rows_on_disk(&snapshot, Table::Spans),
        rows_buffered(&snapshot, Table::Spans),
    )
}

/// One fault and what comes after: retry or crash, with or without a table that exists.
async fn recovers(fault: Fault, suffix: &'static str, crash: bool) {
    let case = format!("{fault:?} {suffix} crash={crash}");
    let dir = tempfile::tempdir().unwrap();
    let faulty = Faulty::new();
    let store = open_on(dir.path(), &faulty).await;
    if suffix == "00002.json" {
        tell(&store, 0..3).await;
        store.flush().await.unwrap();
    }
    tell(&store, 3..6).await;
    let total = rows(&store, Table::Spans);
    faulty.fail(fault, suffix, 100);
    let failed = store.flush().await;
    assert!(failed.is_err() || fault == Fault::After, "{case}");
    assert_eq!(rows(&store, Table::Spans), total, "{case}");
    tell(&store, 6..9).await;
    assert_eq!(rows(&store, Table::Spans), total + 3, "{case}");
    faulty.heal();
    let store = if crash {
        drop(store);
        open_on(dir.path(), &faulty).await
    } else {
        store
    };
    assert_eq!(rows(&store, Table::Spans), total + 3, "{case}");
    store
        .flush()
        .await
        .unwrap_or_else(|error| panic!("{case}: {error}"));
    assert_eq!(counts(&store), (total + 3, 0), "{case}");
    assert_eq!(spans(&store).await.len(), total + 3, "{case}");
    assert_eq!(store.stats().log_bytes, 0, "{case}");
}

/// Every fault, on files, on the table's creation, on its first and on a later commit.
#[tokio::test]
async fn whatever_fails_rows_stay_visible_and_land_once() {
    let mut cases = Vec::new();
    for fault in [Fault::Before, Fault::After, Fault::AfterThenDown] {
        for suffix in [".parquet", "00000.json", "00001.json", "00002.json"] {
            cases.extend([false, true].map(|crash| recovers(fault, suffix, crash)));
        }
    }
    futures::future::join_all(cases).await;
}

#[tokio::test]
async fn a_commit_that_was_made_although_an_error_came_back_is_not_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let faulty = Faulty::new();
    let store = open_on(dir.path(), &faulty).await;
    tell(&store, 0..3).await;
    faulty.fail(Fault::After, "00001.json", 1);
    store.flush().await.unwrap();
    assert_eq!(counts(&store), (3, 0));
    let version = store.snapshot("default").tables[&Table::Spans]
        .delta
        .as_ref()
        .unwrap()
        .version();
    assert_eq!(version, Some(1));
}

#[tokio::test]
async fn with_the_store_down_requests_are_still_acknowledged_and_caught_up() {
    let dir = tempfile::tempdir().unwrap();
    let faulty = Faulty::new();
    let store = open_on(dir.path(), &faulty).await;
    faulty.down.store(true, SeqCst);
    for round in 0..3u32 {
        tell(&store, round * 10..round * 10 + 10).await;
        assert!(store.flush().await.is_err());
    }
    assert_eq!(counts(&store), (0, 30));
    assert!(store.stats().log_bytes > 0 && store.stats().flush_failures > 0);
    faulty.heal();
    store.close().await.unwrap();
    let store = open_on(dir.path(), &faulty).await;
    assert_eq!(counts(&store), (30, 0));
}

/// Scenario: whoever asked for a flush stops waiting, at any point of it.
#[tokio::test]
async fn a_flush_given_up_half_way_doubles_nothing_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let faulty = Faulty::new();
    let store = open_on(dir.path(), &faulty).await;
    faulty.slow_ms.store(5, SeqCst);
    for round in 0..12u32 {
        tell(&store, round..round + 1).await;
        let post = ChargeRow {
            charge_id: round.to_string(),
            entry: Entry::Charge.as_str().into(),
            trace_id: Told::new(round, 1).trace_id(),
            ..ChargeRow::default()
        };
        let settled = vec![post.trace_id.clone()];
        let update = JournalUpdate {
            settled,
            resolved_to: u64::from(round),
            ..JournalUpdate::of(&[post]).unwrap()
        };
        store.journal("default", Origin::Live, update).unwrap();
        let patience = std::time::Duration::from_millis(u64::from(round) * 11 + 3);
        let _ = tokio::time::timeout(patience, store.flush()).await;
        assert_eq!(rows(&store, Table::Spans), round as usize + 1);
        assert_eq!(rows(&store, Table::Charges), round as usize + 1);
    }
    faulty.slow_ms.store(0, SeqCst);
    store.flush().await.unwrap();
    assert_eq!(counts(&store), (12, 0));
    let snapshot = store.snapshot("default");
    assert_eq!(
        (
            rows_on_disk(&snapshot, Table::Charges),
            rows_buffered(&snapshot, Table::Charges)
        ),
        (12, 0)
    );
    let traces: Vec<_> = (0..12)
        .map(|trace| Told::new(trace, 1).trace_id())
        .collect();
    let found = store.traces("default", &traces).await.unwrap();
    let total: usize = found.spans.iter().map(|batch| batch.num_rows()).sum();
    assert_eq!(total, 12);
}

#[tokio::test]
async fn another_writer_of_the_same_table_is_no_obstacle() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    tell(&store, 0..3).await;
    store.flush().await.unwrap();
    // Somebody else commits between our flushes: the table is ahead of what we hold.
    let delta = store.snapshot("default").tables[&Table::Spans]
        .delta
        .clone()
        .unwrap();
    let properties = [("delta.appendOnly".to_owned(), "false".to_owned())].into();
    delta
        .set_tbl_properties()
        .with_properties(properties)
        .await
        .unwrap();
    tell(&store, 3..6).await;
    store.flush().await.unwrap();
    assert_eq!(counts(&store), (6, 0));
}

#[tokio::test]
async fn a_store_that_overwrites_is_refused() {
    #[derive(Debug)]
    struct Careless(DurableLocal);

    impl fmt::Display for Careless {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Careless")
        }
    }

    #[async_trait]
    impl ObjectStore for Careless {
        async fn put_opts(
            &self,
            location: &Location,
            payload: PutPayload,
            _: PutOptions,
        ) -> Result<PutResult> {
            self.0
                .put_opts(location, payload, PutOptions::default())
                .await
        }
        async fn put_multipart_opts(
            &self,
            location: &Location,
            opts: PutMultipartOptions,
        ) -> Result<Box<dyn MultipartUpload>> {
            self.0.put_multipart_opts(location, opts).await
        }
        async fn get_opts(&self, location: &Location, options: GetOptions) -> Result<GetResult> {
            self.0.get_opts(location, options).await
        }
        fn delete_stream(
            &self,
            locations: BoxStream<'static, Result<Location>>,
        ) -> BoxStream<'static, Result<Location>> {
            self.0.delete_stream(locations)
        }
        fn list(&self, prefix: Option<&Location>) -> BoxStream<'static, Result<ObjectMeta>> {
            self.0.list(prefix)
        }
        async fn list_with_delimiter(&self, prefix: Option<&Location>) -> Result<ListResult> {
            self.0.list_with_delimiter(prefix).await
        }
        async fn copy_opts(
            &self,
            from: &Location,
            to: &Location,
            options: CopyOptions,
        ) -> Result<()> {
            self.0.copy_opts(from, to, options).await
        }
    }

    let dir = tempfile::tempdir().unwrap();
    let url = url::Url::from_directory_path(dir.path().canonicalize().unwrap()).unwrap();
    let careless = Arc::new(Careless(DurableLocal::new()));
    let error = Store::open_on(config(dir.path()), Arc::new(Json), careless, url)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::NoPutIfAbsent { .. }), "{error}");
}
