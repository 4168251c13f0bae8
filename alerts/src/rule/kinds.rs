//! The younger kinds of rules, from the form.

use std::collections::BTreeSet;

use rust_decimal::Decimal;
use serde_saphyr::Spanned;

use super::condition::{Condition, WINDOW_MAX, window};
use super::file::{
    AbsenceForm, BudgetForm, LatencyForm, Leaf, LearnForm, RateForm, SeriesForm, UnknownToolForm,
};
use super::scalar::Place;
use super::{Calls, Key, Learn, Period, Quantity, SECOND, Series, When, spoken};
use crate::Result;

/// Most retries of one input that are told apart.
pub(crate) const RETRIES: u32 = 200;
/// Most model calls in a row that are told apart.
pub(crate) const REPROMPTS: u32 = 1_000;
/// Shortest window that is compared with an earlier one: both are kept in buckets of ten seconds.
const RATE_BUCKET: i64 = 10 * SECOND;
const WEEK: i64 = 7 * 86_400 * SECOND;

pub(super) fn budget<'a>(
    place: Place<'_>,
    key: Key,
    form: &'a BudgetForm,
) -> Result<Condition<'a>> {
    let per = place.word(
        "per",
        &form.per,
        &[
            ("hour", Period::Hour),
            ("day", Period::Day),
            ("month", Period::Month),
            ("execution", Period::Execution),
        ],
    )?;
    if per == Period::Execution && key != Key::Execution {
        let accepted =
            "accepted with per: execution is key: execution; other keys take hour, day or month";
        return Err(place.refuse_leaf("per", &form.per, accepted));
    }
    let limit = above_zero(place, "limit", &form.limit)?;
    Ok(Condition {
        when: When::Budget { per },
        trigger: limit,
        trigger_leaf: &form.limit,
        low: false,
    })
}

/// The share of a budget that is worth a warning.
pub(super) fn soft_share(place: Place<'_>, form: &BudgetForm) -> Result<Option<Decimal>> {
    let Some(leaf) = &form.soft else {
        return Ok(None);
    };
    let share = place.number("soft", leaf)?;
    if share.is_zero() || share >= Decimal::ONE {
        let accepted = "accepted is a share of the limit above 0 and below 1, such as 0.8";
        return Err(place.refuse_leaf("soft", leaf, accepted));
    }
    Ok(Some(share))
}

pub(super) fn absence<'a>(place: Place<'_>, form: &'a AbsenceForm) -> Result<Condition<'a>> {
    let silent_for = place.length("silent_for", &form.silent_for)?;
    if !(30 * SECOND..=WINDOW_MAX).contains(&silent_for) || silent_for % SECOND != 0 {
        let accepted = "accepted are whole seconds from 30s to 1h";
        return Err(place.refuse_leaf("silent_for", &form.silent_for, accepted));
    }
    let min_calls = match &form.min_calls {
        None => 20,
        Some(leaf) => place.count("min_calls", leaf, 1, 1_000_000)?,
    };
    let learn = match &form.learn {
        None => None,
        Some(leaf) => {
            let accepted = "accepted are whole weeks from 7d to 28d, without min_calls";
            let length = place.length("learn", leaf)?;
            let weeks = (1..=4).find(|weeks| i64::from(*weeks) * WEEK == length);
            let weeks = weeks.filter(|_| form.min_calls.is_none());
            Some(weeks.ok_or_else(|| place.refuse_leaf("learn", leaf, accepted))?)
        }
    };
    Ok(Condition {
        when: When::Absence {
            silent_for,
            min_calls,
            learn,
        },
        trigger: Decimal::from(silent_for / SECOND),
        trigger_leaf: &form.silent_for,
        low: false,
    })
}

pub(super) fn rate_of_change<'a>(place: Place<'_>, form: &'a RateForm) -> Result<Condition<'a>> {
    let of = place.word(
        "of",
        &form.of,
        &[
            ("spend", Quantity::Spend),
            ("calls", Quantity::Calls),
            ("errors", Quantity::Errors),
            ("tokens", Quantity::Tokens),
        ],
    )?;
    let window = place.length("window", &form.window)?;
    if window < RATE_BUCKET || window % RATE_BUCKET != 0 || window > WINDOW_MAX / 2 {
        let accepted = "accepted are multiples of 10s from 10s to 30m";
        return Err(place.refuse_leaf("window", &form.window, accepted));
    }
    let base = place.length("base", &form.base)?;
    if base < window || base % RATE_BUCKET != 0 || window + base > WINDOW_MAX {
        let accepted = format!(
            "accepted are multiples of 10s from the window, {}, to {}: what is compared with must not be shorter, \
             and both together are an hour at most",
            spoken(window),
            spoken(WINDOW_MAX - window)
        );
        return Err(place.refuse_leaf("base", &form.base, accepted));
    }
    let trigger = place.number("at_least", &form.at_least)?;
    if trigger <= Decimal::ONE {
        let accepted = "accepted is a factor above 1, such as 3";
        return Err(place.refuse_leaf("at_least", &form.at_least, accepted));
    }
    Ok(Condition {
        when: When::RateOfChange {
            of,
            window,
            base,
            floor: above_zero(place, "floor", &form.floor)?,
        },
        trigger,
        trigger_leaf: &form.at_least,
        low: false,
    })
}

pub(super) fn detector<'a>(
    place: Place<'_>,
    of: Series,
    form: &'a SeriesForm,
) -> Result<Condition<'a>> {
    let (rarity, every) = (form.at_least.as_ref(), form.every.as_ref());
    series(place, of, &form.change, rarity, every)
}

