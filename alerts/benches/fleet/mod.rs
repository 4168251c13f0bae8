//! A fleet of agents that exists in virtual time only: its traffic goes through the engine, and it obeys.
//!
//! Everything follows from a seed. `cast` says who is in the fleet, `shape` how its traffic looks and where that is
//! from, `script` what an execution does, `fault` what goes wrong and what only looks like it. `world` lets time pass:
//! agents make calls, their exporters send them, the engine judges, orders come back and are obeyed, people come and
//! mend. `report` is what it came to.
//!
//! The generator knows the onset of each fault; the engine is told nothing but charges.

#![allow(
    dead_code,
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::unwrap_used
)]

pub mod cast;
#[allow(clippy::duplicate_mod)] // The tests have both.
#[path = "../../detect/tests/it/dice.rs"]
mod dice;
pub mod fault;
pub mod report;
mod script;
mod shape;
mod world;

use flyball_alerts::Rule;
use flyball_alerts::rule::{When, parse};

pub use self::report::Report;

pub const SECOND: i64 = 1_000_000_000;
pub const MINUTE: i64 = 60 * SECOND;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;

/// Monday, the first of June 2026, midnight UTC.
const START: i64 = 1_780_272_000 * SECOND;

/// What is generated.
#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub start: i64,
    pub days: i64,
    /// About so many.
    pub agents: usize,
    /// Faults of each kind.
    pub each: usize,
    /// No fault before this day.
    pub from_day: i64,
    /// 1 is the usual amount of work.
    pub volume: f64,
    /// Seconds that pass at a time for rules on which nothing arrives; live it is one, and here ten, for speed.
    pub step: u32,
    /// Whether orders are obeyed and people told; else everything takes its course.
    pub closed: bool,
}

impl Plan {
    pub fn new(seed: u64, days: i64, agents: usize, each: usize) -> Self {
        Self {
            seed,
            start: START,
            days,
            agents,
            each,
            from_day: (days / 4).max(1),
            volume: 1.0,
            step: 10,
            closed: true,
        }
    }

    /// Lets it happen under the rules.
    pub fn run(&self, rules: &[Rule]) -> Report {
        world::World::new(self, rules.to_vec()).run()
    }
}

/// The rules that ship for a start, with the two things that only a fleet's owner knows filled in: which tools there
/// are, and that the rules that act have been promoted. Those that ask the tables are left out: here are none.
pub fn rules() -> Vec<Rule> {
    rules_of("starter.yaml", include_str!("../../rules/starter.yaml"))
}

/// The same of other rules.
pub fn rules_of(file: &str, text: &str) -> Vec<Rule> {
    let tools = cast::TOOLS.join(", ");
    let text = text.replace("allow: []", &format!("allow: [{tools}]"));
    let mut rules = parse(file, &text).unwrap();
    rules.retain(|rule| !matches!(rule.when, When::Sql { .. }));
    for rule in rules.iter_mut().filter(|rule| rule.acts()) {
        rule.mode = flyball_runtime::control::Mode::Enforce;
    }
    rules
}

/// What the command line asks for: words, numbers, and a file of rules to be used in place of those that ship.
pub fn arguments() -> (Vec<String>, Vec<u64>, Vec<Rule>) {
    let (mut words, mut numbers, mut rules) = (Vec::new(), Vec::new(), None);
    for argument in std::env::args().skip(1) {
        if let Ok(number) = argument.parse() {
            numbers.push(number);
        } else if argument.ends_with(".yaml") {
            let text = std::fs::read_to_string(&argument).unwrap();
            rules = Some(rules_of(&argument, &text));
        } else if !argument.starts_with('-') {
            // cargo itself says --bench.
            words.push(argument);
        }
    }
    (words, numbers, rules.unwrap_or_else(self::rules))
}
