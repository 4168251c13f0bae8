//! The small book that comes with Flyball.

use rust_decimal::Decimal;
use serde::Deserialize;

use crate::{Error, Price, Result, decimal};

const BOOK: &str = "builtin";
const LIST: &str = include_str!("builtin.json");

/// A row of the list: US dollars a million tokens, as vendors quote them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    provider: String,
    model: String,
    input: Option<String>,
    cache_read: Option<String>,
    cache_write: Option<String>,
    output: Option<String>,
    from: Option<String>,
    until: Option<String>,
    source: String,
    source_date: String,
}

/// Its prices.
pub(crate) fn prices() -> Result<Vec<Price>> {
    let rows: Vec<Row> = serde_json::from_str(LIST).map_err(|e| Error::NotABook {
        book: BOOK.to_owned(),
        problem: e.to_string(),
    })?;
    rows.iter().map(price).collect()
}

fn price(row: &Row) -> Result<Price> {
    let amount = |field: &str, value: &Option<String>| a_token(&row.model, field, value.as_deref());
    let price = Price {
        id: String::new(),
        model: row.model.clone(),
        provider: Some(row.provider.clone()),
        input: amount("input", &row.input)?,
        cache_read: amount("cache_read", &row.cache_read)?,
        cache_write: amount("cache_write", &row.cache_write)?,
        output: amount("output", &row.output)?,
        reasoning: None,
        request: None,
        from_unix_nano: day(&row.model, "from", row.from.as_deref())?,
        until_unix_nano: day(&row.model, "until", row.until.as_deref())?,
        source: row.source.clone(),
        source_date: row.source_date.clone(),
    };
    Ok(price.identified(BOOK))
}

fn a_token(model: &str, field: &str, a_million: Option<&str>) -> Result<Option<Decimal>> {
    let Some(text) = a_million else {
        return Ok(None);
    };
    let amount = decimal::exact(&format!("{text}e-6")).filter(|amount| !amount.is_sign_negative());
    amount.map(Some).ok_or_else(|| Error::BadAmount {
        book: BOOK.to_owned(),
        model: model.to_owned(),
        field: field.to_owned(),
        value: text.to_owned(),
    })
}

fn day(model: &str, field: &str, day: Option<&str>) -> Result<Option<i64>> {
    let Some(text) = day else { return Ok(None) };
    let midnight = text
        .parse::<chrono::NaiveDate>()
        .ok()
        .and_then(|day| day.and_hms_opt(0, 0, 0))
        .and_then(|at| at.and_utc().timestamp_nanos_opt());
    midnight.map(Some).ok_or_else(|| Error::BadDay {
        book: BOOK.to_owned(),
        model: model.to_owned(),
        field: field.to_owned(),
        value: text.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::HashSet;

    use super::*;
    use crate::{Book, Call, Tokens};

    #[test]
    fn the_list_is_sound() {
        let prices = prices().unwrap();
        assert!(prices.len() > 20);
        let ids: HashSet<_> = prices.iter().map(|p| p.id.as_str()).collect();
        assert_eq!(ids.len(), prices.len(), "ids are distinct");
        for price in &prices {
            assert!(
                price.input.is_some() && !price.source.is_empty() && price.source_date.len() == 10,
                "{price:?}"
            );
        }
    }

    /// Instants either side of an announced change: 10,000 tokens in and 1,000 out.
    #[test]
    fn an_announced_change_takes_effect_at_midnight() {
        let book = Book::builtin().unwrap();
        let midnight = day("", "", Some("2026-12-01")).unwrap().unwrap();
        let used = Tokens {
            input: Some(10_000),
            output: Some(1_000),
            ..Tokens::default()
        };
        let total = |at| {
            let call = Call {
                response_model: Some("gemini-4-argon"),
                request_model: None,
                start_unix_nano: at,
            };
            book.charge(&call, &used).unwrap().1.total
        };
        assert_eq!(total(midnight - 1), Decimal::new(3, 2));
        assert_eq!(total(midnight), Decimal::new(6, 2));
    }

    #[test]
    fn the_demo_is_priced() {
        let book = Book::builtin().unwrap();
        for model in ["flyball-demo-large", "flyball-demo-small"] {
            assert!(
                book.find(&Call {
                    request_model: Some(model),
                    ..Call::default()
                })
                .is_some()
            );
        }
    }
}
