//! Service levels: what is good, how much of it there must be, and how fast the rest may be used up.
//!
//! Several pairs of windows, each with a factor (the SRE workbook's multi-window, multi-burn-rate alerts): a
//! pair fires when, in its long window and in its short one, the error budget is used up that many times as
//! fast as it may be. Where everything fails it burns 1/(1 - objective) times as fast, and no faster: of
//! an objective of 0.95, 14.4 needs 72 of 100 to fail, and of 0.90 it never comes. A factor that cannot be
//! reached is refused, and those that are not given keep to half of what can be.

use rust_decimal::Decimal;
use serde::Serialize;

use super::condition::Condition;
use super::file::{BurnForm, ObjectiveForm};
use super::kinds::above_zero;
use super::scalar::Place;
use super::{Calls, SECOND, When, spoken};
use crate::Result;

const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
/// Longest window: of a month of single calls, few stores hold more than sums.
const LONGEST: i64 = 72 * HOUR;

/// Short window, long window, and factor in tenths.
const USUAL: [(i64, i64, i64); 3] = [
    (5 * MINUTE, HOUR, 144),
    (30 * MINUTE, 6 * HOUR, 60),
    (6 * HOUR, 72 * HOUR, 10),
];

/// What is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Aim {
    /// An execution that ended in success, of those that ended.
    Success,
    /// A call without an error.
    NoError(Calls),
    /// A model call that took no longer, nanoseconds.
    Latency {
        /// This long.
        under: i64,
    },
}

impl Aim {
    /// What is counted, in words.
    #[must_use]
    pub fn words(self) -> String {
        match self {
            Self::Success => "executions that succeed".to_owned(),
            Self::NoError(calls) => format!("{} calls without an error", calls.as_str()),
            Self::Latency { under } => format!("model calls within {}", spoken(under)),
        }
    }
}

/// A pair of windows and the factor at which it fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BurnWindow {
    /// Nanoseconds. That it still burns.
    pub short: i64,
    /// Nanoseconds. That it matters.
    pub long: i64,
    /// How many times as fast as the budget allows.
    pub factor: Decimal,
}

/// A service level.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Objective {
    /// What is good.
    pub aim: Aim,
    /// The share that must be good, above 0 and below 1.
    pub objective: Decimal,
    /// With fewer in the long window, there is no verdict on it.
    pub min_calls: u32,
    /// Any of these pairs fires.
    pub windows: Vec<BurnWindow>,
}

impl Objective {
    /// The share that may be bad.
    #[must_use]
    pub fn budget(&self) -> Decimal {
        Decimal::ONE - self.objective
    }
}

pub(super) fn slo_burn<'a>(place: Place<'_>, form: &'a ObjectiveForm) -> Result<Condition<'a>> {
    let objective = place.number("objective", &form.objective)?;
    if objective.is_zero() || objective > Decimal::new(99_999, 5) {
        let accepted = "accepted is a share above 0 and up to 0.99999, such as 0.95";
        return Err(place.refuse_leaf("objective", &form.objective, accepted));
    }
    let reach = Decimal::ONE / (Decimal::ONE - objective);
    let windows = match &form.windows {
        None => usual(reach),
        Some(forms) if forms.is_empty() => {
            let accepted = "accepted with windows is at least one of { short, long, factor }";
            return Err(place.refuse_leaf("objective", &form.objective, accepted));
        }
        Some(forms) => forms
            .iter()
            .map(|form| pair(place, form, reach))
            .collect::<Result<_>>()?,
    };
    let min_calls = match &form.min_calls {
        None => 20,
        Some(leaf) => place.count("min_calls", leaf, 1, 1_000_000)?,
    };
    Ok(Condition {
        when: When::SloBurn(Objective {
            aim: aim(place, form)?,
            objective,
            min_calls,
            windows,
        }),
        // The factor of a pair is one whole.
        trigger: Decimal::ONE,
        trigger_leaf: &form.objective,
        low: false,
    })
}

fn aim(place: Place<'_>, form: &ObjectiveForm) -> Result<Aim> {
    let word = place.word(
        "of",
        &form.of,
        &[
            ("success", Some(Aim::Success)),
            ("tool_errors", Some(Aim::NoError(Calls::Tool))),
            ("model_errors", Some(Aim::NoError(Calls::Model))),
            ("latency", None),
        ],
    )?;
    match (word, &form.under) {
        (Some(aim), None) => Ok(aim),
        (Some(_), Some(leaf)) => {
            Err(place.refuse_leaf("under", leaf, "accepted only with of: latency"))
        }
        (None, Some(leaf)) => {
            let under = place.length("under", leaf)?;
            if under == 0 {
                return Err(place.refuse_leaf("under", leaf, "accepted is 1ms or more"));
            }
            Ok(Aim::Latency { under })
        }
        (None, None) => {
            Err(place.refuse_leaf("of", &form.of, "accepted together with under, such as 5s"))
        }
    }
}

fn usual(reach: Decimal) -> Vec<BurnWindow> {
    let pairs = USUAL.iter().map(|(short, long, tenths)| BurnWindow {
        short: *short,
        long: *long,
        // At half of what can be reached, half of what is done must fail.
        factor: Decimal::new(*tenths, 1).min((reach / Decimal::TWO).round_dp(6)),
    });
    pairs.collect()
}

fn pair(place: Place<'_>, form: &BurnForm, reach: Decimal) -> Result<BurnWindow> {
    let length = |field, leaf| {
        let length = place.length(field, leaf)?;
        if !(MINUTE..=LONGEST).contains(&length) || length % burn_bucket(length) != 0 {
            let accepted = "accepted are whole minutes up to 1h, multiples of 10m up to 6h, and whole hours up to 3d";
            return Err(place.refuse_leaf(field, leaf, accepted));
        }
        Ok(length)
    };
    let (short, long) = (length("short", &form.short)?, length("long", &form.long)?);
    if short >= long {
        let accepted = format!("accepted is less than the long window, {}", spoken(long));
        return Err(place.refuse_leaf("short", &form.short, accepted));
    }
    let factor = above_zero(place, "factor", &form.factor)?;
    if factor >= reach {
        let accepted = format!(
            "accepted is a factor below {}: with this objective, even if everything fails, the budget burns no \
             faster",
            reach.round_dp(3).normalize()
        );
        return Err(place.refuse_leaf("factor", &form.factor, accepted));
    }
    Ok(BurnWindow {
        short,
        long,
        factor,
    })
}

/// Buckets of a burn window, nanoseconds: 72 of them at most.
pub(crate) fn burn_bucket(window: i64) -> i64 {
    match window {
        w if w <= HOUR => MINUTE,
        w if w <= 6 * HOUR => 10 * MINUTE,
        _ => HOUR,
    }
}
