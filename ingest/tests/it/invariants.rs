//! What holds for every trace, honest or not: order, grouping, lateness and crashes change nothing that
//! is charged in the end.

use std::collections::HashMap;

use flyball_ingest::resolver::{Options, Resolver};
use flyball_store::rows::{ChargeRow, Micros, SpanRow};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::journal::{Journal, SECOND, totals};
use crate::shelf::Shelf;
use crate::truth::book;

/// When everything happens, nanoseconds since 1970.
const BEGINNING: i64 = 1_795_000_000 * SECOND;

fn resolver() -> Resolver {
    let options = Options {
        escalation_tools: vec!["escalate_to_human".to_owned()],
        ..Options::default()
    };
    Resolver::new("default", book(), &options)
}

/// Spans of a few small traces, drawn so that every rule has something to decide.
fn spans() -> impl Strategy<Value = Vec<SpanRow>> {
    let one = (
        0u8..8,
        any::<Index>(),
        0u8..10,
        prop::array::uniform6(0u8..6),
        0i64..40,
        0u8..2,
    );
    prop::collection::vec(one, 1..16).prop_map(|drawn| {
        drawn
            .iter()
            .enumerate()
            .map(|(at, (class, parent, link, pick, start, trace))| {
                let parent = match link {
                    0 => None,
                    1 => Some(0xdead),
                    // Rings and spans that are their own parent: no honest sender.
                    2 => Some(parent.index(drawn.len()) as u64 + 1),
                    _ => Some(parent.index(at.max(1)) as u64 + 1).filter(|_| at > 0),
                };
                let mut row = SpanRow {
                    trace_id: format!("{:032x}", trace + 1),
                    span_id: format!("{:016x}", at + 1),
                    parent_span_id: parent.map(|id| format!("{id:016x}")),
                    start_unix_nano: BEGINNING + start,
                    start_time: Micros::of_nanos(BEGINNING + start),
                    duration_ns: i64::from(pick[0]) * 7,
                    service_name: Some("service".into()),
                    ..SpanRow::default()
                };
                describe(&mut row, *class, pick);
                row
            })
            .collect()
    })
}

fn describe(row: &mut SpanRow, class: u8, pick: &[u8; 6]) {
    let choose = |at: usize, of: &[&str]| {
        of.get(usize::from(pick[at]))
            .filter(|word| !word.is_empty())
            .map(|word| (*word).to_owned())
    };
    row.agent_name = choose(5, &["", "", "alice", "bob"]);
    row.session_id = choose(4, &["", "", "", "s1", "s2"]);
    row.error_type = choose(3, &["", "", "", "", "timeout"]);
    let usage = |row: &mut SpanRow| {
        let tokens = [
            None,
            Some((10, 1)),
            Some((20, 2)),
            Some((30, 3)),
            Some((10, 1)),
            None,
        ][usize::from(pick[1])];
        if let Some((input, output)) = tokens {
            (row.input_tokens, row.output_tokens) = (Some(input), Some(output));
            row.cache_read_tokens = (pick[2] == 0).then_some(5);
            row.cache_write_tokens = (pick[2] == 1).then_some(4);
            row.cache_write_1h_tokens = (pick[2] == 1 && pick[3] == 0).then_some(2);
            row.audio_output_tokens = (pick[4] == 0).then_some(1);
            row.usage = Some(
                if row.error_type.is_some() {
                    "partial"
                } else {
                    "exact"
                }
                .into(),
            );
        }
    };
    match class {
        0..=2 => {
            row.operation = Some("chat".into());
            row.usage = Some("unknown".into());
            row.request_model = choose(2, &["gpt-4o", "gpt-4o", "gpt-5-mini", ""]);
            row.response_model = choose(4, &["gpt-4o-2024-08-06", "", "gpt-5-mini-2025-08-07"]);
            row.response_id = choose(5, &["", "", "", "resp-1", "resp-2"]);
            row.finish_reason = choose(0, &["stop", "tool_calls", "length", ""]);
            row.step = (pick[3] > 3).then_some(1);
            row.scope_name = choose(
                2,
                &[
                    "openinference.instrumentation.openai",
                    "com.openai.sdk",
                    "langchain",
                ],
            );
            usage(row);
        }
        3 => {
            row.operation = Some("execute_tool".into());
            row.tool_name = choose(1, &["search", "search", "escalate_to_human", ""]);
            row.tool_call_id = choose(2, &["", "", "", "call-1", "call-2"]);
            row.tool_target = choose(3, &["", "", "file-1", "file-2"]);
            row.injection_markers = choose(4, &["", "none", "hidden_text"]);
        }
        4 => {
            row.operation = Some("invoke_agent".into());
            row.execution_id = choose(1, &["", "", "", "", "run-1", "run-2"]);
            row.termination = choose(2, &["", "", "", "", "abort"]);
            // The total of its whole life: usage that is not this run's.
            row.usage = (pick[1] == 5).then(|| "unknown".into());
            usage(row);
        }
        5 => {
            row.operation = Some("invoke_workflow".into());
            usage(row);
        }
        6 => row.operation = Some("embeddings".into()),
        _ => {}
    }
}

