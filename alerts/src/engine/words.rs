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
use crate::rule::{Action, Rule, Severity, When, spoken};
use crate::state::{Change, State};

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

/// The verb of an action.
pub(super) fn verb(action: &Action) -> &'static str {
    match action {
        Action::Notify => "notify",
        Action::Throttle { .. } => "throttle",
        Action::Degrade { .. } => "degrade",
        Action::Freeze => "freeze",
    }
}

/// A sentence with the numbers: `agent triage spent 5.2 USD within 1m; the rule fires at 5 USD`.
pub(super) fn describe(rule: &Rule, key: &str, value: Option<Decimal>, evidence: &Value) -> String {
    let who = format!("{} {key}", rule.key.as_str());
    let limit = rule.threshold.trigger.normalize();
    let within = spoken(rule.when.window());
    let Some(value) = value.map(|v| v.normalize()) else {
        return format!(
            "{who}: nothing to judge by; the rule fires at {}",
            rule.condition()
        );
    };
    let numbers = &evidence["numbers"];
    let number = |name: &str| numbers[name].as_i64().unwrap_or(0);
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
        When::RepeatedToolCalls { .. } => {
            let tool = numbers["tool"].as_str().unwrap_or("a tool");
            let calls = number("calls");
            format!(
                "{who} called {tool} {calls} times within {within} with the same input and the same outcome, \
                 and tried nothing new; the rule fires at {limit}"
            )
        }
        When::ErrorRate { .. } => {
            let percent = (value * Decimal::ONE_HUNDRED).round_dp(1).normalize();
            let bound = (limit * Decimal::ONE_HUNDRED).normalize();
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
    }
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
        severity: rule.severity.as_str(),
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
