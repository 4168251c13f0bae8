//! What can go wrong on the way in.

use std::path::PathBuf;
use std::time::Duration;

use flyball_store as store;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a request (or a file, or a server) was refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request's content type is none of OTLP's.
    #[error(
        "content-type `{given}` is not supported: send application/x-protobuf or application/json"
    )]
    UnsupportedContentType {
        /// The header as sent; empty when it was absent.
        given: String,
    },
    /// The request's compression is not known here.
    #[error("content-encoding `{given}` is not supported: send gzip, zstd or identity")]
    UnsupportedContentEncoding {
        /// The header as sent.
        given: String,
    },
    /// The body is not what its content encoding says.
    #[error("the body is not valid {encoding}: {reason}")]
    BadCompression {
        /// gzip or zstd.
        encoding: &'static str,
        /// What the decompressor found.
        reason: String,
    },
    /// The body, or what it unpacks to, is over a limit.
    #[error("{what} is larger than the limit of {limit} bytes: send smaller batches")]
    TooLarge {
        /// What was measured.
        what: &'static str,
        /// The limit, bytes.
        limit: usize,
    },
    /// The frame around a gRPC message is wrong.
    #[error("bad gRPC frame: {reason}")]
    BadFrame {
        /// What was found, and what should have been there.
        reason: String,
    },
    /// The body was not all there.
    #[error("the body could not be read to its end: {reason}")]
    BodyCut {
        /// What the connection said.
        reason: String,
    },
    /// The body is not the protobuf message it should be.
    #[error("not a valid protobuf {message}: {reason}")]
    BadProtobuf {
        /// Name of the message.
        message: &'static str,
        /// What was wrong, with the field.
        reason: String,
    },
    /// The body is not the JSON it should be.
    #[error("not a valid OTLP/JSON {message}: {reason} (line {line}, column {column})")]
    BadJson {
        /// Name of the message.
        message: &'static str,
        /// What was wrong, with the field.
        reason: String,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// No API key that is in force came with the request.
    #[error("{reason}")]
    Unauthenticated {
        /// What is wrong with what was sent, and what is accepted.
        reason: String,
    },
    /// The API key is for something else.
    #[error("{reason}")]
    Forbidden {
        /// What it is for, and what would be accepted.
        reason: String,
    },
    /// The API key is over one of its rates.
    #[error("API key {key} is over its {what} = {limit}: try again in {} ms", retry_after.as_nanos().div_ceil(1_000_000))]
    TooFast {
        /// Its name.
        key: String,
        /// Which rate.
        what: &'static str,
        /// The rate, a second.
        limit: u64,
        /// After what time the key is let in again.
        retry_after: Duration,
    },
    /// Rows could not be made of decoded spans.
    #[error("spans could not be normalised: {0}")]
    Normalise(String),
    /// The store refused: full, or broken.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Rows that the store handed back are not of the schema they should be.
    #[error("rows of the store could not be read: {0}")]
    Rows(#[from] arrow::error::ArrowError),
    /// The resolver has stopped: why stands in the log, and in what stopping it returns.
    #[error("the resolver has stopped; charges are caught up at the next start")]
    ResolverStopped,
    /// A file or folder could not be read.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A port stopped serving.
    #[error("the {protocol} server stopped: {reason}")]
    Serve {
        /// OTLP/gRPC or OTLP/HTTP.
        protocol: &'static str,
        /// What the system said.
        reason: String,
    },
}

impl Error {
    /// After what time the same request may succeed, where that is known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooFast { retry_after, .. } => Some(*retry_after),
            Self::Store(store::Error::Full { retry_after_ms, .. }) => {
                Some(Duration::from_millis(*retry_after_ms))
            }
            _ => None,
        }
    }
}
