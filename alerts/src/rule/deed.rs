//! What a rule does, and to whom, from the form.

use serde_saphyr::Spanned;

use super::file::{ActionForm, RuleForm};
use super::scalar::Place;
use super::{Action, Key, Rung, Target, When, spoken};
use crate::Result;
use crate::guard::state_of;

/// Rungs beyond the first.
const RUNGS: usize = 3;

pub(super) fn action(place: Place<'_>, form: &RuleForm) -> Result<Action> {
    form.action
        .as_ref()
        .map_or(Ok(Action::Notify), |written| deed(place, written))
}

fn deed(place: Place<'_>, written: &Spanned<ActionForm>) -> Result<Action> {
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

/// What is done next if that does not help. Each rung is more severe, and waits until nothing that was measured before the
/// order is in the window: or what is over already would climb.
pub(super) fn then(
    place: Place<'_>,
    form: &RuleForm,
    when: &When,
    action: &Action,
) -> Result<Vec<Rung>> {
    let window = when.window();
    let mut rungs: Vec<Rung> = Vec::new();
    for written in form.then.iter().flatten() {
        let line = written.action.referenced.line();
        let refuse = |value: &str, accepted: &str| Err(place.refuse(line, "then", value, accepted));
        if *action == Action::Notify {
            return refuse(
                "a rung",
                "accepted with action: notify is none; to act after a while, use for",
            );
        }
        if rungs.len() == RUNGS {
            return refuse("a fourth rung", "accepted are at most three");
        }
        let after = place.length("after", &written.after)?;
        if after < window {
            return Err(place.refuse_leaf(
                "after",
                &written.after,
                format!(
                    "accepted is at least the rule's window ({}), or the same numbers would act twice",
                    spoken(window)
                ),
            ));
        }
        let next = deed(place, &written.action)?;
        let before = rungs.last().map_or(action, |rung| &rung.action);
        if state_of(&next).severity() <= state_of(before).severity() {
            return refuse(
                "an action as mild as the one before it",
                "accepted is what is more severe: fewer calls a minute, degrade, freeze",
            );
        }
        rungs.push(Rung {
            after,
            action: next,
        });
    }
    Ok(rungs)
}

/// Whom the rule may act on: never more than the key stands for, and never everything.
pub(super) fn scope(
    place: Place<'_>,
    line: u64,
    key: Key,
    form: &RuleForm,
    when: &When,
    action: &Action,
    then: &[Rung],
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
    if matches!(when, When::Absence { .. }) {
        let accepted =
            "accepted with absence is only notify: whoever is silent may be well, and only unheard";
        return Err(place.refuse(action_line, "action", "an act", accepted));
    }
    // Whether a composite may is known when all rules are: see `composite`.
    let composite = matches!(when, When::Composite { .. });
    let last = then.last().map_or(action, |rung| &rung.action);
    if *last == Action::Freeze && !when.deterministic() && !composite {
        return Err(place.refuse(
            action_line,
            "action",
            "freeze",
            format!(
                "a freeze needs a deterministic condition: accepted with {} are notify, throttle and degrade \
                 (spend_rate, budget, budget_leakage, repeated_tool_calls, retry_storm and unknown_tool by a list may freeze, sql that says \
                 deterministic: true, and all_of with evidence from two sides)",
                when.as_str()
            ),
        ));
    }
    let sql = composite || matches!(when, When::Sql { .. });
    let allowed: &[Target] = match key {
        Key::Workspace | Key::Team | Key::TaskType | Key::Model => &[],
        Key::Tenant => &[Target::Tenant],
        Key::Agent if sql => &[Target::Agent],
        Key::Agent => &[Target::Agent, Target::Execution],
        Key::Tool => &[Target::Tool],
        Key::Session | Key::Task if sql => &[],
        Key::Session | Key::Task => &[Target::Agent, Target::Execution],
        Key::Execution if sql => &[Target::Execution],
        Key::Execution => &[Target::Execution, Target::Agent, Target::Tool],
    };
    let own = allowed.iter().copied().find(|t| t.key() == key);
    let names: Vec<_> = allowed.iter().map(|t| t.as_str()).collect();
    let Some(leaf) = &form.scope else {
        return own.map(Some).ok_or_else(|| {
            let accepted = if allowed.is_empty() {
                "accepted is only notify, since control has no scope that is less than everything for it"
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
