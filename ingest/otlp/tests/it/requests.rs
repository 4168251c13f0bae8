//! Requests of every shape that the protocol has, all fields set.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList, any_value::Value,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram,
    HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary,
    SummaryDataPoint, exemplar, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn value() -> impl Strategy<Value = AnyValue> {
    let leaf = prop_oneof![
        Just(None),
        ".{0,12}".prop_map(|text| Some(Value::StringValue(text))),
        any::<bool>().prop_map(|truth| Some(Value::BoolValue(truth))),
        any::<i64>().prop_map(|number| Some(Value::IntValue(number))),
        any::<f64>().prop_map(|number| Some(Value::DoubleValue(number))),
        vec(any::<u8>(), 0..9).prop_map(|bytes| Some(Value::BytesValue(bytes))),
        any::<i32>().prop_map(|index| Some(Value::StringValueStrindex(index))),
    ]
    .prop_map(|value| AnyValue { value });
    leaf.prop_recursive(3, 12, 4, |inner| {
        let keyed =
            (".{0,8}", option::of(inner.clone()), any::<i32>()).prop_map(|(key, value, index)| {
                KeyValue {
                    key,
                    value,
                    key_strindex: index,
                }
            });
        prop_oneof![
            vec(inner, 0..4).prop_map(|values| Value::ArrayValue(ArrayValue { values })),
            vec(keyed, 0..4).prop_map(|values| Value::KvlistValue(KeyValueList { values })),
        ]
        .prop_map(|value| AnyValue { value: Some(value) })
    })
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let attribute = ("[a-z_.]{0,12}", option::of(value())).prop_map(|(key, value)| KeyValue {
        key,
        value,
        ..KeyValue::default()
    });
    vec(attribute, 0..4)
}

fn id() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![Just(Vec::new()), vec(any::<u8>(), 8), vec(any::<u8>(), 16)]
}

fn scope() -> impl Strategy<Value = Option<InstrumentationScope>> {
    let scope = (".{0,8}", "[0-9.]{0,4}", attributes(), any::<u32>()).prop_map(
        |(name, version, attributes, dropped_attributes_count)| InstrumentationScope {
            name,
            version,
            attributes,
            dropped_attributes_count,
        },
    );
    option::of(scope)
}

fn resource() -> impl Strategy<Value = Option<Resource>> {
    let keys = || vec("[a-z.]{0,6}", 0..3);
    let entity =
        ("[a-z]{0,6}", keys(), keys()).prop_map(|(r#type, id_keys, description_keys)| EntityRef {
            schema_url: "https://opentelemetry.io/schemas/1.37.0".to_owned(),
            r#type,
            id_keys,
            description_keys,
        });
    let resource = (attributes(), any::<u32>(), vec(entity, 0..2)).prop_map(
        |(attributes, dropped_attributes_count, entity_refs)| Resource {
            attributes,
            dropped_attributes_count,
            entity_refs,
        },
    );
    option::of(resource)
}

fn span() -> impl Strategy<Value = Span> {
    let event = (any::<u64>(), ".{0,8}", attributes(), any::<u32>()).prop_map(
        |(time_unix_nano, name, attributes, dropped_attributes_count)| Event {
            time_unix_nano,
            name,
            attributes,
            dropped_attributes_count,
        },
    );
    let link = (id(), id(), attributes(), any::<u32>()).prop_map(
        |(trace_id, span_id, attributes, flags)| Link {
            trace_id,
            span_id,
            trace_state: "c=d".to_owned(),
            attributes,
            dropped_attributes_count: 3,
            flags,
        },
    );
    let status = (".{0,8}", any::<i32>()).prop_map(|(message, code)| Status { message, code });
    let head = (id(), id(), id(), ".{0,12}", any::<i32>(), any::<u32>());
    let lists = (
        attributes(),
        vec(event, 0..2),
        vec(link, 0..2),
        option::of(status),
    );
    (head, any::<(u64, u64, u32)>(), lists).prop_map(|(head, numbers, lists)| Span {
        trace_id: head.0,
        span_id: head.1,
        trace_state: "a=b".to_owned(),
        parent_span_id: head.2,
        flags: head.5,
        name: head.3,
        kind: head.4,
        start_time_unix_nano: numbers.0,
        end_time_unix_nano: numbers.1,
        attributes: lists.0,
        dropped_attributes_count: numbers.2,
        events: lists.1,
        dropped_events_count: 1,
        links: lists.2,
        dropped_links_count: 2,
        status: lists.3,
    })
}

