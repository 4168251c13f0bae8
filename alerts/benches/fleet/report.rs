//! What it came to: tables of what was found and done, and of what was wrong about it.

use std::collections::BTreeMap;

use comfy_table::{CellAlignment, Table, presets};
use flyball_runtime::control::State;

use super::cast::Trade;
use super::fault::{Fault, NATURES, Nature};
use super::{DAY, HOUR, MINUTE, Plan, SECOND};

/// Examples of false alarms that are kept of each rule.
const EXAMPLES: usize = 5;

/// Alerts of one rule.
#[derive(Debug, Default, Clone)]
pub struct Alarms {
    /// Of a fault that it is there for.
    pub right: u64,
    /// On an agent with a fault that other rules are there for.
    pub beside: u64,
    /// On a healthy agent with something unusual to do.
    pub strained: u64,
    /// On a healthy agent.
    pub wrong: u64,
    pub examples: Vec<String>,
}

/// An order on an agent that was well.
#[derive(Debug, Clone)]
pub struct Wrong {
    pub freeze: bool,
    pub agent: String,
    pub words: String,
}

/// Model calls of the second day, a Tuesday on which nothing is wrong yet.
#[derive(Debug, Default)]
struct Requests {
    n: f64,
    sum: f64,
    squares: f64,
    /// What they cost, by the minute.
    minutes: Vec<f64>,
}

/// What it came to.
#[derive(Debug)]
pub struct Report {
    plan: Plan,
    pub agents: usize,
    pub faulty: usize,
    pub charges: u64,
    /// Picodollars.
    pub spent: i64,
    pub orders: u64,
    /// Calls that agents did not begin since they obeyed.
    pub stopped: u64,
    pub faults: Vec<Fault>,
    pub wrong: Vec<Wrong>,
    pub alarms: BTreeMap<String, Alarms>,
    pub(super) lifts: Vec<String>,
    requests: BTreeMap<Trade, Requests>,
}

impl Report {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            plan: plan.clone(),
            agents: 0,
            faulty: 0,
            charges: 0,
            spent: 0,
            orders: 0,
            stopped: 0,
            faults: Vec::new(),
            wrong: Vec::new(),
            alarms: BTreeMap::new(),
            lifts: Vec::new(),
            requests: BTreeMap::new(),
        }
    }

    pub(super) fn shape(&mut self, trade: Trade, spent: i64, now: i64) {
        let minute = (now - self.plan.start - DAY).div_euclid(MINUTE);
        let Some(minute) = usize::try_from(minute)
            .ok()
            .filter(|minute| *minute < 1_440)
        else {
            return;
        };
        let requests = self.requests.entry(trade).or_default();
        let spent = spent as f64;
        requests.n += 1.0;
        requests.sum += spent;
        requests.squares += spent * spent;
        requests.minutes.resize(1_440, 0.0);
        requests.minutes[minute] += spent;
    }

    pub(super) fn wrongly(
        &mut self,
        state: &State,
        agent: &str,
        what: &str,
        why: &str,
        strained: bool,
        now: i64,
    ) {
        let besides = if strained { ", under strain" } else { "" };
        self.wrong.push(Wrong {
            freeze: *state == State::Frozen,
            agent: agent.to_owned(),
            words: format!("{} {agent}{besides}: {what}: {why}", self.clock(now)),
        });
    }

    pub(super) fn told(&mut self, rule: &str, right: bool, strained: bool, words: Option<String>) {
        let alarms = self.alarms.entry(rule.to_owned()).or_default();
        match (right, strained) {
            (true, _) => alarms.right += 1,
            (false, true) => alarms.strained += 1,
            (false, false) => alarms.wrong += 1,
        }
        if let Some(words) = words
            && alarms.examples.len() < EXAMPLES
            && !strained
        {
            alarms.examples.push(words);
        }
    }

    pub(super) fn beside(&mut self, rule: &str) {
        self.alarms.entry(rule.to_owned()).or_default().beside += 1;
    }

    /// Day of the plan and time of the day, UTC.
    pub(super) fn clock(&self, at: i64) -> String {
        let past = at - self.plan.start;
        let (day, hour) = (past / DAY + 1, past % DAY / HOUR);
        format!(
            "day {day} {hour:02}:{:02}:{:02}",
            past % HOUR / MINUTE,
            past % MINUTE / SECOND
        )
    }

    /// Healthy agents that were wrongly frozen, and wrongly slowed; each once.
    pub fn harmed(&self) -> (usize, usize) {
        let of = |freeze: bool| {
            let names = self.wrong.iter().filter(|wrong| wrong.freeze == freeze);
            let mut names: Vec<&str> = names.map(|wrong| wrong.agent.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            names.len()
        };
        (of(true), of(false))
    }

    /// Faults that showed at all.
    pub fn shown(&self) -> impl Iterator<Item = &Fault> {
        self.faults.iter().filter(|fault| fault.begun.is_some())
    }

    /// How the traffic looks beside the traces that it is modelled on.
    pub fn shapes(&self) -> Table {
        let mut table = table(&[
            "model calls of",
            "on a Tuesday",
            "USD each",
            "CV of a request's cost",
            "CV of a minute's cost, busiest hour",
            "busiest minute / median",
        ]);
        for (trade, requests) in &self.requests {
            let mean = requests.sum / requests.n;
            let deviation = (requests.squares / requests.n - mean * mean)
                .max(0.0)
                .sqrt();
            let hours = requests.minutes.chunks(60);
            let busiest = hours.max_by(|a, b| a.iter().sum::<f64>().total_cmp(&b.iter().sum()));
            let (minute, peak) = busiest.map_or((0.0, 0.0), |hour| {
                let mean = hour.iter().sum::<f64>() / 60.0;
                let variance = hour.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 60.0;
                let mut sorted = hour.to_vec();
                sorted.sort_by(f64::total_cmp);
                (variance.sqrt() / mean, sorted[59] / sorted[30])
            });
            table.add_row([
                format!("{trade:?}").to_lowercase(),
                format!("{}", requests.n),
                format!("{:.5}", mean / 1e12),
                format!("{:.2}", deviation / mean),
                format!("{minute:.2}"),
                if peak.is_finite() {
                    format!("{peak:.1}")
                } else {
                    "-".to_owned()
                },
            ]);
        }
        table
    }
}

