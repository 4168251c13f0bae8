//! From OTLP to rows: one span, log record or data point at a time, by the table of
//! [`conventions`](crate::conventions).
//!
//! A span is checked (`accept`), its attributes are looked up (`attributes`) and read (`value`) into columns
//! (`columns`), its token counts brought to one meaning (`usage`), its answer looked at (`answer`), and its content
//! set apart (`content`). What no column takes stays in `attributes`, as JSON (`json`). All of it is by reference to
//! the request: the first copy of a span's text is the one into the Arrow array (`span`). Log records ([`logs`]) and
//! data points ([`metrics`]) are put into a span's shape, and so read by the same rules.

mod accept;
mod answer;
mod attributes;
mod columns;
mod content;
mod json;
mod logs;
mod markers;
mod metrics;
mod span;
mod target;
mod usage;
mod value;

#[cfg(test)]
mod tests;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use flyball_otlp::ExportTraceServiceRequest;
use flyball_store::Table;
use flyball_store::rows::{ContentRow, LogRow, MetricRow, Row, SpanColumns, SpanRow};

use attributes::Attributes;

pub(crate) use content::content_hash;
pub use logs::logs;
pub use metrics::metrics;

/// What a request became. Rows stand in the order of the request; their `log_position` is left to the store.
#[derive(Debug, Clone)]
pub struct Normalised {
    /// Rows of `spans`: what was sent as spans, and the calls that log records tell of.
    pub spans: RecordBatch,
    /// Rows of `contents`, for what carries content; `None` when nothing does.
    pub contents: Option<RecordBatch>,
    /// Rows of `logs`; `None` when there are none.
    pub logs: Option<RecordBatch>,
    /// Rows of `metrics`; `None` when there are none.
    pub metrics: Option<RecordBatch>,
    /// The spans, records or points that are not among the rows, and why.
    pub rejected: Vec<Rejected>,
}

impl Normalised {
    /// The rows by table; tables without rows are left out.
    #[must_use]
    pub fn batches(self) -> Vec<(Table, RecordBatch)> {
        let mut batches = vec![(Table::Spans, self.spans)];
        batches.retain(|(_, spans)| spans.num_rows() > 0);
        batches.extend(self.contents.map(|rows| (Table::Contents, rows)));
        batches.extend(self.logs.map(|rows| (Table::Logs, rows)));
        batches.extend(self.metrics.map(|rows| (Table::Metrics, rows)));
        batches
    }
}

/// A span, record or point that cannot be kept. Its neighbours are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Which: counted over the whole request, from 0.
    pub index: u32,
    /// Why: names the field, its value and what is accepted.
    pub reason: String,
}

/// Normalises a request. Spans whose index is in `skip` (ascending) are passed over: a replay leaves out
/// what was rejected when the request first came.
#[must_use]
pub fn spans(
    request: &ExportTraceServiceRequest<'_>,
    received_at_unix_nano: i64,
    skip: &[u32],
) -> Normalised {
    let scopes = request
        .resource_spans
        .iter()
        .flat_map(|group| &group.scope_spans);
    let sent = scopes.map(|scoped| scoped.spans.len()).sum();
    let (mut columns, mut count) = (SpanColumns::for_rows(sent), 0);
    let mut contents = Vec::new();
    let mut rejected = Vec::new();
    let mut index = 0u32;
    // Used again for every span.
    let (mut keys, mut text) = (Vec::new(), Vec::new());
    for group in &request.resource_spans {
        let resource = span::Resource::of(group.resource.as_ref());
        for scoped in &group.scope_spans {
            let setting = span::Setting {
                scope: span::Scope::of(scoped.scope.as_ref()),
                resource: &resource,
                received_at_unix_nano,
            };
            for sent in &scoped.spans {
                let at = index;
                index += 1;
                if skip.binary_search(&at).is_ok() {
                    continue;
                }
                let stands = match accept::accept(sent) {
                    Ok(stands) => stands,
                    Err(reason) => {
                        rejected.push(Rejected { index: at, reason });
                        continue;
                    }
                };
                let attributes = Attributes::of(&sent.attributes, &mut keys);
                let told = span::Told::by(&attributes, sent.name, setting.scope);
                let frame = span::Frame {
                    sent,
                    stands: &stands,
                    setting,
                };
                span::Said::by(sent, &attributes, setting, told).write(
                    frame,
                    &attributes,
                    &mut columns,
                    count,
                    &mut text,
                );
                contents.extend(content::row(sent, &attributes, &stands));
                count += 1;
            }
        }
    }
    let rows = Rows {
        contents,
        ..Rows::default()
    };
    rows.batches(columns.batch(count), count, rejected)
}

/// Rows on their way into batches.
#[derive(Debug, Default)]
struct Rows {
    spans: Vec<SpanRow>,
    contents: Vec<ContentRow>,
    logs: Vec<LogRow>,
    metrics: Vec<MetricRow>,
}

impl Rows {
    /// The batches; `spans` has `count` rows.
    fn batches(
        self,
        spans: Result<RecordBatch, ArrowError>,
        count: usize,
        rejected: Vec<Rejected>,
    ) -> Normalised {
        match self.try_batches(spans) {
            Ok(normalised) => Normalised {
                rejected,
                ..normalised
            },
            // Money is the only value that might not fit its column, and `value` has seen to that.
            Err(problem) => {
                let reason = format!("the request's rows do not fit the table: {problem}");
                let all = 0..u32::try_from(count + rejected.len()).unwrap_or(u32::MAX);
                Normalised {
                    spans: RecordBatch::new_empty(SpanRow::schema()),
                    contents: None,
                    logs: None,
                    metrics: None,
                    rejected: all
                        .map(|index| Rejected {
                            index,
                            reason: reason.clone(),
                        })
                        .collect(),
                }
            }
        }
    }

    /// The batches of what came as log records or data points.
    fn told(self, rejected: Vec<Rejected>) -> Normalised {
        let count = self.logs.len().max(self.metrics.len());
        let spans = SpanRow::batch(&self.spans);
        self.batches(spans, count, rejected)
    }

    fn try_batches(
        &self,
        spans: Result<RecordBatch, ArrowError>,
    ) -> Result<Normalised, ArrowError> {
        fn some<R: Row>(rows: &[R]) -> Result<Option<RecordBatch>, ArrowError> {
            (!rows.is_empty()).then(|| R::batch(rows)).transpose()
        }
        Ok(Normalised {
            spans: spans?,
            contents: some(&self.contents)?,
            logs: some(&self.logs)?,
            metrics: some(&self.metrics)?,
            rejected: Vec::new(),
        })
    }
}
