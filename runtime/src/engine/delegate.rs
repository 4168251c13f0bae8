//! An agent as a tool of another: a call is an execution of its own, with a slice of the caller's budget.

use std::time::Duration;

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::{Engine, Outcome};
use crate::machine::Termination;
use crate::spec::{AgentSpec, Task};
use crate::tools::{Call, Contract, Effect, Tool, ToolError};

/// A tool that has another agent do something.
///
/// The caller sets the whole slice aside before it asks, and pays what was spent of it: so all of them
/// together spend no more than the first may. What executions share is drawn on by the calls of the one that
/// makes them, once. The execution's id is the call's key: the same call again goes on where it stands.
#[derive(Debug)]
pub struct Delegate {
    engine: Engine,
    spec: AgentSpec,
    contract: Contract,
}

impl Delegate {
    /// A tool named `name` that runs `spec` on `engine`, for at most `slice_usd` a call. What it does to
    /// the world is `effect`: the worst that any of its tools does.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        engine: Engine,
        spec: AgentSpec,
        effect: Effect,
        slice_usd: Decimal,
    ) -> Self {
        let contract = Contract {
            effect,
            idempotent: true,
            description: format!(
                "has agent {} do something, and says how it went",
                spec.agent
            ),
            input: json!({
                "type": "object",
                "properties": {"goal": {"type": "string", "minLength": 1}},
                "required": ["goal"],
                "additionalProperties": false,
            }),
            output: json!({
                "type": "object",
                "required": ["execution_id", "termination", "reason", "spent_usd"],
            }),
            price_usd: slice_usd,
            timeout_ms: spec.bounds.max_wall_ms.saturating_add(1000),
            ..Contract::new(name)
        };
        Self {
            engine,
            spec,
            contract,
        }
    }

    async fn run(&self, call: &Call) -> Result<Outcome, crate::Error> {
        let id = &call.idempotency_key;
        if self.engine.record(id).await?.is_some() {
            return self.engine.resume(id).await;
        }
        let mut spec = self.spec.clone();
        let slice = self.contract.price_usd;
        let own = spec.bounds.budget_usd.unwrap_or(slice);
        spec.bounds.budget_usd = Some(own.min(slice));
        let goal = call.input["goal"].as_str().unwrap_or_default();
        let task = Task {
            parent: Some(call.execution_id.clone()),
            ..Task::new(goal)
        };
        self.engine.run_as(id, &spec, &task).await
    }
}

#[async_trait::async_trait]
impl Tool for Delegate {
    fn contract(&self) -> &Contract {
        &self.contract
    }

    async fn call(&self, call: Call) -> Result<Value, ToolError> {
        let run = self.run(&call);
        let at_most = Duration::from_millis(self.contract.timeout_ms);
        let outcome = tokio::time::timeout(at_most, run).await;
        let outcome = outcome.map_err(|_| ToolError::Unknown("it does not end".to_owned()))?;
        let outcome = outcome.map_err(|error| ToolError::Unknown(error.to_string()))?;
        Ok(json!({
            "execution_id": outcome.execution_id,
            "termination": outcome.termination.name(),
            "reason": outcome.reason,
            "detail": outcome.detail,
            "answer": outcome.answer,
            "spent_usd": outcome.spent_usd.to_string(),
        }))
    }

    fn cost(&self, output: &Value) -> Option<Decimal> {
        output["spent_usd"].as_str()?.parse().ok()
    }

    fn is_an_agent(&self) -> bool {
        true
    }

    fn progress(&self, output: &Value) -> Option<f64> {
        (output["termination"] != Termination::Success.name()).then_some(0.0)
    }
}
