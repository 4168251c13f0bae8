#![allow(clippy::unwrap_used)]

//! One request through the pipeline, into a list instead of the store.

use std::collections::HashSet;
use std::sync::Mutex;

use flyball_store::rows::{Row, SpanRow};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use proptest::prelude::*;
use prost::Message;

use super::*;

/// Keeps what is appended; knows its digests, as the store does.
#[derive(Debug, Default)]
struct List {
    appended: Mutex<Vec<Append>>,
    digests: Mutex<HashSet<[u8; 32]>>,
    records: Mutex<Vec<AuditRow>>,
}

#[tonic::async_trait]
impl Sink for List {
    async fn append(&self, append: Append) -> flyball_store::Result<Appended> {
        let duplicate = !self.digests.lock().unwrap().insert(append.header.digest);
        let mut appended = self.appended.lock().unwrap();
        if !duplicate {
            appended.push(append);
        }
        Ok(Appended {
            position: appended.len() as u64,
            duplicate,
        })
    }

    async fn record(&self, _: &str, record: AuditRow) -> flyball_store::Result<()> {
        self.records.lock().unwrap().push(record);
        Ok(())
    }
}

const RECEIVED: i64 = 1_795_307_540_000_000_000;

fn ingest() -> (Arc<List>, Ingest) {
    let list = Arc::new(List::default());
    let sink: Arc<dyn Sink> = Arc::<List>::clone(&list);
    (
        list,
        Ingest::new(sink, Limits::default()).with_clock(|| RECEIVED),
    )
}

