//! What an agent is and what it is asked to do: plain data, so that it can be kept and read again.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

/// An agent: who it is, what it may use, how far it may go.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentSpec {
    /// Its name: with the workspace, its identity.
    pub agent: String,
    /// Version of this specification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What part it plays.
    #[serde(default)]
    pub role: Role,
    /// Isolation boundary.
    #[serde(default = "default_workspace")]
    pub workspace: String,
    /// Who pays for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// development, simulation, staging or production.
    #[serde(default = "default_environment")]
    pub environment: String,
    /// The system prompt.
    #[serde(default)]
    pub instructions: String,
    /// The model used when nothing degrades it.
    pub model: String,
    /// Other models by tier, such as `economy`, for when it is degraded to that tier.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tiers: BTreeMap<String, String>,
    /// Sampling temperature, if set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Names of the tools it may call.
    #[serde(default)]
    pub tools: Vec<String>,
    /// Scopes it holds; a tool needs all of its own.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// How far it may go.
    #[serde(default)]
    pub bounds: Bounds,
}

fn default_workspace() -> String {
    "default".to_owned()
}

fn default_environment() -> String {
    "development".to_owned()
}

impl AgentSpec {
    /// An agent with the defaults of every field.
    #[must_use]
    pub fn new(agent: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            agent: agent.into(),
            version: None,
            role: Role::default(),
            workspace: default_workspace(),
            team: None,
            environment: default_environment(),
            instructions: String::new(),
            model: model.into(),
            tiers: BTreeMap::new(),
            temperature: None,
            tools: Vec::new(),
            scopes: Vec::new(),
            bounds: Bounds::default(),
        }
    }
}

/// The part an agent plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Role {
    Planner,
    #[default]
    Executor,
    Critic,
    Supervisor,
    Strategic,
    Tactical,
    Observer,
}

impl Role {
    /// As it is written in telemetry and policy input.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Planner => "planner",
            Self::Executor => "executor",
            Self::Critic => "critic",
            Self::Supervisor => "supervisor",
            Self::Strategic => "strategic",
            Self::Tactical => "tactical",
            Self::Observer => "observer",
        }
    }
}

/// The bounds of one execution. Reaching one ends it; a restart does not reset them.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bounds {
    /// Turns of the loop.
    pub max_steps: u32,
    /// From admission to end, in milliseconds, restarts included.
    pub max_wall_ms: u64,
    /// Retries of one model or tool call.
    pub max_retries: u32,
    /// Evaluations without progress, in a row: then what is left of the plan is given up, and it plans
    /// anew.
    pub max_stalls: u32,
    /// How often it may plan anew for want of progress; after that a person is asked.
    pub max_replans: u32,
    /// Output tokens of all planning together; none: unbounded.
    pub max_planning_tokens: Option<u64>,
    /// How long one turn of each phase may take.
    pub phases: PhaseBudgets,
    /// Actions taken from one plan.
    pub plan_depth: u32,
    /// How often another process may go on with it after a crash: what kills every process that
    /// touches it is a person's to look at.
    pub max_resumes: u32,
    /// Output tokens of one model call.
    pub max_tokens: u32,
    /// US dollars; none: unbounded.
    pub budget_usd: Option<Decimal>,
}

/// Latency budgets, in milliseconds; none: only the wall clock bounds it. A phase that is over its budget
/// makes no further retries, and each that was over halves the depth of the plans to come. It fails fast
/// instead of late.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PhaseBudgets {
    /// Waiting for the model, its retries included.
    pub plan_ms: Option<u64>,
    /// One action, its retries included.
    pub act_ms: Option<u64>,
    /// Judging one result.
    pub evaluate_ms: Option<u64>,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            max_steps: 16,
            max_wall_ms: 120_000,
            max_retries: 2,
            max_stalls: 3,
            max_replans: 2,
            max_planning_tokens: None,
            phases: PhaseBudgets::default(),
            plan_depth: 8,
            max_resumes: 8,
            max_tokens: 1024,
            budget_usd: Some(Decimal::new(50, 2)),
        }
    }
}

/// What is asked of an agent: one execution tries it once.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// The goal, in words.
    pub goal: String,
    /// Shared by several executions that try the same; else the execution is the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its kind, such as `incident`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// For whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Which person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The execution that asked for it, when it was not a person: it goes on with it, or gives it up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// What reaching the goal is worth, US dollars: no further step is begun that would, at what steps
    /// did cost so far, make it cost more than that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_usd: Option<Decimal>,
    /// In which conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
}

impl Task {
    /// A task of which only the goal is known.
    #[must_use]
    pub fn new(goal: impl Into<String>) -> Self {
        Self {
            goal: goal.into(),
            ..Self::default()
        }
    }
}