/// What stands, without what depends on when we learned it.
fn standing(rows: &[ChargeRow]) -> Vec<String> {
    let journal = Journal {
        rows: rows.to_vec(),
        ..Journal::default()
    };
    let reversed: Vec<String> = rows
        .iter()
        .filter(|row| row.entry == "reversal")
        .map(|row| row.charge_id.clone())
        .collect();
    let duplicates = rows
        .iter()
        .filter(|row| row.entry == "duplicate" && !reversed.contains(&row.charge_id))
        .cloned();
    let mut standing: Vec<String> = journal
        .standing()
        .into_iter()
        .chain(duplicates)
        .map(|row| {
            let told = ChargeRow {
                charge_id: String::new(),
                known_at: Micros(0),
                received_at: Micros(0),
                reason: None,
                log_position: 0,
                ..row
            };
            format!("{told:?}")
        })
        .collect();
    standing.sort();
    standing
}

/// The journal balances: its sums are those of what stands, each entry is taken back at most once, and
/// nothing is taken back that was not entered.
fn balances(rows: &[ChargeRow]) {
    let journal = Journal {
        rows: rows.to_vec(),
        ..Journal::default()
    };
    assert_eq!(totals(rows), totals(&journal.standing()));
    let decisions = |rows: &[ChargeRow]| rows.iter().map(|row| row.decisions).sum::<i64>();
    assert_eq!(decisions(rows), decisions(&journal.standing()));
    let mut entries: HashMap<(&str, bool), u32> = HashMap::new();
    for row in rows {
        let count = entries
            .entry((row.charge_id.as_str(), row.entry == "reversal"))
            .or_default();
        *count += 1;
        assert_eq!(*count, 1, "{row:?}");
    }
    for (id, reversal) in entries.keys() {
        assert!(
            !reversal || entries.contains_key(&(*id, false)),
            "{id} was never entered"
        );
    }
    let standing = journal.standing();
    let billed: Vec<&str> = standing
        .iter()
        .filter(|row| row.kind != "execution")
        .map(|row| row.span_id.as_str())
        .collect();
    let mut once = billed.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), billed.len(), "a span bills at most once");
}

fn at_once(spans: &[SpanRow]) -> Vec<ChargeRow> {
    let mut resolver = resolver();
    let mut shelf = Shelf::default();
    shelf.append(&mut resolver, spans, BEGINNING);
    shelf.journal(resolver.settle_all(BEGINNING + SECOND).unwrap());
    shelf.rows()
}

fn shuffled(spans: &[SpanRow], keys: &[u32]) -> Vec<SpanRow> {
    let mut keyed: Vec<(u32, &SpanRow)> = keys.iter().copied().cycle().zip(spans).collect();
    keyed.sort_by_key(|(key, _)| *key);
    keyed.into_iter().map(|(_, row)| row.clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    #[test]
    fn any_order_and_grouping_gives_the_same_charges(
        spans in spans(), keys in prop::collection::vec(any::<u32>(), 16), group in 1usize..5,
    ) {
        let expected = at_once(&spans);
        balances(&expected);
        let mut resolver = resolver();
        let mut shelf = Shelf::default();
        for request in shuffled(&spans, &keys).chunks(group) {
            shelf.append(&mut resolver, request, BEGINNING);
        }
        shelf.journal(resolver.settle_all(BEGINNING + SECOND).unwrap());
        balances(&shelf.rows());
        prop_assert_eq!(standing(&shelf.rows()), standing(&expected));
    }

    #[test]
    fn settling_late_spans_and_crashes_change_nothing_in_the_end(
        spans in spans(), keys in prop::collection::vec(any::<u32>(), 16),
        events in prop::collection::vec(0u8..6, 16),
    ) {
        let expected = at_once(&spans);
        let mut resolver = resolver();
        let mut shelf = Shelf::default();
        let mut now = BEGINNING;
        for (row, event) in shuffled(&spans, &keys).into_iter().zip(events) {
            now += SECOND / 10;
            shelf.append(&mut resolver, &[row], now);
            match event {
                0 => resolver = shelf.restart(self::resolver(), now),
                1 => {
                    now += 31 * SECOND;
                    shelf.journal(resolver.tick(now).unwrap());
                }
                2 => {
                    now += 3 * SECOND;
                    shelf.journal(resolver.tick(now).unwrap());
                }
                _ => {}
            }
        }
        shelf.journal(resolver.settle_all(now).unwrap());
        resolver = shelf.restart(self::resolver(), now);
        shelf.journal(resolver.settle_all(now).unwrap());
        balances(&shelf.rows());
        prop_assert_eq!(standing(&shelf.rows()), standing(&expected));
    }
}
