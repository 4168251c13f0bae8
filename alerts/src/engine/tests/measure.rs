//! What each kind of rule counts.

use proptest::prelude::*;

use super::*;

#[test]
fn spend_is_exact_to_the_last_digit() {
    let mut bench = Bench::new(SPEND);
    for _ in 0..9 {
        let mut row = bench.model("a", 0);
        row.cost_usd = Some(Decimal::from_str_exact("0.555555555555").unwrap());
        bench.live(&[row]);
    }
    // 9 x 0.555555555555 is 0.000000000005 short of the limit.
    assert_eq!(bench.orders.len(), 0);
    let mut row = bench.model("a", 0);
    row.cost_usd = Some(Decimal::new(4, 12));
    bench.live(&[row]);
    assert_eq!(bench.orders.len(), 0);
    let mut row = bench.model("a", 0);
    row.cost_usd = Some(Decimal::new(1, 12));
    bench.live(&[row]);
    assert_eq!(bench.orders.len(), 1);
    let evidence = bench.orders[0].evidence.clone().unwrap();
    assert_eq!(evidence["numbers"]["usd"], "5");
    assert_eq!(evidence["numbers"]["calls"], 11);
    assert_eq!(
        bench.orders[0].reason,
        "agent a spent 5 USD in 11 calls within 10s; the rule fires at 5 USD"
    );
}

#[test]
fn spend_is_kept_apart_by_agent_and_leaves_with_the_window() {
    let mut bench = Bench::new(SPEND);
    for second in 0..40 {
        bench.pass(1);
        // 0.45 USD a second over 10 s is 4.50.
        let rows = [
            bench.model("a", 45),
            bench.model(&format!("b{second}"), 450),
        ];
        bench.live(&rows);
    }
    assert_eq!(bench.orders.len(), 0);
}

#[test]
fn a_reversal_lowers_spend() {
    let mut bench = Bench::new(SPEND);
    let first = bench.model("a", 300);
    bench.live(std::slice::from_ref(&first));
    bench.live(&[reversal(&first)]);
    let second = bench.model("a", 300);
    bench.live(&[second]);
    assert_eq!(bench.orders.len(), 0, "3 - 3 + 3");
    let third = bench.model("a", 200);
    bench.live(&[third]);
    assert_eq!(bench.orders.len(), 1);
}

#[test]
fn a_correction_never_counts_twice_in_whichever_order_it_comes() {
    for turned in [false, true] {
        let mut bench = Bench::new(SPEND);
        let first = bench.model("a", 300);
        bench.live(std::slice::from_ref(&first));
        let mut both = [reversal(&first), bench.model("a", 310)];
        if turned {
            both.reverse();
        }
        bench.live(&both);
        assert_eq!(bench.orders.len(), 0);
        assert_eq!(
            bench.core.status().rules[0].keys[0].value.as_deref(),
            Some("3.1")
        );
    }
}

#[test]
fn what_was_told_before_counts_once() {
    let mut bench = Bench::new(SPEND);
    let row = bench.model("a", 300);
    bench.live(std::slice::from_ref(&row));
    bench.post(Origin::Replay, std::slice::from_ref(&row));
    bench.live(&[row.clone(), row]);
    assert_eq!(bench.orders.len(), 0);
    // Nor does the reversal of a charge that never counted.
    let other = bench.model("a", 900);
    bench.live(&[reversal(&other)]);
    assert_eq!(
        bench.core.status().rules[0].keys[0].value.as_deref(),
        Some("3")
    );
}

#[test]
fn duplicates_and_rows_without_an_agent_count_for_nobody() {
    let mut bench = Bench::new(SPEND);
    let duplicate = ChargeRow {
        entry: "duplicate".into(),
        ..bench.model("a", 900)
    };
    let nobody = ChargeRow {
        agent_name: None,
        ..bench.model("a", 900)
    };
    bench.live(&[duplicate, nobody]);
    assert_eq!(bench.orders.len(), 0);
    assert_eq!(bench.core.status().rules[0].unkeyed, 1);
}

#[test]
fn equal_calls_fire_at_the_count() {
    let mut bench = Bench::new(LOOP);
    for _ in 0..3 {
        let row = bench.tool("a", "same");
        bench.live(&[row]);
    }
    assert_eq!(bench.orders.len(), 0);
    let row = bench.tool("a", "same");
    bench.live(std::slice::from_ref(&row));
    assert_eq!(bench.frozen(), [&agent("a")]);
    let cause = bench.orders[0].cause.clone().unwrap();
    assert_eq!((cause.span_id, cause.trace_id), (row.span_id, row.trace_id));
    let evidence = bench.orders[0].evidence.clone().unwrap();
    assert_eq!(evidence["numbers"]["tool"], "search");
    assert_eq!(evidence["spans"].as_array().unwrap().len(), 4);
}

#[test]
fn calls_that_differ_or_lead_on_are_no_loop() {
    type Change = fn(&mut ChargeRow, usize);
    let cases: [(&str, Change); 7] = [
        ("other input", |row, i| {
            row.tool_input_hash = Some(format!("input-{i}"));
        }),
        ("unknown input", |row, _| row.tool_input_hash = None),
        ("other tool", |row, i| {
            row.tool_name = Some(format!("tool-{i}"));
        }),
        ("other execution", |row, i| {
            row.execution_id = format!("run-{i}");
        }),
        ("progress every third time", |row, i| {
            row.progress = (i % 3 == 2).then_some(0.1);
        }),
        ("fails twice, then succeeds, three rounds", |row, i| {
            row.tool_input_hash = Some(format!("input-{}", i / 3));
            row.error_type = (i % 3 != 2).then(|| "timeout".into());
        }),
        ("duplicates", |row, _| row.entry = "duplicate".into()),
    ];
    for (name, change) in cases {
        let mut bench = Bench::new(LOOP);
        for i in 0..9 {
            let mut row = bench.tool("a", "same");
            change(&mut row, i);
            bench.live(&[row]);
        }
        assert_eq!(bench.orders.len(), 0, "{name}");
    }
}