/// Trace requests.
pub(crate) fn traces() -> impl Strategy<Value = ExportTraceServiceRequest> {
    let scoped = (scope(), vec(span(), 0..3)).prop_map(|(scope, spans)| ScopeSpans {
        scope,
        spans,
        schema_url: "s".to_owned(),
    });
    let group = (resource(), vec(scoped, 0..3)).prop_map(|(resource, scope_spans)| ResourceSpans {
        resource,
        scope_spans,
        schema_url: "r".to_owned(),
    });
    vec(group, 0..3).prop_map(|resource_spans| ExportTraceServiceRequest { resource_spans })
}

fn record() -> impl Strategy<Value = LogRecord> {
    let numbers = any::<(u64, u64, i32, u32, u32)>();
    let texts = (".{0,8}", ".{0,8}");
    (
        numbers,
        texts,
        option::of(value()),
        attributes(),
        id(),
        id(),
    )
        .prop_map(
            |(numbers, texts, body, attributes, trace_id, span_id)| LogRecord {
                time_unix_nano: numbers.0,
                observed_time_unix_nano: numbers.1,
                severity_number: numbers.2,
                severity_text: texts.0,
                body,
                attributes,
                dropped_attributes_count: numbers.3,
                flags: numbers.4,
                trace_id,
                span_id,
                event_name: texts.1,
            },
        )
}

/// Log requests.
pub(crate) fn logs() -> impl Strategy<Value = ExportLogsServiceRequest> {
    let scoped = (scope(), vec(record(), 0..3)).prop_map(|(scope, log_records)| ScopeLogs {
        scope,
        log_records,
        schema_url: "s".to_owned(),
    });
    let group = (resource(), vec(scoped, 0..3)).prop_map(|(resource, scope_logs)| ResourceLogs {
        resource,
        scope_logs,
        schema_url: "r".to_owned(),
    });
    vec(group, 0..3).prop_map(|resource_logs| ExportLogsServiceRequest { resource_logs })
}

fn exemplar() -> impl Strategy<Value = Exemplar> {
    let value = prop_oneof![
        any::<f64>().prop_map(exemplar::Value::AsDouble),
        any::<i64>().prop_map(exemplar::Value::AsInt),
    ];
    (attributes(), any::<u64>(), id(), id(), option::of(value)).prop_map(
        |(filtered_attributes, time_unix_nano, span_id, trace_id, value)| Exemplar {
            filtered_attributes,
            time_unix_nano,
            span_id,
            trace_id,
            value,
        },
    )
}

fn number_point() -> impl Strategy<Value = NumberDataPoint> {
    let value = prop_oneof![
        any::<f64>().prop_map(number_data_point::Value::AsDouble),
        any::<i64>().prop_map(number_data_point::Value::AsInt),
    ];
    let numbers = any::<(u64, u64, u32)>();
    (
        attributes(),
        numbers,
        vec(exemplar(), 0..2),
        option::of(value),
    )
        .prop_map(|(attributes, numbers, exemplars, value)| NumberDataPoint {
            attributes,
            start_time_unix_nano: numbers.0,
            time_unix_nano: numbers.1,
            exemplars,
            flags: numbers.2,
            value,
        })
}

fn histogram_point() -> impl Strategy<Value = HistogramDataPoint> {
    let numbers = any::<(u64, u64, u64, u32)>();
    let stats = any::<(Option<f64>, Option<f64>, Option<f64>)>();
    let lists = (vec(any::<u64>(), 0..4), vec(any::<f64>(), 0..4));
    (attributes(), numbers, stats, lists, vec(exemplar(), 0..2)).prop_map(
        |(attributes, numbers, stats, lists, exemplars)| HistogramDataPoint {
            attributes,
            start_time_unix_nano: numbers.0,
            time_unix_nano: numbers.1,
            count: numbers.2,
            sum: stats.0,
            bucket_counts: lists.0,
            explicit_bounds: lists.1,
            exemplars,
            flags: numbers.3,
            min: stats.1,
            max: stats.2,
        },
    )
}

