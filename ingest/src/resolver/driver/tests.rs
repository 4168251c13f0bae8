#![allow(clippy::unwrap_used)]

//! Nothing waits for the store but what has to; and an end is an end that can be seen.

use std::path::Path;
use std::time::Duration;

use arrow::array::RecordBatch;
use flyball_store::rows::{ChargeRow, Row as _};
use flyball_store::{Config, Encoding, Origin};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use tokio::sync::Notify;

use super::*;
use crate::{Ingest, Limits, Replay, Sink};

const SOON: Duration = Duration::from_secs(5);

async fn open(folder: &Path) -> (Arc<Store>, Ingest, Driver) {
    let store = Store::open(Config::local(folder), Arc::new(Replay::default()))
        .await
        .unwrap();
    let sink: Arc<dyn Sink> = Arc::<Store>::clone(&store);
    let options = Options {
        settle_after_root: Duration::from_millis(1),
        ..Options::default()
    };
    let book = Arc::new(Book::builtin().unwrap());
    let driver = Driver::start(Arc::clone(&store), "default", book, &options)
        .await
        .unwrap();
    (store, Ingest::new(sink, Limits::default()), driver)
}

/// Sends one span; those of a trace follow each other by a second.
async fn send(ingest: &Ingest, trace: u8, id: u8, operation: &str) {
    let start = 1_795_000_000_000_000_000 + u64::from(id) * 1_000_000_000;
    let attribute = opentelemetry_proto::tonic::common::v1::KeyValue {
        key: "gen_ai.operation.name".to_owned(),
        value: Some(opentelemetry_proto::tonic::common::v1::AnyValue {
            value: Some(
                opentelemetry_proto::tonic::common::v1::any_value::Value::StringValue(
                    operation.to_owned(),
                ),
            ),
        }),
        ..Default::default()
    };
    let span = Span {
        trace_id: vec![trace; 16],
        span_id: vec![id; 8],
        parent_span_id: if id == 1 { Vec::new() } else { vec![1; 8] },
        name: "span".to_owned(),
        start_time_unix_nano: start,
        end_time_unix_nano: start + 500_000,
        attributes: vec![attribute],
        ..Span::default()
    };
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans: vec![ScopeSpans {
                spans: vec![span],
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    };
    ingest
        .traces(
            request.encode_to_vec().into(),
            Encoding::Protobuf,
            Origin::Live,
            "default",
        )
        .await
        .unwrap();
}

/// The next charges that are published.
async fn charges(events: &mut mpsc::UnboundedReceiver<Event>) -> Vec<ChargeRow> {
    let next = async {
        loop {
            if let Event::Charges { batch, .. } = events.recv().await.unwrap() {
                break ChargeRow::read(&batch).unwrap();
            }
        }
    };
    tokio::time::timeout(SOON, next).await.unwrap()
}

fn hex(trace: u8) -> String {
    hex::encode([trace; 16])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_traces_are_charged_while_a_late_span_is_looked_up() {
    let folder = tempfile::tempdir().unwrap();
    let (store, ingest, mut driver) = open(folder.path()).await;
    let (asked, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let in_store = Arc::new(look_up_in(&store, "default"));
    let (says, waits) = (Arc::clone(&asked), Arc::clone(&go_on));
    driver.look_up = Box::new(move |wanted| {
        let (says, waits, in_store) =
            (Arc::clone(&says), Arc::clone(&waits), Arc::clone(&in_store));
        Box::pin(async move {
            says.notify_one();
            waits.notified().await;
            in_store(wanted).await
        })
    });
    let resolver = driver.spawn();
    send(&ingest, 7, 1, "invoke_agent").await;
    resolver.settle_all().await.unwrap();

    let mut events = store.subscribe();
    send(&ingest, 7, 2, "chat").await;
    tokio::time::timeout(SOON, asked.notified()).await.unwrap();
    // The look-up hangs. Another trace is charged all the same, and further late spans just join in.
    send(&ingest, 7, 3, "chat").await;
    send(&ingest, 8, 1, "chat").await;
    let rows = charges(&mut events).await;
    assert!(rows.iter().all(|row| row.trace_id == hex(8)), "{rows:?}");
    let settled = tokio::time::timeout(Duration::from_millis(50), resolver.settle_all()).await;
    assert!(settled.is_err(), "to settle everything is to wait for it");
    assert_eq!(resolver.counts().await.unwrap().reopened, 0);

    go_on.notify_one();
    let counts = tokio::time::timeout(SOON, resolver.settle_all())
        .await
        .unwrap()
        .unwrap();
    assert_eq!((counts.reopened, counts.traces_open), (1, 0));
    let held = store.traces("default", &[hex(7)]).await.unwrap();
    let spans: usize = held.spans.iter().map(RecordBatch::num_rows).sum();
    let calls: i64 = held
        .charges
        .iter()
        .flat_map(|batch| ChargeRow::read(batch).unwrap())
        .filter(|row| row.kind == "model_call")
        .map(|row| row.calls)
        .sum();
    assert_eq!((spans, calls), (3, 2));
    resolver.stop().await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_up_that_fails_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let (store, ingest, mut driver) = open(folder.path()).await;
    let in_store = Arc::new(look_up_in(&store, "default"));
    let failed = Arc::new(std::sync::atomic::AtomicBool::new(false));
    driver.look_up = Box::new(move |wanted| {
        let (failed, in_store) = (Arc::clone(&failed), Arc::clone(&in_store));
        Box::pin(async move {
            if failed.swap(true, std::sync::atomic::Ordering::SeqCst) {
                in_store(wanted).await
            } else {
                Err(flyball_store::Error::Closed)
            }
        })
    });
    let resolver = driver.spawn();
    send(&ingest, 7, 1, "invoke_agent").await;
    resolver.settle_all().await.unwrap();
    let mut events = store.subscribe();
    send(&ingest, 7, 2, "chat").await;
    let rows = charges(&mut events).await;
    assert!(rows.iter().any(|row| row.kind == "model_call"));
    resolver.stop().await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_resolver_that_dies_can_be_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let (store, ingest, mut driver) = open(folder.path()).await;
    // Called by the resolver's own task, which dies of it.
    driver.look_up = Box::new(|_| panic!("on purpose"));
    let resolver = driver.spawn();
    send(&ingest, 7, 1, "invoke_agent").await;
    resolver.settle_all().await.unwrap();
    let ended = resolver.ended();
    let mut ended = std::pin::pin!(ended);
    assert!(
        tokio::time::timeout(Duration::from_millis(20), ended.as_mut())
            .await
            .is_err(),
        "it lives"
    );
    send(&ingest, 7, 2, "chat").await;
    tokio::time::timeout(SOON, ended).await.unwrap();
    assert!(matches!(
        resolver.counts().await,
        Err(Error::ResolverStopped)
    ));
    assert!(matches!(resolver.stop().await, Err(Error::ResolverStopped)));
    store.close().await.unwrap();
}
