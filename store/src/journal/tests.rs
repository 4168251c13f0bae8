#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;

fn row(trace: &str, id: &str, entry: Entry, cents: i64) -> ChargeRow {
    let sign = match entry {
        Entry::Charge => 1,
        Entry::Reversal => -1,
        Entry::Duplicate => 0,
    };
    ChargeRow {
        trace_id: trace.into(),
        charge_id: id.into(),
        entry: entry.as_str().into(),
        calls: sign,
        cost_usd: Some(rust_decimal::Decimal::new(cents * sign, 2)),
        ..ChargeRow::default()
    }
}

fn enter(journal: &mut Journal, rows: &[ChargeRow], settled: &[&str], resolved_to: u64) {
    let settled = settled.iter().map(|trace| (*trace).to_owned()).collect();
    journal.enter(vec![ChargeRow::batch(rows).unwrap()], settled, resolved_to);
}

fn read(batches: Vec<RecordBatch>) -> Vec<ChargeRow> {
    let read = |batch| ChargeRow::read(&batch).unwrap();
    batches.into_iter().flat_map(read).collect()
}

#[test]
fn a_charge_and_its_reversal_never_reach_disk_and_open_traces_wait() {
    let mut journal = Journal::default();
    enter(
        &mut journal,
        &[
            row("a", "1", Entry::Charge, 5),
            row("b", "9", Entry::Charge, 7),
        ],
        &[],
        3,
    );
    enter(
        &mut journal,
        &[
            row("a", "1", Entry::Reversal, 5),
            row("a", "2", Entry::Charge, 6),
        ],
        &["a"],
        4,
    );
    assert_eq!(journal.rows(), 4, "all of it is visible");
    let taken = journal.take().unwrap();
    assert_eq!(taken.resolved_to, 4);
    let netted = taken.net().unwrap();
    assert_eq!(read(netted.flush), [row("a", "2", Entry::Charge, 6)]);
    assert_eq!(read(netted.open.clone()), [row("b", "9", Entry::Charge, 7)]);
    enter(
        &mut journal,
        &[row("a", "2", Entry::Reversal, 6)],
        &["a"],
        4,
    );
    journal.committed(netted.open);
    assert_eq!(
        journal.rows(),
        2,
        "the open trace, and what came while the flush ran"
    );
    let netted = journal.take().unwrap().net().unwrap();
    assert_eq!(read(netted.flush), [row("a", "2", Entry::Reversal, 6)]);
}

#[test]
fn a_failed_flush_leaves_everything_to_the_next() {
    let mut journal = Journal::default();
    enter(&mut journal, &[row("a", "1", Entry::Charge, 5)], &["a"], 1);
    let taken = journal.take().unwrap();
    enter(
        &mut journal,
        &[row("a", "1", Entry::Reversal, 5)],
        &["a"],
        2,
    );
    drop(taken);
    journal.give_back();
    let netted = journal.take().unwrap().net().unwrap();
    assert!(netted.flush.is_empty() && netted.open.is_empty());
    journal.committed(Vec::new());
    assert!(journal.take().is_none());
    assert_eq!(journal.bytes(), 0);
}

#[test]
fn nothing_settled_means_nothing_to_flush() {
    let mut journal = Journal::default();
    enter(&mut journal, &[row("a", "1", Entry::Charge, 5)], &[], 0);
    assert!(journal.take().is_none());
    assert_eq!(journal.rows(), 1);
}

proptest! {
    /// Netting changes no sum, and leaves no charge beside a reversal of the same id.
    #[test]
    fn netting_keeps_every_sum(entries in proptest::collection::vec((0..4u8, 0..3u8), 0..60)) {
        let rows: Vec<_> = entries
            .iter()
            .map(|(id, entry)| {
                let entry = [Entry::Charge, Entry::Reversal, Entry::Duplicate][usize::from(*entry)];
                row("a", &id.to_string(), entry, i64::from(*id) + 1)
            })
            .collect();
        let mut journal = Journal::default();
        enter(&mut journal, &rows, &["a"], 1);
        let left = match journal.take() {
            Some(taken) => read(taken.net().unwrap().flush),
            None => Vec::new(),
        };
        let calls = |rows: &[ChargeRow], id: &str| rows.iter().filter(|row| row.charge_id == id).map(|row| row.calls).sum::<i64>();
        for id in ["0", "1", "2", "3"] {
            prop_assert_eq!(calls(&rows, id), calls(&left, id));
            let kinds: HashSet<_> = left.iter().filter(|row| row.charge_id == id && row.calls != 0).map(|row| row.calls).collect();
            prop_assert!(kinds.len() <= 1);
        }
        let duplicates = |rows: &[ChargeRow]| rows.iter().filter(|row| row.calls == 0).count();
        prop_assert_eq!(duplicates(&rows), duplicates(&left));
    }
}
