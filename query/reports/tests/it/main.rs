//! Chargeback over journal rows, checked against sums made another way.
#![allow(clippy::unwrap_used)]

mod engine;
mod journal;

use std::collections::BTreeMap;

use flyball_reports::{Chargeback, Dimension, Error, Report, Usd};
use journal::{Entry, entry};
use proptest::prelude::*;

fn report(by: &str, entries: &[Entry]) -> Report {
    // Two batches, so that nothing hangs on there being one.
    let (a, b) = entries.split_at(entries.len() / 2);
    Chargeback::by(Dimension::parse_list(by).unwrap())
        .unwrap()
        .report(&[journal::batch(a), journal::batch(b)])
        .unwrap()
}

/// A day of two teams: worked out by hand.
fn worked_example() -> Vec<Entry> {
    vec![
        // 1000 input of which 200 cached, 50 output, 0.30 dollars.
        Entry {
            decisions: 1,
            ..entry("ops", "triage")
                .tokens(1000, 200, 10, 50)
                .cost(300_000_000_000)
        },
        // The same call again, then taken back: leaves nothing.
        entry("ops", "triage")
            .tokens(1000, 200, 10, 50)
            .cost(300_000_000_000),
        Entry {
            calls: -1,
            ..entry("ops", "triage")
                .tokens(-1000, -200, -10, -50)
                .cost(-300_000_000_000)
        },
        entry("ops", "support")
            .tokens(10, 0, 0, 5)
            .cost(100_000_000_000),
        // A model that no price is known for.
        entry("ops", "support").tokens(7, 0, 0, 3),
        // Nobody's.
        Entry {
            team: None,
            agent: None,
            ..entry("", "").tokens(1, 0, 0, 1).cost(1)
        },
        // A tool with a price, and one without.
        Entry {
            kind: "tool_call",
            ..entry("ops", "support").cost(99_999_999_999)
        },
        Entry {
            kind: "tool_call",
            ..entry("ops", "support")
        },
        // An execution counts as no call.
        Entry {
            kind: "execution",
            ..entry("ops", "support")
        },
        // Twice told: all zero.
        Entry {
            calls: 0,
            ..entry("lab", "echo").tokens(0, 0, 0, 0).cost(0)
        },
    ]
}

#[test]
fn the_worked_example_comes_out_as_by_hand() {
    let report = report("team,agent", &worked_example());
    let keys: Vec<Vec<Option<&str>>> = report
        .lines
        .iter()
        .map(|line| line.key.iter().map(Option::as_deref).collect())
        .collect();
    assert_eq!(
        keys,
        [
            vec![Some("ops"), Some("triage")],
            vec![Some("ops"), Some("support")],
            vec![None, None],
        ]
    );
    let triage = &report.lines[0];
    assert_eq!((triage.calls, triage.decisions), (1, 1));
    assert_eq!((triage.input_tokens, triage.cache_read_tokens), (1000, 200));
    assert_eq!((triage.cache_write_tokens, triage.output_tokens), (10, 50));
    assert_eq!(triage.cost_usd, Some(Usd::of_trillionths(300_000_000_000)));
    assert_eq!(triage.share.unwrap().to_string(), "60.00");
    let support = &report.lines[1];
    assert_eq!(
        (support.calls, support.tool_calls, support.unpriced_calls),
        (2, 2, 1)
    );
    assert_eq!(support.cost_usd, Some(Usd::of_trillionths(199_999_999_999)));
    assert_eq!(report.lines[2].share.unwrap().to_string(), "0.00");
    assert_eq!(report.total.cost_usd.unwrap().to_string(), "0.500000000000");
    assert_eq!((report.total.calls, report.total.unpriced_calls), (4, 1));
}

#[test]
fn without_any_price_there_is_no_cost_rather_than_none() {
    let report = report("team", &[entry("ops", "a").tokens(5, 0, 0, 5)]);
    assert_eq!(report.total.cost_usd, None);
    assert_eq!(report.lines[0].share, None);
    assert_eq!(report.total.unpriced_calls, 1);
    assert!(
        report.table().contains("1 calls have no price"),
        "{}",
        report.table()
    );
}

