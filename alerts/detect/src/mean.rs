//! A mean that forgets.

use serde::{Deserialize, Serialize};

use crate::exact;

/// Exponentially weighted mean; of the first samples, the plain mean.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Mean {
    #[serde(with = "exact")]
    value: f64,
    seen: u64,
}

impl Mean {
    pub(crate) fn get(&self) -> f64 {
        self.value
    }

    /// Takes a sample in. `span` is the number of samples whose plain mean would be as old on average:
    /// the weight of the newest is 2 / (span + 1).
    pub(crate) fn update(&mut self, sample: f64, span: u32) -> f64 {
        self.seen = self.seen.saturating_add(1);
        let weight = (2.0 / (f64::from(span) + 1.0)).max(1.0 / self.seen as f64);
        self.value += weight * (sample - self.value);
        self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_first_samples_it_is_the_plain_mean() {
        let mut mean = Mean::default();
        for sample in [2.0, 4.0, 9.0] {
            mean.update(sample, 1_000);
        }
        assert!((mean.get() - 5.0).abs() < 1e-12);
    }

    #[test]
    fn a_step_is_taken_up_by_86_percent_within_its_span() {
        // (1 - 2/(span+1))^span tends to e^-2.
        let mut mean = Mean::default();
        for _ in 0..5_000 {
            mean.update(0.0, 100);
        }
        for _ in 0..100 {
            mean.update(1.0, 100);
        }
        assert!((mean.get() - (1.0 - (-2.0_f64).exp())).abs() < 0.01);
    }
}
