//! How long an event is, how far memory goes, and how rare is rare enough.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The settings of a detector; the default is what every figure in `docs/detector.md` was measured with.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Config {
    /// Length of an event, in samples: what happens within it is one thing, and told once. The recent mean
    /// spans two of it, activity one, and a shift compares one with four.
    pub event_samples: u32,
    /// How many samples the memory of what is usual spans.
    pub memory_samples: u32,
    /// The rarity at which a sample is an alarm: roughly the negative decimal logarithm of the share of
    /// samples that are as unusual.
    pub alarm_rarity: f64,
}

/// The settings as they are read: what is left out is as by default.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Unchecked {
    event_samples: u32,
    memory_samples: u32,
    alarm_rarity: f64,
}

impl Default for Unchecked {
    fn default() -> Self {
        let Config {
            event_samples,
            memory_samples,
            alarm_rarity,
        } = Config::default();
        Self {
            event_samples,
            memory_samples,
            alarm_rarity,
        }
    }
}

impl TryFrom<Unchecked> for Config {
    type Error = Error;

    fn try_from(read: Unchecked) -> Result<Self> {
        Self {
            event_samples: read.event_samples,
            memory_samples: read.memory_samples,
            alarm_rarity: read.alarm_rarity,
        }
        .checked()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            event_samples: 64,
            memory_samples: 5_000,
            alarm_rarity: 1.8,
        }
    }
}

impl Config {
    /// The same settings, if every one is in its range.
    ///
    /// # Errors
    /// [`Error::Config`] for the first that is not.
    pub fn checked(self) -> Result<Self> {
        let wrong = |field, value, accepted| {
            Err(Error::Config {
                field,
                value,
                accepted,
            })
        };
        if !(4..=10_000).contains(&self.event_samples) {
            return wrong(
                "event_samples",
                f64::from(self.event_samples),
                "accepted are 4 to 10000 samples",
            );
        }
        if !(500..=1_000_000).contains(&self.memory_samples) {
            return wrong(
                "memory_samples",
                f64::from(self.memory_samples),
                "accepted are 500 to 1000000 samples",
            );
        }
        if !(self.alarm_rarity >= 1.0 && self.alarm_rarity <= 10.0) {
            return wrong(
                "alarm_rarity",
                self.alarm_rarity,
                "accepted are 1 to 10 decades",
            );
        }
        Ok(self)
    }
}
