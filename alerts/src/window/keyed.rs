//! State by key, bounded: when it is full, what has been idle longest goes first, and it is counted.
//!
//! Twenty rules that share a kind of key would look the same name up twenty times, each time in memory that
//! the processor has long forgotten. So a name is looked up once, in [`Names`], which gives it a number; each
//! rule keeps where the key of a number lay last, and the key itself says whether that still holds.

use flyball_store::hashed::{HashMap, RandomState};
use indexmap::IndexMap;

/// A name, and the number that it goes by for now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Name<'a> {
    text: &'a str,
    number: Option<Number>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Number {
    /// Of the names that were counted together.
    epoch: u32,
    index: u32,
}

impl<'a> Name<'a> {
    pub(crate) fn text(self) -> &'a str {
        self.text
    }
}

impl<'a> From<&'a str> for Name<'a> {
    fn from(text: &'a str) -> Self {
        Self { text, number: None }
    }
}

/// Numbers for names, each met once in an epoch. With too many names a new epoch begins.
#[derive(Debug)]
pub(crate) struct Names {
    numbers: HashMap<Box<str>, u32>,
    epoch: u32,
    limit: usize,
}

impl Names {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            numbers: HashMap::default(),
            epoch: 0,
            limit,
        }
    }

    pub(crate) fn number<'a>(&mut self, text: &'a str) -> Name<'a> {
        let index = self.numbers.get(text).copied();
        let index = index.unwrap_or_else(|| {
            if self.numbers.len() >= self.limit {
                self.numbers.clear();
                self.epoch = self.epoch.wrapping_add(1);
            }
            let next = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
            self.numbers.insert(text.into(), next);
            next
        });
        let epoch = self.epoch;
        Name {
            text,
            number: Some(Number { epoch, index }),
        }
    }
}

/// State by key, in the order in which the keys came.
#[derive(Debug)]
pub(crate) struct Keyed<S> {
    map: IndexMap<Box<str>, Slot<S>, RandomState>,
    /// By the index of a number: where its key lay last.
    places: Vec<u32>,
    limit: usize,
    /// Keys that had to go although their window was not empty.
    pub(crate) evicted: u64,
    /// Times that a key found no room at all.
    pub(crate) refused: u64,
}

#[derive(Debug)]
struct Slot<S> {
    number: Option<Number>,
    state: S,
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
            map: IndexMap::default(),
            places: Vec::new(),
            limit: limit.max(1),
            evicted: 0,
            refused: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    pub(crate) fn get_mut<'a>(&mut self, key: impl Into<Name<'a>>) -> Option<&mut S> {
        let at = self.find(key.into())?;
        let (_, slot) = self.map.get_index_mut(at)?;
        Some(&mut slot.state)
    }

    /// What lies where this key lay last, if that is its own.
    pub(crate) fn glance(&self, key: Name<'_>) -> Option<&S> {
        let at = *self.places.get(key.number?.index as usize)?;
        let (_, slot) = self.map.get_index(at as usize)?;
        (slot.number == key.number).then_some(&slot.state)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &S)> {
        self.map.iter().map(|(key, slot)| (&**key, &slot.state))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut S)> {
        let slots = self.map.iter_mut();
        slots.map(|(key, slot)| (&**key, &mut slot.state))
    }

    /// The state of a key, made if there is room or room can be had; none if every key must stay.
    pub(crate) fn entry<'a>(
        &mut self,
        key: impl Into<Name<'a>>,
        make: impl FnOnce() -> S,
        worth: impl FnMut(&mut S) -> Worth,
    ) -> Option<&mut S> {
        let key = key.into();
        let at = match self.find(key) {
            Some(at) => at,
            None => {
                if self.map.len() >= self.limit {
                    self.make_room(worth);
                }
                if self.map.len() >= self.limit {
                    self.refused += 1;
                    return None;
                }
                let slot = Slot {
                    number: key.number,
                    state: make(),
                };
                let (at, _) = self.map.insert_full(key.text.into(), slot);
                self.place(key, at);
                at
            }
        };
        let (_, slot) = self.map.get_index_mut(at)?;
        Some(&mut slot.state)
    }

    /// Drops every key that is worth nothing.
    pub(crate) fn sweep(&mut self, mut worth: impl FnMut(&mut S) -> Worth) {
        self.map
            .retain(|_, slot| worth(&mut slot.state) != Worth::Nothing);
    }

    fn find(&mut self, key: Name<'_>) -> Option<usize> {
        let is_there = |at: &usize| {
            let slot = self.map.get_index(*at);
            slot.is_some_and(|(_, slot)| slot.number == key.number)
        };
        let last = key
            .number
            .and_then(|number| self.places.get(number.index as usize));
        if let Some(at) = last.map(|at| *at as usize).filter(is_there) {
            return Some(at);
        }
        let at = self.map.get_index_of(key.text)?;
        self.place(key, at);
        Some(at)
    }

    fn place(&mut self, key: Name<'_>, at: usize) {
        let Some(number) = key.number else {
            return;
        };
        let index = number.index as usize;
        if self.places.len() <= index {
            self.places.resize(index + 1, u32::MAX);
        }
        self.places[index] = u32::try_from(at).unwrap_or(u32::MAX);
        if let Some((_, slot)) = self.map.get_index_mut(at) {
            slot.number = Some(number);
        }
    }

    /// Drops a tenth at a time, so that a flood of keys pays for the search only now and then.
    fn make_room(&mut self, mut worth: impl FnMut(&mut S) -> Worth) {
        let mut idle: Vec<(i64, Box<str>)> = Vec::new();
        self.map.retain(|key, slot| match worth(&mut slot.state) {
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
            self.map.swap_remove(&key);
            self.evicted += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_flood_of_keys_is_bounded_and_counted() {
        let mut keyed = Keyed::new(100);
        keyed.entry("firing", || -1, |_| Worth::Keep).unwrap();
        for n in 0..10_000 {
            keyed
                .entry(
                    n.to_string().as_str(),
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

    proptest! {
        /// Keys come and go, names get new numbers, and each name finds its own state or none.
        #[test]
        fn a_number_never_leads_to_another_key(
            steps in prop::collection::vec((0u8..12, 0u8..4), 1..200),
        ) {
            let mut names = Names::new(7);
            let mut keyed = Keyed::<String>::new(5);
            for (name, what) in steps {
                let name = format!("n{name}");
                match what {
                    0 => keyed.sweep(|state| match *state == name {
                        true => Worth::Nothing,
                        false => Worth::Since(0),
                    }),
                    1 => if let Some(state) = keyed.get_mut(names.number(&name)) {
                        prop_assert_eq!(&*state, &name);
                    },
                    2 => if let Some(state) = keyed.get_mut(name.as_str()) {
                        prop_assert_eq!(&*state, &name);
                    },
                    _ => {
                        let state = keyed.entry(names.number(&name), || name.clone(), |_| Worth::Since(0));
                        prop_assert_eq!(state.map(|state| &*state), Some(&name));
                    }
                }
                prop_assert!(keyed.len() <= 5);
            }
        }
    }
}
