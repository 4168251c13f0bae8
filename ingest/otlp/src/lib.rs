//! OTLP requests read by reference: every string and id of a message is a slice of the request's own bytes.
//!
//! Bytes are read by `reader` (varints, lengths, groups) into fields (`field`), as the tables in [`common`],
//! [`trace`], [`logs`] and [`metrics`] say: one row a field, in the words of the protocol's own definition.
//! [`ExportTraceServiceRequest::decode`], [`ExportLogsServiceRequest::decode`] and
//! [`ExportMetricsServiceRequest::decode`] are the ways in. OTLP/JSON is read into a tree of owned messages ([`json`]),
//! which is seen through the same types by `From<&...>` (`owned`).
//!
//! What is accepted, and what it means, is what prost makes of the same bytes, to the corner: unknown fields are
//! skipped, of a scalar sent twice the last counts, messages sent twice are merged, lists of numbers may be packed
//! or not, a oneof keeps its last alternative, strings must be UTF-8, messages nest 100 deep.
//!
//! Memory: a decoder is given the bytes that its messages may take and stops at that limit. Lists are sized by
//! counting what follows, or at most doubled, so no more than twice the limit is ever held (three times while a list
//! that was sent in scattered pieces grows). Strings and ids take nothing. Without a limit the worst is a list of
//! empty messages, two bytes each on the wire: 160 times the body's length.

#[macro_use]
mod message;

pub mod common;
pub mod error;
mod field;
pub mod json;
pub mod logs;
pub mod metrics;
mod owned;
mod reader;
pub mod trace;

pub use error::{Error, Problem, Result};
pub use logs::ExportLogsServiceRequest;
pub use metrics::ExportMetricsServiceRequest;
pub use trace::ExportTraceServiceRequest;

/// Messages inside messages: as many as prost follows.
pub const DEPTH_MAX: u32 = 100;
