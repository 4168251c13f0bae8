//! What an execution does when it goes on: it asks whether it may, makes a call, and the call is paid for.

use flyball_runtime::control::{Scope, State};
use flyball_store::rows::{ChargeRow, Date, Micros};
use rust_decimal::Decimal;

use super::super::fault::{BUDGET, Kind, Strain};
use super::super::script::{Do, Step, backoff, wandering};
use super::super::shape::{FALLBACK, MODELS, seconds};
use super::super::{DAY, HOUR, MINUTE, SECOND};
use super::{Run, What, World};

/// A search of the web costs a cent: 10 US dollars a thousand, as providers have it.
const SEARCH: i64 = 10_000_000_000;
/// Calls that are tried again before an agent goes on without.
const TRIES: u32 = 4;

enum Gate {
    Go,
    Later(i64),
    Stop,
}

impl World {
    /// The next step of an execution.
    pub(super) fn go(&mut self, slot: usize, now: i64) {
        let Some(mut run) = self.runs[slot].take() else {
            return;
        };
        if run.steps.is_empty()
            && let Some((fault, round)) = &run.endless
            && self.faults[*fault].active(now)
        {
            run.turns += 1;
            if round.is_empty() {
                run.steps.extend(wandering(&mut run.dice, run.turns));
            } else {
                run.steps.extend(round.iter().copied());
            }
        }
        let Some(step) = run.steps.pop_front() else {
            return self.finish(slot, &run, run.ending, now);
        };
        // What was mended is not gone on with.
        if step.bad && self.active(run.agent, now).is_none() {
            return self.finish(slot, &run, "abort", now);
        }
        match self.gate(run.agent, &run.id, step.act, now) {
            Gate::Stop => {
                self.report.stopped += 1;
                self.finish(slot, &run, "abort", now);
            }
            Gate::Later(at) => {
                run.steps.push_front(step);
                self.runs[slot] = Some(run);
                self.at(at, What::Go(slot));
            }
            Gate::Go => {
                let next = self.take(&mut run, step, now);
                self.runs[slot] = Some(run);
                self.at(next, What::Go(slot));
            }
        }
    }

    fn gate(&mut self, agent: usize, execution: &str, act: Do, now: i64) -> Gate {
        for standing in self.standing.iter().filter(|standing| standing.from <= now) {
            let about = match &standing.scope {
                Scope::Execution(id) => id == execution,
                Scope::Agent(_) => standing.agent == Some(agent),
                _ => false,
            };
            match standing.state {
                _ if !about => {}
                State::Frozen => return Gate::Stop,
                State::Throttled { calls_per_minute } if matches!(act, Do::Model { .. }) => {
                    if self.paced[agent] > now {
                        return Gate::Later(self.paced[agent]);
                    }
                    self.paced[agent] = now + MINUTE / i64::from(calls_per_minute);
                }
                _ => {}
            }
        }
        Gate::Go
    }

