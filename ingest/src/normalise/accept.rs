//! Whether a span can be kept: its ids and its times.

use opentelemetry_proto::tonic::trace::v1::Span;

/// Where a span stands: its ids in hex, and its times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) trace_id: String,
    pub(super) span_id: String,
    pub(super) parent_span_id: Option<String>,
    /// Nanoseconds since 1970.
    pub(super) start: i64,
    /// Nanoseconds since 1970; the start, when the sender's end lies before it.
    pub(super) end: i64,
}

/// Checks what cannot be guessed. An end before the start can: such a span took no time.
pub(super) fn accept(span: &Span) -> Result<Place, String> {
    let trace_id = id("trace_id", &span.trace_id, 16)?;
    let span_id = id("span_id", &span.span_id, 8)?;
    let parent_span_id = match span.parent_span_id.as_slice() {
        [] => None,
        zeros if zeros.iter().all(|byte| *byte == 0) => None,
        parent => Some(id("parent_span_id", parent, 8)?),
    };
    if span.start_time_unix_nano == 0 {
        return Err("start_time_unix_nano is 0; expected nanoseconds since 1970".to_owned());
    }
    let start = time("start_time_unix_nano", span.start_time_unix_nano)?;
    let end = time("end_time_unix_nano", span.end_time_unix_nano)?.max(start);
    Ok(Place {
        trace_id,
        span_id,
        parent_span_id,
        start,
        end,
    })
}

fn id(field: &str, bytes: &[u8], length: usize) -> Result<String, String> {
    if bytes.len() != length {
        let shown = &bytes[..bytes.len().min(32)];
        return Err(format!(
            "{field} is {} bytes ({}); expected {length} bytes",
            bytes.len(),
            hex::encode(shown)
        ));
    }
    if bytes.iter().all(|byte| *byte == 0) {
        return Err(format!(
            "{field} is all zeros; expected {length} bytes that are not"
        ));
    }
    Ok(hex::encode(bytes))
}

/// A time that a column can hold, nanoseconds since 1970.
pub(super) fn time(field: &str, nanos: u64) -> Result<i64, String> {
    i64::try_from(nanos).map_err(|_| {
        format!("{field} is {nanos}; expected nanoseconds since 1970 before 2262-04-11")
    })
}
