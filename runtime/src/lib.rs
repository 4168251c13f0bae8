//! The agent runtime and the control plane.
//!
//! [`control`] says what agents may do: durable state, changed by people and rules, watched by
//! whoever runs agents, here or in another process. It depends on nothing else in this crate.

pub mod clock;
pub mod control;
pub mod error;
mod sqlite;

pub use error::Error;
