//! Whole-product tests: the real binary, its real ports, real clients.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod agent;
mod alerts;
mod ask;
mod audit;
mod backup;
mod clients;
mod crash;
mod demo;
mod erase;
mod finops;
mod flight;
mod freeze;
mod gauges;
mod harness;
mod import;
mod keys;
mod killed;
mod load;
mod moments;
mod notifiers;
mod prices;
mod readers;
mod rollup;
mod seaweed;
mod serve;
