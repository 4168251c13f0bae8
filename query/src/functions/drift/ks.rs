//! Kolmogorov and Smirnov's distance of two samples: the largest difference between their shares of values up to
//! anything.

use super::{Counts, Grid, totals};

/// Up to this product of both numbers of values the probability is exact: a few milliseconds of work.
const EXACT_MAX: u64 = 1 << 20;

/// How far apart two samples are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Distance {
    /// The largest difference of the two distribution functions, 0 to 1: an effect size as it is.
    pub d: f64,
    /// The probability that two samples of one distribution differ as much or more.
    ///
    /// With n x m up to a million it is exact, given the values that came: the share of all ways to deal them out
    /// that get as far, equal values included (Schröer and Trenkler 1995). With more it is Kolmogorov's limit with
    /// Stephens' correction (1970), which takes values for continuous: where many are equal (tokens, counts) it is
    /// larger than the truth, so that drift is missed rather than made up.
    pub p: f64,
}

/// Compares the window with the baseline. `None` when either is empty.
///
/// ```
/// use flyball_query::functions::drift::{Grid, ks};
/// let mut values = Grid::default();
/// for value in [1.0, 2.0, 3.0] {
///     values.add(value, [true, false]);
///     values.add(value + 10.0, [false, true]);
/// }
/// // Nothing in common. Of the 20 ways to deal six values out, two get there: this one and its mirror image.
/// let found = ks::distance(&values).map(|found| (found.d, (found.p * 1e9).round() / 1e9));
/// assert_eq!(found, Some((1.0, 0.1)));
/// ```
#[must_use]
pub fn distance(values: &Grid) -> Option<Distance> {
    let counts: Vec<Counts> = values.values().map(|(_, counts)| counts).collect();
    let [n, m] = totals(counts.iter().copied());
    if n == 0 || m == 0 {
        return None;
    }
    let reach = reach(&counts, n, m);
    let d = reach as f64 / (n as f64 * m as f64);
    let p = match n.checked_mul(m) {
        _ if reach == 0 => 1.0,
        Some(product) if product <= EXACT_MAX => exact(&counts, [n, m], reach),
        _ => asymptotic(d, n as f64, m as f64),
    };
    Some(Distance { d, p })
}

/// The largest `|a m - b n|`, where `a` of `n` and `b` of `m` lie at or below some value: `d` without its denominator.
fn reach(counts: &[Counts], n: u64, m: u64) -> u128 {
    let (mut a, mut b, mut most) = (0_u64, 0_u64, 0);
    for [baseline, window] in counts {
        a += baseline;
        b += window;
        most = most.max(gap(a, b, n, m));
    }
    most
}

fn gap(a: u64, b: u64, n: u64, m: u64) -> u128 {
    (u128::from(a) * u128::from(m)).abs_diff(u128::from(b) * u128::from(n))
}

/// The share of all ways to deal the values out in which the gap gets as large somewhere between different values.
///
/// A way is a path over a grid from (0, 0) to (n, m), one step a value in rising order; the paths that stay within
/// are counted row by row, each row scaled so that the count ends as a share.
fn exact(counts: &[Counts], [n, m]: Counts, reach: u128) -> f64 {
    // After so many values comes another value: only there do the distribution functions tell.
    let mut ends = vec![false; (n + m + 1) as usize];
    let mut passed = 0;
    for [baseline, window] in counts {
        passed += baseline + window;
        ends[passed as usize] = true;
    }
    let out = |a: u64, b: u64| ends[(a + b) as usize] && gap(a, b, n, m) >= reach;
    let mut row = vec![0.0; m as usize + 1];
    row[0] = 1.0;
    for b in 1..=m {
        row[b as usize] = if out(0, b) { 0.0 } else { row[b as usize - 1] };
    }
    for a in 1..=n {
        let scale = a as f64 / (a + m) as f64;
        row[0] = if out(a, 0) { 0.0 } else { scale * row[0] };
        for b in 1..=m {
            let at = b as usize;
            row[at] = if out(a, b) {
                0.0
            } else {
                scale * row[at] + row[at - 1]
            };
        }
    }
    (1.0 - row[m as usize]).clamp(0.0, 1.0)
}

fn asymptotic(d: f64, n: f64, m: f64) -> f64 {
    let size = (n * m / (n + m)).sqrt();
    kolmogorov((size + 0.12 + 0.11 / size) * d)
}

