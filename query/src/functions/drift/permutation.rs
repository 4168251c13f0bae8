//! How likely chance is to get that far: deal all values out again, to as many on each side as there were, and see.
//!
//! The chance is always the same one, so the same counts have the same answer on every machine and in every order.

use super::{Counts, totals};

/// Times that the values are dealt out, at most.
const ROUNDS: u32 = 999;
/// Enough of them got as far: p is known well enough to say that this is chance (Besag and Clifford 1991).
const ENOUGH: u32 = 50;
/// Rounding must not make one distance of two equal ones larger.
const NEARLY: f64 = 1.0 - 1e-9;

/// The probability of a statistic as large or larger under chance, of a baseline and a window counted by bin. It is no
/// less than 1/1000, and dearest (some ten milliseconds with 256 bins) where it is small.
pub(super) fn significance(bins: &[Counts], statistic: impl Fn(&[Counts]) -> f64) -> f64 {
    let seen = statistic(bins);
    let [n, m] = totals(bins.iter().copied());
    let mut chance = Chance(0x0046_4C59_4241_4C4C);
    let mut dealt = bins.to_vec();
    let mut as_far = 0;
    for round in 1..=ROUNDS {
        let (mut left, mut baseline_left) = (n + m, n);
        for ([baseline, window], of) in dealt.iter_mut().zip(bins) {
            let count = of[0] + of[1];
            *baseline = hypergeometric(&mut chance, left, baseline_left, count);
            *window = count - *baseline;
            left -= count;
            baseline_left -= *baseline;
        }
        as_far += u32::from(statistic(&dealt) >= seen * NEARLY);
        if as_far == ENOUGH {
            return f64::from(ENOUGH) / f64::from(round);
        }
    }
    f64::from(as_far + 1) / f64::from(ROUNDS + 1)
}

/// So few are drawn one by one.
const FEW: u64 = 4;
/// From this variance on a normal number, rounded, is as good.
const NORMAL_FROM: f64 = 100.0;

/// How many of `taken` out of `all` are among the `marked` ones.
fn hypergeometric(chance: &mut Chance, all: u64, marked: u64, taken: u64) -> u64 {
    let (low, high) = ((marked + taken).saturating_sub(all), marked.min(taken));
    if low == high {
        return low;
    }
    if taken <= FEW {
        return one_by_one(chance, all, marked, taken);
    }
    let (n, k, t) = (all as f64, marked as f64, taken as f64);
    let mean = t * k / n;
    let variance = mean * (1.0 - k / n) * (n - t) / (n - 1.0);
    if variance > NORMAL_FROM {
        let drawn = (mean + variance.sqrt() * chance.normal()).round();
        return (drawn.max(0.0) as u64).clamp(low, high);
    }
    // Inversion, beginning where most of the probability is and going outwards on both sides.
    let middle = (((k + 1.0) * (t + 1.0) / (n + 2.0)) as u64).clamp(low, high);
    let x = middle as f64;
    let p = (choose(k, x) + choose(n - k, t - x) - choose(n, t)).exp();
    let mut left = chance.uniform() - p;
    let (mut up, mut p_up, mut down, mut p_down) = (middle, p, middle, p);
    while left >= 0.0 && (up < high || down > low) {
        if up < high {
            let x = up as f64;
            p_up *= (k - x) * (t - x) / ((x + 1.0) * (n - k - t + x + 1.0));
            up += 1;
            left -= p_up;
            if left < 0.0 {
                return up;
            }
        }
        if down > low {
            let x = down as f64;
            p_down *= x * (n - k - t + x) / ((k - x + 1.0) * (t - x + 1.0));
            down -= 1;
            left -= p_down;
            if left < 0.0 {
                return down;
            }
        }
    }
    middle
}

fn one_by_one(chance: &mut Chance, mut all: u64, mut marked: u64, taken: u64) -> u64 {
    let mut drawn = 0;
    for _ in 0..taken {
        if chance.uniform() * (all as f64) < marked as f64 {
            drawn += 1;
            marked -= 1;
        }
        all -= 1;
    }
    drawn
}

