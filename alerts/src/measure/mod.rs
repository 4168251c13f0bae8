//! What a rule measures for one key, kept up to date with every fact.

mod repeats;

use flyball_store::rows::Kind;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use self::repeats::Repeats;
use crate::fact::{Fact, SpanRef};
use crate::rule::When;
use crate::window::{Ring, Sum};

/// Calls and failures of a bucket.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Tally {
    calls: i64,
    failed: i64,
}

impl Sum for Tally {
    fn plus(self, other: Self) -> Self {
        Self {
            calls: self.calls.plus(other.calls),
            failed: self.failed.plus(other.failed),
        }
    }
    fn minus(self, other: Self) -> Self {
        Self {
            calls: self.calls.minus(other.calls),
            failed: self.failed.minus(other.failed),
        }
    }
}

/// The state of one key.
#[derive(Debug)]
pub(crate) enum Measure {
    /// What the last answer said.
    Told(Option<Decimal>),
    Spend {
        dollars: Ring<Decimal>,
        calls: Ring<i64>,
    },
    Repeats(Repeats),
    Share {
        tally: Ring<Tally>,
        min_calls: i64,
    },
    Count(Ring<i64>),
}

impl Measure {
    pub(crate) fn new(when: &When) -> Self {
        match when {
            When::Sql { .. } => Self::Told(None),
            When::SpendRate { window } => Self::Spend {
                dollars: Ring::new(*window),
                calls: Ring::new(*window),
            },
            When::RepeatedToolCalls { window, proof } => {
                Self::Repeats(Repeats::new(*window, *proof))
            }
            When::ErrorRate {
                window, min_calls, ..
            } => Self::Share {
                tally: Ring::new(*window),
                min_calls: i64::from(*min_calls),
            },
            When::Escalations { window } => Self::Count(Ring::new(*window)),
        }
    }

    /// Whether a rule of this kind cares about the fact.
    pub(crate) fn concerns(when: &When, fact: &Fact<'_>) -> bool {
        match when {
            When::Sql { .. } => false,
            When::SpendRate { .. } => !fact.cost().is_zero(),
            When::RepeatedToolCalls { proof, .. } => {
                fact.kind(Kind::ToolCall)
                    || fact.progressed()
                    || (proof.asks_models() && fact.kind(Kind::ModelCall))
            }
            When::ErrorRate { of, .. } => fact.call(*of),
            When::Escalations { .. } => fact.escalated(),
        }
    }

    pub(crate) fn add(&mut self, fact: &Fact<'_>, now: i64) {
        let (at, sign) = (fact.received, fact.sign());
        match self {
            Self::Told(_) => {}
            Self::Spend { dollars, calls } => {
                dollars.add(at, fact.cost(), now);
                calls.add(at, sign, now);
            }
            Self::Repeats(repeats) => repeats.add(fact, now),
            Self::Share { tally, .. } => {
                let failed = if fact.row.error_type.is_some() {
                    sign
                } else {
                    0
                };
                tally.add(
                    at,
                    Tally {
                        calls: sign,
                        failed,
                    },
                    now,
                );
            }
            Self::Count(count) => count.add(at, sign, now),
        }
    }

    /// The number that the threshold is held against; none when there is no telling.
    pub(crate) fn value(&mut self, now: i64) -> Option<Decimal> {
        match self {
            Self::Told(value) => *value,
            Self::Spend { dollars, .. } => Some(dollars.sum(now)),
            Self::Repeats(repeats) => Some(Decimal::from(repeats.most(now))),
            Self::Share { tally, min_calls } => {
                let Tally { calls, failed } = tally.sum(now);
                (calls >= *min_calls).then(|| Decimal::from(failed) / Decimal::from(calls.max(1)))
            }
            Self::Count(count) => Some(Decimal::from(count.sum(now))),
        }
    }

    /// The numbers behind the value.
    pub(crate) fn numbers(&mut self, now: i64) -> Value {
        match self {
            Self::Told(_) => json!({}),
            Self::Spend { dollars, calls } => {
                json!({ "usd": dollars.sum(now).normalize().to_string(), "calls": calls.sum(now) })
            }
            Self::Repeats(repeats) => repeats.numbers(now),
            Self::Share { tally, min_calls } => {
                let Tally { calls, failed } = tally.sum(now);
                json!({ "calls": calls, "failed": failed, "min_calls": min_calls })
            }
            Self::Count(count) => json!({ "escalations": count.sum(now) }),
        }
    }

    /// The very spans that the value counts, where it is known; else the caller's last few will do.
    pub(crate) fn spans(&mut self, now: i64) -> Option<Vec<SpanRef>> {
        match self {
            Self::Repeats(repeats) => Some(repeats.spans(now)),
            _ => None,
        }
    }

    /// Whether an action would be about whoever this fact is of.
    pub(crate) fn blames(&self, fact: &Fact<'_>) -> bool {
        match self {
            Self::Repeats(repeats) => repeats.blames(fact),
            _ => true,
        }
    }

    pub(crate) fn is_empty(&mut self, now: i64) -> bool {
        match self {
            Self::Told(value) => value.is_none(),
            Self::Spend { dollars, calls } => dollars.is_empty(now) && calls.is_empty(now),
            Self::Repeats(repeats) => repeats.is_empty(now),
            Self::Share { tally, .. } => tally.is_empty(now),
            Self::Count(count) => count.is_empty(now),
        }
    }

    /// Forgets what was counted: somebody has looked at it.
    pub(crate) fn clear(&mut self) {
        match self {
            Self::Told(_) => {}
            Self::Spend { dollars, calls } => {
                dollars.clear();
                calls.clear();
            }
            Self::Repeats(repeats) => repeats.clear(),
            Self::Share { tally, .. } => tally.clear(),
            Self::Count(count) => count.clear(),
        }
    }
}
