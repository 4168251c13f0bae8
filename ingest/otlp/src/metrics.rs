//! Metrics (`opentelemetry.proto.metrics.v1`).

use crate::common::{InstrumentationScope, KeyValue, Resource};
use crate::error::Result;

message! {
    /// What a sender of metrics sends.
    pub struct ExportMetricsServiceRequest<'a> {
        /// Metrics by what recorded them.
        1 => resource_metrics: Vec<ResourceMetrics<'a>> = many,
    }

    /// The metrics of one resource.
    pub struct ResourceMetrics<'a> {
        /// The resource.
        1 => resource: Option<Resource<'a>> = one,
        /// Its metrics by scope.
        2 => scope_metrics: Vec<ScopeMetrics<'a>> = many,
        /// Schema of the resource's attributes.
        3 => schema_url: &'a str = text,
    }

    /// The metrics of one scope.
    pub struct ScopeMetrics<'a> {
        /// The scope.
        1 => scope: Option<InstrumentationScope<'a>> = one,
        /// Its metrics.
        2 => metrics: Vec<Metric<'a>> = many,
        /// Schema of the metrics' attributes.
        3 => schema_url: &'a str = text,
    }

    /// One metric and its data points.
    pub struct Metric<'a> {
        /// Its name.
        1 => name: &'a str = text,
        /// What it measures, in words.
        2 => description: &'a str = text,
        /// In what unit (UCUM).
        3 => unit: &'a str = text,
        /// More about it.
        12 => metadata: Vec<KeyValue<'a>> = many,
        /// Its data points, by kind.
        5 | 7 | 9 | 10 | 11 => data: Option<Data<'a>> = oneof,
    }

    /// Values as they stand.
    pub struct Gauge<'a> {
        /// One a set of attributes and time.
        1 => data_points: Vec<NumberDataPoint<'a>> = many,
    }

    /// Values that add up.
    pub struct Sum<'a> {
        /// One a set of attributes and time.
        1 => data_points: Vec<NumberDataPoint<'a>> = many,
        /// 1 delta, 2 cumulative.
        2 => aggregation_temporality: i32 = int32,
        /// Whether it never falls.
        3 => is_monotonic: bool = boolean,
    }

    /// How values are distributed, in buckets with bounds.
    pub struct Histogram<'a> {
        /// One a set of attributes and time.
        1 => data_points: Vec<HistogramDataPoint<'a>> = many,
        /// 1 delta, 2 cumulative.
        2 => aggregation_temporality: i32 = int32,
    }

    /// How values are distributed, in buckets of exponential size.
    pub struct ExponentialHistogram<'a> {
        /// One a set of attributes and time.
        1 => data_points: Vec<ExponentialHistogramDataPoint<'a>> = many,
        /// 1 delta, 2 cumulative.
        2 => aggregation_temporality: i32 = int32,
    }

    /// How values were distributed, as quantiles that a client computed.
    pub struct Summary<'a> {
        /// One a set of attributes and time.
        1 => data_points: Vec<SummaryDataPoint<'a>> = many,
    }

    /// A number.
    pub struct NumberDataPoint<'a> {
        /// What it is the value of.
        7 => attributes: Vec<KeyValue<'a>> = many,
        /// Since when it counts, nanoseconds since 1970.
        2 => start_time_unix_nano: u64 = fixed64,
        /// When it was taken, nanoseconds since 1970.
        3 => time_unix_nano: u64 = fixed64,
        /// Measurements behind it.
        5 => exemplars: Vec<Exemplar<'a>> = many,
        /// 1: nothing was recorded.
        8 => flags: u32 = uint32,
        /// The number.
        4 | 6 => value: Option<Number> = oneof,
    }

    /// A histogram with bounds.
    pub struct HistogramDataPoint<'a> {
        /// What it is the value of.
        9 => attributes: Vec<KeyValue<'a>> = many,
        /// Since when it counts, nanoseconds since 1970.
        2 => start_time_unix_nano: u64 = fixed64,
        /// When it was taken, nanoseconds since 1970.
        3 => time_unix_nano: u64 = fixed64,
        /// How many values.
        4 => count: u64 = fixed64,
        /// Their sum.
        5 => sum: Option<f64> = double_or_none,
        /// How many in each bucket.
        6 => bucket_counts: Vec<u64> = fixed64s,
        /// Upper bounds of all buckets but the last.
        7 => explicit_bounds: Vec<f64> = doubles,
        /// Measurements behind it.
        8 => exemplars: Vec<Exemplar<'a>> = many,
        /// 1: nothing was recorded.
        10 => flags: u32 = uint32,
        /// The least value.
        11 => min: Option<f64> = double_or_none,
        /// The greatest value.
        12 => max: Option<f64> = double_or_none,
    }

    /// A histogram with buckets of exponential size.
    pub struct ExponentialHistogramDataPoint<'a> {
        /// What it is the value of.
        1 => attributes: Vec<KeyValue<'a>> = many,
        /// Since when it counts, nanoseconds since 1970.
        2 => start_time_unix_nano: u64 = fixed64,
        /// When it was taken, nanoseconds since 1970.
        3 => time_unix_nano: u64 = fixed64,
        /// How many values.
        4 => count: u64 = fixed64,
        /// Their sum.
        5 => sum: Option<f64> = double_or_none,
        /// Two buckets' bounds are 2^(2^-scale) apart.
        6 => scale: i32 = sint32,
        /// How many values are zero, or nearer to it than the threshold.
        7 => zero_count: u64 = fixed64,
        /// Values above zero.
        8 => positive: Option<Buckets> = one,
        /// Values below zero.
        9 => negative: Option<Buckets> = one,
        /// 1: nothing was recorded.
        10 => flags: u32 = uint32,
        /// Measurements behind it.
        11 => exemplars: Vec<Exemplar<'a>> = many,
        /// The least value.
        12 => min: Option<f64> = double_or_none,
        /// The greatest value.
        13 => max: Option<f64> = double_or_none,
        /// How near to zero counts as zero.
        14 => zero_threshold: f64 = double,
    }

    /// Quantiles.
    pub struct SummaryDataPoint<'a> {
        /// What it is the value of.
        7 => attributes: Vec<KeyValue<'a>> = many,
        /// Since when it counts, nanoseconds since 1970.
        2 => start_time_unix_nano: u64 = fixed64,
        /// When it was taken, nanoseconds since 1970.
        3 => time_unix_nano: u64 = fixed64,
        /// How many values.
        4 => count: u64 = fixed64,
        /// Their sum.
        5 => sum: f64 = double,
        /// The quantiles.
        6 => quantile_values: Vec<ValueAtQuantile> = many,
        /// 1: nothing was recorded.
        8 => flags: u32 = uint32,
    }

    /// A measurement behind a data point.
    pub struct Exemplar<'a> {
        /// Attributes that the data point lacks.
        7 => filtered_attributes: Vec<KeyValue<'a>> = many,
        /// When it was measured, nanoseconds since 1970.
        2 => time_unix_nano: u64 = fixed64,
        /// The span during which it was measured: 8 bytes, or none. Not checked.
        4 => span_id: &'a [u8] = bytes,
        /// Its trace: 16 bytes, or none. Not checked.
        5 => trace_id: &'a [u8] = bytes,
        /// What was measured.
        3 | 6 => value: Option<Measured> = oneof,
    }
}

