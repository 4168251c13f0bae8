//! Rates of change, retries, model calls in a row, tools that are not on the list.

use super::*;

const GROWTH: &str = "\
rules:
  - name: growth
    key: agent
    mode: enforce
    when:
      rate_of_change: { of: spend, at_least: 3, window: 1m, base: 10m, floor: 1.00 }
    action: { throttle: { calls_per_minute: 10 } }
";

/// So many cents every ten seconds.
fn spend(bench: &mut Bench, cents: i64, seconds: i64) {
    for _ in 0..seconds / 10 {
        bench.pass(10);
        let row = bench.model("a", cents);
        bench.live(&[row]);
    }
}

#[test]
fn three_times_what_it_was_fires_and_a_third_less_does_not() {
    let mut bench = Bench::new(GROWTH);
    spend(&mut bench, 20, 900);
    assert_eq!(bench.value("a").as_deref(), Some("1"), "as ever");
    spend(&mut bench, 40, 60);
    assert_eq!(bench.orders.len(), 0);
    spend(&mut bench, 20, 900);
    spend(&mut bench, 60, 60);
    assert_eq!(bench.orders.len(), 1);
    let order = &bench.orders[0];
    // 6 x 0.60 beside a minute's share of 10 minutes of 6 x 0.20.
    assert_eq!(
        order.reason,
        "agent a: spend within 1m is 3 times what it was in the 10m before (3.6, expected 1.2); the rule fires at 3 times"
    );
}

#[test]
fn small_numbers_and_short_histories_never_fire() {
    let mut bench = Bench::new(GROWTH);
    spend(&mut bench, 1, 900);
    spend(&mut bench, 15, 60);
    assert_eq!(bench.orders.len(), 0, "15 times, but 0.90 USD");
    let mut bench = Bench::new(GROWTH);
    spend(&mut bench, 20, 300);
    spend(&mut bench, 500, 60);
    assert_eq!(bench.orders.len(), 0, "five minutes are no ten");
    // From nothing, nobody knows how many times.
    let mut bench = Bench::new(GROWTH);
    spend(&mut bench, 500, 60);
    assert_eq!(bench.orders.len(), 0);
}

const STORM: &str = "\
rules:
  - name: storm
    key: execution
    mode: enforce
    when:
      retry_storm: { at_least: 3, window: 1m }
    action: freeze
";

fn tried(bench: &mut Bench, input: &str, failed: bool) {
    let row = ChargeRow {
        error_type: failed.then(|| "timeout".into()),
        ..bench.tool("a", input)
    };
    bench.live(&[row]);
}

#[test]
fn the_third_retry_of_a_failed_call_is_a_storm() {
    let mut bench = Bench::new(STORM);
    for _ in 0..3 {
        tried(&mut bench, "same", true);
        bench.pass(1);
    }
    assert_eq!(bench.orders.len(), 0, "two retries");
    tried(&mut bench, "same", true);
    assert_eq!(bench.orders.len(), 1);
    assert_eq!(
        bench.orders[0].reason,
        "execution run-of-a: search was called again with the same input 3 times within 1m after it had failed; \
         the rule fires at 3"
    );
    let evidence = bench.orders[0].evidence.clone().unwrap();
    assert_eq!(evidence["numbers"]["failed"], 4);
    assert_eq!(evidence["spans"].as_array().unwrap().len(), 4);
}

#[test]
fn other_inputs_successes_and_slow_retries_are_none() {
    let mut bench = Bench::new(STORM);
    for i in 0..20 {
        tried(&mut bench, &i.to_string(), true);
    }
    for _ in 0..20 {
        tried(&mut bench, "fine", false);
    }
    for _ in 0..10 {
        tried(&mut bench, "slow", true);
        bench.pass(25);
    }
    assert_eq!(bench.orders.len(), 0);
}

#[test]
fn a_failure_that_was_a_mistake_is_taken_back() {
    let mut bench = Bench::new(STORM);
    for i in 0..3 {
        let row = ChargeRow {
            error_type: Some("timeout".into()),
            ..bench.tool("a", "same")
        };
        bench.live(std::slice::from_ref(&row));
        if i == 1 {
            let well = ChargeRow {
                charge_id: "well".into(),
                error_type: None,
                ..row.clone()
            };
            bench.live(&[reversal(&row), well]);
        }
    }
    tried(&mut bench, "same", true);
    assert_eq!(bench.orders.len(), 0, "two retries followed a failure");
}

const AGAIN: &str = "\
rules:
  - name: again
    key: execution
    when:
      reprompts: { at_least: 5, window: 2m }
";

#[test]
fn model_calls_in_a_row_fire_and_a_tool_or_progress_ends_the_row() {
    let mut bench = Bench::new(AGAIN);
    for i in 0..20 {
        let row = bench.model("busy", 1);
        bench.live(&[row]);
        bench.pass(1);
        if i % 4 == 3 {
            let row = bench.tool("busy", "x");
            bench.live(&[row]);
        }
        if i % 4 == 1 {
            let row = ChargeRow {
                progress: Some(0.1),
                ..bench.model("busy", 1)
            };
            bench.live(&[row]);
        }
    }
    bench.pass(3);
    assert_eq!(bench.states(), [""; 0]);
    for _ in 0..5 {
        let row = bench.model("stuck", 1);
        bench.live(&[row]);
    }
    assert_eq!(bench.states(), [""; 0], "the rest of the bundle may come");
    bench.pass(3);
    assert_eq!(bench.states(), ["firing"]);
    assert_eq!(bench.alerts[0].key, "execution=run-of-stuck");
}

#[test]
fn a_bundle_with_all_model_calls_first_is_no_row() {
    let mut bench = Bench::new(AGAIN);
    let mut rows = Vec::new();
    for i in 0..10 {
        rows.push(ChargeRow {
            start_unix_nano: bench.now - (30 - i) * SECOND,
            duration_ns: Some(1),
            ..bench.model("a", 1)
        });
    }
    for i in 0..10 {
        rows.push(ChargeRow {
            start_unix_nano: bench.now - (30 - i) * SECOND + 1_000,
            duration_ns: Some(1),
            ..bench.tool("a", &i.to_string())
        });
    }
    bench.live(&rows);
    bench.pass(10);
    assert_eq!(bench.states(), [""; 0]);
}

#[test]
fn a_tool_that_is_not_on_the_list_is_stopped_at_its_first_call() {
    let rules = "\
rules:
  - name: firewall
    key: agent
    mode: enforce
    when:
      unknown_tool: { allow: [search, fetch], window: 1m }
    action: freeze
";
    let mut bench = Bench::new(rules);
    for i in 0..50 {
        let row = bench.tool("a", &i.to_string());
        bench.live(&[row]);
    }
    assert_eq!(bench.orders.len(), 0);
    let row = ChargeRow {
        tool_name: Some("rm".into()),
        ..bench.tool("a", "x")
    };
    bench.live(&[row]);
    assert_eq!(bench.frozen(), [&agent("a")]);
    assert_eq!(
        bench.orders[0].reason,
        "agent a called rm, which is not on the list; such calls within 1m: 1, and the rule fires at 1"
    );
}
