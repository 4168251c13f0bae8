//! Three days of an agent for each framework, well at first, and then not.

use std::collections::BTreeMap;
use std::sync::Arc;

use flyball_alerts::{Happening, Rehearsal, Rule, Settings};
use flyball_runtime::control::{InForce, Mode, Scope, State, View};
use flyball_store::Origin;
use flyball_store::rows::{AlertRow, ChargeRow, Date, Micros, Row as _};
use rust_decimal::Decimal;

use super::dice::Dice;
use super::recordings::Recording;
use super::{Fault, HOUR, MINUTE, SECOND};

/// Monday, the first of June 2026, midnight UTC.
const START: i64 = 1_780_272_000 * SECOND;
const DAY: i64 = 24 * HOUR;
/// Healthy days.
const WELL: i64 = 2;
/// Executions an hour, at noon; a fifth of that at midnight.
const BUSIEST: f64 = 60.0;
/// Exporters send what they have so often.
const FLUSH: i64 = SECOND;
/// From an order until the agent obeys.
const OBEYS: i64 = SECOND / 4;
/// From a notice or an order until a person has mended it and lifted the order.
const PERSON: i64 = 30 * MINUTE;
/// One agent falls ill after the other: so many at a time are a matter of the cap, and not of the rules.
const APART: i64 = 40 * MINUTE;
/// How long after a fault an alert or an order still belongs to it.
const AFTER: i64 = 20 * MINUTE;

/// What became of the fault of one agent.
#[derive(Debug)]
pub struct Suffering {
    pub framework: String,
    /// What its recording has not, so that the fault cannot be told in it.
    pub lacks: Option<&'static str>,
    pub onset: i64,
    until: i64,
    pub seen: Option<(i64, String)>,
    pub acted: Option<(i64, String)>,
    obeyed: Option<i64>,
    pub before: Decimal,
    pub lost: Decimal,
}

/// Something about an agent that was well.
#[derive(Debug)]
pub struct Wrong {
    pub order: bool,
    pub words: String,
}

/// What it came to.
#[derive(Debug, Default)]
pub struct Came {
    pub charges: u64,
    pub suffered: Vec<Suffering>,
    pub wrong: Vec<Wrong>,
}

struct Life<'a> {
    fault: Fault,
    recordings: &'a [Recording],
    engine: Rehearsal,
    view: View,
    dice: Dice,
    /// What has ended, by when it arrives.
    sent: BTreeMap<i64, Vec<ChargeRow>>,
    made: u64,
    /// Orders in force, and when they are lifted.
    lifts: Vec<(i64, String)>,
    came: Came,
}

/// Lets every framework's agent live, and suffer this one fault.
pub fn live(recordings: &[Recording], rules: &[Rule], fault: Fault, seed: u64) -> Came {
    let mut life = Life {
        fault,
        recordings,
        engine: Rehearsal::new(rules.to_vec(), &Settings::default(), START).in_steps_of(10),
        view: View::default(),
        dice: Dice(seed),
        sent: BTreeMap::new(),
        made: 0,
        lifts: Vec::new(),
        came: Came::default(),
    };
    for (i, recording) in recordings.iter().enumerate() {
        // A price is the model's, and changes for all who use it.
        let apart = if fault == Fault::Price { 0 } else { APART };
        let onset = START + WELL * DAY + 8 * HOUR + i as i64 * apart;
        life.came.suffered.push(Suffering {
            framework: recording.name.clone(),
            lacks: lacks(recording, fault),
            onset,
            until: onset + fault.lasts(),
            seen: None,
            acted: None,
            obeyed: None,
            before: Decimal::ZERO,
            lost: Decimal::ZERO,
        });
    }
    life.run();
    life.came
}

/// A round of what goes wrong: a model call and the tool call after it, or only that.
fn round(recording: &Recording, fault: Fault) -> Option<Vec<ChargeRow>> {
    let rows = recording.executions.iter().find_map(|rows| {
        let tool = rows.iter().position(|row| {
            row.kind == "tool_call" && row.tool_input_hash.is_some() && row.error_type.is_none()
        })?;
        let model = rows[..tool]
            .iter()
            .rposition(|row| row.kind == "model_call")?;
        Some(vec![rows[model].clone(), rows[tool].clone()])
    })?;
    match fault {
        Fault::Loop => Some(rows),
        Fault::RetryStorm => {
            let mut tool = rows[1].clone();
            tool.error_type = Some("timeout".to_owned());
            Some(vec![tool])
        }
        _ => None,
    }
}

fn lacks(recording: &Recording, fault: Fault) -> Option<&'static str> {
    let any = |of: &dyn Fn(&ChargeRow) -> bool| recording.executions.iter().flatten().any(of);
    match fault {
        Fault::Loop | Fault::RetryStorm => round(recording, fault)
            .is_none()
            .then_some("no tool calls with their input"),
        Fault::CacheLoss => (!any(&|row| row.cost_cache_read_usd.is_some_and(|c| !c.is_zero())))
            .then_some("nothing was read from a cache"),
        _ => (!any(&|row| row.cost_usd.is_some_and(|cost| !cost.is_zero())))
            .then_some("no call has a cost"),
    }
}

