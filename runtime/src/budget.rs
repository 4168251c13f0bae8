//! Money is reserved before it is spent, and settled after: never past the limit.

use rust_decimal::Decimal;

use crate::model::Usage;

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

/// Knows what calls cost.
pub trait Prices: Send + Sync + std::fmt::Debug {
    /// Cost of one model call in US dollars; none when the model has no price.
    fn cost(
        &self,
        provider: &str,
        model: &str,
        usage: &Usage,
        at_unix_nano: i64,
    ) -> Option<Decimal>;

    /// What a call of at most so many tokens costs at worst: whatever part of the input is written to
    /// a cache, and whatever part of the output is reasoning.
    fn worst(
        &self,
        provider: &str,
        model: &str,
        input: u64,
        output: u64,
        at_unix_nano: i64,
    ) -> Option<Decimal> {
        let plain = Usage {
            input_tokens: input,
            output_tokens: output,
            ..Usage::default()
        };
        let cached = Usage {
            cache_write_tokens: input,
            ..plain
        };
        let reasoned = Usage {
            reasoning_tokens: output,
            ..plain
        };
        let both = Usage {
            cache_write_tokens: input,
            reasoning_tokens: output,
            ..plain
        };
        [plain, cached, reasoned, both]
            .iter()
            .filter_map(|usage| self.cost(provider, model, usage, at_unix_nano))
            .max()
    }
}

/// Prices from the price book that the rest of the product uses.
#[derive(Debug, Clone)]
pub struct BookPrices(pub std::sync::Arc<flyball_pricing::Book>);

impl Prices for BookPrices {
    fn cost(
        &self,
        provider: &str,
        model: &str,
        usage: &Usage,
        at_unix_nano: i64,
    ) -> Option<Decimal> {
        let call = flyball_pricing::Call {
            provider: Some(provider),
            response_model: Some(model),
            start_unix_nano: at_unix_nano,
            ..flyball_pricing::Call::default()
        };
        let count = |tokens: u64| i64::try_from(tokens).ok();
        let tokens = flyball_pricing::Tokens {
            input: count(usage.input_tokens),
            cache_read: count(usage.cache_read_tokens),
            cache_write: count(usage.cache_write_tokens),
            output: count(usage.output_tokens),
            reasoning: count(usage.reasoning_tokens),
            ..flyball_pricing::Tokens::default()
        };
        self.0.charge(&call, &tokens).map(|(_, cost)| cost.total)
    }
}

/// The same price for every model, in US dollars a million tokens; for tests and for models of one's own.
#[derive(Debug, Clone, Copy)]
pub struct FlatPrices {
    /// A million input tokens.
    pub input: Decimal,
    /// A million output tokens.
    pub output: Decimal,
}

impl Prices for FlatPrices {
    fn cost(&self, _: &str, _: &str, usage: &Usage, _: i64) -> Option<Decimal> {
        let million = Decimal::from(1_000_000);
        let input = self.input * Decimal::from(usage.input_tokens) / million;
        Some(input + self.output * Decimal::from(usage.output_tokens) / million)
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
