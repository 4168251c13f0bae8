//! The core on data of the past: its clock is theirs, and its control plane a notebook.
//!
//! Nothing is ordered and nothing that follows is changed by what would have been ordered: history goes on as it
//! went. An order stands in the notebook until the alert that gave it is over, as if a person had released it then.

use std::collections::VecDeque;
use std::sync::Arc;

use flyball_runtime::control::{InForce, Mode, Order, Scope, View};
use flyball_store::Origin;
use flyball_store::rows::AlertRow;
use serde_json::Value;

use super::rehearsal::Rehearsal;
use super::status::Traffic;
use super::{Effect, Settings};
use crate::fact::EntryViews;
use crate::notify::{Deed, Notice};
use crate::rule::Rule;
use crate::state::State;

#[cfg(test)]
mod tests;

/// What a rule would have done, in order. Times in nanoseconds since 1970.
#[derive(Debug)]
pub(crate) enum Step {
    /// An alert changed its state.
    Changed {
        alert_id: String,
        key: String,
        to: State,
        value: Option<String>,
        at: i64,
    },
    /// It would have ordered this.
    Ordered {
        alert_id: String,
        action_id: String,
        scope: Scope,
        deed: Deed,
        at: i64,
    },
    /// It wished to act, and something spoke against it.
    Withheld {
        alert_id: String,
        deed: Deed,
        at: i64,
    },
    /// The alert is over, and with it what it ordered.
    Released { action_id: String },
}

/// One rule, enforced on paper.
#[derive(Debug)]
pub(crate) struct Replay {
    rehearsal: Rehearsal,
    view: View,
    /// Actions in the notebook, and the alerts that gave them.
    standing: Vec<(String, String)>,
    learns: i64,
}

impl Replay {
    /// As if the engine had been started at `start` with this rule in force.
    pub(crate) fn new(rule: &Rule, settings: &Settings, start: i64) -> Self {
        let rule = Rule {
            mode: Mode::Enforce,
            ..rule.clone()
        };
        Self {
            learns: rule.when.learns().unwrap_or(0),
            rehearsal: Rehearsal::cold(vec![rule], settings, start),
            view: View::default(),
            standing: Vec::new(),
        }
    }

    /// How far before its start the windows reach, and what is learnt of keys, nanoseconds.
    pub(crate) fn reach(&self) -> i64 {
        self.rehearsal.core.reach().unwrap_or(0).max(self.learns)
    }

    /// What was there before the start: it fills windows, and nothing is judged.
    pub(crate) fn warm_up(&mut self, entries: &EntryViews, now: i64) {
        drop(self.rehearsal.core.charges(Origin::Replay, entries, now));
    }

    /// From now on it judges.
    pub(crate) fn begin(&mut self, now: i64) -> Vec<Step> {
        let effects = self.rehearsal.warmed(now);
        self.take(effects, now)
    }

    /// Entries of the journal that were known at `now`, which may not go back. The time before it must have
    /// [passed](Self::pass).
    pub(crate) fn entries(&mut self, entries: &EntryViews, now: i64) -> Vec<Step> {
        let effects = self.rehearsal.entries(Origin::Live, entries, now);
        self.take(effects, now)
    }

    /// Time passes until `now`, second by second as long as that can change anything.
    pub(crate) fn pass(&mut self, now: i64) -> Vec<Step> {
        let mut steps = Vec::new();
        while let Some((at, effects)) = self.rehearsal.until(now) {
            steps.extend(self.take(effects, at));
        }
        steps
    }

    /// What passed through.
    pub(crate) fn traffic(&self) -> Traffic {
        self.rehearsal.status().traffic
    }

