//! The collector from outside: through its ports with real clients, and by files.
#![allow(clippy::unwrap_used, missing_docs)]

mod billing;
mod collector;
mod driver;
mod events;
mod executions;
mod grpc;
mod http;
mod import;
mod invariants;
mod journal;
mod keys;
mod large;
mod points;
mod scene;
mod semantics;
mod settling;
mod shelf;
mod storage;
mod store;
mod truth;