#[test]
fn no_rows_make_an_empty_report() {
    let chargeback = Chargeback::by(vec![Dimension::Team]).unwrap();
    for batches in [vec![], vec![journal::batch(&[])]] {
        let report = chargeback.report(&batches).unwrap();
        assert!(report.lines.is_empty());
        assert_eq!(report.total.calls, 0);
        assert!(
            report
                .csv()
                .unwrap()
                .ends_with("total,,0,0,0,0,0,0,0,0,,\n")
        );
    }
}

#[test]
fn a_day_is_written_out_and_the_used_model_goes_before_the_asked_for() {
    let asked = Entry {
        request_model: Some("large"),
        ..entry("ops", "a").cost(1)
    };
    let used = Entry {
        response_model: Some("large-2026"),
        ..asked.clone()
    };
    let report = report("day,model", &[asked, used]);
    let keys: Vec<String> = report
        .lines
        .iter()
        .map(|line| format!("{:?}", line.key))
        .collect();
    assert_eq!(
        keys,
        [
            r#"[Some("2026-11-22"), Some("large")]"#,
            r#"[Some("2026-11-22"), Some("large-2026")]"#
        ]
    );
}

#[test]
fn the_table_shows_every_line_exactly() {
    let table = report("team,agent", &worked_example()).table();
    for part in [
        "(none)",
        "0.300000000000",
        "0.199999999999",
        "0.000000000001",
        "60.00",
        "total",
        "0.500000000000",
    ] {
        assert!(table.contains(part), "{part} in\n{table}");
    }
}

#[test]
fn the_csv_has_a_header_every_line_and_the_total() {
    let csv = report("team,agent", &worked_example()).csv().unwrap();
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(
        lines,
        [
            "line,team,agent,calls,decisions,input_tokens,cache_read_tokens,cache_write_tokens,output_tokens,tool_calls,unpriced_calls,cost_usd,share_percent",
            "group,ops,triage,1,1,1000,200,10,50,0,0,0.300000000000,60.00",
            "group,ops,support,2,0,17,0,0,8,2,1,0.199999999999,40.00",
            "group,(none),(none),1,0,1,0,0,1,0,0,0.000000000001,0.00",
            "total,,,4,1,1018,200,10,59,2,1,0.500000000000,100.00",
        ]
    );
}

#[test]
fn hostile_names_do_no_harm() {
    let formula = Entry {
        agent: Some("=HYPERLINK(\"http://x\",\"y\")".to_owned()),
        ..entry("a,\"b\"\n", "").cost(2)
    };
    let escape = Entry {
        agent: Some("\u{1b}[2Jgone".to_owned()),
        ..entry("ops", "").cost(1)
    };
    let report = report("team,agent", &[formula, escape]);
    let csv = report.csv().unwrap();
    assert!(csv.contains("\"a,\"\"b\"\"\n\",\"'=HYPERLINK("), "{csv}");
    let table = report.table();
    assert!(!table.contains('\u{1b}'), "{table:?}");
    assert!(table.contains("\\u{1b}[2Jgone"), "{table}");
}

#[test]
fn sums_past_the_range_are_refused_not_wrapped() {
    let entries = vec![entry("ops", "a").cost(9 * 10_i128.pow(37)); 2];
    let refused = Chargeback::by(vec![Dimension::Team])
        .unwrap()
        .report(&[journal::batch(&entries)]);
    assert!(matches!(
        refused,
        Err(Error::SumTooLarge { column: "cost_usd" })
    ));
    // Token counts are the sender's word: past 64 bits they still add up.
    let many = report(
        "team",
        &vec![entry("ops", "a").tokens(i64::MAX, 0, 0, 0); 3],
    );
    assert_eq!(many.total.input_tokens, 3 * i128::from(i64::MAX));
}

