#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;
use crate::{Call, Tokens};

fn dec(text: &str) -> Option<Decimal> {
    Decimal::from_str_exact(text).ok()
}

#[test]
fn numbers_are_exact_and_what_is_unknown_is_passed_over() {
    let text = r#"{
        "sample_spec": {"input_cost_per_token": "what a token costs", "mode": "one of: chat, ..."},
        "m": {"input_cost_per_token": 1.5E-7, "output_cost_per_token": "6e-07", "litellm_provider": "openai",
              "cache_read_input_token_cost": 7.5e-8, "supports_vision": true, "search_context_cost_per_query": {"a": [1]}},
        "picture": {"output_cost_per_image": 0.04, "mode": "image_generation"},
        "half": {"input_cost_per_token": 2e-8, "output_cost_per_token": null}
    }"#;
    let entries = entries(text, "test", false).unwrap();
    let models: Vec<_> = entries.iter().map(|e| e.model.as_str()).collect();
    assert_eq!(models, ["half", "m"]);
    let m = &entries[1];
    let [price] = &m.prices[..] else {
        panic!("{m:?}")
    };
    assert_eq!(price.when, When::default());
    assert_eq!(price.amounts.input, dec("0.00000015"));
    assert_eq!(price.amounts.output, dec("0.0000006"));
    assert_eq!(price.amounts.cache_read, dec("0.000000075"));
    assert_eq!(price.amounts.cache_write, price.amounts.input);
    assert_eq!(m.provider.as_deref(), Some("openai"));
    assert!(m.in_force(i64::MIN) && m.in_force(i64::MAX));
}

#[test]
fn a_bad_price_is_named() {
    for value in ["-1e-7", "\"free\"", "{}", "true", "1e-40"] {
        let text = format!(r#"{{"gpt-x": {{"input_cost_per_token": {value}}}}}"#);
        let error = book(&text, "book.json").unwrap_err().to_string();
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
            matches!(book(text, "t"), Err(Error::NotABook { .. })),
            "{text}"
        );
    }
}

fn total(
    book: &Book,
    model: &str,
    tier: Option<&str>,
    at: &str,
    input: i64,
    read: i64,
) -> Option<Decimal> {
    let call = Call {
        response_model: Some(model),
        service_tier: tier,
        start_unix_nano: crate::format::instant(at).unwrap(),
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

#[test]
fn lengths_and_tiers_stand_in_the_names_of_the_fields() {
    let text = r#"{"m": {"input_cost_per_token": 2e-6, "output_cost_per_token": 1e-5, "cache_read_input_token_cost": 1e-7,
        "input_cost_per_token_above_272k_tokens": 4e-6, "output_cost_per_token_above_272k_tokens": 1.5e-5,
        "cache_read_input_token_cost_above_272k_tokens": 2e-7,
        "cache_creation_input_token_cost": 2.5e-6, "cache_creation_input_token_cost_above_1hr": 4e-6,
        "input_cost_per_token_batches": 1e-6, "output_cost_per_token_batches": 5e-6,
        "input_cost_per_token_priority": 4e-6, "output_cost_per_token_priority": 2e-5,
        "input_cost_per_token_above_272k_tokens_priority": 8e-6, "output_cost_per_token_above_272k_tokens_priority": 3e-5,
        "input_cost_per_token_decisions": 9, "cache_creation_input_token_cost_above_12hr": 9}}"#;
    let book = book(text, "t").unwrap();
    let of = |tier, input, read| total(&book, "m", tier, "2026-11-21", input, read);
    assert_eq!(of(None, 272_000, 0), dec("0.554"));
    assert_eq!(of(None, 272_001, 0), dec("1.103004"));
    assert_eq!(of(None, 300_000, 200_000), dec("0.455"));
    assert_eq!(of(Some("batch"), 10_000, 0), dec("0.015"));
    assert_eq!(of(Some("batch"), 272_001, 0), None, "not told above 272k");
    assert_eq!(
        of(Some("batch"), 10_000, 1),
        None,
        "nor what a cache read costs"
    );
    assert_eq!(of(Some("fast"), 272_001, 0), dec("2.206008"));
    assert_eq!(of(Some("flex"), 1, 0), None);
    let call = Call {
        response_model: Some("m"),
        ..Call::default()
    };
    let hour = book.find(&call, Some(1)).unwrap().amounts.cache_write_1h;
    assert_eq!(hour, dec("0.000004"));
}

