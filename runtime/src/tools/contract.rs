//! What a tool promises, and what it is.

use std::time::Duration;

use rust_decimal::Decimal;
use serde_json::Value;

/// What a call of a tool does to the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Nothing: it may be called again at will.
    #[default]
    ReadOnly,
    /// Something that can be undone.
    Reversible,
    /// Something that can't.
    Irreversible,
}

impl Effect {
    /// As it is written in telemetry and policy input.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ReadOnly => "read_only",
            Self::Reversible => "reversible",
            Self::Irreversible => "irreversible",
        }
    }
}

/// A tool's contract.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contract {
    /// Its name: what models call it by.
    pub name: String,
    /// Version of the contract.
    #[serde(default = "first_version")]
    pub version: String,
    /// What it does, for the model.
    #[serde(default)]
    pub description: String,
    /// What a call does to the world.
    #[serde(default)]
    pub effect: Effect,
    /// The same idempotency key twice is the same effect once: after a crash it may be called again.
    #[serde(default)]
    pub idempotent: bool,
    /// JSON Schema of the input.
    #[serde(default = "anything")]
    pub input: Value,
    /// JSON Schema of the output.
    #[serde(default = "anything")]
    pub output: Value,
    /// Scopes that the agent must hold, all of them.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// What a call costs, US dollars.
    #[serde(default)]
    pub price_usd: Decimal,
    /// The longest that a call may take, milliseconds.
    #[serde(default = "half_a_minute")]
    pub timeout_ms: u64,
    /// The tool that undoes it, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compensation: Option<String>,
}

fn first_version() -> String {
    "1".to_owned()
}

fn anything() -> Value {
    Value::Bool(true)
}

fn half_a_minute() -> u64 {
    30_000
}

impl Contract {
    /// A free, read-only tool that takes and gives any JSON.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version: first_version(),
            description: String::new(),
            effect: Effect::ReadOnly,
            idempotent: false,
            input: anything(),
            output: anything(),
            scopes: Vec::new(),
            price_usd: Decimal::ZERO,
            timeout_ms: half_a_minute(),
            compensation: None,
        }
    }

    /// Whether a call that may have happened may be made again with the same key.
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        self.idempotent || self.effect == Effect::ReadOnly
    }

    /// The longest that a call may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}

/// One call of a tool.
#[derive(Debug, Clone)]
pub struct Call {
    /// Valid by the contract's schema.
    pub input: Value,
    /// The same for every attempt at the same action.
    pub idempotency_key: String,
    /// The execution that calls.
    pub execution_id: String,
    /// The agent that calls.
    pub agent: String,
}

/// What can go wrong inside a tool.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ToolError {
    /// It did not happen, and may be tried again.
    #[error("not now: {0}")]
    Transient(String),
    /// It did not happen, and would not the next time.
    #[error("{0}")]
    Failed(String),
    /// Nobody knows whether it happened.
    #[error("outcome unknown: {0}")]
    Unknown(String),
}

/// A tool.
#[async_trait::async_trait]
pub trait Tool: Send + Sync + std::fmt::Debug {
    /// What it promises.
    fn contract(&self) -> &Contract;

    /// Does it. Dropping the future cuts it.
    ///
    /// # Errors
    /// See [`ToolError`].
    async fn call(&self, call: Call) -> Result<Value, ToolError>;

    /// What became of the call with this key, for a tool that can find out: `Some(None)` when it never
    /// happened, `None` when the tool can't tell.
    async fn resolve(&self, idempotency_key: &str) -> Option<Option<Value>> {
        let _ = idempotency_key;
        None
    }

    /// Post-condition: whether the output is what a call with this input should have brought about.
    ///
    /// # Errors
    /// What is not as it should be, in words.
    fn verify(&self, input: &Value, output: &Value) -> Result<(), String> {
        let _ = (input, output);
        Ok(())
    }

    /// What a call with this output did cost, US dollars, when it is not simply its price (which it must
    /// never pass).
    fn cost(&self, output: &Value) -> Option<Decimal> {
        let _ = output;
        None
    }

    /// Whether a call is an execution of another agent, whose own calls draw on what is shared.
    fn is_an_agent(&self) -> bool {
        false
    }

    /// How much closer to the goal this output brought the agent (0: not at all), when the tool knows.
    fn progress(&self, output: &Value) -> Option<f64> {
        let _ = output;
        None
    }
}
