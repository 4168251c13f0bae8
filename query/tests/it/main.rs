//! The crate through its public face: rows in, answers out, by every port.
#![allow(clippy::unwrap_used)]

mod examples;
mod fixture;
mod flight;
mod gauges;
mod grafana;
mod guardrails;
mod hostile;
mod http;
mod ledger;
mod live;
mod metrics;
mod moment;
mod optimised;
mod pg;
mod pg_keys;
mod retold;
mod roads;
mod rollup;
mod spilled;
mod stored;
mod views;
