//! What can go wrong on the way in.

use std::path::PathBuf;

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
