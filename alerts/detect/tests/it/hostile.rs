//! Whatever comes in, something sensible comes out: no panic, no NaN, bounded state, the same after a
//! restart, and no dependence on the unit.

use flyball_detect::{Config, Detector, Evidence, Verdict};
use proptest::prelude::*;

use super::dice::Dice;

fn detector() -> Detector {
    Detector::new(Config::default()).unwrap()
}

fn sane(verdict: &Verdict) -> bool {
    let Verdict {
        score,
        rarity,
        alarm,
        evidence,
    } = *verdict;
    let finite = |evidence: Evidence| {
        [
            evidence.observed,
            evidence.expected,
            evidence.usual_from,
            evidence.usual_to,
            evidence.surprise,
        ]
        .iter()
        .all(|number| number.is_finite())
    };
    (0.0..=1.0).contains(&score)
        && rarity.is_finite()
        && rarity >= 0.0
        && alarm == (score >= 0.5)
        && evidence.is_none_or(finite)
}

/// What a series may hold, the worst included.
fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => -100.0..100.0_f64,
        2 => any::<f64>(),
        1 => prop::sample::select(vec![
            0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN,
            f64::MIN_POSITIVE, 5e-324, -5e-324, f64::EPSILON,
        ]),
        1 => Just(7.0),
    ]
}

/// Ordinary and odd values, after some of which the state is kept and read back.
fn random_walk(seed: u64, samples: usize) -> Vec<f64> {
    let mut dice = Dice(seed);
    let odd = |n: usize| n.is_multiple_of(97);
    (0..samples)
        .map(|n| {
            if odd(n) {
                50.0 * dice.uniform()
            } else {
                dice.normal()
            }
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_input_makes_it_panic_or_say_what_is_not_a_number(
        samples in prop::collection::vec((any::<i64>(), any_value()), 0..1_500),
        event_samples in 4_u32..200,
    ) {
        let config = Config { event_samples, ..Config::default() };
        let mut detector = Detector::new(config).unwrap();
        for (at, value) in samples {
            let verdict = detector.observe(at, value);
            prop_assert!(sane(&verdict), "{at} {value} {verdict:?}");
        }
    }

    #[test]
    fn read_back_from_json_it_goes_on_to_the_bit(seed in any::<u64>(), cut in 0_usize..1_200) {
        let values = random_walk(seed, 1_200);
        let mut whole = detector();
        let mut cut_short = detector();
        for (n, value) in values.iter().enumerate() {
            if n == cut {
                let kept = serde_json::to_string(&cut_short).unwrap();
                cut_short = serde_json::from_str(&kept).unwrap();
            }
            let at = n as i64 * 300;
            let (one, other) = (whole.observe(at, *value), cut_short.observe(at, *value));
            prop_assert_eq!(one.score.to_bits(), other.score.to_bits(), "sample {}", n);
            prop_assert_eq!(one, other);
        }
    }

    #[test]
    fn the_unit_does_not_matter(seed in any::<u64>(), power in -200_i32..200) {
        // By a power of two, every operation rounds alike: what is said is the same to the bit, but for
        // logarithms of the unit itself.
        let unit = 2.0_f64.powi(power);
        let (mut one, mut other) = (detector(), detector());
        for (n, value) in random_walk(seed, 2_000).into_iter().enumerate() {
            let at = n as i64 * 300;
            let (a, b) = (one.observe(at, value), other.observe(at, value * unit));
            prop_assert!((a.rarity - b.rarity).abs() < 1e-6, "sample {n}: {a:?} {b:?}");
        }
    }

    #[test]
    fn the_zero_point_does_not_matter(seed in any::<u64>(), offset in -1e4..1e4_f64) {
        let (mut one, mut other) = (detector(), detector());
        let (mut differ, samples) = (0, 2_000);
        for (n, value) in random_walk(seed, samples).into_iter().enumerate() {
            let at = n as i64 * 300;
            let (a, b) = (one.observe(at, value), other.observe(at, value + offset));
            differ += usize::from((a.rarity - b.rarity).abs() > 1e-3);
        }
        // Rounding may put a sample on the other side of a median or of a tenth of a decade.
        prop_assert!(differ <= samples / 100, "{differ}");
    }

    #[test]
    fn what_was_kept_and_then_damaged_is_refused_or_survived(place in 0_usize..4_000, digit in 0_u8..10) {
        let mut detector = detector();
        for (n, value) in random_walk(5, 500).into_iter().enumerate() {
            detector.observe(n as i64 * 60, value);
        }
        let mut kept = serde_json::to_string(&detector).unwrap().into_bytes();
        let place = place % kept.len();
        if kept[place].is_ascii_digit() {
            kept[place] = b'0' + digit;
        }
        if let Ok(mut damaged) = serde_json::from_slice::<Detector>(&kept) {
            for (n, value) in random_walk(6, 300).into_iter().enumerate() {
                let verdict = damaged.observe(n as i64 * 60, value);
                prop_assert!(sane(&verdict), "{verdict:?}");
            }
        }
    }
}

#[test]
fn its_state_is_bounded() {
    let (mut detector, mut dice, mut largest) = (detector(), Dice(2), 0);
    for n in 0..60_000_i64 {
        let value = if n % 1_000 < 500 {
            dice.normal()
        } else {
            dice.uniform().powf(-1.5)
        };
        detector.observe(n * 60, value);
        if n % 500 == 99 {
            largest = largest.max(serde_json::to_string(&detector).unwrap().len());
        }
    }
    // Numbers are kept in 20 digits; the most is the warm-up's three hundred.
    assert!(largest < 12_000, "{largest} bytes");
}

#[test]
fn what_is_not_a_number_is_a_gap() {
    let (mut with, mut without) = (detector(), detector());
    for (n, value) in random_walk(9, 2_000).into_iter().enumerate() {
        let at = n as i64 * 60;
        assert_eq!(with.observe(at, f64::NAN), Verdict::default());
        assert_eq!(with.observe(at, value), without.observe(at, value));
    }
}

#[test]
fn a_setting_out_of_range_is_refused_by_name() {
    let wrong = [
        Config {
            event_samples: 3,
            ..Config::default()
        },
        Config {
            memory_samples: 0,
            ..Config::default()
        },
        Config {
            alarm_rarity: f64::NAN,
            ..Config::default()
        },
    ];
    let said: Vec<String> = wrong
        .into_iter()
        .map(|config| Detector::new(config).unwrap_err().to_string())
        .collect();
    assert_eq!(
        said[0],
        "detector: event_samples is 3; accepted are 4 to 10000 samples"
    );
    assert!(said[1].starts_with("detector: memory_samples is 0; "));
    assert!(said[2].starts_with("detector: alarm_rarity is NaN; "));
    // Read from a file, too; and what is left out is as by default.
    let read = serde_json::from_str::<Config>(r#"{"memory_samples": 7}"#).unwrap_err();
    assert!(
        read.to_string()
            .starts_with("detector: memory_samples is 7; "),
        "{read}"
    );
    assert!(serde_json::from_str::<Config>(r#"{"event_sample": 64}"#).is_err());
    let read: Config = serde_json::from_str(r#"{"alarm_rarity": 3}"#).unwrap();
    assert_eq!(
        read,
        Config {
            alarm_rarity: 3.0,
            ..Config::default()
        }
    );
}