#[test]
fn off_peak_is_a_price_of_its_own_hours() {
    let text = r#"{"deepseek/d": {"litellm_provider": "deepseek", "input_cost_per_token": 1.32e-6, "output_cost_per_token": 3.96e-6,
        "input_cost_per_token_cache_hit": 4.4e-8, "off_peak_pricing": {"input_cost_per_token": 6.6e-7,
        "cache_read_input_token_cost": 2.2e-8, "output_cost_per_token": 1.98e-6, "windows": [
        {"hours_utc": ["00:00-01:00", "04:00-06:00", "10:00-00:00"], "weekdays": [1,2,3,4,5]}, {"hours_utc": "00:00-00:00", "weekdays": [6,7]}]}}}"#;
    let book = book(text, "t").unwrap();
    let of = |at| total(&book, "deepseek/d", None, at, 10_000, 5_000);
    assert_eq!(of("2026-11-20T02:00:00Z"), dec("0.01078"));
    assert_eq!(of("2026-11-20T12:00:00Z"), dec("0.00539"));
    assert_eq!(of("2026-11-21T02:00:00Z"), dec("0.00539"), "a Saturday");
    let own = Call {
        provider: Some("DeepSeek"),
        response_model: Some("d"),
        ..Call::default()
    };
    assert!(
        book.find(&own, Some(1)).is_some(),
        "the seller's own name of it"
    );
    let other = Call {
        provider: Some("openai"),
        ..own
    };
    assert!(book.find(&other, Some(1)).is_none());
}

#[test]
fn ranges_of_lengths_are_prices_of_the_whole_request() {
    let text = r#"{"q": {"tiered_pricing": [
        {"input_cost_per_token": 1.2e-6, "output_cost_per_token": 6e-6, "range": [0, 32000.0]},
        {"input_cost_per_token": 2.4e-6, "output_cost_per_token": 1.2e-5, "range": [32000.0, 1.28e5]}]},
        "s": {"input_cost_per_token": 0, "output_cost_per_token": 0, "tiered_pricing": [{"input_cost_per_query": 5e-3, "max_results_range": [0, 25]}]}}"#;
    let book = book(text, "t").unwrap();
    let of = |input| total(&book, "q", None, "2026-11-21", input, 0);
    // 32,000 x 1.2 + 1,000 x 6; 32,001 x 2.4 + 1,000 x 12; a millionth of each.
    assert_eq!(of(32_000), dec("0.0444"));
    assert_eq!(of(32_001), dec("0.0888024"));
    assert_eq!(of(128_001), None);
    assert_eq!(total(&book, "s", None, "2026-11-21", 5, 0), dec("0"));
}

/// The whole of LiteLLM's own file, where it lies beside the workspace.
#[test]
fn the_real_file_is_read_and_says_one_thing_of_every_call() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/reference/prices/litellm-model-prices-1.109.1.json");
    let Ok(text) = std::fs::read_to_string(path) else {
        return;
    };
    let book = book(&text, "litellm").unwrap();
    assert!(book.entries().count() > 3_000);
    let of = |tier, input| total(&book, "gpt-6.1-sol", tier, "2026-11-21", input, 0);
    assert_eq!(of(None, 272_001), dec("1.103004"));
    assert_eq!(of(Some("flex"), 10_000), dec("0.015"));
    assert_eq!(of(Some("priority"), 10_000), dec("0.06"));
}

proptest! {
    #[test]
    fn garbage_is_an_error_or_a_book_but_never_a_panic(text in "\\PC{0,200}", key in "[a-z_0-9]{0,60}", value in "\\PC{0,20}") {
        let _ = book(&text, "t");
        for name in ["input_cost_per_token", "off_peak_pricing", "tiered_pricing", &key] {
            let _ = entries(&format!(r#"{{"m": {{"input_cost_per_token": 1, "{name}": {value}}}}}"#), "t", true);
            let _ = entries(&format!(r#"{{"m": {{"input_cost_per_token{key}": 1, "{name}": {value:?}}}}}"#), "t", true);
        }
    }
}

#[test]
fn audio_and_images_are_components_and_a_tier_of_text_leaves_them_as_they_are() {
    let text = r#"{"m": {"input_cost_per_token": 4e-6, "output_cost_per_token": 24e-6, "input_cost_per_token_priority": 8e-6,
        "output_cost_per_token_priority": 48e-6, "input_cost_per_audio_token": 32e-6, "output_cost_per_audio_token": 64e-6,
        "input_cost_per_image_token": 5e-6, "output_cost_per_image_token": 30e-6}}"#;
    let entries = entries(text, "test", false).unwrap();
    assert_eq!(entries[0].prices.len(), 2);
    for price in &entries[0].prices {
        let amounts = price.amounts;
        assert_eq!(amounts.audio_input, dec("0.000032"), "{price:?}");
        assert_eq!(amounts.audio_output, dec("0.000064"));
        assert_eq!(amounts.image_input, dec("0.000005"));
        assert_eq!(amounts.image_output, dec("0.00003"));
    }
}
