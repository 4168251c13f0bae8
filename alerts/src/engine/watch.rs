//! One rule at work: its keys, and what follows when one of them is judged.

use std::collections::BTreeMap;

use flyball_runtime::control::{Mode, View};
use rust_decimal::Decimal;
use serde_json::Value;

use super::Effect;
use super::entry::Entry;
use super::history::History;
use super::judge::{Judge, Reading, alert_id};
use super::words;
use crate::answer;
use crate::fact::{Fact, scope_of};
use crate::guard::Guard;
use crate::knowledge::Knowledge;
use crate::living::Living;
use crate::measure::{Hearing, Measure};
use crate::memory::SavedRule;
use crate::notify::Notice;
use crate::overrun::Limit;
use crate::rule::{Key, Rule, SECOND, When, spoken};
use crate::state::{Machine, NoData, Policy, Sample, State, Threshold};
use crate::trust::Trust;
use crate::window::{Keyed, Name, Worth};

/// What a rule may look at and change while it judges.
pub(super) struct Scene<'a> {
    pub(super) now: i64,
    pub(super) workspace: &'a str,
    pub(super) guard: &'a mut Guard,
    pub(super) living: &'a Living,
    pub(super) view: &'a View,
    pub(super) out: &'a mut Vec<Effect>,
}

/// A rule at work.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) rule: Rule,
    pub(super) version: String,
    policy: Policy,
    pub(super) keys: Keyed<Entry>,
    /// Facts and rows that had no key.
    pub(super) unkeyed: u64,
    /// Whether the query itself works.
    pub(super) health: Machine,
    health_id: Option<String>,
    pub(super) trouble: Option<String>,
    limit: usize,
    /// No key can change by time alone: each is at rest, was judged, and can only fall.
    still: bool,
    pub(super) trust: Trust,
    /// Actions withheld since too many agents would have been touched.
    pub(super) withheld: u64,
    /// Of hard limits.
    pub(super) limit_passed: Limit,
    due: i64,
    asking: bool,
    /// Of rules that ask the tables for what lies further back than the stream.
    history: Option<History>,
    /// Of rules that miss who is not heard.
    hearing: Option<Hearing>,
}

impl Watch {
    pub(super) fn new(rule: Rule, limit: usize, now: i64) -> Self {
        let first = match &rule.when {
            When::Sql { every, .. } => now + (*every).min(10 * SECOND),
            _ => i64::MAX,
        };
        let hearing = match &rule.when {
            When::Absence { silent_for, .. } => Some(Hearing::new(*silent_for, now)),
            _ => None,
        };
        Self {
            history: rule.when.asks_history().then(History::default),
            hearing,
            version: rule.version(),
            trust: Trust::new(&rule, now),
            withheld: 0,
            limit_passed: Limit::default(),
            policy: rule.policy(),
            rule,
            keys: Keyed::new(limit),
            unkeyed: 0,
            health: Machine::default(),
            health_id: None,
            trouble: None,
            limit,
            still: false,
            due: first,
            asking: false,
        }
    }

    pub(super) fn concerns(&self, fact: &Fact<'_>) -> bool {
        Measure::concerns(&self.rule.when, fact)
    }

    /// Has the processor fetch what is known of a key.
    pub(super) fn touch(&self, key: Name<'_>) {
        if let Some(entry) = self.keys.glance(key) {
            std::hint::black_box(entry.touch());
        }
    }

