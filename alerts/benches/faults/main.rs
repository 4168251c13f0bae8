//! Faults of known onset in recorded traces of real frameworks, under the rules that ship for a start.
//!
//!     cargo bench -p flyball-alerts --bench faults -- [../shared/corpus/otlp]
//!
//! Each folder is one framework: its recorded requests go through the real decoding, normalising, resolver and price
//! book, and what comes out, the entries of the journal, is what the framework's agent does for a living here: one
//! execution after the other, each a recorded one, in virtual time. Then something goes wrong with it.
//! Printed is, for each framework and fault, what found it and how soon, what was done, what it cost until then, and
//! every order and alert about an agent that was well. Without a folder, the fixtures of the collector's tests are used.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "mod.rs"]
mod faults;

use std::path::PathBuf;

use comfy_table::{CellAlignment, Table, presets};
use faults::life::{Came, live};
use faults::recordings::read;
use faults::{Fault, rules};

fn main() {
    let folder = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let folder = folder.map_or_else(faults::fixtures, PathBuf::from);
    let recordings = read(&folder);
    let rules = rules(&recordings);
    println!(
        "{} frameworks, {} executions recorded, {} rules\n",
        recordings.len(),
        recordings.iter().map(|r| r.executions.len()).sum::<usize>(),
        rules.len()
    );
    let (mut charges, mut wrong) = (0, Vec::new());
    for fault in Fault::ALL {
        let came = live(&recordings, &rules, fault, 7);
        charges += came.charges;
        println!("{}\n\n{}\n", fault.name(), table(&came));
        wrong.extend(came.wrong);
    }
    let orders = wrong.iter().filter(|wrong| wrong.order).count();
    println!(
        "{charges} charges; about agents that were well: {orders} orders, {} alerts",
        wrong.len() - orders
    );
    for wrong in wrong {
        println!("{}", wrong.words);
    }
}

fn table(came: &Came) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN).set_header([
        "framework",
        "found by",
        "after",
        "first order",
        "after",
        "USD lost before obeyed",
        "USD lost in all",
    ]);
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for suffering in &came.suffered {
        let none = || "-".to_owned();
        let after = |at: Option<i64>| at.map_or_else(none, |at| spoken(at - suffering.onset));
        let (seen, acted) = (suffering.seen.as_ref(), suffering.acted.as_ref());
        table.add_row([
            suffering.framework.clone(),
            match (&suffering.lacks, seen) {
                (Some(lacks), _) => format!("not tried: {lacks}"),
                (None, seen) => {
                    seen.map_or_else(|| "not found".to_owned(), |(_, rule)| rule.clone())
                }
            },
            after(seen.map(|(at, _)| *at)),
            acted.map_or_else(none, |(_, what)| what.clone()),
            after(acted.map(|(at, _)| *at)),
            suffering.before.round_dp(4).to_string(),
            suffering.lost.round_dp(4).to_string(),
        ]);
    }
    table
}

/// 7.1 s, 12 min, 3.4 h.
fn spoken(nanos: i64) -> String {
    let seconds = nanos as f64 / 1e9;
    match seconds {
        s if s < 120.0 => format!("{s:.1} s"),
        s if s < 7_200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3_600.0),
    }
}
