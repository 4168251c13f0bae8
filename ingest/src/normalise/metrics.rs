//! Data points as rows, with what their attributes say of agent, session and model in columns.

use flyball_store::rows::{Date, MetricRow, Micros};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, ExponentialHistogramDataPoint, HistogramDataPoint, Metric,
    NumberDataPoint, SummaryDataPoint,
};
use serde_json::json;

use super::logs::read_attributes;
use super::span::Resource;
use super::{Normalised, Rejected, Rows, json as text};

/// Normalises a request. Points whose index is in `skip` (ascending) are passed over, as in [`super::spans`].
#[must_use]
pub fn metrics(
    request: &ExportMetricsServiceRequest,
    received_at_unix_nano: i64,
    skip: &[u32],
) -> Normalised {
    let mut rows = Rows::default();
    let mut rejected = Vec::new();
    let mut index = 0u32;
    for group in &request.resource_metrics {
        let resource = Resource::of(group.resource.as_ref());
        for scoped in &group.scope_metrics {
            for metric in &scoped.metrics {
                let series = Series {
                    metric,
                    scope: scoped.scope.as_ref(),
                    resource: &resource,
                    received_at_unix_nano,
                };
                for point in points(metric) {
                    let at = index;
                    index += 1;
                    if skip.binary_search(&at).is_ok() {
                        continue;
                    }
                    match series.row(point) {
                        Ok(row) => rows.metrics.push(row),
                        Err(reason) => rejected.push(Rejected { index: at, reason }),
                    }
                }
            }
        }
    }
    rows.batches(rejected)
}

/// A point of whichever kind.
#[derive(Debug, Clone, Copy)]
enum Point<'a> {
    Number(&'a NumberDataPoint),
    Histogram(&'a HistogramDataPoint),
    Exponential(&'a ExponentialHistogramDataPoint),
    Summary(&'a SummaryDataPoint),
}

fn points(metric: &Metric) -> Vec<Point<'_>> {
    match &metric.data {
        Some(Data::Gauge(gauge)) => gauge.data_points.iter().map(Point::Number).collect(),
        Some(Data::Sum(sum)) => sum.data_points.iter().map(Point::Number).collect(),
        Some(Data::Histogram(histogram)) => {
            histogram.data_points.iter().map(Point::Histogram).collect()
        }
        Some(Data::ExponentialHistogram(histogram)) => histogram
            .data_points
            .iter()
            .map(Point::Exponential)
            .collect(),
        Some(Data::Summary(summary)) => summary.data_points.iter().map(Point::Summary).collect(),
        None => Vec::new(),
    }
}

/// A metric where it stands in its request.
struct Series<'a> {
    metric: &'a Metric,
    scope: Option<&'a InstrumentationScope>,
    resource: &'a Resource,
    received_at_unix_nano: i64,
}

impl Series<'_> {
    fn row(&self, point: Point<'_>) -> Result<MetricRow, String> {
        let (attributes, start, time) = point.place();
        let time = match time {
            0 => self.received_at_unix_nano,
            told => super::accept::time("time_unix_nano", told)?,
        };
        let start = match start {
            0 => None,
            told => Some(super::accept::time("start_time_unix_nano", told)?),
        };
        let (received, resource) = (self.received_at_unix_nano, self.resource);
        let said = read_attributes(attributes, self.scope, resource, received, time);
        let (kind, temporality, monotonic) = self.kind();
        let row = MetricRow {
            date: Date::of_nanos(time),
            time: Micros::of_nanos(time),
            time_unix_nano: time,
            start_time: start.map(Micros::of_nanos),
            received_at: said.received_at,
            name: self.metric.name.clone(),
            unit: Some(self.metric.unit.clone()).filter(|unit| !unit.is_empty()),
            kind: kind.to_owned(),
            temporality,
            monotonic,
            scope_name: said.scope_name,
            service_name: said.service_name,
            agent_name: said.agent_name,
            session_id: said.session_id,
            user_id: said.user_id,
            tenant: said.tenant,
            team: said.team,
            environment: said.environment,
            operation: said.operation,
            provider: said.provider,
            request_model: said.request_model,
            response_model: said.response_model,
            tool_name: said.tool_name,
            error_type: said.error_type,
            attributes: text::text(text::object(attributes.iter())),
            resource: said.resource,
            ..MetricRow::default()
        };
        Ok(point.values(row))
    }

    /// The words for its kind and its temporality, and whether it only grows.
    fn kind(&self) -> (&'static str, Option<String>, Option<bool>) {
        let temporality = |number: i32| match AggregationTemporality::try_from(number) {
            Ok(AggregationTemporality::Delta) => Some("delta".to_owned()),
            Ok(AggregationTemporality::Cumulative) => Some("cumulative".to_owned()),
            _ => None,
        };
        match &self.metric.data {
            Some(Data::Sum(sum)) => (
                "sum",
                temporality(sum.aggregation_temporality),
                Some(sum.is_monotonic),
            ),
            Some(Data::Histogram(histogram)) => (
                "histogram",
                temporality(histogram.aggregation_temporality),
                None,
            ),
            Some(Data::ExponentialHistogram(histogram)) => (
                "exponential_histogram",
                temporality(histogram.aggregation_temporality),
                None,
            ),
            Some(Data::Summary(_)) => ("summary", None, None),
            Some(Data::Gauge(_)) | None => ("gauge", None, None),
        }
    }
}

