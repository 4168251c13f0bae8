//! With the real store behind: what was acknowledged is there after a crash, once.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use flyball_ingest::import::{self, Counts, ImportReport, Progress};
use flyball_ingest::{Error, Ingest, Limits, Replay, Sink};
use flyball_store::rows::{ContentRow, LogRow, MetricRow, Row, SpanRow};
use flyball_store::{Config, Encoding, Origin, Store, Table};
use prost::Message;

use crate::collector::{one_bad_of_three, request, span};

struct Silent;

impl Progress for Silent {
    fn update(&self, _: &Counts) {}
}

async fn open(folder: &Path) -> (Arc<Store>, Ingest) {
    let store = Store::open(Config::local(folder), Arc::new(Replay::default()))
        .await
        .unwrap();
    let sink: Arc<dyn Sink> = Arc::<Store>::clone(&store);
    (store, Ingest::new(sink, Limits::default()))
}

async fn import(ingest: &Ingest) -> ImportReport {
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/otlp");
    import::run(ingest, "default", &[fixtures], &Silent)
        .await
        .unwrap()
}

/// The rows that stand in the buffer.
fn rows<R: Row>(store: &Store, table: Table) -> Vec<R> {
    let snapshot = store.snapshot("default");
    snapshot.tables[&table]
        .buffered
        .iter()
        .flat_map(|batch| R::read(batch).unwrap())
        .collect()
}

#[tokio::test]
async fn a_crash_loses_nothing_and_an_import_again_doubles_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (store, ingest) = open(folder.path()).await;
    let bad = serde_json::to_vec(&one_bad_of_three()).unwrap();
    let accepted = ingest
        .traces(bad.into(), Encoding::Json, Origin::Live, "default")
        .await
        .unwrap();
    assert_eq!((accepted.kept, accepted.rejected), (2, 1));
    assert_eq!(import(&ingest).await.counts.spans, 47);
    let spans: Vec<SpanRow> = rows(&store, Table::Spans);
    let contents: Vec<ContentRow> = rows(&store, Table::Contents);
    let logs: Vec<LogRow> = rows(&store, Table::Logs);
    let metrics: Vec<MetricRow> = rows(&store, Table::Metrics);
    assert_eq!((spans.len(), logs.len(), metrics.len()), (49, 25, 14));
    assert!(!contents.is_empty());
    assert!(spans.iter().all(|span| span.log_position > 0));
    drop((store, ingest));

    let (store, ingest) = open(folder.path()).await;
    assert_eq!(rows::<SpanRow>(&store, Table::Spans), spans);
    assert_eq!(rows::<ContentRow>(&store, Table::Contents), contents);
    assert_eq!(rows::<LogRow>(&store, Table::Logs), logs);
    assert_eq!(rows::<MetricRow>(&store, Table::Metrics), metrics);
    let again = import(&ingest).await;
    assert_eq!(
        (again.requests, again.already_in, again.counts.spans),
        (0, 7, 0)
    );
    assert_eq!(rows::<SpanRow>(&store, Table::Spans).len(), 49);
    store.close().await.unwrap();
    drop((store, ingest));

    let (store, ingest) = open(folder.path()).await;
    assert_eq!(
        import(&ingest).await.already_in,
        7,
        "after a flush and another start too"
    );
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_full_buffer_refuses_live_requests_and_makes_an_import_wait() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        buffer_bytes_max: 1,
        ..Config::local(folder.path())
    };
    let store = Store::open(config, Arc::new(Replay::default()))
        .await
        .unwrap();
    let sink: Arc<dyn Sink> = Arc::<Store>::clone(&store);
    let ingest = Ingest::new(sink, Limits::default());
    let live = async |n| {
        let body = request(vec![span(n)]).encode_to_vec();
        ingest
            .traces(body.into(), Encoding::Protobuf, Origin::Live, "default")
            .await
    };
    // An empty buffer takes one request, however large.
    live(1).await.unwrap();
    let error = live(2).await.unwrap_err();
    assert!(
        matches!(error, Error::Store(flyball_store::Error::Full { .. })),
        "{error}"
    );

    let report = import(&ingest).await;
    assert_eq!((report.requests, report.counts.spans), (7, 47));
    store.close().await.unwrap();
}
