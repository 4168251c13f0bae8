//! The crate's public face.
#![allow(clippy::unwrap_used)]

mod control;
mod crash;
mod engine;
mod freeze;
mod models;
mod telemetry;
mod workshop;