fn span(n: u8) -> Span {
    Span {
        trace_id: vec![n; 16],
        span_id: vec![n; 8],
        name: format!("span {n}"),
        start_time_unix_nano: 1_795_307_539_000_000_000,
        end_time_unix_nano: 1_795_307_539_500_000_000,
        ..Span::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = any_value::Value::StringValue(value.into());
    KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn body(spans: Vec<Span>) -> Bytes {
    let scope_spans = vec![ScopeSpans {
        spans,
        ..ScopeSpans::default()
    }];
    let resource_spans = vec![ResourceSpans {
        scope_spans,
        ..ResourceSpans::default()
    }];
    ExportTraceServiceRequest { resource_spans }
        .encode_to_vec()
        .into()
}

async fn live(ingest: &Ingest, body: Bytes) -> Result<Accepted> {
    ingest
        .traces(body, Encoding::Protobuf, Origin::Live, "default")
        .await
}

#[tokio::test]
async fn a_request_is_kept_whole_with_its_header() {
    let (list, ingest) = ingest();
    let body = body(vec![span(1), span(2)]);
    let accepted = live(&ingest, body.clone()).await.unwrap();
    assert_eq!(
        accepted,
        Accepted {
            kept: 2,
            ..Accepted::default()
        }
    );

    let appended = list.appended.lock().unwrap();
    let Append {
        header,
        body: kept,
        batches,
    } = &appended[0];
    assert_eq!(kept, &body);
    assert_eq!(header.received_at_unix_nano, RECEIVED);
    assert_eq!(
        (header.kind, header.signal, header.encoding),
        (FrameKind::Otlp, Signal::Traces, Encoding::Protobuf)
    );
    assert_eq!(
        (header.origin, header.workspace.as_str()),
        (Origin::Live, "default")
    );
    assert!(header.rejected.is_empty());
    assert_eq!(header.digest, digest(&body, &[]));
    let names: Vec<_> = SpanRow::read(&batches[0].1)
        .unwrap()
        .into_iter()
        .map(|row| row.name)
        .collect();
    assert_eq!(names, ["span 1", "span 2"]);
}

#[tokio::test]
async fn a_bad_span_does_not_cost_its_neighbours() {
    let (list, ingest) = ingest();
    let zero = Span {
        trace_id: vec![0; 16],
        ..span(9)
    };
    let accepted = live(&ingest, body(vec![span(1), zero, span(3)]))
        .await
        .unwrap();
    assert_eq!((accepted.kept, accepted.rejected), (2, 1));
    assert!(
        accepted.message.starts_with("span 1: trace_id"),
        "{}",
        accepted.message
    );
    let appended = list.appended.lock().unwrap();
    assert_eq!(appended[0].header.rejected, [1]);
    assert_eq!(appended[0].batches[0].1.num_rows(), 2);
}

#[tokio::test]
async fn many_bad_spans_are_described_in_one_line() {
    let (list, ingest) = ingest();
    let bad = |_| Span {
        trace_id: vec![0; 16],
        ..span(9)
    };
    let accepted = live(&ingest, body((0..50).map(bad).collect()))
        .await
        .unwrap();
    assert_eq!((accepted.kept, accepted.rejected), (0, 50));
    assert!(
        accepted.message.ends_with("; and 47 more"),
        "{}",
        accepted.message
    );
    assert!(
        list.appended.lock().unwrap().is_empty(),
        "nothing of it is worth a frame"
    );
}

#[tokio::test]
async fn the_same_body_is_kept_once() {
    let (list, ingest) = ingest();
    let body = body(vec![span(1)]);
    assert!(!live(&ingest, body.clone()).await.unwrap().duplicate);
    let again = live(&ingest, body).await.unwrap();
    assert_eq!((again.kept, again.duplicate), (1, true));
    assert_eq!(list.appended.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn an_empty_request_is_fine_and_leaves_nothing() {
    let (list, ingest) = ingest();
    assert_eq!(
        live(&ingest, Bytes::new()).await.unwrap(),
        Accepted::default()
    );
    assert!(list.appended.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_large_body_takes_the_other_thread_and_the_same_way() {
    let (list, ingest) = ingest();
    let long = Span {
        name: "n".repeat(2 * INLINE_BYTES),
        ..span(1)
    };
    let long = body(vec![long]);
    assert_eq!(live(&ingest, long.clone()).await.unwrap().kept, 1);
    let zstd = Bytes::from(zstd::stream::encode_all(long.as_ref(), 1).unwrap());
    let again = ingest
        .take_in(
            zstd,
            Compression::Zstd,
            Sent {
                signal: Signal::Traces,
                encoding: Encoding::Protobuf,
            },
            Origin::Live,
            "default",
        )
        .await
        .unwrap();
    assert_eq!(
        (again.kept, again.duplicate),
        (1, true),
        "by what it unpacks to"
    );
    assert_eq!(list.appended.lock().unwrap().len(), 1);
    assert!(
        live(&ingest, Bytes::from(vec![0xff; 2 * INLINE_BYTES]))
            .await
            .is_err()
    );
}

#[test]
fn replay_refuses_what_it_cannot_read() {
    let header = |signal, kind| Header {
        kind,
        origin: Origin::Live,
        received_at_unix_nano: RECEIVED,
        workspace: "default".to_owned(),
        key: None,
        signal,
        encoding: Encoding::Protobuf,
        rejected: Vec::new(),
        digest: [0; 32],
    };
    assert!(
        Replay::default()
            .decode(
                &header(Signal::Traces, FrameKind::Otlp),
                &Bytes::from_static(b"\xff")
            )
            .is_err()
    );
    // Half a protobuf field; what decodes as another signal's request is not told apart, and need not be.
    for signal in [Signal::Logs, Signal::Metrics] {
        let cut = Bytes::from_static(b"\x0a\x05\x01");
        assert!(
            Replay::default()
                .decode(&header(signal, FrameKind::Otlp), &cut)
                .is_err()
        );
    }
    assert!(
        Replay::default()
            .decode(&header(Signal::Traces, FrameKind::Own), &Bytes::new())
            .is_err()
    );
}

#[test]
fn replay_does_not_lose_a_span_that_was_acknowledged() {
    let zero = Span {
        trace_id: vec![0; 16],
        ..span(9)
    };
    let header = |rejected| Header {
        kind: FrameKind::Otlp,
        origin: Origin::Live,
        received_at_unix_nano: RECEIVED,
        workspace: "default".to_owned(),
        key: None,
        signal: Signal::Traces,
        encoding: Encoding::Protobuf,
        rejected,
        digest: [0; 32],
    };
    let body = body(vec![span(1), zero]);
    let batches = Replay::default().decode(&header(vec![1]), &body).unwrap();
    assert_eq!(batches[0].1.num_rows(), 1, "refused when it came");
    let refusal = Replay::default()
        .decode(&header(Vec::new()), &body)
        .unwrap_err();
    assert!(
        refusal.contains("span 1: trace_id"),
        "names span and reason: {refusal}"
    );
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
}

proptest! {
    /// Whatever was sent, recovery makes the rows that were appended, to the last bit.
    #[test]
    fn replay_makes_the_same_rows(request in crate::otlp::tests::request()) {
        let (list, ingest) = ingest();
        runtime().block_on(live(&ingest, request.encode_to_vec().into())).unwrap();
        for append in list.appended.lock().unwrap().iter() {
            prop_assert_eq!(&Replay::default().decode(&append.header, &append.body).unwrap(), &append.batches);
        }
    }

    #[test]
    fn json_and_protobuf_of_one_request_give_the_same_rows(request in crate::otlp::tests::request()) {
        let (list, ingest) = ingest();
        let json = serde_json::to_vec(&request).unwrap();
        let runtime = runtime();
        let a = runtime.block_on(live(&ingest, request.encode_to_vec().into())).unwrap();
        let b = runtime.block_on(ingest.traces(json.into(), Encoding::Json, Origin::Live, "default")).unwrap();
        prop_assert_eq!(&a, &b);
        if let [one, other] = list.appended.lock().unwrap().as_slice() {
            prop_assert_eq!(&one.batches, &other.batches);
            prop_assert_eq!(&one.header.rejected, &other.header.rejected);
        }
    }
}

#[tokio::test]
async fn a_denial_that_a_live_request_tells_of_is_on_the_ledger_before_the_answer() {
    let denied = Span {
        attributes: vec![
            text("gen_ai.agent.name", "triage"),
            text("flyball.policy.verdict", "deny"),
            text("flyball.policy.rule", "zones/red"),
        ],
        ..span(1)
    };
    for (origin, wanted) in [(Origin::Live, 1), (Origin::Import, 0)] {
        let (list, ingest) = ingest();
        let body = body(vec![denied.clone(), span(2)]);
        ingest
            .traces(body, Encoding::Protobuf, origin, DEFAULT_WORKSPACE)
            .await
            .unwrap();
        let records = list.records.lock().unwrap();
        assert_eq!(records.len(), wanted);
        assert!(
            records
                .iter()
                .all(|record| record.subject == "agent:triage")
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_long_bodies_are_decoded_at_once_than_there_are_cores() {
    let (_, ingest) = ingest();
    let (busy, most) = (Arc::new(Mutex::new(0_usize)), Arc::new(Mutex::new(0)));
    let work = || {
        let (busy, most) = (Arc::clone(&busy), Arc::clone(&most));
        move || {
            let now = {
                let mut busy = busy.lock().unwrap();
                *busy += 1;
                *busy
            };
            {
                let mut most = most.lock().unwrap();
                *most = now.max(*most);
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
            *busy.lock().unwrap() -= 1;
            Ok(())
        }
    };
    let all = (0..8 * cores()).map(|_| ingest.run(true, work()));
    futures::future::try_join_all(all).await.unwrap();
    assert_eq!(*most.lock().unwrap(), cores());
}
