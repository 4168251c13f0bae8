#![allow(clippy::unwrap_used)]
use std::collections::HashSet;

use rust_decimal::Decimal;

use super::*;
use crate::{Call, Tokens};

#[test]
fn the_list_is_sound() {
    let book = book().unwrap();
    assert!(book.entries().count() > 100);
    let prices = || book.entries().flat_map(|entry| &entry.prices);
    let ids: HashSet<_> = prices().map(|price| price.id.as_str()).collect();
    assert_eq!(ids.len(), prices().count(), "ids are distinct");
    for entry in book.entries() {
        let dated = !entry.source.is_empty() && entry.source_date.len() == 10;
        assert!(dated && entry.provider.is_some(), "{entry:?}");
        assert!(
            entry
                .prices
                .iter()
                .all(|price| price.amounts.input.is_some())
        );
    }
}

/// One request and what it cost by the vendor's list: provider, model, start, tier; input, of it read, written,
/// written for an hour; output; dollars in all, or nothing where no price may be made up.
type Worked = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    [i64; 5],
    &'static str,
);

/// Multiplied out by hand from the vendors' lists; the dates are those on which a price changed.
#[rustfmt::skip]
const WORKED: &[Worked] = &[
    ("anthropic", "claude-sonnet-5-5", "2026-11-21T12:00:00Z", "", [10_000, 8_000, 1_000, 0, 500], "0.0103"),
    ("anthropic", "claude-sonnet-5-5", "2026-11-21T12:00:00Z", "", [10_000, 8_000, 1_000, 1_000, 500], "0.0118"),
    ("openai", "gpt-6.1-sol", "2026-11-21T12:00:00Z", "", [300_000, 200_000, 0, 0, 1_000], "0.455"),
    ("openai", "gpt-6.1-sol", "2026-11-21T12:00:00Z", "", [272_000, 0, 0, 0, 1_000], "0.554"),
    ("openai", "gpt-6.1-sol", "2026-11-21T12:00:00Z", "", [272_001, 0, 0, 0, 1_000], "1.103004"),
    ("openai", "gpt-6.1-sol", "2026-11-21T12:00:00Z", "", [10_000, 2_000, 4_000, 0, 1_000], "0.0282"),
    ("openai", "gpt-6.1-sol", "2026-11-21T12:00:00Z", "flex", [10_000, 0, 0, 0, 1_000], "0.015"),
    ("openai", "gpt-6.1-sol", "2026-11-21T12:00:00Z", "batch", [10_000, 0, 0, 0, 1_000], "0.015"),
    ("openai", "gpt-6.1-sol", "2026-11-21T12:00:00Z", "priority", [10_000, 0, 0, 0, 1_000], "0.06"),
    ("openai", "gpt-6.1-sol", "2026-11-21T12:00:00Z", "default", [10_000, 0, 0, 0, 1_000], "0.03"),
    ("google", "gemini-2.5-pro", "2026-11-21T12:00:00Z", "", [200_000, 0, 0, 0, 1_000], "0.26"),
    ("google", "gemini-2.5-pro", "2026-11-21T12:00:00Z", "", [200_001, 0, 0, 0, 1_000], "0.5150025"),
    ("x-ai", "grok-4.7", "2026-11-21T12:00:00Z", "", [199_999, 0, 0, 0, 1_000], "0.405998"),
    ("x-ai", "grok-4.7", "2026-11-21T12:00:00Z", "", [200_000, 0, 0, 0, 1_000], "0.812"),
    ("deepseek", "deepseek-v4-pro", "2026-11-20T02:00:00Z", "", [10_000, 5_000, 0, 0, 1_000], "0.01078"),
    ("deepseek", "deepseek-v4-pro", "2026-11-20T12:00:00Z", "", [10_000, 5_000, 0, 0, 1_000], "0.00539"),
    // A Saturday: the peak is a working day's since 2026-08-23; before that every day's, and before that no hour's.
    ("deepseek", "deepseek-v4-pro", "2026-11-21T02:00:00Z", "", [10_000, 5_000, 0, 0, 1_000], "0.00539"),
    ("deepseek", "deepseek-v4-pro", "2026-08-22T02:00:00Z", "", [10_000, 5_000, 0, 0, 1_000], "0.01078"),
    ("deepseek", "deepseek-v4-pro", "2026-08-16T02:00:00Z", "", [10_000, 5_000, 0, 0, 1_000], "0.003063125"),
    ("google", "gemini-4-argon", "2026-11-30T23:59:59.999999999Z", "", [10_000, 0, 0, 0, 1_000], "0.03"),
    ("google", "gemini-4-argon", "2026-12-01T00:00:00Z", "", [10_000, 0, 0, 0, 1_000], "0.06"),
    ("openai", "gpt-5.6-sol", "2026-08-20T12:00:00Z", "", [10_000, 0, 0, 0, 1_000], "0.08"),
    ("openai", "gpt-5.6-sol", "2026-08-21T00:00:00Z", "", [10_000, 0, 0, 0, 1_000], "0.06"),
    ("anthropic", "claude-haiku-5-5", "2026-11-21T12:00:00Z", "", [100_001, 0, 0, 0, 1_000], "0.0525005"),
    ("anthropic", "claude-haiku-5-5", "2026-11-21T12:00:00Z", "", [100_000, 0, 0, 0, 1_000], "0.0105"),
    ("anthropic", "claude-opus-4-1-20250805", "2026-11-21T12:00:00Z", "", [1_000, 0, 0, 0, 1_000], "0.09"),
    ("anthropic", "claude-opus-4-6", "2026-03-12T00:00:00Z", "", [250_000, 0, 0, 0, 1_000], "2.5375"),
    ("anthropic", "claude-opus-4-6", "2026-03-13T00:00:00Z", "", [250_000, 0, 0, 0, 1_000], "1.275"),
    ("aws", "us.anthropic.claude-sonnet-5-5", "2026-11-21T12:00:00Z", "", [10_000, 0, 0, 0, 1_000], "0.033"),
    ("aws", "us.anthropic.claude-sonnet-5-5-20260901-v1:0", "2026-11-21T12:00:00Z", "", [10_000, 0, 0, 0, 1_000], "0.033"),
    ("aws", "global.anthropic.claude-sonnet-5-5", "2026-11-21T12:00:00Z", "", [10_000, 0, 0, 0, 1_000], "0.03"),
    ("groq", "openai/gpt-oss-120b", "2026-11-21T12:00:00Z", "", [1_000_000, 0, 0, 0, 0], "0.15"),
    ("cerebras", "gpt-oss-120b", "2026-11-21T12:00:00Z", "", [1_000_000, 0, 0, 0, 0], "0.35"),
    ("zai", "glm-5.3-flash", "2026-09-09T23:59:59Z", "", [1_000_000, 0, 0, 0, 0], "0.075"),
    ("zai", "glm-5.3-flash", "2026-09-10T00:00:00Z", "", [1_000_000, 0, 0, 0, 0], "0.15"),
    // What the list does not say has no price: a tier, a cache write, a seller, tokens that contradict each other.
    ("openai", "gpt-6.1-sol", "2026-11-21T12:00:00Z", "ultrafast", [10_000, 0, 0, 0, 1_000], ""),
    ("openai", "gpt-6.1-sol", "2026-10-01T12:00:00Z", "batch", [10_000, 0, 0, 0, 1_000], ""),
    ("x-ai", "grok-4.7", "2026-11-21T12:00:00Z", "", [10_000, 0, 1, 0, 1_000], ""),
    ("openai", "gpt-6.1-sol", "2026-11-21T12:00:00Z", "", [10_000, 0, 4_000, 1, 1_000], ""),
    ("unheard-of", "gpt-oss-120b", "2026-11-21T12:00:00Z", "", [10_000, 0, 0, 0, 1_000], ""),
    ("anthropic", "claude-sonnet-5-5", "2026-11-21T12:00:00Z", "", [1_000, 8_000, 0, 0, 10], ""),
    ("openai", "no-such-model", "2026-11-21T12:00:00Z", "", [1, 0, 0, 0, 1], ""),
];

