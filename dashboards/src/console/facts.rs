//! The figures behind the console: what is asked in SQL, and what comes back.

use super::FleetData;
use super::cells::Cells;
use crate::{Error, Result};

/// Over how much time calls and costs are summed, back from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Window {
    /// One hour.
    Hour,
    /// 24 hours.
    #[default]
    Day,
    /// Seven days.
    Week,
    /// Everything there is.
    All,
}

impl Window {
    pub(super) const ALL: [Self; 4] = [Self::Hour, Self::Day, Self::Week, Self::All];
    const ACCEPTED: &'static str = "1h, 24h, 7d, all";

    /// The word in `?window=`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Hour => "1h",
            Self::Day => "24h",
            Self::Week => "7d",
            Self::All => "all",
        }
    }

    /// Where it begins, in nanoseconds since 1970.
    pub(super) fn since(self, now: i64) -> Option<i64> {
        const HOUR: i64 = 3_600_000_000_000;
        match self {
            Self::Hour => Some(now.saturating_sub(HOUR)),
            Self::Day => Some(now.saturating_sub(24 * HOUR)),
            Self::Week => Some(now.saturating_sub(7 * 24 * HOUR)),
            Self::All => None,
        }
    }

    /// The `window` of a URL's query; a day when it says nothing.
    pub(super) fn of_query(query: &str) -> Result<Self> {
        let asked = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("window="));
        let Some(word) = asked else {
            return Ok(Self::default());
        };
        Self::ALL
            .into_iter()
            .find(|window| window.word() == word)
            .ok_or_else(|| Error::UnknownWindow {
                value: word.to_owned(),
                accepted: Self::ACCEPTED,
            })
    }
}

/// What one agent did in the window. Money in trillionths of a dollar.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Agent {
    pub(super) name: Option<String>,
    pub(super) executions: i64,
    pub(super) decisions: i64,
    pub(super) calls: i64,
    pub(super) unpriced_calls: i64,
    pub(super) cost: Option<i128>,
    /// Microseconds since 1970.
    pub(super) last_seen: Option<i64>,
}

/// One alert as it stands. Times in microseconds since 1970.
#[derive(Debug, Clone)]
pub(super) struct Alert {
    pub(super) at: Option<i64>,
    pub(super) rule: String,
    pub(super) key: String,
    pub(super) state: String,
    pub(super) severity: String,
    pub(super) mode: String,
    pub(super) value: Option<f64>,
    pub(super) threshold: Option<f64>,
    pub(super) summary: String,
}

/// One action with its measured times. Times in microseconds since 1970.
#[derive(Debug, Clone)]
pub(super) struct Action {
    pub(super) action_id: String,
    pub(super) state: String,
    pub(super) scope: String,
    pub(super) target: String,
    pub(super) actor: String,
    pub(super) reason: String,
    pub(super) mode: String,
    pub(super) cause_ended_at: Option<i64>,
    pub(super) cause_received_at: Option<i64>,
    pub(super) decided_at: Option<i64>,
    pub(super) obeyed_at: Option<i64>,
    pub(super) released_at: Option<i64>,
}

/// Spend of one agent in one minute: minutes since 1970, trillionths of a dollar.
#[derive(Debug, Clone)]
pub(super) struct Spend {
    pub(super) agent: Option<String>,
    pub(super) minute: i64,
    pub(super) cost: i128,
}

/// All figures of one moment. What could not be read is empty, and said in `errors`.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    /// Nanoseconds since 1970.
    pub(super) asked_at: i64,
    pub(super) agents: Vec<Agent>,
    pub(super) spend: Vec<Spend>,
    pub(super) alerts: Vec<Alert>,
    pub(super) actions: Vec<Action>,
    pub(super) errors: Vec<String>,
}

/// How many minutes of spend are shown.
pub(super) const SPEND_MINUTES: i64 = 30;

/// Alerts and actions asked for: more than are shown, since an agent's last alert is looked for among them.
const RECENT: usize = 500;

impl Facts {
    pub(super) async fn ask(data: &dyn FleetData, window: Window, now: i64) -> Self {
        let (agents_sql, spend_sql) = (agents_sql(window, now), spend_sql(now));
        let (alerts_sql, actions_sql) = (alerts_sql(), actions_sql());
        let (agents, spend, alerts, actions) = tokio::join!(
            data.query(&agents_sql),
            data.query(&spend_sql),
            data.query(&alerts_sql),
            data.query(&actions_sql),
        );
        let mut errors = Vec::new();
        Self {
            asked_at: now,
            agents: rows("charges", agents, agents_of, &mut errors),
            spend: rows("charges", spend, spend_of, &mut errors),
            alerts: rows("alerts", alerts, alerts_of, &mut errors),
            actions: rows("actions", actions, actions_of, &mut errors),
            errors,
        }
    }
}

