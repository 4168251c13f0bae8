//! Puts into words what an alert says: its row, its notice, its summary.

use chrono::{DateTime, SecondsFormat};
use flyball_runtime::control::Mode;
use flyball_store::rows::{AlertRow, Date, Micros};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde_json::Value;

use super::Effect;
use super::watch::Scene;
use crate::memory::SavedRule;
use crate::notify::{About, Deed, Notice};
use crate::rule::{Period, Rule, Series, Severity, When, percent};
use crate::state::{Change, Machine, State};

/// What there is to tell.
pub(super) struct Told<'a> {
    pub(super) id: &'a str,
    pub(super) key: &'a str,
    pub(super) change: Change,
    pub(super) value: Option<Decimal>,
    pub(super) summary: String,
    pub(super) evidence: Option<Value>,
    pub(super) deed: Option<Deed>,
}

/// A sentence with the numbers: `agent triage spent 5.2 USD within 1m; the rule fires at 5 USD`.
pub(super) fn describe(rule: &Rule, key: &str, value: Option<Decimal>, evidence: &Value) -> String {
    let who = format!("{} {key}", rule.key.as_str());
    let limit = rule.threshold.trigger.normalize();
    let within = rule.when.within();
    let Some(value) = value.map(|v| v.normalize()) else {
        return format!(
            "{who}: nothing to judge by; the rule fires at {}",
            rule.condition()
        );
    };
    let numbers = &evidence["numbers"];
    let number = |name: &str| numbers[name].as_i64().unwrap_or(0);
    let text = |name: &str| numbers[name].as_str();
    match &rule.when {
        When::Sql { value: column, .. } => {
            let bound = if rule.threshold.low {
                "at most"
            } else {
                "at least"
            };
            format!("{who}: {column} is {value}; the rule fires at {bound} {limit}")
        }
        When::SpendRate { .. } => {
            let calls = number("calls");
            format!(
                "{who} spent {value} USD in {calls} calls within {within}; the rule fires at {limit} USD"
            )
        }
        When::ConflictingModifications { .. } => format!(
            "{who}: within {within}, {value} times somebody changed {} again after another had changed it otherwise ({} \
             modifications in all); the rule fires at {limit}",
            text("target").unwrap_or("a target"),
            number("modifications"),
        ),
        When::InjectionMarkers { .. } => format!(
            "{who}: {value} calls within {within} with signs of prompt injection in what came from outside (last: {}); \
             the rule fires at {limit}",
            text("markers").unwrap_or("unknown"),
        ),
        When::MemoryPoisoning { .. } => format!(
            "{who}: {value} calls of memory tools within {within} with signs of prompt injection (last: {} of {}); the \
             rule fires at {limit}",
            text("markers").unwrap_or("unknown"),
            text("tool").unwrap_or("a tool"),
        ),
        When::BudgetLeakage { .. } => format!(
            "{who} cost {value} USD within {within} in executions that each stayed under {limit} USD ({} in all, the \
             dearest {} USD); the rule fires at {limit} USD together",
            number("executions"),
            numbers["dearest"][0]["usd"].as_str().unwrap_or("unknown"),
        ),
        When::LowValueExecutions { .. } => format!(
            "{who}: {} of {} executions that ended within {within} were worth nothing, for {} USD; the rule fires at \
             {limit}",
            number("low_value"),
            number("ended"),
            text("usd").unwrap_or("0"),
        ),
        When::RepeatedToolCalls { .. } => {
            let tool = numbers["tool"].as_str().unwrap_or("a tool");
            let calls = number("calls");
            format!(
                "{who} called {tool} {calls} times within {within} with the same input and the same outcome, \
                 and tried nothing new; the rule fires at {limit}"
            )
        }
        When::ErrorRate { .. } => {
            let bound = percent(limit);
            let percent = (value * Decimal::ONE_HUNDRED).round_dp(1).normalize();
            format!(
                "{who}: {} of {} calls ({percent} %) failed within {within}; the rule fires at {bound} %",
                number("failed"),
                number("calls"),
            )
        }
        When::Escalations { .. } => {
            format!(
                "{who}: {value} executions handed to a person within {within}; the rule fires at {limit}"
            )
        }
        When::Budget { per } => {
            let time = match per {
                Period::Execution => "in its life".to_owned(),
                _ => format!(
                    "since {} (one {} in UTC)",
                    text("since").unwrap_or("it began"),
                    per.as_str()
                ),
            };
            format!("{who} spent {value} USD {time}; the rule fires at {limit} USD")
        }
        When::RetryStorm { .. } => format!(
            "{who}: {} was called again with the same input {value} times within {within} after it had failed; \
             the rule fires at {limit}",
            text("tool").unwrap_or("a tool")
        ),
        When::Reprompts { .. } => format!(
            "{who}: {value} model calls in a row within {within}, without a tool call or progress between; \
             the rule fires at {limit}"
        ),
        When::UnknownTool {
            learn: Some(learn), ..
        } => format!(
            "{who} called {}, which is none of the {} tools that it was learnt to use in {} or more; such calls within \
             {within}: {value}, and the rule fires at {limit}",
            text("tool").unwrap_or("a tool"),
            number("tools_known"),
            crate::rule::spoken(learn.period),
        ),
        When::UnknownTool { .. } => format!(
            "{who} called {}, which is not on the list; such calls within {within}: {value}, and the rule fires at \
             {limit}",
            text("tool").unwrap_or("a tool")
        ),
        When::Absence { learn: Some(_), .. } => format!(
            "{who}: nothing heard for {value} s, in hours in which it is usually heard; the rule \
             fires at {limit} s where less than one silence in 160000 is as long"
        ),
        When::Absence { .. } => format!(
            "{who}: nothing heard for {value} s after {} calls, while others were heard; the rule fires at {limit} s",
            number("calls_before")
        ),
        When::RateOfChange { of, base, .. } => format!(
            "{who}: {} within {within} is {value} times what it was in the {} before ({}, expected {}); the rule fires \
             at {limit} times",
            of.as_str(),
            crate::rule::spoken(*base),
            text("now").unwrap_or("unknown"),
            text("expected").unwrap_or("unknown")
        ),
        When::Detector { of, .. } => detected(&who, *of, value, limit, numbers),
        When::SloBurn(objective) => format!(
            "{who}: too few {}: the error budget of {} % burns {} times as fast as the rule's windows and factors \
             allow; the rule fires at 1",
            objective.aim.words(),
            percent(objective.budget()),
            value.round_dp(2).normalize()
        ),
        When::Composite { of, .. } => {
            let names: Vec<_> = of.iter().map(String::as_str).collect();
            format!(
                "{who}: {value} of {} rules fire ({}); the rule fires at {limit}",
                of.len(),
                names.join(", ")
            )
        }
    }
}