#[test]
fn worked_examples_come_out_to_the_last_digit() {
    let book = book().unwrap();
    for (provider, model, at, tier, [input, read, write, hour, output], dollars) in WORKED {
        let call = Call {
            provider: Some(provider),
            response_model: Some(model),
            service_tier: Some(tier).filter(|tier| !tier.is_empty()).copied(),
            start_unix_nano: format::instant(at).unwrap(),
            ..Call::default()
        };
        let tokens = Tokens {
            input: Some(*input),
            cache_read: Some(*read),
            cache_write: Some(*write),
            cache_write_1h: Some(*hour),
            output: Some(*output),
            ..Tokens::default()
        };
        let total = book.charge(&call, &tokens).map(|(_, cost)| cost.total);
        let expected = Decimal::from_str_exact(dollars).ok();
        assert_eq!(total, expected, "{model} at {at} in {tier:?}: {tokens:?}");
    }
}

#[test]
fn reasoning_is_part_of_output_and_an_embedding_has_none() {
    let book = book().unwrap();
    let total = |model, tokens| {
        let call = Call {
            response_model: Some(model),
            start_unix_nano: format::instant("2026-11-21").unwrap(),
            ..Call::default()
        };
        book.charge(&call, &tokens).map(|(_, cost)| cost.total)
    };
    let thought = Tokens {
        input: Some(10_000),
        output: Some(1_000),
        reasoning: Some(900),
        ..Tokens::default()
    };
    assert_eq!(total("gpt-5", thought), Some(Decimal::new(225, 4)));
    let embedded = Tokens {
        input: Some(1_000_000),
        ..Tokens::default()
    };
    assert_eq!(
        total("text-embedding-3-small", embedded),
        Some(Decimal::new(2, 2))
    );
}

#[test]
fn audio_and_images_have_prices_of_their_own_where_the_list_says_so() {
    let book = book().unwrap();
    let total = |model, told: Tokens| {
        let call = Call {
            response_model: Some(model),
            start_unix_nano: format::instant("2026-11-21").unwrap(),
            ..Call::default()
        };
        book.charge(&call, &told).map(|(_, cost)| cost.total)
    };
    let spoken = Tokens {
        input: Some(1_000),
        audio_input: Some(900),
        output: Some(300),
        audio_output: Some(240),
        ..Tokens::default()
    };
    // 100 x 2.50 + 900 x 32 + 60 x 10 + 240 x 64, a millionth of it.
    assert_eq!(total("gpt-audio", spoken), Some(Decimal::new(4_501, 5)));
    // 100 x 0.30 + 900 x 1 + 300 x 2.50: what it says is text.
    assert_eq!(
        total("gemini-2.5-flash", spoken),
        Some(Decimal::new(168, 5))
    );
    let seen = Tokens {
        input: Some(1_000),
        image_input: Some(900),
        output: Some(300),
        image_output: Some(300),
        ..Tokens::default()
    };
    // 100 x 5 + 900 x 8 + 300 x 30.
    assert_eq!(total("gpt-image-2", seen), Some(Decimal::new(167, 4)));
}

#[test]
fn the_demo_is_priced() {
    let book = book().unwrap();
    for model in ["flyball-demo-large", "flyball-demo-small"] {
        let call = Call {
            request_model: Some(model),
            ..Call::default()
        };
        assert!(book.find(&call, None).is_some());
    }
}
