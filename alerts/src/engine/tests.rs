#![allow(clippy::unwrap_used)]
//! The core, driven by hand-made journal entries and a clock of our own.

mod absence;
mod action;
mod budget;
mod composite;
mod conflicts;
mod counts;
mod detector;
mod executions;
mod healthy;
mod lives;
mod loops;
mod lost;
mod marked;
mod measure;
mod objective;
mod overrun;
mod query;
mod rungs;
mod standing;
mod tools;
mod trusted;

use std::sync::Arc;

use flyball_runtime::control::{InForce, Mode, Order, Scope, State as Control, View};
use flyball_store::Origin;
use flyball_store::rows::{AlertRow, ChargeRow, Micros, Row as _};
use rust_decimal::Decimal;

use super::core::Core;
use super::{Effect, Settings};
use crate::fact::EntryViews;
use crate::notify::Notice;
use crate::rule::{SECOND, parse};

/// Second 0 of every test.
const START: i64 = 1_800_000_000 * SECOND;

const SPEND: &str = "\
rules:
  - name: spend
    key: agent
    mode: enforce
    when:
      spend_rate: { at_least: 5.00, window: 10s }
    recover_below: 2
    keep_firing_for: 30s
    cool_down: 1m
    action: freeze
";

const LOOP: &str = "\
rules:
  - name: loop
    key: execution
    mode: enforce
    when:
      repeated_tool_calls: { at_least: 4, window: 30s }
    cool_down: 1m
    action: freeze
    scope: agent
";

fn entries(rows: &[ChargeRow]) -> EntryViews {
    EntryViews::of(&ChargeRow::batch(rows).unwrap()).unwrap()
}

/// A core and all that came out of it.
struct Bench {
    core: Core,
    now: i64,
    orders: Vec<Order>,
    alerts: Vec<AlertRow>,
    notices: Vec<Notice>,
    asked: Vec<String>,
    /// What was asked in SQL and not answered yet.
    queries: Vec<(String, String)>,
    view: View,
    made: u64,
}

impl Bench {
    fn new(rules: &str) -> Self {
        Self::with(rules, Settings::default())
    }

    fn with(rules: &str, settings: Settings) -> Self {
        let mut core = Core::new(parse("test.yaml", rules).unwrap(), &settings, START);
        let effects = core.warmed(START);
        let mut bench = Self {
            core,
            now: START,
            orders: Vec::new(),
            alerts: Vec::new(),
            notices: Vec::new(),
            asked: Vec::new(),
            queries: Vec::new(),
            view: View::default(),
            made: 0,
        };
        bench.take(effects);
        bench
    }

    /// Saves, begins again with the same rules, and goes on.
    fn restart(&mut self, rules: &str) {
        let saved = serde_json::to_string(&self.core.save(self.now)).unwrap();
        self.core = Core::new(
            parse("test.yaml", rules).unwrap(),
            &Settings::default(),
            self.now,
        );
        self.core.restore(
            serde_json::from_str(&saved).unwrap(),
            Arc::new(self.view.clone()),
            self.now,
        );
    }

    fn take(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Order { order, .. } => self.orders.push(*order),
                Effect::Alert(row) => self.alerts.push(*row),
                Effect::Notice { notice, .. } => self.notices.push(*notice),
                Effect::Ask { rule, sql, .. } => {
                    self.asked.push(rule.clone());
                    self.queries.push((rule, sql));
                }
            }
        }
    }

    /// Goes on by so many seconds, ticking as the engine does.
    fn pass(&mut self, seconds: i64) {
        for _ in 0..seconds {
            self.now += SECOND;
            let effects = self.core.tick(self.now);
            self.take(effects);
        }
    }

    fn post(&mut self, origin: Origin, rows: &[ChargeRow]) {
        let entries = entries(rows);
        let effects = self.core.charges(origin, &entries, self.now);
        self.take(effects);
    }

    fn live(&mut self, rows: &[ChargeRow]) {
        self.post(Origin::Live, rows);
    }

    /// A call that ended just now and was received at once.
    fn call(&mut self, kind: &str, agent: &str) -> ChargeRow {
        self.made += 1;
        ChargeRow {
            charge_id: format!("charge-{}", self.made),
            entry: "charge".into(),
            kind: kind.into(),
            calls: 1,
            trace_id: format!("{:032x}", 7),
            span_id: format!("{:016x}", self.made),
            agent_name: Some(agent.into()),
            execution_id: format!("run-of-{agent}"),
            start_unix_nano: self.now - SECOND,
            duration_ns: Some(SECOND),
            received_at: Micros::of_nanos(self.now),
            ..ChargeRow::default()
        }
    }

    fn model(&mut self, agent: &str, cents: i64) -> ChargeRow {
        ChargeRow {
            cost_usd: Some(Decimal::new(cents, 2)),
            ..self.call("model_call", agent)
        }
    }

    fn tool(&mut self, agent: &str, input: &str) -> ChargeRow {
        ChargeRow {
            tool_name: Some("search".into()),
            tool_input_hash: Some(input.into()),
            ..self.call("tool_call", agent)
        }
    }

    /// Answers what was asked for sums of history, as the tables would that hold these entries.
    fn tables_answer(&mut self, journal: &[ChargeRow]) {
        for (rule, sql) in std::mem::take(&mut self.queries) {
            let answer = vec![budget::sums(&sql, journal)];
            let effects = self.core.answered(&rule, Ok(answer), self.now);
            self.take(effects);
        }
    }

    /// The value of a key of the first rule, as its status shows it.
    fn value(&self, key: &str) -> Option<String> {
        let status = self.core.status();
        let key = status.rules[0].keys.iter().find(|k| k.key == key)?;
        key.value.clone()
    }

    /// Control has carried out what was ordered.
    fn obey(&mut self) {
        for order in &self.orders {
            let there = self
                .view
                .entries
                .iter()
                .any(|entry| Some(&entry.action_id) == order.action_id.as_ref());
            if order.mode == Mode::Enforce && !there {
                self.view.entries.push(InForce {
                    action_id: order.action_id.clone().unwrap(),
                    scope: order.scope.clone(),
                    state: order.state.clone(),
                    actor: order.actor.clone(),
                    reason: order.reason.clone(),
                    decided_at_unix_nano: self.now,
                });
            }
        }
        self.see();
    }

    /// A person releases a scope.
    fn release(&mut self, scope: &Scope) {
        self.view.entries.retain(|entry| entry.scope != *scope);
        self.see();
    }

    fn see(&mut self) {
        self.view.epoch += 1;
        self.core.viewed(Arc::new(self.view.clone()), self.now);
    }

    fn states(&self) -> Vec<&str> {
        self.alerts.iter().map(|row| row.state.as_str()).collect()
    }

    fn frozen(&self) -> Vec<&Scope> {
        let frozen = self
            .orders
            .iter()
            .filter(|o| o.mode == Mode::Enforce && o.state == Control::Frozen);
        frozen.map(|order| &order.scope).collect()
    }
}

/// The entry that takes a charge back.
fn reversal(charge: &ChargeRow) -> ChargeRow {
    ChargeRow {
        entry: "reversal".into(),
        calls: -charge.calls,
        cost_usd: charge.cost_usd.map(|cost| -cost),
        ..charge.clone()
    }
}

fn agent(name: &str) -> Scope {
    Scope::Agent(name.into())
}
