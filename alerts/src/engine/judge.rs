//! One key of a rule, judged: the state machine is stepped, and what follows is ordered first and told then.

use flyball_runtime::control::{Mode, Order};
use rust_decimal::Decimal;

use super::Effect;
use super::entry::Entry;
use super::watch::Scene;
use super::words;
use crate::guard::{Verdict, Wish, action_id, digest, spell, state_of};
use crate::measure::Measure;
use crate::memory::Ordered;
use crate::notify::Deed;
use crate::rule::Rule;
use crate::state::{Change, Policy, Sample, State, Threshold};

/// How a key of a rule is read.
#[derive(Clone, Copy)]
pub(super) struct Reading {
    pub(super) at: i64,
    /// By the calendar.
    pub(super) now: i64,
    /// Whether all that is needed is there; else what is there may be too little.
    pub(super) whole: bool,
    pub(super) threshold: Threshold,
}

impl Reading {
    pub(super) fn of(self, entry: &mut Entry) -> Option<Decimal> {
        entry.measure.pass(self.at, self.now);
        let value = entry.measure.value(self.at)?;
        // A part of what was spent may be too much already.
        let enough = matches!(entry.measure, Measure::Budget(_)) && self.threshold.breached(value);
        (self.whole || enough).then_some(value)
    }
}

/// The same from the first change to the last.
pub(super) fn alert_id(rule: &Rule, key: &str, now: i64) -> String {
    digest(&[&rule.name, key, &now.to_string()])
}

/// A rule without its keys, so that a key can be judged while they are walked.
pub(super) struct Judge<'a> {
    pub(super) rule: &'a Rule,
    pub(super) version: &'a str,
    pub(super) policy: &'a Policy,
}

impl Judge<'_> {
    /// Judges a key by what its window holds now.
    pub(super) fn read(
        &self,
        key: &str,
        entry: &mut Entry,
        reading: Reading,
        scene: &mut Scene<'_>,
    ) {
        let sample = match reading.of(entry) {
            // Nearly all are well and were well before: such a sample changes nothing of a machine at rest.
            Some(value) if entry.machine.at_rest() && !reading.threshold.breached(value) => {
                entry.value = Some(value);
                entry.wants_calm_until = 0;
                entry.stirred = false;
                return;
            }
            Some(value) => Sample::Value(value),
            // A key that has not begun is not missing.
            None if entry.machine.at_rest() => return,
            None => Sample::NoData,
        };
        entry.stirred = false;
        self.judge(key, entry, sample, scene);
    }

    pub(super) fn judge(
        &self,
        key: &str,
        entry: &mut Entry,
        sample: Sample,
        scene: &mut Scene<'_>,
    ) {
        let (machine, change) = entry.machine.step(sample, scene.now, self.policy);
        entry.machine = machine;
        let mut breached = false;
        if let Sample::Value(value) = sample {
            entry.value = Some(value);
            breached = self.policy.threshold.breached(value);
            if !breached {
                entry.wants_calm_until = 0;
            }
        }
        let climbs = !entry.ordered.is_empty();
        if entry.alert_id.is_none() && change.is_some() {
            entry.alert_id = Some(alert_id(self.rule, key, scene.now));
        }
        // First act, then talk.
        let acts = self.rule.acts() && breached && machine.state == State::Firing;
        let deed = if acts {
            self.act(key, entry, scene)
        } else {
            None
        };
        let to_tell = deed
            .as_ref()
            .is_some_and(|deed| climbs || deed.action_id.is_some());
        if change.is_some() || to_tell {
            // An action without a change of state is told as if it had just begun to fire.
            let told = change.unwrap_or(Change {
                from: State::Firing,
                to: State::Firing,
            });
            self.tell(key, entry, told, deed, scene);
        }
        if change.is_some_and(|change| change.to == State::Ok) {
            entry.alert_id = None;
            entry.ordered.clear();
        }
    }

    /// Orders the action, or the next one after it, unless something speaks against it. None when there is nothing new
    /// to say.
    fn act(&self, key: &str, entry: &mut Entry, scene: &mut Scene<'_>) -> Option<Deed> {
        let now = scene.now;
        let rung = entry.ordered.len();
        if let Some(last) = entry.ordered.last() {
            let until = last.at + self.rule.then.get(rung - 1)?.after;
            // Who was slowed and is silent since has not gone on.
            if entry.sighting.is_none_or(|last| last.received < until) {
                return None;
            }
        }
        if entry.resting_until.max(entry.wants_calm_until) > now {
            return None;
        }
        let action = self.rule.actions().nth(rung)?;
        let scope = entry.scope.clone()?;
        let mut deed = Deed {
            action: action.as_str().to_owned(),
            target: spell(&scope),
            action_id: None,
            outcome: String::new(),
        };
        let Some(sighting) = entry.sighting.filter(|sighting| sighting.fresh(now)) else {
            "not ordered: no live span of it ended within the last minute"
                .clone_into(&mut deed.outcome);
            return Some(deed);
        };
        let wish = Wish {
            rule: self.rule,
            rung,
            scope: &scope,
            agent: entry.agent.as_deref(),
        };
        match scene.guard.judge(&wish, scene.living, scene.view, now) {
            Verdict::Act => {}
            Verdict::Holds(why) => {
                entry.resting_until = now + self.rule.cool_down;
                deed.outcome = format!("not ordered: {why}");
                return Some(deed);
            }
            Verdict::Withheld { why, until } => {
                entry.resting_until = until;
                deed.outcome = format!("withheld: {why}");
                return Some(deed);
            }
        }
        let window = self.rule.when.window();
        let start = (sighting.received.div_euclid(window) * window).max(entry.forgiven_until);
        let id = action_id(self.rule, rung, self.version, &scope, start);
        let evidence = entry.evidence(self.rule, now);
        let order = Order {
            scope,
            state: state_of(action),
            actor: format!("rule:{}", self.rule.name),
            reason: words::describe(self.rule, key, entry.value, &evidence),
            rule: Some(self.rule.name.clone()),
            mode: self.rule.mode,
            cause: Some(sighting.cause()),
            evidence: Some(evidence),
            action_id: Some(id.clone()),
        };
        scene.out.push(Effect::Order {
            order: Box::new(order),
            key: key.to_owned(),
        });
        entry.ordered.push(Ordered {
            action_id: id.clone(),
            at: now,
        });
        deed.action_id = Some(id);
        match self.rule.mode {
            Mode::Enforce => "ordered",
            Mode::Shadow => "shadow: recorded, without effect",
        }
        .clone_into(&mut deed.outcome);
        Some(deed)
    }

    fn tell(
        &self,
        key: &str,
        entry: &mut Entry,
        change: Change,
        deed: Option<Deed>,
        scene: &mut Scene<'_>,
    ) {
        let evidence = entry.evidence(self.rule, scene.now);
        let summary = words::describe(self.rule, key, entry.value, &evidence);
        let id = entry.alert_id.clone().unwrap_or_default();
        let key = format!("{}={key}", self.rule.key.as_str());
        let told = words::Told {
            id: &id,
            key: &key,
            change,
            value: entry.value,
            summary,
            evidence: Some(evidence),
            deed,
        };
        words::tell(self.rule, &told, scene);
    }
}
