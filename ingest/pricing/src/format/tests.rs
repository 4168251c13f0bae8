#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;

fn file(entry: &str) -> String {
    format!(r#"{{"format": "flyball-prices/1", "name": "mine", "entries": [{entry}]}}"#)
}

#[test]
fn a_file_says_all_that_an_entry_holds_and_is_written_as_it_was_read() {
    let text = file(
        r#"{"workspace": "acme", "provider": "Google", "elsewhere": true, "model": "m", "aliases": ["n"], "patterns": ["M-*"],
        "valid_from": "2026-01-01", "valid_to": "2026-02-01T12:00:00Z", "known_at": "2025-12-24T00:00:00Z",
        "source": "contract 7", "source_date": "2025-12-24", "prices": [
        {"service_tier": "Default", "input_up_to": 200000, "hours_utc": ["mon-fri 01:00-04:00"], "input": "2.5", "cache_read": 1e-1,
         "cache_write": 3.125, "cache_write_1h": "5", "output": "10", "reasoning": 12, "request": "0.01"},
        {"service_tier": "batch", "input": 0, "output": "0.0000028"}]}"#,
    );
    let read = book(&text, "mine.json").unwrap();
    let entry = read.entries().next().unwrap();
    assert_eq!(entry.provider.as_deref(), Some("gcp.gemini"));
    assert_eq!(entry.patterns, ["m-*"]);
    assert_eq!(entry.from_unix_nano, Some(1_767_225_600_000_000_000));
    assert_eq!(
        entry.prices[0].when.service_tier.as_deref(),
        Some("standard")
    );
    let amounts = &entry.prices[0].amounts;
    assert_eq!(amounts.input, Some(Decimal::new(25, 7)));
    assert_eq!(amounts.cache_read, Some(Decimal::new(1, 7)));
    assert_eq!(amounts.request, Some(Decimal::new(1, 2)));
    assert_eq!(entry.prices[1].amounts.output, Some(Decimal::new(28, 13)));
    assert!(entry.prices[0].id.starts_with("mine:m:"));
    let again = book(&write("mine", &read).unwrap(), "again").unwrap();
    assert!(again.entries().eq(read.entries()));
}

#[test]
fn what_is_wrong_is_named_with_entry_field_value_and_what_is_accepted() {
    for (entry, parts) in [
        (
            r#"{"model": "m", "prices": [{"input": "-1"}]}"#,
            ["entry 1 (model m)", "input", "-1", "non-negative"],
        ),
        (
            r#"{"model": "m", "prices": [{"input": "free"}]}"#,
            ["entry 1 (model m)", "input", "free", "1.5e-7"],
        ),
        (
            r#"{"model": "m", "prices": [{"input": 1e-40}]}"#,
            ["entry 1 (model m)", "input", "1e-40", "28 digits"],
        ),
        (
            r#"{"model": "m", "prices": []}"#,
            ["entry 1 (model m)", "prices", "[]", "at least one"],
        ),
        (
            r#"{"model": "m", "prices": [{}]}"#,
            [
                "entry 1 (model m)",
                "prices",
                "{}",
                "input, output or request",
            ],
        ),
        (
            r#"{"model": " ", "prices": [{"input": 1}]}"#,
            ["entry 1", "model", "\"\"", "not empty"],
        ),
        (
            r#"{"model": "m", "valid_from": "soon", "prices": [{"input": 1}]}"#,
            ["model m", "valid_from", "soon", "2026-11-21"],
        ),
        (
            r#"{"model": "m", "valid_from": "2026-01-01", "valid_to": "2026-01-01", "prices": [{"input": 1}]}"#,
            ["model m", "valid_to", "2026-01-01", "after valid_from"],
        ),
        (
            r#"{"model": "m", "prices": [{"input": 1, "input_above": -1}]}"#,
            ["model m", "input_above", "-1", "0 or more"],
        ),
        (
            r#"{"model": "m", "prices": [{"input": 1, "input_above": 5, "input_up_to": 5}]}"#,
            ["model m", "input_up_to", "5", "input_above"],
        ),
        (
            r#"{"model": "m", "prices": [{"input": 1, "hours_utc": ["night"]}]}"#,
            ["model m", "hours_utc", "night", "01:00-04:00"],
        ),
        (
            r#"{"model": "m", "prices": [{"input": 1, "inptu": 2}]}"#,
            ["inptu", "flyball-prices/1", "expected", "unknown field"],
        ),
    ] {
        let error = book(&file(entry), "f.json").unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{part:?} is not in: {error}");
        }
    }
    for header in [
        r#""format": "flyball-prices/2""#,
        r#""format": "flyball-prices/1", "currency": "EUR""#,
    ] {
        let error = book(&format!("{{{header}, \"entries\": []}}"), "f").unwrap_err();
        assert!(matches!(error, Error::BadField { .. }), "{error}");
    }
}

