//! Each journal entry counts once.
//!
//! After a restart the last minutes are read again, and the resolver may say again what it had said. A
//! reversal may name a charge that was never counted, since it was imported or late. So we remember which
//! charges stand in our windows.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};

use flyball_store::hashed::HashMap;

const SECOND: i64 = 1_000_000_000;

/// The charges that stand in the windows.
#[derive(Debug)]
pub(crate) struct Once {
    hasher: RandomState,
    /// Hash of the id, and the second it was received in.
    standing: HashMap<u64, i64>,
    by_second: BTreeMap<i64, Vec<u64>>,
    horizon: i64,
    limit: usize,
    /// Charges forgotten early, since there were too many.
    pub(crate) forgotten: u64,
}

impl Once {
    /// Remembers for `horizon` nanoseconds, and no more than `limit` charges.
    pub(crate) fn new(horizon: i64, limit: usize) -> Self {
        Self {
            hasher: RandomState::new(),
            standing: HashMap::default(),
            by_second: BTreeMap::new(),
            horizon,
            limit,
            forgotten: 0,
        }
    }

    /// Whether a charge with this id stands.
    pub(crate) fn stands(&self, id: &str) -> bool {
        self.standing.contains_key(&self.hasher.hash_one(id))
    }

    /// Notes a charge; false when it stood already.
    pub(crate) fn enter(&mut self, id: &str, received: i64) -> bool {
        let hash = self.hasher.hash_one(id);
        let second = received.div_euclid(SECOND);
        if self.standing.insert(hash, second).is_some() {
            return false;
        }
        self.by_second.entry(second).or_default().push(hash);
        while self.standing.len() > self.limit {
            self.forgotten += self.drop_oldest() as u64;
        }
        true
    }

    /// Takes a charge back; false when it did not stand.
    pub(crate) fn reverse(&mut self, id: &str) -> bool {
        // Its place in `by_second` goes when the second does.
        self.standing.remove(&self.hasher.hash_one(id)).is_some()
    }

    /// Forgets what no window holds any more.
    pub(crate) fn expire(&mut self, now: i64) {
        let first = (now - self.horizon).div_euclid(SECOND);
        while self
            .by_second
            .first_key_value()
            .is_some_and(|(second, _)| *second < first)
        {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) -> usize {
        let Some((second, hashes)) = self.by_second.pop_first() else {
            return 0;
        };
        let before = self.standing.len();
        for hash in hashes {
            if self.standing.get(&hash) == Some(&second) {
                self.standing.remove(&hash);
            }
        }
        before - self.standing.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charge_counts_once_and_is_reversed_once() {
        let mut once = Once::new(60 * SECOND, 100);
        assert!(!once.reverse("a"), "what never stood cannot be reversed");
        assert!(once.enter("a", 0));
        assert!(!once.enter("a", SECOND), "told again");
        assert!(once.reverse("a"));
        assert!(!once.reverse("a"));
        assert!(
            once.enter("a", 2 * SECOND),
            "entered anew after its reversal"
        );
        assert!(once.stands("a"));
        once.expire(63 * SECOND);
        assert!(!once.stands("a"));
    }

    #[test]
    fn it_is_bounded() {
        let mut once = Once::new(3_600 * SECOND, 50);
        for n in 0..1_000 {
            assert!(once.enter(&n.to_string(), n * SECOND / 10));
            assert!(once.standing.len() <= 50);
        }
        assert!(once.forgotten > 900);
        assert!(once.stands("999"));
    }
}