#[test]
fn a_model_call_that_reports_progress_ends_the_run_and_one_without_does_not() {
    for (progress, frozen) in [(Some(0.2), 0), (Some(0.0), 1), (Some(-0.5), 1), (None, 1)] {
        let mut bench = Bench::new(LOOP);
        for i in 0..4 {
            if i == 2 {
                let row = ChargeRow {
                    progress,
                    ..bench.model("a", 1)
                };
                bench.live(&[row]);
            }
            let row = bench.tool("a", "same");
            bench.live(&[row]);
        }
        assert_eq!(bench.orders.len(), frozen, "{progress:?}");
    }
}

#[test]
fn slow_polling_is_no_loop_and_alternating_outcomes_still_are() {
    let mut bench = Bench::new(LOOP);
    for _ in 0..20 {
        let row = bench.tool("a", "same");
        bench.live(&[row]);
        bench.pass(11);
    }
    assert_eq!(bench.orders.len(), 0, "three in 30 s");
    for i in 0..7 {
        let error_type = (i % 2 == 0).then(|| "timeout".into());
        let row = ChargeRow {
            error_type,
            ..bench.tool("b", "same")
        };
        bench.live(&[row]);
    }
    assert_eq!(bench.frozen(), [&agent("b")]);
}

#[test]
fn a_share_of_failures_needs_enough_calls() {
    let rules = "\
rules:
  - name: errors
    key: tool
    when:
      error_rate: { of: tool, at_least: 0.5, window: 1m, min_calls: 10 }
";
    let mut bench = Bench::new(rules);
    for i in 0..9 {
        let row = ChargeRow {
            error_type: Some("timeout".into()),
            ..bench.tool("a", &i.to_string())
        };
        bench.live(&[row]);
    }
    assert_eq!(bench.states(), [""; 0]);
    let row = bench.tool("a", "fine");
    bench.live(&[row]);
    assert_eq!(bench.states(), ["firing"]);
    let want = "tool search: 9 of 10 calls (90 %) failed within 1m; the rule fires at 50 %";
    assert_eq!(bench.alerts[0].summary, want);
    assert_eq!(bench.alerts[0].value, Some(0.9));
    // Too few to tell again: it holds.
    bench.pass(300);
    assert_eq!(bench.states(), ["firing"]);
}

#[test]
fn escalations_are_counted_and_taken_back() {
    let rules = "\
rules:
  - name: surge
    key: agent
    when:
      escalations: { at_least: 3, window: 10m }
";
    let mut bench = Bench::new(rules);
    let ended = |bench: &mut Bench| ChargeRow {
        termination: Some("escalation".into()),
        ..bench.call("execution", "a")
    };
    let rows = [ended(&mut bench), ended(&mut bench)];
    bench.live(&rows);
    bench.live(&[reversal(&rows[0])]);
    let well = ChargeRow {
        termination: Some("success".into()),
        ..bench.call("execution", "a")
    };
    let more = ended(&mut bench);
    bench.live(&[well, more]);
    assert_eq!(bench.states(), [""; 0]);
    let last = ended(&mut bench);
    bench.live(&[last]);
    assert_eq!(bench.states(), ["firing"]);
}

#[test]
fn keys_are_bounded_and_a_runaway_in_a_flood_is_still_seen() {
    let settings = Settings {
        keys: 100,
        ..Settings::default()
    };
    let mut bench = Bench::with(SPEND, settings);
    for i in 0..2_000 {
        let row = bench.model(&format!("agent-{i}"), 1);
        bench.live(&[row]);
        if i % 20 == 0 {
            let row = bench.model("runaway", 100);
            bench.live(&[row]);
        }
    }
    assert_eq!(bench.frozen(), [&agent("runaway")]);
    let status = bench.core.status();
    assert!(
        status.rules[0].watched <= 100 && status.rules[0].evicted > 1_000,
        "{status:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Against the plain definition: at every entry, the sum of what stands and was received in the last ten
    /// seconds (by whole seconds) decides.
    #[test]
    fn it_fires_exactly_when_the_sum_that_stands_reaches_the_limit(
        steps in prop::collection::vec((0i64..4, 1i64..180, any::<bool>()), 1..80),
    ) {
        let mut bench = Bench::new(SPEND);
        let mut standing: Vec<ChargeRow> = Vec::new();
        let mut want = false;
        for (wait, cents, back) in steps {
            bench.pass(wait);
            if back && !standing.is_empty() {
                let row = standing.remove(cents as usize % standing.len());
                bench.live(&[reversal(&row)]);
            } else {
                let row = bench.model("a", cents);
                standing.push(row.clone());
                bench.live(&[row]);
            }
            let first = bench.now.div_euclid(SECOND) - 9;
            let sum: Decimal = standing
                .iter()
                .filter(|row| row.received_at.0 / 1_000_000 >= first)
                .filter_map(|row| row.cost_usd)
                .sum();
            want |= sum >= Decimal::from(5);
            prop_assert_eq!(!bench.orders.is_empty(), want, "{} USD", sum);
            if want {
                break;
            }
        }
    }
}
