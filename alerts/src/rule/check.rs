//! Turns a rule as written into a rule that makes sense, or says why it does not.

use flyball_runtime::control::Mode;
use rust_decimal::Decimal;

use super::condition::{condition, threshold};
use super::deed::{action, scope, then};
use super::file::{Leaf, RuleForm, WhenForm};
use super::kinds::soft_share;
use super::scalar::Place;
use super::trust::{demote, promote};
use super::{Action, Key, Rule, SECOND, Severity, When};
use crate::Result;
use crate::state::{NoData, Threshold};

const ACTING_COOL_DOWN: i64 = 300 * SECOND;
const TELLING_COOL_DOWN: i64 = 60 * SECOND;

/// The rule that a form describes; with a soft limit, the rule that warns of it as well.
pub(super) fn rules(file: &str, line: u64, form: RuleForm) -> Result<Vec<Rule>> {
    let place = Place {
        file,
        rule: form.name.value.trim(),
    };
    let soft = match &form.when.value {
        WhenForm::Budget(budget) => soft_share(place, budget)?,
        _ => None,
    };
    let rule = rule(file, line, &form)?;
    let soft = soft.map(|share| soft_limit(&rule, share));
    Ok(std::iter::once(rule).chain(soft).collect())
}

/// A rule of its own, so that the warning has an alert, a state and a history of its own, too.
fn soft_limit(rule: &Rule, share: Decimal) -> Rule {
    let trigger = rule.threshold.trigger * share;
    Rule {
        name: format!("{}.soft", rule.name),
        severity: Severity::Warning,
        mode: Mode::Enforce,
        threshold: Threshold {
            trigger,
            recover: trigger * Decimal::new(8, 1),
            low: false,
        },
        cool_down: TELLING_COOL_DOWN,
        action: Action::Notify,
        then: Vec::new(),
        scope: None,
        ..rule.clone()
    }
}

fn rule(file: &str, line: u64, form: &RuleForm) -> Result<Rule> {
    let place = Place {
        file,
        rule: form.name.value.trim(),
    };
    let name = name(place, &form.name)?;
    let key = place.word(
        "key",
        &form.key,
        &[
            ("workspace", Key::Workspace),
            ("tenant", Key::Tenant),
            ("agent", Key::Agent),
            ("tool", Key::Tool),
            ("session", Key::Session),
            ("task", Key::Task),
            ("execution", Key::Execution),
            ("team", Key::Team),
            ("task_type", Key::TaskType),
            ("model", Key::Model),
        ],
    )?;
    let condition = condition(place, key, &form.when)?;
    let threshold = threshold(place, form, &condition)?;
    let action = action(place, form)?;
    let acts = action != Action::Notify;
    let then = then(place, form, &condition.when, &action)?;
    let scope = scope(place, line, key, form, &condition.when, &action, &then)?;

    let severity = match &form.severity {
        None => Severity::Warning,
        Some(leaf) => place.word(
            "severity",
            leaf,
            &[
                ("info", Severity::Info),
                ("warning", Severity::Warning),
                ("critical", Severity::Critical),
            ],
        )?,
    };
    let mode = match &form.mode {
        // A new rule that acts has to be trusted by somebody first.
        None if acts => Mode::Shadow,
        None => Mode::Enforce,
        Some(leaf) => place.word(
            "mode",
            leaf,
            &[("shadow", Mode::Shadow), ("enforce", Mode::Enforce)],
        )?,
    };
    let no_data = match &form.no_data {
        None => NoData::Hold,
        Some(leaf) => place.word(
            "no_data",
            leaf,
            &[
                ("hold", NoData::Hold),
                ("ok", NoData::Ok),
                ("alert", NoData::Alert),
            ],
        )?,
    };
    let notify = match &form.notify {
        None => None,
        Some(names) => Some(
            names
                .iter()
                .map(|leaf| place.text("notify", leaf, 100))
                .collect::<Result<Vec<_>>>()?,
        ),
    };
    let rule = Rule {
        name,
        description: form
            .description
            .as_ref()
            .map_or_else(String::new, |d| d.value.trim().to_owned()),
        severity,
        mode,
        key,
        threshold,
        hold: optional_length(place, "for", form.hold.as_ref(), 0)?,
        keep_firing_for: optional_length(
            place,
            "keep_firing_for",
            form.keep_firing_for.as_ref(),
            0,
        )?,
        cool_down: cool_down(place, form, &condition.when, acts)?,
        when: condition.when,
        no_data,
        action,
        then,
        scope,
        notify,
        promote: promote(place, acts, form.promote.as_ref())?,
        demote: demote(place, acts, form.demote.as_ref())?,
    };
    Ok(rule)
}

fn name(place: Place<'_>, leaf: &Leaf) -> Result<String> {
    let name = leaf.value.as_str();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.';
    if name.is_empty() || name.len() > 100 || !name.chars().all(plain) {
        return Err(place.refuse_leaf(
            "name",
            leaf,
            "accepted are 1 to 100 letters, digits, hyphens, underscores and dots",
        ));
    }
    Ok(name.to_owned())
}

fn cool_down(place: Place<'_>, form: &RuleForm, when: &When, acts: bool) -> Result<i64> {
    let window = when.window();
    let Some(leaf) = &form.cool_down else {
        return Ok(if acts {
            ACTING_COOL_DOWN.max(window)
        } else {
            TELLING_COOL_DOWN
        });
    };
    let cool_down = place.length("cool_down", leaf)?;
    if cool_down < SECOND {
        return Err(place.refuse_leaf("cool_down", leaf, "accepted is 1s or more"));
    }
    if acts && cool_down < window {
        let accepted = "accepted for a rule that acts is at least its window, or the same numbers would act twice";
        return Err(place.refuse_leaf("cool_down", leaf, accepted));
    }
    Ok(cool_down)
}

fn optional_length(
    place: Place<'_>,
    field: &'static str,
    leaf: Option<&Leaf>,
    otherwise: i64,
) -> Result<i64> {
    leaf.map_or(Ok(otherwise), |leaf| place.length(field, leaf))
}
