//! Traces of tens of thousands of spans: their cost grows with their size and not with its square, and
//! nothing is charged twice when their oldest spans are let go.

use std::time::{Duration, Instant};

use flyball_ingest::resolver::{Options, Resolver};
use flyball_store::rows::SpanRow;

use crate::journal::{Journal, SECOND, told, totals};
use crate::scene::{agent, call, of, some, tool};
use crate::truth::book;

fn with_room(spans: usize) -> Resolver {
    let options = Options {
        spans_of_trace_max: spans,
        ..Options::default()
    };
    Resolver::new("default", book(), &options)
}

/// Feeds requests of `request` spans, a tick after each fourth.
fn feed(resolver: &mut Resolver, spans: &[SpanRow], request: usize) -> Journal {
    let mut journal = Journal::default();
    for (at, rows) in spans.chunks(request).enumerate() {
        let now = at as i64 * SECOND / 20;
        journal.take(resolver.spans(&[told(rows, at as u64 + 1)], now).unwrap());
        if at % 4 == 3 {
            journal.take(resolver.tick(now).unwrap());
        }
    }
    journal
}

#[test]
fn fifty_thousand_spans_in_one_trace_take_seconds() {
    let spans: Vec<SpanRow> = (2..50_002)
        .map(|id| call(id, 1, 10, 1))
        .chain([agent(1, 0, "a")])
        .collect();
    let mut resolver = Resolver::new("default", book(), &Options::default());
    let began = Instant::now();
    let mut journal = feed(&mut resolver, &spans, 500);
    journal.take(resolver.settle_all(100 * SECOND).unwrap());
    // Nine seconds in a debug build on two busy cores.
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "{:?}",
        began.elapsed()
    );
    println!("50,000 spans: {:?}", began.elapsed());
    let counts = resolver.counts();
    assert!(counts.continued >= 2 && counts.reopened == 0, "{counts:?}");
    let sums = totals(&journal.rows);
    assert_eq!(
        (
            of(&journal.standing(), "model_call").len(),
            sums.input,
            sums.output
        ),
        (50_000, 500_000, 50_000)
    );
    let standing = journal.standing();
    let executions = of(&standing, "execution");
    // The agent told of itself last of all: what was let go before stays with the trace as its execution.
    let mut ids: Vec<&str> = executions
        .iter()
        .map(|row| row.execution_id.as_str())
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, [format!("{:032x}", 7), format!("{:016x}", 1)]);
}

#[test]
fn what_was_let_go_stands_and_is_not_charged_again() {
    let mut spans = vec![agent(1, 0, "a"), tool(2, 1, "search")];
    spans.extend((10..200).map(|id| SpanRow {
        finish_reason: some("tool_calls"),
        ..call(id, 1, 10, 1)
    }));
    // Told again, long after; and an agent's total, of which nobody remembers what it was the total of.
    spans.push(call(10, 1, 99, 9));
    spans.push(SpanRow {
        usage: some("exact"),
        input_tokens: Some(1_900),
        output_tokens: Some(190),
        ..agent(300, 1, "b")
    });
    let mut resolver = with_room(40);
    let mut journal = feed(&mut resolver, &spans, 7);
    journal.take(resolver.settle_all(100 * SECOND).unwrap());
    assert!(resolver.counts().continued > 3);
    let standing = journal.standing();
    assert_eq!(of(&standing, "tool_call").len(), 1);
    assert_eq!(of(&standing, "model_call").len(), 190);
    assert_eq!(totals(&journal.rows), totals(&standing));
    assert_eq!(totals(&standing).input, 1_900);
    let executions = of(&standing, "execution");
    assert_eq!(executions.len(), 1);
    assert_eq!(executions[0].agent_name, some("a"));
    assert!(
        of(&standing, "model_call").iter().all(
            |row| row.agent_name == some("a") && row.execution_id == executions[0].execution_id
        )
    );
}

#[test]
fn an_outer_telling_that_comes_after_the_cut_is_still_a_duplicate() {
    let wrapped = SpanRow {
        response_id: some("resp-1"),
        ..call(39, 300, 10, 1)
    };
    let mut spans = vec![agent(1, 0, "a")];
    spans.extend((2..39).map(|id| call(id, 1, 10, 1)));
    spans.push(wrapped);
    spans.extend((40..44).map(|id| call(id, 1, 10, 1)));
    let mut resolver = with_room(40);
    let mut journal = feed(&mut resolver, &spans, 50);
    assert_eq!(resolver.counts().continued, 1);
    let wrapper = SpanRow {
        response_id: some("resp-1"),
        ..call(300, 1, 10, 1)
    };
    journal.take(resolver.spans(&[told(&[wrapper], 9)], SECOND).unwrap());
    journal.take(resolver.settle_all(100 * SECOND).unwrap());
    assert_eq!(of(&journal.standing(), "model_call").len(), 42);
    assert_eq!(totals(&journal.rows).input, 420);
}

#[test]
fn a_wide_window_of_one_trace_is_not_looked_up_with_the_others() {
    let mut resolver = Resolver::new("default", book(), &Options::default());
    let in_trace = |trace: u64, start: i64| SpanRow {
        trace_id: format!("{trace:032x}"),
        start_unix_nano: start,
        ..call(1, 0, 10, 1)
    };
    let now = 1_795_000_000 * SECOND;
    let at = |row: SpanRow| SpanRow {
        received_at: flyball_store::rows::Micros::of_nanos(now),
        ..row
    };
    let rows: Vec<SpanRow> = [(1, now), (2, 0), (3, now - SECOND)]
        .map(|(trace, start)| at(in_trace(trace, start)))
        .to_vec();
    resolver.spans(&[told(&rows, 1)], now).unwrap();
    resolver.settle_all(now).unwrap();
    for (position, row) in (2..).zip(&rows) {
        let late = told(std::slice::from_ref(row), position);
        assert!(resolver.spans(&[late], now).unwrap().is_empty());
    }
    let mut first = resolver.wanted_first().unwrap();
    first.traces.sort();
    assert_eq!(first.traces, [format!("{:032x}", 1), format!("{:032x}", 3)]);
    assert_eq!(
        (first.from_unix_nano, first.to_unix_nano),
        (now - SECOND, now)
    );
    resolver
        .reopen(&first.traces, &flyball_store::Resume::default(), now)
        .unwrap();
    let second = resolver.wanted_first().unwrap();
    assert_eq!(
        (second.traces, second.from_unix_nano, second.to_unix_nano),
        (vec![format!("{:032x}", 2)], 0, now),
        "a live span whose clock is odd may belong to spans of today"
    );
}
