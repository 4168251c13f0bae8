//! Tools: typed contracts, and the five stages that every call passes through.
//!
//! schema, permission, policy, execution, post-condition: what fails at one stage never reaches the
//! next, and a malformed answer never reaches the agent.

mod contract;
mod pipeline;
mod scripted;
mod toolbox;

pub use contract::{Call, Contract, Effect, Tool, ToolError};
pub use pipeline::{Refused, Stage, check_input, check_output, check_permission};
pub use scripted::ScriptedTool;
pub use toolbox::{Fitted, Toolbox};

#[cfg(test)]
mod tests;
