//! The same tool, called with the same input, ending the same way, again and again while nothing changes.
//!
//! What tells a loop from an agent that works is whether anything is new. A call with a tool and input that
//! the agent has not shown within the window is new, and so is one whose input nobody knows: both end every
//! run of that agent, so that taking a screenshot before each click on another place is no run, while
//! A-B-A-B still makes two. A call that reports progress (`flyball.progress` above 0: the distance to the
//! goal became shorter), be it of a tool or a model, ends every run of the key. Calls are kept apart by
//! outcome, so that a retry that comes through in the end is a change and not a repetition.
//!
//! Equal calls alone do not make a runaway: waiting looks the same. So a rule may demand a [`Proof`]. A loop
//! asks its model before each repeat, while a poll in code asks none (`model_decided`). And it is either
//! faster than anybody polls (`pace`, by the times at which calls ended, since spans arrive in bundles) or
//! it costs money that waiting does not (`spend`). A poll that a model decides on each time for a tenth of a
//! cent is neither.
//!
//! Each agent under a key is judged for itself: that one of them thinks does not make another's poll a loop.

mod trail;

use flyball_store::rows::Kind;
use serde_json::{Value, json};

use self::trail::{Run, Trail, ended};
use crate::fact::{Fact, SpanRef};
use crate::rule::{Key, Proof};

/// Agents kept for one key; the one that was idle longest makes room.
const AGENTS: usize = 16;
/// Spans shown as evidence.
const SHOWN: usize = 5;

/// The runs of one key.
#[derive(Debug)]
pub(crate) struct Repeats {
    window: i64,
    proof: Proof,
    trails: Vec<Trail>,
}

impl Repeats {
    pub(crate) fn new(window: i64, proof: Proof) -> Self {
        Self {
            window,
            proof,
            trails: Vec::new(),
        }
    }

    pub(crate) fn touch(&self) -> i64 {
        self.trails.first().map_or(0, |trail| trail.fed)
    }

    pub(crate) fn add(&mut self, fact: &Fact<'_>, now: i64) {
        if fact.reversal() {
            for trail in &mut self.trails {
                trail.take_back(fact.row.charge_id);
            }
            return;
        }
        if fact.progressed() {
            for trail in &mut self.trails {
                trail.change(ended(fact));
            }
            return;
        }
        self.expire(now);
        let agent = fact.key(Key::Agent, "");
        let known = self.trails.iter().position(|t| t.agent.as_deref() == agent);
        let at = known.unwrap_or_else(|| {
            if self.trails.len() >= AGENTS {
                self.drop_idlest();
            }
            self.trails.push(Trail::new(agent));
            self.trails.len() - 1
        });
        let trail = &mut self.trails[at];
        trail.fed = trail.fed.max(fact.received);
        if fact.kind(Kind::ModelCall) {
            trail.model(fact);
        } else {
            trail.call(fact);
        }
    }

    /// Length of the longest run that shows what it must.
    pub(crate) fn most(&mut self, now: i64) -> usize {
        self.expire(now);
        self.longest().map_or(0, |(length, ..)| length)
    }

    /// Whether nothing is remembered, not even what was seen before.
    pub(crate) fn is_empty(&mut self, now: i64) -> bool {
        self.expire(now);
        self.trails.is_empty()
    }

    /// Whether the fact is of the agent whose run is the longest.
    pub(crate) fn blames(&self, fact: &Fact<'_>) -> bool {
        let agent = fact.key(Key::Agent, "");
        self.longest()
            .is_some_and(|(_, trail, _)| trail.agent.as_deref() == agent)
    }

    pub(crate) fn numbers(&mut self, now: i64) -> Value {
        self.expire(now);
        match self.longest() {
            None => json!({ "calls": 0 }),
            Some((_, trail, run)) => json!({
                "tool": run.tool,
                "input_hash": run.input,
                "outcome": run.outcome.as_deref().unwrap_or("success"),
                "calls": run.len(),
                "model_calls": trail.model_calls(),
                "usd": trail.spent().normalize().to_string(),
            }),
        }
    }

    /// The last few calls of the longest run.
    pub(crate) fn spans(&mut self, now: i64) -> Vec<SpanRef> {
        self.expire(now);
        self.longest()
            .map_or_else(Vec::new, |(_, _, run)| run.spans(SHOWN))
    }

    pub(crate) fn clear(&mut self) {
        self.trails.clear();
    }

    fn longest(&self) -> Option<(usize, &Trail, &Run)> {
        let runs = self.trails.iter().filter_map(|trail| {
            let (length, run) = trail.longest(&self.proof)?;
            Some((length, trail, run))
        });
        runs.max_by_key(|(length, _, run)| (*length, run.len()))
    }

    fn expire(&mut self, now: i64) {
        let first = now - self.window;
        for trail in &mut self.trails {
            trail.expire(first);
        }
        self.trails.retain(|trail| !trail.is_empty());
    }

    fn drop_idlest(&mut self) {
        if let Some(at) = (0..self.trails.len()).min_by_key(|i| self.trails[*i].fed) {
            self.trails.swap_remove(at);
        }
    }
}
