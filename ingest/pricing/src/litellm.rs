//! LiteLLM's format: one JSON object, a model a key, prices in US dollars a token.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::value::RawValue;

use crate::{Error, Price, Result, decimal};

/// LiteLLM's own explanation of its format stands among the models under this name.
const EXPLANATION: &str = "sample_spec";

type Entry<'a> = BTreeMap<String, &'a RawValue>;

/// The prices of a book in LiteLLM's format.
pub(crate) fn prices(text: &str, source: &str) -> Result<Vec<Price>> {
    let not_a_book = |problem: String| Error::NotABook {
        book: source.to_owned(),
        problem,
    };
    let models: BTreeMap<String, &RawValue> =
        serde_json::from_str(text).map_err(|e| not_a_book(e.to_string()))?;
    let mut prices = Vec::new();
    for (model, entry) in models {
        if model == EXPLANATION {
            continue;
        }
        let entry: Entry<'_> = serde_json::from_str(entry.get())
            .map_err(|e| not_a_book(format!("model {model}: {e}")))?;
        let amount = |field: &str| amount(source, &model, field, &entry);
        let price = Price {
            input: amount("input_cost_per_token")?,
            cache_read: amount("cache_read_input_token_cost")?,
            cache_write: amount("cache_creation_input_token_cost")?,
            output: amount("output_cost_per_token")?,
            reasoning: amount("output_cost_per_reasoning_token")?,
            request: amount("input_cost_per_request")?,
            provider: entry
                .get("litellm_provider")
                .and_then(|v| serde_json::from_str(v.get()).ok()),
            source: source.to_owned(),
            model,
            ..Price::default()
        };
        // Images, seconds of audio and the like: nothing that a token count could be held against.
        if price.says_something() {
            prices.push(price.identified("litellm"));
        }
    }
    Ok(prices)
}

fn amount(book: &str, model: &str, field: &str, entry: &Entry<'_>) -> Result<Option<Decimal>> {
    let Some(raw) = entry.get(field).map(|raw| raw.get()) else {
        return Ok(None);
    };
    if raw == "null" {
        return Ok(None);
    }
    // A number written as a string is still that number.
    match decimal::exact(raw.trim_matches('"')) {
        Some(amount) if !amount.is_sign_negative() => Ok(Some(amount)),
        _ => Err(Error::BadAmount {
            book: book.to_owned(),
            model: model.to_owned(),
            field: field.to_owned(),
            value: raw.chars().take(80).collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn numbers_are_exact_and_what_is_unknown_is_passed_over() {
        let text = r#"{
            "sample_spec": {"input_cost_per_token": "what a token costs", "mode": "one of: chat, ..."},
            "m": {"input_cost_per_token": 1.5E-7, "output_cost_per_token": "6e-07", "litellm_provider": "openai",
                  "cache_read_input_token_cost": 7.5e-8, "supports_vision": true, "search_context_cost_per_query": {"a": [1]}},
            "picture": {"output_cost_per_image": 0.04, "mode": "image_generation"},
            "half": {"input_cost_per_token": 2e-8, "output_cost_per_token": null}
        }"#;
        let prices = prices(text, "test").unwrap();
        assert_eq!(
            prices.iter().map(|p| p.model.as_str()).collect::<Vec<_>>(),
            ["half", "m"]
        );
        let m = &prices[1];
        assert_eq!(m.input, Decimal::from_str_exact("0.00000015").ok());
        assert_eq!(m.output, Decimal::from_str_exact("0.0000006").ok());
        assert_eq!(m.cache_read, Decimal::from_str_exact("0.000000075").ok());
        assert_eq!(
            (m.cache_write, m.provider.as_deref()),
            (None, Some("openai"))
        );
        assert!(m.in_force(i64::MIN) && m.in_force(i64::MAX));
    }

    #[test]
    fn a_bad_price_is_named() {
        for value in ["-1e-7", "\"free\"", "{}", "true", "1e-40"] {
            let text = format!(r#"{{"gpt-x": {{"input_cost_per_token": {value}}}}}"#);
            let error = prices(&text, "book.json").unwrap_err().to_string();
            for part in ["book.json", "gpt-x", "input_cost_per_token", value] {
                assert!(error.contains(part), "{error}");
            }
        }
    }

    #[test]
    fn what_is_no_book_is_an_error() {
        for text in [
            "",
            "[]",
            "{\"m\": 1}",
            "{\"m\": {\"input_cost_per_token\": 1e-7}",
            "null",
        ] {
            assert!(
                matches!(prices(text, "t"), Err(Error::NotABook { .. })),
                "{text}"
            );
        }
    }
}
