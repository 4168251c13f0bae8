#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::drift;

/// Deciles of 1..=10 by interpolation are 1.9, 2.8, ..., 9.1: one value a bin. A window that holds
/// nothing but 10 has a share of 1 in the last bin and the floor of 0.0001 elsewhere:
/// 9 (0.0001 - 0.1) ln(0.0001 / 0.1) + (1 - 0.1) ln(1 / 0.1).
#[test]
fn a_window_in_one_bin_of_ten() {
    let baseline: Vec<f64> = (1..=10).map(f64::from).collect();
    let found = drift(&baseline, &[10.0]).unwrap();
    let by_hand = 9.0 * (0.0001 - 0.1) * (0.001_f64).ln() + 0.9 * 10.0_f64.ln();
    assert!(
        (found.psi - by_hand).abs() < 1e-9,
        "{} is not {by_hand}",
        found.psi
    );
    assert!((found.expected - 9.0 * (0.1 + 1.0)).abs() < 1e-12);
}

#[test]
fn a_value_that_everybody_has_is_a_bin_of_its_own() {
    let certain = [0.9; 50];
    assert_eq!(drift(&certain, &certain).unwrap().psi, 0.0);
    // Lower and higher are both seen, and are the same distance away.
    let lower = drift(&certain, &[0.3; 50]).unwrap();
    let higher = drift(&certain, &[0.95; 50]).unwrap();
    assert!(lower.psi > 10.0 && (lower.psi - higher.psi).abs() < 1e-12);
    assert!(lower.z.unwrap() > 10.0);
}

#[test]
fn an_empty_side_says_nothing() {
    assert_eq!(drift(&[], &[1.0]), None);
    assert_eq!(drift(&[1.0], &[]), None);
    assert_eq!(drift(&[f64::NAN], &[1.0]), None);
}

/// Two samples of one distribution: the index is near its expectation, and z says that this is chance.
/// 100 against 100 exceeds the customary 0.1 all the same.
#[test]
fn chance_is_told_from_drift() {
    let mut seed = 42_u64;
    let mut uniform = || {
        // The 64-bit linear congruential generator of Knuth's MMIX.
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 11) as f64 / (1_u64 << 53) as f64
    };
    let (rounds, mut above, mut sum, mut alarms) = (200, 0, 0.0, 0);
    for _ in 0..rounds {
        let baseline: Vec<f64> = (0..100).map(|_| uniform()).collect();
        let window: Vec<f64> = (0..100).map(|_| uniform()).collect();
        let found = drift(&baseline, &window).unwrap();
        above += usize::from(found.psi >= 0.1);
        alarms += usize::from(found.z.unwrap() >= 2.326);
        sum += found.psi;
    }
    assert!(
        above > rounds * 3 / 4,
        "{above} of {rounds} at or above 0.1"
    );
    assert!(
        (0.15..0.25).contains(&(sum / rounds as f64)),
        "mean {}",
        sum / rounds as f64
    );
    assert!(
        alarms <= rounds * 6 / 100,
        "{alarms} of {rounds} false alarms at one in a hundred"
    );
    let moved: Vec<f64> = (0..1000).map(|_| uniform() * 0.8).collect();
    let baseline: Vec<f64> = (0..1000).map(|_| uniform()).collect();
    assert!(drift(&baseline, &moved).unwrap().z.unwrap() > 5.0);
}

proptest! {
    #[test]
    fn equal_samples_have_no_drift(mut values in prop::collection::vec(-1e6_f64..1e6, 1..200)) {
        prop_assert_eq!(drift(&values, &values).unwrap().psi, 0.0);
        let same = values.clone();
        values.reverse();
        prop_assert_eq!(drift(&same, &values).unwrap().psi, 0.0);
    }

    #[test]
    fn the_index_is_never_negative(
        baseline in prop::collection::vec(0.0_f64..1.0, 1..100),
        window in prop::collection::vec(0.0_f64..1.0, 1..100),
    ) {
        let found = drift(&baseline, &window).unwrap();
        prop_assert!(found.psi >= 0.0 && found.psi.is_finite());
    }

    #[test]
    fn every_value_falls_in_one_bin(values in prop::collection::vec(prop::sample::select(vec![0.1, 0.5, 0.9, 0.95]), 1..100)) {
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        let cuts = super::cuts(&sorted);
        prop_assert_eq!(super::counts(&cuts, &values).iter().sum::<u64>(), values.len() as u64);
        // partition_point needs the borders in order.
        for value in &values {
            let passed: Vec<bool> = cuts.iter().map(|c| c.passes(*value)).collect();
            prop_assert!(passed.windows(2).all(|w| w[0] || !w[1]));
        }
    }
}
