//! Turns a rule as written into a rule that makes sense, or says why it does not.

use flyball_runtime::control::Mode;
use rust_decimal::Decimal;
use serde_saphyr::Spanned;

use super::file::{ActionForm, Leaf, RuleForm, SqlForm, WhenForm};
use super::scalar::Place;
use super::{Action, Calls, Key, Rule, SECOND, Severity, Target, When};
use crate::Result;
use crate::state::{NoData, Threshold};
use crate::window::bucket_of;

/// Longest in-stream window: what is longer belongs in SQL.
const WINDOW_MAX: i64 = 3_600 * SECOND;
const ACTING_COOL_DOWN: i64 = 300 * SECOND;
const TELLING_COOL_DOWN: i64 = 60 * SECOND;

/// What stands under `when`: the measure, and the bound that goes with it.
struct Condition<'a> {
    when: When,
    trigger: Decimal,
    trigger_leaf: &'a Leaf,
    low: bool,
}

pub(super) fn rule(file: &str, line: u64, form: RuleForm) -> Result<Rule> {
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
            ("execution", Key::Execution),
        ],
    )?;
    let condition = condition(place, key, &form.when)?;
    let threshold = threshold(place, &form, &condition)?;
    let action = action(place, &form)?;
    let acts = action != Action::Notify;
    let scope = scope(place, line, key, &form, &condition.when, &action)?;

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
        cool_down: cool_down(place, &form, &condition.when, acts)?,
        when: condition.when,
        no_data,
        action,
        scope,
        notify,
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

fn condition<'a>(place: Place<'_>, key: Key, form: &'a Spanned<WhenForm>) -> Result<Condition<'a>> {
    let (when, trigger_leaf, low) = match &form.value {
        WhenForm::Sql(sql) => return query(place, key, form.referenced.line(), sql),
        WhenForm::SpendRate(f) => (
            When::SpendRate {
                window: window(place, &f.window)?,
            },
            &f.at_least,
            false,
        ),
        WhenForm::RepeatedToolCalls(f) => {
            // More than a few thousand equal calls in a window need not be told apart.
            place.count("at_least", &f.at_least, 2, 10_000)?;
            (
                When::RepeatedToolCalls {
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

fn window(place: Place<'_>, leaf: &Leaf) -> Result<i64> {
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

fn threshold(place: Place<'_>, form: &RuleForm, condition: &Condition<'_>) -> Result<Threshold> {
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

fn action(place: Place<'_>, form: &RuleForm) -> Result<Action> {
    let Some(written) = &form.action else {
        return Ok(Action::Notify);
    };
    Ok(match &written.value {
        ActionForm::Notify => Action::Notify,
        ActionForm::Freeze => Action::Freeze,
        ActionForm::Throttle(f) => Action::Throttle {
            calls_per_minute: place.count("calls_per_minute", &f.calls_per_minute, 1, 1_000_000)?,
        },
        ActionForm::Degrade(f) => {
            let tier = f
                .tier
                .as_ref()
                .map(|t| place.text("tier", t, 100))
                .transpose()?;
            let read_only = f
                .read_only
                .as_ref()
                .map_or(Ok(false), |r| place.flag("read_only", r))?;
            let plan_depth = f
                .plan_depth
                .as_ref()
                .map(|d| place.count("plan_depth", d, 1, 1_000))
                .transpose()?;
            if tier.is_none() && !read_only && plan_depth.is_none() {
                return Err(place.refuse(
                    written.referenced.line(),
                    "degrade",
                    "empty",
                    "accepted is at least one of tier, read_only: true and plan_depth",
                ));
            }
            Action::Degrade {
                tier,
                read_only,
                plan_depth,
            }
        }
    })
}

/// Whom the rule may act on: never more than the key stands for, and never everything.
fn scope(
    place: Place<'_>,
    line: u64,
    key: Key,
    form: &RuleForm,
    when: &When,
    action: &Action,
) -> Result<Option<Target>> {
    if *action == Action::Notify {
        return match &form.scope {
            None => Ok(None),
            Some(leaf) => {
                Err(place.refuse_leaf("scope", leaf, "with action: notify, accepted is no scope"))
            }
        };
    }
    let action_line = form.action.as_ref().map_or(line, |a| a.referenced.line());
    if *action == Action::Freeze && !when.deterministic() {
        return Err(place.refuse(
            action_line,
            "action",
            "freeze",
            format!(
                "a freeze needs a deterministic condition: accepted with {} are notify, throttle and degrade \
                 (spend_rate and repeated_tool_calls may freeze, and sql that says deterministic: true)",
                when.as_str()
            ),
        ));
    }
    let sql = matches!(when, When::Sql { .. });
    let allowed: &[Target] = match key {
        Key::Workspace => &[],
        Key::Tenant => &[Target::Tenant],
        Key::Agent if sql => &[Target::Agent],
        Key::Agent => &[Target::Agent, Target::Execution],
        Key::Tool => &[Target::Tool],
        Key::Session if sql => &[],
        Key::Session => &[Target::Agent, Target::Execution],
        Key::Execution if sql => &[Target::Execution],
        Key::Execution => &[Target::Execution, Target::Agent, Target::Tool],
    };
    let own = allowed.iter().copied().find(|t| t.key() == key);
    let names: Vec<_> = allowed.iter().map(|t| t.as_str()).collect();
    let Some(leaf) = &form.scope else {
        return own.map(Some).ok_or_else(|| {
            let accepted = if allowed.is_empty() {
                "accepted is only notify, since there is nothing less than everything to act on"
                    .to_owned()
            } else {
                format!("accepted together with scope, one of: {}", names.join(", "))
            };
            place.refuse(
                action_line,
                "action",
                &format!("an act by key {}", key.as_str()),
                accepted,
            )
        });
    };
    let target = place.word(
        "scope",
        leaf,
        &[
            ("tenant", Target::Tenant),
            ("agent", Target::Agent),
            ("tool", Target::Tool),
            ("execution", Target::Execution),
        ],
    )?;
    if !allowed.contains(&target) {
        let accepted = if names.is_empty() {
            "nothing".to_owned()
        } else {
            names.join(", ")
        };
        let accepted = format!(
            "with key: {} of {}, accepted is: {accepted}",
            key.as_str(),
            when.as_str()
        );
        return Err(place.refuse_leaf("scope", leaf, accepted));
    }
    Ok(Some(target))
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
