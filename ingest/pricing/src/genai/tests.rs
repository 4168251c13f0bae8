#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;
use crate::{Book, Call, Tokens};

fn book(text: &str) -> Book {
    Book::of("t", entries(text, "t").unwrap(), Vec::new()).unwrap()
}

fn total(book: &Book, model: &str, tier: &str, at: &str, input: i64, read: i64) -> Option<Decimal> {
    let call = Call {
        provider: Some("maker"),
        response_model: Some(model),
        service_tier: Some(tier),
        start_unix_nano: format::instant(at).unwrap(),
        ..Call::default()
    };
    let tokens = Tokens {
        input: Some(input),
        cache_read: Some(read),
        output: Some(1_000),
        ..Tokens::default()
    };
    book.charge(&call, &tokens).map(|(_, cost)| cost.total)
}

fn dec(text: &str) -> Option<Decimal> {
    Decimal::from_str_exact(text).ok()
}

#[test]
fn dates_lengths_tiers_and_hours_become_prices_of_their_own() {
    let text = r#"[{"id": "maker", "name": "Maker", "model_match": {"contains": "m-"}, "models": [
        {"id": "m-1", "match": {"or": [{"equals": "m-one"}, {"starts_with": "m-1"}, {"regex": "^x"}]},
         "prices": [{"prices": {"input_mtok": {"base": 5, "tiers": [{"start": 200000, "price": 10}]}, "output_mtok": 25}},
                    {"constraint": {"start_date": "2026-03-13"}, "prices": {"input_mtok": 5, "cache_read_mtok": 0.5, "output_mtok": 25}}],
         "price_variants": [{"when": {"processing": "batch"}, "prices": {"input_mtok": 2.5, "output_mtok": 12.5}, "constraint": {"start_date": "2026-10-14"}},
                            {"when": {"route": "eu"}, "prices": {"input_mtok": 99}}, {"when": {"service_tier": "default"}, "prices": {}}]},
        {"id": "m-2", "prices": [{"prices": {"input_mtok": 0.66, "output_mtok": 1.98}},
            {"constraint": {"start_time": "01:00:00+00:00", "end_time": "04:00:00+00:00"}, "prices": {"input_mtok": 1.32, "output_mtok": 3.96}}]}]}]"#;
    let book = book(text);
    let of = |model, tier, at, input, read| total(&book, model, tier, at, input, read);
    assert_eq!(of("m-1", "", "2026-03-12", 250_000, 0), dec("2.525"));
    assert_eq!(of("m-one", "", "2026-03-13", 250_000, 0), dec("1.275"));
    assert_eq!(of("m-1", "batch", "2026-10-13", 10_000, 0), None);
    assert_eq!(of("m-1", "batch", "2026-10-14", 10_000, 0), dec("0.0375"));
    // A variant that leaves the cache out leaves its price as it is: 5,000 x 2.5 + 5,000 x 0.5 + 1,000 x 12.5.
    assert_eq!(
        of("m-1", "batch", "2026-10-14", 10_000, 5_000),
        dec("0.0275")
    );
    assert_eq!(
        of("m-2", "", "2026-10-14T02:00:00Z", 10_000, 0),
        dec("0.01716")
    );
    assert_eq!(
        of("m-2", "", "2026-10-14T04:00:00Z", 10_000, 0),
        dec("0.00858")
    );
}

#[test]
fn what_is_wrong_is_named() {
    let model =
        |prices: &str| format!(r#"[{{"id": "p", "models": [{{"id": "m", "prices": {prices}}}]}}]"#);
    for (prices, part) in [
        (r#"{"input_mtok": "x"}"#, "input_mtok"),
        (r#"{"input_mtok": {"base": 1}}"#, "tiers"),
        (
            r#"[{"constraint": {"start_date": "soon"}, "prices": {}}]"#,
            "soon",
        ),
        (
            r#"[{"constraint": {"start_time": "noon"}, "prices": {}}]"#,
            "noon",
        ),
        ("7", "p m"),
    ] {
        let error = entries(&model(prices), "f.json").unwrap_err().to_string();
        assert!(error.contains("f.json") && error.contains(part), "{error}");
    }
    assert!(matches!(entries("{}", "t"), Err(Error::NotABook { .. })));
}

/// The whole of genai-prices' own data, where it lies beside the workspace.
#[test]
fn the_real_file_is_read_and_says_one_thing_of_every_call() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/reference/prices/genai-prices-0.2.3.json");
    let Ok(text) = std::fs::read_to_string(path) else {
        return;
    };
    let book = book(&text);
    assert!(book.entries().count() > 2_000);
    let call = Call {
        response_model: Some("gpt-6.1-sol"),
        start_unix_nano: format::instant("2026-11-21").unwrap(),
        ..Call::default()
    };
    let tokens = Tokens {
        input: Some(272_001),
        output: Some(1_000),
        ..Tokens::default()
    };
    let (_, cost) = book.charge(&call, &tokens).unwrap();
    assert_eq!(Some(cost.total), dec("1.103004"));
}

proptest! {
    #[test]
    fn garbage_is_an_error_or_a_book_but_never_a_panic(text in "\\PC{0,200}", value in "\\PC{0,30}", number in any::<i64>()) {
        let _ = entries(&text, "t");
        for prices in [
            value.clone(),
            format!("{{\"input_mtok\": {value:?}}}"),
            format!("{{\"input_mtok\": {{\"base\": {number}, \"tiers\": [{{\"start\": {number}, \"price\": {number}}}]}}}}"),
            format!("[{{\"constraint\": {{\"start_date\": {value:?}, \"end_time\": {value:?}}}, \"prices\": {{\"input_mtok\": {number}}}}}]"),
        ] {
            let _ = entries(&format!(r#"[{{"id": {value:?}, "models": [{{"id": "m", "prices": {prices}}}]}}]"#), "t");
        }
    }
}

#[test]
fn audio_and_images_are_components() {
    let text = r#"[{"id": "maker", "models": [{"id": "m", "prices": {"input_mtok": 4, "output_mtok": 24, "input_audio_mtok": 32,
        "output_audio_mtok": 64, "input_image_mtok": 5, "output_image_mtok": 30}}]}]"#;
    let entries = entries(text, "t").unwrap();
    let amounts = entries[0].prices[0].amounts;
    assert_eq!(amounts.audio_input, dec("0.000032"));
    assert_eq!(amounts.audio_output, dec("0.000064"));
    assert_eq!(amounts.image_input, dec("0.000005"));
    assert_eq!(amounts.image_output, dec("0.00003"));
}
