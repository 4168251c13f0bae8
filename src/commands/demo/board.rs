//! What the demo shows: the journal and the actions, added up as they are entered.

use std::collections::BTreeMap;

use chrono::DateTime;
use flyball_store::rows::{ActionRow, AlertRow, ChargeRow, Row as _};
use flyball_store::{Event, Table};
use rust_decimal::Decimal;

/// What is known of one agent.
#[derive(Debug, Default, Clone)]
struct Agent {
    calls: i64,
    decisions: i64,
    tool_calls: i64,
    cost: Decimal,
    /// Cost by second of receipt, for the rate at which it was spending.
    spent: BTreeMap<i64, Decimal>,
    state: Option<String>,
}

/// The fleet as the demo has seen it.
#[derive(Debug, Default)]
pub(super) struct Board {
    agents: BTreeMap<String, Agent>,
    /// The freeze, once it was obeyed.
    pub freeze: Option<ActionRow>,
    decided: BTreeMap<String, ActionRow>,
}

impl Board {
    /// Takes in an event; gives back the lines worth printing at once.
    pub(super) fn take(&mut self, event: &Event) -> Vec<String> {
        match event {
            Event::Charges { batch, .. } => {
                for row in &ChargeRow::read(batch).unwrap_or_default() {
                    self.charge(row);
                }
                Vec::new()
            }
            Event::Rows {
                table: Table::Alerts,
                batch,
                ..
            } => AlertRow::read(batch)
                .unwrap_or_default()
                .iter()
                .map(alert_line)
                .collect(),
            Event::Rows {
                table: Table::Actions,
                batch,
                ..
            } => {
                let rows = ActionRow::read(batch).unwrap_or_default();
                rows.into_iter()
                    .filter_map(|row| self.action(row))
                    .collect()
            }
            Event::Rows { .. } => Vec::new(),
        }
    }

    fn charge(&mut self, row: &ChargeRow) {
        let Some(name) = &row.agent_name else { return };
        let agent = self.agents.entry(name.clone()).or_default();
        match row.kind.as_str() {
            "model_call" => agent.calls += row.calls,
            "tool_call" => agent.tool_calls += row.calls,
            _ => {}
        }
        agent.decisions += row.decisions;
        if let Some(cost) = row.cost_usd {
            agent.cost += cost;
            *agent
                .spent
                .entry(row.received_at.0.div_euclid(1_000_000))
                .or_default() += cost;
        }
    }

    fn action(&mut self, row: ActionRow) -> Option<String> {
        match row.event.as_str() {
            "decided" if row.mode == "enforce" => {
                if row.scope == "agent" {
                    self.agents.entry(row.target.clone()).or_default().state =
                        Some(row.state.clone());
                }
                let line = format!(
                    "ACTION  {} {} is {}: {}",
                    row.scope, row.target, row.state, row.reason
                );
                self.decided.insert(row.action_id.clone(), row);
                Some(line)
            }
            "obeyed" => {
                let decided = self.decided.get(&row.action_id)?.clone();
                let line = format!("OBEYED  {} has stopped", decided.target);
                if decided.state == "frozen" {
                    self.freeze = Some(ActionRow {
                        obeyed_at: row.obeyed_at,
                        obeyed_by: row.obeyed_by,
                        ..decided
                    });
                }
                Some(line)
            }
            _ => None,
        }
    }

    /// Cost per decision by agent.
    #[must_use]
    pub(super) fn table(&self) -> String {
        let mut table = comfy_table::Table::new();
        table
            .load_preset(comfy_table::presets::NOTHING)
            .set_header([
                "agent",
                "state",
                "model calls",
                "tool calls",
                "decisions",
                "cost USD",
                "cost per decision USD",
            ]);
        for (name, agent) in &self.agents {
            let per_decision = (agent.decisions > 0)
                .then(|| (agent.cost / Decimal::from(agent.decisions)).round_dp(6));
            table.add_row([
                name.clone(),
                agent.state.clone().unwrap_or_else(|| "running".to_owned()),
                agent.calls.to_string(),
                agent.tool_calls.to_string(),
                agent.decisions.to_string(),
                agent.cost.round_dp(6).to_string(),
                per_decision.map_or_else(|| "-".to_owned(), |cost| cost.to_string()),
            ]);
        }
        for column in table.column_iter_mut().skip(2) {
            column.set_cell_alignment(comfy_table::CellAlignment::Right);
        }
        table.to_string()
    }

    /// The freeze in figures: how long each leg took, and what the agent would have gone on to cost.
    #[must_use]
    pub(super) fn verdict(&self) -> Vec<String> {
        let Some(freeze) = &self.freeze else {
            return vec!["no agent was frozen".to_owned()];
        };
        let ended = freeze.cause_ended_at.map_or(0, |t| t.0);
        let since = |at: Option<i64>| {
            at.map_or_else(
                || "?".to_owned(),
                |at| format!("{:.1} ms", (at - ended) as f64 / 1e3),
            )
        };
        let mut lines = vec![
            format!(
                "from the end of the causing span (trace {}, span {}):",
                freeze.cause_trace_id.as_deref().unwrap_or("?"),
                freeze.cause_span_id.as_deref().unwrap_or("?")
            ),
            format!(
                "  received {}  decided {}  obeyed {}",
                since(freeze.cause_received_at.map(|t| t.0)),
                since(freeze.decided_at.map(|t| t.0)),
                since(freeze.obeyed_at.map(|t| t.0))
            ),
        ];
        if let Some(agent) = self.agents.get(&freeze.target) {
            let hourly = per_hour(&agent.spent);
            lines.push(format!(
                "{} cost {} USD in all; at the rate of its last seconds it would have cost {} USD an hour, {} USD until tomorrow's bill",
                freeze.target, agent.cost.round_dp(4), hourly.round_dp(2), (hourly * Decimal::from(24)).round_dp(2),
            ));
        }
        lines
    }
}

/// Dollars an hour at the rate of the last whole seconds, five at the most.
fn per_hour(spent: &BTreeMap<i64, Decimal>) -> Decimal {
    // The newest second is cut short by the freeze itself, so it is left out when there are others.
    let seconds: Vec<_> = spent
        .values()
        .rev()
        .skip(usize::from(spent.len() > 1))
        .take(5)
        .copied()
        .collect();
    let count = Decimal::from(seconds.len().max(1));
    seconds.into_iter().sum::<Decimal>() / count * Decimal::from(3600)
}

fn alert_line(row: &AlertRow) -> String {
    let at =
        DateTime::from_timestamp_micros(row.at.0).map(|t| t.format("%H:%M:%S%.3f").to_string());
    format!(
        "ALERT   {} {} -> {} ({}, {}) at {}: {}",
        row.rule,
        row.previous_state,
        row.state,
        row.severity,
        row.mode,
        at.unwrap_or_default(),
        row.summary
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_leaves_out_the_second_that_was_cut_short() {
        let spent = BTreeMap::from([
            (1, Decimal::from(2)),
            (2, Decimal::from(4)),
            (3, Decimal::new(1, 3)),
        ]);
        assert_eq!(per_hour(&spent), Decimal::from(3 * 3600));
        assert_eq!(
            per_hour(&BTreeMap::from([(1, Decimal::ONE)])),
            Decimal::from(3600)
        );
        assert_eq!(per_hour(&BTreeMap::new()), Decimal::ZERO);
    }
}
