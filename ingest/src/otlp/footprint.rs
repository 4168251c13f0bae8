//! How much memory a protobuf request would take as a tree of messages, before it is built.
//!
//! An empty span is two bytes on the wire and some three hundred in memory, so a body within its limit
//! could still ask for gigabytes. This walk reads tags and lengths only, skips what is not a message,
//! and stops at the first byte that is not protobuf: the real decoder will say what is wrong with it.

use std::mem::size_of;

use opentelemetry_proto::tonic::common::v1::{AnyValue, EntityRef, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, SummaryDataPoint,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

use crate::error::{Error, Result};

/// The messages of the three requests, as far as they hold others.
#[derive(Debug, Clone, Copy)]
pub(super) enum Node {
    /// `ExportTraceServiceRequest`.
    Traces,
    ResourceSpans,
    ScopeSpans,
    Span,
    Event,
    Link,
    Status,
    /// `ExportLogsServiceRequest`.
    Logs,
    ResourceLogs,
    ScopeLogs,
    LogRecord,
    /// `ExportMetricsServiceRequest`.
    Metrics,
    ResourceMetrics,
    ScopeMetrics,
    Metric,
    /// A gauge or a sum.
    Numbers,
    Number,
    Histograms,
    Histogram,
    ExponentialHistograms,
    ExponentialHistogram,
    Summaries,
    Summary,
    Quantile,
    Exemplar,
    Resource,
    Entity,
    Scope,
    KeyValue,
    AnyValue,
    /// `ArrayValue`: a list of values.
    Array,
    /// `KeyValueList`.
    KeyValues,
    /// A repeated string.
    Text,
}

impl Node {
    /// The message in field `number`; None when the field holds no message.
    fn child(self, number: u64) -> Option<Self> {
        Some(match (self, number) {
            (Self::Traces, 1) => Self::ResourceSpans,
            (Self::ResourceSpans, 2) => Self::ScopeSpans,
            (Self::ScopeSpans, 2) => Self::Span,
            (Self::Span, 11) => Self::Event,
            (Self::Span, 13) => Self::Link,
            (Self::Span, 15) => Self::Status,
            (Self::Logs, 1) => Self::ResourceLogs,
            (Self::ResourceLogs, 2) => Self::ScopeLogs,
            (Self::ScopeLogs, 2) => Self::LogRecord,
            (Self::Metrics, 1) => Self::ResourceMetrics,
            (Self::ResourceMetrics, 2) => Self::ScopeMetrics,
            (Self::ScopeMetrics, 2) => Self::Metric,
            (Self::Metric, 5 | 7) => Self::Numbers,
            (Self::Metric, 9) => Self::Histograms,
            (Self::Metric, 10) => Self::ExponentialHistograms,
            (Self::Metric, 11) => Self::Summaries,
            (Self::Numbers, 1) => Self::Number,
            (Self::Histograms, 1) => Self::Histogram,
            (Self::ExponentialHistograms, 1) => Self::ExponentialHistogram,
            (Self::Summaries, 1) => Self::Summary,
            (Self::Summary, 6) => Self::Quantile,
            (Self::Number, 5) | (Self::Histogram, 8) | (Self::ExponentialHistogram, 11) => {
                Self::Exemplar
            }
            (Self::ResourceSpans | Self::ResourceLogs | Self::ResourceMetrics, 1) => Self::Resource,
            (Self::ScopeSpans | Self::ScopeLogs | Self::ScopeMetrics, 1) => Self::Scope,
            (Self::Resource, 3) => Self::Entity,
            (Self::Entity, 3 | 4) => Self::Text,
            (Self::Resource | Self::ExponentialHistogram | Self::KeyValues, 1)
            | (Self::Scope | Self::Event, 3)
            | (Self::Link, 4)
            | (Self::LogRecord, 6)
            | (Self::Number | Self::Summary | Self::Exemplar, 7)
            | (Self::Span | Self::Histogram, 9)
            | (Self::Metric, 12) => Self::KeyValue,
            (Self::KeyValue, 2) | (Self::Array, 1) | (Self::LogRecord, 5) => Self::AnyValue,
            (Self::AnyValue, 5) => Self::Array,
            (Self::AnyValue, 6) => Self::KeyValues,
            _ => return None,
        })
    }

    /// Bytes of the struct itself.
    fn size(self) -> usize {
        match self {
            Self::Traces
            | Self::Logs
            | Self::Metrics
            | Self::Numbers
            | Self::Histograms
            | Self::ExponentialHistograms
            | Self::Summaries
            | Self::Array
            | Self::KeyValues => size_of::<Vec<u8>>(),
            Self::ResourceSpans => size_of::<ResourceSpans>(),
            Self::ScopeSpans => size_of::<ScopeSpans>(),
            Self::Span => size_of::<Span>(),
            Self::Event => size_of::<Event>(),
            Self::Link => size_of::<Link>(),
            Self::Status => size_of::<Status>(),
            Self::ResourceLogs => size_of::<ResourceLogs>(),
            Self::ScopeLogs => size_of::<ScopeLogs>(),
            Self::LogRecord => size_of::<LogRecord>(),
            Self::ResourceMetrics => size_of::<ResourceMetrics>(),
            Self::ScopeMetrics => size_of::<ScopeMetrics>(),
            Self::Metric => size_of::<Metric>(),
            Self::Number => size_of::<NumberDataPoint>(),
            Self::Histogram => size_of::<HistogramDataPoint>(),
            Self::ExponentialHistogram => size_of::<ExponentialHistogramDataPoint>(),
            Self::Summary => size_of::<SummaryDataPoint>(),
            Self::Quantile => size_of::<ValueAtQuantile>(),
            Self::Exemplar => size_of::<Exemplar>(),
            Self::Resource => size_of::<Resource>(),
            Self::Entity => size_of::<EntityRef>(),
            Self::Scope => size_of::<InstrumentationScope>(),
            Self::KeyValue => size_of::<KeyValue>(),
            Self::AnyValue => size_of::<AnyValue>(),
            Self::Text => size_of::<String>(),
        }
    }
}

/// Deeper than prost goes (100 messages): what lies below is never built.
const DEPTH_MAX: u32 = 101;

/// Refuses a request whose tree would take more than `limit` bytes; `root` says which it is.
///
/// # Errors
/// [`Error::TooLarge`] when it would.
pub(super) fn check(root: Node, body: &[u8], limit: usize) -> Result<()> {
    let mut left = limit;
    if walk(root, body, &mut left, 0) == Walk::OverLimit {
        return Err(Error::TooLarge {
            what: "the decoded request",
            limit,
        });
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Walk {
    Done,
    Malformed,
    OverLimit,
}

fn walk(node: Node, mut rest: &[u8], left: &mut usize, depth: u32) -> Walk {
    let Some(now) = left.checked_sub(node.size()) else {
        return Walk::OverLimit;
    };
    *left = now;
    if depth >= DEPTH_MAX {
        return Walk::Malformed;
    }
    while !rest.is_empty() {
        let Some(key) = varint(&mut rest) else {
            return Walk::Malformed;
        };
        let field = match key & 7 {
            0 => varint(&mut rest).map(|_| &[][..]),
            1 => take(&mut rest, 8),
            2 => varint(&mut rest)
                .and_then(|length| usize::try_from(length).ok())
                .and_then(|length| take(&mut rest, length)),
            5 => take(&mut rest, 4),
            // Groups left protobuf before OTLP began, but a decoder skips them where they are unknown:
            // walk on inside, so that nothing hides there. Its end (4) is a tag without a value.
            3 | 4 => Some(&[][..]),
            _ => None,
        };
        let Some(field) = field else {
            return Walk::Malformed;
        };
        if key & 7 == 2
            && let Some(child) = node.child(key >> 3)
        {
            let walked = walk(child, field, left, depth + 1);
            if walked != Walk::Done {
                return walked;
            }
        }
    }
    Walk::Done
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for (i, byte) in rest.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            *rest = &rest[i + 1..];
            return Some(value);
        }
    }
    None
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (field, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(field)
}
