//! How rare is a deviation so large.
//!
//! Small deviations are everyday, and their number says little about the large ones. So only the largest
//! three in a hundred are looked at: by how much they exceed the threshold that cuts them off, as a ratio,
//! since the tails of costs, latencies and counts are close to a power law (Hill 1975, "A simple general
//! approach to inference about the tail of a distribution"). The logarithm of the ratio is then exponential;
//! its mean is learnt, and what that leaves uncertain is in the prediction (a Lomax tail). Ratios have no
//! unit: the series may be in dollars or in nanoseconds.

use serde::{Deserialize, Serialize};

use crate::exact;

/// Share of samples that lie in the tail.
const SHARE: f64 = 0.03;
/// Samples collected before anything is said.
const WARM_UP: usize = 100;
/// Mean logarithm of the ratio before any is seen, between a normal tail (0.15) and a square law (0.5).
const EXCESS_PRIOR: f64 = 0.3;
/// How many events that prior counts for.
const PRIOR_EVENTS: f64 = 10.0;
/// The threshold is at least this many mean deviations: a series that stands still nearly always, with a
/// burst now and then, would otherwise have none.
const THRESHOLD_IN_MEANS: f64 = 0.5;
/// A ratio above e^30 says no more than e^30.
const LARGEST_EXCESS: f64 = 30.0;

/// Where the tail of a series of deviations (none negative) begins, and how heavy it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Tail {
    /// The deviations so far, until there are enough.
    #[serde(with = "exact::list")]
    first: Vec<f64>,
    /// Natural logarithm of the threshold; none while every deviation was zero.
    log_threshold: Option<Log>,
    /// Mean deviation.
    #[serde(with = "exact")]
    mean: f64,
    /// Mean excess of an event over the threshold, natural logarithm.
    #[serde(with = "exact")]
    excess: f64,
    /// How many events that rests on, the prior's among them.
    #[serde(with = "exact")]
    events: f64,
    /// The largest excess of the event that is going on.
    #[serde(with = "exact")]
    peak: f64,
    /// Samples since the last in the tail.
    quiet: u64,
    seen: u64,
}

/// A logarithm kept to the bit.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Log(#[serde(with = "exact")] f64);

impl Default for Tail {
    fn default() -> Self {
        Self {
            first: Vec::new(),
            log_threshold: None,
            mean: 0.0,
            excess: EXCESS_PRIOR,
            events: PRIOR_EVENTS,
            peak: 0.0,
            quiet: u64::MAX,
            seen: 0,
        }
    }
}

impl Tail {
    /// The deviation that all but three in a hundred stay below; zero until there is one.
    pub(crate) fn threshold(&self) -> f64 {
        self.log_threshold.map_or(0.0, |log| log.0.exp())
    }

    /// Mean deviation.
    pub(crate) fn mean(&self) -> f64 {
        self.mean
    }

    /// Negative decimal logarithm of the chance of a deviation at least so large; zero for an ordinary one,
    /// for one that is less than `matters`, and during the warm-up. Then takes it in. Samples in the tail
    /// that are no more than `event` apart are one event: it counts once, with its largest.
    pub(crate) fn surprise(
        &mut self,
        deviation: f64,
        matters: f64,
        event: u32,
        memory: u32,
    ) -> f64 {
        self.seen = self.seen.saturating_add(1);
        let gain = (1.0 / self.seen as f64).max(1.0 / f64::from(memory));
        self.mean += gain * (deviation - self.mean);
        if self.seen <= WARM_UP as u64 {
            self.first.push(deviation);
            if self.seen == WARM_UP as u64 {
                self.begin(matters);
            }
            return 0.0;
        }
        let floor = (THRESHOLD_IN_MEANS * self.mean).max(matters).ln();
        if !floor.is_finite() {
            return 0.0;
        }
        let threshold = self.log_threshold.map_or(floor, |log| log.0.max(floor));
        let excess = (deviation.ln() - threshold).min(LARGEST_EXCESS);
        let in_tail = excess > 0.0;
        let surprise = if in_tail {
            (self.events + 1.0) * (1.0 + excess / (self.events * self.excess)).log10()
                - SHARE.log10()
        } else {
            0.0
        };
        // As many steps up, of a size, as steps down of another, when the share is right.
        let step = self.excess * gain / SHARE;
        let place = f64::from(u8::from(in_tail)) - SHARE;
        self.log_threshold = Some(Log(threshold + step * place));
        if in_tail {
            self.learn(excess, event, memory);
        }
        self.quiet = if in_tail {
            1
        } else {
            self.quiet.saturating_add(1)
        };
        surprise
    }

    /// What the first samples say: their quantile, and the excesses over it.
    fn begin(&mut self, matters: f64) {
        let mut sorted = std::mem::take(&mut self.first);
        sorted.sort_by(f64::total_cmp);
        let place = ((1.0 - SHARE) * sorted.len() as f64) as usize;
        let quantile = sorted.get(place).copied().unwrap_or_default();
        let threshold = quantile.max(THRESHOLD_IN_MEANS * self.mean).max(matters);
        if threshold <= 0.0 {
            return;
        }
        self.log_threshold = Some(Log(threshold.ln()));
        for deviation in sorted
            .into_iter()
            .filter(|deviation| *deviation > threshold)
        {
            self.events += 1.0;
            self.excess += ((deviation / threshold).ln() - self.excess) / self.events;
        }
    }

    fn learn(&mut self, excess: f64, event: u32, memory: u32) {
        // One event must not teach that anything goes.
        let excess = excess.min(5.0 * self.excess);
        if self.quiet > u64::from(event) {
            self.events = (self.events + 1.0).min(SHARE * f64::from(memory));
            self.excess += (excess - self.excess) / self.events;
            self.peak = excess;
        } else if excess > self.peak {
            self.excess += (excess - self.peak) / self.events;
            self.peak = excess;
        }
    }
}

#[cfg(test)]
mod tests;
