//! From OTLP spans to rows: one span at a time, by the table of [`conventions`](crate::conventions).
//!
//! A span is checked (`accept`), its attributes are read (`value`) into columns (`span`), its token
//! counts brought to one meaning (`usage`), its answer looked at (`answer`), and its content set apart
//! (`content`). What no column takes stays in `attributes`, as JSON (`json`).

mod accept;
mod answer;
mod content;
mod json;
mod span;
mod usage;
mod value;

#[cfg(test)]
mod tests;

use arrow::array::RecordBatch;
use flyball_store::rows::{ContentRow, Row, SpanRow};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

/// What a request's spans became.
#[derive(Debug, Clone)]
pub struct Normalised {
    /// Rows of `spans`, in the order of the request. `log_position` is left to the store.
    pub spans: RecordBatch,
    /// Rows of `contents`, for the spans that carry content; `None` when none does.
    pub contents: Option<RecordBatch>,
    /// The spans that are not among the rows, and why.
    pub rejected: Vec<Rejected>,
}

/// A span that cannot be kept. Its neighbours are.
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
    request: &ExportTraceServiceRequest,
    received_at_unix_nano: i64,
    skip: &[u32],
) -> Normalised {
    let mut rows = Vec::new();
    let mut contents = Vec::new();
    let mut rejected = Vec::new();
    let mut index = 0u32;
    for group in &request.resource_spans {
        let resource = span::Resource::of(group.resource.as_ref());
        for scoped in &group.scope_spans {
            for sent in &scoped.spans {
                let at = index;
                index += 1;
                if skip.binary_search(&at).is_ok() {
                    continue;
                }
                match accept::accept(sent) {
                    Ok(place) => {
                        let row = span::row(
                            sent,
                            &place,
                            scoped.scope.as_ref(),
                            &resource,
                            received_at_unix_nano,
                        );
                        contents.extend(content::row(sent, &row));
                        rows.push(row);
                    }
                    Err(reason) => rejected.push(Rejected { index: at, reason }),
                }
            }
        }
    }
    batches(&rows, &contents, rejected)
}

fn batches(rows: &[SpanRow], contents: &[ContentRow], rejected: Vec<Rejected>) -> Normalised {
    let made = SpanRow::batch(rows).and_then(|spans| {
        let contents = (!contents.is_empty())
            .then(|| ContentRow::batch(contents))
            .transpose()?;
        Ok((spans, contents))
    });
    match made {
        Ok((spans, contents)) => Normalised {
            spans,
            contents,
            rejected,
        },
        // Money is the only value that might not fit its column, and `value` has seen to that.
        Err(problem) => {
            let count = rows.len() + rejected.len();
            let reason = format!("the request's rows do not fit the table: {problem}");
            let all = 0..u32::try_from(count).unwrap_or(u32::MAX);
            Normalised {
                spans: RecordBatch::new_empty(SpanRow::schema()),
                contents: None,
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
