//! The stages of a tool call that need nothing but the contract. Policy and execution, which ask
//! others, are the engine's.

use serde_json::Value;

use super::{Effect, Fitted, Tool, Toolbox};
use crate::spec::AgentSpec;

/// A stage of a tool call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Stage {
    Schema,
    Permission,
    Policy,
    Execution,
    PostCondition,
}

impl Stage {
    /// As it is written in telemetry.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Schema => "schema",
            Self::Permission => "permission",
            Self::Policy => "policy",
            Self::Execution => "execution",
            Self::PostCondition => "post_condition",
        }
    }
}

/// A call that did not pass a stage. The model sees it, and may plan anew.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", stage.name())]
pub struct Refused {
    /// Where.
    pub stage: Stage,
    /// Why, in words.
    pub reason: String,
}

impl Refused {
    pub(crate) fn at(stage: Stage, reason: impl Into<String>) -> Self {
        Self {
            stage,
            reason: reason.into(),
        }
    }
}

/// Schema: the tool exists, and the input is what it takes.
///
/// # Errors
/// Which field is not, and how.
pub fn check_input<'a>(
    tools: &'a Toolbox,
    name: &str,
    input: &Value,
) -> Result<&'a Fitted, Refused> {
    let Some(fitted) = tools.get(name) else {
        return Err(Refused::at(
            Stage::Schema,
            format!("there is no tool {name:?}"),
        ));
    };
    if let Err(error) = fitted.input.validate(input) {
        let at = error.instance_path().to_string();
        let at = if at.is_empty() {
            "input".to_owned()
        } else {
            format!("input{at}")
        };
        return Err(Refused::at(Stage::Schema, format!("{at}: {error}")));
    }
    Ok(fitted)
}

/// Permission: the agent may call this tool, holds its scopes, and is not held to reading.
///
/// # Errors
/// What it lacks.
pub fn check_permission(spec: &AgentSpec, tool: &dyn Tool, read_only: bool) -> Result<(), Refused> {
    let contract = tool.contract();
    let refused = |reason: String| Err(Refused::at(Stage::Permission, reason));
    if !spec.tools.contains(&contract.name) {
        return refused(format!(
            "agent {} may not call {}",
            spec.agent, contract.name
        ));
    }
    if let Some(scope) = contract
        .scopes
        .iter()
        .find(|scope| !spec.scopes.contains(scope))
    {
        return refused(format!("agent {} lacks scope {scope}", spec.agent));
    }
    if read_only && contract.effect != Effect::ReadOnly {
        return refused(format!(
            "degraded to read-only tools; {} is {}",
            contract.name,
            contract.effect.name()
        ));
    }
    Ok(())
}

/// Post-condition: the output is what the contract says, and what the tool itself expects.
///
/// # Errors
/// What is not.
pub fn check_output(fitted: &Fitted, input: &Value, output: &Value) -> Result<(), Refused> {
    let refused = |reason: String| Err(Refused::at(Stage::PostCondition, reason));
    if let Err(error) = fitted.output.validate(output) {
        return refused(format!("output{}: {error}", error.instance_path()));
    }
    fitted.tool.verify(input, output).or_else(refused)
}
