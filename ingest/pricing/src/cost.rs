//! Tokens times price.

use rust_decimal::{Decimal, RoundingStrategy};

use crate::Amounts;

/// Digits after the point to which every component is rounded.
const SCALE: u32 = 12;
/// What a money column cannot hold any more: a million dollars for one call.
const TOO_MUCH: Decimal = Decimal::from_parts(1_000_000, 0, 0, false, 0);

/// What one call used. `None` is unknown, not zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tokens {
    /// All input tokens, cached ones included.
    pub input: Option<i64>,
    /// Of input: read from a cache.
    pub cache_read: Option<i64>,
    /// Of input: written to a cache.
    pub cache_write: Option<i64>,
    /// Of those written: kept for an hour.
    pub cache_write_1h: Option<i64>,
    /// Of input: audio.
    pub audio_input: Option<i64>,
    /// Of input: images.
    pub image_input: Option<i64>,
    /// All output tokens, reasoning included.
    pub output: Option<i64>,
    /// Of output: reasoning.
    pub reasoning: Option<i64>,
    /// Of output: audio.
    pub audio_output: Option<i64>,
    /// Of output: images.
    pub image_output: Option<i64>,
}

/// What one call costs, in US dollars: components rounded half to even to 12 digits, and their sum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Uncached input, audio and images included.
    pub input: Decimal,
    /// Input read from a cache.
    pub cache_read: Decimal,
    /// Input written to a cache, for however long.
    pub cache_write: Decimal,
    /// Output, reasoning, audio and images included.
    pub output: Decimal,
    /// The fee for the request.
    pub request: Decimal,
    /// The sum of the above.
    pub total: Decimal,
}

/// What a call with these tokens costs at this price.
///
/// When one side (input or output) is unknown, the other is charged: a lower bound. Tokens whose cache
/// share is unknown are charged as uncached input.
///
/// `None` when neither side is known, when the price lacks a component that was used, when the tokens
/// contradict each other (cached more than input, kept for an hour more than written, reasoning more than
/// output, anything negative), when audio or images that have a price of their own meet cached tokens (nobody tells
/// which of those were audio), or when the sum would not fit a money column (a million dollars).
///
/// ```
/// use flyball_pricing::{Amounts, Tokens, cost};
/// use rust_decimal::Decimal;
///
/// // 2 US dollars a million tokens of input, 0.10 read from cache, 2.50 written, 10 of output.
/// let per_million = |cents: i64| Some(Decimal::new(cents, 2 + 6));
/// let price = Amounts {
///     input: per_million(200),
///     cache_read: per_million(10),
///     cache_write: per_million(250),
///     output: per_million(1000),
///     ..Amounts::default()
/// };
/// let tokens = Tokens {
///     input: Some(10_000),
///     cache_read: Some(8_000),
///     cache_write: Some(1_000),
///     output: Some(500),
///     ..Tokens::default()
/// };
/// // 1,000 x 2 + 8,000 x 0.10 + 1,000 x 2.50 + 500 x 10, a millionth of it.
/// let cost = cost(&price, &tokens).ok_or("unpriced")?;
/// assert_eq!(cost.total, Decimal::new(103, 4));
/// # Ok::<(), &'static str>(())
/// ```
#[must_use]
pub fn cost(price: &Amounts, tokens: &Tokens) -> Option<Cost> {
    if tokens.input.is_none() && tokens.output.is_none() {
        return None;
    }
    // A part of what is unknown is not charged either.
    let part = |whole: Option<i64>, part: Option<i64>| whole.and(part).unwrap_or(0);
    // A part that costs what the whole costs need not be told apart from it.
    let apart = |price: Option<Decimal>, whole, told| match price {
        Some(_) => part(whole, told),
        None => 0,
    };
    let input = tokens.input.unwrap_or(0);
    let read = part(tokens.input, tokens.cache_read);
    let written = part(tokens.input, tokens.cache_write);
    let hour = part(tokens.input, tokens.cache_write_1h);
    let heard = apart(price.audio_input, tokens.input, tokens.audio_input);
    let seen = apart(price.image_input, tokens.input, tokens.image_input);
    // Which of the cached tokens were audio or images nobody tells, and they cost otherwise.
    if heard.checked_add(seen)? > 0 && read.checked_add(written)? > 0 {
        return None;
    }
    let write = written.checked_sub(hour)?;
    let uncached = [read, written, heard, seen]
        .iter()
        .try_fold(input, |left, part| left.checked_sub(*part))?;
    let output = tokens.output.unwrap_or(0);
    let reasoning = apart(price.reasoning, tokens.output, tokens.reasoning);
    let spoken = apart(price.audio_output, tokens.output, tokens.audio_output);
    let drawn = apart(price.image_output, tokens.output, tokens.image_output);
    let written_out = [reasoning, spoken, drawn]
        .iter()
        .try_fold(output, |left, part| left.checked_sub(*part))?;
    let counts = [
        read,
        write,
        hour,
        heard,
        seen,
        uncached,
        reasoning,
        spoken,
        drawn,
        written_out,
    ];
    if counts.iter().any(|count| *count < 0) {
        return None;
    }

    let cost = Cost {
        input: rounded(sum(&[
            (uncached, price.input),
            (heard, price.audio_input),
            (seen, price.image_input),
        ])?),
        cache_read: rounded(exact(read, price.cache_read)?),
        cache_write: rounded(sum(&[
            (write, price.cache_write),
            (hour, price.cache_write_1h),
        ])?),
        output: rounded(sum(&[
            (written_out, price.output),
            (reasoning, price.reasoning),
            (spoken, price.audio_output),
            (drawn, price.image_output),
        ])?),
        request: rounded(price.request.unwrap_or_default()),
        total: Decimal::ZERO,
    };
    let total = cost
        .input
        .checked_add(cost.cache_read)?
        .checked_add(cost.cache_write)?
        .checked_add(cost.output)?
        .checked_add(cost.request)?;
    (total < TOO_MUCH).then_some(Cost { total, ..cost })
}

/// What all of them cost together.
fn sum(parts: &[(i64, Option<Decimal>)]) -> Option<Decimal> {
    parts.iter().try_fold(Decimal::ZERO, |sum, (count, price)| {
        sum.checked_add(exact(*count, *price)?)
    })
}

/// No tokens cost nothing, priced or not; tokens without a price cost we do not know what.
fn exact(count: i64, price: Option<Decimal>) -> Option<Decimal> {
    if count == 0 {
        return Some(Decimal::ZERO);
    }
    Decimal::from(count).checked_mul(price?)
}

/// To the digits of a money column, halves to the even neighbour.
pub(crate) fn rounded(amount: Decimal) -> Decimal {
    amount
        .round_dp_with_strategy(SCALE, RoundingStrategy::MidpointNearestEven)
        .normalize()
}

#[cfg(test)]
#[path = "cost/tests.rs"]
mod tests;
