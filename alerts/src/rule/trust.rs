//! What a rule must have shown before it is promoted, and what it must not do to stay in force.

use serde::{Deserialize, Serialize};
use serde_saphyr::Spanned;

use super::SECOND;
use super::file::Leaf;
use super::scalar::Place;
use crate::Result;

const DAY: i64 = 86_400 * SECOND;

/// What a rule in shadow must have shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Promote {
    /// How long it must have been in shadow, nanoseconds.
    pub after: i64,
    /// How often it must have wished to act.
    pub actions: u32,
    /// How many of those may have been wrong.
    pub wrong_at_most: u32,
}

impl Default for Promote {
    /// Seven days, five actions, none of them wrong.
    fn default() -> Self {
        Self {
            after: 7 * DAY,
            actions: 5,
            wrong_at_most: 0,
        }
    }
}

/// What makes a rule in force fall back to shadow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Demote {
    /// So many false alarms.
    pub wrong: u32,
    /// Within so many nanoseconds.
    pub within: i64,
}

impl Default for Demote {
    /// Two within seven days.
    fn default() -> Self {
        Self {
            wrong: 2,
            within: 7 * DAY,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PromoteForm {
    after: Option<Leaf>,
    actions: Option<Leaf>,
    wrong_at_most: Option<Leaf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DemoteForm {
    wrong: Option<Leaf>,
    within: Option<Leaf>,
}

pub(super) fn promote(
    place: Place<'_>,
    acts: bool,
    form: Option<&Spanned<PromoteForm>>,
) -> Result<Option<Promote>> {
    let Some(form) = form else {
        return Ok(None);
    };
    acting(place, "promote", form.referenced.line(), acts)?;
    let (form, usual) = (&form.value, Promote::default());
    let count = |field, leaf: Option<&Leaf>, usual, from| {
        leaf.map_or(Ok(usual), |leaf| place.count(field, leaf, from, 1_000_000))
    };
    Ok(Some(Promote {
        after: match &form.after {
            None => usual.after,
            Some(leaf) => place.length("after", leaf)?,
        },
        actions: count("actions", form.actions.as_ref(), usual.actions, 1)?,
        wrong_at_most: count(
            "wrong_at_most",
            form.wrong_at_most.as_ref(),
            usual.wrong_at_most,
            0,
        )?,
    }))
}

pub(super) fn demote(
    place: Place<'_>,
    acts: bool,
    form: Option<&Spanned<DemoteForm>>,
) -> Result<Option<Demote>> {
    let Some(form) = form else {
        return Ok(None);
    };
    acting(place, "demote", form.referenced.line(), acts)?;
    let (form, usual) = (&form.value, Demote::default());
    let within = match &form.within {
        None => usual.within,
        Some(leaf) => match place.length("within", leaf)? {
            within if within >= SECOND => within,
            _ => return Err(place.refuse_leaf("within", leaf, "accepted is 1s or more")),
        },
    };
    Ok(Some(Demote {
        wrong: match &form.wrong {
            None => usual.wrong,
            Some(leaf) => place.count("wrong", leaf, 1, 1_000)?,
        },
        within,
    }))
}

fn acting(place: Place<'_>, field: &'static str, line: u64, acts: bool) -> Result<()> {
    if acts {
        return Ok(());
    }
    let accepted = "accepted only for a rule that acts: one that notifies is in force already";
    Err(place.refuse(line, field, "set", accepted))
}
