//! Lets time pass: agents work, spans arrive, rules judge, orders are obeyed, people mend.

mod arrivals;
mod calls;
mod watched;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};

use flyball_alerts::{Rehearsal, Rule, Settings};
use flyball_runtime::control::{Scope, State, View};
use flyball_store::rows::ChargeRow;

use super::cast::{Agent, agents};
use super::dice::Dice;
use super::fault::{Fault, Kind, Strained, plant, strains};
use super::report::Report;
use super::script::Step;
use super::{DAY, Plan};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Arrive(usize),
    Go(usize),
    Flood(usize),
    Mend(usize),
    Lift(usize),
}

#[derive(Debug)]
struct Run {
    agent: usize,
    id: String,
    session: u64,
    trace: u64,
    began: i64,
    dice: Dice,
    steps: VecDeque<Step>,
    /// Goes round for as long as this fault lasts.
    endless: Option<(usize, Vec<Step>)>,
    turns: i64,
    taken: u64,
    attempt: u32,
    model: Option<usize>,
    ending: &'static str,
}

/// What control has in force, and from when on agents know.
#[derive(Debug)]
struct Standing {
    action_id: String,
    scope: Scope,
    agent: Option<usize>,
    state: State,
    from: i64,
}

pub(super) struct World {
    plan: Plan,
    agents: Vec<Agent>,
    by_name: HashMap<String, usize>,
    faults: Vec<Fault>,
    fault_of: Vec<Option<usize>>,
    strains: Vec<Strained>,
    engine: Option<Rehearsal>,
    view: View,
    standing: Vec<Standing>,
    /// Until when the next model call of a throttled agent has to wait.
    paced: Vec<i64>,
    /// What each agent has spent on a day (of UTC), picodollars.
    today: Vec<(i64, i64)>,
    queue: BinaryHeap<Reverse<(i64, u64, What)>>,
    queued: u64,
    runs: Vec<Option<Run>>,
    free: Vec<usize>,
    numbers: Vec<u64>,
    /// Of those who work at night, how much is left.
    left: Vec<u64>,
    sent: BTreeMap<i64, Vec<ChargeRow>>,
    report: Report,
}

impl World {
    pub(super) fn new(plan: &Plan, rules: Vec<Rule>) -> Self {
        let agents = agents(plan);
        let faults = plant(plan, &agents);
        let mut fault_of = vec![None; agents.len()];
        for (i, fault) in faults.iter().enumerate() {
            if let Some(agent) = fault.agent {
                fault_of[agent] = Some(i);
            }
        }
        let names = agents.iter().enumerate();
        let engine = plan.closed.then(|| {
            Rehearsal::new(rules, &Settings::default(), plan.start).in_steps_of(plan.step)
        });
        Self {
            by_name: names.map(|(i, agent)| (agent.name.clone(), i)).collect(),
            strains: strains(plan, &agents),
            engine,
            view: View::default(),
            standing: Vec::new(),
            paced: vec![0; agents.len()],
            today: vec![(0, 0); agents.len()],
            queue: BinaryHeap::new(),
            queued: 0,
            runs: Vec::new(),
            free: Vec::new(),
            numbers: vec![0; agents.len()],
            left: vec![0; agents.len()],
            sent: BTreeMap::new(),
            report: Report::new(plan),
            plan: plan.clone(),
            agents,
            faults,
            fault_of,
        }
    }

    pub(super) fn run(mut self) -> Report {
        let end = self.plan.start + self.plan.days * DAY;
        for agent in 0..self.agents.len() {
            let begins = self.agents[agent].begins;
            let first = self.next_arrival(agent, begins);
            self.at(first, What::Arrive(agent));
        }
        for fault in 0..self.faults.len() {
            if matches!(self.faults[fault].nature.kind, Kind::Spike | Kind::Overrun) {
                self.at(self.faults[fault].planned, What::Flood(fault));
            }
        }
        loop {
            let next = self.queue.peek().map_or(end, |Reverse((at, ..))| *at);
            let arrives = self.sent.first_key_value().map_or(end, |(at, _)| *at);
            if next.min(arrives) >= end {
                break;
            }
            if arrives <= next {
                if let Some((at, rows)) = self.sent.pop_first() {
                    self.deliver(at, &rows);
                }
            } else if let Some(Reverse((at, _, what))) = self.queue.pop() {
                self.happen(at, what);
            }
        }
        self.pass(end);
        self.end()
    }

    fn end(mut self) -> Report {
        for fault in &mut self.faults {
            // Who says nothing has begun to when it would have spoken.
            if fault.is(Kind::Silence) {
                fault.begun = Some(fault.planned);
            }
        }
        self.report.agents = self.agents.len();
        self.report.faulty = self.fault_of.iter().flatten().count();
        self.report.faults = self.faults;
        self.report
    }

    fn at(&mut self, at: i64, what: What) {
        self.queued += 1;
        self.queue.push(Reverse((at, self.queued, what)));
    }

    fn happen(&mut self, now: i64, what: What) {
        match what {
            What::Arrive(agent) => self.arrive(agent, now),
            What::Go(run) => self.go(run, now),
            What::Flood(fault) => self.flood(fault, now),
            What::Mend(fault) => self.mend(fault, now),
            What::Lift(standing) => self.lift(standing, now),
        }
    }
}
