//! The life of one alert: a pure step from state, sample and time to the next state.
//!
//! Protection is fast, release is slow. Going to firing never waits for anything but the rule's own
//! `for`; every other change waits until nothing has changed for a whole cool-down. Two changes to firing
//! have another one between them, so no sequence of samples makes more than two changes in a cool-down.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// Where an alert stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// All is well.
    #[default]
    Ok,
    /// Too much, but not for long enough yet.
    Pending,
    /// Too much.
    Firing,
    /// Was firing, is well again, and is being watched for a while.
    Recovering,
    /// Nothing to judge by.
    NoData,
    /// The judging itself failed.
    Error,
}

impl State {
    /// Every one.
    pub(crate) const ALL: [Self; 6] = [
        Self::Ok,
        Self::Pending,
        Self::Firing,
        Self::Recovering,
        Self::NoData,
        Self::Error,
    ];

    /// The word in the `state` column.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Recovering => "recovering",
            Self::NoData => "no_data",
            Self::Error => "error",
        }
    }
}

/// Two thresholds: one to fire, a milder one to recover.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Threshold {
    /// Fires at this value and worse.
    pub trigger: Decimal,
    /// Recovers at values strictly better than this.
    pub recover: Decimal,
    /// Whether low values are the bad ones.
    pub low: bool,
}

impl Threshold {
    /// Whether the value is too much (or too little).
    #[must_use]
    pub fn breached(&self, value: Decimal) -> bool {
        if self.low {
            value <= self.trigger
        } else {
            value >= self.trigger
        }
    }

    /// Whether the value is well again.
    #[must_use]
    pub fn calm(&self, value: Decimal) -> bool {
        if self.low {
            value > self.recover
        } else {
            value < self.recover
        }
    }
}

/// What silence means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NoData {
    /// Nothing: the state holds. What cannot be measured neither fires nor resolves.
    Hold,
    /// All is well.
    Ok,
    /// Worth a state of its own; what is firing still holds.
    Alert,
}

/// What a rule asks of its state machine. Times in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// The bounds.
    pub threshold: Threshold,
    /// How long it must be breached before it fires.
    pub hold: i64,
    /// How long it must be calm before it is ok.
    pub keep_firing_for: i64,
    /// No more than two changes in this time.
    pub cool_down: i64,
    /// What silence means.
    pub no_data: NoData,
}

/// What was seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sample {
    /// A number.
    Value(Decimal),
    /// Nothing.
    NoData,
    /// The question failed.
    Error,
}

/// The state, and the memory it needs. Saved and read back, it goes on as if nothing had happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Where the alert stands.
    pub state: State,
    /// Since when (nanoseconds since 1970); none when it never changed.
    pub changed_at: Option<i64>,
    /// Since when every sample was too much.
    pub breached_since: Option<i64>,
    /// Since when every sample was well.
    pub calm_since: Option<i64>,
    /// The latest time it was told.
    pub last: i64,
}

/// A change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// Before.
    pub from: State,
    /// After.
    pub to: State,
}

impl Machine {
    /// Whether nothing is going on.
    #[must_use]
    pub fn at_rest(&self) -> bool {
        self.state == State::Ok && self.breached_since.is_none()
    }

    /// The machine after a sample at `now` (nanoseconds since 1970; going back counts as standing still).
    #[must_use]
    pub fn step(mut self, sample: Sample, now: i64, policy: &Policy) -> (Self, Option<Change>) {
        let now = now.max(self.last);
        self.last = now;
        let (breached, calm) = match sample {
            Sample::Value(value) => (
                policy.threshold.breached(value),
                policy.threshold.calm(value),
            ),
            Sample::NoData if policy.no_data == NoData::Ok => (false, true),
            Sample::NoData | Sample::Error => (false, false),
        };
        // What was not measured counts neither towards firing nor towards release.
        self.breached_since = breached.then(|| self.breached_since.unwrap_or(now));
        self.calm_since = calm.then(|| self.calm_since.unwrap_or(now));

        let quiet = self
            .changed_at
            .is_none_or(|at| now - at >= policy.cool_down);
        let Some(to) = self.next(sample, now, quiet, policy) else {
            return (self, None);
        };
        let from = std::mem::replace(&mut self.state, to);
        self.changed_at = Some(now);
        (self, Some(Change { from, to }))
    }

    fn next(&self, sample: Sample, now: i64, quiet: bool, policy: &Policy) -> Option<State> {
        let held = |since: Option<i64>, long: i64| since.is_some_and(|since| now - since >= long);
        let unmeasured = match sample {
            Sample::Error => Some(State::Error),
            Sample::NoData if policy.no_data == NoData::Alert => Some(State::NoData),
            Sample::NoData if policy.no_data == NoData::Hold => return None,
            _ => None,
        };
        let next = match (self.state, unmeasured) {
            (State::Firing | State::Recovering, Some(_)) => return None,
            (State::Firing, None) if self.calm_since.is_some() => {
                if policy.keep_firing_for == 0 {
                    State::Ok
                } else {
                    State::Recovering
                }
            }
            (State::Firing, None) => return None,
            // It fired already: a relapse need not hold again.
            (State::Recovering, None) if self.breached_since.is_some() => State::Firing,
            (State::Recovering, None) if held(self.calm_since, policy.keep_firing_for) => State::Ok,
            (State::Recovering, None) => return None,
            (_, Some(unmeasured)) => unmeasured,
            (_, None) if held(self.breached_since, policy.hold) => State::Firing,
            (_, None) if self.breached_since.is_some() => State::Pending,
            (_, None) => State::Ok,
        };
        (next != self.state && (quiet || next == State::Firing)).then_some(next)
    }
}