numeric_message! {
    /// Buckets of exponential size.
    pub struct Buckets {
        /// Index of the first.
        1 => offset: i32 = sint32,
        /// How many values in each.
        2 => bucket_counts: Vec<u64> = uint64s,
    }

    /// A quantile.
    pub struct ValueAtQuantile {
        /// Which, 0 to 1.
        1 => quantile: f64 = double,
        /// The value there.
        2 => value: f64 = double,
    }
}

/// The data points of a metric, by kind.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // each is what the message of that name says
pub enum Data<'a> {
    Gauge(Gauge<'a>),
    Sum(Sum<'a>),
    Histogram(Histogram<'a>),
    ExponentialHistogram(ExponentialHistogram<'a>),
    Summary(Summary<'a>),
}

oneof! {
    impl<'a> Data<'a> {
        5 => Gauge = message,
        7 => Sum = message,
        9 => Histogram = message,
        10 => ExponentialHistogram = message,
        11 => Summary = message,
    }
}

/// The number of a data point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A floating point number.
    Double(f64),
    /// An integer.
    Int(i64),
}

oneof! {
    impl<'a> Number {
        4 => Double = double,
        6 => Int = sfixed64,
    }
}

/// The number of an exemplar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Measured {
    /// A floating point number.
    Double(f64),
    /// An integer.
    Int(i64),
}

oneof! {
    impl<'a> Measured {
        3 => Double = double,
        6 => Int = sfixed64,
    }
}

impl<'a> ExportMetricsServiceRequest<'a> {
    /// Reads a body whose messages may take `limit` bytes of memory (strings and ids take none).
    ///
    /// # Errors
    /// What is wrong, and in which field.
    pub fn decode(body: &'a [u8], limit: usize) -> Result<Self> {
        crate::message::decode(body, limit)
    }
}
