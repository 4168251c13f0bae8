//! Rules: what is watched, from when on it is too much, and what is done about it.
//!
//! A [`Rule`] is always valid: it only comes out of [`load`] (or [`parse`]), which refuse what makes no
//! sense. `file` is the YAML form, `scalar` reads its leaves, `check` turns the form into a rule, with its
//! `condition` (what is measured; its younger kinds in `kinds`, `executions` and `security`, service levels in `objective`), what a
//! repetition must show (`proof`), and its `deed` (what is done, and to whom). `composite` looks at all rules
//! together, `words` says what a rule is about.

mod check;
mod composite;
mod condition;
mod deed;
mod executions;
mod file;
mod kinds;
mod objective;
mod period;
mod proof;
mod scalar;
mod security;
#[cfg(test)]
mod tests;
mod trust;
mod when;
mod words;

pub(crate) use file::{Leaf, syntax};
pub use file::{default_rules, load, parse};
pub(crate) use kinds::{REPROMPTS, RETRIES};
pub(crate) use objective::burn_bucket;
pub use objective::{Aim, BurnWindow, Objective};
pub use period::Period;
pub use proof::{Pace, Proof};
pub(crate) use scalar::Place;
pub use trust::{Demote, Promote};
pub use when::{Calls, Learn, Quantity, Series, When};
pub(crate) use words::{percent, spoken};

use flyball_runtime::control::Mode;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::state::{NoData, Policy, Threshold};

/// Nanoseconds in a second.
pub(crate) const SECOND: i64 = 1_000_000_000;

/// How bad it is when a rule fires; the milder comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Worth a look today.
    Warning,
    /// Worth waking somebody.
    Critical,
}

impl Severity {
    /// The word in the `severity` column.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// By what a rule keeps its numbers apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Key {
    /// One number for the whole workspace. Such a rule can only notify.
    Workspace,
    /// By tenant.
    Tenant,
    /// By team. Such a rule can only notify: control knows no teams.
    Team,
    /// By task type. Such a rule can only notify.
    TaskType,
    /// By the model used, else asked for. Such a rule can only notify.
    Model,
    /// By agent name.
    Agent,
    /// By tool.
    Tool,
    /// By session. Such a rule can act on the execution or agent it sees in it.
    Session,
    /// By the task that was sent with it (several executions may try it). Such a rule can act on the execution or
    /// agent it sees at it.
    Task,
    /// By execution.
    Execution,
}

impl Key {
    /// The word in rule files and in the `key` column of `alerts`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Workspace => "workspace",
            Self::Tenant => "tenant",
            Self::Team => "team",
            Self::TaskType => "task_type",
            Self::Model => "model",
            Self::Agent => "agent",
            Self::Tool => "tool",
            Self::Session => "session",
            Self::Task => "task",
            Self::Execution => "execution",
        }
    }

    /// The column that holds it in the SQL tables; none for the workspace.
    #[must_use]
    pub fn column(self) -> Option<&'static str> {
        match self {
            Self::Workspace => None,
            Self::Tenant => Some("tenant"),
            Self::Team => Some("team"),
            Self::TaskType => Some("task_type"),
            Self::Model => Some("response_model"),
            Self::Agent => Some("agent_name"),
            Self::Tool => Some("tool_name"),
            Self::Session => Some("session_id"),
            Self::Task => Some("task_id"),
            Self::Execution => Some("execution_id"),
        }
    }
}

/// What is done when a rule fires, from mild to severe. Every firing is notified as well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Only tell.
    Notify,
    /// So many calls a minute.
    Throttle {
        /// At least 1.
        calls_per_minute: u32,
    },
    /// Cheaper, more careful or shallower.
    Degrade {
        /// Model tier to use.
        tier: Option<String>,
        /// Refuse tools that change anything.
        read_only: bool,
        /// Steps a plan may have.
        plan_depth: Option<u32>,
    },
    /// Nothing runs until a person releases it.
    Freeze,
}

impl Action {
    /// The word in rule files.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Notify => "notify",
            Self::Throttle { .. } => "throttle",
            Self::Degrade { .. } => "degrade",
            Self::Freeze => "freeze",
        }
    }
}

/// What a rule does next while its key is still over the threshold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rung {
    /// Nanoseconds that the order before it has stood in vain; at least the rule's window.
    pub after: i64,
    /// More severe than what was ordered before it.
    pub action: Action,
}

/// Whom a rule acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// All agents of a tenant.
    Tenant,
    /// An agent.
    Agent,
    /// A tool, whoever calls it.
    Tool,
    /// One execution.
    Execution,
}

impl Target {
    /// The word in rule files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Agent => "agent",
            Self::Tool => "tool",
            Self::Execution => "execution",
        }
    }

    /// The key that is this very target.
    #[must_use]
    pub fn key(self) -> Key {
        match self {
            Self::Tenant => Key::Tenant,
            Self::Agent => Key::Agent,
            Self::Tool => Key::Tool,
            Self::Execution => Key::Execution,
        }
    }
}

/// A valid rule.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rule {
    /// Unique.
    pub name: String,
    /// For people.
    pub description: String,
    /// How bad.
    pub severity: Severity,
    /// In shadow, alerts and orders are recorded and nothing else happens.
    pub mode: Mode,
    /// By what numbers are kept apart.
    pub key: Key,
    /// What is measured.
    pub when: When,
    /// From where on it is too much, and from where on it is well again.
    pub threshold: Threshold,
    /// Nanoseconds it must hold before it fires (`for`).
    pub hold: i64,
    /// Nanoseconds it must be well before the alert ends.
    pub keep_firing_for: i64,
    /// Nanoseconds: no second action on one target, and no more than two changes of state, in less.
    pub cool_down: i64,
    /// What silence means.
    pub no_data: NoData,
    /// What is done.
    pub action: Action,
    /// What is done next if that does not help, from mild to severe.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub then: Vec<Rung>,
    /// Whom it is done to; none for notify.
    pub scope: Option<Target>,
    /// Which notifiers are told; none means all.
    pub notify: Option<Vec<String>>,
    /// What it must have shown before it is promoted from shadow; none for what is usual.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promote: Option<Promote>,
    /// What makes it fall back to shadow; none for what is usual.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub demote: Option<Demote>,
}

impl Rule {
    /// Changes whenever anything in the rule changes: 16 hex digits over its content.
    #[must_use]
    pub fn version(&self) -> String {
        // The rule is plain data with string keys, so it always has a JSON form.
        let json = serde_json::to_vec(self).unwrap_or_default();
        hex::encode(&Sha256::digest(json)[..8])
    }

    /// Whether it does more than tell.
    #[must_use]
    pub fn acts(&self) -> bool {
        self.action != Action::Notify
    }

    /// What it does first, and next, and last.
    pub fn actions(&self) -> impl Iterator<Item = &Action> {
        std::iter::once(&self.action).chain(self.then.iter().map(|rung| &rung.action))
    }

    /// Whether it may freeze, at once or in the end.
    #[must_use]
    pub fn freezes(&self) -> bool {
        self.actions().any(|action| *action == Action::Freeze)
    }

    /// The part of the rule that drives its state machine.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy {
            threshold: self.threshold,
            hold: self.hold,
            keep_firing_for: self.keep_firing_for,
            cool_down: self.cool_down,
            no_data: self.no_data,
        }
    }
}
