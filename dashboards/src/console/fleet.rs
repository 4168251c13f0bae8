//! The JSON of `GET /api/v1/fleet`: figures and states put together.

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::{Decimal128Type, DecimalType};
use chrono::{DateTime, SecondsFormat};
use flyball_runtime::control::{InForce, Scope, State, Subject, View};
use serde::Serialize;

use super::facts::{self, Facts, SPEND_MINUTES, Window};

/// How many alerts and actions the page lists.
const SHOWN: usize = 20;

/// The whole fleet at one moment. Money is text (exact, 12 digits), times are RFC 3339 in UTC.
#[derive(Debug, Serialize)]
pub(super) struct Fleet {
    now: Option<String>,
    workspace: String,
    window: &'static str,
    since: Option<String>,
    epoch: u64,
    totals: Totals,
    agents: Vec<Agent>,
    in_force: Vec<Entry>,
    alerts: Vec<Alert>,
    actions: Vec<Action>,
    errors: Vec<String>,
}

#[derive(Debug, Default, Serialize)]
struct Totals {
    agents: usize,
    running: usize,
    throttled: usize,
    degraded: usize,
    frozen: usize,
    firing: usize,
    executions: i64,
    decisions: i64,
    calls: i64,
    unpriced_calls: i64,
    cost_usd: Option<String>,
    cost_per_decision_usd: Option<String>,
}

#[derive(Debug, Serialize)]
struct Agent {
    /// None: calls that no agent could be found for.
    agent: Option<String>,
    state: &'static str,
    /// What makes it so, if anything does: the most severe entry that matches the agent.
    held_by: Option<Entry>,
    /// The state set for this very agent: what a release would undo.
    own_state: &'static str,
    executions: i64,
    decisions: i64,
    calls: i64,
    unpriced_calls: i64,
    cost_usd: Option<String>,
    cost_per_decision_usd: Option<String>,
    /// Spend by minute over the last half hour, the oldest first; the last minute is not over.
    spend_usd: Vec<String>,
    last_seen: Option<String>,
    last_alert: Option<Alert>,
}