/// The logarithm of the number of ways to choose `k` of `n`.
fn choose(n: f64, k: f64) -> f64 {
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
}

/// Stirling's series, past its first few numbers.
fn ln_factorial(n: f64) -> f64 {
    if n < 10.0 {
        const SMALL: [f64; 10] = [
            1.0, 1.0, 2.0, 6.0, 24.0, 120.0, 720.0, 5040.0, 40_320.0, 362_880.0,
        ];
        return SMALL[n as usize].ln();
    }
    let correction = (1.0 / 12.0 - (1.0 / 360.0 - 1.0 / (1260.0 * n * n)) / (n * n)) / n;
    n * n.ln() - n + 0.5 * (std::f64::consts::TAU * n).ln() + correction
}

/// SplitMix64 (Steele, Lea and Flood 2014).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    /// From 0 up to, but not including, 1.
    fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Standard normal, by Box and Muller.
    fn normal(&mut self) -> f64 {
        let (first, second) = (1.0 - self.uniform(), self.uniform());
        (-2.0 * first.ln()).sqrt() * (std::f64::consts::TAU * second).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factorials_are_what_multiplying_gives() {
        let mut product = 0.0;
        for n in 1..200_u32 {
            product += f64::from(n).ln();
            assert!((ln_factorial(f64::from(n)) - product).abs() < 1e-9, "{n}");
        }
    }

    /// Each way to draw, against the distribution as the definition gives it.
    #[test]
    fn draws_are_hypergeometric() {
        for (all, marked, taken) in [
            (10_u32, 4, 3),
            (30, 12, 9),
            (500, 20, 100),
            (500, 480, 100),
            (60, 30, 50),
        ] {
            let mut chance = Chance(u64::from(all));
            let rounds = 20_000;
            let mut counts = vec![0_u32; taken as usize + 1];
            for _ in 0..rounds {
                counts[hypergeometric(&mut chance, u64::from(all), marked, taken) as usize] += 1;
            }
            let ways = |n: u64, k: u64| {
                (0..k)
                    .map(|i| (n - i) as f64 / (i + 1) as f64)
                    .product::<f64>()
            };
            let mut chi = 0.0;
            let mut cells = 0.0_f64;
            for (drawn, count) in counts.iter().enumerate() {
                let (drawn, rest) = (drawn as u64, taken - drawn as u64);
                if drawn > marked || rest > u64::from(all) - marked {
                    assert_eq!(*count, 0);
                    continue;
                }
                let p = ways(marked, drawn) * ways(u64::from(all) - marked, rest)
                    / ways(u64::from(all), taken);
                let expected = p * f64::from(rounds);
                if expected >= 5.0 {
                    cells += 1.0;
                    chi += (f64::from(*count) - expected).powi(2) / expected;
                }
            }
            // Chi-squared with so many cells is below this but once in ten thousand times.
            assert!(
                chi < cells + 4.0 * (2.0 * cells).sqrt() + 6.0,
                "{all} {marked} {taken}: {chi} of {cells}"
            );
        }
    }

    #[test]
    fn many_draws_have_the_right_mean_and_variance() {
        let mut chance = Chance(1);
        let (all, marked, taken, rounds) = (1_000_000, 300_000, 10_000, 4000);
        let drawn: Vec<f64> = (0..rounds)
            .map(|_| hypergeometric(&mut chance, all, marked, taken) as f64)
            .collect();
        let mean = drawn.iter().sum::<f64>() / f64::from(rounds);
        let variance = drawn.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / f64::from(rounds);
        let expected = 3000.0 * 0.7 * 0.99;
        assert!((mean - 3000.0).abs() < 3.0, "{mean}");
        assert!((variance / expected - 1.0).abs() < 0.1, "{variance}");
    }
}