#[test]
fn a_text_says_itself_which_format_it_is_in() {
    assert!(is_own(&file("")) && is_own(r#"{"format": "flyball-prices/9"}"#));
    assert!(!is_own(r#"{"format": {"input_cost_per_token": 1}}"#));
    assert!(!is_own("[]") && !is_own(""));
    let litellm = Book::parse(r#"{"m": {"input_cost_per_token": 1e-6}}"#, "t").unwrap();
    assert_eq!(litellm.entries().count(), 1);
}

#[test]
fn what_is_kept_out_of_force_may_be_what_no_price_may_be() {
    let text = file(r#"{"model": "m", "quarantined": "negative", "prices": [{"input": "-1"}]}"#);
    let read = book(&text, "f").unwrap();
    assert_eq!(
        read.entries().next().unwrap().quarantined.as_deref(),
        Some("negative")
    );
}

#[test]
fn a_tool_has_a_price_a_call() {
    let text = r#"{"format": "flyball-prices/1", "entries": [], "tools": [{"tool": "search", "per_call": "0.008", "valid_from": "2026-01-01"}]}"#;
    let read = book(text, "f").unwrap();
    let tool = read.tools().next().unwrap();
    assert_eq!(tool.per_call, Decimal::new(8, 3));
    assert!(tool.id.starts_with("book:tool/search:"));
    let again = book(&write("book", &read).unwrap(), "again").unwrap();
    assert!(again.tools().eq(read.tools()));
    let twice = text.replace("}]}", "}, {\"tool\": \"search\", \"per_call\": 1}]}");
    assert!(matches!(
        book(&twice, "f"),
        Err(Error::EntriesOverlap { .. })
    ));
}

proptest! {
    #[test]
    fn garbage_is_an_error_but_never_a_panic(text in "\\PC{0,200}", value in "\\PC{0,30}") {
        let _ = book(&text, "t");
        for field in ["model", "valid_from", "known_at", "provider", "patterns"] {
            let _ = book(&file(&format!(r#"{{"model": "m", "{field}": {value:?}, "prices": [{{"input": 1}}]}}"#)), "t");
        }
        for field in ["input", "hours_utc", "input_above", "service_tier"] {
            let _ = book(&file(&format!(r#"{{"model": "m", "prices": [{{"input": 1, "{field}": {value:?}}}]}}"#)), "t");
            let _ = book(&file(&format!(r#"{{"model": "m", "prices": [{{"output": 1, "{field}": {value}}}]}}"#)), "t");
        }
    }

    #[test]
    fn every_number_is_kept_exactly(mantissa in 0i64.., scale in 0u32..20) {
        let number = Decimal::new(mantissa, scale).normalize();
        for text in [format!("\"{number}\""), format!("{mantissa}e-{scale}")] {
            let read = book(&file(&format!(r#"{{"model": "m", "prices": [{{"input": {text}}}]}}"#)), "t");
            let Ok(read) = read else { continue };
            let price = read.entries().next().unwrap().prices[0].amounts.input.unwrap();
            prop_assert_eq!(price * Decimal::from(1_000_000), number);
            let again = book(&write("mine", &read).unwrap(), "t").unwrap();
            prop_assert!(again.entries().eq(read.entries()));
        }
    }
}

#[test]
fn audio_and_images_are_written_as_they_are_read() {
    let text = r#"{"format": "flyball-prices/1", "entries": [{"model": "m", "prices": [{"input": "4", "output": "24",
        "audio_input": "32", "image_input": "5", "audio_output": "64", "image_output": "30"}]}]}"#;
    let read = book(text, "test").unwrap();
    let amounts = |book: &Book| book.entries().next().unwrap().prices[0].amounts;
    assert_eq!(amounts(&read).audio_input, Some(Decimal::new(32, 6)));
    assert_eq!(amounts(&read).image_output, Some(Decimal::new(30, 6)));
    let again = book(&write("test", &read).unwrap(), "test").unwrap();
    assert_eq!(amounts(&again), amounts(&read));
}
