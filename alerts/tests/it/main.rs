#![allow(clippy::unwrap_used, missing_docs)]
//! The crate's public face: the engine on a channel of store events, with the real control plane, and the
//! webhook against a real server.

mod backtest;
mod engine;
mod sql;
mod webhook;
