//! Rules over rules.

use super::*;

const BOTH: &str = "\
rules:
  - name: surge
    key: agent
    when:
      escalations: { at_least: 2, window: 5m }
  - name: errors
    key: agent
    when:
      error_rate: { at_least: 0.5, window: 5m, min_calls: 2 }
  - name: both
    key: agent
    mode: enforce
    when:
      all_of: [surge, errors]
    action: freeze
";

fn escalated(bench: &mut Bench, name: &str) -> ChargeRow {
    ChargeRow {
        termination: Some("escalation".into()),
        ..bench.call("execution", name)
    }
}

fn failed(bench: &mut Bench, name: &str) -> ChargeRow {
    ChargeRow {
        error_type: Some("timeout".into()),
        ..bench.tool(name, "x")
    }
}

#[test]
fn two_that_look_at_different_things_may_freeze_together() {
    let mut bench = Bench::new(BOTH);
    let rows = [
        escalated(&mut bench, "a"),
        escalated(&mut bench, "a"),
        failed(&mut bench, "b"),
        failed(&mut bench, "b"),
    ];
    bench.live(&rows);
    bench.pass(2);
    assert_eq!(bench.orders.len(), 0, "each of another agent");
    let rows = [failed(&mut bench, "a"), failed(&mut bench, "a")];
    bench.live(&rows);
    bench.pass(1);
    assert_eq!(bench.frozen(), [&agent("a")]);
    assert_eq!(
        bench.orders[0].reason,
        "agent a: 2 of 2 rules fire (errors, surge); the rule fires at 2"
    );
    assert!(bench.orders[0].cause.is_some());
    // When one of them is over, so is it.
    bench.pass(700);
    let last = bench.alerts.iter().rfind(|row| row.rule == "both").unwrap();
    assert_eq!((last.key.as_str(), last.state.as_str()), ("agent=a", "ok"));
}

#[test]
fn names_must_be_there_fit_and_be_evidence_from_two_sides() {
    let cases = [
        (
            "[surge, errors]",
            "[surge, error]",
            "r.yaml:14: rule both: all_of is \"error\"; accepted are the names of other",
        ),
        (
            "[surge, errors]",
            "[surge, both]",
            "all_of is \"both\"; accepted are rules that are no composites",
        ),
        (
            "[surge, errors]",
            "[surge]",
            "all_of is \"surge\"; accepted are the names of two rules or more",
        ),
        (
            "[surge, errors]",
            "[surge, surge]",
            "all_of is \"surge\"; accepted is each rule once",
        ),
        (
            "name: surge\n    key: agent",
            "name: surge\n    key: tool",
            "accepted are rules by key: agent, and this one is by tool",
        ),
        (
            "all_of",
            "any_of",
            "a freeze needs a deterministic condition or independent evidence",
        ),
        (
            "escalations: { at_least: 2, window: 5m }",
            "retry_storm: { at_least: 2, window: 5m }",
            "",
        ),
        (
            "escalations: { at_least: 2, window: 5m }",
            "rate_of_change: { of: errors, at_least: 2, window: 5m, base: 5m, floor: 5 }",
            "a freeze needs a deterministic condition or independent evidence",
        ),
    ];
    for (replace, with, want) in cases {
        assert!(BOTH.contains(replace), "{replace}");
        let parsed = parse("r.yaml", &BOTH.replace(replace, with));
        match parsed {
            Ok(_) => assert!(want.is_empty(), "{with}"),
            Err(error) => {
                let message = error.to_string();
                assert!(
                    !want.is_empty() && message.contains(want),
                    "{message}\nwanted: {want}"
                );
            }
        }
    }
}

#[test]
fn any_of_them_is_enough_to_tell() {
    let text = BOTH
        .replace("all_of", "any_of")
        .replace("    mode: enforce\n", "")
        .replace("    action: freeze\n", "");
    let mut bench = Bench::new(&text);
    let rows = [failed(&mut bench, "b"), failed(&mut bench, "b")];
    bench.live(&rows);
    bench.pass(1);
    let told: Vec<_> = bench.alerts.iter().map(|row| row.rule.as_str()).collect();
    assert_eq!(told, ["errors", "both"]);
}
