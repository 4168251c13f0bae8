//! Words of both sides, counted in bounded memory.

use std::collections::BTreeMap;

use super::{Counts, Sides, add, totals};

/// Different words that are told apart.
const LABELS_MAX: usize = 1024;

/// How often each word came on either side. Past 1024 different words those with the smallest hashes are kept, and the
/// rest is one class: a word that is kept in the end was kept all the time, so its counts are exact in every order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels {
    kept: BTreeMap<(u64, String), Counts>,
    pooled: Counts,
}

impl Labels {
    /// Counts a word.
    pub fn add(&mut self, label: &str, sides: Sides) {
        self.count(label, sides.map(u64::from));
    }

    /// Counts what another has counted.
    pub fn merge(&mut self, other: &Self) {
        add(&mut self.pooled, other.pooled);
        for ((_, label), counts) in &other.kept {
            self.count(label, *counts);
        }
    }

    /// The counts by word, in an order that depends on the words alone; last the class of all that were not kept.
    pub(super) fn counts(&self) -> Vec<Counts> {
        let pooled = Some(self.pooled).filter(|counts| *counts != [0, 0]);
        self.kept.values().copied().chain(pooled).collect()
    }

    /// How many words there are on each side.
    #[must_use]
    pub fn totals(&self) -> Counts {
        totals(self.counts())
    }

    /// How many of both sides are in the class of what was not kept.
    #[must_use]
    pub fn pooled(&self) -> u64 {
        self.pooled[0] + self.pooled[1]
    }

    /// Memory it takes, bytes, about: a tree's nodes are two thirds full.
    pub(super) fn memory(&self) -> usize {
        let texts: usize = self.kept.keys().map(|(_, label)| label.capacity()).sum();
        size_of::<Self>() + texts + self.kept.len() * size_of::<((u64, String), Counts)>() * 3 / 2
    }

    /// The words with their counts, and the rest: all there is to it.
    pub(super) fn parts(&self) -> (impl Iterator<Item = (&str, Counts)> + '_, Counts) {
        let kept = self.kept.iter();
        (
            kept.map(|((_, label), counts)| (label.as_str(), *counts)),
            self.pooled,
        )
    }

    /// From such parts.
    pub(super) fn from_parts<'a>(
        kept: impl IntoIterator<Item = (&'a str, Counts)>,
        pooled: Counts,
    ) -> Self {
        let mut labels = Self {
            pooled,
            ..Self::default()
        };
        for (label, counts) in kept {
            labels.count(label, counts);
        }
        labels
    }

    fn count(&mut self, label: &str, counts: Counts) {
        let entry = self.kept.entry((hash(label), label.to_owned()));
        add(entry.or_default(), counts);
        if self.kept.len() > LABELS_MAX
            && let Some((_, counts)) = self.kept.pop_last()
        {
            add(&mut self.pooled, counts);
        }
    }
}

/// FNV-1a, the same on every machine.
fn hash(label: &str) -> u64 {
    label.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_parts_do_not_matter_past_what_is_kept() {
        let words: Vec<String> = (0..5000).map(|n| format!("word {}", n % 2000)).collect();
        let of = |words: &[String]| {
            let mut labels = Labels::default();
            for (at, word) in words.iter().enumerate() {
                labels.add(word, [word.len() % 2 == 0, at < usize::MAX]);
            }
            labels
        };
        let whole = of(&words);
        assert_eq!(whole.kept.len(), LABELS_MAX);
        assert_eq!(whole.totals()[1], 5000);
        assert!(whole.pooled() > 0);
        let mut backwards = words.clone();
        backwards.reverse();
        assert_eq!(of(&backwards), whole);
        let (first, last) = (of(&words[..1700]), of(&words[1700..]));
        let mut merged = last;
        merged.merge(&first);
        assert_eq!(merged, whole);
        let (kept, pooled) = whole.parts();
        assert_eq!(Labels::from_parts(kept, pooled), whole);
    }
}
