//! All that the tables say of one attribute key, found at once: every key of every span is looked up here.

use std::sync::LazyLock;

use rustc_hash::FxHashMap;

use super::content::{self, CONTENT};
use super::{Convention, RULES, Rule, Side, operations, table};

/// What is known of a key.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Key {
    /// Which it is of the keys that have rules or tell an operation; None for any other.
    pub(crate) known: Option<u16>,
    /// Its rules, each with its place in the table (the lower, the better).
    pub(crate) rules: &'static [(usize, Rule)],
    /// Its place among the keys that tell an operation.
    pub(crate) operation: Option<usize>,
    /// On which side of the content it stands.
    pub(crate) side: Option<Side>,
    /// Place and name of the convention whose mark it is; the lowest place of a span's keys counts.
    pub(crate) mark: Option<(usize, Convention)>,
    /// Whether its value is a number of tokens.
    pub(crate) is_token_count: bool,
}

/// Looks a key up.
pub(crate) fn key(name: &str) -> Key {
    match KEYS.get(name) {
        Some(key) => *key,
        // Names that a pattern covers, or nothing.
        None => Key {
            side: content::by_pattern(name),
            mark: Convention::marked_by(name),
            ..Key::default()
        },
    }
}

static KEYS: LazyLock<FxHashMap<&'static str, Key>> = LazyLock::new(|| {
    let ruled = RULES.iter().map(|rule| rule.key);
    let told = operations::KEYS.iter().copied();
    let mut keys = FxHashMap::default();
    for (number, name) in ruled.chain(told).enumerate() {
        keys.entry(name).or_insert_with(|| Key {
            known: u16::try_from(number).ok(),
            rules: table::rules_of(name),
            operation: operations::KEYS.iter().position(|key| *key == name),
            side: content::content_side(name),
            mark: Convention::marked_by(name),
            is_token_count: table::is_token_count(name),
        });
    }
    for (name, _) in CONTENT.iter().filter(|(name, _)| !name.contains('*')) {
        keys.entry(name).or_insert_with(|| Key {
            side: content::content_side(name),
            mark: Convention::marked_by(name),
            ..Key::default()
        });
    }
    keys
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_key_at_once_is_what_each_table_says() {
        let ruled = RULES.iter().map(|rule| rule.key);
        let content = CONTENT.iter().map(|(key, _)| *key);
        let others = [
            "gen_ai.operation.name",
            "gen_ai.prompt.0.content",
            "gen_ai.prompt.x.content",
            "llm.input_messages.0.message.content",
            "gen_ai.request.temperature",
            "http.method",
            "mcp.session.id",
            "",
        ];
        let mut numbers = std::collections::HashMap::new();
        for name in ruled.chain(content).chain(others) {
            let key = key(name);
            assert_eq!(key.rules, table::rules_of(name), "{name}");
            assert_eq!(key.side, content::content_side(name), "{name}");
            assert_eq!(key.is_token_count, table::is_token_count(name), "{name}");
            assert_eq!(key.mark, Convention::marked_by(name), "{name}");
            if let Some(number) = key.known {
                assert_eq!(*numbers.entry(number).or_insert(name), name);
            }
        }
    }
}