    /// Makes a call. Answers when the next step may begin.
    fn take(&mut self, run: &mut Run, step: Step, now: i64) -> i64 {
        run.taken += 1;
        let mut row = self.row(run, now);
        match step.act {
            Do::Pause(long) => now + long,
            Do::Model { context, output } => {
                let overload = self.strained(now).any(|strain| {
                    matches!(strain, Strain::Overload { model }
                        if *model == self.agents[run.agent].craft.model)
                });
                let refused = run.dice.uniform() < if overload { 0.4 } else { 0.005 };
                row.kind = "model_call".to_owned();
                row.calls = 1;
                if refused && run.attempt < TRIES {
                    row.request_model =
                        Some(MODELS[self.agents[run.agent].craft.model].name.to_owned());
                    row.error_type = Some("rate_limit".to_owned());
                    row.usage = Some("unknown".to_owned());
                    let ends = now + seconds(&mut run.dice, 0.15, 0.3);
                    self.send(run.agent, row, now, ends);
                    run.steps.push_front(step);
                    run.attempt += 1;
                    return ends + backoff(run.attempt);
                }
                run.attempt = 0;
                let (usual, spent) = self.spend(&mut row, run, context, output, now);
                let excess = if step.bad { spent } else { spent - usual };
                self.charge(
                    run.agent,
                    row.request_model.as_deref(),
                    step.bad,
                    excess,
                    now,
                );
                self.report.shape(self.agents[run.agent].trade, spent, now);
                let ends = now + seconds(&mut run.dice, 0.5 + output as f64 / 90.0, 0.35);
                self.send(run.agent, row, now, ends);
                ends + seconds(&mut run.dice, 0.05, 0.5)
            }
            Do::Tool {
                name,
                input,
                seconds: typical,
            } => {
                let down = self
                    .strained(now)
                    .any(|strain| matches!(strain, Strain::Outage { tool } if *tool == name));
                let flaky = if run.attempt == 0 { 0.02 } else { 0.3 };
                let fails = down || (!step.bad && run.dice.uniform() < flaky);
                let ends = now + seconds(&mut run.dice, typical, 0.5);
                self.call(run, row, name, input, fails, step.bad, (now, ends));
                if fails && run.attempt < TRIES {
                    run.steps.push_front(step);
                    run.attempt += 1;
                    return ends + backoff(run.attempt);
                }
                run.attempt = 0;
                ends + SECOND / 20
            }
            Do::Storm { name, input } => {
                let ends = now + seconds(&mut run.dice, 0.8, 0.4);
                self.call(run, row, name, input, true, true, (now, ends));
                ends + SECOND / 5
            }
        }
    }

    #[allow(clippy::too_many_arguments, reason = "one call, told once")]
    fn call(
        &mut self,
        run: &Run,
        mut row: ChargeRow,
        name: &str,
        input: u64,
        fails: bool,
        bad: bool,
        (now, ends): (i64, i64),
    ) {
        row.kind = "tool_call".to_owned();
        row.calls = 1;
        row.tool_name = Some(name.to_owned());
        row.tool_input_hash = Some(format!("{input:016x}"));
        row.error_type = fails.then(|| "timeout".to_owned());
        let spent = if name == "web_search" { SEARCH } else { 0 };
        row.cost_usd = (spent > 0).then(|| Decimal::new(spent, 12));
        row.cost_request_usd = row.cost_usd;
        self.charge(run.agent, None, bad, if bad { spent } else { 0 }, now);
        self.pay(run.agent, spent, now);
        self.send(run.agent, row, now, ends);
    }

    /// What a model call costs as things stand, and what it would cost if all were well; both in picodollars.
    fn spend(
        &mut self,
        row: &mut ChargeRow,
        run: &Run,
        context: i64,
        output: i64,
        now: i64,
    ) -> (i64, i64) {
        let craft = self.agents[run.agent].craft;
        let mut longer = 1.0;
        for strain in self.strained(now) {
            if let Strain::Release { agent, factor } = strain
                && *agent == run.agent
            {
                longer *= factor;
            }
        }
        let own = run.model.unwrap_or(craft.model);
        let context = (context as f64 * longer) as i64;
        let usual = cost(own, context, craft.cached, output);
        let (mut model, mut cached, mut grown) = (own, craft.cached, context);
        if let Some(fault) = self.active(run.agent, now) {
            let fault = &self.faults[fault];
            match fault.nature.kind {
                Kind::TierFallback => model = FALLBACK,
                Kind::CacheLoss => cached = 0.0,
                Kind::PromptGrowth => {
                    let hours = (now - fault.planned) as f64 / HOUR as f64;
                    grown = (context as f64 * 1.5f64.powf(hours)).min(190_000.0) as i64;
                }
                _ => {}
            }
        }
        let mut parts = cost(model, grown, cached, output);
        let dearer = self
            .faults
            .iter()
            .any(|fault| fault.model == Some(model) && fault.active(now));
        if dearer {
            parts = parts.map(|part| 2 * part);
        }
        let spent: i64 = parts.iter().sum();
        let money = |part: i64| Some(Decimal::new(part, 12));
        row.cost_usd = money(spent);
        row.cost_input_usd = money(parts[0]);
        row.cost_cache_read_usd = money(parts[1]);
        row.cost_output_usd = money(parts[2]);
        row.usage = Some("exact".to_owned());
        row.provider = Some("provider-a".to_owned());
        row.request_model = Some(MODELS[own].name.to_owned());
        row.response_model = Some(MODELS[model].name.to_owned());
        row.input_tokens = Some(grown);
        row.cache_read_tokens = Some((grown as f64 * cached) as i64);
        row.output_tokens = Some(output);
        self.pay(run.agent, spent, now);
        (usual.iter().sum(), spent)
    }

