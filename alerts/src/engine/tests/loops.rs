//! What the shipped rules take for a runaway loop, and what for an agent that works or waits.

use super::*;

fn shipped() -> Bench {
    Bench::new(include_str!("../../../rules/default.yaml"))
}

/// One call of a tool.
fn call(bench: &mut Bench, agent: &str, tool: &str, input: &str) {
    let row = ChargeRow {
        tool_name: Some(tool.into()),
        ..bench.tool(agent, input)
    };
    bench.live(&[row]);
}

/// One call of a model, for so many thousandths of a dollar.
fn think(bench: &mut Bench, agent: &str, mills: i64) {
    let row = ChargeRow {
        cost_usd: Some(Decimal::new(mills, 3)),
        ..bench.model(agent, 0)
    };
    bench.live(&[row]);
}

/// A model decides on a call of a tool.
fn turn(bench: &mut Bench, tool: &str, input: &str, mills: i64) {
    think(bench, "a", mills);
    call(bench, "a", tool, input);
}

fn alerts_of<'a>(bench: &'a Bench, rule: &str) -> Vec<&'a str> {
    let rows = bench.alerts.iter().filter(|row| row.rule == rule);
    rows.map(|row| row.state.as_str()).collect()
}

#[test]
fn a_screenshot_before_each_click_on_another_place_is_work() {
    for pause in [1, 3] {
        let mut bench = shipped();
        for i in 0..300 / pause {
            turn(&mut bench, "screenshot", "{}", 15);
            turn(&mut bench, "click", &format!("x{i}"), 15);
            bench.pass(pause);
        }
        assert!(bench.orders.is_empty(), "{:?}", bench.orders);
        assert!(bench.alerts.is_empty(), "{:?}", bench.alerts);
    }
}

#[test]
fn a_poll_every_three_seconds_is_waiting_and_people_are_told() {
    type Besides = fn(&mut Bench, i64);
    let cases: [(&str, Besides); 3] = [
        ("in code", |_, _| {}),
        ("a cheap model decides each time", |bench, _| {
            think(bench, "a", 1);
        }),
        ("a dear model thinks every 21 s", |bench, i| {
            if i % 7 == 0 {
                think(bench, "a", 50);
            }
        }),
    ];
    for (name, besides) in cases {
        for pause in [3, 7] {
            let mut bench = shipped();
            for i in 0..300 / pause {
                besides(&mut bench, i);
                call(&mut bench, "a", "get_status", "job 1");
                bench.pass(pause);
            }
            assert!(bench.orders.is_empty(), "{name}: {:?}", bench.orders);
            assert_eq!(alerts_of(&bench, "slow-loop"), ["firing"], "{name}");
            assert!(alerts_of(&bench, "runaway-loop").is_empty(), "{name}");
        }
    }
}

#[test]
fn a_poll_whose_spans_come_in_bundles_is_as_slow_as_it_was() {
    let mut bench = shipped();
    for _ in 0..20 {
        bench.pass(15);
        let rows: Vec<_> = (0..5)
            .rev()
            .flat_map(|i| [bench.model("a", 0), bench.tool("a", "job 1")].map(|row| (i, row)))
            .map(|(i, row)| ChargeRow {
                start_unix_nano: row.start_unix_nano - i * 3 * SECOND,
                ..row
            })
            .collect();
        bench.live(&rows);
    }
    assert!(bench.orders.is_empty(), "{:?}", bench.orders);
}

#[test]
fn one_call_a_second_without_anything_new_is_a_runaway() {
    let mut bench = shipped();
    for i in 0..8 {
        assert!(bench.orders.is_empty(), "at call {i}");
        turn(&mut bench, "rerun", "same", 1);
        bench.pass(1);
    }
    assert_eq!(bench.frozen(), [&agent("a")]);
    assert_eq!(
        bench.orders[0].reason,
        "execution run-of-a called rerun 8 times within 3m with the same input and the same outcome, and tried \
         nothing new; the rule fires at 8"
    );
    let evidence = bench.orders[0].evidence.clone().unwrap();
    assert_eq!(
        evidence["numbers"]["model_calls"], 7,
        "one before each repeat"
    );
    assert_eq!(evidence["numbers"]["usd"], "0.007");
}

#[test]
fn as_many_calls_in_code_are_no_runaway() {
    let mut bench = shipped();
    for _ in 0..120 {
        call(&mut bench, "a", "get_status", "job 1");
        bench.pass(1);
    }
    assert!(bench.orders.is_empty(), "{:?}", bench.orders);
}

#[test]
fn two_calls_in_turn_are_a_runaway_too() {
    let mut bench = shipped();
    for i in 0..20 {
        turn(&mut bench, ["open", "close"][i % 2], "same", 1);
        bench.pass(1);
    }
    assert_eq!(bench.frozen(), [&agent("a")]);
    // Of the first two, each was new.
    assert!(bench.orders[0].cause.as_ref().unwrap().ended_at_unix_nano <= START + 16 * SECOND);
}

#[test]
fn a_loop_of_four_seconds_a_turn_is_a_runaway_once_it_costs_a_tenth_of_a_dollar() {
    for (mills, frozen_after) in [(20, Some(7)), (3, Some(34)), (2, None)] {
        let mut bench = shipped();
        let mut after = None;
        for i in 0..75 {
            turn(&mut bench, "rerun", "same", mills);
            bench.pass(4);
            if after.is_none() && !bench.frozen().is_empty() {
                after = Some(i);
            }
        }
        assert_eq!(after, frozen_after, "{mills} thousandths a turn");
    }
}

#[test]
fn anything_new_begins_the_count_again() {
    let mut bench = shipped();
    for i in 0..60 {
        let input = if i % 8 == 7 {
            format!("other-{i}")
        } else {
            "same".to_owned()
        };
        turn(&mut bench, "rerun", &input, 1);
        bench.pass(1);
    }
    assert!(bench.orders.is_empty(), "{:?}", bench.orders);
    // An old input is nothing new.
    for i in 0..10 {
        turn(
            &mut bench,
            "rerun",
            if i == 4 { "other-7" } else { "same" },
            1,
        );
        bench.pass(1);
    }
    assert_eq!(bench.frozen(), [&agent("a")]);
}

#[test]
fn a_bundle_with_all_model_calls_first_is_the_same_loop() {
    let mut bench = shipped();
    bench.pass(20);
    let at = |i: i64, row: ChargeRow| ChargeRow {
        start_unix_nano: row.start_unix_nano - (20 - i) * SECOND,
        ..row
    };
    let mut rows: Vec<_> = (0..8).map(|i| at(2 * i, bench.model("a", 1))).collect();
    rows.extend((0..8).map(|i| at(2 * i + 1, bench.tool("a", "same"))));
    bench.live(&rows);
    assert_eq!(bench.frozen(), [&agent("a")]);
}

#[test]
fn agents_of_one_execution_are_told_apart() {
    let together = |row: ChargeRow| ChargeRow {
        execution_id: "run".into(),
        ..row
    };
    let mut bench = shipped();
    for _ in 0..60 {
        let rows = [bench.tool("polls", "job 1"), bench.model("thinks", 4)];
        bench.live(&rows.map(together));
        bench.pass(1);
    }
    assert!(bench.orders.is_empty(), "{:?}", bench.orders);
    for i in 0..30 {
        let rows = [
            bench.model("loops", 1),
            bench.tool("loops", "same"),
            bench.tool("works", &format!("new-{i}")),
            bench.model("works", 1),
        ];
        bench.live(&rows.map(together));
        bench.pass(1);
    }
    assert_eq!(bench.frozen(), [&agent("loops")]);
}
