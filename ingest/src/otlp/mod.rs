//! From a request's bytes to its message: decompressed, measured, decoded.
//!
//! A body passes through [`decompress`] (gzip, zstd), which never writes more than the limit, and
//! [`traces`], [`logs`] or [`metrics`], which builds the message. Both know what a hostile sender can do with few bytes: a
//! compression bomb, and a body whose tree of messages is a hundred times its own size (two bytes of
//! protobuf make a whole empty span). So the size of the tree is measured too, for protobuf before it is
//! built (`footprint`) and for JSON while it is built (`json`).
//!
//! What is refused whole (the sender is told why): bad compression, bad protobuf (invalid UTF-8 in a
//! string, nesting deeper than 100 messages included), bad JSON (nesting deeper than 128 included), a
//! value of the wrong type. What costs only its span: an id of the wrong length, of zeros, or of
//! letters that are not hex digits; the normaliser judges those.

mod compression;
mod footprint;
mod json;
#[cfg(test)]
pub(crate) mod tests;

use bytes::Bytes;
use flyball_store::Encoding;
use footprint::Node;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

use crate::error::{Error, Result};

pub use compression::{Compression, decompress};
pub(crate) use json::signal_of;

/// How much one request may weigh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a body, as sent and decompressed alike.
    pub body_bytes: usize,
    /// Bytes that the decoded tree of messages may take in memory (strings not counted: those can't
    /// outgrow the body).
    pub decoded_bytes: usize,
    /// Bytes of all bodies together that are under way at once on both ports. A compressed one counts as
    /// what it probably unpacks to. Who finds no room is told to come back.
    pub in_flight_bytes: usize,
}

impl Limits {
    /// Limits for bodies of this many bytes; the tree may be eight times that, and all bodies together
    /// 128 MiB, or one body if that is more.
    #[must_use]
    pub const fn of_body(body_bytes: usize) -> Self {
        const IN_FLIGHT: usize = 128 << 20;
        Self {
            body_bytes,
            decoded_bytes: body_bytes.saturating_mul(8),
            in_flight_bytes: if body_bytes > IN_FLIGHT {
                body_bytes
            } else {
                IN_FLIGHT
            },
        }
    }

    /// None: for bodies that have been accepted before, at recovery.
    pub const NONE: Self = Self::of_body(usize::MAX);
}

impl Default for Limits {
    /// 16 MiB a body.
    fn default() -> Self {
        Self::of_body(16 << 20)
    }
}

/// The encoding that a `content-type` header names. Parameters (`; charset=utf-8`) and case don't matter.
///
/// # Errors
/// [`Error::UnsupportedContentType`] when it is absent or something else.
pub fn encoding_of(content_type: Option<&str>) -> Result<Encoding> {
    let given = content_type.unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    match essence.to_ascii_lowercase().as_str() {
        "application/x-protobuf" | "application/protobuf" => Ok(Encoding::Protobuf),
        "application/json" => Ok(Encoding::Json),
        _ => Err(Error::UnsupportedContentType {
            given: given.to_owned(),
        }),
    }
}

/// Decodes a decompressed body of `/v1/traces`.
///
/// # Errors
/// [`Error::BadProtobuf`] or [`Error::BadJson`] with the field, [`Error::TooLarge`] when the body or
/// its tree is over a limit.
pub fn traces(
    body: &Bytes,
    encoding: Encoding,
    limits: Limits,
) -> Result<ExportTraceServiceRequest> {
    request(
        body,
        encoding,
        limits,
        Node::Traces,
        "ExportTraceServiceRequest",
    )
}

/// Decodes a decompressed body of `/v1/logs`.
///
/// # Errors
/// As [`traces`].
pub fn logs(body: &Bytes, encoding: Encoding, limits: Limits) -> Result<ExportLogsServiceRequest> {
    request(
        body,
        encoding,
        limits,
        Node::Logs,
        "ExportLogsServiceRequest",
    )
}

/// Decodes a decompressed body of `/v1/metrics`.
///
/// # Errors
/// As [`traces`].
pub fn metrics(
    body: &Bytes,
    encoding: Encoding,
    limits: Limits,
) -> Result<ExportMetricsServiceRequest> {
    request(
        body,
        encoding,
        limits,
        Node::Metrics,
        "ExportMetricsServiceRequest",
    )
}

fn request<M: Message + Default + json::Read<Value = M>>(
    body: &Bytes,
    encoding: Encoding,
    limits: Limits,
    root: Node,
    message: &'static str,
) -> Result<M> {
    if body.len() > limits.body_bytes {
        return Err(Error::TooLarge {
            what: "the request body",
            limit: limits.body_bytes,
        });
    }
    match encoding {
        Encoding::Protobuf => {
            footprint::check(root, body, limits.decoded_bytes)?;
            M::decode(body.as_ref()).map_err(|e| Error::BadProtobuf {
                message,
                reason: e.to_string(),
            })
        }
        Encoding::Json => json::request(body, message, limits.decoded_bytes),
    }
}
