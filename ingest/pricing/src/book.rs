//! The book: prices by model name and time.

use std::collections::HashMap;
use std::path::Path;

use crate::{Cost, Error, Price, Result, Tokens, builtin, cost, litellm, name};

/// Prices by model name and time.
#[derive(Debug, Clone, Default)]
pub struct Book {
    prices: Vec<Price>,
    by_model: HashMap<String, Vec<usize>>,
}

/// What a call tells of the price it should have.
#[derive(Debug, Clone, Copy, Default)]
pub struct Call<'a> {
    /// Model used: looked up first, in every spelling.
    pub response_model: Option<&'a str>,
    /// Model asked for: an alias may move in time, so it comes second.
    pub request_model: Option<&'a str>,
    /// Start of the call, nanoseconds since 1970.
    pub start_unix_nano: i64,
}

impl Book {
    /// A book of these prices. Where two of one model are in force at once, the later begun wins.
    #[must_use]
    pub fn of(mut prices: Vec<Price>) -> Self {
        prices.sort_by_key(|price| std::cmp::Reverse(price.from_unix_nano));
        let mut by_model: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, price) in prices.iter().enumerate() {
            by_model.entry(price.model.clone()).or_default().push(index);
        }
        Self { prices, by_model }
    }

    /// The small book that comes with Flyball: current models of OpenAI, Anthropic and Google that have
    /// one price whatever the length of the context, and the two models of the demo.
    ///
    /// # Errors
    /// When the list in this crate is broken, which its tests rule out.
    pub fn builtin() -> Result<Self> {
        builtin::prices().map(Self::of)
    }

    /// A book in LiteLLM's format (a JSON object by model name), valid for all time. Numbers are read as
    /// exact decimals; unknown fields, entries without a price a token, and `sample_spec` are passed over.
    ///
    /// # Errors
    /// When the text is no such object, or a price is not a non-negative decimal: names the model, the
    /// field and the value.
    pub fn litellm(text: &str, source: &str) -> Result<Self> {
        litellm::prices(text, source).map(Self::of)
    }

    /// [`Book::litellm`] from a file.
    ///
    /// # Errors
    /// As [`Book::litellm`], and when the file cannot be read.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Self::litellm(&text, &path.display().to_string())
    }

    /// Every price in the book.
    #[must_use]
    pub fn prices(&self) -> &[Price] {
        &self.prices
    }

    /// The price in force for a call: by the response model as it stands, then by its plainer
    /// [spellings](name::spellings), then the same by the request model.
    #[must_use]
    pub fn find(&self, call: &Call<'_>) -> Option<&Price> {
        let names = [call.response_model, call.request_model];
        names
            .into_iter()
            .flatten()
            .flat_map(name::spellings)
            .find_map(|name| {
                let rows = self.by_model.get(&name)?;
                rows.iter()
                    .map(|row| &self.prices[*row])
                    .find(|price| price.in_force(call.start_unix_nano))
            })
    }

    /// What a call costs, and by which price; `None` when it has none (see [`cost()`]).
    #[must_use]
    pub fn charge(&self, call: &Call<'_>, tokens: &Tokens) -> Option<(&Price, Cost)> {
        let price = self.find(call)?;
        cost(price, tokens).map(|cost| (price, cost))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rust_decimal::Decimal;

    use super::*;

    fn row(model: &str, input: i64, from: Option<i64>, until: Option<i64>) -> Price {
        Price {
            model: model.into(),
            input: Some(Decimal::new(input, 6)),
            from_unix_nano: from,
            until_unix_nano: until,
            ..Price::default()
        }
    }

    fn found<'a>(
        book: &'a Book,
        response: Option<&'a str>,
        request: Option<&'a str>,
        at: i64,
    ) -> Option<&'a str> {
        book.find(&Call {
            response_model: response,
            request_model: request,
            start_unix_nano: at,
        })
        .map(|p| p.model.as_str())
    }

    #[test]
    fn the_exact_name_comes_before_its_family_and_the_response_before_the_request() {
        let book = Book::of(vec![
            row("m", 1, None, None),
            row("m-2026-01-01", 2, None, None),
            row("n", 3, None, None),
        ]);
        assert_eq!(
            found(&book, Some("m-2026-01-01"), Some("n"), 0),
            Some("m-2026-01-01")
        );
        assert_eq!(found(&book, Some("m-2025-12-31"), Some("n"), 0), Some("m"));
        assert_eq!(found(&book, Some("my-deployment"), Some("n"), 0), Some("n"));
        assert_eq!(found(&book, None, Some("openai/m"), 0), Some("m"));
        assert_eq!(found(&book, Some("mm"), None, 0), None);
        assert_eq!(found(&book, None, None, 0), None);
    }

    #[test]
    fn the_price_is_the_one_in_force_when_the_call_began() {
        let book = Book::of(vec![
            row("m", 2, None, Some(100)),
            row("m", 4, Some(100), None),
        ]);
        let input = |at| {
            book.find(&Call {
                response_model: Some("m"),
                request_model: None,
                start_unix_nano: at,
            })
            .unwrap()
            .input
        };
        assert_eq!(input(99), Some(Decimal::new(2, 6)));
        assert_eq!(input(100), Some(Decimal::new(4, 6)));
    }

    #[test]
    fn a_family_price_out_of_force_is_no_price() {
        let book = Book::of(vec![row("m", 2, Some(10), Some(20))]);
        assert_eq!(found(&book, Some("m"), None, 5), None);
        assert_eq!(found(&book, Some("m"), None, 15), Some("m"));
    }
}
