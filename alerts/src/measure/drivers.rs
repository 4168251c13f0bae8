//! Why it cost more: a change of cost, split into volume, mix and price.
//!
//! With Q the quantity (tokens, or calls where nobody knows the tokens), s a model's share of it and p its
//! cost for one, cost is Q times the sum of s p. Taking the mean of before and now for what does not change,
//! as in the midpoint formulas of index numbers, no order of the three is preferred:
//!
//! - volume: the change of Q, at the mean cost for one;
//! - mix: the change of each model's share, at the mean of its prices;
//! - price: the change of each model's price, at the mean of its shares.
//!
//! The three are rounded to twelve digits, and what rounding leaves is counted to the mix, so that they
//! always make up the change to the last digit. A model that was not used in one of the two is all mix.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Models told apart; the rest is one.
const MODELS: usize = 16;
const OTHERS: &str = "others";
/// Digits of money.
const DIGITS: u32 = 12;
/// Models shown as evidence.
const SHOWN: usize = 5;

/// What one model did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Slice {
    pub(crate) model: Box<str>,
    pub(crate) calls: i64,
    pub(crate) tokens: i64,
    pub(crate) dollars: Decimal,
}

/// What every model did in some time.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Cube(Vec<Slice>);

impl Cube {
    pub(crate) fn add(&mut self, model: &str, calls: i64, tokens: i64, dollars: Decimal) {
        let known = self.0.iter().position(|slice| *slice.model == *model);
        let model = if known.is_none() && self.0.len() + 1 >= MODELS {
            OTHERS
        } else {
            model
        };
        let at = self.0.iter().position(|slice| *slice.model == *model);
        let at = at.unwrap_or_else(|| {
            self.0.push(Slice {
                model: model.into(),
                calls: 0,
                tokens: 0,
                dollars: Decimal::ZERO,
            });
            self.0.len() - 1
        });
        let slice = &mut self.0[at];
        slice.calls = slice.calls.saturating_add(calls);
        slice.tokens = slice.tokens.saturating_add(tokens);
        slice.dollars = slice.dollars.saturating_add(dollars);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for slice in &other.0 {
            self.add(&slice.model, slice.calls, slice.tokens, slice.dollars);
        }
    }

    fn of(&self, model: &str) -> Option<&Slice> {
        self.0.iter().find(|slice| *slice.model == *model)
    }

    fn knows_tokens(&self) -> bool {
        let mut priced = self.0.iter().filter(|slice| !slice.dollars.is_zero());
        priced.all(|slice| slice.tokens > 0)
    }
}

/// A change of cost and what it is made of, US dollars.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Split {
    pub(crate) change: Decimal,
    pub(crate) volume: Decimal,
    pub(crate) mix: Decimal,
    pub(crate) price: Decimal,
    /// What each model's cost changed by; together, the change.
    pub(crate) models: Vec<(Box<str>, Decimal)>,
    /// Whether quantities are tokens; else calls.
    tokens: bool,
}

impl Split {
    pub(crate) fn shown(&self) -> Value {
        let spell = |dollars: &Decimal| dollars.normalize().to_string();
        let models = self.models.iter().take(SHOWN).map(|(model, dollars)| {
            let without = self.change - dollars;
            json!({
                "model": model,
                "usd": spell(dollars),
                "change_without_usd": spell(&without),
            })
        });
        json!({
            "change_usd": spell(&self.change),
            "volume_usd": spell(&self.volume),
            "mix_usd": spell(&self.mix),
            "price_usd": spell(&self.price),
            "quantity": if self.tokens { "tokens" } else { "calls" },
            "models": models.collect::<Vec<_>>(),
        })
    }
}

/// One model before and now.
struct Pair {
    before: Part,
    now: Part,
}

struct Part {
    quantity: Decimal,
    dollars: Decimal,
}

impl Part {
    fn of(slice: Option<&Slice>, tokens: bool, steps: Decimal) -> Option<Self> {
        let (count, dollars) = slice.map_or((0, Decimal::ZERO), |slice| {
            let count = if tokens { slice.tokens } else { slice.calls };
            (count.max(0), slice.dollars)
        });
        Some(Self {
            quantity: Decimal::from(count).checked_div(steps)?,
            dollars: dollars.checked_div(steps)?.round_dp(DIGITS),
        })
    }

