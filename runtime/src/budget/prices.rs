//! What calls cost, and what they may cost at worst.

use rust_decimal::Decimal;

use crate::model::Usage;

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
