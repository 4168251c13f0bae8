//! The agent runtime and the control plane.
pub mod control;
