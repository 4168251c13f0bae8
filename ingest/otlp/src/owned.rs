//! Owned messages seen by reference: nothing but lists is made.
//!
//! Every field of every message is named, so that a field the protocol gains is a compile error here.

use opentelemetry_proto::tonic::collector as sent;
use opentelemetry_proto::tonic::common::v1 as common;
use opentelemetry_proto::tonic::logs::v1 as logs;
use opentelemetry_proto::tonic::metrics::v1 as metrics;
use opentelemetry_proto::tonic::resource::v1 as resource;
use opentelemetry_proto::tonic::trace::v1 as trace;

use crate::common::{EntityRef, InstrumentationScope, KeyValue, Resource, Value};
use crate::logs::{ExportLogsServiceRequest, LogRecord, ResourceLogs, ScopeLogs};
use crate::metrics::{
    Buckets, Data, Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint,
    ExportMetricsServiceRequest, Gauge, Histogram, HistogramDataPoint, Measured, Metric, Number,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint,
    ValueAtQuantile,
};
use crate::trace::{
    Event, ExportTraceServiceRequest, Link, ResourceSpans, ScopeSpans, Span, Status,
};

fn list<'a, T, V: From<&'a T>>(items: &'a [T]) -> Vec<V> {
    items.iter().map(V::from).collect()
}

fn texts(items: &[String]) -> Vec<&str> {
    items.iter().map(String::as_str).collect()
}

fn value(any: &common::AnyValue) -> Option<Value<'_>> {
    any.value.as_ref().map(Value::from)
}

/// Declares how a message is seen: each field, and the expression that sees it.
macro_rules! seen {
    ($($theirs:ty => $ours:ident $(<$life:lifetime>)? as |$sent:ident| { $($field:ident: $see:expr,)* })*) => { $(
        impl<'a> From<&'a $theirs> for $ours $(<$life>)? {
            fn from($sent: &'a $theirs) -> Self {
                Self { $( $field: $see, )* }
            }
        }
    )* };
}

impl<'a> From<&'a common::any_value::Value> for Value<'a> {
    fn from(sent: &'a common::any_value::Value) -> Self {
        use common::any_value::Value as Theirs;
        match sent {
            Theirs::StringValue(text) => Self::String(text),
            Theirs::BoolValue(flag) => Self::Bool(*flag),
            Theirs::IntValue(number) => Self::Int(*number),
            Theirs::DoubleValue(number) => Self::Double(*number),
            Theirs::ArrayValue(array) => Self::Array(array.values.iter().map(value).collect()),
            Theirs::KvlistValue(pairs) => Self::KeyValues(list(&pairs.values)),
            Theirs::BytesValue(bytes) => Self::Bytes(bytes),
            Theirs::StringValueStrindex(index) => Self::StringIndex(*index),
        }
    }
}

seen! {
    common::KeyValue => KeyValue<'a> as |sent| {
        key: &sent.key,
        value: sent.value.as_ref().and_then(value),
        key_strindex: sent.key_strindex,
    }
    common::InstrumentationScope => InstrumentationScope<'a> as |sent| {
        name: &sent.name,
        version: &sent.version,
        attributes: list(&sent.attributes),
        dropped_attributes_count: sent.dropped_attributes_count,
    }
    common::EntityRef => EntityRef<'a> as |sent| {
        schema_url: &sent.schema_url,
        r#type: &sent.r#type,
        id_keys: texts(&sent.id_keys),
        description_keys: texts(&sent.description_keys),
    }
    resource::Resource => Resource<'a> as |sent| {
        attributes: list(&sent.attributes),
        dropped_attributes_count: sent.dropped_attributes_count,
        entity_refs: list(&sent.entity_refs),
    }
}