#[derive(Debug, Clone, Serialize)]
struct Entry {
    action_id: String,
    scope: &'static str,
    target: String,
    state: &'static str,
    /// calls_per_minute, tier, read_only, plan_depth: what the state has of them.
    parameters: serde_json::Value,
    actor: String,
    reason: String,
    since: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
struct Alert {
    at: Option<String>,
    rule: String,
    key: String,
    state: String,
    severity: String,
    mode: String,
    value: Option<f64>,
    threshold: Option<f64>,
    summary: String,
}

#[derive(Debug, Serialize)]
struct Action {
    action_id: String,
    state: String,
    scope: String,
    target: String,
    actor: String,
    reason: String,
    mode: String,
    decided_at: Option<String>,
    released_at: Option<String>,
    /// From the end of the causing span until we had it, until it was decided and until it was obeyed.
    received_after_us: Option<i64>,
    decided_after_us: Option<i64>,
    obeyed_after_us: Option<i64>,
    /// From the decision until it was obeyed, for actions that no span caused.
    obeyed_after_decision_us: Option<i64>,
}

pub(super) fn fleet(
    facts: &Facts,
    view: &View,
    workspace: &str,
    window: Window,
    now: i64,
) -> Fleet {
    let alerts: Vec<Alert> = facts.alerts.iter().map(alert).collect();
    let agents = agents(facts, view, workspace, &alerts);
    let count = |state: &str| {
        agents
            .iter()
            .filter(|agent| agent.agent.is_some() && agent.state == state)
            .count()
    };
    let sum = |of: fn(&facts::Agent) -> i64| facts.agents.iter().map(of).sum();
    let cost = facts
        .agents
        .iter()
        .filter_map(|agent| agent.cost)
        .reduce(|a, b| a.saturating_add(b));
    let decisions = sum(|agent| agent.decisions);
    let totals = Totals {
        agents: agents.iter().filter(|agent| agent.agent.is_some()).count(),
        running: count("running"),
        throttled: count("throttled"),
        degraded: count("degraded"),
        frozen: count("frozen"),
        firing: facts
            .alerts
            .iter()
            .filter(|alert| alert.state == "firing")
            .count(),
        executions: sum(|agent| agent.executions),
        decisions,
        calls: sum(|agent| agent.calls),
        unpriced_calls: sum(|agent| agent.unpriced_calls),
        cost_usd: cost.map(dollars),
        cost_per_decision_usd: per(cost, decisions).map(dollars),
    };
    Fleet {
        now: instant(Some(now.div_euclid(1_000))),
        workspace: workspace.to_owned(),
        window: window.word(),
        since: instant(window.since(now).map(|since| since.div_euclid(1_000))),
        epoch: view.epoch,
        totals,
        agents,
        in_force: view.entries.iter().map(entry).collect(),
        alerts: alerts.into_iter().take(SHOWN).collect(),
        actions: facts.actions.iter().take(SHOWN).map(action).collect(),
        errors: facts.errors.clone(),
    }
}

/// Every agent that did something in the window, plus those that control has an entry for: the dearest first.
fn agents(facts: &Facts, view: &View, workspace: &str, alerts: &[Alert]) -> Vec<Agent> {
    let mut known: Vec<facts::Agent> = facts.agents.clone();
    let seen: BTreeSet<Option<String>> = known.iter().map(|agent| agent.name.clone()).collect();
    let held = view.entries.iter().filter_map(|entry| match &entry.scope {
        Scope::Agent(name) => Some(Some(name.clone())),
        _ => None,
    });
    let silent: BTreeSet<Option<String>> = held.filter(|name| !seen.contains(name)).collect();
    known.extend(silent.into_iter().map(|name| facts::Agent {
        name,
        ..facts::Agent::default()
    }));
    known.sort_by(|a, b| b.cost.cmp(&a.cost).then_with(|| a.name.cmp(&b.name)));
    let mut spend = spend(facts);
    known
        .into_iter()
        .map(|agent| row(agent, view, workspace, alerts, &mut spend))
        .collect()
}

fn row(
    facts: facts::Agent,
    view: &View,
    workspace: &str,
    alerts: &[Alert],
    spend: &mut BTreeMap<Option<String>, Vec<i128>>,
) -> Agent {
    let subject = facts.name.as_deref().map(|agent| Subject {
        workspace,
        agent,
        ..Subject::default()
    });
    let held_by = subject.and_then(|subject| view.verdict(&subject));
    let own = facts.name.clone().map(Scope::Agent);
    let key = facts.name.as_ref().map(|name| format!("agent={name}"));
    let about = |alert: &&Alert| key.as_deref().is_some_and(|key| is_about(&alert.key, key));
    let minutes = spend.remove(&facts.name).unwrap_or_default();
    Agent {
        state: held_by.map_or("running", |entry| entry.state.name()),
        held_by: held_by.map(entry),
        own_state: own.map_or("running", |scope| view.state_of(&scope).name()),
        executions: facts.executions,
        decisions: facts.decisions,
        calls: facts.calls,
        unpriced_calls: facts.unpriced_calls,
        cost_usd: facts.cost.map(dollars),
        cost_per_decision_usd: per(facts.cost, facts.decisions).map(dollars),
        spend_usd: minutes.into_iter().map(dollars).collect(),
        last_seen: instant(facts.last_seen),
        last_alert: alerts.iter().find(about).cloned(),
        agent: facts.name,
    }
}

/// Whether an alert's key, such as `agent=triage,model=large`, begins with this part.
fn is_about(key: &str, part: &str) -> bool {
    key.strip_prefix(part)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(','))
}

fn spend(facts: &Facts) -> BTreeMap<Option<String>, Vec<i128>> {
    let first = facts.asked_at.div_euclid(60_000_000_000) - SPEND_MINUTES + 1;
    let mut spend: BTreeMap<Option<String>, Vec<i128>> = BTreeMap::new();
    for one in &facts.spend {
        let minutes = spend
            .entry(one.agent.clone())
            .or_insert_with(|| vec![0; SPEND_MINUTES as usize]);
        // A sender's clock may run ahead of ours: what lies past the last minute is not shown.
        let minute = one
            .minute
            .checked_sub(first)
            .and_then(|at| usize::try_from(at).ok());
        if let Some(minute) = minute.and_then(|at| minutes.get_mut(at)) {
            *minute = minute.saturating_add(one.cost);
        }
    }
    spend
}

