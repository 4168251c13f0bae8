//! What a rule measures and where it is too much, from the form.

use rust_decimal::Decimal;
use serde_saphyr::Spanned;

use super::file::{Leaf, RuleForm, SqlForm, WhenForm};
use super::proof::proof;
use super::scalar::Place;
use super::{Calls, Key, SECOND, Series, When, executions, kinds, objective, security};
use crate::Result;
use crate::state::Threshold;
use crate::window::bucket_of;

/// Longest in-stream window: what is longer belongs in SQL.
pub(super) const WINDOW_MAX: i64 = 3_600 * SECOND;

/// What stands under `when`: the measure, and the bound that goes with it.
pub(super) struct Condition<'a> {
    pub(super) when: When,
    pub(super) trigger: Decimal,
    pub(super) trigger_leaf: &'a Leaf,
    pub(super) low: bool,
}

pub(super) fn condition<'a>(
    place: Place<'_>,
    key: Key,
    form: &'a Spanned<WhenForm>,
) -> Result<Condition<'a>> {
    let (when, trigger_leaf, low) = match &form.value {
        WhenForm::Sql(sql) => return query(place, key, form.referenced.line(), sql),
        WhenForm::Budget(f) => return kinds::budget(place, key, f),
        WhenForm::BudgetLeakage(f) => return executions::budget_leakage(place, key, f),
        WhenForm::LowValueExecutions(f) => return executions::low_value(place, key, f),
        WhenForm::ConflictingModifications(f) => return security::conflicts(place, key, f),
        WhenForm::InjectionMarkers(f) => return security::injection(place, f),
        WhenForm::MemoryPoisoning(f) => return security::poisoning(place, f),
        WhenForm::UnknownTool(f) => return kinds::unknown_tool(place, key, f),
        WhenForm::Absence(f) => return kinds::absence(place, f),
        WhenForm::RateOfChange(f) => return kinds::rate_of_change(place, f),
        WhenForm::SpendSpike(f) => return kinds::detector(place, Series::Spend, f),
        WhenForm::TokenGrowth(f) => return kinds::detector(place, Series::Tokens, f),
        WhenForm::ConfidenceDrift(f) => return kinds::detector(place, Series::Confidence, f),
        WhenForm::PriceAnomaly(f) => return kinds::detector(place, Series::Price, f),
        WhenForm::LatencyShift(f) => return kinds::latency(place, f),
        WhenForm::SloBurn(f) => return objective::slo_burn(place, f),
        WhenForm::AllOf(names) => {
            return kinds::composite(place, form.referenced.line(), true, names);
        }
        WhenForm::AnyOf(names) => {
            return kinds::composite(place, form.referenced.line(), false, names);
        }
        WhenForm::SpendRate(f) => (
            When::SpendRate {
                window: window(place, &f.window)?,
            },
            &f.at_least,
            false,
        ),
        WhenForm::RepeatedToolCalls(f) => {
            // More than a few thousand equal calls in a window need not be told apart.
            let at_least = place.count("at_least", &f.at_least, 2, 10_000)?;
            let window = window(place, &f.window)?;
            (
                When::RepeatedToolCalls {
                    window,
                    proof: proof(place, key, f, at_least, window)?,
                },
                &f.at_least,
                false,
            )
        }
        WhenForm::RetryStorm(f) => {
            // As many calls are remembered of one input.
            place.count("at_least", &f.at_least, 1, kinds::RETRIES)?;
            (
                When::RetryStorm {
                    window: window(place, &f.window)?,
                },
                &f.at_least,
                false,
            )
        }
        WhenForm::Reprompts(f) => {
            place.count("at_least", &f.at_least, 2, kinds::REPROMPTS)?;
            if key != Key::Execution {
                let accepted =
                    "accepted with reprompts is key: execution: others do many things at once";
                return Err(place.refuse_leaf("at_least", &f.at_least, accepted));
            }
            (
                When::Reprompts {
                    window: window(place, &f.window)?,
                },
                &f.at_least,
                false,
            )
        }
        WhenForm::Escalations(f) => {
            place.count("at_least", &f.at_least, 1, 1_000_000)?;
            (
                When::Escalations {
                    window: window(place, &f.window)?,
                },
                &f.at_least,
                false,
            )
        }
        WhenForm::ErrorRate(f) => {
            let of = match &f.of {
                None => Calls::Tool,
                Some(leaf) => place.word(
                    "of",
                    leaf,
                    &[("tool", Calls::Tool), ("model", Calls::Model)],
                )?,
            };
            let min_calls = match &f.min_calls {
                None => 20,
                Some(leaf) => place.count("min_calls", leaf, 1, 1_000_000)?,
            };
            if place.number("at_least", &f.at_least)? > Decimal::ONE {
                let accepted = "accepted is a share above 0 and up to 1, such as 0.5";
                return Err(place.refuse_leaf("at_least", &f.at_least, accepted));
            }
            (
                When::ErrorRate {
                    of,
                    window: window(place, &f.window)?,
                    min_calls,
                },
                &f.at_least,
                false,
            )
        }
    };
    let trigger = place.number("at_least", trigger_leaf)?;
    if trigger.is_zero() {
        let accepted = "accepted is a number above 0: at 0 it would always fire";
        return Err(place.refuse_leaf("at_least", trigger_leaf, accepted));
    }
    Ok(Condition {
        when,
        trigger,
        trigger_leaf,
        low,
    })
}

