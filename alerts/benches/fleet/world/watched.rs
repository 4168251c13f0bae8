//! What the engine says to it, what is obeyed, and what people mend.

use std::sync::Arc;

use flyball_alerts::Happening;
use flyball_runtime::control::{InForce, Mode, Order, Scope};
use flyball_store::Origin;
use flyball_store::rows::{AlertRow, ChargeRow, Row as _};

use super::super::cast::Trade;
use super::super::fault::{Fault, Kind, Strain};
use super::super::shape::MODELS;
use super::super::{DAY, MINUTE, SECOND};
use super::{Standing, What, World};

/// From an order until the agent obeys: what the loop promises for its slowest hundredth.
const OBEYS: i64 = SECOND / 4;
/// From a notice, or from an order, until a person has mended what was wrong and lifted what was ordered.
const PERSON: i64 = 30 * MINUTE;
/// How long after a fault an alert or an order still belongs to it: windows have to empty.
const AFTER: i64 = 15 * MINUTE;

impl World {
    pub(super) fn deliver(&mut self, now: i64, rows: &[ChargeRow]) {
        self.pass(now);
        let batch = ChargeRow::batch(rows).unwrap();
        if let Some(engine) = &mut self.engine {
            let happenings = engine.charges(Origin::Live, &batch, now).unwrap();
            self.took(happenings, now);
        }
    }

    pub(super) fn pass(&mut self, until: i64) {
        while let Some(engine) = &mut self.engine
            && let Some((at, happenings)) = engine.pass(until)
        {
            self.took(happenings, at);
        }
    }

    fn took(&mut self, happenings: Vec<Happening>, now: i64) {
        for happening in happenings {
            match happening {
                Happening::Order(order) => self.ordered(*order, now),
                Happening::Alert(row) => self.alerted(&row, now),
                // Before the first charge the tables are empty. Later they know no more than the stream.
                Happening::Ask { rule, .. } => {
                    if now < self.plan.start + MINUTE
                        && let Some(engine) = &mut self.engine
                    {
                        let more = engine.answered(&rule, Ok(Vec::new()), now);
                        self.took(more, now);
                    }
                }
                Happening::Notice(_) => {}
            }
        }
    }

    fn ordered(&mut self, order: Order, now: i64) {
        if order.mode != Mode::Enforce {
            return;
        }
        let agent = match &order.scope {
            Scope::Agent(name) => self.by_name.get(name).copied(),
            Scope::Execution(id) => self.who(id),
            _ => None,
        };
        let rule = order.rule.unwrap_or_default();
        let what = format!("{} by {rule}", order.state.name());
        match agent.and_then(|agent| self.to_blame(agent, now)) {
            Some(fault) => {
                let fault = &mut self.faults[fault];
                fault.acted.get_or_insert((now, what));
                fault.obeyed.get_or_insert(now + OBEYS);
            }
            None => {
                let strain = agent.is_some_and(|agent| self.strains_on(agent, now));
                let who = agent.map_or("nobody known", |agent| self.agents[agent].name.as_str());
                self.report
                    .wrongly(&order.state, who, &what, &order.reason, strain, now);
            }
        }
        let action_id = order.action_id.unwrap_or_default();
        self.view.entries.push(InForce {
            action_id: action_id.clone(),
            scope: order.scope.clone(),
            state: order.state.clone(),
            actor: order.actor,
            reason: order.reason,
            decided_at_unix_nano: now,
        });
        self.standing.push(Standing {
            action_id,
            scope: order.scope,
            agent,
            state: order.state,
            from: now + OBEYS,
        });
        self.see(now);
        self.report.orders += 1;
        self.report
            .lifts
            .push(self.standing.last().unwrap().action_id.clone());
        self.at(now + PERSON, What::Lift(self.report.lifts.len() - 1));
    }

    fn see(&mut self, now: i64) {
        self.view.epoch += 1;
        if let Some(engine) = &mut self.engine {
            engine.in_force(Arc::new(self.view.clone()), now);
        }
    }

