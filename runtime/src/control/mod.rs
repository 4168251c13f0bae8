//! The control plane: what agents may do, decided by people and rules, obeyed by runtimes.
//!
//! In the order in which a freeze passes through: [`words`](self) say it ([`Order`], [`Decision`]),
//! [`Control::order`] commits it with its outbox row and lets it take effect in the [`View`], the
//! outbox carries it to the [`Ledger`], [`api`] tells other processes, where [`client::Remote`] keeps
//! a copy (and remembers for a control plane that forgets), and a runtime obeys through [`Governor`] and says so ([`Control::obeyed`]).
//!
//! A state is a level, not a signal: whoever asks later sees it too, so nothing can be missed.

pub mod api;
pub mod client;
mod governor;
mod memory;
mod outbox;
mod plane;
mod request;
mod tables;
mod view;

pub use crate::Error;
pub use governor::{Governor, NoControl};
pub use plane::Control;
pub use view::{InForce, Limited, Subject, View};

use crate::Error as E;

/// Whom an order is about.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(tag = "scope", content = "target", rename_all = "snake_case")]
pub enum Scope {
    /// Everybody.
    Global,
    /// All agents of one workspace.
    Workspace(String),
    /// Executions for one tenant.
    Tenant(String),
    /// One agent, by name.
    Agent(String),
    /// Calls of one tool, by any agent.
    Tool(String),
    /// One execution, by id.
    Execution(String),
}

impl Scope {
    /// The longest target that is accepted, in bytes.
    pub const TARGET_MAX: usize = 512;

    /// `global`, `workspace`, `tenant`, `agent`, `tool` or `execution`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Workspace(_) => "workspace",
            Self::Tenant(_) => "tenant",
            Self::Agent(_) => "agent",
            Self::Tool(_) => "tool",
            Self::Execution(_) => "execution",
        }
    }

    /// Whose; empty for global.
    #[must_use]
    pub fn target(&self) -> &str {
        match self {
            Self::Global => "",
            Self::Workspace(target)
            | Self::Tenant(target)
            | Self::Agent(target)
            | Self::Tool(target)
            | Self::Execution(target) => target,
        }
    }

    fn check(&self) -> Result<(), E> {
        let target = self.target();
        let field = || format!("scope.target ({})", self.name());
        if !matches!(self, Self::Global) && target.trim().is_empty() {
            return Err(E::invalid(
                field(),
                target,
                format!("the name of the {}", self.name()),
            ));
        }
        if target.len() > Self::TARGET_MAX {
            return Err(E::invalid(
                field(),
                target,
                format!("at most {} bytes", Self::TARGET_MAX),
            ));
        }
        Ok(())
    }
}

/// What an agent may do. Ordered by severity, see [`State::severity`].
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Anything its own bounds allow.
    Running,
    /// So many model calls a minute (tool calls, when the scope is a tool), for each agent.
    Throttled {
        /// At least 1.
        calls_per_minute: u32,
    },
    /// Less capable, cheaper, safer.
    Degraded {
        /// Use the models of this tier instead, such as `economy`.
        tier: Option<String>,
        /// Only tools whose effect is `read_only`.
        read_only: bool,
        /// At most so many actions from one plan.
        plan_depth: Option<u32>,
    },
    /// Nothing: no model call, no tool call; a call in flight is cut.
    Frozen,
}

impl State {
    /// How severe: a greater value holds over a smaller one. By kind first (running, throttled,
    /// degraded, frozen), then by how much is left: fewer calls, read-only, shallower plans, a tier.
    #[must_use]
    pub fn severity(&self) -> (u8, u64) {
        match self {
            Self::Running => (0, 0),
            Self::Throttled { calls_per_minute } => (1, u64::from(u32::MAX - calls_per_minute)),
            Self::Degraded {
                tier,
                read_only,
                plan_depth,
            } => {
                let depth = plan_depth.map_or(0, |depth| u64::from(u32::MAX - depth));
                (
                    2,
                    (u64::from(*read_only) << 34) | (depth << 1) | u64::from(tier.is_some()),
                )
            }
            Self::Frozen => (3, 0),
        }
    }