fn detected(who: &str, of: Series, value: Decimal, limit: Decimal, numbers: &Value) -> String {
    let text = |name: &str| numbers[name].as_str().unwrap_or("unknown");
    let drivers = &numbers["drivers"];
    let part = |name: &str| drivers[name].as_str().unwrap_or("0");
    let why = if drivers.is_object() {
        format!(
            ". The change of {} USD is {} of volume, {} of mix and {} of price",
            part("change_usd"),
            part("volume_usd"),
            part("mix_usd"),
            part("price_usd")
        )
    } else {
        String::new()
    };
    format!(
        "{who}: {} {} in a step; its {} is {}, expected {}, usually {} to {} ({value} decades of rarity; the rule fires \
         at {limit}){why}",
        text("number"),
        of.unit(),
        text("aspect"),
        text("observed"),
        text("expected"),
        text("usual_from"),
        text("usual_to"),
    )
}

/// Writes the row, and the notice if people should hear of it.
pub(super) fn tell(rule: &Rule, told: &Told<'_>, scene: &mut Scene<'_>) {
    let Change { from, to } = told.change;
    let mut summary = told.summary.clone();
    if to == State::Ok && from != State::Ok {
        summary = format!("over: {summary}");
    }
    if let Some(deed) = &told.deed {
        summary = format!(
            "{summary}. {} of {}: {}",
            deed.action, deed.target, deed.outcome
        );
    }
    let evidence = evidence(told);
    if from != to {
        scene.out.push(Effect::Alert(Box::new(AlertRow {
            date: Date::of_nanos(scene.now),
            at: Micros::of_nanos(scene.now),
            alert_id: told.id.to_owned(),
            rule: rule.name.clone(),
            key: told.key.to_owned(),
            state: to.as_str().to_owned(),
            previous_state: from.as_str().to_owned(),
            severity: rule.severity.as_str().to_owned(),
            mode: match rule.mode {
                Mode::Shadow => "shadow",
                Mode::Enforce => "enforce",
            }
            .to_owned(),
            value: told.value.and_then(|v| v.to_f64()),
            threshold: rule.threshold.trigger.to_f64(),
            summary: summary.clone(),
            evidence: evidence.as_ref().map(Value::to_string),
            log_position: 0,
        })));
    }
    // A rule in shadow is nobody's business but the record's.
    if rule.mode == Mode::Shadow {
        return;
    }
    let Some(status) = about(told.change) else {
        return;
    };
    let notice = Notice {
        status,
        alert_id: told.id.to_owned(),
        rule: rule.name.clone(),
        description: rule.description.clone(),
        key: told.key.to_owned(),
        severity: rule.severity,
        workspace: scene.workspace.to_owned(),
        summary,
        value: told.value.map(|v| v.normalize().to_string()),
        threshold: rule.threshold.trigger.normalize().to_string(),
        at: rfc3339(scene.now),
        action: told.deed.clone(),
        evidence,
    };
    scene.out.push(Effect::Notice {
        to: rule.notify.clone(),
        notice: Box::new(notice),
    });
}

