//! A sliding sum in buckets. Only buckets that hold something take memory, so that ten thousand idle
//! keys cost next to nothing.

use std::collections::VecDeque;

use rust_decimal::Decimal;

const SECOND: i64 = 1_000_000_000;

/// Bucket for a window, nanoseconds: a second up to two minutes, ten seconds beyond.
pub(crate) fn bucket_of(window: i64) -> i64 {
    if window <= 120 * SECOND {
        SECOND
    } else {
        10 * SECOND
    }
}

/// What a bucket can hold.
pub(crate) trait Sum: Copy + Default + PartialEq {
    /// Adds; what leaves the type's range stays at its end.
    fn plus(self, other: Self) -> Self;
    /// Takes away.
    fn minus(self, other: Self) -> Self;
}

impl Sum for Decimal {
    fn plus(self, other: Self) -> Self {
        self.saturating_add(other)
    }
    fn minus(self, other: Self) -> Self {
        self.saturating_sub(other)
    }
}

impl Sum for i64 {
    fn plus(self, other: Self) -> Self {
        self.saturating_add(other)
    }
    fn minus(self, other: Self) -> Self {
        self.saturating_sub(other)
    }
}

/// Sum over the last `window` nanoseconds, the current bucket being a part one.
///
/// The newest bucket lies in the ring itself: most facts go there, and reach for no other memory.
#[derive(Debug)]
pub(crate) struct Ring<T> {
    bucket: i64,
    buckets: i64,
    total: T,
    /// Buckets up to this number have left the window.
    gone: i64,
    /// The number of the first bucket that holds something; the largest there is when none does.
    oldest: i64,
    /// The last bucket and its sum; the lowest number there is when there is none.
    newest: (i64, T),
    /// (number of the bucket, its sum) of those before, oldest first, none empty.
    older: VecDeque<(i64, T)>,
}

impl<T: Sum> Ring<T> {
    pub(crate) fn new(window: i64) -> Self {
        Self::by(bucket_of(window), window)
    }

    /// The same in buckets of another length, nanoseconds.
    pub(crate) fn by(bucket: i64, window: i64) -> Self {
        Self {
            bucket,
            buckets: (window / bucket).max(1),
            total: T::default(),
            gone: i64::MIN,
            oldest: i64::MAX,
            newest: (i64::MIN, T::default()),
            older: VecDeque::new(),
        }
    }

    /// Adds to the bucket of `at`; what is older than the window is dropped, as its sum would be by now.
    pub(crate) fn add(&mut self, at: i64, amount: T, now: i64) {
        self.advance(now);
        let number = at.div_euclid(self.bucket);
        if number <= self.gone {
            return;
        }
        self.total = self.total.plus(amount);
        self.oldest = self.oldest.min(number);
        let newest = &mut self.newest;
        if number == newest.0 {
            newest.1 = newest.1.plus(amount);
            if newest.1 == T::default() {
                self.newest = self.older.pop_back().unwrap_or((i64::MIN, T::default()));
                self.find_oldest();
            }
        } else if number > newest.0 {
            let before = std::mem::replace(newest, (number, amount));
            if before.0 > i64::MIN {
                self.older.push_back(before);
            }
        } else {
            self.add_late(number, amount);
        }
    }

    /// To a bucket before the newest. Receive times come nearly in order: it is one of the last.
    fn add_late(&mut self, number: i64, amount: T) {
        let place = self.older.iter().rposition(|(n, _)| *n <= number);
        match place {
            Some(i) if self.older[i].0 == number => {
                self.older[i].1 = self.older[i].1.plus(amount);
                if self.older[i].1 == T::default() {
                    self.older.remove(i);
                    self.find_oldest();
                }
            }
            Some(i) => self.older.insert(i + 1, (number, amount)),
            None => self.older.push_front((number, amount)),
        }
    }

    /// A number of it, so that the processor fetches it.
    pub(crate) fn touch(&self) -> i64 {
        self.oldest ^ self.newest.0
    }

    /// The sum at `now`.
    pub(crate) fn sum(&mut self, now: i64) -> T {
        self.advance(now);
        self.total
    }

    /// Whether nothing is left in the window.
    pub(crate) fn is_empty(&mut self, now: i64) -> bool {
        self.advance(now);
        self.newest.0 == i64::MIN
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.older.clear();
        self.newest = (i64::MIN, T::default());
        self.oldest = i64::MAX;
        self.total = T::default();
    }

    fn advance(&mut self, now: i64) {
        self.gone = self.gone.max(now.div_euclid(self.bucket) - self.buckets);
        if self.oldest > self.gone {
            return;
        }
        while let Some((number, amount)) = self.older.front().copied() {
            if number > self.gone {
                break;
            }
            self.total = self.total.minus(amount);
            self.older.pop_front();
        }
        if self.newest.0 <= self.gone {
            // The total of nothing, whatever was cut off at the ends of its range.
            self.clear();
        }
        self.find_oldest();
    }

    fn find_oldest(&mut self) {
        let first = self.older.front().map_or(self.newest.0, |(n, _)| *n);
        self.oldest = if first == i64::MIN { i64::MAX } else { first };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_leaves_the_window_leaves_the_sum() {
        let mut ring = Ring::<Decimal>::new(10 * SECOND);
        ring.add(0, Decimal::new(125, 2), 0);
        ring.add(3 * SECOND, Decimal::new(1, 12), 3 * SECOND);
        assert_eq!(ring.sum(9 * SECOND).to_string(), "1.250000000001");
        assert_eq!(ring.sum(10 * SECOND), Decimal::new(1, 12));
        assert!(ring.is_empty(13 * SECOND));
        assert_eq!(ring.sum(13 * SECOND), Decimal::ZERO);
    }

    #[test]
    fn a_reversal_takes_out_of_the_bucket_it_was_put_in() {
        let mut ring = Ring::<Decimal>::new(10 * SECOND);
        ring.add(SECOND, Decimal::TWO, SECOND);
        ring.add(8 * SECOND, Decimal::ONE, 8 * SECOND);
        ring.add(SECOND, -Decimal::TWO, 9 * SECOND);
        assert_eq!(ring.sum(9 * SECOND), Decimal::ONE);
        // Its own bucket leaves, and nothing is taken away twice.
        assert_eq!(ring.sum(12 * SECOND), Decimal::ONE);
        // A reversal of what has left already changes nothing.
        ring.add(SECOND, -Decimal::TWO, 12 * SECOND);
        assert_eq!(ring.sum(12 * SECOND), Decimal::ONE);
    }

    proptest! {
        #[test]
        fn the_ring_is_the_sum_over_the_window(
            window in 1i64..600,
            adds in prop::collection::vec((0i64..40, 0i64..30, -50i64..50), 1..200),
        ) {
            let window = if window > 120 { window - window % 10 } else { window } * SECOND;
            let bucket = bucket_of(window);
            let mut ring = Ring::<i64>::new(window);
            let mut all: Vec<(i64, i64)> = Vec::new();
            let mut now = 10_000 * SECOND;
            for (step, late, amount) in adds {
                now += step * SECOND / 4;
                let at = now - late * SECOND;
                ring.add(at, amount, now);
                all.push((at, amount));
                let first = now.div_euclid(bucket) - window / bucket + 1;
                let want: i64 =
                    all.iter().filter(|(at, _)| at.div_euclid(bucket) >= first).map(|(_, a)| a).sum();
                prop_assert_eq!(ring.sum(now), want);
            }
        }
    }
}
