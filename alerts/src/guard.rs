//! Whether a rule that fires may act: cool-down, what holds already, and how much may be touched.

use std::collections::BTreeSet;

use flyball_runtime::control::{Mode, Scope, State, View};
use flyball_store::hashed::HashMap;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::living::Living;
use crate::rule::{Action, Rule, SECOND};

/// How much automatic freezes may touch before a person has to decide.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BlastRadius {
    /// Share of the known agents, in percent.
    pub percent: u32,
    /// So many may always be frozen, however few are known.
    pub at_least: usize,
    /// Within how long, nanoseconds.
    pub window: i64,
}

impl Default for BlastRadius {
    /// A tenth of the agents, but at least one, in ten minutes.
    fn default() -> Self {
        Self {
            percent: 10,
            at_least: 1,
            window: 600 * SECOND,
        }
    }
}

impl BlastRadius {
    fn cap(&self, known: usize) -> usize {
        let share = known.saturating_mul(self.percent as usize) / 100;
        share.max(self.at_least)
    }
}

/// Who wishes to act, and on whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish<'a> {
    pub(crate) rule: &'a Rule,
    /// Which of its actions; 0 is the first.
    pub(crate) rung: usize,
    pub(crate) scope: &'a Scope,
    /// Whose agent that is, where that is known.
    pub(crate) agent: Option<&'a str>,
}

/// What became of a wish to act.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    /// Do it.
    Act,
    /// Something as severe holds already.
    Holds(String),
    /// Not now: why, and when it may be asked again.
    Withheld { why: String, until: i64 },
}

/// An agent touched by a freeze.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Touched {
    agent: String,
    /// The scope of the freeze; unknown in what older versions saved.
    #[serde(default)]
    scope: Option<Scope>,
    at: i64,
}

/// A target that rests.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Resting {
    rule: String,
    scope: Scope,
    until: i64,
}

/// What the guard must not forget over a restart.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Remembered {
    touched: Vec<Touched>,
    resting: Vec<Resting>,
}

/// The guard.
#[derive(Debug)]
pub(crate) struct Guard {
    blast: BlastRadius,
    /// Until when a rule leaves a target alone.
    resting: HashMap<(String, Scope), i64>,
    /// Agents that were frozen, by which freeze, and when.
    touched: HashMap<(Option<Scope>, String), i64>,
}

impl Guard {
    pub(crate) fn new(blast: BlastRadius) -> Self {
        Self {
            blast,
            resting: HashMap::default(),
            touched: HashMap::default(),
        }
    }

    /// Judges a wish for a rung of a rule; when the answer is to act, it is noted as done. A further rung of what was
    /// done does not wait for the cool-down: it says itself how long it waits.
    pub(crate) fn judge(
        &mut self,
        wish: &Wish<'_>,
        living: &Living,
        view: &View,
        now: i64,
    ) -> Verdict {
        let Wish {
            rule,
            rung,
            scope,
            agent,
        } = *wish;
        let key = (rule.name.clone(), scope.clone());
        let resting = self.resting.get(&key).copied().filter(|_| rung == 0);
        if let Some(until) = resting.filter(|until| *until > now) {
            let why = format!(
                "this rule acted on {} less than a cool-down ago",
                spell(scope)
            );
            return Verdict::Withheld { why, until };
        }
        let state = rule.actions().nth(rung).map_or(State::Running, state_of);
        let there = view.state_of(scope);
        if there.severity() >= state.severity() {
            return Verdict::Holds(format!("{} is {} already", spell(scope), there.name()));
        }
        if state == State::Frozen && rule.mode == Mode::Enforce {
            self.touched.retain(|_, at| now - *at < self.blast.window);
            let touched = living.under(scope, agent);
            let all: BTreeSet<&str> = self
                .touched
                .keys()
                .map(|(_, agent)| agent.as_str())
                .chain(touched.iter().map(String::as_str))
                .collect();
            let cap = self.blast.cap(living.known());
            if all.len() > cap {
                let why = format!(
                    "freezing {} would make {} agents frozen automatically within {}, and the cap is {cap} of {} \
                     known; a person has to decide",
                    spell(scope),
                    all.len(),
                    crate::rule::spoken(self.blast.window),
                    living.known(),
                );
                return Verdict::Withheld {
                    why,
                    until: now + rule.cool_down,
                };
            }
            let touched = touched.into_iter();
            self.touched
                .extend(touched.map(|agent| ((Some(scope.clone()), agent), now)));
        }
        self.resting.insert(key, now + rule.cool_down);
        Verdict::Act
    }

