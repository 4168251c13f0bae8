//! The resolver on the real store: at once, after a restart, and for late spans.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flyball_ingest::resolver::{self, Handle, Options};
use flyball_ingest::{Ingest, Limits, Replay, Sink};
use flyball_store::rows::{ChargeRow, Row};
use flyball_store::{Config, Encoding, Event, Origin, Store, Table};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

use crate::journal::{Journal, totals};
use crate::truth::book;

async fn open(folder: &Path) -> (Arc<Store>, Ingest, Handle) {
    let store = Store::open(Config::local(folder), Arc::new(Replay::default()))
        .await
        .unwrap();
    let sink: Arc<dyn Sink> = Arc::<Store>::clone(&store);
    let options = Options {
        settle_after_root: Duration::from_millis(100),
        ..Options::default()
    };
    let resolver = resolver::start(Arc::clone(&store), "default", book(), options)
        .await
        .unwrap();
    (store, Ingest::new(sink, Limits::default()), resolver)
}

/// A span of one trace; its start is its id in milliseconds of the year 2026.
fn span(id: u8, parent: u8, attributes: &[(&str, Value)]) -> Span {
    let start = 1_795_000_000_000_000_000 + u64::from(id) * 1_000_000;
    let attribute = |(key, value): &(&str, Value)| KeyValue {
        key: (*key).to_owned(),
        value: Some(AnyValue {
            value: Some(value.clone()),
        }),
        ..KeyValue::default()
    };
    Span {
        trace_id: vec![7; 16],
        span_id: vec![id; 8],
        parent_span_id: if parent == 0 {
            Vec::new()
        } else {
            vec![parent; 8]
        },
        name: format!("span {id}"),
        start_time_unix_nano: start,
        end_time_unix_nano: start + 500_000,
        attributes: attributes.iter().map(attribute).collect(),
        ..Span::default()
    }
}

fn text(text: &str) -> Value {
    Value::StringValue(text.to_owned())
}

fn call(id: u8, parent: u8) -> Span {
    span(
        id,
        parent,
        &[
            ("gen_ai.operation.name", text("chat")),
            ("gen_ai.request.model", text("gpt-4o")),
            ("gen_ai.usage.input_tokens", Value::IntValue(1_000)),
            ("gen_ai.usage.output_tokens", Value::IntValue(100)),
        ],
    )
}

fn agent(id: u8) -> Span {
    span(
        id,
        0,
        &[
            ("gen_ai.operation.name", text("invoke_agent")),
            ("gen_ai.agent.name", text("triage")),
        ],
    )
}

async fn send(ingest: &Ingest, spans: Vec<Span>) {
    let scope_spans = vec![ScopeSpans {
        spans,
        ..ScopeSpans::default()
    }];
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans,
            ..ResourceSpans::default()
        }],
    };
    let body = request.encode_to_vec();
    ingest
        .traces(body.into(), Encoding::Protobuf, Origin::Live, "default")
        .await
        .unwrap();
}

/// The journal as it stands, in the table and in the buffer.
async fn journal(store: &Store) -> Journal {
    let traces = store.traces("default", &["07".repeat(16)]).await.unwrap();
    let rows = traces
        .charges
        .iter()
        .flat_map(|batch| ChargeRow::read(batch).unwrap())
        .collect();
    Journal {
        rows,
        ..Journal::default()
    }
}

fn calls(journal: &Journal) -> Vec<(Option<String>, i64)> {
    let standing = journal.standing();
    let mut calls: Vec<_> = standing
        .iter()
        .filter(|row| row.kind == "model_call")
        .map(|row| (row.agent_name.clone(), row.calls))
        .collect();
    calls.sort();
    calls
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_charge_is_published_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (store, ingest, resolver) = open(folder.path()).await;
    let mut events = store.subscribe();
    send(&ingest, vec![call(2, 1)]).await;
    let acknowledged = Instant::now();
    let rows = loop {
        if let Event::Charges { batch, origin, .. } = events.recv().await.unwrap() {
            assert_eq!(origin, Origin::Live);
            break ChargeRow::read(&batch).unwrap();
        }
    };
    // A few milliseconds in earnest; the margin is for a busy machine. No timer (200 ms) lies in the way.
    assert!(
        acknowledged.elapsed() < Duration::from_millis(150),
        "{:?}",
        acknowledged.elapsed()
    );
    assert!(
        rows.iter()
            .any(|row| row.kind == "model_call" && row.cost_usd.is_some())
    );
    resolver.stop().await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarts_and_late_spans_leave_the_journal_right() {
    let folder = tempfile::tempdir().unwrap();
    let (store, ingest, resolver) = open(folder.path()).await;
    send(&ingest, vec![call(2, 1)]).await;
    resolver.stop().await.unwrap();
    store.close().await.unwrap();
    drop((store, ingest));

    // The trace was open: nothing of it was flushed, and it goes on.
    let (store, ingest, resolver) = open(folder.path()).await;
    assert_eq!(calls(&journal(&store).await), [(None, 1)]);
    send(&ingest, vec![call(3, 1), agent(1)]).await;
    resolver.settle_all().await.unwrap();
    let triage = || Some("triage".to_owned());
    assert_eq!(
        calls(&journal(&store).await),
        [(triage(), 1), (triage(), 1)]
    );
    store.flush().await.unwrap();
    let before = store.snapshot("default").tables[&Table::Charges].clone();
    assert!(
        before.delta.is_some() && before.buffered.iter().all(|batch| batch.num_rows() == 0),
        "settled, so flushed"
    );
    resolver.stop().await.unwrap();
    store.close().await.unwrap();
    drop((store, ingest, before));

    // The trace had settled. A late span opens it again: one more call, and the execution is not counted twice.
    let (store, ingest, resolver) = open(folder.path()).await;
    send(&ingest, vec![call(4, 1)]).await;
    let counts = resolver.settle_all().await.unwrap();
    assert_eq!(counts.reopened, 1);
    let after = journal(&store).await;
    assert_eq!(calls(&after), [(triage(), 1), (triage(), 1), (triage(), 1)]);
    assert_eq!(
        after
            .standing()
            .iter()
            .filter(|row| row.kind == "execution")
            .count(),
        1
    );
    assert_eq!(totals(&after.rows), totals(&after.standing()));
    // 3 calls of 1,000 in and 100 out, at 2.50 and 10 a million.
    assert_eq!(totals(&after.rows).cost.to_string(), "0.0105");
    resolver.stop().await.unwrap();
    store.close().await.unwrap();
}