    /// `running`, `throttled`, `degraded` or `frozen`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Throttled { .. } => "throttled",
            Self::Degraded { .. } => "degraded",
            Self::Frozen => "frozen",
        }
    }

    fn check(&self) -> Result<(), E> {
        match self {
            Self::Throttled {
                calls_per_minute: 0,
            } => Err(E::invalid(
                "state.calls_per_minute",
                "0",
                "1 or more (to allow none, freeze)",
            )),
            Self::Degraded {
                tier: None,
                read_only: false,
                plan_depth: None,
            } => Err(E::missing(
                "state",
                "at least one of tier, read_only and plan_depth for degraded",
            )),
            Self::Degraded {
                tier: Some(tier), ..
            } if tier.trim().is_empty() => Err(E::invalid(
                "state.tier",
                tier,
                "the name of a tier, such as economy",
            )),
            _ => Ok(()),
        }
    }
}

/// Whether an order takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Recorded, changes nothing.
    Shadow,
    /// Recorded, takes effect.
    #[default]
    Enforce,
}

/// The span that caused an order. Times in nanoseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Cause {
    /// Lower-case hex.
    pub trace_id: String,
    /// Lower-case hex.
    pub span_id: String,
    /// When the span ended, by its sender's clock.
    pub ended_at_unix_nano: i64,
    /// When we received it.
    pub received_at_unix_nano: i64,
}

/// A wish to change a state.
///
/// One actor's word on one scope is one entry. A rule (`rule:NAME`) replaces and releases only its own
/// entry; anybody else is a person, whose word replaces (or, with [`State::Running`], releases) every
/// entry of that very scope. So no rule can loosen what a person or another rule has set, and a
/// person can undo anything.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Order {
    /// About whom.
    pub scope: Scope,
    /// The state wished for; `Running` releases that very scope.
    pub state: State,
    /// `rule:NAME`, or the person or key that asks.
    pub actor: String,
    /// Why, in words, with numbers.
    pub reason: String,
    /// The rule that asks, if one does.
    pub rule: Option<String>,
    /// Whether it takes effect.
    pub mode: Mode,
    /// The span that caused it.
    pub cause: Option<Cause>,
    /// Numbers and spans.
    pub evidence: Option<serde_json::Value>,
    /// Ordering the same id twice changes nothing and answers the first decision. Made up when absent.
    pub action_id: Option<String>,
}

impl Order {
    /// Whether a rule asks, not a person.
    #[must_use]
    pub fn is_rules(&self) -> bool {
        self.actor.starts_with("rule:")
    }

    fn check(&self) -> Result<(), E> {
        self.scope.check()?;
        self.state.check()?;
        if self.actor.trim().is_empty() || self.actor == "rule:" {
            return Err(E::invalid(
                "actor",
                &self.actor,
                "rule:NAME, or the person or key that asks",
            ));
        }
        if self.reason.trim().is_empty() {
            return Err(E::invalid("reason", &self.reason, "why, in a few words"));
        }
        match &self.action_id {
            Some(id) if id.trim().is_empty() || id.len() > 128 => {
                Err(E::invalid("action_id", id, "1 to 128 bytes, or none"))
            }
            _ => Ok(()),
        }
    }
}

/// What was decided, as kept in SQLite and told to the ledger.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Decision {
    /// The action; when something is released, the action that is released.
    pub action_id: String,
    /// About whom.
    pub scope: Scope,
    /// The state decided.
    pub state: State,
    /// The most severe state set for that very scope before.
    pub previous: State,
    /// Who asked.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// The rule that asked.
    pub rule: Option<String>,
    /// Shadow decisions changed nothing.
    pub mode: Mode,
    /// The span that caused it.
    pub cause: Option<Cause>,
    /// Numbers and spans.
    pub evidence: Option<serde_json::Value>,
    /// When, in nanoseconds since 1970.
    pub decided_at_unix_nano: i64,
    /// Grows with every change that takes effect; the same as before when nothing changed.
    pub epoch: u64,
}

/// A runtime's word that it stopped (or slowed) because of an action.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Obeyed {
    /// The action.
    pub action_id: String,
    /// Which runtime, and which agent in it.
    pub by: String,
    /// When, in nanoseconds since 1970.
    pub obeyed_at_unix_nano: i64,
}

/// What goes to the ledger, from the outbox.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ControlEvent {
    /// A state was set (or, in shadow, would have been).
    Decided(Decision),
    /// The first runtime obeyed.
    Obeyed(Obeyed),
    /// The action of this id no longer holds: released, or replaced by another order.
    Released(Decision),
}

/// Where control's events are kept; the binary fills it with the store.
#[async_trait::async_trait]
pub trait Ledger: Send + Sync + std::fmt::Debug {
    /// Keeps one event. At least once, in order: event and action id together make it idempotent.
    ///
    /// # Errors
    /// Why it could not be kept, in words; it will be tried again.
    async fn record(&self, event: &ControlEvent) -> Result<(), String>;
}

#[cfg(test)]
mod tests;
