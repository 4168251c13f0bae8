//! One price: what a model's tokens cost while it is in force.

use rust_decimal::Decimal;

/// What one model costs, in US dollars a token (or a request), while it is in force.
///
/// A price without a cache price charges cached tokens like any other input: a book that leaves a
/// discount out is then too dear, never too cheap. A price without a reasoning price charges reasoning
/// as the output it is part of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Price {
    /// Stable: the same row of the same book has the same id in every run. `BOOK:MODEL:HASH`.
    pub id: String,
    /// The model's name, as the book spells it.
    pub model: String,
    /// Who sells it, as the book spells it.
    pub provider: Option<String>,
    /// A token of uncached input.
    pub input: Option<Decimal>,
    /// A token of input read from a cache; `input` when absent.
    pub cache_read: Option<Decimal>,
    /// A token of input written to a cache; `input` when absent.
    pub cache_write: Option<Decimal>,
    /// A token of output.
    pub output: Option<Decimal>,
    /// A token of reasoning, where it differs from output.
    pub reasoning: Option<Decimal>,
    /// A request, whatever its length.
    pub request: Option<Decimal>,
    /// In force from this instant (nanoseconds since 1970), inclusive; always, when absent.
    pub from_unix_nano: Option<i64>,
    /// In force until this instant (nanoseconds since 1970), exclusive; for ever, when absent.
    pub until_unix_nano: Option<i64>,
    /// Where the price is taken from.
    pub source: String,
    /// The day (`2026-11-21`) on which it stood there; empty when the source does not say.
    pub source_date: String,
}

impl Price {
    /// Whether the price is in force at an instant, nanoseconds since 1970.
    #[must_use]
    pub fn in_force(&self, at_unix_nano: i64) -> bool {
        self.from_unix_nano.is_none_or(|from| from <= at_unix_nano)
            && self
                .until_unix_nano
                .is_none_or(|until| at_unix_nano < until)
    }

    /// Whether it prices anything at all.
    pub(crate) fn says_something(&self) -> bool {
        self.input.is_some() || self.output.is_some() || self.request.is_some()
    }

    /// Fills in the id, from what the row says.
    pub(crate) fn identified(mut self, book: &str) -> Self {
        let amounts = [
            self.input,
            self.cache_read,
            self.cache_write,
            self.output,
            self.reasoning,
            self.request,
        ];
        let mut told = format!("{:?} {:?}", self.from_unix_nano, self.until_unix_nano);
        for amount in amounts {
            told.push(' ');
            if let Some(amount) = amount {
                told.push_str(&amount.normalize().to_string());
            }
        }
        self.id = format!("{book}:{}:{:08x}", self.model, fnv(&told));
        self
    }
}

/// FNV-1a: short, and the same in every build. It tells apart two prices of one model, no more.
fn fnv(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_instant_is_in_and_the_last_is_out() {
        let price = Price {
            from_unix_nano: Some(10),
            until_unix_nano: Some(20),
            ..Price::default()
        };
        assert_eq!(
            [9, 10, 19, 20].map(|at| price.in_force(at)),
            [false, true, true, false]
        );
        assert!(Price::default().in_force(i64::MIN));
    }

    #[test]
    fn an_id_tells_prices_of_one_model_apart_and_nothing_else() {
        let price = |input| Price {
            model: "m".into(),
            input: Some(Decimal::new(input, 6)),
            ..Price::default()
        };
        assert_eq!(price(250).identified("b").id, price(250).identified("b").id);
        assert_ne!(price(250).identified("b").id, price(251).identified("b").id);
        let mut spelled_longer = price(0);
        spelled_longer.input = Some(Decimal::new(2500, 7));
        assert_eq!(
            price(250).identified("b").id,
            spelled_longer.identified("b").id
        );
    }
}
