//! Whole-product tests: the real binary, its real ports, real clients.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod agent;
mod audit;
mod crash;
mod demo;
mod finops;
mod harness;
mod import;
mod readers;
mod serve;
