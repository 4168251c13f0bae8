#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn dollars(text: &str) -> Decimal {
    Decimal::from_str_exact(text).unwrap()
}

fn price(input: &str, read: &str, write: &str, output: &str) -> Amounts {
    let a_token = |text: &str| (!text.is_empty()).then(|| dollars(text) / Decimal::from(1_000_000));
    Amounts {
        input: a_token(input),
        cache_read: a_token(read),
        cache_write: a_token(write),
        output: a_token(output),
        ..Amounts::default()
    }
}

fn tokens(input: i64, read: i64, write: i64, output: i64, reasoning: i64) -> Tokens {
    Tokens {
        input: Some(input),
        cache_read: Some(read),
        cache_write: Some(write),
        output: Some(output),
        reasoning: Some(reasoning),
        ..Tokens::default()
    }
}

#[test]
fn reasoning_is_part_of_output_unless_priced_apart() {
    let mut price = price("1.25", "", "", "10");
    let used = tokens(10_000, 0, 0, 1_000, 900);
    assert_eq!(cost(&price, &used).unwrap().total, dollars("0.0225"));
    price.reasoning = Some(dollars("0.00004"));
    // 10,000 x 1.25 + 100 x 10 + 900 x 40, a millionth of it.
    assert_eq!(cost(&price, &used).unwrap().total, dollars("0.0495"));
}

#[test]
fn a_cache_that_was_used_needs_its_own_price() {
    let price = price("2", "1", "", "10");
    let total = |read, write| cost(&price, &tokens(1_000, read, write, 0, 0)).map(|c| c.total);
    // 600 x 2 + 400 x 1, a millionth of it.
    assert_eq!(total(400, 0), Some(dollars("0.0016")));
    assert_eq!(total(0, 0), Some(dollars("0.002")));
    assert_eq!(total(0, 1), None, "a cache write has no price");
    let input_is_theirs = price.cached_as_input();
    assert_eq!(
        cost(&input_is_theirs, &tokens(1_000, 400, 100, 0, 0))
            .unwrap()
            .total,
        dollars("0.0016")
    );
}

#[test]
fn what_is_kept_for_an_hour_has_a_price_of_its_own() {
    let mut price = price("2", "0.1", "2.5", "10");
    let mut used = tokens(10_000, 8_000, 1_000, 500, 0);
    assert_eq!(cost(&price, &used).unwrap().total, dollars("0.0103"));
    used.cache_write_1h = Some(1_000);
    assert_eq!(cost(&price, &used), None);
    price.cache_write_1h = Some(dollars("0.000004"));
    // 1,000 x 2 + 8,000 x 0.1 + 1,000 x 4 + 500 x 10, a millionth of it.
    assert_eq!(cost(&price, &used).unwrap().total, dollars("0.0118"));
    used.cache_write_1h = Some(400);
    // Of the 1,000 written, 600 x 2.5 and 400 x 4.
    assert_eq!(cost(&price, &used).unwrap().cache_write, dollars("0.0031"));
    used.cache_write_1h = Some(1_001);
    assert_eq!(cost(&price, &used), None);
}

#[test]
fn one_known_side_is_a_lower_bound_and_none_is_nothing() {
    let price = price("2", "", "", "10");
    let half = Tokens {
        input: Some(1_000),
        ..Tokens::default()
    };
    assert_eq!(cost(&price, &half).unwrap().total, dollars("0.002"));
    assert_eq!(cost(&price, &Tokens::default()), None);
    assert_eq!(
        cost(
            &price,
            &Tokens {
                reasoning: Some(4),
                ..Tokens::default()
            }
        ),
        None
    );
}

#[test]
fn tokens_that_contradict_each_other_are_not_priced() {
    let price = price("2", "", "", "10");
    assert_eq!(cost(&price, &tokens(1_000, 8_000, 0, 1, 0)), None);
    assert_eq!(cost(&price, &tokens(-1, 0, 0, 1, 0)), None);
    assert_eq!(cost(&price, &tokens(1, -1, 0, 1, 0)), None);
    assert_eq!(cost(&price, &tokens(1, 0, 0, i64::MIN, 0)), None);
}

#[test]
fn a_component_that_was_used_needs_a_price() {
    let input_only = price("0.02", "", "", "");
    assert_eq!(
        cost(&input_only, &tokens(10, 0, 0, 0, 0)).unwrap().total,
        dollars("0.0000002")
    );
    assert_eq!(cost(&input_only, &tokens(10, 0, 0, 1, 0)), None);
}

