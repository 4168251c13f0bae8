//! The agent runtime and the control plane.
//!
//! [`control`] says what agents may do: durable state, changed by people and rules, watched by
//! whoever runs agents, here or in another process.
//!
//! The runtime runs them. An [`AgentSpec`](spec::AgentSpec) and a [`Task`](spec::Task) go into the
//! [`engine`], which moves an execution along the edges of the [`machine`], asks the [`gate`] before it
//! goes on, pays for calls from a [`budget`], calls [`model`]s and [`tools`] under a [`policy`], and
//! tells every step in [`telemetry`]. [`fleet`] is a set of sample agents.

pub mod budget;
pub mod clock;
pub mod control;
pub mod engine;
pub mod error;
pub mod fleet;
pub mod gate;
pub mod machine;
pub mod model;
pub mod policy;
pub mod run_one;
pub mod spec;
mod sqlite;
pub mod telemetry;
pub mod tools;

pub use error::Error;
pub use run_one::run_one;
