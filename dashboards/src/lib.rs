//! What people look at.
//!
//! [`grafana`] holds the provisioning files and dashboards, and their queries as Grafana would send them.
//! [`console`] is the page on 8080: the fleet with its states and costs, and a button that stops it.
//!
//! Neither knows how queries are answered (of the query crate only the catalogue is read): the console asks through [`console::FleetData`], which the
//! binary fills, and Grafana comes in over the PostgreSQL port like any other client.

pub mod console;
mod error;
pub mod grafana;

pub use error::{Error, Result};
