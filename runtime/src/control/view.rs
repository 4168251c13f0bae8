//! What is in force at one moment: the most severe of it for a subject, and all that limits it.

use std::cmp::Reverse;

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
    /// Whose epoch it is: the id of the control plane's file. With another id the epochs of two views
    /// say nothing about each other. Empty when the control plane does not tell.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub plane: String,
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
            if worst.is_some_and(|worst| rank(entry) >= rank(worst)) || !subject.is_in(&entry.scope)
            {
                continue;
            }
            worst = Some(entry);
            if entry.state == State::Frozen {
                break;
            }
        }
        worst
    }

    /// Everything short of a freeze that limits this subject: entries of other kinds and scopes hold
    /// beside the most severe one, and none lifts another. Allocates only what matches.
    #[must_use]
    pub fn limits(&self, subject: &Subject<'_>) -> Limited<'_> {
        let mut limited = Limited::default();
        for entry in self.entries.iter().filter(|e| subject.is_in(&e.scope)) {
            match entry.state {
                State::Throttled { .. } if paces(entry, subject) => limited.throttles.push(entry),
                State::Degraded { .. } => limited.degrades.push(entry),
                State::Running | State::Throttled { .. } | State::Frozen => {}
            }
        }
        limited.throttles.sort_by_key(|entry| rank(entry));
        limited.degrades.sort_by_key(|entry| rank(entry));
        limited
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
        self.entries.sort_by_key(rank);
        self
    }
}

/// All that limits one subject at once, see [`View::limits`]. Entries are in order of severity, the
/// most severe first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limited<'a> {
    /// The throttles that pace this call. Each of them does: one may be of one execution, another of
    /// all that its agent runs.
    pub throttles: Vec<&'a InForce>,
    /// The degradations; [`tier`](Self::tier), [`read_only`](Self::read_only) and
    /// [`plan_depth`](Self::plan_depth) say what they come to.
    pub degrades: Vec<&'a InForce>,
}

impl<'a> Limited<'a> {
    /// The tier of the most severe degradation that names one.
    #[must_use]
    pub fn tier(&self) -> Option<&'a str> {
        self.degrades.iter().find_map(|entry| match &entry.state {
            State::Degraded { tier, .. } => tier.as_deref(),
            _ => None,
        })
    }

    /// Whether any of them allows only tools that read.
    #[must_use]
    pub fn read_only(&self) -> bool {
        let reads = |entry: &&InForce| {
            matches!(
                entry.state,
                State::Degraded {
                    read_only: true,
                    ..
                }
            )
        };
        self.degrades.iter().any(reads)
    }

    /// The shallowest plan that any of them allows, in actions.
    #[must_use]
    pub fn plan_depth(&self) -> Option<u32> {
        let depth = |entry: &&InForce| match entry.state {
            State::Degraded { plan_depth, .. } => plan_depth,
            _ => None,
        };
        self.degrades.iter().filter_map(depth).min()
    }
}

/// A throttle on a tool paces that tool's calls, any other paces model calls.
fn paces(entry: &InForce, who: &Subject<'_>) -> bool {
    matches!(entry.scope, Scope::Tool(_)) == who.tool.is_some()
}

/// In order of this, the most severe is first, and the older of equals.
fn rank(entry: &InForce) -> (Reverse<(u8, u64)>, i64) {
    (Reverse(entry.state.severity()), entry.decided_at_unix_nano)
}
