//! The texts of one trace, each kept once: an agent's name costs four bytes a span.

use std::hash::BuildHasher as _;
use std::num::NonZeroU32;

use flyball_store::hashed::RandomState;
use hashbrown::HashTable;

/// A text of a trace, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Sym(NonZeroU32);

/// A text that may be absent.
pub(super) type Word = Option<Sym>;

/// The texts, by number and back. Gone with the trace.
#[derive(Debug, Default)]
pub(super) struct Words {
    texts: Texts,
    numbers: HashTable<Sym>,
    hasher: RandomState,
}

/// Texts one after the other: a trace has dozens, and there are thousands of traces.
#[derive(Debug, Default)]
struct Texts {
    all: String,
    ends: Vec<usize>,
}

impl Texts {
    fn push(&mut self, text: &str) -> Sym {
        self.all.push_str(text);
        self.ends.push(self.all.len());
        // A trace with four thousand million texts would long have been settled for its size.
        let number = u32::try_from(self.ends.len())
            .ok()
            .and_then(NonZeroU32::new);
        Sym(number.unwrap_or(NonZeroU32::MAX))
    }

    fn get(&self, Sym(number): Sym) -> &str {
        let at = number.get() as usize - 1;
        let start = at
            .checked_sub(1)
            .map_or(Some(0), |before| self.ends.get(before).copied());
        let text = start
            .zip(self.ends.get(at))
            .and_then(|(start, end)| self.all.get(start..*end));
        text.unwrap_or_default()
    }
}

impl Words {
    /// The number of a text, new or known.
    pub(super) fn put(&mut self, text: &str) -> Sym {
        let Self {
            texts,
            numbers,
            hasher,
        } = self;
        let hash = hasher.hash_one(text);
        if let Some(known) = numbers.find(hash, |sym| texts.get(*sym) == text) {
            return *known;
        }
        let sym = texts.push(text);
        numbers.insert_unique(hash, sym, |sym| hasher.hash_one(texts.get(*sym)));
        sym
    }

    /// The number of a text, if there is one.
    pub(super) fn word(&mut self, text: Option<&str>) -> Word {
        text.map(|text| self.put(text))
    }

    /// The text of a number.
    pub(super) fn get(&self, sym: Sym) -> &str {
        self.texts.get(sym)
    }

    /// The text of a word, if there is one.
    pub(super) fn text(&self, word: Word) -> Option<&str> {
        word.map(|sym| self.get(sym))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_one_number_and_a_number_its_text() {
        let mut words = Words::default();
        let texts: Vec<String> = (0..500)
            .map(|n| "é".repeat(n % 7) + &n.to_string())
            .collect();
        let numbers: Vec<Sym> = texts.iter().map(|text| words.put(text)).collect();
        let empty = words.put("");
        for (text, number) in texts.iter().zip(numbers) {
            assert_eq!(
                (words.put(text), words.get(number)),
                (number, text.as_str())
            );
        }
        assert_eq!((words.put(""), words.get(empty)), (empty, ""));
    }
}
