//! What the core learns about its rules, and what people say of them.

use std::sync::Arc;

use flyball_runtime::control::{Mode, State as Control};
use flyball_store::rows::{AlertRow, Date, Micros};

use super::Effect;
use super::core::Core;
use super::watch::Watch;
use super::words::rfc3339;
use crate::books::RuleBooks;
use crate::fact::Fact;
use crate::guard::digest;
use crate::notify::{About, Notice};
use crate::overrun::is_hard;
use crate::rule::{Rule, Severity};
use crate::state::State;
use crate::trust::{self, FalseAlarm, Kept, Standing};
use crate::{Error, Result};

/// The key under which a rule's own trust is an alert.
const KEY: &str = "trust";

impl Core {
    /// Looks at a fact for what it says about actions in shadow, and about hard limits that were passed.
    pub(super) fn learn(&mut self, fact: &Fact<'_>) {
        for watch in &mut self.watches {
            if watch.trust.watches() {
                watch.trust.see(fact);
            }
            if let Some(target) = watch.rule.scope {
                let by = watch.rule.key;
                watch.limit_passed.see(fact, by, target, &self.workspace);
            }
        }
    }

    /// Whether something was learnt since this was last asked: it is to be kept.
    pub(super) fn learnt(&mut self) -> bool {
        let learnt = self.watches.iter_mut().map(|watch| {
            let keys = watch.rule.when.learns().is_some() && watch.has_learnt();
            watch.trust.learnt() || keys
        });
        learnt.fold(false, |any, one| any | one)
    }

    /// Notes what has been ordered, and which alerts are over.
    pub(super) fn note(&mut self, effects: &[Effect], now: i64) {
        for effect in effects {
            match effect {
                Effect::Order { order, key } => {
                    if let Some(cause) = &order.cause {
                        let received = cause.received_at_unix_nano;
                        let stages = self.stages();
                        stages
                            .received
                            .add_nanos(received - cause.ended_at_unix_nano);
                        stages.judged.add_nanos(now - received);
                    }
                    if let Some(watch) = order.rule.as_deref().and_then(|rule| self.watch(rule)) {
                        watch.trust.ordered(order, key, now);
                        if let Some(cause) = order.cause.as_ref().filter(|_| is_hard(&watch.rule)) {
                            let received = cause.received_at_unix_nano;
                            watch.limit_passed.ordered(key, &order.scope, received);
                        }
                    }
                }
                Effect::Alert(row) if row.state == State::Ok.as_str() => {
                    if let Some(watch) = self.watch(&row.rule)
                        && let Some((_, key)) = row.key.split_once('=')
                    {
                        watch.trust.over(key);
                        watch.limit_passed.over(key);
                    }
                }
                Effect::Notice { notice, .. } => {
                    let withheld = notice.action.as_ref().is_some_and(|deed| {
                        deed.action_id.is_none() && deed.outcome.starts_with("withheld")
                    });
                    if withheld {
                        self.withheld(notice);
                    }
                }
                _ => {}
            }
        }
    }

    /// An action is withheld. Where nobody is frozen by now, a hard limit was passed in vain.
    fn withheld(&mut self, notice: &Notice) {
        let view = Arc::clone(&self.view);
        let Some(watch) = self.watch(&notice.rule) else {
            return;
        };
        watch.withheld += 1;
        let (_, key) = notice.key.split_once('=').unwrap_or_default();
        let hard = is_hard(&watch.rule);
        if let Some(entry) = watch.keys.get_mut(key).filter(|_| hard)
            && let (Some(scope), Some(sighting)) = (&entry.scope, entry.sighting)
            && *view.state_of(scope) != Control::Frozen
        {
            watch.limit_passed.unordered(key, scope, sighting.received);
        }
    }

    /// What is kept of rules that act.
    pub(super) fn trust(&self) -> Kept {
        let acting = self.watches.iter().filter(|watch| watch.rule.acts());
        acting
            .map(|watch| (watch.rule.name.clone(), watch.trust.clone()))
            .collect()
    }

    /// Takes over what was kept. A rule that is another now begins anew with what its file says.
    pub(super) fn recall(&mut self, mut kept: Kept, now: i64) {
        for watch in &mut self.watches {
            if let Some(kept) = kept.remove(&watch.rule.name) {
                let (mode, over) = watch.trust.restore(kept, &watch.rule);
                watch.be(mode);
                let name = &watch.rule.name;
                let over = over.map(|id| {
                    let summary = format!("over: rule {name} was changed");
                    row(name, id, State::Ok, summary, now)
                });
                self.closing
                    .extend(over.map(|row| Effect::Alert(Box::new(row))));
            }
        }
        for (name, kept) in kept {
            let over = kept.alert_id.map(|id| {
                let summary = format!("over: rule {name} was removed");
                row(&name, id, State::Ok, summary, now)
            });
            self.closing
                .extend(over.map(|row| Effect::Alert(Box::new(row))));
        }
    }

    /// Puts a rule in force that is in shadow: on its evidence, or `anyway`.
    pub(super) fn promote(
        &mut self,
        rule: &str,
        anyway: bool,
        now: i64,
    ) -> Result<(Standing, Vec<Effect>)> {
        let watch = self.known(rule)?;
        trust::promotable(&watch.rule)?;
        let wanted = watch.rule.promote.unwrap_or_default();
        if let Some(why) = watch.trust.lacks(&wanted, now).filter(|_| !anyway) {
            return Err(Error::NotPromoted {
                rule: rule.to_owned(),
                why,
            });
        }
        let told = watch.trust.alert_id.take().map(|id| {
            let summary = format!("over: rule {rule} was promoted again");
            Effect::Alert(Box::new(row(rule, id, State::Ok, summary, now)))
        });
        watch.trust.promote();
        watch.be(Mode::Enforce);
        // What fires already was dealt with on paper only: the next span of it acts.
        for (_, entry) in watch.keys.iter_mut() {
            entry.ordered.clear();
            entry.resting_until = 0;
        }
        let standing = watch.stance(now);
        self.guard.rouse(rule);
        Ok((standing, told.into_iter().collect()))
    }

