#![allow(clippy::unwrap_used)]
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::rows::{Row, SpanRow};

fn span(trace: u8, span: u8, name: &str, position: u64) -> SpanRow {
    SpanRow {
        trace_id: format!("{trace:032x}"),
        span_id: format!("{span:016x}"),
        name: name.into(),
        log_position: position as i64,
        ..SpanRow::default()
    }
}

fn rows(buffer: &Buffer) -> Vec<SpanRow> {
    buffer
        .batches()
        .iter()
        .flat_map(|batch| SpanRow::read(batch).unwrap())
        .collect()
}

fn push(buffer: &mut Buffer, position: u64, spans: &[SpanRow]) {
    buffer.push(position, SpanRow::batch(spans).unwrap());
}

#[test]
fn of_two_tellings_the_later_stands() {
    let mut buffer = Buffer::new(Table::Spans);
    push(
        &mut buffer,
        1,
        &[span(1, 1, "pending", 1), span(1, 2, "other", 1)],
    );
    push(
        &mut buffer,
        2,
        &[span(1, 1, "again", 2), span(1, 1, "final", 2)],
    );
    let names: Vec<_> = rows(&buffer).into_iter().map(|row| row.name).collect();
    assert_eq!(names, ["other", "final"]);
    assert_eq!(buffer.rows(), 2);
}

#[test]
fn what_is_being_flushed_is_not_touched() {
    let mut buffer = Buffer::new(Table::Spans);
    push(&mut buffer, 1, &[span(1, 1, "pending", 1)]);
    let taken = buffer.take(1).unwrap();
    assert_eq!((taken.to, taken.batches.len()), (1, 1));
    push(&mut buffer, 2, &[span(1, 1, "final", 2)]);
    assert_eq!(
        rows(&buffer).len(),
        2,
        "the first telling is on its way to disk"
    );
    buffer.committed(1);
    assert_eq!(rows(&buffer), [span(1, 1, "final", 2)]);
    assert_eq!(buffer.oldest(), Some(2));
}

#[test]
fn odd_ids_are_kept_as_they_are() {
    let mut buffer = Buffer::new(Table::Spans);
    let odd = SpanRow {
        trace_id: "x".into(),
        ..SpanRow::default()
    };
    push(&mut buffer, 1, &[odd.clone(), odd]);
    assert_eq!(buffer.rows(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// The buffer against a map from span to its latest telling, through merges and flushes.
    #[test]
    fn it_holds_what_a_map_would(steps in proptest::collection::vec((proptest::collection::vec((0..3u8, 0..20u8), 0..6), 0..40u8), 1..100)) {
        let mut buffer = Buffer::new(Table::Spans);
        let mut model: BTreeMap<(u8, u8), u64> = BTreeMap::new();
        for (position, (spans, flush)) in (1u64..).zip(steps) {
            let told: Vec<_> = spans.iter().map(|(t, s)| span(*t, *s, "x", position)).collect();
            push(&mut buffer, position, &told);
            model.extend(spans.into_iter().map(|id| (id, position)));
            if flush == 0 && let Some(taken) = buffer.take(position) {
                prop_assert_eq!(taken.batches.iter().map(RecordBatch::num_rows).sum::<usize>(), model.len());
                buffer.committed(taken.to);
                model.clear();
                prop_assert_eq!(buffer.bytes(), 0);
            }
            let mut have: Vec<_> = rows(&buffer).into_iter().map(|row| (row.trace_id, row.span_id, row.log_position)).collect();
            have.sort();
            let want: Vec<_> = model.iter().map(|((t, s), p)| (format!("{t:032x}"), format!("{s:016x}"), *p as i64)).collect();
            prop_assert_eq!(have, want);
            prop_assert_eq!(buffer.rows(), model.len());
            prop_assert!(buffer.batches().len() < 64);
        }
    }
}
