//! Generated fleets under the rules that ship for a start.
//!
//!     cargo bench -p flyball-alerts --bench fleet -- month  [SEED [DAYS [AGENTS]]]  [RULES.yaml]
//!     cargo bench -p flyball-alerts --bench fleet -- faults [FIRST_SEED [FLEETS]]   [RULES.yaml]
//!
//! `month`: a month of eighty agents, faults in some of them. `faults`: five small fleets with a fault of each
//! kind. Each fleet lives twice, under the rules and with nobody watching. Printed: how the traffic looks beside the
//! traces that it is modelled on, how soon faults of known onset are found, what is done and what they cost until
//! then, and what was done or told wrongly, one by one. Without a word, both.

#[path = "mod.rs"]
mod fleet;

use std::time::Instant;

use fleet::{Plan, report};
use flyball_alerts::Rule;

fn main() {
    let (words, numbers, rules) = fleet::arguments();
    let number = |at: usize, otherwise| numbers.get(at).copied().unwrap_or(otherwise);
    let wanted = |mode: &str| words.is_empty() || words.iter().any(|word| word == mode);
    if wanted("faults") {
        let first = number(0, 101);
        let plans = (first..first + number(1, 5)).map(|seed| Plan {
            from_day: 2,
            ..Plan::new(seed, 5, 40, 1)
        });
        live(&plans.collect::<Vec<_>>(), &rules);
    }
    if wanted("month") {
        let (days, agents) = (number(1, 30) as i64, number(2, 100) as usize);
        live(
            &[Plan::new(number(0, 1), days, agents, agents.div_ceil(25))],
            &rules,
        );
    }
}

fn live(plans: &[Plan], rules: &[Rule]) {
    let begun = Instant::now();
    let closed: Vec<_> = plans.iter().map(|plan| plan.run(rules)).collect();
    let took = begun.elapsed().as_secs_f64();
    let open = plans.iter().map(|plan| Plan {
        closed: false,
        ..plan.clone()
    });
    let open: Vec<_> = open.map(|plan| plan.run(rules)).collect();
    let (plan, last) = (&plans[0], plans.len() as u64 - 1);
    println!(
        "{} of {} agents, {} days, seeds {} to {}, {} rules\n",
        plans.len(),
        closed[0].agents,
        plan.days,
        plan.seed,
        plan.seed + last,
        rules.len()
    );
    println!("{}\n", closed[0].shapes());
    println!("{}\n", report::sums(&closed));
    println!("{}\n", report::faults(&closed, &open));
    println!("{}\n", report::alarms(&closed));
    for line in report::complaints(&closed) {
        println!("{line}");
    }
    println!("\nunder the rules: {took:.0} s\n");
}
