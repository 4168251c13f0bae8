//! Population stability index: how far a window's distribution has moved from a baseline's.

mod aggregate;

pub(super) use aggregate::psi_drift;

/// Smallest share of a bin, so that an empty one does not make the index infinite.
const SHARE_MIN: f64 = 1e-4;
/// Bins are the baseline's deciles.
const QUANTILES: usize = 10;

/// The index, and what it would be without drift.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drift {
    /// `sum (p - q) ln(p / q)` over the baseline's deciles, `p` and `q` the shares of window and baseline.
    pub psi: f64,
    /// Its mean when both sides come from one distribution: `(bins - 1)(1/n + 1/m)`. With 100 values a
    /// side that is 0.18, so the customary limit of 0.1 says nothing there.
    pub expected: f64,
    /// How many standard deviations the index lies above what chance gives: `psi * nm / (n + m)` is
    /// chi-squared with `bins - 1` degrees of freedom, brought to a normal scale by Wilson and
    /// Hilferty's cube root. `None` with a single bin.
    pub z: Option<f64>,
}

/// Compares a window with a baseline. `None` when either is empty; NaN values are left out.
///
/// Where many baseline values are equal, so that a decile repeats, that value is a bin of its own:
/// agents like to be exactly 0.9 sure.
///
/// ```
/// use flyball_query::functions::psi::drift;
/// // Baseline half 0, half 1; window one quarter 0, three quarters 1:
/// // (0.25 - 0.5) ln(0.25 / 0.5) + (0.75 - 0.5) ln(0.75 / 0.5) = 0.27465...
/// let found = drift(&[0.0, 0.0, 1.0, 1.0], &[0.0, 1.0, 1.0, 1.0]).map(|d| d.psi);
/// assert!((found.unwrap_or_default() - 0.274_653).abs() < 1e-6);
/// ```
#[must_use]
pub fn drift(baseline: &[f64], window: &[f64]) -> Option<Drift> {
    let mut baseline: Vec<f64> = baseline.iter().copied().filter(|v| !v.is_nan()).collect();
    let window: Vec<f64> = window.iter().copied().filter(|v| !v.is_nan()).collect();
    if baseline.is_empty() || window.is_empty() {
        return None;
    }
    baseline.sort_by(f64::total_cmp);
    let cuts = cuts(&baseline);
    let (before, after) = (counts(&cuts, &baseline), counts(&cuts, &window));
    let (n, m) = (baseline.len() as f64, window.len() as f64);
    let mut psi = 0.0;
    let mut bins = 0_u32;
    for (before, after) in before.into_iter().zip(after) {
        if before == 0 && after == 0 {
            continue;
        }
        bins += 1;
        let p = (after as f64 / m).max(SHARE_MIN);
        let q = (before as f64 / n).max(SHARE_MIN);
        psi += (p - q) * (p / q).ln();
    }
    let freedom = f64::from(bins - 1);
    Some(Drift {
        psi,
        expected: freedom * (1.0 / n + 1.0 / m),
        z: (bins > 1).then(|| standard(psi * n * m / (n + m), freedom)),
    })
}

/// A border between bins: above it, or at and above it.
#[derive(Debug, Clone, Copy)]
struct Cut {
    at: f64,
    inclusive: bool,
}

impl Cut {
    fn passes(self, value: f64) -> bool {
        if self.inclusive {
            value >= self.at
        } else {
            value > self.at
        }
    }
}

/// Borders at the deciles of sorted values, in rising order.
fn cuts(sorted: &[f64]) -> Vec<Cut> {
    let mut cuts: Vec<Cut> = Vec::with_capacity(QUANTILES);
    for k in 1..QUANTILES {
        let at = quantile(sorted, k as f64 / QUANTILES as f64);
        match cuts.last() {
            // The third and further of equal deciles add nothing.
            Some(last) if last.at.total_cmp(&at).is_eq() => {
                let alone = cuts.len() < 2 || cuts[cuts.len() - 2].at.total_cmp(&at).is_ne();
                if alone {
                    let above = cuts.len() - 1;
                    cuts.insert(
                        above,
                        Cut {
                            at,
                            inclusive: true,
                        },
                    );
                }
            }
            _ => cuts.push(Cut {
                at,
                inclusive: false,
            }),
        }
    }
    cuts
}

/// Linear interpolation between order statistics, as most tools do by default.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let below = place.floor() as usize;
    let above = place.ceil() as usize;
    if sorted[below].total_cmp(&sorted[above]).is_eq() {
        return sorted[below];
    }
    sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64)
}

fn counts(cuts: &[Cut], values: &[f64]) -> Vec<u64> {
    let mut counts = vec![0; cuts.len() + 1];
    for value in values {
        counts[cuts.partition_point(|cut| cut.passes(*value))] += 1;
    }
    counts
}

/// A chi-squared value as a standard normal one.
fn standard(chi_squared: f64, freedom: f64) -> f64 {
    let variance = 2.0 / (9.0 * freedom);
    ((chi_squared / freedom).cbrt() - (1.0 - variance)) / variance.sqrt()
}

#[cfg(test)]
mod tests;
