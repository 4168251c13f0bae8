//! What the runtime tells: every step as an OpenTelemetry span, sent within a tenth of a second.
//!
//! A [`Span`] is exported as it ends, so children leave before their parents; the execution's own span
//! ends with the execution.

mod exporter;
mod span;

pub use exporter::{ExporterConfig, Sent, Telemetry};
pub use span::{Span, SpanKind};