    /// Takes a fact in that concerns the rule, and judges its key at once if that is wished. Answers whether it
    /// was of one.
    pub(super) fn feed(
        &mut self,
        fact: &Fact<'_>,
        key: Option<Name<'_>>,
        anew: bool,
        judge: bool,
        scene: &mut Scene<'_>,
    ) -> bool {
        let now = scene.now;
        if let Some(hearing) = &mut self.hearing {
            hearing.hear(now);
        }
        let Some(key) = key else {
            self.unkeyed += 1;
            return false;
        };
        if self.history.as_mut().is_some_and(|h| h.tells(fact)) {
            return false;
        }
        let reading = self.reading(now);
        let known = self.history.as_ref().is_some_and(History::known);
        let (rule, evicted) = (&self.rule, self.keys.evicted);
        let entry = if fact.reversal() {
            self.keys.get_mut(key)
        } else {
            self.keys.entry(
                key,
                || {
                    let mut entry = Entry::new(rule, now);
                    // Had it spent anything, the tables would have told of it.
                    if let (true, Measure::Budget(budget)) = (known, &mut entry.measure) {
                        budget.based();
                    }
                    entry
                },
                |entry| entry.worth(rule, now),
            )
        };
        if let Some(entry) = entry {
            entry.feed(fact, rule, anew, reading.at);
            if judge {
                let judge = Judge {
                    rule,
                    version: &self.version,
                    policy: &self.policy,
                };
                judge.read(key.text(), entry, reading, scene);
            }
            self.still &= entry.rests();
        }
        if let Some(history) = &mut self.history
            && self.keys.evicted != evicted
        {
            history.forgot();
        }
        true
    }

    /// An entry came for the time that the tables tell of.
    pub(super) fn doubt(&mut self, fact: &Fact<'_>) {
        if self.concerns(fact)
            && let Some(history) = &mut self.history
        {
            history.doubt(fact);
        }
    }

    /// The time that this rule measures with: a key's silence goes by what we hear.
    fn measured_at(&self, now: i64) -> i64 {
        self.hearing.as_ref().map_or(now, |hearing| hearing.at(now))
    }

    /// How its keys are read.
    fn reading(&self, now: i64) -> Reading {
        Reading {
            at: self.measured_at(now),
            now,
            whole: self.history.as_ref().is_none_or(History::known),
            threshold: self.policy.threshold,
        }
    }

    /// Judges one key by what its window holds now.
    pub(super) fn judge(&mut self, key: &str, scene: &mut Scene<'_>) {
        let reading = self.reading(scene.now);
        let judge = Judge {
            rule: &self.rule,
            version: &self.version,
            policy: &self.policy,
        };
        if let Some(entry) = self.keys.get_mut(key) {
            judge.read(key, entry, reading, scene);
        }
    }

    /// Time passes: windows empty, holds run out. Asks its query when that is due.
    pub(super) fn tick(&mut self, scene: &mut Scene<'_>) {
        if let When::Sql { query, every, .. } = &self.rule.when {
            if scene.now >= self.due && !self.asking {
                self.asking = true;
                self.due = scene.now + every;
                scene.out.push(Effect::Ask {
                    rule: self.rule.name.clone(),
                    sql: query.clone(),
                    every: *every,
                });
            }
            return;
        }
        if matches!(self.rule.when, When::Composite { .. }) {
            return;
        }
        self.ask_history(scene);
        self.listen(scene);
        let reading = self.reading(scene.now);
        let judge = Judge {
            rule: &self.rule,
            version: &self.version,
            policy: &self.policy,
        };
        if self.still {
            return;
        }
        self.still = true;
        for (key, entry) in self.keys.iter_mut() {
            if entry.rests() {
                continue;
            }
            self.still = false;
            let value = reading.of(entry);
            entry.stirred &= value.is_none();
            let rising = value.is_some_and(|value| self.policy.threshold.breached(value));
            if entry.machine.at_rest() && !rising {
                continue;
            }
            judge.judge(
                key,
                entry,
                value.map_or(Sample::NoData, Sample::Value),
                scene,
            );
        }
    }

    fn ask_history(&mut self, scene: &mut Scene<'_>) {
        let Some(history) = &mut self.history else {
            return;
        };
        if let Some((sql, every)) = history.ask(&self.rule, self.limit, scene.now) {
            scene.out.push(Effect::Ask {
                rule: self.rule.name.clone(),
                sql,
                every,
            });
        }
    }

    /// When nothing at all is heard, that is told once, and nobody is missed for it.
    fn listen(&mut self, scene: &mut Scene<'_>) {
        let (Some(hearing), When::Absence { silent_for, .. }) = (&self.hearing, &self.rule.when)
        else {
            return;
        };
        let limit = spoken(*silent_for);
        let deaf = hearing.deaf(scene.now);
        let trouble = deaf.then(|| format!("nothing at all was heard for {limit}; its keys hold"));
        if trouble != self.trouble || self.health.state != State::Ok {
            self.ail(trouble, scene);
        }
    }

