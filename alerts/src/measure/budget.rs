//! What was spent since the period began.
//!
//! Two parts, told apart by one moment, the cut, that all keys of a rule share. What was received before it
//! is a sum that the tables gave (with every correction they know of); what was received since is kept by the
//! minute, as it streams in. When the tables are asked again, the cut moves on, and the minutes before it go.
//! So nothing is counted twice, and a month takes a number and a few dozen minutes.

use std::collections::VecDeque;

use chrono::{DateTime, SecondsFormat};
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::memory::SavedPardon;
use crate::rule::{Period, SECOND};

const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// Minutes kept. Should the tables not answer for a day, the oldest are added to what they said last.
const MINUTES: usize = 1_440;

/// What one key spent.
#[derive(Debug)]
pub(crate) struct Budget {
    per: Period,
    begin: i64,
    /// The hour of the last look at the calendar: every period begins with one.
    hour: i64,
    /// What the tables said.
    base: Decimal,
    /// Whether they were asked since this key is here.
    based: bool,
    /// (minute, US dollars), oldest first.
    recent: VecDeque<(i64, Decimal)>,
    recent_sum: Decimal,
    /// What a person has forgiven of this period.
    forgiven: Decimal,
    /// They did so before the tables had said how much that is.
    pardon: bool,
    last: i64,
}

impl Budget {
    pub(crate) fn new(per: Period) -> Self {
        Self {
            per,
            begin: 0,
            hour: i64::MIN,
            base: Decimal::ZERO,
            based: false,
            recent: VecDeque::new(),
            recent_sum: Decimal::ZERO,
            forgiven: Decimal::ZERO,
            pardon: false,
            last: i64::MIN,
        }
    }

    pub(crate) fn touch(&self) -> i64 {
        self.recent.back().map_or(0, |(minute, _)| *minute)
    }

    /// Adds what was received at `at`; what belongs to an earlier period is over.
    pub(crate) fn add(&mut self, at: i64, dollars: Decimal, now: i64) {
        self.turn(now);
        if at < self.begin {
            return;
        }
        self.last = self.last.max(at);
        self.recent_sum = self.recent_sum.saturating_add(dollars);
        let minute = at.div_euclid(MINUTE);
        match self.recent.iter().rposition(|(m, _)| *m <= minute) {
            Some(i) if self.recent[i].0 == minute => {
                self.recent[i].1 = self.recent[i].1.saturating_add(dollars);
            }
            Some(i) => self.recent.insert(i + 1, (minute, dollars)),
            None => self.recent.push_front((minute, dollars)),
        }
        if self.recent.len() > MINUTES
            && let Some((_, oldest)) = self.recent.pop_front()
        {
            self.recent_sum -= oldest;
            self.base = self.base.saturating_add(oldest);
        }
    }

    /// The tables say what was spent in this period before `cut` (a whole minute).
    pub(crate) fn rebase(&mut self, dollars: Decimal, cut: i64, now: i64) {
        self.turn(now);
        self.base = dollars;
        let first = cut.div_euclid(MINUTE);
        self.recent.retain(|(minute, _)| *minute >= first);
        self.recent_sum = self.recent.iter().map(|(_, dollars)| dollars).sum();
        if self.pardon {
            self.forgiven = self.base.saturating_add(self.recent_sum);
            self.pardon = false;
        }
        self.based = true;
        self.last = self.last.max(cut);
    }

    /// A new key, of which the tables would have spoken had it spent anything before.
    pub(crate) fn based(&mut self) {
        self.based = true;
    }

    pub(crate) fn value(&mut self, now: i64) -> Decimal {
        self.turn(now);
        if self.pardon {
            return Decimal::ZERO;
        }
        let spent = self.base.saturating_add(self.recent_sum);
        spent.saturating_sub(self.forgiven)
    }

    pub(crate) fn numbers(&mut self, now: i64) -> Value {
        let usd = self.value(now);
        let since = DateTime::from_timestamp_nanos(self.begin);
        let since = (self.per != Period::Execution)
            .then(|| since.to_rfc3339_opts(SecondsFormat::Secs, true));
        json!({
            "usd": usd.normalize().to_string(),
            "per": self.per.as_str(),
            "since": since,
            "forgiven_usd": self.forgiven.normalize().to_string(),
        })
    }

    /// Whether nothing was spent; of an execution, also whether it was idle for a day.
    pub(crate) fn is_empty(&mut self, now: i64) -> bool {
        self.turn(now);
        let idle = self.per == Period::Execution && now.saturating_sub(self.last) > DAY;
        idle || (self.base.is_zero() && self.recent_sum.is_zero() && self.recent.is_empty())
    }

    /// A person released the target: what was spent until now is forgiven, and the budget begins anew.
    pub(crate) fn forgive(&mut self) {
        self.forgiven = self.base.saturating_add(self.recent_sum);
        self.pardon = !self.based;
    }

    pub(crate) fn save(&self) -> Option<SavedPardon> {
        let forgave = !self.forgiven.is_zero() || self.pardon;
        forgave.then_some(SavedPardon {
            begin: self.begin,
            dollars: self.forgiven,
            all: self.pardon,
        })
    }

    pub(crate) fn restore(&mut self, saved: &SavedPardon, now: i64) {
        self.turn(now);
        if saved.begin == self.begin {
            self.forgiven = saved.dollars;
            self.pardon = saved.all;
        }
    }

    /// Begins anew when a period is over.
    fn turn(&mut self, now: i64) {
        let hour = now.div_euclid(HOUR);
        if hour <= self.hour {
            return;
        }
        self.hour = hour;
        let begin = self.per.begin(now);
        if begin <= self.begin {
            return;
        }
        self.begin = begin;
        self.base = Decimal::ZERO;
        self.recent.retain(|(minute, _)| *minute * MINUTE >= begin);
        self.recent_sum = self.recent.iter().map(|(_, dollars)| dollars).sum();
        self.forgiven = Decimal::ZERO;
        self.pardon = false;
    }
}