fn rows<T>(
    what: &'static str,
    answer: std::result::Result<Vec<arrow::array::RecordBatch>, String>,
    read: fn(&Cells<'_>) -> Result<Vec<T>>,
    errors: &mut Vec<String>,
) -> Vec<T> {
    let rows = answer
        .map_err(|reason| Error::Query { what, reason })
        .and_then(|batches| read(&Cells(&batches)));
    rows.unwrap_or_else(|error| {
        errors.push(error.to_string());
        Vec::new()
    })
}

fn agents_sql(window: Window, now: i64) -> String {
    let mut sql = "SELECT agent_name, \
         sum(CASE WHEN kind = 'execution' THEN calls ELSE 0 END) AS executions, \
         sum(decisions) AS decisions, \
         sum(CASE WHEN kind IN ('model_call', 'embedding', 'rerank') THEN calls ELSE 0 END) AS calls, \
         sum(CASE WHEN kind IN ('model_call', 'embedding', 'rerank') AND cost_usd IS NULL THEN calls ELSE 0 END) \
         AS unpriced_calls, \
         sum(cost_usd) AS cost_usd, max(received_at) AS last_seen FROM charges"
        .to_owned();
    if let Some(since) = window.since(now) {
        sql.push_str(&format!(" WHERE start_unix_nano >= {since}"));
    }
    sql.push_str(" GROUP BY agent_name");
    sql
}

fn spend_sql(now: i64) -> String {
    const MINUTE: i64 = 60_000_000_000;
    let since = (now.div_euclid(MINUTE) - SPEND_MINUTES + 1).saturating_mul(MINUTE);
    format!(
        "SELECT agent_name, start_unix_nano / {MINUTE} AS minute, sum(cost_usd) AS cost_usd \
         FROM charges WHERE start_unix_nano >= {since} AND cost_usd IS NOT NULL GROUP BY 1, 2"
    )
}

fn alerts_sql() -> String {
    format!(
        "SELECT at, rule, key, state, severity, mode, value, threshold, summary FROM \
         (SELECT *, row_number() OVER (PARTITION BY alert_id ORDER BY at DESC, log_position DESC) AS age FROM alerts) \
         WHERE age = 1 ORDER BY at DESC LIMIT {RECENT}"
    )
}

fn actions_sql() -> String {
    format!(
        "SELECT action_id, state, scope, target, actor, reason, mode, cause_ended_at, cause_received_at, \
         decided_at, obeyed_at, released_at FROM actions ORDER BY decided_at DESC LIMIT {RECENT}"
    )
}

fn agents_of(cells: &Cells<'_>) -> Result<Vec<Agent>> {
    let (names, last_seen) = (cells.text("agent_name")?, cells.instant("last_seen")?);
    let (executions, decisions) = (cells.whole("executions")?, cells.whole("decisions")?);
    let (calls, unpriced) = (cells.whole("calls")?, cells.whole("unpriced_calls")?);
    let cost = cells.money("cost_usd")?;
    let agents = names.into_iter().enumerate().map(|(row, name)| Agent {
        name,
        executions: executions[row].unwrap_or(0),
        decisions: decisions[row].unwrap_or(0),
        calls: calls[row].unwrap_or(0),
        unpriced_calls: unpriced[row].unwrap_or(0),
        cost: cost[row],
        last_seen: last_seen[row],
    });
    Ok(agents.collect())
}

fn spend_of(cells: &Cells<'_>) -> Result<Vec<Spend>> {
    let (minutes, cost) = (cells.whole("minute")?, cells.money("cost_usd")?);
    let spend = cells
        .text("agent_name")?
        .into_iter()
        .enumerate()
        .filter_map(|(row, agent)| {
            Some(Spend {
                agent,
                minute: minutes[row]?,
                cost: cost[row]?,
            })
        });
    Ok(spend.collect())
}

fn alerts_of(cells: &Cells<'_>) -> Result<Vec<Alert>> {
    let rule = cells.word("rule")?;
    let key = cells.word("key")?;
    let state = cells.word("state")?;
    let severity = cells.word("severity")?;
    let mode = cells.word("mode")?;
    let summary = cells.word("summary")?;
    let (at, value, threshold) = (
        cells.instant("at")?,
        cells.number("value")?,
        cells.number("threshold")?,
    );
    let alerts = (0..cells.rows()).map(|row| Alert {
        at: at[row],
        rule: rule[row].clone(),
        key: key[row].clone(),
        state: state[row].clone(),
        severity: severity[row].clone(),
        mode: mode[row].clone(),
        value: value[row],
        threshold: threshold[row],
        summary: summary[row].clone(),
    });
    Ok(alerts.collect())
}

fn actions_of(cells: &Cells<'_>) -> Result<Vec<Action>> {
    let action_id = cells.word("action_id")?;
    let state = cells.word("state")?;
    let scope = cells.word("scope")?;
    let target = cells.word("target")?;
    let actor = cells.word("actor")?;
    let reason = cells.word("reason")?;
    let mode = cells.word("mode")?;
    let (ended, received) = (
        cells.instant("cause_ended_at")?,
        cells.instant("cause_received_at")?,
    );
    let (decided, obeyed) = (cells.instant("decided_at")?, cells.instant("obeyed_at")?);
    let released = cells.instant("released_at")?;
    let actions = (0..cells.rows()).map(|row| Action {
        action_id: action_id[row].clone(),
        state: state[row].clone(),
        scope: scope[row].clone(),
        target: target[row].clone(),
        actor: actor[row].clone(),
        reason: reason[row].clone(),
        mode: mode[row].clone(),
        cause_ended_at: ended[row],
        cause_received_at: received[row],
        decided_at: decided[row],
        obeyed_at: obeyed[row],
        released_at: released[row],
    });
    Ok(actions.collect())
}
