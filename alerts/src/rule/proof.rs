//! What equal calls must show besides their number before they count as a loop, and not as waiting.

use std::fmt;

use rust_decimal::Decimal;
use serde::Serialize;

use super::file::RepeatsForm;
use super::scalar::Place;
use super::{Key, SECOND, spoken};
use crate::Result;

/// So many calls in so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Pace {
    /// Equal calls, at least 2.
    pub calls: u32,
    /// Nanoseconds in which the last of them ended.
    pub within: i64,
}

/// What equal calls must show. With both a pace and a spend, either will do; with neither, none is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// Whether the agent must have called a model before each repeat (one in eight may be missing).
    pub model_decided: bool,
    /// So fast.
    pub pace: Option<Pace>,
    /// US dollars that the agent's model calls between the repeats cost, at least.
    pub spend: Option<Decimal>,
}

impl Proof {
    /// Whether model calls matter to it.
    #[must_use]
    pub fn asks_models(&self) -> bool {
        self.model_decided || self.spend.is_some()
    }
}

impl fmt::Display for Proof {
    /// What comes behind the rest of the condition; nothing when nothing is asked for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.model_decided {
            f.write_str(", each decided by a model")?;
        }
        if let Some(Pace { calls, within }) = self.pace {
            write!(f, ", the last {calls} within {}", spoken(within))?;
        }
        if let Some(spend) = self.spend {
            let joint = if self.pace.is_some() { " or" } else { "," };
            write!(f, "{joint} at a cost of {} USD", spend.normalize())?;
        }
        Ok(())
    }
}

pub(super) fn proof(
    place: Place<'_>,
    key: Key,
    form: &RepeatsForm,
    at_least: u32,
    window: i64,
) -> Result<Proof> {
    let model_decided = match &form.model_decided {
        None => false,
        Some(leaf) => {
            let wanted = place.flag("model_decided", leaf)?;
            if wanted && key == Key::Tool {
                let accepted = "accepted with key: tool is false: model calls are of no tool";
                return Err(place.refuse_leaf("model_decided", leaf, accepted));
            }
            wanted
        }
    };
    let pace = match &form.pace {
        None => None,
        Some(pace) => {
            let calls = place.count("calls", &pace.calls, 2, at_least)?;
            let within = place.length("within", &pace.within)?;
            if !(SECOND..=window).contains(&within) {
                let accepted = format!("accepted is 1s to the window, {}", spoken(window));
                return Err(place.refuse_leaf("within", &pace.within, accepted));
            }
            Some(Pace { calls, within })
        }
    };
    let spend = match &form.spend {
        None => None,
        Some(leaf) => {
            let spend = place.number("spend", leaf)?;
            if spend.is_zero() || key == Key::Tool {
                let accepted = "accepted is a number of US dollars above 0, and none with key: tool, \
                                since model calls are of no tool";
                return Err(place.refuse_leaf("spend", leaf, accepted));
            }
            Some(spend)
        }
    };
    Ok(Proof {
        model_decided,
        pace,
        spend,
    })
}
