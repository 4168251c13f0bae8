//! The loop's own books: how long each stage took, and what became of what was wished.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

pub use crate::overrun::Overruns;

/// Upper bounds of the parts of a [`Histogram`], milliseconds.
pub const BOUNDS_MS: [u64; 12] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 5_000, 30_000];

/// Times by length, for Prometheus.
#[derive(Debug, Default)]
pub struct Histogram {
    /// By part, each time once.
    parts: [AtomicU64; BOUNDS_MS.len()],
    count: AtomicU64,
    micros: AtomicU64,
}

/// What a [`Histogram`] holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Times {
    /// How many took at most each of [`BOUNDS_MS`].
    pub within: [u64; BOUNDS_MS.len()],
    /// How many there were.
    pub count: u64,
    /// How long they took together, microseconds.
    pub micros: u64,
}

impl Histogram {
    /// Adds one; what is shorter than nothing, since clocks differ, took no time.
    pub fn add_nanos(&self, nanos: i64) {
        self.add(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)));
    }

    /// Adds one.
    pub fn add(&self, took: Duration) {
        let part = BOUNDS_MS
            .iter()
            .position(|bound| took <= Duration::from_millis(*bound));
        if let Some(part) = part.and_then(|part| self.parts.get(part)) {
            part.fetch_add(1, Relaxed);
        }
        self.count.fetch_add(1, Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Relaxed);
    }

    /// What it holds.
    #[must_use]
    pub fn times(&self) -> Times {
        let mut within = [0; BOUNDS_MS.len()];
        let mut sum = 0;
        for (within, part) in within.iter_mut().zip(&self.parts) {
            sum += part.load(Relaxed);
            *within = sum;
        }
        Times {
            within,
            // Read last: never less than what is within a bound.
            count: self.count.load(Relaxed).max(sum),
            micros: self.micros.load(Relaxed),
        }
    }
}

/// Times of the stages that pass through the engine.
#[derive(Debug, Default)]
pub(crate) struct Stages {
    /// From the end of the span that caused an action to its receipt.
    pub(crate) received: Histogram,
    /// From the receipt of what caused an action to its being judged.
    pub(crate) judged: Histogram,
    /// From there to control's answer.
    pub(crate) ordered: Histogram,
    /// Orders that could not be carried out.
    pub(crate) failed: AtomicU64,
}

/// What one rule did since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleBooks {
    /// The rule.
    pub rule: String,
    /// Actions in force.
    pub enforced: u64,
    /// Actions in shadow.
    pub shadow: u64,
    /// Actions withheld, since too many agents would have been touched.
    pub withheld: u64,
    /// Actions in force that a person found to be false alarms.
    pub false_alarms: u64,
    /// Actions in shadow that were found wrong, by their executions' endings or by a person.
    pub wrong: u64,
    /// Times that it fell back to shadow.
    pub demotions: u64,
    /// Of a hard limit: how often it was passed, and what was missed of that.
    pub overruns: Overruns,
}

/// The books of the engine since its start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Books {
    /// From the end of the span that caused an action to its receipt.
    pub received: Times,
    /// From the receipt of what caused an action to its being judged.
    pub judged: Times,
    /// From there to control's answer.
    pub ordered: Times,
    /// Orders that could not be carried out, in spite of all tries.
    pub failed: u64,
    /// By rule.
    pub rules: Vec<RuleBooks>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_within_every_bound_that_it_does_not_pass() {
        let histogram = Histogram::default();
        for millis in [0, 1, 3, 250, 31_000] {
            histogram.add(Duration::from_millis(millis));
        }
        histogram.add_nanos(-5);
        let times = histogram.times();
        assert_eq!(times.within, [3, 3, 4, 4, 4, 4, 4, 5, 5, 5, 5, 5]);
        assert_eq!((times.count, times.micros), (6, 31_254_000));
    }
}