seen! {
    sent::trace::v1::ExportTraceServiceRequest => ExportTraceServiceRequest<'a> as |sent| {
        resource_spans: list(&sent.resource_spans),
    }
    trace::ResourceSpans => ResourceSpans<'a> as |sent| {
        resource: sent.resource.as_ref().map(Resource::from),
        scope_spans: list(&sent.scope_spans),
        schema_url: &sent.schema_url,
    }
    trace::ScopeSpans => ScopeSpans<'a> as |sent| {
        scope: sent.scope.as_ref().map(InstrumentationScope::from),
        spans: list(&sent.spans),
        schema_url: &sent.schema_url,
    }
    trace::Span => Span<'a> as |sent| {
        trace_id: &sent.trace_id,
        span_id: &sent.span_id,
        trace_state: &sent.trace_state,
        parent_span_id: &sent.parent_span_id,
        flags: sent.flags,
        name: &sent.name,
        kind: sent.kind,
        start_time_unix_nano: sent.start_time_unix_nano,
        end_time_unix_nano: sent.end_time_unix_nano,
        attributes: list(&sent.attributes),
        dropped_attributes_count: sent.dropped_attributes_count,
        events: list(&sent.events),
        dropped_events_count: sent.dropped_events_count,
        links: list(&sent.links),
        dropped_links_count: sent.dropped_links_count,
        status: sent.status.as_ref().map(Status::from),
    }
    trace::span::Event => Event<'a> as |sent| {
        time_unix_nano: sent.time_unix_nano,
        name: &sent.name,
        attributes: list(&sent.attributes),
        dropped_attributes_count: sent.dropped_attributes_count,
    }
    trace::span::Link => Link<'a> as |sent| {
        trace_id: &sent.trace_id,
        span_id: &sent.span_id,
        trace_state: &sent.trace_state,
        attributes: list(&sent.attributes),
        dropped_attributes_count: sent.dropped_attributes_count,
        flags: sent.flags,
    }
    trace::Status => Status<'a> as |sent| {
        message: &sent.message,
        code: sent.code,
    }
}

seen! {
    sent::logs::v1::ExportLogsServiceRequest => ExportLogsServiceRequest<'a> as |sent| {
        resource_logs: list(&sent.resource_logs),
    }
    logs::ResourceLogs => ResourceLogs<'a> as |sent| {
        resource: sent.resource.as_ref().map(Resource::from),
        scope_logs: list(&sent.scope_logs),
        schema_url: &sent.schema_url,
    }
    logs::ScopeLogs => ScopeLogs<'a> as |sent| {
        scope: sent.scope.as_ref().map(InstrumentationScope::from),
        log_records: list(&sent.log_records),
        schema_url: &sent.schema_url,
    }
    logs::LogRecord => LogRecord<'a> as |sent| {
        time_unix_nano: sent.time_unix_nano,
        observed_time_unix_nano: sent.observed_time_unix_nano,
        severity_number: sent.severity_number,
        severity_text: &sent.severity_text,
        body: sent.body.as_ref().and_then(value),
        attributes: list(&sent.attributes),
        dropped_attributes_count: sent.dropped_attributes_count,
        flags: sent.flags,
        trace_id: &sent.trace_id,
        span_id: &sent.span_id,
        event_name: &sent.event_name,
    }
}