    fn take(&mut self, effects: Vec<Effect>, now: i64) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut orders = VecDeque::new();
        let mut over = Vec::new();
        for effect in effects {
            match effect {
                Effect::Order { order, .. } => orders.push_back(order),
                Effect::Alert(row) => {
                    let AlertRow {
                        alert_id,
                        key,
                        state,
                        evidence,
                        ..
                    } = *row;
                    let evidence = evidence.and_then(|text| serde_json::from_str(&text).ok());
                    let evidence: Value = evidence.unwrap_or_default();
                    let to = State::ALL.into_iter().find(|to| to.as_str() == state);
                    let to = to.unwrap_or_default();
                    if to == State::Ok {
                        over.push(alert_id.clone());
                    }
                    steps.push(Step::Changed {
                        alert_id: alert_id.clone(),
                        key,
                        to,
                        value: evidence["value"].as_str().map(str::to_owned),
                        at: now,
                    });
                    let deed = deed_of(&evidence);
                    self.done(&alert_id, deed, &mut orders, now, &mut steps);
                }
                // A deed that came with a change of state was told in its row.
                Effect::Notice { notice, .. } => {
                    let Notice {
                        alert_id, action, ..
                    } = *notice;
                    let deed = action.filter(|deed| deed.action_id.is_some());
                    self.done(&alert_id, deed, &mut orders, now, &mut steps);
                }
                Effect::Ask { .. } => {}
            }
        }
        for alert_id in over {
            self.release(&alert_id, now, &mut steps);
        }
        steps
    }

    /// Enters what an alert did, once: it is in the alert's row, in its notice, or in both.
    fn done(
        &mut self,
        alert_id: &str,
        deed: Option<Deed>,
        orders: &mut VecDeque<Box<Order>>,
        at: i64,
        steps: &mut Vec<Step>,
    ) {
        let Some(deed) = deed else {
            return;
        };
        let alert_id = alert_id.to_owned();
        let Some(action_id) = deed.action_id.clone() else {
            return steps.push(Step::Withheld { alert_id, deed, at });
        };
        let mut ids = orders.iter().map(|order| order.action_id.as_ref());
        let place = ids.position(|id| id == Some(&action_id));
        let Some(order) = place.and_then(|place| orders.remove(place)) else {
            return;
        };
        // The next rung takes the place of the one before it.
        self.strike(&alert_id, steps);
        self.standing.push((action_id.clone(), alert_id.clone()));
        let Order {
            scope,
            state,
            actor,
            reason,
            ..
        } = *order;
        self.view.entries.push(InForce {
            action_id: action_id.clone(),
            scope: scope.clone(),
            state,
            actor,
            reason,
            decided_at_unix_nano: at,
        });
        self.see(at);
        steps.push(Step::Ordered {
            alert_id,
            action_id,
            scope,
            deed,
            at,
        });
    }

    fn release(&mut self, alert_id: &str, at: i64, steps: &mut Vec<Step>) {
        if self.strike(alert_id, steps) {
            self.see(at);
        }
    }

    /// Takes what an alert ordered out of the notebook; whether there was anything.
    fn strike(&mut self, alert_id: &str, steps: &mut Vec<Step>) -> bool {
        let (over, standing) = std::mem::take(&mut self.standing)
            .into_iter()
            .partition::<Vec<_>, _>(|(_, alert)| alert == alert_id);
        self.standing = standing;
        let any = !over.is_empty();
        for (action_id, _) in over {
            self.view
                .entries
                .retain(|entry| entry.action_id != action_id);
            steps.push(Step::Released { action_id });
        }
        any
    }

    fn see(&mut self, now: i64) {
        self.view.epoch += 1;
        self.rehearsal.in_force(Arc::new(self.view.clone()), now);
    }
}

/// What was done, or why not, as the row of an alert says it.
fn deed_of(evidence: &Value) -> Option<Deed> {
    let deed = evidence.get("action")?;
    let text = |name: &str| deed[name].as_str().map(str::to_owned);
    Some(Deed {
        action: text("action")?,
        target: text("target")?,
        action_id: text("action_id"),
        outcome: text("outcome")?,
    })
}
