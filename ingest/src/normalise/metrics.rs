//! Data points as rows, with what their attributes say of agent, session and model in columns.

use flyball_otlp::ExportMetricsServiceRequest;
use flyball_otlp::common::KeyValue;
use flyball_otlp::metrics::{
    Buckets, Data, ExponentialHistogramDataPoint, HistogramDataPoint, Metric, Number,
    NumberDataPoint, SummaryDataPoint,
};
use flyball_otlp::trace::Span;
use flyball_store::rows::{Date, MetricRow, Micros, SpanRow};
use serde_json::json;

use super::attributes::Attributes;
use super::span::{Resource, Said, Scope, Setting, Told};
use super::{Normalised, Rejected, Rows, json as text};

/// Normalises a request. Points whose index is in `skip` (ascending) are passed over, as in [`super::spans`].
#[must_use]
pub fn metrics(
    request: &ExportMetricsServiceRequest<'_>,
    received_at_unix_nano: i64,
    skip: &[u32],
) -> Normalised {
    let mut rows = Rows::default();
    let mut rejected = Vec::new();
    let mut index = 0u32;
    for group in &request.resource_metrics {
        let resource = Resource::of(group.resource.as_ref());
        for scoped in &group.scope_metrics {
            let setting = Setting {
                scope: Scope::of(scoped.scope.as_ref()),
                resource: &resource,
                received_at_unix_nano,
            };
            for metric in &scoped.metrics {
                let series = Series { metric, setting };
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
    rows.told(rejected)
}

/// A point of whichever kind.
#[derive(Debug, Clone, Copy)]
enum Point<'s, 'a> {
    Number(&'s NumberDataPoint<'a>),
    Histogram(&'s HistogramDataPoint<'a>),
    Exponential(&'s ExponentialHistogramDataPoint<'a>),
    Summary(&'s SummaryDataPoint<'a>),
}

fn points<'s, 'a>(metric: &'s Metric<'a>) -> Vec<Point<'s, 'a>> {
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
struct Series<'s, 'a> {
    metric: &'s Metric<'a>,
    setting: Setting<'s, 'a>,
}

impl Series<'_, '_> {
    fn row(&self, point: Point<'_, '_>) -> Result<MetricRow, String> {
        let (attributes, start, time) = point.place();
        let time = match time {
            0 => self.setting.received_at_unix_nano,
            told => super::accept::time("time_unix_nano", told)?,
        };
        let start = match start {
            0 => None,
            told => Some(super::accept::time("start_time_unix_nano", told)?),
        };
        let said = read_attributes(attributes, self.setting, time);
        let (kind, temporality, monotonic) = self.kind();
        let row = MetricRow {
            date: Date::of_nanos(time),
            time: Micros::of_nanos(time),
            time_unix_nano: time,
            start_time: start.map(Micros::of_nanos),
            received_at: said.received_at,
            name: self.metric.name.to_owned(),
            unit: Some(self.metric.unit.to_owned()).filter(|unit| !unit.is_empty()),
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
            attributes: text::object(attributes.iter().map(|kv| (kv.key, kv.value.as_ref()))),
            resource: said.resource,
            ..MetricRow::default()
        };
        Ok(point.values(row))
    }

    /// The words for its kind and its temporality, and whether it only grows.
    fn kind(&self) -> (&'static str, Option<String>, Option<bool>) {
        let temporality = |number: i32| match number {
            1 => Some("delta".to_owned()),
            2 => Some("cumulative".to_owned()),
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

impl<'s, 'a> Point<'s, 'a> {
    /// Its attributes, since when it counts, and its time (nanoseconds since 1970; 0 when it does not say).
    fn place(self) -> (&'s [KeyValue<'a>], u64, u64) {
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
                    Number::Double(value) => value,
                    Number::Int(value) => value as f64,
                }),
                value_int: match point.value {
                    Some(Number::Int(value)) => Some(value),
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

/// What a point's attributes say, in the columns of a span.
fn read_attributes(attributes: &[KeyValue<'_>], setting: Setting<'_, '_>, time: i64) -> SpanRow {
    let shape = Span::default();
    let mut keys = Vec::new();
    let attributes = Attributes::of(attributes, &mut keys);
    let told = Told::by(&attributes, shape.name, setting.scope);
    Said::by(&shape, &attributes, setting, told).row(shape.name, (time, time), setting)
}
