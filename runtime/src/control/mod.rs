//! CONTRACT STUB: the control plane's words. Replaced by the real module; signatures stay.

use std::sync::Arc;

/// Whom an order is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(tag = "scope", content = "target", rename_all = "snake_case")]
pub enum Scope { Global, Workspace(String), Tenant(String), Agent(String), Tool(String), Execution(String) }

/// What an agent may do. Ordered by severity.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    Running,
    Throttled { calls_per_minute: u32 },
    Degraded { tier: Option<String>, read_only: bool, plan_depth: Option<u32> },
    Frozen,
}

/// shadow changes nothing, but is recorded
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode { Shadow, Enforce }

/// The span that caused an order.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Cause { pub trace_id: String, pub span_id: String, pub ended_at_unix_nano: i64, pub received_at_unix_nano: i64 }

/// A wish to change a state (freeze, throttle, degrade; `State::Running` releases that very scope).
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Order {
    pub scope: Scope,
    pub state: State,
    /// `rule:NAME`, or the person or key that asks
    pub actor: String,
    pub reason: String,
    pub rule: Option<String>,
    pub mode: Mode,
    pub cause: Option<Cause>,
    pub evidence: Option<serde_json::Value>,
    /// Given: ordering the same id twice changes nothing.
    pub action_id: Option<String>,
}

/// What was decided, as kept in SQLite and told to the ledger.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Decision {
    pub action_id: String,
    pub scope: Scope,
    pub state: State,
    pub previous: State,
    pub actor: String,
    pub reason: String,
    pub rule: Option<String>,
    pub mode: Mode,
    pub cause: Option<Cause>,
    pub evidence: Option<serde_json::Value>,
    pub decided_at_unix_nano: i64,
    /// grows with every change that takes effect
    pub epoch: u64,
}

/// A runtime's word that it stopped (or slowed) because of an action.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Obeyed { pub action_id: String, pub by: String, pub obeyed_at_unix_nano: i64 }

/// What goes to the ledger, from the outbox.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ControlEvent { Decided(Decision), Obeyed(Obeyed), Released(Decision) }

/// Where control's events are kept; `src` fills it with the store.
#[async_trait::async_trait]
pub trait Ledger: Send + Sync + std::fmt::Debug {
    /// Keeps one event. At least once: the id makes it idempotent.
    async fn record(&self, event: &ControlEvent) -> Result<(), String>;
}

/// Who asks for a verdict.
#[derive(Debug, Clone, Default)]
pub struct Subject<'a> { pub workspace: &'a str, pub tenant: Option<&'a str>, pub agent: &'a str, pub tool: Option<&'a str>, pub execution: Option<&'a str> }

/// An entry in force.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct InForce { pub action_id: String, pub scope: Scope, pub state: State, pub actor: String, pub reason: String, pub decided_at_unix_nano: i64 }

/// All entries in force at one epoch.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub struct View { pub epoch: u64, pub entries: Vec<InForce> }

impl View {
    /// The most severe entry that matches, if any.
    #[must_use]
    pub fn verdict(&self, subject: &Subject<'_>) -> Option<&InForce> { let _ = subject; unimplemented!() }
}

/// error stub
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub String);

/// The control plane: durable state, one epoch cell.
#[derive(Debug)]
pub struct Control { _private: () }

impl Control {
    /// Opens (or creates) the SQLite file, and starts draining the outbox to `ledger`.
    pub async fn open(path: &std::path::Path, ledger: Arc<dyn Ledger>) -> Result<Arc<Self>, Error> { let _ = (path, ledger); unimplemented!() }
    /// Commits the change with its outbox row, then lets it take effect.
    pub async fn order(&self, order: Order) -> Result<Decision, Error> { let _ = order; unimplemented!() }
    /// Notes that a runtime obeyed (first word counts).
    pub async fn obeyed(&self, obeyed: Obeyed) -> Result<(), Error> { let _ = obeyed; unimplemented!() }
    /// What is in force now.
    pub fn view(&self) -> Arc<View> { unimplemented!() }
    /// Changes of the view.
    pub fn watch(&self) -> tokio::sync::watch::Receiver<Arc<View>> { unimplemented!() }
}
