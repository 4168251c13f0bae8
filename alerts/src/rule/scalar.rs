//! Reads the leaves of a rule: numbers, lengths of time, words. Each error names the field, what it holds
//! and what is accepted.

use std::str::FromStr;

use rust_decimal::Decimal;

use super::file::Leaf;
use crate::{Error, Result};

const MILLI: i64 = 1_000_000;
/// Longest length of time a rule may name: a year.
const LONGEST: i64 = 366 * 86_400_000 * MILLI;
/// The largest threshold, so that sums and products of it stay far from the decimal's end.
const LARGEST: i64 = 1_000_000_000_000_000;

/// Where in which rule we are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) file: &'a str,
    pub(crate) rule: &'a str,
}

impl Place<'_> {
    /// The error for a field.
    pub(crate) fn refuse(
        self,
        line: u64,
        field: &'static str,
        value: &str,
        accepted: impl Into<String>,
    ) -> Error {
        let value = match value.char_indices().nth(80) {
            Some((cut, _)) => format!("{:?}...", &value[..cut]),
            None => format!("{value:?}"),
        };
        Error::RuleField {
            file: self.file.to_owned(),
            line,
            rule: self.rule.to_owned(),
            field,
            value,
            accepted: accepted.into(),
        }
    }

    /// The error for a leaf.
    pub(crate) fn refuse_leaf(
        self,
        field: &'static str,
        leaf: &Leaf,
        accepted: impl Into<String>,
    ) -> Error {
        self.refuse(leaf.referenced.line(), field, &leaf.value, accepted)
    }

    /// A decimal number, zero or more.
    pub(crate) fn number(self, field: &'static str, leaf: &Leaf) -> Result<Decimal> {
        let text = leaf.value.trim();
        Decimal::from_str_exact(text)
            .or_else(|_| Decimal::from_scientific(text))
            .ok()
            .filter(|n| !n.is_sign_negative() && *n <= Decimal::from(LARGEST))
            .ok_or_else(|| {
                self.refuse_leaf(
                    field,
                    leaf,
                    "accepted is a decimal number of 0 or more, such as 5.00",
                )
            })
    }

    /// A whole number in a range.
    pub(crate) fn count(self, field: &'static str, leaf: &Leaf, from: u32, to: u32) -> Result<u32> {
        u32::from_str(leaf.value.trim())
            .ok()
            .filter(|n| (from..=to).contains(n))
            .ok_or_else(|| {
                self.refuse_leaf(
                    field,
                    leaf,
                    format!("accepted is a whole number from {from} to {to}"),
                )
            })
    }

    /// A length of time in nanoseconds.
    pub(crate) fn length(self, field: &'static str, leaf: &Leaf) -> Result<i64> {
        parse_length(leaf.value.trim()).ok_or_else(|| {
            self.refuse_leaf(
                field,
                leaf,
                "accepted is a whole number with a unit (ms, s, m, h or d), such as 30s",
            )
        })
    }

    /// true or false.
    pub(crate) fn flag(self, field: &'static str, leaf: &Leaf) -> Result<bool> {
        self.word(field, leaf, &[("true", true), ("false", false)])
    }

    /// One of some words.
    pub(crate) fn word<T: Clone>(
        self,
        field: &'static str,
        leaf: &Leaf,
        words: &[(&'static str, T)],
    ) -> Result<T> {
        let found = words.iter().find(|(word, _)| *word == leaf.value);
        found.map(|(_, meaning)| meaning.clone()).ok_or_else(|| {
            let all: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            self.refuse_leaf(
                field,
                leaf,
                format!("accepted is one of: {}", all.join(", ")),
            )
        })
    }

    /// A text that says something.
    pub(crate) fn text(self, field: &'static str, leaf: &Leaf, longest: usize) -> Result<String> {
        let text = leaf.value.trim();
        if text.is_empty() || text.len() > longest {
            let accepted = format!("accepted is text of 1 to {longest} bytes");
            return Err(self.refuse_leaf(field, leaf, accepted));
        }
        Ok(text.to_owned())
    }
}

fn parse_length(text: &str) -> Option<i64> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim_start() {
        "ms" => MILLI,
        "s" => 1_000 * MILLI,
        "m" => 60_000 * MILLI,
        "h" => 3_600_000 * MILLI,
        "d" => 86_400_000 * MILLI,
        // Nothing is the same length in every unit.
        "" if number.parse() == Ok(0) => MILLI,
        _ => return None,
    };
    number
        .parse::<i64>()
        .ok()?
        .checked_mul(unit)
        .filter(|n| *n <= LONGEST)
}
