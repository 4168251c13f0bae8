//! What is in force at one moment, and for whom the most severe of it holds.

use super::{Scope, State};

/// Who asks for a verdict.
#[derive(Debug, Clone, Default)]
pub struct Subject<'a> {
    /// `default` unless configured.
    pub workspace: &'a str,
    /// For whom the execution runs.
    pub tenant: Option<&'a str>,
    /// The agent's name.
    pub agent: &'a str,
    /// The tool about to be called, if it is a tool call.
    pub tool: Option<&'a str>,
    /// The execution's id.
    pub execution: Option<&'a str>,
}

impl Subject<'_> {
    fn is_in(&self, scope: &Scope) -> bool {
        match scope {
            Scope::Global => true,
            Scope::Workspace(name) => self.workspace == name,
            Scope::Tenant(name) => self.tenant == Some(name),
            Scope::Agent(name) => self.agent == name,
            Scope::Tool(name) => self.tool == Some(name),
            Scope::Execution(id) => self.execution == Some(id),
        }
    }
}

/// An entry in force.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct InForce {
    /// The action that set it.
    pub action_id: String,
    /// About whom.
    pub scope: Scope,
    /// What holds.
    pub state: State,
    /// Who asked.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When, in nanoseconds since 1970.
    pub decided_at_unix_nano: i64,
}

/// All entries in force at one epoch. Those that [`Control`](super::Control) makes are in order of
/// severity, the most severe first.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct View {
    /// Grows with every change that takes effect.
    pub epoch: u64,
    /// What is in force, in any order.
    pub entries: Vec<InForce>,
}

impl View {
    /// The most severe entry that matches, if any; of equals, the one decided first. Allocates
    /// nothing, and ends at the first freeze: with no entry in force it costs a comparison.
    #[must_use]
    pub fn verdict(&self, subject: &Subject<'_>) -> Option<&InForce> {
        let mut worst: Option<&InForce> = None;
        for entry in &self.entries {
            if worst.is_some_and(|worst| !before(entry, worst)) || !subject.is_in(&entry.scope) {
                continue;
            }
            worst = Some(entry);
            if entry.state == State::Frozen {
                break;
            }
        }
        worst
    }

    /// The most severe state set for this very scope; running when none is.
    #[must_use]
    pub fn state_of(&self, scope: &Scope) -> &State {
        self.entries
            .iter()
            .filter(|entry| entry.scope == *scope)
            .max_by_key(|entry| entry.state.severity())
            .map_or(&State::Running, |entry| &entry.state)
    }

    /// Puts the most severe first, and the older of equals first.
    pub(super) fn sorted(mut self) -> Self {
        self.entries.sort_by_key(|entry| {
            (
                std::cmp::Reverse(entry.state.severity()),
                entry.decided_at_unix_nano,
            )
        });
        self
    }
}

/// Whether `a` holds over `b`.
fn before(a: &InForce, b: &InForce) -> bool {
    let (ours, theirs) = (a.state.severity(), b.state.severity());
    ours > theirs || (ours == theirs && a.decided_at_unix_nano < b.decided_at_unix_nano)
}