impl Life<'_> {
    fn run(&mut self) {
        let end = START + (WELL + 2) * DAY;
        // When each agent begins its next execution, and where each loop stands.
        let mut next: Vec<i64> = self.recordings.iter().map(|_| START).collect();
        let mut loops: Vec<Option<i64>> = (0..next.len())
            .map(|i| round(&self.recordings[i], self.fault).map(|_| self.came.suffered[i].onset))
            .collect();
        loop {
            let (who, at) = next
                .iter()
                .copied()
                .enumerate()
                .min_by_key(|(_, at)| *at)
                .unwrap();
            let looping = loops
                .iter()
                .enumerate()
                .filter_map(|(i, at)| Some((i, (*at)?)));
            let looping = looping.min_by_key(|(_, at)| *at);
            let now = looping.map_or(at, |(_, on)| at.min(on));
            self.arrive(now);
            if now >= end {
                break;
            }
            match looping.filter(|(_, on)| *on <= at) {
                Some((i, on)) => loops[i] = self.turn(i, on),
                None => {
                    if !self.stopped(who, "", at) {
                        let which = (self.dice.uniform()
                            * self.recordings[who].executions.len() as f64)
                            as usize;
                        self.begin(who, which, at);
                    }
                    let hour = (at - START).rem_euclid(DAY) as f64 / HOUR as f64;
                    let busy = 0.6 - 0.4 * (hour / 24.0 * std::f64::consts::TAU).cos();
                    next[who] =
                        at + (self.dice.exponential() * HOUR as f64 / (BUSIEST * busy)) as i64 + 1;
                }
            }
        }
    }

    /// A copy of a recorded execution; what it is paid for is sent as its calls end.
    fn begin(&mut self, who: usize, which: usize, now: i64) {
        self.made += 1;
        let id = format!("{}:{}", self.recordings[who].name, self.made);
        let rows = &self.recordings[who].executions[which];
        let first = rows[0].start_unix_nano;
        let session = rows[0].session_id.clone();
        for row in rows.clone() {
            let at = now + row.start_unix_nano - first;
            self.send(who, row, &id, session.as_deref(), at);
        }
    }

    /// A round of a loop. Answers when the next one begins.
    fn turn(&mut self, who: usize, now: i64) -> Option<i64> {
        let id = format!("{}:loop", self.recordings[who].name);
        if now >= self.came.suffered[who].until || self.stopped(who, &id, now) {
            return None;
        }
        let mut at = now;
        for mut row in round(&self.recordings[who], self.fault)? {
            // A provider that is no recording takes longer.
            let long = row.duration_ns.unwrap_or(0).max(SECOND / 2);
            row.duration_ns = Some(long);
            let cost = row.cost_usd.unwrap_or_default();
            self.lose(who, cost, at);
            self.send(who, row, &id, None, at);
            at += long + SECOND / 20;
        }
        Some(at)
    }

    fn send(&mut self, who: usize, mut row: ChargeRow, id: &str, session: Option<&str>, at: i64) {
        self.made += 1;
        let ended = at + row.duration_ns.unwrap_or(0);
        let received = (ended / FLUSH + 1) * FLUSH + SECOND / 4;
        row.charge_id = format!("{:032x}", self.made);
        row.span_id = format!("{:016x}", self.made);
        row.trace_id = format!("{:032x}", self.made);
        row.execution_id = id.to_owned();
        row.task_id = id.to_owned();
        row.agent_name = Some(self.recordings[who].name.clone());
        row.session_id = session.map(|session| format!("{session}/{id}"));
        row.start_unix_nano = at;
        row.start_time = Micros::of_nanos(at);
        row.date = Date::of_nanos(at);
        row.end_time = row.duration_ns.map(|_| Micros::of_nanos(ended));
        row.received_at = Micros::of_nanos(received);
        row.known_at = row.received_at;
        let suffering = &self.came.suffered[who];
        if (suffering.onset..suffering.until).contains(&at) {
            let more = self.fault.bend(&mut row, at - suffering.onset);
            self.lose(who, more, at);
        }
        self.came.charges += 1;
        self.sent.entry(received).or_default().push(row);
    }

    fn lose(&mut self, who: usize, more: Decimal, at: i64) {
        let suffering = &mut self.came.suffered[who];
        suffering.lost += more;
        if suffering.obeyed.is_none_or(|obeyed| at < obeyed) {
            suffering.before += more;
        }
    }

    fn stopped(&self, who: usize, execution: &str, now: i64) -> bool {
        let name = &self.recordings[who].name;
        self.view.entries.iter().any(|entry| {
            let about = match &entry.scope {
                Scope::Agent(agent) => agent == name,
                Scope::Execution(id) => id == execution,
                _ => false,
            };
            about && entry.state == State::Frozen && entry.decided_at_unix_nano + OBEYS <= now
        })
    }

    /// What has been sent by `until` arrives, people come, and time passes.
    fn arrive(&mut self, until: i64) {
        loop {
            let arrives = self.sent.first_key_value().map(|(at, _)| *at);
            let lifted = self.lifts.first().map(|(at, _)| *at);
            let next = arrives.into_iter().chain(lifted).min();
            let Some(at) = next.filter(|at| *at <= until) else {
                return self.pass(until);
            };
            self.pass(at);
            if lifted == Some(at) {
                let (_, id) = self.lifts.remove(0);
                self.view.entries.retain(|entry| entry.action_id != id);
                self.see(at);
            } else if let Some((_, rows)) = self.sent.pop_first() {
                let batch = ChargeRow::batch(&rows).unwrap();
                let happenings = self.engine.charges(Origin::Live, &batch, at).unwrap();
                self.took(happenings, at);
            }
        }
    }

    fn pass(&mut self, until: i64) {
        while let Some((at, happenings)) = self.engine.pass(until) {
            self.took(happenings, at);
        }
    }

    fn see(&mut self, now: i64) {
        self.view.epoch += 1;
        self.engine.in_force(Arc::new(self.view.clone()), now);
    }

    fn took(&mut self, happenings: Vec<Happening>, now: i64) {
        for happening in happenings {
            match happening {
                Happening::Order(order) if order.mode == Mode::Enforce => {
                    let name = match &order.scope {
                        Scope::Agent(name) => name.clone(),
                        Scope::Execution(id) => id.split(':').next().unwrap_or_default().to_owned(),
                        other => other.target().to_owned(),
                    };
                    let rule = order.rule.clone().unwrap_or_default();
                    let what = format!("{} {} by {rule}", order.scope.name(), order.state.name());
                    match self.ill(&name, now) {
                        Some(suffering) => {
                            suffering.acted.get_or_insert((now, what));
                            suffering.obeyed.get_or_insert(now + OBEYS);
                            suffering.until = suffering.until.min(now + PERSON);
                        }
                        None => self.came.wrong.push(Wrong {
                            order: true,
                            words: format!("order on {name}: {what}: {}", order.reason),
                        }),
                    }
                    let action_id = order.action_id.unwrap_or_default();
                    self.view.entries.push(InForce {
                        action_id: action_id.clone(),
                        scope: order.scope,
                        state: order.state,
                        actor: order.actor,
                        reason: order.reason,
                        decided_at_unix_nano: now,
                    });
                    self.lifts.push((now + PERSON, action_id));
                    self.see(now);
                }
                Happening::Alert(row)
                    if row.state == "firing" && row.previous_state != "recovering" =>
                {
                    let (by, key) = row.key.split_once('=').unwrap_or_default();
                    let name = match by {
                        "execution" => key.split(':').next().unwrap_or_default(),
                        _ => key,
                    };
                    self.alerted(by, name, &row, now);
                }
                // Before the first charge the tables are empty, and later they know no more than the stream.
                Happening::Ask { rule, .. } if now < START + MINUTE => {
                    let more = self.engine.answered(&rule, Ok(Vec::new()), now);
                    self.took(more, now);
                }
                _ => {}
            }
        }
    }

    fn alerted(&mut self, by: &str, name: &str, row: &AlertRow, now: i64) {
        let its = self.fault.rules().contains(&row.rule.as_str());
        let concerned: Vec<String> = match by {
            "agent" | "execution" => vec![name.to_owned()],
            "model" if self.fault == Fault::Price => {
                let uses = |recording: &&Recording| {
                    let mut rows = recording.executions.iter().flatten();
                    rows.any(|row| {
                        row.response_model
                            .as_deref()
                            .or(row.request_model.as_deref())
                            == Some(name)
                    })
                };
                self.recordings
                    .iter()
                    .filter(uses)
                    .map(|r| r.name.clone())
                    .collect()
            }
            // What has no agent may be of any.
            _ => return,
        };
        for name in concerned {
            match self.ill(&name, now) {
                Some(suffering) if its => {
                    suffering.seen.get_or_insert((now, row.rule.clone()));
                    suffering.until = suffering.until.min(now + PERSON);
                }
                // With a fault going on, an alert of another rule is neither right nor wrong.
                Some(_) => {}
                None => self.came.wrong.push(Wrong {
                    order: false,
                    words: format!("alert: {}: {}", row.rule, row.summary),
                }),
            }
        }
    }

    fn ill(&mut self, name: &str, now: i64) -> Option<&mut Suffering> {
        let mut all = self.came.suffered.iter_mut();
        all.find(|s| {
            s.framework == name && s.lacks.is_none() && (s.onset..s.until + AFTER).contains(&now)
        })
    }
}