    /// Adds up what is spent, and notes when an overrun has become one.
    fn pay(&mut self, agent: usize, spent: i64, now: i64) {
        self.report.spent += spent;
        let day = now.div_euclid(DAY);
        let today = &mut self.today[agent];
        if today.0 != day {
            *today = (day, 0);
        }
        today.1 += spent;
        if today.1 >= BUDGET
            && let Some(fault) = self.active(agent, now)
            && self.faults[fault].is(Kind::Overrun)
        {
            self.faults[fault].passed.get_or_insert(now);
        }
    }

    /// Puts what was wrongly spent on the account of its fault, and notes that it shows.
    fn charge(&mut self, agent: usize, model: Option<&str>, bad: bool, excess: i64, now: i64) {
        let of_model = self
            .faults
            .iter()
            .position(|f| f.active(now) && f.model.is_some_and(|m| Some(MODELS[m].name) == model));
        let fault = self.active(agent, now).or(of_model);
        let Some(fault) = fault.map(|fault| &mut self.faults[fault]) else {
            return;
        };
        if bad || excess > 0 {
            fault.begun.get_or_insert(now);
            fault.lost += excess;
            if fault.obeyed.is_none_or(|obeyed| now < obeyed) {
                fault.before += excess;
            }
        }
    }

    fn finish(&mut self, slot: usize, run: &Run, ending: &str, now: i64) {
        self.free.push(slot);
        if ending == "escalation"
            && let Some(fault) = self.active(run.agent, now)
            && self.faults[fault].is(Kind::EscalationSurge)
        {
            self.faults[fault].begun.get_or_insert(now);
        }
        let mut row = self.row(run, run.began);
        // Its last call has the number before.
        row.charge_id.push('e');
        row.kind = "execution".to_owned();
        row.calls = 1;
        row.termination = Some(ending.to_owned());
        row.escalated = Some(ending == "escalation");
        self.send(run.agent, row, run.began, now);
    }

    fn row(&self, run: &Run, now: i64) -> ChargeRow {
        let agent = &self.agents[run.agent];
        ChargeRow {
            charge_id: format!("{:016x}{:06x}", run.trace, run.taken),
            entry: "charge".to_owned(),
            date: Date::of_nanos(now),
            start_time: Micros::of_nanos(now),
            start_unix_nano: now,
            trace_id: format!("{:032x}", run.trace),
            span_id: format!("{:016x}", run.trace.rotate_left(7) ^ (run.taken + 1)),
            execution_id: run.id.clone(),
            task_id: run.id.clone(),
            agent_name: Some(agent.name.clone()),
            session_id: Some(format!("{}/{}", agent.name, run.session)),
            tenant: Some(agent.tenant.to_owned()),
            team: Some(agent.craft.name.to_owned()),
            ..ChargeRow::default()
        }
    }

    /// A span ended; its exporter sends it with its next bundle.
    fn send(&mut self, agent: usize, mut row: ChargeRow, began: i64, ended: i64) {
        let received = self.agents[agent].received(ended);
        row.end_time = Some(Micros::of_nanos(ended));
        row.duration_ns = Some(ended - began);
        row.received_at = Micros::of_nanos(received);
        row.known_at = row.received_at;
        self.report.charges += 1;
        if self.engine.is_some() {
            self.sent.entry(received).or_default().push(row);
        }
    }
}

/// Picodollars: for input, for what was read from a cache, for output.
fn cost(model: usize, context: i64, cached: f64, output: i64) -> [i64; 3] {
    let price = &MODELS[model];
    let read = (context as f64 * cached) as i64;
    [
        (context - read) * price.input,
        read * price.cached,
        output * price.output,
    ]
}
