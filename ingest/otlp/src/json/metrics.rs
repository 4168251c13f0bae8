//! The messages of a metric request.

use std::fmt;
use std::mem::size_of;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge,
    Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
    Summary, SummaryDataPoint, exemplar, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::scalar::{Double, Enum, HexId, Number, Text, Truth};
use super::value::{Budget, Field, Key, List, Read, in_field};

message!(ExportMetricsServiceRequest {
    "resourceMetrics" | "resource_metrics" => resource_metrics: List<ResourceMetrics>,
});
message!(ResourceMetrics {
    "resource" => resource: Resource,
    "scopeMetrics" | "scope_metrics" => scope_metrics: List<ScopeMetrics>,
    "schemaUrl" | "schema_url" => schema_url: Text,
});
message!(ScopeMetrics {
    "scope" => scope: InstrumentationScope,
    "metrics" => metrics: List<Metric>,
    "schemaUrl" | "schema_url" => schema_url: Text,
});
message!(Metric {
    "name" => name: Text,
    "description" => description: Text,
    "unit" => unit: Text,
    "metadata" => metadata: List<KeyValue>,
} one of {
    "gauge" => data: metric::Data::Gauge: Gauge,
    "sum" => data: metric::Data::Sum: Sum,
    "histogram" => data: metric::Data::Histogram: Histogram,
    "exponentialHistogram" | "exponential_histogram" => data: metric::Data::ExponentialHistogram: ExponentialHistogram,
    "summary" => data: metric::Data::Summary: Summary,
});
message!(Gauge {
    "dataPoints" | "data_points" => data_points: List<NumberDataPoint>,
});
message!(Sum {
    "dataPoints" | "data_points" => data_points: List<NumberDataPoint>,
    "aggregationTemporality" | "aggregation_temporality" => aggregation_temporality: Enum<AggregationTemporality>,
    "isMonotonic" | "is_monotonic" => is_monotonic: Truth,
});
message!(Histogram {
    "dataPoints" | "data_points" => data_points: List<HistogramDataPoint>,
    "aggregationTemporality" | "aggregation_temporality" => aggregation_temporality: Enum<AggregationTemporality>,
});
message!(ExponentialHistogram {
    "dataPoints" | "data_points" => data_points: List<ExponentialHistogramDataPoint>,
    "aggregationTemporality" | "aggregation_temporality" => aggregation_temporality: Enum<AggregationTemporality>,
});
message!(Summary {
    "dataPoints" | "data_points" => data_points: List<SummaryDataPoint>,
});
message!(NumberDataPoint {
    "attributes" => attributes: List<KeyValue>,
    "startTimeUnixNano" | "start_time_unix_nano" => start_time_unix_nano: Number<u64>,
    "timeUnixNano" | "time_unix_nano" => time_unix_nano: Number<u64>,
    "exemplars" => exemplars: List<Exemplar>,
    "flags" => flags: Number<u32>,
} one of {
    "asDouble" | "as_double" => value: number_data_point::Value::AsDouble: Double,
    "asInt" | "as_int" => value: number_data_point::Value::AsInt: Number<i64>,
});
message!(HistogramDataPoint {
    "attributes" => attributes: List<KeyValue>,
    "startTimeUnixNano" | "start_time_unix_nano" => start_time_unix_nano: Number<u64>,
    "timeUnixNano" | "time_unix_nano" => time_unix_nano: Number<u64>,
    "count" => count: Number<u64>,
    "sum" => sum: Double,
    "bucketCounts" | "bucket_counts" => bucket_counts: List<Number<u64>>,
    "explicitBounds" | "explicit_bounds" => explicit_bounds: List<Double>,
    "exemplars" => exemplars: List<Exemplar>,
    "flags" => flags: Number<u32>,
    "min" => min: Double,
    "max" => max: Double,
});
message!(ExponentialHistogramDataPoint {
    "attributes" => attributes: List<KeyValue>,
    "startTimeUnixNano" | "start_time_unix_nano" => start_time_unix_nano: Number<u64>,
    "timeUnixNano" | "time_unix_nano" => time_unix_nano: Number<u64>,
    "count" => count: Number<u64>,
    "sum" => sum: Double,
    "scale" => scale: Number<i32>,
    "zeroCount" | "zero_count" => zero_count: Number<u64>,
    "positive" => positive: Buckets,
    "negative" => negative: Buckets,
    "flags" => flags: Number<u32>,
    "exemplars" => exemplars: List<Exemplar>,
    "min" => min: Double,
    "max" => max: Double,
    "zeroThreshold" | "zero_threshold" => zero_threshold: Double,
});
message!(Buckets {
    "offset" => offset: Number<i32>,
    "bucketCounts" | "bucket_counts" => bucket_counts: List<Number<u64>>,
});
message!(SummaryDataPoint {
    "attributes" => attributes: List<KeyValue>,
    "startTimeUnixNano" | "start_time_unix_nano" => start_time_unix_nano: Number<u64>,
    "timeUnixNano" | "time_unix_nano" => time_unix_nano: Number<u64>,
    "count" => count: Number<u64>,
    "sum" => sum: Double,
    "quantileValues" | "quantile_values" => quantile_values: List<ValueAtQuantile>,
    "flags" => flags: Number<u32>,
});
message!(ValueAtQuantile {
    "quantile" => quantile: Double,
    "value" => value: Double,
});
message!(Exemplar {
    "filteredAttributes" | "filtered_attributes" => filtered_attributes: List<KeyValue>,
    "timeUnixNano" | "time_unix_nano" => time_unix_nano: Number<u64>,
    "spanId" | "span_id" => span_id: HexId<8>,
    "traceId" | "trace_id" => trace_id: HexId<16>,
} one of {
    "asDouble" | "as_double" => value: exemplar::Value::AsDouble: Double,
    "asInt" | "as_int" => value: exemplar::Value::AsInt: Number<i64>,
});
