//! A median that forgets, and one for each hour of the day.

use serde::{Deserialize, Serialize};

use crate::exact;

/// So many samples are averaged before steps are taken: the first say where to start.
const STARTED_BY: u64 = 8;

/// Samples of an hour that its median remembers. An hour of samples a minute is sixty, so a change of the
/// day's rhythm is learnt in days, and one odd day does not replace it.
const HOUR_MEMORY: u32 = 100;

/// Running median by stochastic approximation: each sample moves it one step towards itself, whatever the
/// distance, so that an outlier pulls no harder than any other.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Median {
    #[serde(with = "exact")]
    centre: f64,
    /// Mean absolute deviation: the unit of a step.
    #[serde(with = "exact")]
    spread: f64,
    seen: u64,
}

impl Median {
    /// One that starts where another stands.
    fn starting_at(other: &Self) -> Self {
        Self { seen: 0, ..*other }
    }

    fn update(&mut self, sample: f64, memory: u32) {
        let off = sample - self.centre;
        self.seen = self.seen.saturating_add(1);
        let gain = (1.0 / (self.seen as f64 + 1.0)).max(1.0 / f64::from(memory));
        self.spread += gain * (off.abs() - self.spread);
        if self.seen <= STARTED_BY {
            self.centre += off / (self.seen as f64 + 1.0);
        } else if off != 0.0 {
            self.centre += 2.0 * gain * self.spread * off.signum();
        }
    }
}

/// What is usual at this hour of the day (UTC). An hour never seen starts at what is usual at any hour.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Daily {
    hours: [Option<Median>; 24],
    any: Option<Median>,
}

impl Daily {
    /// What was usual at this hour before this sample; then takes the sample in.
    pub(crate) fn usual(&mut self, at_seconds: i64, sample: f64, memory: u32) -> f64 {
        let any = self.any.get_or_insert(Median {
            centre: sample,
            ..Median::default()
        });
        any.update(sample, memory);
        let hour = usize::try_from(at_seconds.rem_euclid(86_400) / 3_600).unwrap_or_default();
        let Some(slot) = self.hours.get_mut(hour) else {
            return any.centre;
        };
        let median = slot.get_or_insert_with(|| Median::starting_at(any));
        let before = median.centre;
        median.update(sample, HOUR_MEMORY);
        before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_outliers_moves_the_median_little() {
        let mut median = Median::default();
        for n in 0..20_000_u32 {
            let ordinary = 10.0 + f64::from(n * 7 % 11) / 10.0;
            median.update(if n % 4 == 3 { 1e6 } else { ordinary }, 2_000);
        }
        // A quarter above everything puts the median at two thirds of the ordinary values, 10.0 to 11.0.
        // Its steps are as large as the outliers make the spread, over the memory.
        let step = 2.0 * 250_000.0 / 2_000.0;
        assert!((median.centre - 10.7).abs() < 2.0 * step);
    }

    #[test]
    fn each_hour_has_its_own() {
        let mut daily = Daily::default();
        let mut last = [0.0; 2];
        for minute in 0..(30 * 1_440_i64) {
            let busy = minute % 1_440 / 60 >= 12;
            let usual = daily.usual(minute * 60, if busy { 50.0 } else { 5.0 }, 2_000);
            last[usize::from(busy)] = usual;
        }
        assert!(
            (last[0] - 5.0).abs() < 0.5 && (last[1] - 50.0).abs() < 0.5,
            "{last:?}"
        );
    }

    #[test]
    fn times_before_1970_have_an_hour_too() {
        let mut daily = Daily::default();
        for at in [i64::MIN, -1, 0, i64::MAX] {
            assert!(daily.usual(at, 1.0, 2_000).is_finite());
        }
    }
}