    fn price(&self) -> Option<Decimal> {
        self.dollars.checked_div(self.quantity)
    }
}

/// Splits the change from the mean of `steps` steps before to one step now. None when there was nothing
/// before, or the numbers leave the decimal's range.
pub(crate) fn split(before: &Cube, steps: u32, now: &Cube) -> Option<Split> {
    let tokens = before.knows_tokens() && now.knows_tokens();
    let steps = Decimal::from(steps);
    let new = now.0.iter().filter(|s| before.of(&s.model).is_none());
    let mut pairs = Vec::new();
    for slice in before.0.iter().chain(new) {
        let pair = Pair {
            before: Part::of(before.of(&slice.model), tokens, steps)?,
            now: Part::of(now.of(&slice.model), tokens, Decimal::ONE)?,
        };
        pairs.push((slice.model.clone(), pair));
    }
    let mut models: Vec<_> = pairs
        .iter()
        .map(|(model, pair)| (model.clone(), pair.now.dollars - pair.before.dollars))
        .collect();
    let change: Decimal = models.iter().map(|(_, dollars)| dollars).sum();
    models.sort_by_key(|(_, dollars)| std::cmp::Reverse(dollars.abs()));

    let sum = |part: fn(&Pair) -> Decimal| -> Decimal { pairs.iter().map(|(_, p)| part(p)).sum() };
    let (q0, q1) = (sum(|p| p.before.quantity), sum(|p| p.now.quantity));
    let (c0, c1) = (sum(|p| p.before.dollars), sum(|p| p.now.dollars));
    let (volume, price) = match (c0.checked_div(q0), c1.checked_div(q1)) {
        (Some(mean0), Some(mean1)) => {
            let volume = (q1 - q0).checked_mul(half(mean0, mean1)?)?;
            let mut price = Decimal::ZERO;
            for (_, pair) in &pairs {
                // Without the other, there is no change of price.
                let (Some(p0), Some(p1)) = (pair.before.price(), pair.now.price()) else {
                    continue;
                };
                let share0 = pair.before.quantity.checked_div(q0)?;
                let share1 = pair.now.quantity.checked_div(q1)?;
                let weight = half(q0, q1)?.checked_mul(half(share0, share1)?)?;
                price = price.checked_add(weight.checked_mul(p1.checked_sub(p0)?)?)?;
            }
            (volume.round_dp(DIGITS), price.round_dp(DIGITS))
        }
        // From nothing, or to nothing.
        _ => (change, Decimal::ZERO),
    };
    Some(Split {
        change,
        volume,
        mix: change.checked_sub(volume)?.checked_sub(price)?,
        price,
        models,
        tokens,
    })
}