fn query<'a>(place: Place<'_>, key: Key, line: u64, form: &'a SqlForm) -> Result<Condition<'a>> {
    let (field, leaf, low) = match (&form.at_least, &form.at_most) {
        (Some(leaf), None) => ("at_least", leaf, false),
        (None, Some(leaf)) => ("at_most", leaf, true),
        (None, None) => {
            return Err(place.refuse(
                line,
                "sql",
                "without a bound",
                "accepted is at_least or at_most",
            ));
        }
        (Some(_), Some(leaf)) => {
            return Err(place.refuse_leaf(
                "at_most",
                leaf,
                "accepted is either at_least or at_most, not both",
            ));
        }
    };
    let every = place.length("every", &form.every)?;
    if !(SECOND..=86_400 * SECOND).contains(&every) {
        return Err(place.refuse_leaf("every", &form.every, "accepted is 1s to 1d"));
    }
    let key_column = match (&form.key_column, key.column()) {
        (Some(leaf), None) => {
            return Err(place.refuse_leaf(
                "key_column",
                leaf,
                "with key: workspace, accepted is no key_column, since there is one value in all",
            ));
        }
        (Some(leaf), Some(_)) => Some(place.text("key_column", leaf, 200)?),
        (None, usual) => usual.map(str::to_owned),
    };
    let when = When::Sql {
        query: place.text("query", &form.query, 100_000)?,
        every,
        value: form
            .value
            .as_ref()
            .map_or_else(|| Ok("value".to_owned()), |v| place.text("value", v, 200))?,
        key_column,
        deterministic: form
            .deterministic
            .as_ref()
            .map_or(Ok(false), |f| place.flag("deterministic", f))?,
    };
    Ok(Condition {
        when,
        trigger: place.number(field, leaf)?,
        trigger_leaf: leaf,
        low,
    })
}

pub(super) fn window(place: Place<'_>, leaf: &Leaf) -> Result<i64> {
    let window = place.length("window", leaf)?;
    let fits = (SECOND..=WINDOW_MAX).contains(&window) && window % bucket_of(window) == 0;
    if !fits {
        return Err(place.refuse_leaf(
            "window",
            leaf,
            "accepted are whole seconds from 1s to 2m, or multiples of 10s up to 1h (for longer ones, use sql)",
        ));
    }
    Ok(window)
}

pub(super) fn threshold(
    place: Place<'_>,
    form: &RuleForm,
    condition: &Condition<'_>,
) -> Result<Threshold> {
    let trigger = condition.trigger;
    let recover = if condition.low {
        if let Some(leaf) = &form.recover_below {
            let accepted = "with at_most, accepted is recover_above, not recover_below";
            return Err(place.refuse_leaf("recover_below", leaf, accepted));
        }
        let Some(leaf) = &form.recover_above else {
            let accepted = format!(
                "accepted is at_most together with recover_above, a number above {trigger}"
            );
            return Err(place.refuse_leaf("at_most", condition.trigger_leaf, accepted));
        };
        let recover = place.number("recover_above", leaf)?;
        if recover <= trigger {
            let accepted = format!("accepted is a number above the trigger, {trigger}");
            return Err(place.refuse_leaf("recover_above", leaf, accepted));
        }
        recover
    } else {
        if let Some(leaf) = &form.recover_above {
            let accepted = "with at_least, accepted is recover_below, not recover_above";
            return Err(place.refuse_leaf("recover_above", leaf, accepted));
        }
        match &form.recover_below {
            // One rule less is well again.
            None if matches!(condition.when, When::Composite { .. }) => {
                trigger - Decimal::new(5, 1)
            }
            // Release well below the trigger, or it flaps.
            None => trigger * Decimal::new(8, 1),
            Some(leaf) => {
                let recover = place.number("recover_below", leaf)?;
                if recover >= trigger || recover.is_zero() {
                    let accepted =
                        format!("accepted is a number above 0 and below the trigger, {trigger}");
                    return Err(place.refuse_leaf("recover_below", leaf, accepted));
                }
                recover
            }
        }
    };
    Ok(Threshold {
        trigger,
        recover,
        low: condition.low,
    })
}
