//! One alert: what is measured for one key of one rule, and where its state machine stands.

use flyball_runtime::control::{Scope, State as Control, View};
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::fact::{FRESH, Fact, Sighting, SpanRef};
use crate::measure::Measure;
use crate::memory::{Ordered, SavedKey};
use crate::rule::{Key, Rule, SECOND, Target};
use crate::state::{Machine, State};
use crate::window::Worth;

/// Spans kept for evidence.
const SHOWN: usize = 5;
/// No window but a budget's reaches back further: what was forgiven before has left them, nanoseconds.
const FORGIVEN: i64 = 73 * 3_600 * SECOND;

/// The last few spans, oldest first.
#[derive(Debug, Default)]
struct Recent {
    spans: [SpanRef; SHOWN],
    seen: usize,
}

impl Recent {
    fn push(&mut self, span: SpanRef) {
        self.spans[self.seen % SHOWN] = span;
        // Stays between one and two rounds: enough to know that it is full, and where the next one goes.
        self.seen += 1;
        if self.seen == 2 * SHOWN {
            self.seen = SHOWN;
        }
    }

    fn list(&self) -> Vec<SpanRef> {
        let from = if self.seen < SHOWN {
            0
        } else {
            self.seen % SHOWN
        };
        let round = (0..self.seen.min(SHOWN)).map(|i| self.spans[(from + i) % SHOWN]);
        round.collect()
    }
}

/// State of one key.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) measure: Measure,
    pub(super) machine: Machine,
    /// The value that was judged last.
    pub(super) value: Option<Decimal>,
    /// From leaving ok to being ok again.
    pub(super) alert_id: Option<String>,
    /// What was ordered in this episode, a rung each.
    pub(super) ordered: Vec<Ordered>,
    /// Does not try to act before.
    pub(super) resting_until: i64,
    /// A person released the target then: what was known by then is forgiven.
    pub(super) forgiven_until: i64,
    /// After a release, a rule without a window of its own must be well once before it acts, or wait until then.
    pub(super) wants_calm_until: i64,
    /// The last live span that was counted.
    pub(super) sighting: Option<Sighting>,
    /// Whom an action would be about, and whose agent that is.
    pub(super) scope: Option<Scope>,
    pub(super) agent: Option<Box<str>>,
    /// Whether something came that was not judged yet.
    pub(super) stirred: bool,
    recent: Recent,
    fed: i64,
}

impl Entry {
    pub(super) fn new(rule: &Rule, now: i64) -> Self {
        Self {
            measure: Measure::new(&rule.when),
            machine: Machine::default(),
            value: None,
            alert_id: None,
            ordered: Vec::new(),
            resting_until: 0,
            forgiven_until: 0,
            wants_calm_until: 0,
            sighting: None,
            scope: None,
            agent: None,
            stirred: true,
            recent: Recent::default(),
            fed: now,
        }
    }

    /// Takes a fact in; `anew` when it was not counted before.
    pub(super) fn feed(&mut self, fact: &Fact<'_>, rule: &Rule, anew: bool, now: i64) {
        let forgiven = fact.ended.min(fact.received) < self.forgiven_until;
        if forgiven && !self.measure.keeps_pardons() {
            return;
        }
        self.fed = now;
        self.stirred = true;
        if anew {
            self.measure.add(fact, now);
            if let Some(span) = fact.span().filter(|_| fact.charge()) {
                self.recent.push(span);
            }
        }
        if !self.measure.blames(fact) {
            return;
        }
        let sighting = fact.sighting();
        // What is read again was live once, and the last of it was what it was about.
        let again = fact.replayed() && self.sighting.is_none();
        if let Some(target) = rule.scope
            && (sighting.is_some() || self.scope.is_none() || again)
        {
            self.aim(fact, target, rule.key);
        }
        self.sighting = sighting.or(self.sighting);
    }

    /// Remembers whom an action would be about; allocates only when that changes. What the key itself says
    /// never does.
    fn aim(&mut self, fact: &Fact<'_>, target: Target, by: Key) {
        if self.scope.is_none() || target.key() != by {
            let name = fact.key(target.key(), "");
            if self.scope.as_ref().map(Scope::target) != name {
                self.scope = fact.scope(target);
            }
        }
        if self.agent.is_none() || by != Key::Agent {
            let agent = fact.key(Key::Agent, "");
            if self.agent.as_deref() != agent {
                self.agent = agent.map(Into::into);
            }
        }
    }