/// What became of the faults of several reports, kind by kind; `open` are the same plans with nobody watching.
pub fn faults(reports: &[Report], open: &[Report]) -> Table {
    let mut table = table(&[
        "fault",
        "number",
        "found",
        "delay p50",
        "max",
        "acted on",
        "delay p50",
        "max",
        "first order",
        "USD lost before obeyed",
        "USD lost in all",
        "USD lost without",
    ]);
    for nature in &NATURES {
        let of = |reports| all(reports, nature);
        let those: Vec<&Fault> = of(reports);
        if those.is_empty() {
            continue;
        }
        let delays = |of: &dyn Fn(&Fault) -> Option<i64>| {
            let mut delays: Vec<i64> = those.iter().filter_map(|fault| of(fault)).collect();
            delays.sort_unstable();
            delays
        };
        let seen = delays(&|fault| Some(fault.seen.as_ref()?.0 - fault.begun?));
        let acted = delays(&Fault::acted_after);
        let prevented = those.iter().filter(|fault| fault.prevented()).count();
        let mut orders: BTreeMap<&str, u64> = BTreeMap::new();
        for (_, order) in those.iter().filter_map(|fault| fault.acted.as_ref()) {
            *orders.entry(order).or_default() += 1;
        }
        let orders: Vec<String> = orders
            .iter()
            .map(|(order, n)| format!("{n} {order}"))
            .collect();
        let before = those.iter().map(|fault| fault.before).sum();
        let lost = those.iter().map(|fault| fault.lost).sum();
        let without: i64 = of(open).iter().map(|fault| fault.lost).sum();
        table.add_row([
            nature.name.to_owned(),
            those.len().to_string(),
            seen.len().to_string(),
            middle(&seen),
            last(&seen),
            match prevented {
                _ if !nature.deterministic && acted.is_empty() => "-".to_owned(),
                0 => acted.len().to_string(),
                n => format!("{}, {n} prevented", acted.len()),
            },
            middle(&acted),
            last(&acted),
            if orders.is_empty() {
                "-".to_owned()
            } else {
                orders.join(", ")
            },
            dollars(before),
            dollars(lost),
            dollars(without),
        ]);
    }
    table
}

fn all<'a>(reports: &'a [Report], nature: &'static Nature) -> Vec<&'a Fault> {
    let shown = reports.iter().flat_map(Report::shown);
    shown
        .filter(|fault| fault.nature.kind == nature.kind)
        .collect()
}

/// What the rules told, and of that what was right.
pub fn alarms(reports: &[Report]) -> Table {
    let mut sums: BTreeMap<&str, Alarms> = BTreeMap::new();
    let mut weeks = 0.0;
    for report in reports {
        weeks += report.agents as f64 * report.plan.days as f64 / 7.0;
        for (rule, alarms) in &report.alarms {
            let sum = sums.entry(rule).or_default();
            sum.right += alarms.right;
            sum.beside += alarms.beside;
            sum.strained += alarms.strained;
            sum.wrong += alarms.wrong;
        }
    }
    let mut table = table(&[
        "alerts of",
        "of its faults",
        "beside other faults",
        "healthy, under strain",
        "healthy",
        "healthy, an agent and week",
    ]);
    for (rule, sum) in sums {
        let wrong = (sum.wrong + sum.strained) as f64;
        table.add_row([
            rule.to_owned(),
            sum.right.to_string(),
            sum.beside.to_string(),
            sum.strained.to_string(),
            sum.wrong.to_string(),
            format!("{:.3}", wrong / weeks),
        ]);
    }
    table
}