#[test]
fn a_fee_for_the_request_is_a_component_of_its_own() {
    let mut price = price("2", "", "", "10");
    price.request = Some(dollars("0.005"));
    let cost = cost(&price, &tokens(1_000, 0, 0, 0, 0)).unwrap();
    assert_eq!(
        (cost.request, cost.total),
        (dollars("0.005"), dollars("0.007"))
    );
}

#[test]
fn a_million_dollars_for_one_call_is_not_believed() {
    assert_eq!(
        cost(&price("2", "", "", "10"), &tokens(i64::MAX, 0, 0, 0, 0)),
        None
    );
}

#[test]
fn audio_and_images_are_parts_unless_priced_apart() {
    let mut price = price("4", "0.4", "", "24");
    let told = Tokens {
        audio_input: Some(800),
        image_input: Some(50),
        audio_output: Some(240),
        ..tokens(1_000, 0, 0, 300, 0)
    };
    // 1,000 x 4 + 300 x 24, a millionth of it.
    assert_eq!(cost(&price, &told).unwrap().total, dollars("0.0112"));
    price.audio_input = Some(dollars("0.000032"));
    price.image_input = Some(dollars("0.000005"));
    price.audio_output = Some(dollars("0.000064"));
    // 150 x 4 + 800 x 32 + 50 x 5, and 60 x 24 + 240 x 64.
    let apart = cost(&price, &told).unwrap();
    assert_eq!(apart.input, dollars("0.02645"));
    assert_eq!(apart.output, dollars("0.0168"));
    assert_eq!(apart.total, dollars("0.04325"));
    let silent = tokens(1_000, 400, 0, 300, 0);
    assert!(cost(&price, &silent).is_some(), "no audio was told of");
    let cached = Tokens {
        cache_read: Some(1),
        ..told
    };
    assert!(
        cost(&price, &cached).is_none(),
        "was it audio that was cached?"
    );
    let more = Tokens {
        audio_input: Some(951),
        ..told
    };
    assert!(cost(&price, &more).is_none(), "more than there was");
    let one_sided = Tokens {
        input: None,
        ..told
    };
    // Of an unknown input no part is charged.
    assert_eq!(cost(&price, &one_sided).unwrap().total, dollars("0.0168"));
}

#[test]
fn halves_go_to_the_even_neighbour() {
    let a_token = |text| Amounts {
        input: Some(dollars(text)),
        ..Amounts::default()
    };
    let one = Tokens {
        input: Some(1),
        ..Tokens::default()
    };
    assert_eq!(
        cost(&a_token("0.0000000000025"), &one).unwrap().total,
        dollars("0.000000000002")
    );
    assert_eq!(
        cost(&a_token("0.0000000000035"), &one).unwrap().total,
        dollars("0.000000000004")
    );
}

proptest! {
    #[test]
    fn components_add_up_are_not_negative_and_fit_the_column(
        amounts in prop::array::uniform7(0i64..100_000_000_000),
        scale in 9u32..20,
        input in 0i64..50_000_000, read in 0i64..50_000_000, write in 0i64..50_000_000,
        output in 0i64..5_000_000, reasoning in 0i64..5_000_000,
        audio in 0i64..10_000_000, audio_priced in any::<bool>(), spoken in 0i64..1_000_000,
    ) {
        let a_token = |i: usize| Some(Decimal::new(amounts[i], scale));
        let price = Amounts {
            input: a_token(0), cache_read: a_token(1), cache_write: a_token(2),
            output: a_token(3), reasoning: a_token(4),
            audio_input: a_token(5).filter(|_| audio_priced), audio_output: a_token(6).filter(|_| audio_priced),
            ..Amounts::default()
        };
        let told = Tokens {
            audio_input: Some(audio), audio_output: Some(spoken),
            ..tokens(input, read, write, output, reasoning)
        };
        let priced = cost(&price, &told);
        let (audio, spoken) = if audio_priced { (audio, spoken) } else { (0, 0) };
        let unclear = audio > 0 && read + write > 0;
        if read + write + audio > input || reasoning + spoken > output || unclear {
            prop_assert!(priced.is_none());
        } else if let Some(c) = priced {
            let parts = [c.input, c.cache_read, c.cache_write, c.output, c.request];
            prop_assert_eq!(parts.iter().sum::<Decimal>(), c.total);
            for part in parts.into_iter().chain([c.total]) {
                prop_assert!(!part.is_sign_negative() && part.scale() <= 12 && part < TOO_MUCH);
            }
        }
    }

    #[test]
    fn more_tokens_never_cost_less(input in 0i64..1_000_000, more in 0i64..1_000_000) {
        let price = price("2", "0.1", "2.5", "10");
        let of = |input| cost(&price, &tokens(input, 0, 0, 7, 0)).unwrap().total;
        prop_assert!(of(input) <= of(input + more));
    }
}
