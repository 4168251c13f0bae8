//! What all three distances have to keep to: symmetry, zero on equal samples, and no more false alarms than promised.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::{Grid, Labels, jensen_shannon, ks, wasserstein};

/// The 64-bit linear congruential generator of Knuth's MMIX.
pub(super) struct Chance(pub(super) u64);

impl Chance {
    pub(super) fn uniform(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Skewed as costs and latencies are: the logarithm is normal, with a standard deviation of 1.
    fn lognormal(&mut self) -> f64 {
        let (first, second) = (1.0 - self.uniform(), self.uniform());
        ((-2.0 * first.ln()).sqrt() * (std::f64::consts::TAU * second).cos()).exp()
    }
}

pub(super) fn grid(baseline: &[f64], window: &[f64]) -> Grid {
    let mut grid = Grid::default();
    baseline
        .iter()
        .for_each(|value| grid.add(*value, [true, false]));
    window
        .iter()
        .for_each(|value| grid.add(*value, [false, true]));
    grid
}

/// How many of so many pairs of equal samples are told apart, at one in twenty: by Kolmogorov and Smirnov, by Wasserstein.
fn alarms(rounds: u32, n: usize, m: usize, mut draw: impl FnMut() -> f64) -> (f64, f64) {
    let (mut by_ks, mut by_wasserstein) = (0, 0);
    for _ in 0..rounds {
        let mut side = |count: usize| (0..count).map(|_| draw()).collect::<Vec<_>>();
        let values = grid(&side(n), &side(m));
        by_ks += u32::from(ks::distance(&values).unwrap().p < 0.05);
        by_wasserstein += u32::from(wasserstein::distance(&values).unwrap().p < 0.05);
    }
    (
        f64::from(by_ks) / f64::from(rounds),
        f64::from(by_wasserstein) / f64::from(rounds),
    )
}

/// 5 % of 400 pairs is 20, with a standard deviation of 4.4: within three of them.
#[test]
fn false_alarms_are_as_many_as_promised() {
    let mut chance = Chance(42);
    let skewed = alarms(400, 100, 100, || chance.lognormal());
    assert!((0.015..0.085).contains(&skewed.0), "{skewed:?}");
    assert!((0.017..0.085).contains(&skewed.1), "{skewed:?}");
    let uneven = alarms(400, 300, 30, || chance.lognormal());
    assert!(
        uneven.0 < 0.085 && (0.017..0.085).contains(&uneven.1),
        "{uneven:?}"
    );
    // Counts from 0 to 4, most of them 0: fewer alarms than promised is what ties may cost, more is not.
    let tied = alarms(400, 100, 100, || {
        (chance.lognormal() / 1.5).floor().min(4.0)
    });
    assert!(tied.0 < 0.085 && tied.1 < 0.085, "{tied:?}");
    // More than the exact probability is computed for, and more than the permutations tell apart.
    let many = alarms(150, 1500, 1500, || chance.lognormal());
    assert!(many.0 < 0.11 && many.1 < 0.11, "{many:?}");
}

#[test]
fn false_alarms_about_words_are_as_many_as_promised() {
    let mut chance = Chance(9);
    for words in [3.0, 40.0] {
        let mut alarms = 0;
        for _ in 0..400 {
            let mut labels = Labels::default();
            for side in [[true, false], [false, true]] {
                for _ in 0..80 {
                    let word = (words * chance.uniform().powi(2)).floor();
                    labels.add(&word.to_string(), side);
                }
            }
            alarms += u32::from(jensen_shannon::distance(&labels).unwrap().p < 0.05);
        }
        assert!(
            (6..35).contains(&alarms),
            "{alarms} of 400 with {words} words"
        );
    }
}

/// Ten per cent dearer: what PSI misses at any size, and the others see with enough values.
#[test]
fn a_price_rise_is_seen() {
    let mut chance = Chance(5);
    let baseline: Vec<f64> = (0..5000).map(|_| chance.lognormal()).collect();
    let window: Vec<f64> = (0..5000).map(|_| chance.lognormal() * 1.1).collect();
    let values = grid(&baseline, &window);
    assert!(ks::distance(&values).unwrap().p < 0.01);
    assert!(wasserstein::distance(&values).unwrap().p < 0.05);
}

fn some_values() -> impl Strategy<Value = Vec<f64>> {
    let value = prop_oneof![prop::sample::select(vec![0.0, 0.5, 1.0]), -1e6_f64..1e6];
    prop::collection::vec(value, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn equal_samples_are_no_distance(values in some_values()) {
        let mut backwards = values.clone();
        backwards.reverse();
        let same = grid(&values, &backwards);
        prop_assert_eq!(ks::distance(&same).unwrap(), ks::Distance { d: 0.0, p: 1.0 });
        let found = wasserstein::distance(&same).unwrap();
        prop_assert_eq!((found.distance, found.effect, found.p), (0.0, 0.0, 1.0));
    }

    #[test]
    fn both_directions_are_the_same_distance(baseline in some_values(), window in some_values()) {
        let (there, back) = (grid(&baseline, &window), grid(&window, &baseline));
        let (one, other) = (ks::distance(&there).unwrap(), ks::distance(&back).unwrap());
        prop_assert!((one.d - other.d).abs() < 1e-12 && (one.p - other.p).abs() < 1e-9);
        prop_assert!((0.0..=1.0).contains(&one.d) && (0.0..=1.0).contains(&one.p));
        let (one, other) = (wasserstein::distance(&there).unwrap(), wasserstein::distance(&back).unwrap());
        prop_assert!((one.distance - other.distance).abs() <= 1e-9 * one.distance);
        prop_assert!((one.effect - other.effect).abs() <= 1e-9 * one.effect);
        prop_assert!(one.p > 0.0 && one.p <= 1.0);
    }

    /// The distance of a shifted sample is the shift, and its effect does not depend on the unit.
    #[test]
    fn a_shift_is_as_far_as_it_is(values in some_values(), shift in 0.001_f64..1000.0) {
        let moved: Vec<f64> = values.iter().map(|value| value + shift).collect();
        let found = wasserstein::distance(&grid(&values, &moved)).unwrap();
        prop_assert!((found.distance - shift).abs() < 1e-6 * shift.max(1.0), "{:?}", found);
        let scaled = |values: &[f64]| values.iter().map(|value| value * 1024.0).collect::<Vec<_>>();
        let other = wasserstein::distance(&grid(&scaled(&values), &scaled(&moved))).unwrap();
        prop_assert!((found.effect - other.effect).abs() < 1e-9 * found.effect);
    }
}
