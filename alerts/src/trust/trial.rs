//! One action that a rule took, or would have taken, until it is known whether that was right.

use std::collections::BTreeSet;

use flyball_runtime::control::{Mode, Order, Scope};
use flyball_store::rows::Kind;
use serde::{Deserialize, Serialize};

use crate::fact::Fact;
use crate::rule::Target;

/// Executions that one action is judged by.
const EXECUTIONS: usize = 100;

/// One action.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Trial {
    pub(super) action_id: String,
    pub(super) scope: Scope,
    /// The key whose alert it was.
    pub(super) key: String,
    pub(super) at: i64,
    pub(super) mode: Mode,
    /// Whether the endings of executions judge it.
    pub(super) watches: bool,
    /// The alert is over: nobody else would have been stopped.
    pub(super) over: bool,
    /// A person said so.
    pub(super) found_wrong: bool,
    /// Executions that would have been stopped, and have not ended.
    running: BTreeSet<String>,
    succeeded: bool,
    failed: bool,
    /// What it was counted as.
    verdict: Option<bool>,
}

impl Trial {
    /// The action of an order for the alert of a key.
    pub(super) fn new(order: &Order, id: &str, key: &str, at: i64, watches: bool) -> Self {
        Self {
            action_id: id.to_owned(),
            scope: order.scope.clone(),
            key: key.to_owned(),
            at,
            mode: order.mode,
            watches,
            over: false,
            found_wrong: false,
            running: BTreeSet::new(),
            succeeded: false,
            failed: false,
            verdict: None,
        }
    }

    pub(super) fn see(&mut self, fact: &Fact<'_>) {
        if !fact.charge() {
            return;
        }
        let ending = fact.kind(Kind::Execution);
        let id = fact.row.execution_id;
        // Whoever began another call after it would have been stopped there.
        let went_on = !ending && fact.row.start_unix_nano > self.at;
        if !self.over && went_on && self.concerns(fact) && self.running.len() < EXECUTIONS {
            self.running.insert(id.to_owned());
        }
        if let Some(termination) = fact.row.termination.filter(|_| ending)
            && self.running.remove(id)
        {
            self.succeeded |= termination == "success";
            self.failed |= termination != "success";
        }
    }

    fn concerns(&self, fact: &Fact<'_>) -> bool {
        let target = match &self.scope {
            Scope::Tenant(_) => Target::Tenant,
            Scope::Agent(_) => Target::Agent,
            Scope::Tool(_) => Target::Tool,
            Scope::Execution(_) => Target::Execution,
            Scope::Global | Scope::Workspace(_) => return true,
        };
        fact.key(target.key(), "") == Some(self.scope.target())
    }

    /// A verdict that was not there before: one success makes it wrong at once; it was right when everything that it
    /// would have stopped has come to nothing.
    pub(super) fn judge(&mut self) -> Option<bool> {
        if self.verdict.is_some() || !self.watches {
            return None;
        }
        if self.succeeded {
            self.verdict = Some(false);
        } else if self.over && self.failed && self.running.is_empty() {
            self.verdict = Some(true);
        }
        if self.verdict.is_some() {
            self.watches = false;
            self.running.clear();
        }
        self.verdict
    }

    /// A person's verdict stands over any other. Answers what it had been counted as.
    pub(super) fn find_wrong(&mut self) -> Option<bool> {
        self.found_wrong = true;
        self.watches = false;
        self.running.clear();
        self.verdict.replace(false)
    }
}
