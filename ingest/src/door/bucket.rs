//! A token bucket that holds one second's worth. Whole numbers only: what a test expects of it is exact.

/// The unit of account: with it the refill of a nanosecond is a whole number, whatever the rate.
const BILLION: i128 = 1_000_000_000;

/// Tokens that come back at a rate, up to a second's worth.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    /// Tokens a second.
    rate: u64,
    /// Billionths of a token; below zero when more was taken than there was.
    level: i128,
    /// When it was refilled last, nanoseconds since 1970.
    at: i64,
}

impl Bucket {
    /// A full one. A rate of 0 would never let anything through.
    pub(super) fn full(rate: u64, now: i64) -> Self {
        Self {
            rate,
            level: i128::from(rate) * BILLION,
            at: now,
        }
    }

    /// Tokens a second.
    pub(super) fn rate(&self) -> u64 {
        self.rate
    }

    /// Gives back what is due by now. A clock that goes backwards gives nothing, and is followed.
    pub(super) fn refill(&mut self, now: i64) {
        let passed = now.saturating_sub(self.at).max(0);
        let full = i128::from(self.rate) * BILLION;
        let due = i128::from(passed) * i128::from(self.rate);
        (self.level, self.at) = ((self.level + due).min(full), now);
    }

    /// Nanoseconds until there is a token; None when there is one.
    pub(super) fn wait(&self) -> Option<u64> {
        let lacking = BILLION - self.level;
        if lacking <= 0 {
            return None;
        }
        // The next whole nanosecond: who comes back then is let in.
        let nanos = (lacking + i128::from(self.rate) - 1) / i128::from(self.rate.max(1));
        Some(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Takes tokens, also those that are not there.
    pub(super) fn take(&mut self, tokens: u64) {
        self.level -= i128::from(tokens) * BILLION;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn a_second_holds_as_many_as_the_rate_and_the_wait_is_exact() {
        for rate in [1, 2, 3, 7, 1_000, 4_294_967_295] {
            let mut bucket = Bucket::full(rate, 0);
            bucket.take(rate);
            // One token comes back after 1/rate seconds, the first whole nanosecond not before it.
            let wait = bucket.wait().unwrap_or_default();
            assert_eq!(wait, 1_000_000_000_u64.div_ceil(rate));
            bucket.refill(wait as i64 - 1);
            assert!(bucket.wait().is_some(), "{rate} a second");
            bucket.refill(wait as i64);
            assert_eq!(bucket.wait(), None, "{rate} a second");
        }
    }

    #[test]
    fn over_any_time_no_more_passes_than_the_rate_allows() {
        // Asked every 10 ms for 100 s at 30 a second: 30 at once, and 30 a second from then on.
        let mut bucket = Bucket::full(30, 0);
        let mut passed = 0;
        for at in 0..=10_000 {
            bucket.refill(at * SECOND / 100);
            if bucket.wait().is_none() {
                bucket.take(1);
                passed += 1;
            }
        }
        assert_eq!(passed, 30 + 30 * 100);
    }

    #[test]
    fn a_debt_is_waited_for_and_a_rest_never_saves_more_than_a_second() {
        let mut bucket = Bucket::full(100, 0);
        bucket.take(1_100);
        // A thousand too many, and one to go on with.
        assert_eq!(bucket.wait(), Some(10_010_000_000));
        bucket.refill(3_600 * SECOND);
        bucket.take(100);
        assert_eq!(bucket.wait(), Some(10_000_000));
        bucket.take(u64::MAX);
        assert!(bucket.wait().is_some());
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing_and_costs_nothing() {
        let mut bucket = Bucket::full(1, 10 * SECOND);
        bucket.take(1);
        bucket.refill(0);
        assert_eq!(bucket.wait(), Some(1_000_000_000));
        bucket.refill(SECOND);
        assert_eq!(bucket.wait(), None);
        bucket.take(1);
        bucket.refill(i64::MAX);
        bucket.refill(i64::MIN);
        assert_eq!(bucket.wait(), None);
    }
}
