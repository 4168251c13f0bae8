//! The values that attributes give the columns, by the rules of the table.

use std::array;
use std::borrow::Cow;

use rust_decimal::Decimal;

use super::attributes::Attributes;
use super::value::{self, Found};
use crate::conventions::{Column, Convention, Key, Place, RULES, Rule, is_leading};

/// A place after all rules: where what was not sent, but follows from what was, comes from.
const DERIVED: usize = RULES.len();

/// Values by column, each with the rank of the rule that found it (the lower, the better).
#[derive(Debug, Clone)]
pub(super) struct Columns<'a>([Option<(usize, Found<'a>)>; Column::COUNT]);

/// What is read: which rules may find a value there.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reading<'o> {
    Resource,
    Span {
        operation: Option<&'o str>,
        convention: Option<Convention>,
    },
}

impl Reading<'_> {
    fn allows(self, rule: &Rule) -> bool {
        match self {
            Self::Resource => rule.place == Place::Both && rule.only.is_none() && !rule.marked,
            Self::Span {
                operation,
                convention,
            } => {
                rule.only.is_none_or(|only| operation == Some(only))
                    && (!rule.marked || convention == Some(rule.convention))
            }
        }
    }
}

impl<'a> Columns<'a> {
    /// What the attributes say by the rules for this place.
    pub(super) fn read(attributes: &Attributes<'_, 'a>, of: Reading<'_>) -> Self {
        let mut columns = Self(array::from_fn(|_| None));
        for (kv, key) in attributes.iter() {
            let Some(value) = &kv.value else {
                continue;
            };
            for (place, rule) in key.rules {
                let slot = &mut columns.0[rule.column as usize];
                let fits = of.allows(rule) && slot.as_ref().is_none_or(|(found, _)| place <= found);
                let found = || match rule.field {
                    Some(field) => value::read_within(value, field, rule.read),
                    None => value::read(value, rule.read),
                };
                if fits && let Some(found) = found() {
                    *slot = Some((*place, found));
                }
            }
        }
        columns
    }

    /// The known keys whose values stand in a column just as they were sent, and need not stand in `attributes` as
    /// well: the leading key of the column, so that nobody has to guess where the value came from.
    pub(super) fn said_exactly(&self, attributes: &Attributes<'_, 'a>) -> Vec<Key> {
        let stands = |key: &Key, (place, rule): &(usize, Rule)| {
            let Some((from, found)) = &self.0[rule.column as usize] else {
                return false;
            };
            from == place
                && is_leading(*place)
                && key
                    .known
                    .and_then(|known| attributes.find_known(known))
                    .is_some_and(|sent| value::is_exactly(sent, found))
        };
        attributes
            .iter()
            .filter(|(_, key)| key.rules.iter().any(|rule| stands(key, rule)))
            .map(|(_, key)| *key)
            .collect()
    }

    /// Takes from the resource what the span itself did not say.
    pub(super) fn fall_back_on<'r: 'a>(&mut self, resource: &'r Columns<'_>) {
        for (own, theirs) in self.0.iter_mut().zip(&resource.0) {
            if own.is_none() {
                *own = theirs
                    .as_ref()
                    .map(|(place, found)| (*place, found.by_reference()));
            }
        }
    }

    /// Whether the parts of a number are told apart from it, by the rule that found it.
    pub(super) fn is_apart(&self, column: Column) -> bool {
        let found = self.0[column as usize].as_ref();
        found
            .and_then(|(place, _)| RULES.get(*place))
            .is_some_and(|rule| rule.apart)
    }

    fn get(&self, column: Column) -> Option<&Found<'a>> {
        self.0[column as usize].as_ref().map(|(_, found)| found)
    }

    pub(super) fn text(&self, column: Column) -> Option<&str> {
        match self.get(column)? {
            Found::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn count(&self, column: Column) -> Option<i64> {
        match self.get(column)? {
            Found::Count(count) => Some(*count),
            _ => None,
        }
    }

    pub(super) fn number(&self, column: Column) -> Option<f64> {
        match self.get(column)? {
            Found::Number(number) => Some(*number),
            _ => None,
        }
    }

    pub(super) fn money(&self, column: Column) -> Option<Decimal> {
        match self.get(column)? {
            Found::Money(money) => Some(*money),
            _ => None,
        }
    }

    pub(super) fn flag(&self, column: Column) -> Option<bool> {
        match self.get(column)? {
            Found::Flag(flag) => Some(*flag),
            _ => None,
        }
    }

    /// Gives a column what follows from the rest of the span, unless it has a value.
    pub(super) fn derive(&mut self, column: Column, text: impl FnOnce() -> Option<Cow<'a, str>>) {
        let slot = &mut self.0[column as usize];
        if slot.is_none() {
            *slot = text().map(|text| (DERIVED, Found::Text(text)));
        }
    }

    /// Puts another count in a column's place.
    pub(super) fn set_count(&mut self, column: Column, count: Option<i64>) {
        self.0[column as usize] = count.map(|count| (DERIVED, Found::Count(count)));
    }
}