seen! {
    sent::metrics::v1::ExportMetricsServiceRequest => ExportMetricsServiceRequest<'a> as |sent| {
        resource_metrics: list(&sent.resource_metrics),
    }
    metrics::ResourceMetrics => ResourceMetrics<'a> as |sent| {
        resource: sent.resource.as_ref().map(Resource::from),
        scope_metrics: list(&sent.scope_metrics),
        schema_url: &sent.schema_url,
    }
    metrics::ScopeMetrics => ScopeMetrics<'a> as |sent| {
        scope: sent.scope.as_ref().map(InstrumentationScope::from),
        metrics: list(&sent.metrics),
        schema_url: &sent.schema_url,
    }
    metrics::Metric => Metric<'a> as |sent| {
        name: &sent.name,
        description: &sent.description,
        unit: &sent.unit,
        metadata: list(&sent.metadata),
        data: sent.data.as_ref().map(Data::from),
    }
    metrics::Gauge => Gauge<'a> as |sent| {
        data_points: list(&sent.data_points),
    }
    metrics::Sum => Sum<'a> as |sent| {
        data_points: list(&sent.data_points),
        aggregation_temporality: sent.aggregation_temporality,
        is_monotonic: sent.is_monotonic,
    }
    metrics::Histogram => Histogram<'a> as |sent| {
        data_points: list(&sent.data_points),
        aggregation_temporality: sent.aggregation_temporality,
    }
    metrics::ExponentialHistogram => ExponentialHistogram<'a> as |sent| {
        data_points: list(&sent.data_points),
        aggregation_temporality: sent.aggregation_temporality,
    }
    metrics::Summary => Summary<'a> as |sent| {
        data_points: list(&sent.data_points),
    }
    metrics::NumberDataPoint => NumberDataPoint<'a> as |sent| {
        attributes: list(&sent.attributes),
        start_time_unix_nano: sent.start_time_unix_nano,
        time_unix_nano: sent.time_unix_nano,
        exemplars: list(&sent.exemplars),
        flags: sent.flags,
        value: sent.value.as_ref().map(Number::from),
    }
    metrics::HistogramDataPoint => HistogramDataPoint<'a> as |sent| {
        attributes: list(&sent.attributes),
        start_time_unix_nano: sent.start_time_unix_nano,
        time_unix_nano: sent.time_unix_nano,
        count: sent.count,
        sum: sent.sum,
        bucket_counts: sent.bucket_counts.clone(),
        explicit_bounds: sent.explicit_bounds.clone(),
        exemplars: list(&sent.exemplars),
        flags: sent.flags,
        min: sent.min,
        max: sent.max,
    }
    metrics::ExponentialHistogramDataPoint => ExponentialHistogramDataPoint<'a> as |sent| {
        attributes: list(&sent.attributes),
        start_time_unix_nano: sent.start_time_unix_nano,
        time_unix_nano: sent.time_unix_nano,
        count: sent.count,
        sum: sent.sum,
        scale: sent.scale,
        zero_count: sent.zero_count,
        positive: sent.positive.as_ref().map(Buckets::from),
        negative: sent.negative.as_ref().map(Buckets::from),
        flags: sent.flags,
        exemplars: list(&sent.exemplars),
        min: sent.min,
        max: sent.max,
        zero_threshold: sent.zero_threshold,
    }
    metrics::exponential_histogram_data_point::Buckets => Buckets as |sent| {
        offset: sent.offset,
        bucket_counts: sent.bucket_counts.clone(),
    }
    metrics::SummaryDataPoint => SummaryDataPoint<'a> as |sent| {
        attributes: list(&sent.attributes),
        start_time_unix_nano: sent.start_time_unix_nano,
        time_unix_nano: sent.time_unix_nano,
        count: sent.count,
        sum: sent.sum,
        quantile_values: list(&sent.quantile_values),
        flags: sent.flags,
    }
    metrics::summary_data_point::ValueAtQuantile => ValueAtQuantile as |sent| {
        quantile: sent.quantile,
        value: sent.value,
    }
    metrics::Exemplar => Exemplar<'a> as |sent| {
        filtered_attributes: list(&sent.filtered_attributes),
        time_unix_nano: sent.time_unix_nano,
        span_id: &sent.span_id,
        trace_id: &sent.trace_id,
        value: sent.value.as_ref().map(Measured::from),
    }
}

impl<'a> From<&'a metrics::metric::Data> for Data<'a> {
    fn from(sent: &'a metrics::metric::Data) -> Self {
        use metrics::metric::Data as Theirs;
        match sent {
            Theirs::Gauge(data) => Self::Gauge(data.into()),
            Theirs::Sum(data) => Self::Sum(data.into()),
            Theirs::Histogram(data) => Self::Histogram(data.into()),
            Theirs::ExponentialHistogram(data) => Self::ExponentialHistogram(data.into()),
            Theirs::Summary(data) => Self::Summary(data.into()),
        }
    }
}

impl From<&metrics::number_data_point::Value> for Number {
    fn from(sent: &metrics::number_data_point::Value) -> Self {
        use metrics::number_data_point::Value as Theirs;
        match sent {
            Theirs::AsDouble(number) => Self::Double(*number),
            Theirs::AsInt(number) => Self::Int(*number),
        }
    }
}

impl From<&metrics::exemplar::Value> for Measured {
    fn from(sent: &metrics::exemplar::Value) -> Self {
        use metrics::exemplar::Value as Theirs;
        match sent {
            Theirs::AsDouble(number) => Self::Double(*number),
            Theirs::AsInt(number) => Self::Int(*number),
        }
    }
}
