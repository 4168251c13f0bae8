//! The engine without its surroundings: events in, effects out, and time as an argument.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use flyball_runtime::control::{Mode, Order, Scope, View};
use flyball_store::{LogPosition, Origin};

use super::history;
use super::status::{KeyStatus, RuleStatus, Status, Traffic};
use super::watch::{Scene, Watch};
use super::{Effect, Settings, words};
use crate::books::Stages;
use crate::fact::{EntryView, EntryViews, Fact};
use crate::guard::{Guard, state_of};
use crate::knowledge::Knowledge;
use crate::living::Living;
use crate::memory::{Saved, SavedState};
use crate::notify::Notice;
use crate::overrun::is_hard;
use crate::rule::{Key, Rule, SECOND, When};
use crate::state::State;
use crate::window::{Name, Names, Once};

/// Charges remembered so that each counts once.
const CHARGES: usize = 1_000_000;
/// Names of one kind of key that have a number at a time; a key that comes anew costs a rule one more search.
const NAMES: usize = 1 << 18;
/// How often idle keys are let go.
const SWEEP: i64 = 30 * SECOND;
/// Keys that a status lists for one rule.
const LISTED: usize = 1_000;

/// All rules of one workspace at work.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) workspace: Arc<str>,
    pub(super) watches: Vec<Watch>,
    /// The kinds of key that the rules have, each once, and for each rule which it is.
    names: Vec<(Key, Names)>,
    kinds: Vec<usize>,
    once: Once,
    living: Living,
    pub(super) guard: Guard,
    pub(super) view: Arc<View>,
    /// Whether the windows hold what was there before the restart; until then nothing is judged.
    warm: bool,
    /// Left by rules that are no more, to be told once there is somebody to tell.
    pub(super) closing: Vec<Effect>,
    swept: i64,
    position: LogPosition,
    traffic: Traffic,
    stages: Arc<Stages>,
    /// The latest time it was told.
    latest: i64,
}

impl Core {
    pub(super) fn new(rules: Vec<Rule>, settings: &Settings, now: i64) -> Self {
        let horizon = horizon(&rules);
        let mut wanted: Vec<Key> = rules
            .iter()
            .filter(|rule| {
                rule.acts() && matches!(rule.when, When::Sql { .. } | When::Composite { .. })
            })
            .map(|rule| rule.key)
            .collect();
        wanted.sort_unstable_by_key(|key| key.as_str());
        wanted.dedup();
        let mut names: Vec<(Key, Names)> = Vec::new();
        let kind = |rule: &Rule| {
            let known = names.iter().position(|(key, _)| *key == rule.key);
            known.unwrap_or_else(|| {
                names.push((rule.key, Names::new(NAMES)));
                names.len() - 1
            })
        };
        Self {
            kinds: rules.iter().map(kind).collect(),
            names,
            workspace: settings.workspace.as_str().into(),
            watches: rules
                .into_iter()
                .map(|rule| Watch::new(rule, settings.keys, now))
                .collect(),
            once: Once::new(horizon, CHARGES),
            living: Living::new(wanted),
            guard: Guard::new(settings.blast_radius),
            view: Arc::default(),
            warm: false,
            closing: Vec::new(),
            swept: now,
            position: 0,
            traffic: Traffic::default(),
            stages: Arc::default(),
            latest: now,
        }
    }

    /// Times of what passes through.
    pub(super) fn stages(&self) -> &Arc<Stages> {
        &self.stages
    }

    pub(super) fn workspace(&self) -> &str {
        &self.workspace
    }

    /// How far back the windows reach, nanoseconds; none when no rule has one.
    pub(super) fn reach(&self) -> Option<i64> {
        let windows = self.watches.iter().filter_map(|w| w.rule.when.reach());
        windows.max()
    }

