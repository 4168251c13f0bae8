//! Kinds of rules about what tools change and what texts carry, from the form.

use std::collections::BTreeSet;

use flyball_store::rows::Marker;
use rust_decimal::Decimal;

use super::condition::{Condition, window};
use super::file::{Leaf, MarkersForm, ToolsForm};
use super::scalar::Place;
use super::{Key, When};
use crate::Result;

pub(super) fn conflicts<'a>(
    place: Place<'_>,
    key: Key,
    form: &'a ToolsForm,
) -> Result<Condition<'a>> {
    if matches!(key, Key::Agent | Key::Model) {
        let accepted = "accepted with conflicting_modifications is key: workspace, tool, task, session, execution, team, \
                        tenant or task_type: it takes two";
        return Err(place.refuse_leaf("window", &form.window, accepted));
    }
    // Of each target 256 modifications are remembered.
    let trigger = at_least(place, form.at_least.as_ref(), 2, 100)?;
    let when = When::ConflictingModifications {
        window: window(place, &form.window)?,
        tools: names(place, form.tools.as_deref())?,
    };
    Ok(counted(when, trigger, form.at_least.as_ref(), &form.window))
}

pub(super) fn injection<'a>(place: Place<'_>, form: &'a MarkersForm) -> Result<Condition<'a>> {
    let words = Marker::ALL.map(|marker| (marker.as_str(), marker.as_str()));
    let markers = form.markers.iter().flatten();
    let markers: Result<BTreeSet<String>> = markers
        .map(|leaf| place.word("markers", leaf, &words).map(str::to_owned))
        .collect();
    let trigger = at_least(place, form.at_least.as_ref(), 1, 1_000_000)?;
    let when = When::InjectionMarkers {
        window: window(place, &form.window)?,
        markers: markers?,
    };
    Ok(counted(when, trigger, form.at_least.as_ref(), &form.window))
}

pub(super) fn poisoning<'a>(place: Place<'_>, form: &'a ToolsForm) -> Result<Condition<'a>> {
    let trigger = at_least(place, form.at_least.as_ref(), 1, 1_000_000)?;
    let when = When::MemoryPoisoning {
        window: window(place, &form.window)?,
        tools: names(place, form.tools.as_deref())?,
    };
    Ok(counted(when, trigger, form.at_least.as_ref(), &form.window))
}

fn counted<'a>(
    when: When,
    trigger: u32,
    leaf: Option<&'a Leaf>,
    otherwise: &'a Leaf,
) -> Condition<'a> {
    Condition {
        when,
        trigger: Decimal::from(trigger),
        trigger_leaf: leaf.unwrap_or(otherwise),
        low: false,
    }
}

fn at_least(place: Place<'_>, leaf: Option<&Leaf>, otherwise: u32, most: u32) -> Result<u32> {
    leaf.map_or(Ok(otherwise), |leaf| place.count("at_least", leaf, 1, most))
}

fn names(place: Place<'_>, tools: Option<&[Leaf]>) -> Result<BTreeSet<String>> {
    let tools = tools.into_iter().flatten();
    tools.map(|leaf| place.text("tools", leaf, 200)).collect()
}
