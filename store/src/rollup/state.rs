//! Which minutes the rollup speaks for: what the store's lock protects of it.

use std::time::{Duration, Instant};

use super::Minutes;
use crate::state::Version;

/// So many ranges of stale minutes are told apart, at most: past that neighbours become one.
const STALE_RANGES_MAX: usize = 1_024;
/// A reader gets the minutes that it has to read from the journal in so many ranges at most.
const READ_RANGES_MAX: usize = 32;

/// How far the journal of one workspace is summed.
///
/// A minute is right in the table exactly when it is not stale, not being summed just now, and the journal's buffer has
/// no row of it. A minute nobody ever charged in has no rows anywhere, and so is right as well.
#[derive(Debug, Default)]
pub(crate) struct Rolled {
    pub(crate) version: Version,
    /// Their rows on disk changed since they were summed.
    stale: Minutes,
    /// Taken up by a run that has not committed them yet.
    rolling: Minutes,
    since: Option<Instant>,
    /// Of minutes before this one the journal is no longer kept: what was summed of them stays.
    kept_from: Option<i64>,
}

impl Rolled {
    /// Rows that start in these minutes came to the table of charges, or went from it.
    pub(crate) fn touch(&mut self, minutes: &Minutes) {
        let minutes = self.kept(minutes.clone());
        if minutes.is_empty() {
            return;
        }
        self.since.get_or_insert_with(Instant::now);
        self.stale.extend(&minutes);
        self.stale = self.stale.coarsened(STALE_RANGES_MAX);
    }

    /// The minutes to read from the journal, given those that have rows in its buffer.
    pub(crate) fn unrolled(&self, buffered: &Minutes) -> Minutes {
        let mut unrolled = self.stale();
        unrolled.extend(buffered);
        self.kept(unrolled.coarsened(READ_RANGES_MAX))
    }

    /// The journal's rows of minutes before this one are about to go, since they are too old. True when all of them
    /// are summed: from now on the rollup alone speaks for them. Else they have to wait.
    pub(crate) fn expire(&mut self, before: i64, buffered: &Minutes) -> bool {
        let mut waiting = self.stale();
        waiting.extend(buffered);
        let summed = waiting.within(&(i64::MIN..before)).is_empty();
        if summed {
            self.kept_from = self.kept_from.max(Some(before));
        }
        summed
    }

    /// Those of which the journal is kept.
    fn kept(&self, minutes: Minutes) -> Minutes {
        match self.kept_from {
            Some(first) => minutes.within(&(first..i64::MAX)),
            None => minutes,
        }
    }

    /// The minutes to sum, whether or not a run is at it.
    pub(crate) fn stale(&self) -> Minutes {
        let mut stale = self.stale.clone();
        stale.extend(&self.rolling);
        stale
    }

    /// How long the first of them has waited.
    pub(crate) fn waits(&self) -> Option<Duration> {
        self.since.map(|since| since.elapsed())
    }

    /// A run takes up all that is stale.
    pub(super) fn begin(&mut self) -> Minutes {
        self.rolling.extend(&std::mem::take(&mut self.stale));
        self.rolling.clone()
    }

    /// These minutes are in the table now, as the journal was when the run began.
    pub(super) fn done(&mut self, minutes: &Minutes) {
        self.rolling.remove(minutes);
        if self.stale().is_empty() {
            self.since = None;
        }
    }

    /// The run is over; what it did not come to is stale as before.
    pub(super) fn give_back(&mut self) {
        self.stale.extend(&std::mem::take(&mut self.rolling));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(range: std::ops::Range<i64>) -> Minutes {
        let mut minutes = Minutes::default();
        minutes.add(range);
        minutes
    }

    #[test]
    fn what_changes_while_it_is_summed_stays_stale() {
        let mut rolled = Rolled::default();
        rolled.touch(&minutes(0..10));
        assert_eq!(rolled.begin(), minutes(0..10));
        rolled.touch(&minutes(3..4));
        rolled.done(&minutes(0..5));
        let mut left = minutes(3..4);
        left.extend(&minutes(5..10));
        assert_eq!(rolled.unrolled(&Minutes::default()), left);
        rolled.give_back();
        assert_eq!(rolled.begin(), left);
        rolled.done(&left);
        assert!(rolled.unrolled(&Minutes::default()).is_empty() && rolled.waits().is_none());
        assert_eq!(rolled.unrolled(&minutes(7..8)), minutes(7..8));
    }

    #[test]
    fn what_was_summed_outlives_the_journal() {
        let mut rolled = Rolled::default();
        let none = Minutes::default();
        rolled.touch(&minutes(0..10));
        assert!(!rolled.expire(5, &none), "not summed yet");
        let all = rolled.begin();
        rolled.done(&all);
        assert!(!rolled.expire(5, &minutes(4..5)), "not on disk yet");
        assert!(rolled.expire(5, &none));
        // The rows go, and a late one comes: the rollup speaks for these minutes all the same.
        rolled.touch(&minutes(0..7));
        assert_eq!(rolled.begin(), minutes(5..7));
        assert_eq!(rolled.unrolled(&minutes(1..6)), minutes(5..7));
    }

    #[test]
    fn a_reader_gets_few_ranges_and_never_too_little() {
        let mut rolled = Rolled::default();
        for at in 0..5_000 {
            rolled.touch(&minutes(at * 3..at * 3 + 1));
        }
        let unrolled = rolled.unrolled(&Minutes::default());
        assert!(unrolled.ranges().len() <= READ_RANGES_MAX);
        assert!((0..5_000).all(|at| unrolled.has(at * 3)));
    }
}
