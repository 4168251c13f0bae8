//! Executions that are worth nothing, and money that leaks through many of them.

use proptest::prelude::*;

use super::*;

const LOW: &str = "\
rules:
  - name: low
    key: agent
    mode: enforce
    when:
      low_value_executions: { at_least: 3, share: 0.75, window: 10m }
    action: { throttle: { calls_per_minute: 1 } }
";

/// One execution that began `long` seconds ago, called a model once and ended now.
struct Run<'a> {
    id: &'a str,
    long: i64,
    termination: &'a str,
    task: Option<&'a str>,
    value: Option<i64>,
    decision: Option<bool>,
    progress: Option<f64>,
}

const RUN: Run<'static> = Run {
    id: "",
    long: 60,
    termination: "success",
    task: None,
    value: None,
    decision: Some(true),
    progress: None,
};

fn end(bench: &mut Bench, run: &Run<'_>) -> ChargeRow {
    let task_id = run.task.unwrap_or(run.id).to_owned();
    let call = ChargeRow {
        execution_id: run.id.into(),
        task_id: task_id.clone(),
        decision: run.decision,
        progress: run.progress,
        ..bench.model("a", 10)
    };
    let end = ChargeRow {
        execution_id: run.id.into(),
        task_id,
        start_unix_nano: bench.now - run.long * SECOND,
        duration_ns: Some(run.long * SECOND),
        termination: Some(run.termination.into()),
        value_usd: run.value.map(Decimal::from),
        ..bench.call("execution", "a")
    };
    bench.live(&[call, end.clone()]);
    bench.pass(1);
    end
}

fn ends(bench: &mut Bench, count: usize, run: &Run<'_>) {
    for i in 0..count {
        let id = format!("{}-{}-{i}", run.id, bench.now);
        end(bench, &Run { id: &id, ..*run });
    }
}

#[test]
fn one_failure_after_the_other_fires_with_what_they_cost() {
    let mut bench = Bench::new(LOW);
    let failure = Run {
        termination: "failure",
        ..RUN
    };
    ends(&mut bench, 2, &failure);
    assert!(bench.orders.is_empty());
    ends(
        &mut bench,
        1,
        &Run {
            termination: "abort",
            ..RUN
        },
    );
    assert_eq!(bench.orders.len(), 1);
    assert_eq!(
        bench.orders[0].reason,
        "agent a: 3 of 3 executions that ended within 10m were worth nothing, for 0.3 USD; the rule fires at 3"
    );
    let evidence = bench.orders[0].evidence.as_ref().unwrap();
    assert_eq!(evidence["numbers"]["why"]["failed"], 2);
    assert_eq!(evidence["numbers"]["why"]["aborted"], 1);
    assert_eq!(evidence["spans"].as_array().unwrap().len(), 3);
}

