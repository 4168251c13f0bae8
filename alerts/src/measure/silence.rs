//! How long nothing was heard of a key, while others were heard.
//!
//! Silence is told from our own deafness by the clock it is measured with: [`Hearing`] goes on only while
//! anything at all arrives, and a pause in everything counts for a third of the limit at most. It begins with
//! the process, so that no key is missed for the time in which we were not there.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::hours::{Hours, KnownHours};
use crate::rule::SECOND;

/// Who was silent for so long is gone, and no longer missed: a day, and of whom the hours of the week are known, nine.
const GONE: i64 = 86_400 * SECOND;
const GONE_OF_HOURS: i64 = 9 * GONE;

/// A clock that goes while anything is heard.
#[derive(Debug)]
pub(crate) struct Hearing {
    limit: i64,
    /// What it showed when something was heard last, and when that was.
    shown: i64,
    heard: i64,
}

impl Hearing {
    /// Begins at `now`; `limit` is the silence that is too long for a key, nanoseconds.
    pub(crate) fn new(limit: i64, now: i64) -> Self {
        Self {
            limit,
            shown: 0,
            heard: now,
        }
    }

    /// Something was heard.
    pub(crate) fn hear(&mut self, now: i64) {
        self.shown = self.at(now);
        self.heard = self.heard.max(now);
    }

    /// What it shows.
    pub(crate) fn at(&self, now: i64) -> i64 {
        self.shown + (now - self.heard).clamp(0, self.limit / 3)
    }

    /// Whether nothing at all was heard for as long as a key may be silent.
    pub(crate) fn deaf(&self, now: i64) -> bool {
        now - self.heard >= self.limit
    }
}

/// The silence of one key, by that clock.
#[derive(Debug)]
pub(crate) struct Silence {
    silent_for: i64,
    min_calls: u32,
    calls: u32,
    last: Option<i64>,
    silent: i64,
    /// The hours in which it is usually heard, where a rule learns them.
    hours: Option<Box<Hours>>,
}

impl Silence {
    pub(crate) fn new(silent_for: i64, min_calls: u32, learn: Option<u32>) -> Self {
        Self {
            silent_for,
            min_calls,
            calls: 0,
            last: None,
            silent: 0,
            hours: learn.map(|weeks| Box::new(Hours::new(weeks))),
        }
    }

    pub(crate) fn known(&self) -> Option<KnownHours> {
        self.hours.as_ref()?.known(self.silent)
    }

    pub(crate) fn know(&mut self, known: KnownHours, gap: bool, now: i64) {
        let Some(hours) = &mut self.hours else {
            return;
        };
        // Whose alert was not over stays missed until it is heard; the silence of all others goes on, or begins with us.
        if !gap {
            self.silent = known.silent();
            self.last = Some(-self.silent);
        } else if self.calls == 0 {
            self.last = Some(0);
        }
        hours.know(known, gap, now);
    }

    /// Nothing new until `now` by that clock, and `at` by the calendar.
    pub(crate) fn pass(&mut self, now: i64, at: i64) {
        if let (Some(hours), Some(last)) = (&mut self.hours, self.last) {
            hours.miss(now - last - self.silent, at);
            self.silent = now - last;
        }
    }

    /// Heard now, by that clock; received `at`, by the calendar.
    pub(crate) fn add(&mut self, at: i64, again: bool, now: i64) {
        if let Some(hours) = &mut self.hours {
            if again && hours.counted(at) {
                return;
            }
            hours.hear(at);
        }
        let long = self.last.is_some_and(|last| now - last >= self.silent_for);
        if long && self.calls < self.min_calls {
            self.calls = 0;
        }
        self.calls = self.calls.saturating_add(1);
        self.last = Some(now);
        self.silent = 0;
    }

    /// Seconds since it was heard; none of those who were not heard often enough to be missed.
    pub(crate) fn value(&mut self, now: i64) -> Option<Decimal> {
        self.silent = now - self.last?;
        if self.silent > self.gone() {
            return Some(Decimal::ZERO);
        }
        let silent = Decimal::from(self.silent / SECOND);
        match &self.hours {
            Some(hours) if !hours.learnt() => None,
            Some(hours) if hours.unlikely() => Some(silent),
            Some(_) => Some(Decimal::ZERO),
            None => (self.calls >= self.min_calls).then_some(silent),
        }
    }

    fn gone(&self) -> i64 {
        if self.hours.is_some() {
            GONE_OF_HOURS
        } else {
            GONE
        }
    }

    pub(crate) fn numbers(&self) -> Value {
        let mut numbers = json!({ "silent_s": self.silent / SECOND, "calls_before": self.calls });
        if let Some(hours) = &self.hours {
            numbers["rarity"] = format!("{:.1}", hours.rarity()).into();
        }
        numbers
    }

    pub(crate) fn is_empty(&self) -> bool {
        if let Some(hours) = &self.hours {
            // What was kept is known before it is heard again.
            return !hours.begun() || self.silent > GONE_OF_HOURS;
        }
        let unknown = self.calls < self.min_calls && self.silent >= self.silent_for;
        self.last.is_none() || unknown || self.silent > GONE
    }

    /// It was missed before a restart: being heard once ends that.
    pub(crate) fn missed(&mut self) {
        self.calls = self.min_calls;
    }
}