    /// Whether nothing is going on, and time alone changes nothing of that: what came was judged and can only fall by
    /// itself.
    pub(super) fn rests(&self) -> bool {
        self.machine.at_rest() && !self.stirred && self.measure.only_falls()
    }

    /// Numbers from all over it, so that the processor fetches them.
    pub(super) fn touch(&self) -> i64 {
        let held = self.machine.last ^ self.forgiven_until ^ self.fed;
        let held = held ^ self.measure.touch() ^ self.recent.seen as i64;
        held ^ self.sighting.map_or(0, |sighting| sighting.received)
    }

    /// The numbers and spans behind the value, for the record.
    pub(super) fn evidence(&mut self, rule: &Rule, now: i64) -> Value {
        let spans = self
            .measure
            .spans(now)
            .unwrap_or_else(|| self.recent.list());
        let spans: Vec<_> = spans.into_iter().map(SpanRef::name).collect();
        json!({
            "measure": rule.when.as_str(),
            "value": self.value.map(|v| v.normalize().to_string()),
            "threshold": rule.threshold.trigger.normalize().to_string(),
            "recovers_at": rule.threshold.recover.normalize().to_string(),
            "window": rule.when.within(),
            "numbers": self.measure.numbers(now),
            "spans": spans,
        })
    }

    /// A person released the target: only what is new may act again.
    pub(super) fn forgive(&mut self, rule: &Rule, now: i64) {
        self.measure.clear(now);
        self.recent = Recent::default();
        self.ordered.clear();
        self.resting_until = 0;
        self.forgiven_until = now;
        if matches!(self.measure, Measure::Told(_)) {
            self.wants_calm_until = now + rule.cool_down;
        }
    }

    /// Whether it may go. A change of state is remembered for a cool-down, or a key that was swept away in between
    /// could change more often than it may; a release, for as long as what was known by then can still come in.
    pub(super) fn worth(&mut self, rule: &Rule, now: i64) -> Worth {
        let changed = self.machine.changed_at;
        let busy = self.machine.state != State::Ok
            || changed.is_some_and(|at| now - at < rule.cool_down)
            || now - self.forgiven_until < rule.when.window().max(FRESH)
            || !self.ordered.is_empty()
            || self.resting_until.max(self.wants_calm_until) > now;
        if busy {
            Worth::Keep
        } else if self.measure.is_empty(now) && self.machine.at_rest() {
            Worth::Nothing
        } else {
            Worth::Since(self.fed)
        }
    }

    /// Whether something is in force on whom it is about: its release is yet to be heard of.
    pub(super) fn held(&self, view: &View) -> bool {
        let state = self.scope.as_ref().map(|scope| view.state_of(scope));
        state.is_some_and(|state| *state != Control::Running)
    }

    /// What must survive a restart; none when nothing is going on.
    pub(super) fn save(&self, view: &View, now: i64) -> Option<SavedKey> {
        let tools = self.measure.tools();
        let forgets = self.resting_until.max(self.wants_calm_until) <= now
            && now - self.forgiven_until > FORGIVEN;
        if self.machine.at_rest()
            && self.machine.changed_at.is_none()
            && self.ordered.is_empty()
            && self.measure.save().is_none()
            && tools.is_none()
            && !self.held(view)
            && forgets
        {
            return None;
        }
        Some(SavedKey {
            machine: self.machine,
            value: self.value,
            alert_id: self.alert_id.clone(),
            acted: None,
            ordered: self.ordered.clone(),
            resting_until: self.resting_until,
            forgiven_until: self.forgiven_until,
            wants_calm_until: self.wants_calm_until,
            scope: self.scope.clone(),
            pardon: self.measure.save(),
            tools,
        })
    }

    pub(super) fn restore(&mut self, saved: SavedKey, now: i64) {
        self.measure.restore(&saved, now);
        self.machine = saved.machine;
        self.value = saved.value;
        self.alert_id = saved.alert_id;
        // Older versions saved the first alone, without its time.
        let at = self.machine.changed_at.unwrap_or(now);
        let first = saved.acted.map(|action_id| Ordered { action_id, at });
        self.ordered = saved.ordered;
        if self.ordered.is_empty() {
            self.ordered.extend(first);
        }
        self.resting_until = saved.resting_until;
        self.forgiven_until = saved.forgiven_until;
        self.wants_calm_until = saved.wants_calm_until;
        self.scope = saved.scope;
    }
}
