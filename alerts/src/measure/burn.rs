//! How fast the error budget of a service level burns, in each pair of windows.

use std::collections::VecDeque;

use flyball_store::rows::Kind;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::Tally;
use crate::fact::Fact;
use crate::rule::{Aim, BurnWindow, Calls, Objective, SECOND, burn_bucket, spoken};
use crate::window::{Ring, Sum as _};

const MINUTE: i64 = 60 * SECOND;
/// With fewer bad calls in the long window, a pair never fires: one of twenty is 5 of a hundred.
const LEAST_BAD: i64 = 5;
/// Minutes kept beside the rings, since the tables told last.
const MINUTES: usize = 120;

impl Aim {
    /// Whether a fact is bad; none when it is not what is counted.
    pub(crate) fn bad(self, fact: &Fact<'_>) -> Option<bool> {
        match self {
            Self::Success => {
                let how = fact.row.termination.filter(|_| fact.kind(Kind::Execution));
                how.map(|how| how != "success")
            }
            Self::NoError(calls) => fact.call(calls).then(|| fact.row.error_type.is_some()),
            Self::Latency { under } => {
                let long = fact.row.duration_ns.filter(|_| fact.call(Calls::Model));
                long.map(|long| long > under)
            }
        }
    }
}

#[derive(Debug)]
struct Pair {
    window: BurnWindow,
    short: Ring<Tally>,
    long: Ring<Tally>,
}

/// The windows of one key. What all pairs hold together is bounded by their buckets: 72 for the longest.
#[derive(Debug)]
pub(crate) struct Burn {
    aim: Aim,
    budget: Decimal,
    min_calls: i64,
    pairs: Vec<Pair>,
    /// (minute, calls) that the tables have not told of, oldest first.
    recent: VecDeque<(i64, Tally)>,
    /// What was received before is forgiven.
    forgiven: i64,
}

impl Burn {
    pub(crate) fn new(objective: &Objective) -> Self {
        let ring = |length| Ring::by(burn_bucket(length), length);
        let pairs = objective.windows.iter().map(|window| Pair {
            window: *window,
            short: ring(window.short),
            long: ring(window.long),
        });
        Self {
            aim: objective.aim,
            budget: objective.budget(),
            min_calls: i64::from(objective.min_calls),
            pairs: pairs.collect(),
            recent: VecDeque::new(),
            forgiven: i64::MIN,
        }
    }

    pub(crate) fn touch(&self) -> i64 {
        let pairs = self.pairs.iter();
        let held = pairs.fold(0, |held, pair| {
            held ^ pair.short.touch() ^ pair.long.touch()
        });
        held ^ self.recent.back().map_or(0, |(minute, _)| *minute)
    }

    pub(crate) fn add(&mut self, fact: &Fact<'_>, now: i64) {
        if let Some(bad) = self.aim.bad(fact) {
            let sign = fact.sign();
            let tally = Tally {
                calls: sign,
                failed: if bad { sign } else { 0 },
            };
            self.count(fact.received, tally, now);
            let minute = fact.received.div_euclid(MINUTE);
            match self.recent.iter().rposition(|(m, _)| *m <= minute) {
                Some(i) if self.recent[i].0 == minute => {
                    self.recent[i].1 = self.recent[i].1.plus(tally);
                }
                Some(i) => self.recent.insert(i + 1, (minute, tally)),
                None => self.recent.push_front((minute, tally)),
            }
            if self.recent.len() > MINUTES {
                self.recent.pop_front();
            }
        }
    }

    /// The tables say what was received before the cut (a whole minute), by steps of time.
    pub(crate) fn rebase(&mut self, told: impl Iterator<Item = (i64, Tally)>, cut: i64, now: i64) {
        for pair in &mut self.pairs {
            pair.short.clear();
            pair.long.clear();
        }
        for (at, tally) in told {
            self.count(at, tally, now);
        }
        self.recent.retain(|(minute, _)| minute * MINUTE >= cut);
        for (minute, tally) in self.recent.clone() {
            self.count(minute * MINUTE, tally, now);
        }
    }

    /// Calls that were received at `at`, or in a step of time that began then.
    fn count(&mut self, at: i64, tally: Tally, now: i64) {
        if at < self.forgiven {
            return;
        }
        for pair in &mut self.pairs {
            pair.short.add(at, tally, now);
            pair.long.add(at, tally, now);
        }
    }

    /// Of the pair that is nearest to firing: how many times as fast as its factor. None without enough calls.
    pub(crate) fn value(&mut self, now: i64) -> Option<Decimal> {
        let (budget, least) = (self.budget, self.min_calls);
        let ratios = self.pairs.iter_mut().filter_map(|pair| {
            let (short, long) = (pair.short.sum(now), pair.long.sum(now));
            if long.calls < least {
                return None;
            }
            if long.failed < LEAST_BAD {
                return Some(Decimal::ZERO);
            }
            let slower = burn(short, budget)?.min(burn(long, budget)?);
            slower.checked_div(pair.window.factor)
        });
        ratios.max().map(|ratio| ratio.round_dp(6))
    }

    pub(crate) fn numbers(&mut self, now: i64) -> Value {
        let budget = self.budget;
        let pairs = self.pairs.iter_mut().map(|pair| {
            let (short, long) = (pair.short.sum(now), pair.long.sum(now));
            let rate = |tally| burn(tally, budget).map(|b| b.round_dp(3).normalize().to_string());
            json!({
                "short": spoken(pair.window.short),
                "long": spoken(pair.window.long),
                "factor": pair.window.factor.normalize().to_string(),
                "burns_short": rate(short),
                "burns_long": rate(long),
                "bad_short": short.failed,
                "of_short": short.calls,
                "bad_long": long.failed,
                "of_long": long.calls,
            })
        });
        json!({ "pairs": pairs.collect::<Vec<_>>() })
    }

    pub(crate) fn is_empty(&mut self, now: i64) -> bool {
        self.pairs.iter_mut().all(|pair| pair.long.is_empty(now))
    }

    /// A person released the target: what was received until then is forgiven.
    pub(crate) fn forgive(&mut self, until: i64) {
        self.forgiven = until;
        self.recent.clear();
        for pair in &mut self.pairs {
            pair.short.clear();
            pair.long.clear();
        }
    }
}

/// How many times as fast as the budget allows; none of nothing.
fn burn(tally: Tally, budget: Decimal) -> Option<Decimal> {
    if tally == Tally::default() || tally.calls <= 0 {
        return None;
    }
    let share = Decimal::from(tally.failed).checked_div(Decimal::from(tally.calls))?;
    share.checked_div(budget)
}
