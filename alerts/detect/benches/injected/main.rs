//! What the detector makes of series like those of agents: how often it is wrong when nothing happens, and how
//! much and how soon it finds what is put in.
//!
//!     cargo bench -p flyball-detect --bench injected
//!
//! Thirty runs of each, one sample a minute, of ten days; false alarms are counted from the fourth day on. What is
//! put in begins at a random minute after, and lasts four hours. The series are made up: the figures tell how the
//! detector behaves, not how a given agent does.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

#[path = "../../tests/it/dice.rs"]
mod dice;

use comfy_table::{CellAlignment, Table, presets};
use dice::Dice;
use flyball_detect::{Config, Detector};

const RUNS: u64 = 30;
const DAY: i64 = 1_440;
const LENGTH: i64 = 10 * DAY;
const LEARNT_BY: i64 = 3 * DAY;
const LASTS: i64 = 240;
const RARITIES: [f64; 4] = [1.8, 2.5, 3.0, 4.0];

type Shape = fn(i64, &mut Dice) -> f64;

/// 1 at noon, 0.2 at midnight.
fn daily(minute: i64) -> f64 {
    let turn = (minute % DAY) as f64 / DAY as f64 * std::f64::consts::TAU;
    0.6 - 0.4 * turn.cos()
}

/// 0.3 at the weekend.
fn weekly(minute: i64) -> f64 {
    if minute / DAY % 7 >= 5 { 0.3 } else { 1.0 }
}

/// What so many calls cost, dollars: each a lognormal.
fn cost(calls: f64, dice: &mut Dice) -> f64 {
    (0..calls as u64).map(|_| 0.01 * dice.normal().exp()).sum()
}

const SHAPES: [(&str, Shape); 10] = [
    ("normal noise", |_, dice| 100.0 + 5.0 * dice.normal()),
    ("latency, lognormal", |_, dice| 0.8 * dice.normal().exp()),
    ("tokens, power law 1.5", |_, dice| dice.power_law(1.5)),
    ("calls, Poisson 20", |_, dice| dice.poisson(20.0)),
    ("calls, daily rhythm", |t, dice| {
        dice.poisson(40.0 * daily(t))
    }),
    ("calls, daily and weekly", |t, dice| {
        dice.poisson(40.0 * daily(t) * weekly(t))
    }),
    ("calls, 09 to 17 only", |t, dice| {
        let busy = (9..17).contains(&(t % DAY / 60));
        dice.poisson(if busy { 40.0 } else { 2.0 })
    }),
    ("cost, daily rhythm", |t, dice| {
        let calls = dice.poisson(20.0 * daily(t));
        cost(calls, dice)
    }),
    ("bursts, one minute in a hundred", |_, dice| {
        if dice.uniform() < 0.01 {
            dice.normal().exp()
        } else {
            0.0
        }
    }),
    ("error rate, 2 of 100 calls", |_, dice| {
        dice.poisson(2.0) / 100.0
    }),
];

type Fault = fn(i64, f64) -> f64;

/// What happens so many minutes after the onset to a value.
const FAULTS: [(&str, Fault); 9] = [
    ("nothing put in", |_, value| value),
    (
        "one sample x 3",
        |t, value| if t == 0 { 3.0 * value } else { value },
    ),
    (
        "one sample x 10",
        |t, value| if t == 0 { 10.0 * value } else { value },
    ),
    ("x 1.5 for 4 h", |_, value| 1.5 * value),
    ("x 2 for 4 h", |_, value| 2.0 * value),
    ("x 5 for 4 h", |_, value| 5.0 * value),
    ("grows to x 4 over 4 h", |t, value| {
        value * (1.0 + 3.0 * t as f64 / LASTS as f64)
    }),
    ("nothing for 4 h", |_, _| 0.0),
    ("stuck at its last value", |_, _| f64::NAN),
];

fn main() {
    quiet();
    found();
}

fn quiet() {
    let mut table = table(&[
        "false alarms a 1,000 samples, alarm_rarity of",
        "1.8",
        "2.5",
        "3.0",
        "4.0",
    ]);
    for (name, shape) in SHAPES {
        let rates = RARITIES.map(|alarm_rarity| {
            let config = Config {
                alarm_rarity,
                ..Config::default()
            };
            let alarms: usize = (0..RUNS)
                .map(|seed| run(config, shape, None, seed).len())
                .sum();
            format!(
                "{:.2}",
                1_000.0 * alarms as f64 / (RUNS as i64 * (LENGTH - LEARNT_BY)) as f64
            )
        });
        table.add_row([name.to_owned()].into_iter().chain(rates));
    }
    println!("{table}\n");
}

fn found() {
    let names = [SHAPES[0], SHAPES[1], SHAPES[4], SHAPES[7]];
    for alarm_rarity in [1.8, 3.0] {
        let head: Vec<String> = [format!(
            "found within 4 h of {RUNS} (median delay, minutes), alarm_rarity {alarm_rarity}"
        )]
        .into_iter()
        .chain(names.iter().map(|(name, _)| (*name).to_owned()))
        .collect();
        let head: Vec<&str> = head.iter().map(String::as_str).collect();
        let mut table = table(&head);
        for (fault_name, fault) in FAULTS {
            let cells = names.map(|(_, shape)| {
                let config = Config {
                    alarm_rarity,
                    ..Config::default()
                };
                let delays = (0..RUNS).filter_map(|seed| {
                    let onset = onset(seed);
                    let alarms = run(config, shape, Some(fault), seed);
                    let first = alarms
                        .into_iter()
                        .find(|at| (onset..onset + LASTS).contains(at))?;
                    Some(first - onset)
                });
                let mut delays: Vec<i64> = delays.collect();
                delays.sort_unstable();
                let median = delays.get(delays.len() / 2).map(i64::to_string);
                format!(
                    "{} ({})",
                    delays.len(),
                    median.unwrap_or_else(|| "-".to_owned())
                )
            });
            table.add_row([fault_name.to_owned()].into_iter().chain(cells));
        }
        println!("{table}\n");
    }
}

/// A minute between the fourth day and the last.
fn onset(seed: u64) -> i64 {
    let place = Dice(seed ^ 0xabcd).uniform();
    LEARNT_BY + (place * (LENGTH - LEARNT_BY - LASTS) as f64) as i64
}

/// The minutes of the alarms from the fourth day on.
fn run(config: Config, shape: Shape, fault: Option<Fault>, seed: u64) -> Vec<i64> {
    let (mut dice, mut detector) = (Dice(seed), Detector::new(config).unwrap());
    let (onset, mut last, mut alarms) = (onset(seed), 0.0, Vec::new());
    for minute in 0..LENGTH {
        let mut value = shape(minute, &mut dice);
        if let Some(fault) = fault
            && (onset..onset + LASTS).contains(&minute)
        {
            let faulty = fault(minute - onset, value);
            value = if faulty.is_nan() { last } else { faulty };
        }
        last = value;
        if detector.observe(minute * 60, value).alarm && minute >= LEARNT_BY {
            alarms.push(minute);
        }
    }
    alarms
}

fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN).set_header(head);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