#[test]
fn each_sign_of_no_value_counts_and_nothing_unknown_does() {
    let low: [(&str, Run<'_>); 4] = [
        (
            "worth_nothing",
            Run {
                value: Some(0),
                ..RUN
            },
        ),
        (
            "done_before",
            Run {
                task: Some("report"),
                ..RUN
            },
        ),
        (
            "no_progress",
            Run {
                progress: Some(0.0),
                ..RUN
            },
        ),
        (
            "no_decision",
            Run {
                decision: Some(false),
                ..RUN
            },
        ),
    ];
    for (why, run) in low {
        let mut bench = Bench::new(LOW);
        ends(&mut bench, 4, &run);
        let evidence = bench
            .orders
            .first()
            .map(|order| order.evidence.clone().unwrap());
        assert_eq!(
            evidence.unwrap()["numbers"]["why"][why],
            3 + i32::from(bench.value("a").as_deref() == Some("9")),
            "{why}"
        );
    }
    let well: [Run<'_>; 7] = [
        RUN,
        Run {
            decision: None,
            ..RUN
        },
        Run {
            termination: "escalation",
            ..RUN
        },
        Run {
            termination: "failure",
            value: Some(5),
            ..RUN
        },
        Run {
            task: Some("report"),
            value: Some(5),
            ..RUN
        },
        Run {
            progress: Some(0.2),
            decision: Some(false),
            value: Some(1),
            ..RUN
        },
        // Began before the window: what it decided then is not known.
        Run {
            decision: Some(false),
            long: 700,
            ..RUN
        },
    ];
    for (at, run) in well.iter().enumerate() {
        let mut bench = Bench::new(LOW);
        ends(&mut bench, 8, run);
        assert!(bench.alerts.is_empty(), "{at}");
    }
}

#[test]
fn failures_among_work_that_is_worth_something_are_no_pattern() {
    let mut bench = Bench::new(LOW);
    for _ in 0..6 {
        ends(&mut bench, 1, &RUN);
        ends(
            &mut bench,
            2,
            &Run {
                termination: "failure",
                ..RUN
            },
        );
    }
    assert!(bench.alerts.is_empty(), "two in three are no three in four");
    ends(
        &mut bench,
        6,
        &Run {
            termination: "failure",
            ..RUN
        },
    );
    assert_eq!(bench.orders.len(), 1, "18 of 24");
}

#[test]
fn an_end_that_was_a_mistake_is_taken_back() {
    let mut bench = Bench::new(LOW);
    let failure = Run {
        termination: "failure",
        ..RUN
    };
    ends(&mut bench, 2, &failure);
    let third = end(
        &mut bench,
        &Run {
            id: "third",
            ..failure
        },
    );
    assert_eq!(bench.value("a").as_deref(), Some("3"));
    let success = ChargeRow {
        charge_id: "corrected".into(),
        termination: Some("success".into()),
        ..third.clone()
    };
    bench.live(&[reversal(&third), success]);
    bench.pass(1);
    assert_eq!(
        bench.value("a").as_deref(),
        Some("0"),
        "two of three are too small a share"
    );
}

#[test]
fn they_leave_with_the_window() {
    let mut bench = Bench::new(LOW);
    ends(
        &mut bench,
        3,
        &Run {
            termination: "failure",
            ..RUN
        },
    );
    bench.pass(610);
    assert_eq!(bench.alerts.last().unwrap().state, "ok");
}

#[test]
fn any_number_of_executions_is_bounded() {
    let mut bench = Bench::new(LOW);
    let rows: Vec<_> = (0..1_000)
        .map(|i| ChargeRow {
            execution_id: format!("run-{i}"),
            termination: Some("failure".into()),
            ..bench.call("execution", "a")
        })
        .collect();
    bench.live(&rows);
    bench.pass(1);
    assert_eq!(bench.value("a").as_deref(), Some("256"));
}

const LEAK: &str = "\
rules:
  - name: leak
    key: task
    mode: enforce
    when:
      budget_leakage: { limit: 5.00, executions: 3, window: 10m }
    action: freeze
    scope: agent
";

fn spend(bench: &mut Bench, execution: &str, cents: i64) -> ChargeRow {
    let row = ChargeRow {
        execution_id: execution.into(),
        task_id: "audit".into(),
        ..bench.model("a", cents)
    };
    bench.live(std::slice::from_ref(&row));
    row
}

#[test]
fn a_task_that_is_tried_again_and_again_leaks() {
    let mut bench = Bench::new(LEAK);
    for (execution, cents) in [("one", 200), ("two", 200), ("two", 50)] {
        spend(&mut bench, execution, cents);
    }
    spend(&mut bench, "three", 49);
    assert!(bench.orders.is_empty(), "4.99");
    let more = spend(&mut bench, "three", 2);
    assert_eq!(bench.orders.len(), 1);
    assert_eq!(
        bench.orders[0].reason,
        "task audit cost 5.01 USD within 10m in executions that each stayed under 5 USD (3 in all, the dearest 2.5 \
         USD); the rule fires at 5 USD together"
    );
    assert_eq!(bench.orders[0].scope, agent("a"));
    bench.live(&[reversal(&more)]);
    bench.pass(1);
    assert_eq!(bench.value("audit").as_deref(), Some("4.99"));
}

#[test]
fn two_executions_and_one_dear_one_are_other_rules_affairs() {
    let mut bench = Bench::new(LEAK);
    spend(&mut bench, "one", 499);
    spend(&mut bench, "two", 499);
    assert!(bench.orders.is_empty(), "two are no three");
    let mut bench = Bench::new(LEAK);
    for (execution, cents) in [("one", 900), ("two", 100), ("three", 100)] {
        spend(&mut bench, execution, cents);
    }
    assert!(bench.orders.is_empty());
    assert_eq!(
        bench.value("audit").as_deref(),
        Some("2"),
        "what no limit on one execution sees"
    );
}

#[test]
fn without_a_task_there_is_nothing_to_add_up() {
    let mut bench = Bench::new(LEAK);
    for i in 0..20 {
        let row = ChargeRow {
            execution_id: format!("{i}"),
            task_id: format!("{i}"),
            ..bench.model("a", 300)
        };
        bench.live(&[row]);
    }
    assert!(bench.orders.is_empty());
}

#[test]
fn more_executions_than_are_kept_apart_count_as_small() {
    let mut bench = Bench::new(LEAK);
    for i in 0..499 {
        spend(&mut bench, &format!("{i}"), 1);
    }
    assert!(bench.orders.is_empty());
    spend(&mut bench, "last", 1);
    assert_eq!(bench.orders.len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Worked out again from all that was spent and all that was taken back.
    #[test]
    fn the_leak_is_the_sum_over_executions_under_the_limit(
        events in prop::collection::vec((0usize..6, 1i64..200, 0i64..90, any::<bool>()), 1..60),
    ) {
        let mut bench = Bench::new(LEAK);
        let mut kept: Vec<(i64, usize, i64)> = Vec::new();
        for (execution, cents, pause, back) in events {
            bench.pass(pause);
            let row = spend(&mut bench, &execution.to_string(), cents);
            if back {
                bench.live(&[reversal(&row)]);
            } else {
                kept.push((bench.now, execution, cents));
            }
            // Windows over two minutes go by buckets of ten seconds.
            let first = bench.now.div_euclid(10 * SECOND) - 60;
            let mut sums = [0i64; 6];
            for (at, execution, cents) in &kept {
                if at.div_euclid(10 * SECOND) > first {
                    sums[*execution] += cents;
                }
            }
            let under: i64 = sums.iter().filter(|sum| **sum < 500).sum();
            let enough = sums.iter().filter(|sum| **sum > 0).count() >= 3;
            let want = Decimal::new(if enough { under } else { 0 }, 2).normalize().to_string();
            let status = bench.core.status();
            let value = status.rules[0].keys.first().and_then(|key| key.value.clone());
            prop_assert_eq!(value.as_deref(), Some(want.as_str()));
        }
    }
}
