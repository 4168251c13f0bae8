#![allow(clippy::unwrap_used, missing_docs)]
//! The crate's public face: the engine on a channel of store events, with the real control plane, and the
//! notifiers against servers of our own.

mod backtest;
mod engine;
mod faults;
mod fleet;
mod mail;
mod notify;
mod sql;