    /// The rules that it names fire on so many keys, and so many of them on each.
    pub(super) fn composed(&mut self, firing: &BTreeMap<String, i64>, scene: &mut Scene<'_>) {
        for (_, entry) in self.keys.iter_mut() {
            entry.measure = Measure::Told(Some(Decimal::ZERO));
        }
        for (key, count) in firing {
            self.told(key, Some(Decimal::from(*count)), scene);
        }
        self.judge_told(scene);
        // Who is well and was well before need not be remembered.
        for (_, entry) in self.keys.iter_mut() {
            if entry.machine.at_rest() {
                entry.measure = Measure::Told(None);
            }
        }
    }

    /// The answer to its query has come.
    pub(super) fn answered(
        &mut self,
        answer: Result<Vec<arrow::array::RecordBatch>, String>,
        scene: &mut Scene<'_>,
    ) {
        self.asking = false;
        self.still = false;
        if let Some(history) = &mut self.history {
            let (keys, now) = (&mut self.keys, scene.now);
            let told = history.answered(answer, scene.workspace, &self.rule, keys, now);
            return self.ail(told.err(), scene);
        }
        let rows = answer
            .and_then(|batches| answer::read(&self.rule, scene.workspace, &batches, self.limit));
        let (rows, left_out) = match rows {
            Ok(rows) => rows,
            Err(reason) => return self.ail(Some(reason), scene),
        };
        self.unkeyed += left_out;
        self.ail(None, scene);
        for (_, entry) in self.keys.iter_mut() {
            entry.measure = Measure::Told(None);
        }
        for (key, value) in &rows {
            self.told(key, *value, scene);
        }
        self.judge_told(scene);
    }

    /// A key's value is told from outside.
    fn told(&mut self, key: &str, value: Option<Decimal>, scene: &Scene<'_>) {
        let (rule, now) = (&self.rule, scene.now);
        let entry = self.keys.entry(
            key,
            || Entry::new(rule, now),
            |entry| entry.worth(rule, now),
        );
        let Some(entry) = entry else {
            return;
        };
        entry.measure = Measure::Told(value);
        if let Some(target) = rule.scope {
            entry.scope = Some(scope_of(target, key));
            entry.sighting = scene.living.last(rule.key, key);
            entry.agent = (rule.key == Key::Agent).then(|| key.into());
        }
    }

    fn judge_told(&mut self, scene: &mut Scene<'_>) {
        let judge = Judge {
            rule: &self.rule,
            version: &self.version,
            policy: &self.policy,
        };
        for (key, entry) in self.keys.iter_mut() {
            let sample = entry
                .measure
                .value(scene.now)
                .map_or(Sample::NoData, Sample::Value);
            judge.judge(key, entry, sample, scene);
        }
    }

    /// Notes whether the query works; a change of that is an alert of its own, under the key `rule`.
    fn ail(&mut self, trouble: Option<String>, scene: &mut Scene<'_>) {
        let policy = Policy {
            threshold: Threshold {
                trigger: Decimal::ONE,
                recover: Decimal::ONE,
                low: false,
            },
            hold: 0,
            keep_firing_for: 0,
            cool_down: self.policy.cool_down,
            no_data: NoData::Hold,
        };
        let sample = if trouble.is_some() {
            Sample::Error
        } else {
            Sample::Value(Decimal::ZERO)
        };
        let (machine, change) = self.health.step(sample, scene.now, &policy);
        self.health = machine;
        self.trouble = trouble;
        let Some(change) = change else {
            return;
        };
        let id = alert_id(&self.rule, "rule", scene.now);
        let id = self.health_id.take().unwrap_or(id);
        let name = &self.rule.name;
        let summary = match (&self.trouble, &self.hearing) {
            (Some(reason), Some(_)) => format!("rule {name} cannot judge: {reason}"),
            (None, Some(_)) => format!("rule {name} judges again: something is heard"),
            (Some(reason), None) => format!("the query of rule {name} fails: {reason}"),
            (None, None) => format!("the query of rule {name} answers again"),
        };
        let told = words::Told {
            id: &id,
            key: "rule",
            change,
            value: None,
            summary,
            evidence: None,
            deed: None,
        };
        words::tell(&self.rule, &told, scene);
        self.health_id = (change.to != State::Ok).then_some(id);
    }

