//! The collector from outside: through its ports with real clients, and by files.
#![allow(clippy::unwrap_used, missing_docs)]

mod collector;
mod grpc;
mod http;
mod import;
mod journal;
mod store;
mod truth;
