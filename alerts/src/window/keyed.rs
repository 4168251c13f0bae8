//! State by key, bounded: when it is full, what has been idle longest goes first, and it is counted.

use flyball_store::hashed::HashMap;

/// State by key.
#[derive(Debug)]
pub(crate) struct Keyed<S> {
    map: HashMap<Box<str>, S>,
    limit: usize,
    /// Keys that had to go although their window was not empty.
    pub(crate) evicted: u64,
    /// Times that a key found no room at all.
    pub(crate) refused: u64,
}

/// Whether a key may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Worth {
    /// Something is going on: it stays.
    Keep,
    /// It was last fed then (nanoseconds since 1970), and its window still holds something.
    Since(i64),
    /// Nothing would be lost.
    Nothing,
}

impl<S> Keyed<S> {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            map: HashMap::default(),
            limit: limit.max(1),
            evicted: 0,
            refused: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut S> {
        self.map.get_mut(key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &S)> {
        self.map.iter().map(|(key, state)| (&**key, state))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut S)> {
        self.map.iter_mut().map(|(key, state)| (&**key, state))
    }

    /// The state of a key, made if there is room or room can be had; none if every key must stay.
    pub(crate) fn entry(
        &mut self,
        key: &str,
        make: impl FnOnce() -> S,
        worth: impl FnMut(&mut S) -> Worth,
    ) -> Option<&mut S> {
        if !self.map.contains_key(key) {
            if self.map.len() >= self.limit {
                self.make_room(worth);
            }
            if self.map.len() >= self.limit {
                self.refused += 1;
                return None;
            }
            self.map.insert(key.into(), make());
        }
        // What is there already costs no copy of its name.
        self.map.get_mut(key)
    }

    /// Drops every key that is worth nothing.
    pub(crate) fn sweep(&mut self, mut worth: impl FnMut(&mut S) -> Worth) {
        self.map.retain(|_, state| worth(state) != Worth::Nothing);
    }

    /// Drops a tenth at a time, so that a flood of keys pays for the search only now and then.
    fn make_room(&mut self, mut worth: impl FnMut(&mut S) -> Worth) {
        let mut idle: Vec<(i64, Box<str>)> = Vec::new();
        self.map.retain(|key, state| match worth(state) {
            Worth::Nothing => false,
            Worth::Keep => true,
            Worth::Since(fed) => {
                idle.push((fed, key.clone()));
                true
            }
        });
        if self.map.len() < self.limit {
            return;
        }
        idle.sort_unstable();
        for (_, key) in idle.into_iter().take((self.limit / 10).max(1)) {
            self.map.remove(&key);
            self.evicted += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_flood_of_keys_is_bounded_and_counted() {
        let mut keyed = Keyed::new(100);
        keyed.entry("firing", || -1, |_| Worth::Keep).unwrap();
        for n in 0..10_000 {
            keyed
                .entry(
                    &n.to_string(),
                    || n,
                    |fed| {
                        if *fed < 0 {
                            Worth::Keep
                        } else {
                            Worth::Since(*fed)
                        }
                    },
                )
                .unwrap();
            assert!(keyed.len() <= 100);
        }
        assert_eq!(keyed.evicted as usize, 10_001 - keyed.len());
        // What fires stays, and so does the newest.
        assert!(keyed.get_mut("firing").is_some() && keyed.get_mut("9999").is_some());
        assert!(keyed.get_mut("0").is_none());
    }

    #[test]
    fn when_everything_must_stay_a_newcomer_is_refused_and_counted() {
        let mut keyed = Keyed::new(2);
        for key in ["a", "b"] {
            keyed.entry(key, || (), |()| Worth::Keep).unwrap();
        }
        assert!(keyed.entry("c", || (), |()| Worth::Keep).is_none());
        assert_eq!((keyed.len(), keyed.refused), (2, 1));
        assert!(keyed.entry("c", || (), |()| Worth::Nothing).is_some());
    }
}
