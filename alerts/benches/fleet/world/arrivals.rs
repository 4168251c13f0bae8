//! When agents begin something, and what a fault makes of it.

use super::super::cast::Trade;
use super::super::dice::Dice;
use super::super::fault::{Kind, Strain, Strained};
use super::super::script::{Do, backlog, cycle, script};
use super::super::shape::{Hours, around, fresh, rhythm, seconds, unrest};
use super::super::{DAY, HOUR, MINUTE, SECOND};
use super::{Run, What, World};

impl World {
    pub(super) fn active(&self, agent: usize, now: i64) -> Option<usize> {
        self.fault_of[agent].filter(|fault| self.faults[*fault].active(now))
    }

    pub(super) fn suffers(&self, agent: usize, now: i64) -> Option<Kind> {
        let fault = self.active(agent, now)?;
        Some(self.faults[fault].nature.kind)
    }

    pub(super) fn strained(&self, now: i64) -> impl Iterator<Item = &Strain> {
        let going = move |strained: &&Strained| (strained.from..strained.until).contains(&now);
        self.strains
            .iter()
            .filter(going)
            .map(|strained| &strained.what)
    }

    pub(super) fn next_arrival(&mut self, agent: usize, now: i64) -> i64 {
        let strained: Vec<f64> = self
            .strained(now)
            .filter_map(|strain| match strain {
                Strain::Launch { agent: who, factor } if *who == agent => Some(*factor),
                Strain::MonthEnd { factor } if self.agents[agent].trade == Trade::Batch => {
                    Some(*factor)
                }
                _ => None,
            })
            .collect();
        let more: f64 = strained.iter().product();
        let start = self.plan.start;
        let who = &mut self.agents[agent];
        let mut dice = Dice(who.seed ^ (now as u64).wrapping_mul(0xd129_42fc_0b1e_5d6b));
        match who.craft.hours {
            Hours::Clockwork => {
                let minutes = if who.rank < 2 { 5 } else { 15 };
                let every = minutes * MINUTE;
                let turn = (now - who.phase).div_euclid(every) + 1;
                turn * every + who.phase + seconds(&mut dice, 2.0, 0.5)
            }
            Hours::Nightly => {
                if self.left[agent] == 0 {
                    let local = now - start + who.zone;
                    let night = (local - 2 * HOUR).div_euclid(DAY) + 1;
                    self.left[agent] = (around(&mut dice, who.rate, 0.4) * more) as u64 + 1;
                    return start + night * DAY + 2 * HOUR - who.zone + who.phase * 60;
                }
                self.left[agent] -= 1;
                now + (dice.exponential() * 6e9 / more.max(1.0)) as i64 + SECOND / 10
            }
            Hours::Office | Hours::Waking => {
                // By thinning: candidates at the highest rate there can be, of which some are taken.
                let top = who.rate * 3.0 * more.max(1.0);
                let mut at = now;
                loop {
                    at += (dice.exponential() * HOUR as f64 / top) as i64 + 1;
                    let busy = rhythm(who.craft.hours, start, at, who.zone)
                        * unrest(who.seed, at, who.craft.unrest)
                        * more.max(1.0);
                    if dice.uniform() * 3.0 * more.max(1.0) < busy {
                        return at;
                    }
                    if at - now > 4 * DAY {
                        return at;
                    }
                }
            }
        }
    }

    pub(super) fn arrive(&mut self, agent: usize, now: i64) {
        let next = self.next_arrival(agent, now);
        self.at(next, What::Arrive(agent));
        self.numbers[agent] += 1;
        let number = self.numbers[agent];
        if self.suffers(agent, now) == Some(Kind::Silence) {
            return;
        }
        let who = &self.agents[agent];
        let mut dice = Dice(who.seed ^ number.wrapping_mul(0xa076_1d64_78bd_642f));
        let planned = script(who, number, &mut dice);
        let mut run = Run {
            agent,
            id: format!("{}:{number}", who.name),
            session: planned.session,
            trace: fresh(&mut dice),
            began: now,
            dice,
            steps: planned.steps,
            endless: None,
            turns: 0,
            taken: 0,
            attempt: 0,
            model: None,
            ending: planned.ending,
        };
        if let Some(fault) = self.active(agent, now) {
            self.afflict(&mut run, fault);
        }
        self.start(run, now);
    }

    /// What a fault makes of an execution that begins.
    pub(super) fn afflict(&self, run: &mut Run, fault: usize) {
        let others = self.runs.iter().flatten();
        let alone = !others.into_iter().any(|other| {
            other.agent == run.agent && other.endless.as_ref().is_some_and(|(f, _)| *f == fault)
        });
        match self.faults[fault].nature.kind {
            Kind::Loop if alone => {
                run.steps.truncate(2);
                run.endless = Some((fault, cycle(&mut run.dice)));
            }
            Kind::Wandering if alone => {
                run.steps.truncate(2);
                run.endless = Some((fault, Vec::new()));
            }
            Kind::RetryStorm if alone => {
                run.steps.truncate(2);
                let storm = Do::Storm {
                    name: "web_search",
                    input: fresh(&mut run.dice),
                };
                run.endless = Some((fault, vec![storm.bad()]));
            }
            Kind::UnknownTool if run.dice.uniform() < 0.5 => {
                let tool = Do::Tool {
                    name: "shell_exec",
                    input: fresh(&mut run.dice),
                    seconds: 0.5,
                };
                let after = Do::Model {
                    context: 3_000,
                    output: 80,
                };
                let rest = run.steps.split_off(1.min(run.steps.len()));
                run.steps.extend([tool.bad(), after.bad()]);
                run.steps.extend(rest);
            }
            Kind::RepromptSurge if run.dice.uniform() < 0.7 => {
                let again = Do::Model {
                    context: 3_000,
                    output: 120,
                };
                run.steps.extend([again.bad(); 25]);
            }
            Kind::EscalationSurge if run.dice.uniform() < 0.7 => run.ending = "escalation",
            _ => {}
        }
    }

    /// A backlog comes in that nobody meant to be worked through.
    pub(super) fn flood(&mut self, fault: usize, now: i64) {
        let (Some(agent), true) = (self.faults[fault].agent, self.faults[fault].active(now)) else {
            return;
        };
        // Seconds from one piece to the next; each costs 40 to 70 cents, by how much the trade caches.
        let every = if self.faults[fault].is(Kind::Spike) {
            1.5
        } else {
            12.0
        };
        let seed = self.agents[agent].seed ^ now as u64;
        let mut dice = Dice(seed);
        self.at(
            now + (dice.exponential() * every * 1e9) as i64,
            What::Flood(fault),
        );
        let steps = backlog(&mut dice);
        let run = Run {
            agent,
            id: format!("{}:backlog-{}", self.agents[agent].name, self.queued),
            session: 0,
            trace: fresh(&mut dice),
            began: now,
            steps,
            dice,
            endless: None,
            turns: 0,
            taken: 0,
            attempt: 0,
            model: Some(3),
            ending: "success",
        };
        self.start(run, now);
    }

    pub(super) fn start(&mut self, run: Run, now: i64) {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.runs.push(None);
                self.runs.len() - 1
            }
        };
        self.runs[slot] = Some(run);
        self.at(now, What::Go(slot));
    }
}
