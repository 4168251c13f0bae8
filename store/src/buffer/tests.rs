#![allow(clippy::unwrap_used)]
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::rows::{ContentRow, Row, SpanRow};

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
    let superseded = buffer.retold().superseded();
    let standing = superseded.filter(&taken.batches[0]).unwrap();
    assert_eq!((superseded.len(), standing.num_rows()), (1, 0));
    buffer.committed(1);
    assert_eq!(rows(&buffer), [span(1, 1, "final", 2)]);
    assert_eq!(buffer.oldest(), Some(2));
}

#[test]
fn what_could_not_be_flushed_loses_what_was_told_again_meanwhile() {
    let mut buffer = Buffer::new(Table::Spans);
    push(
        &mut buffer,
        1,
        &[span(1, 1, "pending", 1), span(1, 2, "x", 1)],
    );
    buffer.take(1).unwrap();
    push(&mut buffer, 2, &[span(1, 1, "final", 2)]);
    buffer.give_back();
    let names: Vec<_> = rows(&buffer).into_iter().map(|row| row.name).collect();
    assert_eq!(
        (names, buffer.rows()),
        (vec!["x".into(), "final".into()], 2)
    );
    // What is flushed then is one telling of each.
    let taken = buffer.take(2).unwrap();
    assert_eq!(
        taken
            .batches
            .iter()
            .map(RecordBatch::num_rows)
            .sum::<usize>(),
        2
    );
}

#[test]
fn a_span_told_again_after_its_flush_is_known() {
    let mut buffer = Buffer::new(Table::Spans);
    push(
        &mut buffer,
        1,
        &[span(1, 1, "pending", 1), span(1, 2, "x", 1)],
    );
    buffer.take(1).unwrap();
    buffer.committed(1);
    push(
        &mut buffer,
        2,
        &[span(1, 1, "running", 2), span(1, 3, "new", 2)],
    );
    push(&mut buffer, 3, &[span(1, 1, "final", 3)]);
    let superseded = buffer.retold().superseded();
    let first = SpanRow::batch(&[span(1, 1, "pending", 1), span(1, 2, "x", 1)]).unwrap();
    assert_eq!(
        SpanRow::read(&superseded.filter(&first).unwrap()).unwrap(),
        [span(1, 2, "x", 1)]
    );
    assert!(superseded.hides_any(&first));
    for batch in buffer.batches() {
        assert!(!superseded.hides_any(&batch));
    }
}

#[test]
fn of_two_contents_in_one_request_the_fuller_stands() {
    let content = |bytes, input: &str| ContentRow {
        trace_id: format!("{:032x}", 1),
        span_id: format!("{:016x}", 1),
        input: Some(input.into()),
        bytes,
        log_position: 1,
        ..ContentRow::default()
    };
    let told = [content(5, "whole"), content(3, "hal"), content(5, "again")];
    let mut buffer = Buffer::new(Table::Contents);
    buffer.push(1, ContentRow::batch(&told).unwrap());
    let [batch] = &buffer.batches()[..] else {
        panic!()
    };
    assert_eq!(ContentRow::read(batch).unwrap(), [content(5, "again")]);
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
                prop_assert_eq!(buffer.bytes(), buffer.retold().bytes());
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
