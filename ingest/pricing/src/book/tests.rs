#![allow(clippy::unwrap_used)]
use rust_decimal::Decimal;

use super::*;
use crate::{Amounts, When};

fn row(model: &str, input: i64, from: Option<i64>, until: Option<i64>) -> Entry {
    let amounts = Amounts {
        input: Some(Decimal::new(input, 6)),
        ..Amounts::default()
    };
    let price = Price {
        amounts,
        ..Price::default()
    };
    Entry {
        model: model.into(),
        from_unix_nano: from,
        until_unix_nano: until,
        prices: vec![price],
        ..Entry::default()
    }
    .identified()
}

fn book(entries: Vec<Entry>) -> Book {
    Book::of("test", entries, Vec::new()).unwrap()
}

fn input(book: &Book, call: &Call<'_>) -> Option<i64> {
    use rust_decimal::prelude::ToPrimitive as _;
    let price = book.find(call, Some(1))?;
    (price.amounts.input? * Decimal::from(1_000_000)).to_i64()
}

fn found<'a>(
    book: &'a Book,
    response: Option<&'a str>,
    request: Option<&'a str>,
    at: i64,
) -> Option<&'a str> {
    let call = Call {
        response_model: response,
        request_model: request,
        start_unix_nano: at,
        ..Call::default()
    };
    book.find(&call, None).map(|p| p.model.as_str())
}

#[test]
fn the_exact_name_comes_before_its_family_and_the_response_before_the_request() {
    let book = book(vec![
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
    let book = book(vec![
        row("m", 2, None, Some(100)),
        row("m", 4, Some(100), Some(200)),
    ]);
    let at = |at| {
        let call = Call {
            response_model: Some("m"),
            start_unix_nano: at,
            ..Call::default()
        };
        input(&book, &call)
    };
    assert_eq!(
        [99, 100, 199, 200].map(at),
        [Some(2), Some(4), Some(4), None]
    );
}

#[test]
fn the_seller_sets_the_price() {
    let sold = |provider: &str, elsewhere, input| Entry {
        provider: Some(provider.into()),
        elsewhere,
        ..row("m", input, None, None)
    };
    let book = book(vec![
        sold("maker", true, 1),
        sold("groq", false, 2),
        sold("x_ai", false, 3),
    ]);
    let by = |provider| {
        let call = Call {
            provider,
            response_model: Some("m"),
            ..Call::default()
        };
        input(&book, &call)
    };
    assert_eq!(by(Some("groq")), Some(2));
    assert_eq!(by(Some("xAI")), Some(3), "in any spelling");
    assert_eq!(
        by(Some("azure")),
        Some(1),
        "who has no entry sells at the maker's price"
    );
    assert_eq!(by(None), Some(1));
}

#[test]
fn a_name_comes_before_a_pattern_and_a_pattern_ends_where_it_says() {
    let family = Entry {
        patterns: vec!["m-4-*".into()],
        ..row("family", 1, None, None)
    };
    let book = book(vec![family, row("m-4-mini", 2, None, None)]);
    assert_eq!(found(&book, Some("m-4-mini"), None, 0), Some("m-4-mini"));
    assert_eq!(found(&book, Some("m-4-large"), None, 0), Some("family"));
    assert_eq!(found(&book, Some("m-4o"), None, 0), None);
}

#[test]
fn what_was_negotiated_speaks_for_the_model_whole() {
    let mut own = row("m", 1, Some(10), None);
    own.workspace = Some("acme".into());
    own.prices[0].when.service_tier = Some("standard".into());
    let base = book(vec![row("m", 5, None, None), row("n", 6, None, None)]);
    let book = base.under(book(vec![own]));
    let of = |workspace, model, tier, at| {
        let call = Call {
            workspace,
            response_model: Some(model),
            service_tier: tier,
            start_unix_nano: at,
            ..Call::default()
        };
        input(&book, &call)
    };
    assert_eq!(of(Some("acme"), "m", None, 20), Some(1));
    assert_eq!(of(Some("acme"), "m", None, 9), Some(5), "not yet in force");
    assert_eq!(of(Some("other"), "m", None, 20), Some(5));
    assert_eq!(of(None, "m", None, 20), Some(5));
    assert_eq!(of(Some("acme"), "n", None, 20), Some(6));
    // It does not say what batch costs, and nothing is patched in from the price of others.
    assert_eq!(of(Some("acme"), "m", Some("batch"), 20), None);
    assert_eq!(of(None, "m", Some("batch"), 20), Some(5));
}

#[test]
fn what_was_known_then_can_still_be_asked() {
    let known = |at, input, from| Entry {
        known_unix_nano: Some(at),
        ..row("m", input, from, None)
    };
    // Announced at 10: 2 from 100 on. Called off at 50: it stays 1.
    let book = book(vec![
        row("m", 1, None, None),
        known(10, 2, Some(100)),
        known(50, 1, Some(100)),
    ]);
    let of = |start_unix_nano, known_unix_nano| {
        let call = Call {
            response_model: Some("m"),
            start_unix_nano,
            known_unix_nano,
            ..Call::default()
        };
        input(&book, &call)
    };
    assert_eq!(of(150, Some(9)), Some(1));
    assert_eq!(of(150, Some(10)), Some(2));
    assert_eq!(of(150, Some(49)), Some(2));
    assert_eq!(of(150, Some(50)), Some(1));
    assert_eq!(of(150, None), Some(1));
    assert_eq!(of(99, Some(10)), Some(1));
}

#[test]
fn a_price_that_hangs_on_the_length_needs_the_length() {
    let mut entry = row("m", 1, None, None);
    entry.prices[0].when = When {
        input_up_to: Some(10),
        ..When::default()
    };
    let book = book(vec![entry]);
    let call = Call {
        response_model: Some("m"),
        ..Call::default()
    };
    assert!(book.find(&call, Some(10)).is_some());
    assert!(book.find(&call, Some(11)).is_none());
    assert!(book.find(&call, None).is_none());
}

#[test]
fn what_is_quarantined_is_in_the_book_but_not_in_force() {
    let mut entry = row("m", 1, None, None);
    entry.quarantined = Some("jumps".into());
    let book = book(vec![entry.clone(), entry]);
    assert_eq!(book.entries().count(), 2);
    assert_eq!(found(&book, Some("m"), None, 0), None);
}

#[test]
fn a_tool_has_a_price_by_name_workspace_and_time() {
    let fee = |workspace: Option<&str>, cents, from| ToolPrice {
        workspace: workspace.map(str::to_owned),
        tool: "search".into(),
        per_call: Decimal::new(cents, 2),
        from_unix_nano: from,
        ..ToolPrice::default()
    };
    let book = Book::of(
        "test",
        Vec::new(),
        vec![fee(None, 2, Some(100)), fee(Some("acme"), 1, None)],
    )
    .unwrap();
    let of = |workspace, tool, at| book.tool(workspace, tool, at, None).map(|t| t.per_call);
    assert_eq!(of(Some("acme"), "search", 0), Some(Decimal::new(1, 2)));
    assert_eq!(of(Some("other"), "search", 100), Some(Decimal::new(2, 2)));
    assert_eq!(of(None, "search", 99), None);
    assert_eq!(of(None, "searches", 100), None);
}
