//! Rules: what is watched, from when on it is too much, and what is done about it.
//!
//! A [`Rule`] is always valid: it only comes out of [`load`] (or [`parse`]), which refuse what makes no
//! sense. `file` is the YAML form, `scalar` reads its leaves, `check` turns the form into a rule, with its
//! `condition` (what is measured), what a repetition must show (`proof`), and its `deed` (what is done, and
//! to whom).

mod check;
mod condition;
mod deed;
mod file;
mod proof;
mod scalar;
#[cfg(test)]
mod tests;
mod trust;

pub use file::{default_rules, load, parse};
pub use proof::{Pace, Proof};
pub use trust::{Demote, Promote};

use flyball_runtime::control::Mode;
use rust_decimal::Decimal;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::state::{NoData, Policy, Threshold};

/// Nanoseconds in a second.
pub(crate) const SECOND: i64 = 1_000_000_000;

/// How bad it is when a rule fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
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
    /// By agent name.
    Agent,
    /// By tool.
    Tool,
    /// By session. Such a rule can act on the execution or agent it sees in it.
    Session,
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
            Self::Agent => "agent",
            Self::Tool => "tool",
            Self::Session => "session",
            Self::Execution => "execution",
        }
    }

    /// The column that holds it in the SQL tables; none for the workspace.
    #[must_use]
    pub fn column(self) -> Option<&'static str> {
        match self {
            Self::Workspace => None,
            Self::Tenant => Some("tenant"),
            Self::Agent => Some("agent_name"),
            Self::Tool => Some("tool_name"),
            Self::Session => Some("session_id"),
            Self::Execution => Some("execution_id"),
        }
    }
}

/// Which calls an error rate is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Calls {
    /// Tool calls.
    Tool,
    /// Model calls.
    Model,
}

/// What a rule measures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// A query on a schedule; each row of the answer is one key's value.
    Sql {
        /// The query.
        query: String,
        /// Nanoseconds from one asking to the next.
        every: i64,
        /// Column with the value.
        value: String,
        /// Column with the key; none for one number in all.
        key_column: Option<String>,
        /// Whoever wrote it says that the condition is a fact and not a guess, so that it may freeze.
        deterministic: bool,
    },
    /// US dollars spent in the last `window` nanoseconds, by receive time.
    SpendRate {
        /// Length, nanoseconds.
        window: i64,
    },
    /// How often the same tool was called with the same input and ended the same way, in the last
    /// `window` nanoseconds, since anything new was tried or progress was made.
    RepeatedToolCalls {
        /// Length, nanoseconds.
        window: i64,
        /// What the calls must show besides, to count at all.
        proof: Proof,
    },
    /// Share (0 to 1) of calls in the last `window` nanoseconds that failed; unknown under `min_calls`.
    ErrorRate {
        /// Which calls.
        of: Calls,
        /// Length, nanoseconds.
        window: i64,
        /// With fewer, there is no verdict.
        min_calls: u32,
    },
    /// Executions that were handed to a person in the last `window` nanoseconds.
    Escalations {
        /// Length, nanoseconds.
        window: i64,
    },
}

impl When {
    /// The word in rule files.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Sql { .. } => "sql",
            Self::SpendRate { .. } => "spend_rate",
            Self::RepeatedToolCalls { .. } => "repeated_tool_calls",
            Self::ErrorRate { .. } => "error_rate",
            Self::Escalations { .. } => "escalations",
        }
    }

    /// Length of its window in nanoseconds; of a query, the time between two askings.
    #[must_use]
    pub fn window(&self) -> i64 {
        match self {
            Self::Sql { every, .. } => *every,
            Self::SpendRate { window }
            | Self::RepeatedToolCalls { window, .. }
            | Self::ErrorRate { window, .. }
            | Self::Escalations { window } => *window,
        }
    }

    /// Whether it is a fact (money spent, calls counted) rather than a statistical guess. Only facts may freeze.
    #[must_use]
    pub fn deterministic(&self) -> bool {
        match self {
            Self::SpendRate { .. } | Self::RepeatedToolCalls { .. } => true,
            Self::Sql { deterministic, .. } => *deterministic,
            Self::ErrorRate { .. } | Self::Escalations { .. } => false,
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

    /// What its numbers are about, in words: `at least 5 USD within 1m`.
    #[must_use]
    pub fn condition(&self) -> String {
        let bound = &self.threshold;
        let word = if bound.low { "at most" } else { "at least" };
        let limit = bound.trigger.normalize();
        let within = spoken(self.when.window());
        match &self.when {
            When::Sql { value, .. } => format!("{value} {word} {limit}, asked every {within}"),
            When::SpendRate { .. } => format!("{word} {limit} USD within {within}"),
            When::RepeatedToolCalls { proof, .. } => {
                format!("{word} {limit} equal tool calls with nothing new within {within}{proof}")
            }
            When::ErrorRate { of, min_calls, .. } => {
                let of = match of {
                    Calls::Tool => "tool",
                    Calls::Model => "model",
                };
                let percent = (limit * Decimal::ONE_HUNDRED).normalize();
                format!(
                    "{word} {percent} % of {of} calls failed within {within} (of {min_calls} or more)"
                )
            }
            When::Escalations { .. } => format!("{word} {limit} escalations within {within}"),
        }
    }
}

/// A length of time as rule files write it.
#[must_use]
pub(crate) fn spoken(nanos: i64) -> String {
    let millis = nanos / 1_000_000;
    match millis {
        0 => "0s".to_owned(),
        m if m % 86_400_000 == 0 => format!("{}d", m / 86_400_000),
        m if m % 3_600_000 == 0 => format!("{}h", m / 3_600_000),
        m if m % 60_000 == 0 => format!("{}m", m / 60_000),
        m if m % 1_000 == 0 => format!("{}s", m / 1_000),
        m => format!("{m}ms"),
    }
}
