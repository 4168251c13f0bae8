//! Jensen and Shannon's distance of two samples of words: how much a word tells of which sample it came from.

use super::{Counts, Labels, permutation, totals};

/// How far apart two samples are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Distance {
    /// The square root of the divergence to base 2: 0 when both have the same shares, 1 when they have no word in common.
    pub distance: f64,
    /// The probability that two samples of one distribution are as far apart or farther, by dealing all words out again
    /// up to 999 times, always the same way. Rare words do it no harm, as they would a chi-squared test.
    pub p: f64,
}

/// Compares the window with the baseline. `None` when either is empty.
///
/// ```
/// use flyball_query::functions::drift::{Labels, jensen_shannon};
/// let mut words = Labels::default();
/// words.add("stop", [true, false]);
/// words.add("length", [false, true]);
/// assert_eq!(jensen_shannon::distance(&words).map(|found| found.distance), Some(1.0));
/// ```
#[must_use]
pub fn distance(words: &Labels) -> Option<Distance> {
    let bins = words.counts();
    let [n, m] = totals(bins.iter().copied());
    if n == 0 || m == 0 {
        return None;
    }
    Some(Distance {
        distance: between(&bins),
        p: permutation::significance(&bins, between),
    })
}

fn between(bins: &[Counts]) -> f64 {
    let [n, m] = totals(bins.iter().copied()).map(|count| count as f64);
    let part = |share: f64, mean: f64| {
        if share > 0.0 {
            share * (share / mean).log2()
        } else {
            0.0
        }
    };
    let divergence: f64 = bins
        .iter()
        .map(|[baseline, window]| {
            let (p, q) = (*baseline as f64 / n, *window as f64 / m);
            let mean = p.midpoint(q);
            part(p, mean) + part(q, mean)
        })
        .sum();
    // Rounding may end a little below zero, or above one.
    (divergence / 2.0).clamp(0.0, 1.0).sqrt()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn words(baseline: &[(&str, u64)], window: &[(&str, u64)]) -> Labels {
        let side = |of: &[(&str, u64)], at: usize| -> Vec<(String, Counts)> {
            let counts = |count| if at == 0 { [count, 0] } else { [0, count] };
            of.iter()
                .map(|(word, count)| ((*word).to_owned(), counts(*count)))
                .collect()
        };
        let all: Vec<_> = side(baseline, 0)
            .into_iter()
            .chain(side(window, 1))
            .collect();
        Labels::from_parts(
            all.iter().map(|(word, counts)| (word.as_str(), *counts)),
            [0, 0],
        )
    }

    /// All successes against half: M is 3/4 and 1/4, so the divergence is
    /// (log2(4/3) + (log2(2/3) + log2(2)) / 2) / 2 = 0.31128 and the distance 0.55792.
    #[test]
    fn all_against_half() {
        let found = distance(&words(
            &[("success", 60)],
            &[("success", 30), ("failure", 30)],
        ))
        .unwrap();
        assert!((found.distance - 0.557_92).abs() < 1e-5, "{found:?}");
        assert_eq!(found.p, 0.001);
    }

    #[test]
    fn equal_shares_are_no_distance_whatever_the_numbers() {
        let found = distance(&words(&[("a", 2), ("b", 4)], &[("a", 100), ("b", 200)])).unwrap();
        assert!(found.distance < 1e-7, "{found:?}");
        assert_eq!(distance(&words(&[("a", 2)], &[])), None);
    }

    /// Fisher's tea: 3 of 4 right on either side. Of the 70 ways to deal, 34 get as far (p = 0.486).
    #[test]
    fn the_lady_who_tastes_tea() {
        let found = distance(&words(
            &[("milk", 3), ("tea", 1)],
            &[("milk", 1), ("tea", 3)],
        ))
        .unwrap();
        assert!((found.p - 34.0 / 70.0).abs() < 0.12, "{found:?}");
    }
}
