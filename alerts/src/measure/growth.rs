//! How many times as much as before.

use flyball_store::rows::Kind;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::fact::Fact;
use crate::rule::{Quantity, SECOND};
use crate::window::Ring;

const BUCKET: i64 = 10 * SECOND;

impl Quantity {
    /// What a fact adds; none when it is not about that. A reversal's is negative.
    pub(crate) fn of(self, fact: &Fact<'_>) -> Option<Decimal> {
        let called = || fact.kind(Kind::ModelCall) || fact.kind(Kind::ToolCall);
        let amount = match self {
            Self::Spend => fact.cost(),
            Self::Calls if called() => Decimal::from(fact.sign()),
            Self::Errors if called() && fact.row.error_type.is_some() => Decimal::from(fact.sign()),
            Self::Tokens => Decimal::from(fact.tokens()?),
            Self::Calls | Self::Errors => return None,
        };
        (!amount.is_zero()).then_some(amount)
    }
}

/// The last window of one key, and what was before it.
#[derive(Debug)]
pub(crate) struct Growth {
    of: Quantity,
    window: i64,
    base: i64,
    floor: Decimal,
    short: Ring<Decimal>,
    /// Both together.
    long: Ring<Decimal>,
    /// Since when it is watched without a break.
    since: Option<i64>,
}

impl Growth {
    pub(crate) fn new(of: Quantity, window: i64, base: i64, floor: Decimal) -> Self {
        Self {
            of,
            window,
            base,
            floor,
            short: Ring::by(BUCKET, window),
            long: Ring::by(BUCKET, window + base),
            since: None,
        }
    }

    pub(crate) fn add(&mut self, fact: &Fact<'_>, now: i64) {
        let Some(amount) = self.of.of(fact) else {
            return;
        };
        let at = fact.received;
        if self.long.is_empty(now) {
            self.since = None;
        }
        self.since = Some(self.since.map_or(at, |since| since.min(at)));
        self.short.add(at, amount, now);
        self.long.add(at, amount, now);
    }

    /// The factor; none without enough before to compare with. Under the floor it is 0: too little to matter.
    pub(crate) fn value(&mut self, now: i64) -> Option<Decimal> {
        let (recent, before) = self.both(now);
        if recent < self.floor {
            return Some(Decimal::ZERO);
        }
        let whole = self
            .since
            .is_some_and(|since| now - since >= self.window + self.base - BUCKET);
        if !whole || before <= Decimal::ZERO {
            return None;
        }
        let scaled = recent.checked_mul(Decimal::from(self.base / BUCKET))?;
        let before = before.checked_mul(Decimal::from(self.window / BUCKET))?;
        Some(
            scaled
                .checked_div(before)
                .map_or(Decimal::MAX, |factor| factor.round_dp(3)),
        )
    }

    pub(crate) fn numbers(&mut self, now: i64) -> Value {
        let (recent, before) = self.both(now);
        let expected = before
            .checked_mul(Decimal::from(self.window))
            .and_then(|before| before.checked_div(Decimal::from(self.base)));
        json!({
            "of": self.of.as_str(),
            "now": recent.normalize().to_string(),
            "before": before.normalize().to_string(),
            "expected": expected.map(|e| e.round_dp(6).normalize().to_string()),
            "floor": self.floor.normalize().to_string(),
        })
    }

    pub(crate) fn is_empty(&mut self, now: i64) -> bool {
        self.long.is_empty(now)
    }

    pub(crate) fn clear(&mut self) {
        self.short.clear();
        self.long.clear();
        self.since = None;
    }

    fn both(&mut self, now: i64) -> (Decimal, Decimal) {
        let recent = self.short.sum(now);
        (recent, self.long.sum(now).saturating_sub(recent))
    }
}
