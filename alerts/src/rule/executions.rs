//! Kinds of rules that look at many executions at once, from the form.

use rust_decimal::Decimal;

use super::condition::{Condition, window};
use super::file::{LeakageForm, LowValueForm};
use super::kinds::above_zero;
use super::scalar::Place;
use super::{Key, When};
use crate::Result;

pub(super) fn budget_leakage<'a>(
    place: Place<'_>,
    key: Key,
    form: &'a LeakageForm,
) -> Result<Condition<'a>> {
    let limit = above_zero(place, "limit", &form.limit)?;
    if !matches!(key, Key::Task | Key::Session) {
        let accepted = "accepted with budget_leakage is key: task or session, what several executions share; others \
                        have a budget";
        return Err(place.refuse_leaf("limit", &form.limit, accepted));
    }
    let executions = match &form.executions {
        None => 2,
        // As many are kept apart.
        Some(leaf) => place.count("executions", leaf, 2, 64)?,
    };
    Ok(Condition {
        when: When::BudgetLeakage {
            window: window(place, &form.window)?,
            limit,
            executions,
        },
        trigger: limit,
        trigger_leaf: &form.limit,
        low: false,
    })
}

pub(super) fn low_value<'a>(
    place: Place<'_>,
    key: Key,
    form: &'a LowValueForm,
) -> Result<Condition<'a>> {
    // As many are kept of one key.
    let trigger = place.count("at_least", &form.at_least, 2, 200)?;
    if matches!(key, Key::Execution | Key::Tool | Key::Model) {
        let accepted = "accepted with low_value_executions is key: agent, task, task_type, session, team, tenant or \
                        workspace: what has many executions";
        return Err(place.refuse_leaf("at_least", &form.at_least, accepted));
    }
    let share = match &form.share {
        None => Decimal::new(8, 1),
        Some(leaf) => {
            let share = above_zero(place, "share", leaf)?;
            if share > Decimal::ONE {
                let accepted = "accepted is a share above 0 and up to 1, such as 0.8";
                return Err(place.refuse_leaf("share", leaf, accepted));
            }
            share
        }
    };
    Ok(Condition {
        when: When::LowValueExecutions {
            window: window(place, &form.window)?,
            share,
        },
        trigger: Decimal::from(trigger),
        trigger_leaf: &form.at_least,
        low: false,
    })
}
