//! Corrections and settling: when a trace is done, and what is done about what comes later.

use flyball_ingest::resolver::{Options, Resolver};
use flyball_store::Origin;
use flyball_store::rows::{ChargeRow, SpanRow};
use rust_decimal::Decimal;

use crate::journal::{Journal, SECOND, told};
use crate::scene::{agent, call, of, resolver, some};
use crate::truth::book;

#[test]
fn what_is_entered_taken_back_and_entered_again_has_ids_of_its_own() {
    let mut resolver = resolver();
    let mut journal = Journal::default();
    let named = |name: &str| SpanRow {
        agent_name: some(name),
        ..call(1, 0, 10, 1)
    };
    for (position, name) in [(1, "a"), (2, "b"), (3, "a")] {
        journal.take(
            resolver
                .spans(&[told(&[named(name)], position)], 0)
                .unwrap(),
        );
    }
    let calls: Vec<&ChargeRow> = of(&journal.rows, "model_call");
    let entered: Vec<&str> = calls
        .iter()
        .filter(|row| row.entry == "charge")
        .map(|row| row.charge_id.as_str())
        .collect();
    assert_eq!(entered.len(), 3);
    assert!(entered[0] != entered[1] && entered[1] != entered[2] && entered[0] != entered[2]);
    assert_eq!(calls.iter().map(|row| row.calls).sum::<i64>(), 1);
    let reversal = calls.iter().find(|row| row.entry == "reversal").unwrap();
    assert_eq!(
        (reversal.calls, reversal.input_tokens, reversal.cost_usd),
        (-1, Some(-10), Some(Decimal::new(-35, 6)))
    );
    assert_eq!(
        (reversal.agent_name.clone(), reversal.start_time),
        (some("a"), calls[0].start_time),
        "where it stood"
    );
}

#[test]
fn a_trace_settles_when_complete_idle_or_old() {
    let tell = |rows: &[SpanRow]| {
        let mut resolver = resolver();
        resolver.spans(&[told(rows, 1)], 0).unwrap();
        resolver
    };
    let settles = |resolver: &mut Resolver, at: i64| {
        resolver
            .tick(at)
            .unwrap()
            .iter()
            .any(|post| !post.update.settled.is_empty())
    };
    let mut complete = tell(&[agent(1, 0, "a"), call(2, 1, 10, 1)]);
    assert!(!settles(&mut complete, 2 * SECOND - 1) && settles(&mut complete, 2 * SECOND));
    let mut orphaned = tell(&[agent(1, 0, "a"), call(2, 9, 10, 1)]);
    assert!(!settles(&mut orphaned, 30 * SECOND - 1) && settles(&mut orphaned, 30 * SECOND));
    let mut busy = tell(&[call(2, 1, 10, 1)]);
    for second in 1..90 {
        let more = told(&[call(second + 2, 1, 10, 1)], second + 1);
        busy.spans(&[more], second as i64 * 10 * SECOND).unwrap();
        assert!(!settles(&mut busy, second as i64 * 10 * SECOND));
    }
    assert!(settles(&mut busy, 900 * SECOND));
    assert_eq!(
        (
            complete.counts().settled_complete,
            orphaned.counts().settled_idle,
            busy.counts().settled_aged
        ),
        (1, 1, 1)
    );
}

#[test]
fn the_oldest_traces_settle_when_there_is_no_more_room() {
    let mut resolver = Resolver::new(
        "default",
        book(),
        &Options {
            spans_held_max: 2,
            ..Options::default()
        },
    );
    let mut settled = Vec::new();
    for trace in 1..5u64 {
        let row = SpanRow {
            trace_id: format!("{trace:032x}"),
            ..call(1, 9, 10, 1)
        };
        let posts = resolver.spans(&[told(&[row], trace)], 0).unwrap();
        settled.extend(posts.into_iter().flat_map(|post| post.update.settled));
    }
    assert_eq!(settled, [format!("{:032x}", 1), format!("{:032x}", 2)]);
    assert_eq!(
        (
            resolver.counts().settled_for_room,
            resolver.counts().spans_held
        ),
        (2, 2)
    );
}

#[test]
fn what_is_resolved_ends_before_the_first_span_of_an_open_trace() {
    let mut resolver = resolver();
    let in_trace = |trace: u64, row: SpanRow| SpanRow {
        trace_id: format!("{trace:032x}"),
        ..row
    };
    let mut journal = Journal::default();
    journal.take(
        resolver
            .spans(&[told(&[in_trace(1, call(1, 9, 10, 1))], 1)], 0)
            .unwrap(),
    );
    journal.take(
        resolver
            .spans(&[told(&[in_trace(2, call(1, 0, 10, 1))], 2)], 0)
            .unwrap(),
    );
    journal.take(resolver.tick(3 * SECOND).unwrap());
    assert_eq!(
        (journal.settled.len(), journal.resolved_to),
        (1, 0),
        "the first trace is open"
    );
    journal.take(resolver.tick(31 * SECOND).unwrap());
    assert_eq!((journal.settled.len(), journal.resolved_to), (2, 2));
}

#[test]
fn how_spans_came_stays_with_what_they_cause() {
    let mut resolver = resolver();
    let mut import = told(&[call(1, 0, 10, 1)], 1);
    import.origin = Origin::Import;
    assert!(
        resolver
            .spans(&[import], 0)
            .unwrap()
            .iter()
            .all(|post| post.origin == Origin::Import)
    );
    assert!(
        resolver
            .tick(3 * SECOND)
            .unwrap()
            .iter()
            .all(|post| post.origin == Origin::Import)
    );
}