/// The probability that a Brownian bridge gets this far from zero: of two series, the one that needs fewer terms.
fn kolmogorov(far: f64) -> f64 {
    use std::f64::consts::PI;
    if far < 0.1 {
        return 1.0;
    }
    if far < 1.18 {
        let term = |k: i32| (-(f64::from(2 * k - 1) * PI).powi(2) / (8.0 * far * far)).exp();
        let within: f64 = (1..=4).map(term).sum();
        return 1.0 - within * (2.0 * PI).sqrt() / far;
    }
    let term = |k: i32| {
        let size = (-2.0 * (f64::from(k) * far).powi(2)).exp();
        if k % 2 == 0 { -size } else { size }
    };
    2.0 * (1..=4).map(term).sum::<f64>()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::tests::{Chance, grid};
    use super::*;

    /// The quantiles that every table of the limit distribution has.
    #[test]
    fn the_limit_is_kolmogorovs() {
        for (far, p) in [
            (1.0727, 0.20),
            (1.1379, 0.15),
            (1.2238, 0.10),
            (1.3581, 0.05),
            (1.4802, 0.025),
            (1.6276, 0.01),
            (1.9495, 0.001),
        ] {
            assert!((kolmogorov(far) - p).abs() < p * 1e-3, "{far}");
        }
        // Where one series takes over from the other.
        assert!((kolmogorov(1.18 - 1e-9) - kolmogorov(1.18)).abs() < 1e-7);
    }

    /// By trying all ways to deal the values out: a second implementation, and the definition.
    fn by_trying_all(baseline: &[f64], window: &[f64]) -> (f64, f64) {
        let all: Vec<f64> = baseline.iter().chain(window).copied().collect();
        let far = |of_baseline: &dyn Fn(usize) -> bool| {
            let share = |side: bool, at: f64| {
                let of_side = (0..all.len()).filter(|i| of_baseline(*i) == side);
                let (below, count) = of_side.fold((0.0, 0.0), |(below, count), i| {
                    (below + f64::from(u8::from(all[i] <= at)), count + 1.0)
                });
                below / count
            };
            all.iter()
                .map(|at| (share(true, *at) - share(false, *at)).abs())
                .fold(0.0, f64::max)
        };
        let seen = far(&|i| i < baseline.len());
        let (mut ways, mut as_far) = (0, 0);
        for chosen in 0_u32..1 << all.len() {
            if chosen.count_ones() as usize == baseline.len() {
                ways += 1;
                as_far += u32::from(far(&|i| chosen >> i & 1 == 1) >= seen - 1e-12);
            }
        }
        (seen, f64::from(as_far) / f64::from(ways))
    }

    #[test]
    fn small_samples_are_exact_with_and_without_ties() {
        for (baseline, window) in [
            (vec![1.0, 2.0, 3.0, 4.0], vec![2.5, 3.5, 4.5]),
            (vec![1.0, 1.0, 2.0, 2.0, 3.0], vec![2.0, 3.0, 3.0, 3.0]),
            (vec![0.0; 4], vec![0.0, 0.0, 1.0]),
            (vec![5.0, 1.0, 1.0], vec![1.0, 1.0, 1.0, 9.0, 9.0, 9.0]),
            (vec![7.0, 7.0], vec![7.0, 7.0]),
        ] {
            let (d, p) = by_trying_all(&baseline, &window);
            let found = distance(&grid(&baseline, &window)).unwrap();
            assert!(
                (found.d - d).abs() < 1e-12,
                "{baseline:?} {window:?}: {found:?} is not {d}"
            );
            assert!(
                (found.p - p).abs() < 1e-12,
                "{baseline:?} {window:?}: {found:?} is not {p}"
            );
        }
    }

    /// On both sides of the border between the two ways, and with ties the limit errs on the safe side.
    #[test]
    fn the_limit_is_near_what_is_exact() {
        let mut chance = Chance(7);
        let baseline: Vec<f64> = (0..800).map(|_| chance.uniform()).collect();
        for shift in [0.02, 0.05, 0.08] {
            let window: Vec<f64> = (0..900).map(|_| chance.uniform() + shift).collect();
            let found = distance(&grid(&baseline, &window)).unwrap();
            let limit = asymptotic(found.d, 800.0, 900.0);
            assert!(
                (limit - found.p).abs() < 0.03 * found.p + 1e-4,
                "{found:?} {limit}"
            );
            let coarse =
                |values: &[f64]| values.iter().map(|v| (v * 4.0).floor()).collect::<Vec<_>>();
            let found = distance(&grid(&coarse(&baseline), &coarse(&window))).unwrap();
            assert!(asymptotic(found.d, 800.0, 900.0) >= found.p, "{found:?}");
        }
    }
}