    /// Entries of the journal have come.
    pub(super) fn charges(
        &mut self,
        origin: Origin,
        entries: &EntryViews,
        now: i64,
    ) -> Vec<Effect> {
        let mut out = Vec::new();
        let rows: Vec<EntryView<'_>> = entries.iter().collect();
        let facts = rows.iter().map(|row| Fact::new(row, origin));
        let facts = facts.filter(|fact| fact.charge() || fact.reversal());
        // A correction is a reversal and a new charge at one moment, in either order: what is taken back
        // goes first, or the same call would count twice for an instant.
        let (back, rest): (Vec<_>, Vec<_>) =
            facts.partition(|fact| fact.reversal() && self.once.stands(fact.row.charge_id));
        let mut reversed: Vec<(usize, Fact<'_>)> = Vec::new();
        let workspace = Arc::clone(&self.workspace);
        let mut names: Vec<Option<Name<'_>>> = Vec::with_capacity(self.names.len());
        let mut concerned: Vec<usize> = Vec::with_capacity(self.watches.len());
        for fact in back.into_iter().chain(rest) {
            self.position = self
                .position
                .max(u64::try_from(fact.row.log_position).unwrap_or(0));
            if fact.reversal() {
                // What never counted, or has left the windows, cannot be taken out of them.
                if self.once.reverse(fact.row.charge_id) {
                    self.traffic.reversed += 1;
                    self.name(&fact, &workspace, &mut names);
                    self.concern(&fact, &names, &mut concerned);
                    for i in concerned.iter().copied() {
                        let key = names[self.kinds[i]];
                        let (watch, mut scene) = self.scene(i, now, &workspace, &mut out);
                        if watch.feed(&fact, key, true, false, &mut scene) {
                            reversed.push((i, fact));
                        }
                    }
                } else if fact.counts() {
                    // Where the tables are asked for sums, they know better.
                    for watch in &mut self.watches {
                        watch.doubt(&fact);
                    }
                }
                continue;
            }
            if origin != Origin::Import {
                self.learn(&fact);
            }
            if !fact.counts() {
                self.traffic.history += 1;
                continue;
            }
            let anew = self.once.enter(fact.row.charge_id, fact.received);
            self.traffic.counted += u64::from(anew);
            self.living.see(&fact, &self.workspace);
            let judge = origin == Origin::Live && self.warm;
            self.name(&fact, &workspace, &mut names);
            self.concern(&fact, &names, &mut concerned);
            for i in concerned.iter().copied() {
                let key = names[self.kinds[i]];
                let (watch, mut scene) = self.scene(i, now, &workspace, &mut out);
                watch.feed(&fact, key, anew, judge, &mut scene);
            }
        }
        if self.warm {
            for (i, fact) in reversed {
                let (watch, mut scene) = self.scene(i, now, &workspace, &mut out);
                if let Some(key) = fact.key(watch.rule.key, &workspace) {
                    watch.judge(key, &mut scene);
                }
            }
        }
        self.note(&out, now);
        out
    }

    /// The fact's keys, one for each kind that the rules have.
    fn name<'a>(&mut self, fact: &Fact<'a>, workspace: &'a str, out: &mut Vec<Option<Name<'a>>>) {
        out.clear();
        let kinds = self.names.iter_mut();
        out.extend(kinds.map(|(key, names)| Some(names.number(fact.key(*key, workspace)?))));
    }

