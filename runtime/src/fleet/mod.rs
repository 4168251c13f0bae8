//! Sample agents, for `flyball demo` and for anyone who wants something to watch: a team that mends data
//! pipelines (monitor, diagnose, remediate, supervise) and a support agent, after the white paper's two
//! case studies. Models are scripted, so nothing leaves the machine; tokens are realistic, so that costs
//! are cents. One execution of `remediate` may run away: it repeats the same call without progress,
//! faster and faster, until somebody freezes it.
//!
//! [`cast`] says who they are, [`scenes`] what they say, [`props`] what their tools do, `play` has them act.

pub mod cast;
mod play;
pub mod props;
pub mod scenes;
mod stage;

use std::collections::BTreeMap;
use std::time::Duration;

use rust_decimal::Decimal;

use crate::Error;

/// The agent that may run away.
pub const RUNAWAY: &str = "remediate";

/// How a fleet runs.
#[derive(Debug, Clone)]
pub struct FleetConfig {
    /// Where spans go: OTLP/gRPC, such as `http://127.0.0.1:4317`.
    pub otlp_endpoint: String,
    /// Whose orders are obeyed, such as `http://127.0.0.1:8080`.
    pub control_url: String,
    /// API key for both, of role ingest; none: they ask for none.
    pub key: Option<String>,
    /// The same seed, the same incidents, tickets, tokens and latencies.
    pub seed: u64,
    /// Whether one execution runs away.
    pub runaway: bool,
    /// How long it runs at most; when the runaway is frozen it ends some seconds after that.
    pub duration: Duration,
}

/// What a fleet did.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct FleetReport {
    /// By agent.
    pub agents: BTreeMap<String, AgentReport>,
    /// How the runaway fared, if one was asked for and came to act.
    pub runaway: Option<RunawayReport>,
    /// Spans that the collector accepted.
    pub spans_accepted: u64,
    /// Spans that were given up.
    pub spans_dropped: u64,
    /// How long it took, milliseconds.
    pub took_ms: u64,
}

/// What one agent did.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct AgentReport {
    /// Executions, however they ended.
    pub executions: u64,
    /// Ended in success.
    pub successes: u64,
    /// Ended in failure.
    pub failures: u64,
    /// Ended in escalation.
    pub escalations: u64,
    /// Ended in abort.
    pub aborts: u64,
    /// Of the aborted: because of a freeze.
    pub frozen: u64,
    /// Model calls begun.
    pub model_calls: u64,
    /// Tool calls begun.
    pub tool_calls: u64,
    /// As its budgets say; calls that were cut count at their worst case.
    pub spent_usd: Decimal,
}

/// How the runaway fared. Times in nanoseconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct RunawayReport {
    /// The agent.
    pub agent: String,
    /// Its execution.
    pub execution_id: String,
    /// When it began.
    pub began_at_unix_nano: i64,
    /// When it stopped.
    pub stopped_at_unix_nano: i64,
    /// Why it stopped: `frozen`, or a bound.
    pub reason: String,
    /// Model calls it made.
    pub model_calls: u64,
    /// What it burned.
    pub spent_usd: Decimal,
    /// Model calls of the agent, in any execution, that began after the first of them stopped for the freeze.
    pub calls_after_freeze: u64,
    /// Executions of the agent that were not admitted afterwards.
    pub refused_executions: u64,
}

/// Runs the fleet to its end.
///
/// # Errors
/// When the control plane does not answer, or an endpoint is not a URL.
pub async fn run(config: FleetConfig) -> Result<FleetReport, Error> {
    play::play(config).await
}