fn exponential_point() -> impl Strategy<Value = ExponentialHistogramDataPoint> {
    let buckets = || {
        let buckets = (any::<i32>(), vec(any::<u64>(), 0..4));
        option::of(buckets.prop_map(|(offset, bucket_counts)| Buckets {
            offset,
            bucket_counts,
        }))
    };
    let numbers = any::<(u64, u64, u64, u64, i32, u32, f64)>();
    let stats = any::<(Option<f64>, Option<f64>, Option<f64>)>();
    let parts = (buckets(), buckets(), vec(exemplar(), 0..2));
    (attributes(), numbers, stats, parts).prop_map(|(attributes, numbers, stats, parts)| {
        ExponentialHistogramDataPoint {
            attributes,
            start_time_unix_nano: numbers.0,
            time_unix_nano: numbers.1,
            count: numbers.2,
            sum: stats.0,
            scale: numbers.4,
            zero_count: numbers.3,
            positive: parts.0,
            negative: parts.1,
            flags: numbers.5,
            exemplars: parts.2,
            min: stats.1,
            max: stats.2,
            zero_threshold: numbers.6,
        }
    })
}

fn summary_point() -> impl Strategy<Value = SummaryDataPoint> {
    let quantile =
        any::<(f64, f64)>().prop_map(|(quantile, value)| ValueAtQuantile { quantile, value });
    let numbers = any::<(u64, u64, u64, f64, u32)>();
    (attributes(), numbers, vec(quantile, 0..3)).prop_map(
        |(attributes, numbers, quantile_values)| SummaryDataPoint {
            attributes,
            start_time_unix_nano: numbers.0,
            time_unix_nano: numbers.1,
            count: numbers.2,
            sum: numbers.3,
            quantile_values,
            flags: numbers.4,
        },
    )
}

fn metric() -> impl Strategy<Value = Metric> {
    let numbers = || vec(number_point(), 0..3);
    let data = prop_oneof![
        numbers().prop_map(|data_points| metric::Data::Gauge(Gauge { data_points })),
        (numbers(), any::<(i32, bool)>()).prop_map(|(data_points, (temporality, rises))| {
            metric::Data::Sum(Sum {
                data_points,
                aggregation_temporality: temporality,
                is_monotonic: rises,
            })
        }),
        (vec(histogram_point(), 0..3), any::<i32>()).prop_map(|(data_points, temporality)| {
            metric::Data::Histogram(Histogram {
                data_points,
                aggregation_temporality: temporality,
            })
        }),
        (vec(exponential_point(), 0..3), any::<i32>()).prop_map(|(data_points, temporality)| {
            metric::Data::ExponentialHistogram(ExponentialHistogram {
                data_points,
                aggregation_temporality: temporality,
            })
        }),
        vec(summary_point(), 0..3)
            .prop_map(|data_points| metric::Data::Summary(Summary { data_points })),
    ];
    let texts = (".{0,8}", ".{0,8}", "[a-z]{0,3}");
    (texts, attributes(), option::of(data)).prop_map(
        |((name, description, unit), metadata, data)| Metric {
            name,
            description,
            unit,
            metadata,
            data,
        },
    )
}

/// Metric requests.
pub(crate) fn metrics() -> impl Strategy<Value = ExportMetricsServiceRequest> {
    let scoped = (scope(), vec(metric(), 0..3)).prop_map(|(scope, metrics)| ScopeMetrics {
        scope,
        metrics,
        schema_url: "s".to_owned(),
    });
    let group =
        (resource(), vec(scoped, 0..3)).prop_map(|(resource, scope_metrics)| ResourceMetrics {
            resource,
            scope_metrics,
            schema_url: "r".to_owned(),
        });
    vec(group, 0..3).prop_map(|resource_metrics| ExportMetricsServiceRequest { resource_metrics })
}
