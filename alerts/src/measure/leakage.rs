//! What one task cost in executions of which each, for itself, stayed under the limit.
//!
//! A limit on an execution does not see a task that is tried again and again, or that is cut into many small
//! executions. So the money of a task (or session) is kept by execution, and what counts is the sum over those
//! that stayed under the limit themselves, once there are several. One that is over it is left to the limit that
//! sees it.
//!
//! Of executions beyond those that are kept apart only the money is known; they count as small, so that no spend
//! goes unseen.

use flyball_store::rows::Kind;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::fact::Fact;
use crate::window::Ring;

/// Executions kept apart for one key.
const PARTS: usize = 64;
/// Executions shown as evidence.
const SHOWN: usize = 5;

#[derive(Debug)]
struct Part {
    execution: Box<str>,
    dollars: Ring<Decimal>,
}

/// What the executions of one key cost.
#[derive(Debug)]
pub(crate) struct Leakage {
    window: i64,
    limit: Decimal,
    /// With fewer there is no leak.
    executions: usize,
    all: Ring<Decimal>,
    parts: Vec<Part>,
}

/// How the spend of the window is spread.
struct Spread {
    executions: usize,
    /// In executions under the limit.
    under: Decimal,
}

impl Leakage {
    pub(crate) fn new(window: i64, limit: Decimal, executions: u32) -> Self {
        Self {
            window,
            limit,
            executions: executions as usize,
            all: Ring::new(window),
            parts: Vec::new(),
        }
    }

    pub(crate) fn concerns(fact: &Fact<'_>) -> bool {
        !fact.cost().is_zero() && !fact.kind(Kind::Execution)
    }

    pub(crate) fn add(&mut self, fact: &Fact<'_>, now: i64) {
        let (at, dollars) = (fact.received, fact.cost());
        self.all.add(at, dollars, now);
        let execution = fact.row.execution_id;
        let known = self.parts.iter().position(|p| *p.execution == *execution);
        let place = match known {
            Some(place) => place,
            None if fact.reversal() => return,
            None => {
                if self.parts.len() >= PARTS {
                    self.parts.retain_mut(|part| !part.dollars.is_empty(now));
                }
                if self.parts.len() >= PARTS {
                    return;
                }
                self.parts.push(Part {
                    execution: execution.into(),
                    dollars: Ring::new(self.window),
                });
                self.parts.len() - 1
            }
        };
        self.parts[place].dollars.add(at, dollars, now);
    }

    /// US dollars in executions under the limit; 0 while there are too few executions to speak of a leak.
    pub(crate) fn value(&mut self, now: i64) -> Decimal {
        let spread = self.spread(now);
        if spread.executions < self.executions {
            return Decimal::ZERO;
        }
        spread.under
    }

    pub(crate) fn numbers(&mut self, now: i64) -> Value {
        let spread = self.spread(now);
        let mut dearest: Vec<_> = self
            .parts
            .iter_mut()
            .map(|part| (part.dollars.sum(now), &*part.execution))
            .collect();
        dearest.sort_unstable_by(|one, other| other.cmp(one));
        let dearest: Vec<_> = dearest
            .iter()
            .take(SHOWN)
            .map(|(usd, id)| json!({ "execution": id, "usd": usd.normalize().to_string() }))
            .collect();
        json!({
            "usd": spread.under.normalize().to_string(),
            "usd_in_all": self.all.sum(now).normalize().to_string(),
            "executions": spread.executions,
            "dearest": dearest,
        })
    }

    pub(crate) fn is_empty(&mut self, now: i64) -> bool {
        self.all.is_empty(now)
    }

    pub(crate) fn clear(&mut self) {
        self.all.clear();
        self.parts.clear();
    }

    fn spread(&mut self, now: i64) -> Spread {
        let mut spread = Spread {
            executions: 0,
            under: self.all.sum(now),
        };
        for part in &mut self.parts {
            if part.dollars.is_empty(now) {
                continue;
            }
            spread.executions += 1;
            let dollars = part.dollars.sum(now);
            if dollars >= self.limit {
                spread.under -= dollars;
            }
        }
        spread
    }
}