pub(super) fn latency<'a>(place: Place<'_>, form: &'a LatencyForm) -> Result<Condition<'a>> {
    let of = match &form.of {
        None => Calls::Model,
        Some(leaf) => place.word(
            "of",
            leaf,
            &[("model", Calls::Model), ("tool", Calls::Tool)],
        )?,
    };
    let (rarity, every) = (form.at_least.as_ref(), form.every.as_ref());
    series(place, Series::Latency(of), &form.change, rarity, every)
}

fn series<'a>(
    place: Place<'_>,
    of: Series,
    change: &'a Leaf,
    rarity: Option<&'a Leaf>,
    every: Option<&'a Leaf>,
) -> Result<Condition<'a>> {
    let trigger = match rarity {
        None => Decimal::from(3),
        Some(leaf) => {
            let rarity = place.number("at_least", leaf)?;
            if rarity < Decimal::ONE || rarity > Decimal::TEN {
                let accepted =
                    "accepted are 1 to 10 decades: 3 is a step as odd as one in a thousand";
                return Err(place.refuse_leaf("at_least", leaf, accepted));
            }
            rarity
        }
    };
    let every = match every {
        None => 60 * SECOND,
        Some(leaf) => place.word("every", leaf, &[("1m", 60 * SECOND), ("10s", 10 * SECOND)])?,
    };
    Ok(Condition {
        when: When::Detector {
            of,
            every,
            change: above_zero(place, "change", change)?,
        },
        trigger,
        trigger_leaf: change,
        low: false,
    })
}

pub(super) fn unknown_tool<'a>(
    place: Place<'_>,
    key: Key,
    form: &'a UnknownToolForm,
) -> Result<Condition<'a>> {
    let trigger = match &form.at_least {
        None => 1,
        Some(leaf) => place.count("at_least", leaf, 1, 1_000_000)?,
    };
    let allow: Result<BTreeSet<_>> = form
        .allow
        .iter()
        .flatten()
        .map(|leaf| place.text("allow", leaf, 200))
        .collect();
    let window = window(place, &form.window)?;
    let learn = match &form.learn {
        None => None,
        Some(written) => Some(learn(place, key, window, written)?),
    };
    if learn.is_none() && form.allow.is_none() {
        let accepted = "accepted with unknown_tool is allow, a list of names, or learn, or both";
        return Err(place.refuse_leaf("window", &form.window, accepted));
    }
    Ok(Condition {
        when: When::UnknownTool {
            allow: allow?,
            learn,
            window,
        },
        trigger: Decimal::from(trigger),
        trigger_leaf: &form.window,
        low: false,
    })
}

/// Longest that anything is learnt, or remembered.
const LEARN_MAX: i64 = 90 * 86_400 * SECOND;

fn learn(place: Place<'_>, key: Key, window: i64, form: &Spanned<LearnForm>) -> Result<Learn> {
    let line = form.referenced.line();
    let form = &form.value;
    if !matches!(
        key,
        Key::Agent | Key::Tenant | Key::Team | Key::TaskType | Key::Workspace
    ) {
        let by = format!("by key {}", key.as_str());
        let accepted = "accepted with learn is key: agent, tenant, team, task_type or workspace: what comes again";
        return Err(place.refuse(line, "learn", &by, accepted));
    }
    let period = place.length("for", &form.period)?;
    if period < window.max(60 * SECOND) || period > LEARN_MAX {
        let accepted = "accepted are 1m to 90d, and no less than the window";
        return Err(place.refuse_leaf("for", &form.period, accepted));
    }
    let min_calls = match &form.min_calls {
        None => 100,
        Some(leaf) => place.count("min_calls", leaf, 1, 1_000_000)?,
    };
    let forget = match &form.forget {
        None => period.max(30 * 86_400 * SECOND),
        Some(leaf) => {
            let forget = place.length("forget", leaf)?;
            if forget < period || forget > LEARN_MAX {
                let accepted = format!("accepted are {} (for) to 90d", spoken(period));
                return Err(place.refuse_leaf("forget", leaf, accepted));
            }
            forget
        }
    };
    Ok(Learn {
        period,
        min_calls,
        forget,
    })
}

/// Whether the names are those of rules that fit together is for `composite` to see.
pub(super) fn composite<'a>(
    place: Place<'_>,
    line: u64,
    all: bool,
    names: &'a [Leaf],
) -> Result<Condition<'a>> {
    let field = if all { "all_of" } else { "any_of" };
    let mut of = BTreeSet::new();
    for leaf in names {
        if !of.insert(leaf.value.trim().to_owned()) {
            return Err(place.refuse_leaf(field, leaf, "accepted is each rule once"));
        }
    }
    let Some(first) = names.first().filter(|_| of.len() >= 2) else {
        let accepted = "accepted are the names of two rules or more";
        let value = of.first().map_or("empty", String::as_str);
        return Err(place.refuse(line, field, value, accepted));
    };
    let trigger = if all { of.len() } else { 1 };
    Ok(Condition {
        when: When::Composite {
            all,
            of,
            independent: false,
        },
        trigger: Decimal::from(trigger),
        trigger_leaf: first,
        low: false,
    })
}

pub(super) fn above_zero(place: Place<'_>, field: &'static str, leaf: &Leaf) -> Result<Decimal> {
    let number = place.number(field, leaf)?;
    if number.is_zero() {
        return Err(place.refuse_leaf(field, leaf, "accepted is a number above 0"));
    }
    Ok(number)
}