    fn alerted(&mut self, row: &AlertRow, now: i64) {
        if row.state != "firing" || row.previous_state == "recovering" {
            return;
        }
        let (by, name) = row.key.split_once('=').unwrap_or((&row.key, ""));
        let concerned: Vec<usize> = match by {
            "agent" => self.by_name.get(name).copied().into_iter().collect(),
            "execution" => self.who(name).into_iter().collect(),
            "model" => self.of_model(name),
            _ => Vec::new(),
        };
        let tells = |fault: &Fault| fault.active(now - AFTER) || fault.active(now);
        let about = (0..self.faults.len()).find(|i| {
            let fault = &self.faults[*i];
            let its = match (fault.agent, fault.model) {
                (Some(agent), _) => concerned.contains(&agent),
                (None, Some(model)) => {
                    name == MODELS[model].name
                        || (by == "agent"
                            && concerned
                                .iter()
                                .any(|a| self.agents[*a].craft.model == model))
                }
                (None, None) => false,
            };
            let begun = fault.is(Kind::Silence) || fault.begun.is_some();
            its && begun && tells(fault)
        });
        if let Some(fault) = about
            && self.faults[fault].nature.rules.contains(&row.rule.as_str())
        {
            if self.faults[fault].seen.is_none() {
                self.faults[fault].seen = Some((now, row.rule.clone()));
                // Only who is told can come.
                if row.mode == "enforce" {
                    self.at(now + PERSON, What::Mend(fault));
                }
            }
            self.report.told(&row.rule, true, false, None);
            return;
        }
        // With a fault going on, an alert of another rule is neither right nor wrong.
        if about.is_some() {
            return self.report.beside(&row.rule);
        }
        let strained = concerned.iter().any(|agent| self.strains_on(*agent, now))
            || (by == "tool"
                && self
                    .strained(now - MINUTE)
                    .any(|s| matches!(s, Strain::Outage { tool } if *tool == name)));
        let summary = format!("{} {}", self.report.clock(now), row.summary);
        self.report.told(&row.rule, false, strained, Some(summary));
    }

    fn who(&self, execution: &str) -> Option<usize> {
        let (name, _) = execution.split_once(':')?;
        self.by_name.get(name).copied()
    }

    fn of_model(&self, name: &str) -> Vec<usize> {
        let uses = |i: &usize| MODELS[self.agents[*i].craft.model].name == name;
        (0..self.agents.len()).filter(uses).collect()
    }

    /// The fault that an order about this agent is due to.
    fn to_blame(&self, agent: usize, now: i64) -> Option<usize> {
        let own = self.fault_of[agent].filter(|i| {
            let fault = &self.faults[*i];
            fault.begun.is_some() && (fault.active(now) || fault.active(now - AFTER))
        });
        let model = self.agents[agent].craft.model;
        own.or_else(|| {
            let of_model = |f: &Fault| f.model == Some(model) && f.active(now) && f.begun.is_some();
            self.faults.iter().position(of_model)
        })
    }

    fn strains_on(&self, agent: usize, now: i64) -> bool {
        let who = &self.agents[agent];
        let new = who.begins > self.plan.start && now - who.begins < DAY;
        new || self
            .strained(now)
            .chain(self.strained(now - AFTER))
            .any(|strain| match strain {
                Strain::Launch { agent: a, .. } | Strain::Release { agent: a, .. } => *a == agent,
                Strain::MonthEnd { .. } => who.trade == Trade::Batch,
                Strain::Outage { .. } => true,
                Strain::Overload { model } => who.craft.model == *model,
            })
    }

    pub(super) fn mend(&mut self, fault: usize, now: i64) {
        let fault = &mut self.faults[fault];
        if fault.active(now) {
            fault.mended = Some(now);
        }
    }

    /// Looks at what was ordered, mends what is wrong, and lifts it.
    pub(super) fn lift(&mut self, lift: usize, now: i64) {
        self.pass(now);
        let action_id = self.report.lifts[lift].clone();
        let Some(at) = self.standing.iter().position(|s| s.action_id == action_id) else {
            return;
        };
        let standing = self.standing.remove(at);
        if let Some(fault) = standing.agent.and_then(|agent| self.active(agent, now)) {
            self.mend(fault, now);
        }
        self.view
            .entries
            .retain(|entry| entry.action_id != action_id);
        self.see(now);
    }
}