    /// Somebody released the scope, or the order failed: rules may act on it again, and it takes up none of
    /// what may be frozen.
    pub(crate) fn forget(&mut self, scope: &Scope) {
        self.resting.retain(|(_, resting), _| resting != scope);
        self.touched
            .retain(|(frozen, _), _| frozen.as_ref() != Some(scope));
    }

    /// A rule that acted in shadow acts for real from now on: what it had wished for is still to be done.
    pub(crate) fn rouse(&mut self, rule: &str) {
        self.resting.retain(|(resting, _), _| resting != rule);
    }

    pub(crate) fn expire(&mut self, now: i64) {
        self.resting.retain(|_, until| *until > now);
        self.touched.retain(|_, at| now - *at < self.blast.window);
    }

    pub(crate) fn remember(&self) -> Remembered {
        let resting = self.resting.iter().map(|((rule, scope), until)| Resting {
            rule: rule.clone(),
            scope: scope.clone(),
            until: *until,
        });
        let touched = self.touched.iter().map(|((scope, agent), at)| Touched {
            agent: agent.clone(),
            scope: scope.clone(),
            at: *at,
        });
        Remembered {
            touched: touched.collect(),
            resting: resting.collect(),
        }
    }

    pub(crate) fn recall(&mut self, remembered: Remembered) {
        let resting = remembered
            .resting
            .into_iter()
            .map(|r| ((r.rule, r.scope), r.until));
        self.resting.extend(resting);
        let touched = remembered.touched.into_iter();
        self.touched
            .extend(touched.map(|t| ((t.scope, t.agent), t.at)));
    }
}

/// The control state that an action asks for.
pub(crate) fn state_of(action: &Action) -> State {
    match action {
        Action::Notify => State::Running,
        Action::Throttle { calls_per_minute } => State::Throttled {
            calls_per_minute: *calls_per_minute,
        },
        Action::Degrade {
            tier,
            read_only,
            plan_depth,
        } => State::Degraded {
            tier: tier.clone(),
            read_only: *read_only,
            plan_depth: *plan_depth,
        },
        Action::Freeze => State::Frozen,
    }
}

/// `agent triage`.
pub(crate) fn spell(scope: &Scope) -> String {
    format!("{} {}", scope.name(), scope.target())
        .trim_end()
        .to_owned()
}

/// The same rung of the same rule, in the same version, on the same target, in the same window, is the same action.
pub(crate) fn action_id(
    rule: &Rule,
    rung: usize,
    version: &str,
    scope: &Scope,
    window_start: i64,
) -> String {
    let (start, further) = (window_start.to_string(), rung.to_string());
    let mut words = vec![
        rule.name.as_str(),
        version,
        scope.name(),
        scope.target(),
        &start,
    ];
    // The first one's id is older than rungs are.
    if rung > 0 {
        words.push(&further);
    }
    digest(&words)
}

/// 32 hex digits over some words.
pub(crate) fn digest(words: &[&str]) -> String {
    let mut hash = Sha256::new();
    for word in words {
        // Each with its length, so that no two lists read the same.
        hash.update((word.len() as u64).to_be_bytes());
        hash.update(word);
    }
    hex::encode(&hash.finalize()[..16])
}