impl<'a> Point<'a> {
    /// Its attributes, since when it counts, and its time (nanoseconds since 1970; 0 when it does not say).
    fn place(self) -> (&'a [KeyValue], u64, u64) {
        match self {
            Self::Number(at) => (&at.attributes, at.start_time_unix_nano, at.time_unix_nano),
            Self::Histogram(at) => (&at.attributes, at.start_time_unix_nano, at.time_unix_nano),
            Self::Exponential(at) => (&at.attributes, at.start_time_unix_nano, at.time_unix_nano),
            Self::Summary(at) => (&at.attributes, at.start_time_unix_nano, at.time_unix_nano),
        }
    }

    fn values(self, row: MetricRow) -> MetricRow {
        let count = |count: u64| Some(i64::try_from(count).unwrap_or(i64::MAX));
        match self {
            Self::Number(point) => MetricRow {
                value: point.value.map(|value| match value {
                    Number::AsDouble(value) => value,
                    Number::AsInt(value) => value as f64,
                }),
                value_int: match point.value {
                    Some(Number::AsInt(value)) => Some(value),
                    _ => None,
                },
                ..row
            },
            Self::Histogram(point) => MetricRow {
                count: count(point.count),
                sum: point.sum,
                min: point.min,
                max: point.max,
                distribution: (!point.bucket_counts.is_empty()).then(|| {
                    json!({ "bounds": point.explicit_bounds, "counts": point.bucket_counts })
                        .to_string()
                }),
                ..row
            },
            Self::Exponential(point) => MetricRow {
                count: count(point.count),
                sum: point.sum,
                min: point.min,
                max: point.max,
                distribution: Some(
                    json!({
                        "scale": point.scale,
                        "zero_count": point.zero_count,
                        "zero_threshold": point.zero_threshold,
                        "positive": buckets(point.positive.as_ref()),
                        "negative": buckets(point.negative.as_ref()),
                    })
                    .to_string(),
                ),
                ..row
            },
            Self::Summary(point) => MetricRow {
                count: count(point.count),
                sum: Some(point.sum),
                distribution: (!point.quantile_values.is_empty()).then(|| {
                    let quantiles = point.quantile_values.iter();
                    let pairs: Vec<_> = quantiles.map(|at| (at.quantile, at.value)).collect();
                    json!({ "quantiles": pairs }).to_string()
                }),
                ..row
            },
        }
    }
}

fn buckets(buckets: Option<&Buckets>) -> serde_json::Value {
    buckets.map_or(
        serde_json::Value::Null,
        |buckets| json!({ "offset": buckets.offset, "counts": buckets.bucket_counts }),
    )
}
