//! What a call of a tool costs.

use rust_decimal::Decimal;

use crate::Cost;
use crate::cost::rounded;

/// A fee for every call of a tool, while it is in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToolPrice {
    /// Stable, as a price's: `BOOK:tool/TOOL:HASH`.
    pub id: String,
    /// The workspace it was negotiated for; everyone's, when absent.
    pub workspace: Option<String>,
    /// The tool's name, as spans tell it.
    pub tool: String,
    /// US dollars a call.
    pub per_call: Decimal,
    /// In force from this instant (nanoseconds since 1970), inclusive; always, when absent.
    pub from_unix_nano: Option<i64>,
    /// In force until this instant (nanoseconds since 1970), exclusive; for ever, when absent.
    pub until_unix_nano: Option<i64>,
    /// When we learnt of it (nanoseconds since 1970).
    pub known_unix_nano: Option<i64>,
    /// Where it is taken from.
    pub source: String,
    /// The day on which it stood there; empty when the source does not say.
    pub source_date: String,
}

impl ToolPrice {
    /// What one call costs: a fee for the request, and nothing else.
    #[must_use]
    pub fn cost(&self) -> Cost {
        let fee = rounded(self.per_call);
        Cost {
            request: fee,
            total: fee,
            ..Cost::default()
        }
    }

    /// Whether it holds for a call that began at an instant, as far as was known at another.
    pub(crate) fn holds(&self, at_unix_nano: i64, as_of_unix_nano: Option<i64>) -> bool {
        self.from_unix_nano.is_none_or(|from| from <= at_unix_nano)
            && self
                .until_unix_nano
                .is_none_or(|until| at_unix_nano < until)
            && match (self.known_unix_nano, as_of_unix_nano) {
                (Some(known), Some(as_of)) => known <= as_of,
                _ => true,
            }
    }

    /// Whether both are in force at one instant.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        let ends = |until: Option<i64>, from: Option<i64>| {
            until.zip(from).is_some_and(|(until, from)| until <= from)
        };
        !ends(self.until_unix_nano, other.from_unix_nano)
            && !ends(other.until_unix_nano, self.from_unix_nano)
    }
}