/// The notice of an alert that stands; none when it is over.
pub(super) fn stands(
    rule: &Rule,
    workspace: &str,
    id: &str,
    key: &str,
    machine: &Machine,
    value: Option<Decimal>,
    summary: String,
) -> Option<Notice> {
    let status = match machine.state {
        State::Firing | State::Recovering => About::Firing,
        State::NoData => About::NoData,
        State::Error => About::Error,
        State::Pending => About::Pending,
        State::Ok => return None,
    };
    Some(Notice {
        status,
        alert_id: id.to_owned(),
        rule: rule.name.clone(),
        description: rule.description.clone(),
        key: key.to_owned(),
        severity: rule.severity,
        workspace: workspace.to_owned(),
        summary,
        value: value.map(|v| v.normalize().to_string()),
        threshold: rule.threshold.trigger.normalize().to_string(),
        at: rfc3339(machine.changed_at.unwrap_or(machine.last)),
        action: None,
        evidence: None,
    })
}

/// The last rows of the alerts of a rule that is no more.
pub(super) fn gone(rule: &str, saved: &SavedRule, now: i64) -> impl Iterator<Item = AlertRow> {
    let by = &saved.by;
    let open = saved
        .keys
        .iter()
        .filter(|(_, saved)| saved.machine.state != State::Ok);
    open.map(move |(key, saved)| AlertRow {
        date: Date::of_nanos(now),
        at: Micros::of_nanos(now),
        alert_id: saved.alert_id.clone().unwrap_or_default(),
        rule: rule.to_owned(),
        key: format!("{by}={key}"),
        state: State::Ok.as_str().to_owned(),
        previous_state: saved.machine.state.as_str().to_owned(),
        severity: Severity::Info.as_str().to_owned(),
        mode: "enforce".to_owned(),
        summary: format!("over: rule {rule} was removed"),
        ..AlertRow::default()
    })
}

fn evidence(told: &Told<'_>) -> Option<Value> {
    let mut evidence = told.evidence.clone()?;
    if let (Some(deed), Some(object)) = (&told.deed, evidence.as_object_mut())
        && let Ok(deed) = serde_json::to_value(deed)
    {
        object.insert("action".to_owned(), deed);
    }
    Some(evidence)
}

/// Which changes people hear of. A relapse belongs to the alert that they know of already.
fn about(change: Change) -> Option<About> {
    match (change.from, change.to) {
        (State::Recovering, State::Firing) => None,
        (_, State::Firing) => Some(About::Firing),
        (_, State::NoData) => Some(About::NoData),
        (_, State::Error) => Some(About::Error),
        (State::Ok | State::Pending, State::Ok) => None,
        (_, State::Ok) => Some(About::Resolved),
        (_, State::Pending | State::Recovering) => None,
    }
}

/// A time in words.
pub(crate) fn rfc3339(unix_nano: i64) -> String {
    DateTime::from_timestamp_nanos(unix_nano).to_rfc3339_opts(SecondsFormat::Millis, true)
}
