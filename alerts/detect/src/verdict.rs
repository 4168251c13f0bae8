//! What is said about a sample, and what it rests on.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What was compared with what is usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    /// The sample, with the nearer of two: the recent mean plus the change that is usual at this hour of the
    /// day, and the level that is usual at this hour.
    Level,
    /// The mean absolute step from sample to sample over the last event length, with what is usual at this
    /// hour: restlessness, or a sudden calm. A change by half is as far as a doubling.
    Activity,
    /// The mean over the last event length, with the mean over four: what creeps.
    Shift,
}

impl fmt::Display for Aspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Level => "level",
            Self::Activity => "activity",
            Self::Shift => "shift",
        })
    }
}

/// What a verdict rests on: the most surprising aspect of the sample. Values are in the unit of the series.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// What was looked at.
    pub aspect: Aspect,
    /// What was observed.
    pub observed: f64,
    /// What was expected.
    pub expected: f64,
    /// 97 of 100 samples were between this...
    pub usual_from: f64,
    /// ...and this.
    pub usual_to: f64,
    /// Negative decimal logarithm of the estimated chance of a deviation at least so large.
    pub surprise: f64,
    /// Samples since anything was as surprising; none if nothing was, as far back as memory goes.
    pub last_seen: Option<u64>,
}

impl Evidence {
    /// Whether every number in it is one.
    pub(crate) fn is_finite(&self) -> bool {
        [
            self.observed,
            self.expected,
            self.usual_from,
            self.usual_to,
            self.surprise,
        ]
        .iter()
        .all(|number| number.is_finite())
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            aspect,
            observed,
            expected,
            usual_from,
            usual_to,
            ..
        } = self;
        write!(
            f,
            "{aspect} {observed:.6}, expected {expected:.6}, usually {usual_from:.6} to {usual_to:.6}; "
        )?;
        match self.last_seen {
            Some(samples) => write!(f, "as unusual {samples} samples ago"),
            None => f.write_str("nothing so unusual in memory"),
        }
    }
}

/// What is said about a sample.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Verdict {
    /// 0 to 1, and 0.5 or more exactly when this is an alarm.
    pub score: f64,
    /// Surprise less what was seen as surprising lately, in decades; 0 for what is ordinary.
    pub rarity: f64,
    /// Whether this sample starts an event that should be told, or makes one ten times as rare.
    pub alarm: bool,
    /// What this rests on; none for an ordinary sample, one that is not a number, or in the first hundred.
    pub evidence: Option<Evidence>,
}
