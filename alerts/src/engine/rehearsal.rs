//! The engine in a time of its caller's: charges in, alerts and orders out, and nothing else touched.
//!
//! It is the core that serves live, with its windows, state machines, guard and cool-downs; what differs is only who
//! says what time it is and who carries orders out. So a month passes in minutes, and whoever generates the traffic
//! can let it obey: take the orders, put them in force ([`Rehearsal::in_force`]), and go on.

use std::sync::Arc;

use arrow::array::RecordBatch;
use flyball_runtime::control::{Order, View};
use flyball_store::Origin;
use flyball_store::rows::AlertRow;

use super::core::Core;
use super::status::Status;
use super::{Effect, Settings};
use crate::fact::{EntryViews, FRESH};
use crate::notify::Notice;
use crate::rule::{Rule, SECOND};
use crate::window::bucket_of;
use crate::{Error, Result};

/// What follows from charges or from time, in the order in which the live engine would carry it out.
#[derive(Debug)]
pub enum Happening {
    /// Control is to do this. An order of a rule in shadow says so in its `mode`, and is to have no effect.
    Order(Box<Order>),
    /// An alert changed its state.
    Alert(Box<AlertRow>),
    /// People are to be told.
    Notice(Box<Notice>),
    /// The tables are asked; the answer goes to [`Rehearsal::answered`]. Without one, budgets and objectives go by
    /// what streamed in.
    Ask {
        /// For whom.
        rule: String,
        /// What.
        sql: String,
    },
}

/// The rules of one workspace at work on somebody else's clock.
#[derive(Debug)]
pub struct Rehearsal {
    pub(super) core: Core,
    /// The last whole second that was told to the core.
    pub(super) ticked: i64,
    /// How much time passes at a time.
    step: i64,
    /// What followed from the start itself, to be told first.
    begun: Vec<Effect>,
    /// From when on, without new data, time alone changes nothing any more.
    pub(super) still_at: i64,
    pub(super) settles: i64,
}

impl Rehearsal {
    /// As if the engine had been started at `start` (nanoseconds since 1970) with nothing before it. It judges from
    /// the first charge on, as the modes of the rules say.
    #[must_use]
    pub fn new(rules: Vec<Rule>, settings: &Settings, start: i64) -> Self {
        let mut new = Self::cold(rules, settings, start);
        new.begun = new.warmed(start);
        new
    }

    /// The same, with time passing in steps of so many seconds (1 to 60) in place of one, as it does live. What charges
    /// cause is not later for it; what time alone causes is, by less than a step.
    #[must_use]
    pub fn in_steps_of(mut self, seconds: u32) -> Self {
        self.step = i64::from(seconds.clamp(1, 60)) * SECOND;
        self
    }

    /// The same, but it judges nothing until it is [warm](Self::warmed).
    pub(super) fn cold(rules: Vec<Rule>, settings: &Settings, start: i64) -> Self {
        Self {
            settles: rules.iter().map(settles).max().unwrap_or(0),
            core: Core::new(rules, settings, start),
            ticked: start,
            step: SECOND,
            begun: Vec::new(),
            still_at: start,
        }
    }

    /// From now on it judges.
    pub(super) fn warmed(&mut self, now: i64) -> Vec<Effect> {
        self.still_at = now + self.settles;
        self.core.warmed(now)
    }

    /// Entries of the journal: a batch of [`ChargeRow`](flyball_store::rows::ChargeRow)'s schema, as the store sends
    /// them, known at `now`, which may not go back. The time before it must have [passed](Self::pass).
    ///
    /// # Errors
    /// [`Error::Entries`] when a column has another type than the journal's.
    pub fn charges(
        &mut self,
        origin: Origin,
        batch: &RecordBatch,
        now: i64,
    ) -> Result<Vec<Happening>> {
        let entries = EntryViews::of(batch).map_err(|e| Error::Entries {
            reason: e.to_string(),
        })?;
        Ok(told(self.entries(origin, &entries, now)))
    }

    pub(super) fn entries(
        &mut self,
        origin: Origin,
        entries: &EntryViews,
        now: i64,
    ) -> Vec<Effect> {
        self.still_at = now + self.settles;
        self.core.charges(origin, entries, now)
    }

    /// Time passes until `now`, second by second as long as that can change anything. It stops at the first second
    /// in which something happens, and answers which that was: what is ordered then can be in force before time goes
    /// on. None when it has passed.
    pub fn pass(&mut self, now: i64) -> Option<(i64, Vec<Happening>)> {
        let (at, effects) = self.until(now)?;
        Some((at, told(effects)))
    }

    pub(super) fn until(&mut self, now: i64) -> Option<(i64, Vec<Effect>)> {
        if !self.begun.is_empty() {
            return Some((self.ticked, std::mem::take(&mut self.begun)));
        }
        let last = now.div_euclid(self.step) * self.step;
        while self.ticked < last {
            let next = (self.ticked.div_euclid(self.step) + 1) * self.step;
            // What only forgets with time is told the end of a long silence, too.
            self.ticked = if next <= self.still_at { next } else { last };
            let effects = self.core.tick(self.ticked);
            if !effects.is_empty() {
                return Some((self.ticked, effects));
            }
        }
        None
    }

    /// What control has in force from `now` on. Where it became milder, what was is forgiven, as after a release.
    pub fn in_force(&mut self, view: Arc<View>, now: i64) {
        self.still_at = self.still_at.max(now + self.settles);
        self.core.viewed(view, now);
    }

    /// The tables answer what a rule asked.
    pub fn answered(
        &mut self,
        rule: &str,
        answer: std::result::Result<Vec<RecordBatch>, String>,
        now: i64,
    ) -> Vec<Happening> {
        told(self.core.answered(rule, answer, now))
    }

    /// How every rule and key stands.
    #[must_use]
    pub fn status(&self) -> Status {
        self.core.status()
    }
}

fn told(effects: Vec<Effect>) -> Vec<Happening> {
    let told = effects.into_iter().map(|effect| match effect {
        Effect::Order { order, .. } => Happening::Order(order),
        Effect::Alert(row) => Happening::Alert(row),
        Effect::Notice { notice, .. } => Happening::Notice(notice),
        Effect::Ask { rule, sql, .. } => Happening::Ask { rule, sql },
    });
    told.collect()
}

/// For how long after the last entry time alone can change anything: windows empty, what caused goes stale, holds
/// and cool-downs run out, one after the other.
fn settles(rule: &Rule) -> i64 {
    let window = rule.when.window();
    window
        + bucket_of(window)
        + FRESH
        + rule.hold
        + rule.keep_firing_for
        + 3 * rule.cool_down
        + SECOND
}