/// What it comes to, a line each.
pub fn sums(reports: &[Report]) -> Table {
    let total = |of: &dyn Fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    let count = |of: &dyn Fn(&Fault) -> bool| {
        let shown = reports.iter().flat_map(Report::shown);
        shown.filter(|fault| of(fault)).count()
    };
    let facts = count(&|fault| fault.nature.deterministic);
    let acted = count(&|fault| fault.nature.deterministic && fault.acted.is_some());
    let prevented = count(&|fault| fault.prevented());
    let guesses = count(&|fault| !fault.nature.deterministic);
    let seen = count(&|fault| !fault.nature.deterministic && fault.seen.is_some());
    let healthy = total(&|report| (report.agents - report.faulty) as u64);
    let harmed = |freeze: bool| {
        let of = |report: &Report| {
            if freeze {
                report.harmed().0
            } else {
                report.harmed().1
            }
        };
        total(&|report| of(report) as u64)
    };
    let wrong = |freeze: bool| {
        total(&|report| report.wrong.iter().filter(|w| w.freeze == freeze).count() as u64)
    };
    let spent: i64 = reports.iter().map(|report| report.spent).sum();
    let mut table = table(&["", ""]);
    for (what, number) in [
        ("charges", total(&|report| report.charges).to_string()),
        ("US dollars", dollars(spent)),
        (
            "agents, all",
            total(&|report| report.agents as u64).to_string(),
        ),
        ("agents without a fault", healthy.to_string()),
        (
            "deterministic faults acted on",
            format!("{acted} of {facts}"),
        ),
        ("prevented by people who were told", prevented.to_string()),
        ("statistical faults told", format!("{seen} of {guesses}")),
        ("orders", total(&|report| report.orders).to_string()),
        ("false freezes", wrong(true).to_string()),
        ("false throttles", wrong(false).to_string()),
        ("agents frozen while healthy", harmed(true).to_string()),
        ("agents throttled while healthy", harmed(false).to_string()),
    ] {
        table.add_row([what.to_owned(), number]);
    }
    table
}

/// What went wrong, one by one.
pub fn complaints(reports: &[Report]) -> Vec<String> {
    let mut lines = Vec::new();
    for report in reports {
        let seed = report.plan.seed;
        let wrong = report.wrong.iter().map(|wrong| &wrong.words);
        lines.extend(wrong.map(|words| format!("seed {seed}: false order: {words}")));
        for fault in report.shown() {
            let onset = report.clock(fault.begun.unwrap_or(0));
            let name = fault.nature.name;
            let agent = fault.agent;
            if fault.prevented() {
                let rule = fault.seen.as_ref().map_or("", |(_, rule)| rule);
                lines.push(format!(
                    "seed {seed}: prevented: {name}, agent {agent:?}, {onset}, told by {rule}"
                ));
            } else if fault.nature.deterministic && fault.acted.is_none() {
                lines.push(format!(
                    "seed {seed}: not acted on: {name}, agent {agent:?}, {onset}"
                ));
            } else if !fault.nature.deterministic && fault.seen.is_none() {
                let rank = agent.map(|agent| agent.to_string()).unwrap_or_default();
                lines.push(format!(
                    "seed {seed}: not told: {name}, agent {rank}, {onset}"
                ));
            }
        }
        for (rule, alarms) in &report.alarms {
            let examples = alarms.examples.iter();
            lines
                .extend(examples.map(|words| format!("seed {seed}: false alarm: {rule}: {words}")));
        }
    }
    lines
}

fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN).set_header(head);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn dollars(picos: i64) -> String {
    format!("{:.2}", picos as f64 / 1e12)
}

fn middle(sorted: &[i64]) -> String {
    sorted
        .get(sorted.len() / 2)
        .map_or("-".to_owned(), |long| spoken(*long))
}

fn last(sorted: &[i64]) -> String {
    sorted.last().map_or("-".to_owned(), |long| spoken(*long))
}

/// 7 s, 12 min, 3.4 h.
fn spoken(nanos: i64) -> String {
    let seconds = nanos as f64 / 1e9;
    if seconds < 120.0 {
        format!("{seconds:.1} s")
    } else if seconds < 7_200.0 {
        format!("{:.0} min", seconds / 60.0)
    } else {
        format!("{:.1} h", seconds / 3_600.0)
    }
}
