//! The texts of one trace, each kept once: an agent's name costs four bytes a span.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;

/// A text of a trace, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Sym(NonZeroU32);

/// A text that may be absent.
pub(super) type Word = Option<Sym>;

/// The texts, by number and back. Gone with the trace.
#[derive(Debug, Default)]
pub(super) struct Words {
    texts: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, Sym>,
}

impl Words {
    /// The number of a text, new or known.
    pub(super) fn put(&mut self, text: &str) -> Sym {
        if let Some(known) = self.numbers.get(text) {
            return *known;
        }
        let text: Arc<str> = text.into();
        self.texts.push(Arc::clone(&text));
        // A trace with four thousand million texts would long have been settled for its size.
        let number = u32::try_from(self.texts.len())
            .ok()
            .and_then(NonZeroU32::new)
            .unwrap_or(NonZeroU32::MAX);
        self.numbers.insert(text, Sym(number));
        Sym(number)
    }

    /// The number of a text, if there is one.
    pub(super) fn word(&mut self, text: Option<&str>) -> Word {
        text.map(|text| self.put(text))
    }

    /// The text of a number.
    pub(super) fn get(&self, sym: Sym) -> &str {
        self.texts
            .get(sym.0.get() as usize - 1)
            .map_or("", |text| text)
    }

    /// The text of a word, if there is one.
    pub(super) fn text(&self, word: Word) -> Option<&str> {
        word.map(|sym| self.get(sym))
    }

    /// The same, owned: what a row wants.
    pub(super) fn string(&self, word: Word) -> Option<String> {
        self.text(word).map(str::to_owned)
    }
}
