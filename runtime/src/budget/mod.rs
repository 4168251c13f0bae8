//! Money is reserved before it is spent, and settled after: never past the limit.
//!
//! An execution has a [`Budget`] of its own, kept in its record. What executions share (an agent's money,
//! a tenant's, a day's) is a [`Limit`], and what was spent and reserved under it is kept in a [`Ledger`].
//! [`Budgets`] draws on all of them at once: a call goes out when every account that pays for it has set
//! its worst case aside, and waits while others hold what it needs. A stream that can be cut sets aside
//! what such calls cost as a rule ([`Outputs`]), and more as it goes on.

mod ledger;
mod limit;
mod outputs;
mod prices;
mod shared;
mod sqlite;

pub use ledger::{Balance, Ledger, Opening, Short};
pub use limit::{Account, Limit, Payer, Scope, Window};
pub use outputs::Outputs;
pub use prices::{BookPrices, FlatPrices, Prices};
pub use shared::{Budgets, Held};
pub use sqlite::SqliteLedger;

use rust_decimal::Decimal;

/// What one execution may spend, in US dollars. Kept in its durable record.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Budget {
    limit: Option<Decimal>,
    reserved: Decimal,
    spent: Decimal,
}

/// The budget can't pay for the next call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the next call may cost {worst} USD; {spent} of {limit} USD is spent, {reserved} reserved")]
pub struct Exhausted {
    /// What the call may cost at worst.
    pub worst: Decimal,
    /// The limit.
    pub limit: Decimal,
    /// Spent so far.
    pub spent: Decimal,
    /// Reserved by calls in flight.
    pub reserved: Decimal,
}

impl Budget {
    /// A budget with a limit, or none.
    #[must_use]
    pub fn new(limit: Option<Decimal>) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    /// The limit.
    #[must_use]
    pub fn limit(&self) -> Option<Decimal> {
        self.limit
    }

    /// Reserved by the call in flight.
    #[must_use]
    pub fn reserved(&self) -> Decimal {
        self.reserved
    }

    /// Spent and settled.
    #[must_use]
    pub fn spent(&self) -> Decimal {
        self.spent
    }

    /// Sets aside what a call may cost at worst.
    ///
    /// # Errors
    /// When spent, reserved and this together would pass the limit; nothing is reserved then.
    pub fn reserve(&mut self, worst: Decimal) -> Result<(), Exhausted> {
        let worst = worst.max(Decimal::ZERO);
        if let Some(limit) = self.limit
            && self.spent + self.reserved + worst > limit
        {
            return Err(Exhausted {
                worst,
                limit,
                spent: self.spent,
                reserved: self.reserved,
            });
        }
        self.reserved += worst;
        Ok(())
    }

    /// A budget as it was kept.
    fn standing(limit: Decimal, spent: Decimal, reserved: Decimal) -> Self {
        Self {
            limit: Some(limit),
            reserved,
            spent,
        }
    }

    /// Takes back what was entered as spent and was not.
    fn take_back(&mut self, cost: Decimal) {
        self.spent = (self.spent - cost).max(Decimal::ZERO);
    }

    /// Gives a reservation back, and enters what the call did cost.
    pub fn settle(&mut self, worst: Decimal, cost: Decimal) {
        self.reserved = (self.reserved - worst.max(Decimal::ZERO)).max(Decimal::ZERO);
        self.spent += cost.max(Decimal::ZERO);
    }

    /// Enters whatever is reserved as spent: after a crash, or when a call was cut, nobody knows
    /// what it did cost, and the budget must not be overspent.
    pub fn forfeit(&mut self) {
        self.spent += std::mem::take(&mut self.reserved);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever is asked in whatever order, spent and reserved never pass the limit, and what is
        /// affordable is not refused.
        #[test]
        fn never_past_the_limit(limit in 0_i64..10_000, calls in prop::collection::vec((0_i64..3_000, 0_u8..=100, 0_u8..3), 0..60)) {
            let mut budget = Budget::new(Some(Decimal::new(limit, 4)));
            let limit = Decimal::new(limit, 4);
            for (worst, share, end) in calls {
                let worst = Decimal::new(worst, 4);
                let before = budget.spent() + budget.reserved();
                match budget.reserve(worst) {
                    Ok(()) => match end {
                        0 => budget.settle(worst, worst * Decimal::new(i64::from(share), 2)),
                        1 => budget.forfeit(),
                        _ => {}
                    },
                    Err(refused) => {
                        prop_assert!(before + worst > limit);
                        prop_assert_eq!(refused.spent + refused.reserved, before);
                    }
                }
                prop_assert!(budget.spent() + budget.reserved() <= limit);
            }
        }
    }
}
