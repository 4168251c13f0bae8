#![allow(clippy::unwrap_used)]

//! What a key with tenants sends, through the pipeline and out of the log again.

use std::sync::Mutex;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use flyball_store::rows::{LogRow, MetricRow, Row, SpanRow};
use flyball_store::{
    ApiKeys, Append, Appended, Config, Decoder, Encoding, KeyOrder, Origin, Role, Table,
};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::door::{Caller, Door};
use crate::otlp::{Compression, Limits};
use crate::pipeline::{Accepted, Ingest, Replay, Sent, Sink};

#[derive(Debug, Default)]
struct List(Mutex<Vec<Append>>);

#[tonic::async_trait]
impl Sink for List {
    async fn append(&self, append: Append) -> flyball_store::Result<Appended> {
        self.0.lock().unwrap().push(append);
        Ok(Appended {
            position: 1,
            duplicate: false,
        })
    }
}

/// A way in, the keys behind it, and what came through.
struct Way {
    _dir: tempfile::TempDir,
    keys: Arc<ApiKeys>,
    list: Arc<List>,
    ingest: Ingest,
}

impl Way {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keys = Arc::new(ApiKeys::open(&Config::local(dir.path())).unwrap());
        let list = Arc::new(List::default());
        let sink: Arc<dyn Sink> = Arc::<List>::clone(&list);
        let door = Arc::new(Door::with_keys(Arc::clone(&keys)));
        let ingest = Ingest::new(sink, Limits::default()).with_door(door);
        Self {
            _dir: dir,
            keys,
            list,
            ingest,
        }
    }

    fn key(&self, name: &str, tenants: &[&str]) -> Caller {
        let order = KeyOrder {
            name: name.to_owned(),
            role: Role::Ingest,
            workspace: "default".to_owned(),
            tenants: tenants.iter().map(|&tenant| tenant.to_owned()).collect(),
            lasts_s: None,
            requests_per_s: None,
            bytes_per_s: None,
        };
        Caller::Key(self.keys.add(order, "test", Utc::now()).unwrap().0)
    }

    async fn send(&self, by: &Caller, signal: Signal, body: &[u8]) -> Accepted {
        let sent = Sent {
            signal,
            encoding: Encoding::Protobuf,
        };
        let body = Bytes::copy_from_slice(body);
        let plain = Compression::Identity;
        self.ingest
            .take_in_from(by, body, plain, sent, Origin::Live, "default")
            .await
            .unwrap()
    }

    fn taken(&self) -> Vec<Append> {
        std::mem::take(&mut *self.list.0.lock().unwrap())
    }

    fn replay(&self) -> Replay {
        Replay::default().with_keys(Arc::clone(&self.keys))
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

fn tenant(name: Option<&str>) -> Vec<KeyValue> {
    name.into_iter()
        .map(|name| text("tenant.id", name))
        .collect()
}

/// One resource each for these tenants, with one span of that number.
fn traces(tenants: &[Option<&str>]) -> Vec<u8> {
    let resource_spans = (1..).zip(tenants).map(|(n, of)| ResourceSpans {
        resource: Some(Resource {
            attributes: tenant(*of),
            ..Resource::default()
        }),
        scope_spans: vec![ScopeSpans {
            spans: vec![span(n, Vec::new())],
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    });
    ExportTraceServiceRequest {
        resource_spans: resource_spans.collect(),
    }
    .encode_to_vec()
}

fn span(n: u8, attributes: Vec<KeyValue>) -> Span {
    Span {
        trace_id: vec![n; 16],
        span_id: vec![n; 8],
        name: format!("span {n}"),
        start_time_unix_nano: 1_795_307_539_000_000_000,
        end_time_unix_nano: 1_795_307_539_500_000_000,
        attributes,
        ..Span::default()
    }
}

fn one_resource(spans: Vec<Span>, of: Option<&str>) -> Vec<u8> {
    let resource_spans = vec![ResourceSpans {
        resource: Some(Resource {
            attributes: tenant(of),
            ..Resource::default()
        }),
        scope_spans: vec![ScopeSpans {
            spans,
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

fn spans_of(append: &Append) -> Vec<(String, Option<String>)> {
    let (_, batch) = append
        .batches
        .iter()
        .find(|(table, _)| *table == Table::Spans)
        .unwrap();
    let rows = SpanRow::read(batch).unwrap();
    rows.into_iter().map(|row| (row.name, row.tenant)).collect()
}

fn told(name: &str, tenant: Option<&str>) -> (String, Option<String>) {
    (name.to_owned(), tenant.map(str::to_owned))
}

#[tokio::test]
async fn another_tenants_spans_are_refused_one_by_one_and_the_others_are_kept() {
    let way = Way::new();
    let key = way.key("acme-agents", &["acme"]);
    let body = traces(&[Some("acme"), Some("umbra"), None]);
    let accepted = way.send(&key, Signal::Traces, &body).await;
    assert_eq!((accepted.kept, accepted.rejected), (2, 1));
    assert_eq!(
        accepted.message,
        "span 1: tenant \"umbra\" is not one that API key acme-agents may send for: expected acme"
    );
    let [append] = &way.taken()[..] else { panic!() };
    let wanted = [told("span 1", Some("acme")), told("span 3", Some("acme"))];
    assert_eq!(spans_of(append), wanted);
    assert_eq!(append.header.rejected, [1]);
    assert_eq!(append.header.key, key.key().map(|key| key.id.clone()));
}

#[tokio::test]
async fn with_several_tenants_one_has_to_be_named_and_with_none_any_may() {
    let way = Way::new();
    let several = way.key("several", &["umbra", "acme"]);
    let any = way.key("any", &[]);
    let body = traces(&[Some("acme"), Some("umbra"), None, Some("zeta")]);
    let accepted = way.send(&several, Signal::Traces, &body).await;
    assert_eq!((accepted.kept, accepted.rejected), (3, 1));
    assert!(
        accepted.message.ends_with("expected acme or umbra"),
        "{accepted:?}"
    );
    let accepted = way.send(&any, Signal::Traces, &body).await;
    assert_eq!((accepted.kept, accepted.rejected), (4, 0));
    let [by_several, by_any] = &way.taken()[..] else {
        panic!()
    };
    // Unknown is unknown, not a guess among several.
    assert_eq!(spans_of(by_several)[2], told("span 3", None));
    assert_eq!(spans_of(by_any)[3], told("span 4", Some("zeta")));
    assert_ne!(
        by_several.header.digest, by_any.header.digest,
        "other rows come of it"
    );
}

#[tokio::test]
async fn a_tenant_cannot_be_smuggled_in_by_another_attribute_or_beside_a_bad_span() {
    let way = Way::new();
    let key = way.key("k", &["acme"]);
    let zero = Span {
        trace_id: vec![0; 16],
        ..span(9, Vec::new())
    };
    let smuggled = [
        "tenant.id",
        "traceloop.association.properties.tenant_id",
        "langsmith.metadata.tenant_id",
    ]
    .map(|attribute| vec![text(attribute, "umbra")]);
    let mut spans = vec![zero];
    spans.extend(
        (1..)
            .zip(smuggled)
            .map(|(n, attributes)| span(n, attributes)),
    );
    spans.push(span(8, Vec::new()));
    // Same span, same trace: what is left over of one that was refused would be found under its ids.
    spans.push(span(1, tenant(Some("acme"))));
    for resource in [None, Some("acme"), Some("umbra")] {
        let body = one_resource(spans.clone(), resource);
        let accepted = way.send(&key, Signal::Traces, &body).await;
        assert!(accepted.rejected >= 2, "{resource:?} {accepted:?}");
        let [append] = &way.taken()[..] else { panic!() };
        assert_eq!(accepted.kept + accepted.rejected, 6);
        for (name, tenant) in spans_of(append) {
            assert_eq!(tenant.as_deref(), Some("acme"), "{name} of {resource:?}");
        }
        let replayed = way.replay().decode(&append.header, &append.body).unwrap();
        assert_eq!(replayed, append.batches);
    }
}

#[tokio::test]
async fn nothing_of_a_refused_span_is_kept_not_even_its_words() {
    let way = Way::new();
    let key = way.key("k", &["acme"]);
    let words = |said: &str| text("gen_ai.input.messages", said);
    let spans = vec![
        span(1, vec![words("ours"), text("tenant.id", "acme")]),
        span(1, vec![words("not ours"), text("tenant.id", "umbra")]),
    ];
    let accepted = way
        .send(&key, Signal::Traces, &one_resource(spans, None))
        .await;
    assert_eq!((accepted.kept, accepted.rejected), (1, 1));
    let [append] = &way.taken()[..] else { panic!() };
    let contents: usize = append
        .batches
        .iter()
        .filter(|(table, _)| *table == Table::Contents)
        .map(|(_, rows)| rows.num_rows())
        .sum();
    assert_eq!(contents, 1);
}

#[tokio::test]
async fn records_and_points_are_held_to_the_same() {
    let way = Way::new();
    let key = way.key("k", &["acme"]);
    let record = |of| LogRecord {
        time_unix_nano: 1_795_307_539_000_000_000,
        attributes: tenant(of),
        ..LogRecord::default()
    };
    let each = [None, Some("umbra"), Some("acme")];
    let logs = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            scope_logs: vec![ScopeLogs {
                log_records: each.map(record).to_vec(),
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    };
    let point = |of| NumberDataPoint {
        time_unix_nano: 1_795_307_539_000_000_000,
        attributes: tenant(of),
        ..NumberDataPoint::default()
    };
    let metrics = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            scope_metrics: vec![ScopeMetrics {
                metrics: vec![Metric {
                    name: "gauge".into(),
                    data: Some(metric::Data::Gauge(Gauge {
                        data_points: each.map(point).to_vec(),
                    })),
                    ..Metric::default()
                }],
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    };
    for (signal, body, what) in [
        (Signal::Logs, logs.encode_to_vec(), "log record 1: tenant"),
        (
            Signal::Metrics,
            metrics.encode_to_vec(),
            "data point 1: tenant",
        ),
    ] {
        let accepted = way.send(&key, signal, &body).await;
        assert_eq!((accepted.kept, accepted.rejected), (2, 1));
        assert!(accepted.message.starts_with(what), "{}", accepted.message);
        let [append] = &way.taken()[..] else { panic!() };
        let tenants: Vec<_> = append
            .batches
            .iter()
            .flat_map(|(table, rows)| match table {
                Table::Logs => LogRow::read(rows)
                    .unwrap()
                    .into_iter()
                    .map(|row| row.tenant)
                    .collect(),
                Table::Metrics => MetricRow::read(rows)
                    .unwrap()
                    .into_iter()
                    .map(|row| row.tenant)
                    .collect(),
                _ => Vec::new(),
            })
            .collect();
        assert_eq!(tenants, [Some("acme".to_owned()), Some("acme".to_owned())]);
        let replayed = way.replay().decode(&append.header, &append.body).unwrap();
        assert_eq!(replayed, append.batches);
    }
}

#[tokio::test]
async fn what_is_refused_as_a_whole_leaves_nothing_in_the_log() {
    let way = Way::new();
    let key = way.key("k", &["acme"]);
    let accepted = way
        .send(&key, Signal::Traces, &traces(&[Some("umbra")]))
        .await;
    assert_eq!((accepted.kept, accepted.rejected), (0, 1));
    assert!(way.taken().is_empty());
}

#[tokio::test]
async fn a_replay_asks_for_the_key_and_finds_it_also_when_it_was_revoked() {
    let way = Way::new();
    let key = way.key("k", &["acme"]);
    way.send(&key, Signal::Traces, &traces(&[None])).await;
    let id = key.key().unwrap().id.clone();
    way.keys.revoke(&id, "test", DateTime::default()).unwrap();
    let [append] = &way.taken()[..] else { panic!() };
    let replayed = way.replay().decode(&append.header, &append.body).unwrap();
    assert_eq!(replayed, append.batches);
    // A guess would be another tenant's row.
    let lost = Replay::default()
        .decode(&append.header, &append.body)
        .unwrap_err();
    assert!(lost.contains(&id) && lost.contains("keys.json"), "{lost}");
}

#[tokio::test]
async fn what_a_refusal_repeats_of_a_name_is_short_and_harmless() {
    let way = Way::new();
    let many: Vec<String> = (0..20).map(|n| format!("t{n:02}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let key = way.key("k", &many);
    let hostile = format!("\u{1b}[31m{}", "x".repeat(100_000));
    let accepted = way
        .send(&key, Signal::Traces, &traces(&[Some(&hostile)]))
        .await;
    assert!(accepted.message.len() < 300 && !accepted.message.contains('\u{1b}'));
    assert!(
        accepted
            .message
            .ends_with("expected t00 or t01 or t02 or t03 or t04 or 15 more")
    );
}

proptest! {
    /// Whatever a client sends: only its own tenant's rows come of it, and a replay makes the same.
    #[test]
    fn no_row_is_of_a_tenant_that_is_not_the_keys(request in crate::otlp::tests::request()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let way = Way::new();
        let key = way.key("k", &["acme"]);
        let sent: usize = request.resource_spans.iter().flat_map(|r| &r.scope_spans).map(|s| s.spans.len()).sum();
        let accepted = runtime.block_on(way.send(&key, Signal::Traces, &request.encode_to_vec()));
        prop_assert_eq!(accepted.kept + accepted.rejected, sent as u64);
        for append in way.taken() {
            for (_, tenant) in spans_of(&append) {
                prop_assert_eq!(tenant.as_deref(), Some("acme"));
            }
            let replayed = way.replay().decode(&append.header, &append.body).unwrap();
            prop_assert_eq!(&replayed, &append.batches);
        }
    }
}