    /// The rules that the fact concerns. What each knows of its key lies somewhere else in memory: all of it is
    /// asked for before the first is waited for.
    fn concern(&self, fact: &Fact<'_>, names: &[Option<Name<'_>>], out: &mut Vec<usize>) {
        out.clear();
        for (i, watch) in self.watches.iter().enumerate() {
            if watch.concerns(fact) {
                out.push(i);
                if let Some(key) = names[self.kinds[i]] {
                    watch.touch(key);
                }
            }
        }
    }

    fn scene<'a>(
        &'a mut self,
        i: usize,
        now: i64,
        workspace: &'a str,
        out: &'a mut Vec<Effect>,
    ) -> (&'a mut Watch, Scene<'a>) {
        let scene = Scene {
            now,
            workspace,
            guard: &mut self.guard,
            living: &self.living,
            view: &self.view,
            out,
        };
        (&mut self.watches[i], scene)
    }

    /// The log has come this far.
    pub(super) fn reached(&mut self, position: LogPosition) {
        self.position = self.position.max(position);
    }

    /// The windows are as full as they will be: from now on, what is in them is judged.
    pub(super) fn warmed(&mut self, now: i64) -> Vec<Effect> {
        self.warm = true;
        let mut out = std::mem::take(&mut self.closing);
        out.extend(self.tick(now));
        out
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: i64) -> Vec<Effect> {
        let mut out = Vec::new();
        self.latest = now;
        if !self.warm {
            return out;
        }
        let workspace = Arc::clone(&self.workspace);
        for i in 0..self.watches.len() {
            let (watch, mut scene) = self.scene(i, now, &workspace, &mut out);
            watch.tick(&mut scene);
        }
        self.compose(now, &workspace, &mut out);
        if now - self.swept >= SWEEP {
            self.swept = now;
            self.once.expire(now);
            self.living.expire(now);
            self.guard.expire(now);
            for watch in &mut self.watches {
                watch.sweep(&self.view, now);
            }
        }
        self.note(&out, now);
        out
    }

    /// Composites look at how the rules that they name stand.
    fn compose(&mut self, now: i64, workspace: &str, out: &mut Vec<Effect>) {
        for i in 0..self.watches.len() {
            let When::Composite { of, .. } = &self.watches[i].rule.when else {
                continue;
            };
            let mut firing: BTreeMap<String, i64> = BTreeMap::new();
            for member in self.watches.iter().filter(|w| of.contains(&w.rule.name)) {
                for (key, entry) in member.keys.iter() {
                    if entry.machine.state == State::Firing {
                        *firing.entry(key.to_owned()).or_default() += 1;
                    }
                }
            }
            let (watch, mut scene) = self.scene(i, now, workspace, out);
            watch.composed(&firing, &mut scene);
        }
    }

    /// The answer to a rule's query has come.
    pub(super) fn answered(
        &mut self,
        rule: &str,
        answer: Result<Vec<RecordBatch>, String>,
        now: i64,
    ) -> Vec<Effect> {
        let mut out = Vec::new();
        let workspace = Arc::clone(&self.workspace);
        if let Some(i) = self
            .watches
            .iter()
            .position(|watch| watch.rule.name == rule)
        {
            let (watch, mut scene) = self.scene(i, now, &workspace, &mut out);
            watch.answered(answer, &mut scene);
        }
        self.note(&out, now);
        out
    }

    /// What is in force has changed. Where it became milder, a person (or a lease that ran out) has
    /// forgiven what was: only what happens from now on may act there again.
    pub(super) fn viewed(&mut self, view: Arc<View>, now: i64) {
        let before = std::mem::replace(&mut self.view, view);
        for scope in scopes(&before) {
            if self.view.state_of(scope).severity() < before.state_of(scope).severity() {
                self.forgive(scope, now);
            }
        }
    }

    fn forgive(&mut self, scope: &Scope, now: i64) {
        self.guard.forget(scope);
        for watch in &mut self.watches {
            watch.limit_passed.forgive(scope);
            let rule = &watch.rule;
            for (_, entry) in watch.keys.iter_mut() {
                if entry.scope.as_ref() == Some(scope) {
                    entry.forgive(rule, now);
                }
            }
        }
    }

    /// An order could not be carried out: the next span of it may try again.
    pub(super) fn failed(&mut self, order: &Order, key: &str) {
        self.guard.forget(&order.scope);
        let rule = order.rule.as_deref();
        let watch = self
            .watches
            .iter_mut()
            .find(|watch| Some(watch.rule.name.as_str()) == rule);
        let Some(watch) = watch else {
            return;
        };
        if let Some(cause) = order.cause.as_ref().filter(|_| is_hard(&watch.rule)) {
            let received = cause.received_at_unix_nano;
            watch.limit_passed.unordered(key, &order.scope, received);
        }
        if let Some(entry) = watch.keys.get_mut(key)
            && let Some(id) = &order.action_id
            && let Some(place) = entry.ordered.iter().position(|o| o.action_id == *id)
        {
            entry.ordered.truncate(place);
        }
    }

    /// The alerts that are not over, with whom their rules tell; none before the windows are full.
    pub(super) fn standing(&self) -> Option<Vec<(Option<Vec<String>>, Notice)>> {
        let of = |watch: &Watch| {
            let to = watch.rule.notify.clone();
            let standing = watch.standing(&self.workspace).into_iter();
            standing
                .chain(watch.distrusted(&self.workspace))
                .map(move |notice| (to.clone(), notice))
                .collect::<Vec<_>>()
        };
        self.warm
            .then(|| self.watches.iter().flat_map(of).collect())
    }

    pub(super) fn save(&self, now: i64) -> Saved {
        let rules = self
            .watches
            .iter()
            .map(|w| (w.rule.name.clone(), w.save(&self.view, now)));
        let in_force = scopes(&self.view).map(|scope| SavedState {
            scope: scope.clone(),
            state: self.view.state_of(scope).clone(),
        });
        Saved {
            position: self.position,
            rules: rules.collect(),
            guard: self.guard.remember(),
            in_force: in_force.collect(),
            trust: self.trust(),
        }
    }

    pub(super) fn restore(&mut self, saved: Saved, view: Arc<View>, now: i64) {
        self.position = saved.position;
        self.guard.recall(saved.guard);
        self.recall(saved.trust, now);
        let mut rules: BTreeMap<_, _> = saved.rules;
        for watch in &mut self.watches {
            let by = watch.rule.key.as_str();
            if rules
                .get(&watch.rule.name)
                .is_some_and(|saved| saved.by == by)
                && let Some(saved) = rules.remove(&watch.rule.name)
            {
                watch.restore(saved, now);
            }
        }
        // What nobody watches any more is over, or it would stand as firing for ever.
        for (name, saved) in rules {
            self.closing
                .extend(words::gone(&name, &saved, now).map(|row| Effect::Alert(Box::new(row))));
        }
        self.view = view;
        self.unorder(&saved.in_force);
        for SavedState { scope, state } in saved.in_force {
            // Released while we were away.
            if self.view.state_of(&scope).severity() < state.severity() {
                self.forgive(&scope, now);
            }
        }
    }

    /// The rules that learn what no table has.
    pub(super) fn learners(&self) -> Vec<String> {
        let learners = self.watches.iter().filter(|watch| watch.basis().is_some());
        learners.map(|watch| watch.rule.name.clone()).collect()
    }

    /// What a rule knows by now.
    pub(super) fn knowledge(&self, rule: &str, now: i64) -> Option<Knowledge> {
        let watch = self.watches.iter().find(|watch| watch.rule.name == rule)?;
        watch.knowledge(now)
    }

    /// Takes over what a rule knew, before its windows are filled; whether it was about the same.
    pub(super) fn know(&mut self, rule: &str, knowledge: Knowledge, now: i64) -> bool {
        let watch = self
            .watches
            .iter_mut()
            .find(|watch| watch.rule.name == rule);
        watch.is_some_and(|watch| watch.know(knowledge, now))
    }

    /// Actions that were decided, but held neither when we stopped nor hold now, may never have reached
    /// control: the next span decides anew. Had one arrived after all, its id makes it the same order.
    fn unorder(&mut self, in_force: &[SavedState]) {
        let (view, guard) = (&self.view, &mut self.guard);
        // What is in shadow never comes into force.
        let watches = self.watches.iter_mut();
        for watch in watches.filter(|watch| watch.rule.mode == Mode::Enforce) {
            let actions: Vec<_> = watch.rule.actions().map(state_of).collect();
            for (_, entry) in watch.keys.iter_mut() {
                let Some(scope) = entry.scope.as_ref().filter(|_| !entry.ordered.is_empty()) else {
                    continue;
                };
                let held = in_force.iter().filter(|held| held.scope == *scope);
                let held = held.map(|held| held.state.severity()).max();
                let held = view
                    .state_of(scope)
                    .severity()
                    .max(held.unwrap_or_default());
                let arrived = actions.iter().take_while(|to| to.severity() <= held);
                let arrived = arrived.count();
                if entry.ordered.len() > arrived {
                    guard.forget(scope);
                    entry.ordered.truncate(arrived);
                }
            }
        }
    }

    pub(super) fn status(&self) -> Status {
        let rules = self.watches.iter().map(|watch| {
            let mut keys: Vec<_> = watch
                .keys
                .iter()
                .map(|(key, entry)| KeyStatus {
                    key: key.to_owned(),
                    state: entry.machine.state,
                    since_unix_nano: entry.machine.changed_at,
                    value: entry.value.map(|v| v.normalize().to_string()),
                    alert_id: entry.alert_id.clone(),
                    action_id: entry.ordered.last().map(|o| o.action_id.clone()),
                })
                .collect();
            keys.sort_by(|a, b| {
                (a.state == State::Ok, &a.key).cmp(&(b.state == State::Ok, &b.key))
            });
            keys.truncate(LISTED);
            RuleStatus {
                name: watch.rule.name.clone(),
                description: watch.rule.description.clone(),
                version: watch.version.clone(),
                severity: watch.rule.severity,
                mode: watch.rule.mode,
                standing: watch.stance(self.latest),
                key: watch.rule.key,
                condition: watch.rule.condition(),
                action: watch.rule.action.clone(),
                then: watch.rule.then.clone(),
                scope: watch.rule.scope,
                threshold: watch.rule.threshold.trigger.normalize().to_string(),
                health: watch.health.state,
                trouble: watch.trouble.clone(),
                watched: watch.keys.len(),
                overruns: is_hard(&watch.rule).then(|| watch.limit_passed.counts()),
                evicted: watch.keys.evicted,
                refused: watch.keys.refused,
                unkeyed: watch.unkeyed,
                keys,
            }
        });
        Status {
            workspace: self.workspace.to_string(),
            warm: self.warm,
            position: self.position,
            known_agents: self.living.known(),
            traffic: Traffic {
                forgotten: self.once.forgotten,
                ..self.traffic
            },
            rules: rules.collect(),
        }
    }
}

fn scopes(view: &View) -> impl Iterator<Item = &Scope> {
    view.entries.iter().map(|entry| &entry.scope)
}

fn horizon(rules: &[Rule]) -> i64 {
    let windows = rules.iter().filter_map(|rule| {
        let asks = rule.when.asks_history().then_some(history::HORIZON);
        rule.when.reach().max(asks)
    });
    // One bucket more, since a window may begin anywhere in its first one.
    windows.max().unwrap_or(0) + 10 * SECOND
}
