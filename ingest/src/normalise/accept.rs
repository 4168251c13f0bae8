//! Whether a span can be kept: its ids and its times.

use flyball_otlp::trace::Span;

/// An id in `N` lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hex<const N: usize>([u8; N]);

impl<const N: usize> Hex<N> {
    pub(super) fn as_str(&self) -> &str {
        // Hex digits are text.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Where a span stands: its ids in hex, and its times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) trace_id: Hex<32>,
    pub(super) span_id: Hex<16>,
    pub(super) parent_span_id: Option<Hex<16>>,
    /// Nanoseconds since 1970.
    pub(super) start: i64,
    /// Nanoseconds since 1970; the start, when the sender's end lies before it.
    pub(super) end: i64,
}

/// Checks what cannot be guessed. An end before the start can: such a span took no time.
pub(super) fn accept(span: &Span<'_>) -> Result<Place, String> {
    let trace_id = id("trace_id", span.trace_id)?;
    let span_id = id("span_id", span.span_id)?;
    let parent_span_id = match span.parent_span_id {
        [] => None,
        zeros if zeros.iter().all(|byte| *byte == 0) => None,
        parent => Some(id("parent_span_id", parent)?),
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

fn id<const N: usize>(field: &str, bytes: &[u8]) -> Result<Hex<N>, String> {
    let mut digits = [0; N];
    if hex::encode_to_slice(bytes, &mut digits).is_err() {
        let shown = &bytes[..bytes.len().min(32)];
        return Err(format!(
            "{field} is {} bytes ({}); expected {} bytes",
            bytes.len(),
            hex::encode(shown),
            N / 2
        ));
    }
    if bytes.iter().all(|byte| *byte == 0) {
        return Err(format!(
            "{field} is all zeros; expected {} bytes that are not",
            N / 2
        ));
    }
    Ok(Hex(digits))
}

/// A time that a column can hold, nanoseconds since 1970.
pub(super) fn time(field: &str, nanos: u64) -> Result<i64, String> {
    i64::try_from(nanos).map_err(|_| {
        format!("{field} is {nanos}; expected nanoseconds since 1970 before 2262-04-11")
    })
}