fn entry(entry: &InForce) -> Entry {
    Entry {
        action_id: entry.action_id.clone(),
        scope: entry.scope.name(),
        target: entry.scope.target().to_owned(),
        state: entry.state.name(),
        parameters: match &entry.state {
            State::Throttled { calls_per_minute } => {
                serde_json::json!({ "calls_per_minute": calls_per_minute })
            }
            State::Degraded {
                tier,
                read_only,
                plan_depth,
            } => {
                serde_json::json!({ "tier": tier, "read_only": read_only, "plan_depth": plan_depth })
            }
            State::Running | State::Frozen => serde_json::json!({}),
        },
        actor: entry.actor.clone(),
        reason: entry.reason.clone(),
        since: instant(Some(entry.decided_at_unix_nano.div_euclid(1_000))),
    }
}

fn alert(alert: &facts::Alert) -> Alert {
    Alert {
        at: instant(alert.at),
        rule: alert.rule.clone(),
        key: alert.key.clone(),
        state: alert.state.clone(),
        severity: alert.severity.clone(),
        mode: alert.mode.clone(),
        value: alert.value,
        threshold: alert.threshold,
        summary: alert.summary.clone(),
    }
}

fn action(action: &facts::Action) -> Action {
    let since = |from: Option<i64>, to: Option<i64>| to?.checked_sub(from?);
    let ended = action.cause_ended_at;
    Action {
        action_id: action.action_id.clone(),
        state: action.state.clone(),
        scope: action.scope.clone(),
        target: action.target.clone(),
        actor: action.actor.clone(),
        reason: action.reason.clone(),
        mode: action.mode.clone(),
        decided_at: instant(action.decided_at),
        released_at: instant(action.released_at),
        received_after_us: since(ended, action.cause_received_at),
        decided_after_us: since(ended, action.decided_at),
        obeyed_after_us: since(ended, action.obeyed_at),
        obeyed_after_decision_us: since(action.decided_at, action.obeyed_at),
    }
}

fn dollars(trillionths: i128) -> String {
    Decimal128Type::format_decimal(trillionths, 38, 12)
}

/// Money by decision, rounded half-even to a trillionth; nothing where there was no decision.
fn per(cost: Option<i128>, decisions: i64) -> Option<i128> {
    let (cost, by) = (cost?, i128::from(decisions));
    if by <= 0 {
        return None;
    }
    let (whole, rest) = (cost.div_euclid(by), cost.rem_euclid(by));
    let up = rest * 2 > by || (rest * 2 == by && whole % 2 != 0);
    Some(whole + i128::from(up))
}

fn instant(micros: Option<i64>) -> Option<String> {
    let instant = DateTime::from_timestamp_micros(micros?)?;
    Some(instant.to_rfc3339_opts(SecondsFormat::Micros, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cost_per_decision_rounds_half_to_even_and_is_nothing_without_decisions() {
        assert_eq!(per(Some(5), 2), Some(2));
        assert_eq!(per(Some(7), 2), Some(4));
        assert_eq!(per(Some(-5), 2), Some(-2));
        assert_eq!(per(Some(2), 3), Some(1));
        assert_eq!(per(Some(2), 0), None);
        assert_eq!(per(None, 3), None);
    }

    #[test]
    fn a_key_is_about_one_agent_and_not_about_its_namesakes() {
        assert!(is_about("agent=triage", "agent=triage"));
        assert!(is_about("agent=triage,model=x", "agent=triage"));
        assert!(!is_about("agent=triage-2", "agent=triage"));
    }

    #[test]
    fn instants_out_of_range_are_left_out() {
        assert_eq!(instant(Some(i64::MAX)), None);
        assert_eq!(
            instant(Some(1)).as_deref(),
            Some("1970-01-01T00:00:00.000001Z")
        );
    }
}