    /// The alerts that people hear of and that are not over, as if they began now.
    pub(super) fn standing(&self, workspace: &str) -> Vec<Notice> {
        if self.rule.mode == Mode::Shadow {
            return Vec::new();
        }
        let of_key = |(key, entry): (&str, &Entry)| {
            let id = entry.alert_id.as_deref()?;
            let summary = words::describe(&self.rule, key, entry.value, &Value::Null);
            let key = format!("{}={key}", self.rule.key.as_str());
            words::stands(
                &self.rule,
                workspace,
                id,
                &key,
                &entry.machine,
                entry.value,
                summary,
            )
        };
        let mut standing: Vec<Notice> = self.keys.iter().filter_map(of_key).collect();
        let health = self.health_id.as_deref().and_then(|id| {
            let reason = self
                .trouble
                .as_deref()
                .unwrap_or("since before the last start");
            let summary = format!("the query of rule {} fails: {reason}", self.rule.name);
            words::stands(
                &self.rule,
                workspace,
                id,
                "rule",
                &self.health,
                None,
                summary,
            )
        });
        standing.extend(health);
        standing
    }

    /// Whether a key has learnt what is to be kept.
    pub(super) fn has_learnt(&mut self) -> bool {
        let learnt = self.keys.iter_mut().map(|(_, e)| e.measure.learnt());
        learnt.fold(false, |any, one| any | one)
    }

    pub(super) fn sweep(&mut self, view: &View, now: i64) {
        let rule = &self.rule;
        self.keys.sweep(|entry| match entry.held(view) {
            true => Worth::Keep,
            false => entry.worth(rule, now),
        });
        self.trust.expire(now);
    }

    pub(super) fn save(&self, view: &View, now: i64) -> SavedRule {
        let keys = self
            .keys
            .iter()
            .filter_map(|(key, entry)| Some((key.to_owned(), entry.save(view, now)?)));
        SavedRule {
            by: self.rule.key.as_str().to_owned(),
            health: self.health,
            health_id: self.health_id.clone(),
            keys: keys.collect(),
        }
    }

    /// What its keys learn, and in what form, if it is a rule that learns what no table has.
    pub(super) fn basis(&self) -> Option<String> {
        match &self.rule.when {
            When::Detector { of, every, .. } => {
                let (key, every) = (self.rule.key.as_str(), spoken(*every));
                Some(format!("{key}, {of:?}, {every}"))
            }
            When::Absence {
                learn: Some(weeks), ..
            } => Some(format!(
                "{}, hours of {weeks} weeks",
                self.rule.key.as_str()
            )),
            _ => None,
        }
    }

    pub(super) fn knowledge(&self, now: i64) -> Option<Knowledge> {
        let keys = self.keys.iter();
        let keys = keys.filter_map(|(key, entry)| Some((key.to_owned(), entry.measure.known()?)));
        Some(Knowledge {
            basis: self.basis()?,
            at: now,
            keys: keys.collect(),
        })
    }

    /// Takes over what was known, if it was about the same.
    pub(super) fn know(&mut self, knowledge: Knowledge, now: i64) -> bool {
        if self.basis().as_ref() != Some(&knowledge.basis) {
            return false;
        }
        let gap = now - knowledge.at > self.rule.when.reach().unwrap_or(0);
        for (key, known) in knowledge.keys {
            let rule = &self.rule;
            if let Some(entry) = self.keys.entry(
                key.as_str(),
                || Entry::new(rule, now),
                |e| e.worth(rule, now),
            ) {
                entry.measure.know(known, gap, now);
            }
        }
        self.still = false;
        true
    }

    pub(super) fn restore(&mut self, saved: SavedRule, now: i64) {
        self.still = false;
        self.health = saved.health;
        self.health_id = saved.health_id;
        for (key, saved) in saved.keys {
            let rule = &self.rule;
            if let Some(entry) = self.keys.entry(
                key.as_str(),
                || Entry::new(rule, now),
                |e| e.worth(rule, now),
            ) {
                entry.restore(saved, now);
            }
        }
    }
}
