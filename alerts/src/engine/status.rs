//! How alerting stands, for the console and the command line.

use flyball_runtime::control::Mode;
use flyball_store::LogPosition;
use serde::Serialize;

use crate::overrun::Overruns;
use crate::rule::{Action, Key, Rung, Severity, Target};
use crate::state::State;
use crate::trust::Standing;

/// How alerting stands.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Of which workspace.
    pub workspace: String,
    /// Whether windows are filled again after a start; nothing is judged before.
    pub warm: bool,
    /// The latest log position that was seen.
    pub position: LogPosition,
    /// Agents seen in the last hour: what the cap on automatic freezes goes by.
    pub known_agents: usize,
    /// What passed through.
    pub traffic: Traffic,
    /// Every rule.
    pub rules: Vec<RuleStatus>,
}

/// What passed through since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Charges that windows counted.
    pub counted: u64,
    /// Charges taken back.
    pub reversed: u64,
    /// Charges that were imported or late: history, which never acts.
    pub history: u64,
    /// Charges forgotten early since there were too many: their reversals will not be seen.
    pub forgotten: u64,
}

/// How one rule stands.
#[derive(Debug, Clone, Serialize)]
pub struct RuleStatus {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Changes with its content.
    pub version: String,
    /// How bad.
    pub severity: Severity,
    /// Shadow or enforce.
    pub mode: Mode,
    /// Where that comes from, and what the rule has shown.
    pub standing: Standing,
    /// By what numbers are kept apart.
    pub key: Key,
    /// When it fires, in words.
    pub condition: String,
    /// What it does.
    pub action: Action,
    /// What it does next if that does not help.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub then: Vec<Rung>,
    /// To whom.
    pub scope: Option<Target>,
    /// The number that it fires at.
    pub threshold: String,
    /// ok, or error when its query fails.
    pub health: State,
    /// Why the query fails.
    pub trouble: Option<String>,
    /// Keys that are watched.
    pub watched: usize,
    /// Of a hard limit (in force, freezes by what is spent): how often it was passed since the start, and what was
    /// missed of that.
    pub overruns: Option<Overruns>,
    /// Keys that had to make room while something was in their window.
    pub evicted: u64,
    /// Times that a key found no room.
    pub refused: u64,
    /// Facts and rows without a key, or over the limit of rows.
    pub unkeyed: u64,
    /// The keys, those that are not ok first; at most 1,000.
    pub keys: Vec<KeyStatus>,
}

/// How one key of a rule stands.
#[derive(Debug, Clone, Serialize)]
pub struct KeyStatus {
    /// The key's name, such as the agent's.
    pub key: String,
    /// Where it stands.
    pub state: State,
    /// Since when, nanoseconds since 1970; none when it never changed.
    pub since_unix_nano: Option<i64>,
    /// The value that was judged last, as a decimal number.
    pub value: Option<String>,
    /// The alert, unless ok.
    pub alert_id: Option<String>,
    /// What was ordered for it.
    pub action_id: Option<String>,
}