    /// A person says that an action was wrong. A rule of which that is said too often falls back to shadow.
    pub(super) fn false_alarm(
        &mut self,
        action_id: &str,
        now: i64,
    ) -> Result<(FalseAlarm, Vec<Effect>)> {
        let workspace = self.workspace().to_owned();
        let found = self.watches.iter_mut().find_map(|watch| {
            let mode = watch.trust.false_alarm(action_id, now)?;
            Some((watch, mode))
        });
        let Some((watch, mode)) = found else {
            return Err(Error::ActionUnknown {
                action_id: action_id.to_owned(),
            });
        };
        let limits = watch.rule.demote.unwrap_or_default();
        let lost = watch.trust.lost(&limits, now);
        let demoted = lost.filter(|_| watch.rule.mode == Mode::Enforce);
        let mut effects = Vec::new();
        if let Some(why) = &demoted {
            watch.trust.demote(now);
            watch.be(Mode::Shadow);
            let summary = format!(
                "rule {} is in shadow from now on: {why}. It records what it would do and acts no more, until somebody \
                 promotes it",
                watch.rule.name
            );
            let rule = &watch.rule;
            let id = digest(&[&rule.name, KEY, &now.to_string()]);
            let row = row(&rule.name, id.clone(), State::Firing, summary.clone(), now);
            effects.push(Effect::Alert(Box::new(row)));
            effects.push(Effect::Notice {
                to: rule.notify.clone(),
                notice: Box::new(notice(rule, id.clone(), &workspace, summary, now)),
            });
            watch.trust.alert_id = Some(id);
        }
        let said = FalseAlarm {
            action_id: action_id.to_owned(),
            rule: watch.rule.name.clone(),
            mode,
            demoted,
        };
        Ok((said, effects))
    }

    /// What each rule did since the start.
    pub(super) fn rule_books(&self) -> Vec<RuleBooks> {
        let book = |watch: &Watch| RuleBooks {
            rule: watch.rule.name.clone(),
            withheld: watch.withheld,
            overruns: watch.limit_passed.counts(),
            ..watch.trust.books()
        };
        self.watches.iter().map(book).collect()
    }

    fn watch(&mut self, rule: &str) -> Option<&mut Watch> {
        self.watches
            .iter_mut()
            .find(|watch| watch.rule.name == rule)
    }

    fn known(&mut self, rule: &str) -> Result<&mut Watch> {
        let names = self.watches.iter().map(|watch| watch.rule.name.as_str());
        let known = names.collect::<Vec<_>>().join(", ");
        self.watch(rule).ok_or_else(|| Error::RuleUnknown {
            rule: rule.to_owned(),
            known,
        })
    }
}

impl Watch {
    fn be(&mut self, mode: Mode) {
        self.rule.mode = mode;
        self.version = self.trust.version();
    }

    /// That it was demoted, as long as nobody promotes it.
    pub(super) fn distrusted(&self, workspace: &str) -> Option<Notice> {
        let id = self.trust.alert_id.clone()?;
        let summary = format!(
            "rule {} is in shadow: its actions were found wrong",
            self.rule.name
        );
        let since = self.trust.since();
        Some(notice(&self.rule, id, workspace, summary, since))
    }

    /// How the rule stands with people.
    pub(super) fn stance(&self, now: i64) -> Standing {
        let rule = &self.rule;
        let shadow = rule.acts() && rule.mode == Mode::Shadow;
        let wanted = rule.promote.unwrap_or_default();
        Standing {
            rule: rule.name.clone(),
            mode: rule.mode,
            origin: self.trust.origin,
            evidence: self.trust.evidence(&rule.demote.unwrap_or_default(), now),
            lacks: shadow.then(|| self.trust.lacks(&wanted, now)).flatten(),
        }
    }
}

/// The change of a rule's own alert: firing while people do not trust it.
fn row(rule: &str, alert_id: String, to: State, summary: String, now: i64) -> AlertRow {
    let from = match to {
        State::Ok => State::Firing,
        _ => State::Ok,
    };
    AlertRow {
        date: Date::of_nanos(now),
        at: Micros::of_nanos(now),
        alert_id,
        rule: rule.to_owned(),
        key: KEY.to_owned(),
        state: to.as_str().to_owned(),
        previous_state: from.as_str().to_owned(),
        severity: Severity::Critical.as_str().to_owned(),
        mode: "enforce".to_owned(),
        summary,
        ..AlertRow::default()
    }
}

fn notice(rule: &Rule, alert_id: String, workspace: &str, summary: String, now: i64) -> Notice {
    Notice {
        status: About::Firing,
        alert_id,
        rule: rule.name.clone(),
        description: rule.description.clone(),
        key: KEY.to_owned(),
        severity: Severity::Critical,
        workspace: workspace.to_owned(),
        summary,
        value: None,
        threshold: rule.threshold.trigger.normalize().to_string(),
        at: rfc3339(now),
        action: None,
        evidence: None,
    }
}
