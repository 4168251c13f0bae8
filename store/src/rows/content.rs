//! `contents`: prompts, completions, tool arguments and results, apart from the spans they belong to.

use super::{Date, Micros};

crate::row! {
    /// The content of one span. Apart from `spans`, since it is most of the bytes and none of the charts.
    pub struct ContentRow {
        /// Partition: the UTC day of the span's start.
        pub date: Date,
        /// The span's start.
        pub start_time: Micros,
        /// The span's trace.
        pub trace_id: String,
        /// The span; of what a log record carried, the record's own id.
        pub span_id: String,
        /// The span that the log record is about, where it names one; NULL for a span's own content.
        pub of_span_id: Option<String>,
        /// What went in (prompt, tool arguments), as one JSON object by attribute key.
        pub input: Option<String>,
        /// What came out (completion, tool result), as one JSON object by attribute key.
        pub output: Option<String>,
        /// `flyball.plan`, `.alternatives`, `.rejected`, `.summary`, as one JSON object.
        pub reasoning: Option<String>,
        /// Bytes of the three together, as sent.
        pub bytes: i64,
        /// SHA-256 over the three, hex.
        pub sha256: String,
        /// Where in the log the request stands.
        pub log_position: i64,
    }
}
