//! From a request's bytes to its message: decompressed, measured, decoded.
//!
//! A body passes through [`decompress`] (gzip, zstd), which never writes more than the limit, and
//! [`traces`], [`logs`] or [`metrics`], which reads the message. Both know what a hostile sender can do with few bytes: a
//! compression bomb, and a body whose tree of messages is a hundred times its own size (two bytes of
//! protobuf make a whole empty span). So the size of the tree is measured too, while it is built.
//!
//! Protobuf is read by reference ([`flyball_otlp`]); JSON ([`flyball_otlp::json`]) becomes a tree of owned messages that is then seen
//! the same way, so that there is one normaliser.
//!
//! What is refused whole (the sender is told why): bad compression, bad protobuf (invalid UTF-8 in a
//! string, nesting deeper than 100 messages included), bad JSON (nesting deeper than 128 included), a
//! value of the wrong type. What costs only its span: an id of the wrong length, of zeros, or of
//! letters that are not hex digits; the normaliser judges those.

mod compression;
mod signal;
#[cfg(test)]
pub(crate) mod tests;

use flyball_otlp::{
    ExportLogsServiceRequest, ExportMetricsServiceRequest, ExportTraceServiceRequest, Problem, json,
};
use flyball_store::Encoding;

use crate::error::{Error, Result};

pub use compression::{Compression, decompress};
pub(crate) use signal::signal_of;

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
    /// 64 MiB, or one body if that is more.
    #[must_use]
    pub const fn of_body(body_bytes: usize) -> Self {
        const IN_FLIGHT: usize = 64 << 20;
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

    /// Refuses a body that is larger than it may be.
    fn admit(self, body: &[u8]) -> Result<()> {
        if body.len() > self.body_bytes {
            return Err(Error::TooLarge {
                what: "the request body",
                limit: self.body_bytes,
            });
        }
        Ok(())
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

/// Declares how a signal's request is decoded and read.
macro_rules! signal {
    ($($(#[$doc:meta])* $name:ident: $message:ident;)*) => { $(
        $(#[$doc])*
        pub fn $name<T>(
            body: &[u8],
            encoding: Encoding,
            limits: Limits,
            read: impl FnOnce(&$message<'_>) -> T,
        ) -> Result<T> {
            limits.admit(body)?;
            const MESSAGE: &str = stringify!($message);
            match encoding {
                Encoding::Protobuf => $message::decode(body, limits.decoded_bytes)
                    .map(|request| read(&request))
                    .map_err(|e| protobuf_error(MESSAGE, &e)),
                Encoding::Json => {
                    let tree = json::decode(body, limits.decoded_bytes)
                        .map_err(|e| json_error(MESSAGE, e))?;
                    Ok(read(&$message::from(&tree)))
                }
            }
        }
    )* };
}

signal! {
    /// Decodes a decompressed body of `/v1/traces` and has it read: the message refers to the body's bytes.
    ///
    /// # Errors
    /// [`Error::BadProtobuf`] or [`Error::BadJson`] with the field, [`Error::TooLarge`] when the body or
    /// its tree is over a limit.
    traces: ExportTraceServiceRequest;
    /// The same for a body of `/v1/logs`.
    ///
    /// # Errors
    /// As [`traces`].
    logs: ExportLogsServiceRequest;
    /// The same for a body of `/v1/metrics`.
    ///
    /// # Errors
    /// As [`traces`].
    metrics: ExportMetricsServiceRequest;
}

fn protobuf_error(message: &'static str, error: &flyball_otlp::Error) -> Error {
    match error.problem() {
        Problem::TooLarge { limit } => Error::TooLarge {
            what: "the decoded request",
            limit: *limit,
        },
        _ => Error::BadProtobuf {
            message,
            reason: error.to_string(),
        },
    }
}

fn json_error(message: &'static str, error: json::Error) -> Error {
    match error {
        json::Error::TooLarge { limit } => Error::TooLarge {
            what: "the decoded request",
            limit,
        },
        json::Error::Bad {
            reason,
            line,
            column,
        } => Error::BadJson {
            message,
            reason,
            line,
            column,
        },
    }
}