#[test]
fn missing_and_inexact_columns_are_named() {
    let chargeback = Chargeback::by(vec![Dimension::Team]).unwrap();
    let whole = journal::batch(&worked_example());
    let at = whole.schema().index_of("cost_usd").unwrap();
    let mut without = whole.clone();
    without.remove_column(at);
    assert!(matches!(
        chargeback.report(&[without]),
        Err(Error::MissingColumn { column: "cost_usd" })
    ));
    let message = chargeback
        .report(&[journal::with_float_cost(&whole)])
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("cost_usd") && message.contains("Float64"),
        "{message}"
    );
}

#[test]
fn the_sql_asks_for_what_the_report_needs() {
    let by = Chargeback::by(vec![Dimension::Model, Dimension::Day]).unwrap();
    let sql = by.sql(Some(5), Some(9));
    assert_eq!(
        sql,
        "SELECT kind, response_model, request_model, date, sum(CAST(calls AS DECIMAL(28,0))) AS calls, \
         sum(CAST(decisions AS DECIMAL(28,0))) AS decisions, sum(CAST(input_tokens AS DECIMAL(28,0))) AS input_tokens, \
         sum(CAST(cache_read_tokens AS DECIMAL(28,0))) AS cache_read_tokens, \
         sum(CAST(cache_write_tokens AS DECIMAL(28,0))) AS cache_write_tokens, \
         sum(CAST(output_tokens AS DECIMAL(28,0))) AS output_tokens, sum(CAST(cost_usd AS DECIMAL(28,12))) AS cost_usd \
         FROM charges WHERE kind <> 'execution' AND start_unix_nano >= 5 AND start_unix_nano < 9 \
         GROUP BY kind, response_model, request_model, date, cost_usd IS NULL"
    );
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let kind = prop_oneof![
        Just("model_call"),
        Just("embedding"),
        Just("tool_call"),
        Just("execution")
    ];
    let one = (
        kind,
        proptest::option::of(0_u8..3),
        proptest::option::of(0_u8..3),
        proptest::option::of(-10_i128.pow(18)..10_i128.pow(18)),
        -1_i64..=1,
        proptest::option::of(0_i64..1 << 40),
    )
        .prop_map(|(kind, team, agent, cost, calls, input)| Entry {
            kind,
            team: team.map(|n| format!("team-{n}")),
            agent: agent.map(|n| format!("agent-{n}")),
            cost,
            calls,
            input,
            ..entry("", "")
        });
    proptest::collection::vec(one, 0..60)
}

proptest! {
    #[test]
    fn every_line_and_the_total_equal_an_independent_sum(entries in entries()) {
        let report = report("agent,team", &entries);
        let mut expected: BTreeMap<Vec<Option<String>>, (i128, i128, i128)> = BTreeMap::new();
        let mut total = (0, 0, 0);
        for entry in entries.iter().filter(|entry| entry.kind != "execution") {
            let line = expected.entry(vec![entry.agent.clone(), entry.team.clone()]).or_default();
            for sum in [line, &mut total] {
                sum.0 += entry.cost.unwrap_or(0);
                sum.1 += i128::from(if entry.kind == "tool_call" { 0 } else { entry.calls });
                sum.2 += i128::from(entry.input.unwrap_or(0));
            }
        }
        let found = |line: &flyball_reports::Line| {
            (line.cost_usd.map_or(0, Usd::trillionths), line.calls, line.input_tokens)
        };
        prop_assert_eq!(found(&report.total), total);
        let nothing = (0, 0, 0);
        for line in &report.lines {
            prop_assert_eq!(found(line), *expected.get(&line.key).unwrap_or(&nothing));
        }
        for (key, sums) in &expected {
            let shown = report.lines.iter().any(|line| line.key == *key);
            prop_assert!(shown || *sums == nothing, "{:?} is missing", key);
        }
        let costs: Vec<_> = report.lines.iter().map(|line| line.cost_usd).collect();
        prop_assert!(costs.is_sorted_by(|a, b| a >= b));
    }
}
