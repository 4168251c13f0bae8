//! Wasserstein's distance of two samples: how far, on average, values have to move to make one out of the other.

use super::{Grid, permutation};

/// Different values that the permutation test tells apart, so that its work is bounded.
const PERMUTED_MAX: usize = 256;

/// How far apart two samples are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Distance {
    /// The area between the two distribution functions, in the unit of the values.
    pub distance: f64,
    /// The distance in standard deviations of an even mixture of both sides, so that neither side's number of values
    /// counts: of a small shift, Cohen's d. It is 0 when all values are equal.
    pub effect: f64,
    /// The probability that two samples of one distribution are as far apart or farther, by dealing all values out
    /// again up to 999 times, always the same way. Of more than 256 different values the test looks at fewer bits:
    /// that takes a little of its power, and nothing of its calibration.
    pub p: f64,
}

/// Compares the window with the baseline. `None` when either is empty.
///
/// ```
/// use flyball_query::functions::drift::{Grid, wasserstein};
/// let mut values = Grid::default();
/// for (value, sides) in [(0.0, [true, false]), (1.0, [true, false]), (3.0, [true, false])] {
///     values.add(value, sides);
/// }
/// for value in [5.0, 6.0, 8.0] {
///     values.add(value, [false, true]);
/// }
/// // Every value is five further on.
/// assert!(wasserstein::distance(&values).is_some_and(|found| (found.distance - 5.0).abs() < 1e-12));
/// ```
#[must_use]
pub fn distance(values: &Grid) -> Option<Distance> {
    let [n, m] = values.totals();
    if n == 0 || m == 0 {
        return None;
    }
    let distance = between(values);
    let spread = spread(values);
    // Equal values have no spread, and no distance.
    let effect = if spread > 0.0 { distance / spread } else { 0.0 };
    let coarse = values.at_most(PERMUTED_MAX);
    let steps: Vec<f64> = {
        let places: Vec<f64> = coarse.values().map(|(value, _)| value).collect();
        places.windows(2).map(|pair| pair[1] - pair[0]).collect()
    };
    let bins: Vec<_> = coarse.values().map(|(_, counts)| counts).collect();
    let p = permutation::significance(&bins, |dealt| area(&steps, dealt));
    Some(Distance {
        distance,
        effect,
        p,
    })
}

fn between(values: &Grid) -> f64 {
    let (places, bins): (Vec<f64>, Vec<_>) = values.values().unzip();
    let steps: Vec<f64> = places.windows(2).map(|pair| pair[1] - pair[0]).collect();
    area(&steps, &bins)
}

/// The area between the distribution functions of two samples, whose values are so many steps apart.
fn area(steps: &[f64], bins: &[[u64; 2]]) -> f64 {
    let [n, m] = super::totals(bins.iter().copied()).map(|count| count as f64);
    let (mut a, mut b) = (0, 0);
    let mut area = 0.0;
    for (step, [baseline, window]) in steps.iter().zip(bins) {
        a += baseline;
        b += window;
        area += step * (a as f64 / n - b as f64 / m).abs();
    }
    area
}

/// Standard deviation of a mixture in which both sides weigh the same.
fn spread(values: &Grid) -> f64 {
    let totals = values.totals();
    let weighed = |of: &dyn Fn(f64) -> f64| -> f64 {
        let share = |counts: [u64; 2], side: usize| counts[side] as f64 / totals[side] as f64;
        values
            .values()
            .map(|(value, counts)| of(value) * (share(counts, 0) + share(counts, 1)) / 2.0)
            .sum()
    };
    let mean = weighed(&|value| value);
    weighed(&|value| (value - mean).powi(2)).sqrt()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::tests::{Chance, grid};
    use super::*;

    /// With equally many values on both sides it is the mean distance of the sorted ones: a second implementation.
    #[test]
    fn it_is_the_mean_way_of_sorted_values() {
        let mut chance = Chance(3);
        for _ in 0..50 {
            let mut baseline: Vec<f64> =
                (0..40).map(|_| (chance.uniform() * 9.0).floor()).collect();
            let mut window: Vec<f64> = (0..40).map(|_| chance.uniform() * 12.0 - 2.0).collect();
            let found = distance(&grid(&baseline, &window)).unwrap();
            baseline.sort_by(f64::total_cmp);
            window.sort_by(f64::total_cmp);
            let ways = baseline.iter().zip(&window).map(|(a, b)| (a - b).abs());
            assert!(
                (found.distance - ways.sum::<f64>() / 40.0).abs() < 1e-9,
                "{found:?}"
            );
        }
    }

    /// The worked example in SciPy's documentation of `wasserstein_distance`, whose weights are counts here:
    /// 3.4, 3.9, 7.5, 7.8 with weights 1.4, 0.9, 3.1, 7.2 and 4.5, 1.4 with weights 3.2, 3.5 are 4.0781331438047861 apart.
    #[test]
    fn scipys_example() {
        let mut values = Grid::default();
        let mut put = |value, times: u32, sides| (0..times).for_each(|_| values.add(value, sides));
        for (value, times) in [(3.4, 14), (3.9, 9), (7.5, 31), (7.8, 72)] {
            put(value, times, [true, false]);
        }
        for (value, times) in [(4.5, 32), (1.4, 35)] {
            put(value, times, [false, true]);
        }
        let found = distance(&values).unwrap();
        assert!(
            (found.distance - 4.078_133_143_804_786).abs() < 1e-12,
            "{found:?}"
        );
    }

    /// 0 and 0 against 1 and 1: the mixture is half 0, half 1, its deviation 0.5. Two of the six ways to deal get there.
    #[test]
    fn all_of_one_against_all_of_another() {
        let found = distance(&grid(&[0.0, 0.0], &[1.0, 1.0])).unwrap();
        assert_eq!((found.distance, found.effect), (1.0, 2.0));
        assert!((found.p - 1.0 / 3.0).abs() < 0.15, "{found:?}");
        let equal = distance(&grid(&[5.0; 3], &[5.0; 9])).unwrap();
        assert_eq!((equal.distance, equal.effect, equal.p), (0.0, 0.0, 1.0));
    }
}
