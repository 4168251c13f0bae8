//! The crate's public face.
#![allow(clippy::unwrap_used)]

mod bounds;
mod budgets;
mod control;
mod crash;
mod engine;
mod fleet;
mod freeze;
mod killed;
mod limits;
mod models;
mod run_one;
mod telemetry;
mod workshop;