fn half(a: Decimal, b: Decimal) -> Option<Decimal> {
    a.checked_add(b)?.checked_div(Decimal::TWO)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn cube(slices: &[(&str, i64, &str)]) -> Cube {
        let mut cube = Cube::default();
        for (model, tokens, dollars) in slices {
            let dollars = Decimal::from_str_exact(dollars).unwrap();
            cube.add(model, 1, *tokens, dollars);
        }
        cube
    }

    fn dollars(text: &str) -> Decimal {
        Decimal::from_str_exact(text).unwrap()
    }

    #[test]
    fn twice_the_tokens_is_all_volume() {
        let split = split(
            &cube(&[("small", 1_000, "1"), ("large", 500, "5")]),
            1,
            &cube(&[("small", 2_000, "2"), ("large", 1_000, "10")]),
        )
        .unwrap();
        assert_eq!(split.change, dollars("6"));
        assert_eq!(split.volume, dollars("6"));
        assert_eq!((split.mix, split.price), (Decimal::ZERO, Decimal::ZERO));
        assert_eq!(&*split.models[0].0, "large");
    }

    #[test]
    fn a_dearer_model_is_all_price_and_another_choice_all_mix() {
        let before = cube(&[("small", 800, "0.8"), ("large", 200, "2")]);
        let dearer = cube(&[("small", 800, "0.8"), ("large", 200, "3")]);
        let dear = split(&before, 1, &dearer).unwrap();
        assert_eq!(
            (dear.volume, dear.mix, dear.price),
            (Decimal::ZERO, Decimal::ZERO, dollars("1"))
        );
        // The same thousand tokens, half of them of the large one.
        let other = cube(&[("small", 500, "0.5"), ("large", 500, "5")]);
        let mixed = split(&before, 1, &other).unwrap();
        assert_eq!(mixed.change, dollars("2.7"));
        assert_eq!(
            (mixed.volume, mixed.mix, mixed.price),
            (Decimal::ZERO, dollars("2.7"), Decimal::ZERO)
        );
    }

    /// By hand: Q 1000 to 3000, cost for one 0.001 to 0.002, one model. Volume 2000 x 0.0015 = 3, price
    /// 2000 x 0.001 = 2, together 6 - 1.
    #[test]
    fn what_changes_together_is_shared_between_them() {
        let split = split(&cube(&[("m", 1_000, "1")]), 1, &cube(&[("m", 3_000, "6")])).unwrap();
        assert_eq!(
            (split.volume, split.mix, split.price),
            (dollars("3"), Decimal::ZERO, dollars("2"))
        );
    }

    #[test]
    fn what_was_before_is_a_mean_of_its_steps_and_from_nothing_it_is_all_volume() {
        let sixty = cube(&[("m", 60_000, "60")]);
        let same = split(&sixty, 60, &cube(&[("m", 1_000, "1")])).unwrap();
        assert_eq!(same.change, Decimal::ZERO);
        let new = split(&Cube::default(), 60, &cube(&[("m", 1_000, "1")])).unwrap();
        assert_eq!((new.change, new.volume), (Decimal::ONE, Decimal::ONE));
    }

    #[test]
    fn without_tokens_calls_are_counted_and_many_models_are_bounded() {
        let mut before = Cube::default();
        before.add("m", 10, 0, Decimal::ONE);
        let mut now = Cube::default();
        now.add("m", 20, 0, Decimal::TWO);
        assert_eq!(split(&before, 1, &now).unwrap().volume, Decimal::ONE);
        for n in 0..1_000 {
            now.add(&format!("model-{n}"), 1, 1, Decimal::ONE);
        }
        assert_eq!(now.0.len(), MODELS);
        let sum: Decimal = now.0.iter().map(|slice| slice.dollars).sum();
        assert_eq!(sum, Decimal::from(1_002));
    }

    proptest! {
        #[test]
        fn the_parts_make_up_the_change_to_the_last_digit(
            before in prop::collection::vec((0usize..5, 0i64..10_000_000, 0i64..1_000_000_000_000), 0..8),
            now in prop::collection::vec((0usize..5, 0i64..10_000_000, 0i64..1_000_000_000_000), 0..8),
            steps in 1u32..120,
        ) {
            let fill = |rows: &[(usize, i64, i64)]| {
                let mut cube = Cube::default();
                for (model, tokens, pico) in rows {
                    cube.add(&format!("m{model}"), 1, *tokens, Decimal::new(*pico, 12));
                }
                cube
            };
            let (before, now) = (fill(&before), fill(&now));
            let split = split(&before, steps, &now).unwrap();
            prop_assert_eq!(split.volume + split.mix + split.price, split.change);
            let models: Decimal = split.models.iter().map(|(_, dollars)| dollars).sum();
            prop_assert_eq!(models, split.change);
            if steps == 1 {
                let sum = |cube: &Cube| cube.0.iter().map(|s| s.dollars).sum::<Decimal>();
                prop_assert_eq!(split.change, sum(&now) - sum(&before));
            }
        }

        #[test]
        fn no_numbers_make_it_panic(
            rows in prop::collection::vec((0usize..20, any::<i64>(), any::<i64>(), any::<i64>(), 0u32..13), 0..8),
            steps in 1u32..u32::MAX,
        ) {
            let mut cube = Cube::default();
            for (model, calls, tokens, units, digits) in rows {
                cube.add(&format!("m{model}"), calls, tokens, Decimal::new(units, digits));
            }
            let _ = split(&cube, steps, &cube.clone());
            let _ = split(&Cube::default(), steps, &cube);
            let _ = split(&cube, steps, &Cube::default());
        }
    }
}
