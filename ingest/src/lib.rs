//! The OTLP collector, and the resolver that turns traces into charges.
//!
//! A request comes in by a port ([`server`]), past the [`door`], or from a file ([`import`]), is decompressed and decoded
//! ([`otlp`]), normalised by the table of [`conventions`] into rows ([`normalise`]), freed of what nobody should keep
//! ([`redact`]), appended to the store ([`pipeline`]), and read back by the [`resolver`], which posts what each call cost.

pub mod conventions;
pub mod door;
pub mod error;
pub mod import;
pub mod normalise;
pub mod otlp;
pub mod pipeline;
pub mod redact;
pub mod resolver;
pub mod server;

pub use error::{Error, Result};
pub use otlp::Limits;
pub use pipeline::{Ingest, Replay, Sink};
