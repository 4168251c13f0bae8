//! What the younger kinds accept, and how they say what they do not.

use super::*;

/// A rule by this key that measures this.
fn by(key: &str, when: &str) -> String {
    format!("rules:\n  - name: r\n    key: {key}\n    when:\n      {when}\n")
}

#[test]
fn every_kind_says_what_it_is_about() {
    let cases = [
        (
            "tenant",
            "budget: { limit: 50, per: hour }",
            "at least 50 USD in a calendar hour (UTC)",
        ),
        (
            "execution",
            "budget: { limit: 2.50, per: execution }",
            "at least 2.5 USD in the life of an execution",
        ),
        (
            "agent",
            "absence: { silent_for: 15m }",
            "nothing heard for 15m after 20 calls or more, while others were heard",
        ),
        (
            "agent",
            "absence: { silent_for: 30m, learn: 14d }",
            "nothing heard for 30m or more, in hours in which that is unlikely by the 14 days before, while others were heard",
        ),
        (
            "agent",
            "rate_of_change: { of: tokens, at_least: 4, window: 5m, base: 30m, floor: 100000 }",
            "at least 4 times the tokens of the 30m before, and at least 100000, within 5m",
        ),
        (
            "agent",
            "spend_spike: { change: 0.50 }",
            "spend_spike, a step of 1m so high that one in 1000 is, and by 0.5 USD or more (learns for 100 steps)",
        ),
        (
            "tool",
            "latency_shift: { of: tool, change: 2, at_least: 2, every: 10s }",
            "latency_shift, a step of 10s so high that one in 100 is, and by 2 s a tool call or more (learns for 100 steps)",
        ),
        (
            "model",
            "price_anomaly: { change: 1 }",
            "price_anomaly, a step of 1m so odd that one in 1000 is, and by 1 USD a million tokens or more (learns for \
             100 steps)",
        ),
        (
            "execution",
            "retry_storm: { at_least: 10, window: 1m }",
            "at least 10 times the same input again after a failure within 1m",
        ),
        (
            "execution",
            "reprompts: { at_least: 20, window: 5m }",
            "at least 20 model calls in a row without a tool call or progress within 5m",
        ),
        (
            "agent",
            "unknown_tool: { allow: [b, a], window: 1m }",
            "at least 1 calls within 1m of a tool that is none of a, b",
        ),
        (
            "agent",
            "unknown_tool: { allow: [a], learn: { for: 7d }, window: 1m }",
            "at least 1 calls within 1m of a tool that was not called in the 7d of learning (100 calls or more) and is \
             none of a",
        ),
        (
            "task",
            "budget_leakage: { limit: 5, window: 1h }",
            "at least 5 USD within 1h over 2 executions or more, each under 5 USD",
        ),
        (
            "agent",
            "low_value_executions: { at_least: 10, window: 1h }",
            "at least 10 executions within 1h that were worth nothing, and 80 % of all that ended",
        ),
        (
            "tool",
            "conflicting_modifications: { window: 10m }",
            "at least 2 times within 10m that somebody changed again what another had changed since",
        ),
        (
            "execution",
            "injection_markers: { window: 10m, markers: [hidden_text] }",
            "at least 1 calls within 10m with one of hidden_text",
        ),
        (
            "agent",
            "memory_poisoning: { at_least: 2, window: 10m, tools: [store] }",
            "at least 2 calls of store within 10m with signs of prompt injection",
        ),
        (
            "agent",
            "slo_burn: { objective: 0.9, of: latency, under: 5s, windows: [{ short: 5m, long: 1h, factor: 4 }] }",
            "model calls within 5s below 90 %: the error budget burns 4 times in 5m and 1h",
        ),
    ];
    for (key, when, want) in cases {
        let rule = parse("r.yaml", &by(key, when)).unwrap().remove(0);
        assert_eq!(rule.condition(), want);
        assert!(when.starts_with(rule.when.as_str()), "{when}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_line_and_field() {
    let cases = [
        (
            "agent",
            "budget: { limit: 0, per: day }",
            "r.yaml:5: rule r: limit is \"0\"; accepted is a number above 0",
        ),
        (
            "agent",
            "budget: { limit: 5, per: week }",
            "per is \"week\"; accepted is one of: hour, day, month, execution",
        ),
        (
            "agent",
            "budget: { limit: 5, per: execution }",
            "per is \"execution\"; accepted with per: execution is key: execution",
        ),
        (
            "agent",
            "budget: { limit: 5, per: day, soft: 1 }",
            "soft is \"1\"; accepted is a share of the limit above 0 and below 1",
        ),
        (
            "agent",
            "budget: { limit: 5, per: day, hard: 1 }",
            "r.yaml:5: unknown field",
        ),
        (
            "agent",
            "absence: { silent_for: 10s }",
            "silent_for is \"10s\"; accepted are whole seconds from 30s to 1h",
        ),
        (
            "agent",
            "absence: { silent_for: 5m, min_calls: 0 }",
            "min_calls is \"0\"; accepted is a whole number from 1",
        ),
        (
            "agent",
            "absence: { silent_for: 5m, learn: 10d }",
            "learn is \"10d\"; accepted are whole weeks from 7d to 28d, without min_calls",
        ),
        (
            "agent",
            "absence: { silent_for: 5m, min_calls: 5, learn: 7d }",
            "learn is \"7d\"; accepted are whole weeks from 7d to 28d, without min_calls",
        ),
        (
            "agent",
            "rate_of_change: { of: money, at_least: 3, window: 5m, base: 30m, floor: 1 }",
            "of is \"money\"; accepted is one of: spend, calls, errors, tokens",
        ),
        (
            "agent",
            "rate_of_change: { of: spend, at_least: 1, window: 5m, base: 30m, floor: 1 }",
            "at_least is \"1\"; accepted is a factor above 1",
        ),
        (
            "agent",
            "rate_of_change: { of: spend, at_least: 3, window: 5m, base: 1m, floor: 1 }",
            "base is \"1m\"; accepted are multiples of 10s from the window, 5m, to 55m",
        ),
        (
            "agent",
            "rate_of_change: { of: spend, at_least: 3, window: 55s, base: 30m, floor: 1 }",
            "window is \"55s\"; accepted are multiples of 10s",
        ),
        (
            "agent",
            "rate_of_change: { of: spend, at_least: 3, window: 5m, base: 30m, floor: 0 }",
            "floor is \"0\"; accepted is a number above 0",
        ),
        (
            "agent",
            "spend_spike: { change: 0 }",
            "change is \"0\"; accepted is a number above 0",
        ),
        (
            "agent",
            "spend_spike: { change: 1, at_least: 0.5 }",
            "at_least is \"0.5\"; accepted are 1 to 10 decades",
        ),
        (
            "agent",
            "spend_spike: { change: 1, every: 5m }",
            "every is \"5m\"; accepted is one of: 1m, 10s",
        ),
        (
            "agent",
            "latency_shift: { change: 1, of: db }",
            "of is \"db\"; accepted is one of: model, tool",
        ),
        (
            "agent",
            "retry_storm: { at_least: 500, window: 1m }",
            "at_least is \"500\"; accepted is a whole number from 1 to 200",
        ),
        (
            "agent",
            "reprompts: { at_least: 5, window: 1m }",
            "accepted with reprompts is key: execution",
        ),
        (
            "agent",
            "unknown_tool: { allow: [\" \"], window: 1m }",
            "allow is \" \"; accepted is text of 1 to 200 bytes",
        ),
        (
            "agent",
            "unknown_tool: { window: 1m }",
            "accepted with unknown_tool is allow, a list of names, or learn, or both",
        ),
        (
            "execution",
            "unknown_tool: { learn: { for: 7d }, window: 1m }",
            "r.yaml:5: rule r: learn is \"by key execution\"; accepted with learn is key: agent, tenant",
        ),
        (
            "agent",
            "unknown_tool: { learn: { for: 30s }, window: 1m }",
            "for is \"30s\"; accepted are 1m to 90d, and no less than the window",
        ),
        (
            "agent",
            "unknown_tool: { learn: { for: 7d, forget: 1d }, window: 1m }",
            "forget is \"1d\"; accepted are 7d (for) to 90d",
        ),
        (
            "agent",
            "unknown_tool: { learn: { for: 7d, min_calls: 0 }, window: 1m }",
            "min_calls is \"0\"; accepted is a whole number from 1",
        ),
        (
            "agent",
            "unknown_tool: { learn: { for: 7d, until: 1d }, window: 1m }",
            "r.yaml:5: unknown field",
        ),
        (
            "agent",
            "budget_leakage: { limit: 5, window: 1h }",
            "r.yaml:5: rule r: limit is \"5\"; accepted with budget_leakage is key: task or session",
        ),
        (
            "task",
            "budget_leakage: { limit: 5, executions: 1, window: 1h }",
            "executions is \"1\"; accepted is a whole number from 2 to 64",
        ),
        (
            "task",
            "budget_leakage: { limit: 5, window: 2h }",
            "window is \"2h\"; accepted are whole seconds",
        ),
        (
            "execution",
            "low_value_executions: { at_least: 5, window: 1h }",
            "accepted with low_value_executions is key: agent, task",
        ),
        (
            "agent",
            "low_value_executions: { at_least: 5, share: 80, window: 1h }",
            "share is \"80\"; accepted is a share above 0 and up to 1",
        ),
        (
            "agent",
            "conflicting_modifications: { window: 10m }",
            "r.yaml:5: rule r: window is \"10m\"; accepted with conflicting_modifications is key: workspace, tool",
        ),
        (
            "agent",
            "injection_markers: { window: 10m, markers: [evil] }",
            "markers is \"evil\"; accepted is one of: instruction_override, role_marker, tool_call_text,",
        ),
        (
            "agent",
            "memory_poisoning: { window: 10m, at_least: 0 }",
            "at_least is \"0\"; accepted is a whole number from 1",
        ),
        (
            "agent",
            "slo_burn: { objective: 0.9, of: success, under: 5s }",
            "under is \"5s\"; accepted only with of: latency",
        ),
        (
            "agent",
            "slo_burn: { objective: 0.9, of: success, windows: [] }",
            "accepted with windows is at least one",
        ),
        (
            "agent",
            "all_of: []",
            "r.yaml:5: rule r: all_of is \"empty\"; accepted are the names of two rules or more",
        ),
    ];
    for (key, when, want) in cases {
        let message = message_of(&by(key, when));
        assert!(
            message.replace('`', "").contains(want),
            "{message}\nwanted: {want}"
        );
    }
}

fn message_of(text: &str) -> String {
    parse("r.yaml", text).unwrap_err().to_string()
}

#[test]
fn only_facts_and_evidence_from_two_sides_may_freeze() {
    let may = [
        ("agent", "budget: { limit: 5, per: day }"),
        ("execution", "retry_storm: { at_least: 5, window: 1m }"),
        ("agent", "unknown_tool: { allow: [a], window: 1m }"),
    ];
    let leak = by("task", "budget_leakage: { limit: 5, window: 1h }");
    let leak = format!("{leak}    action: freeze\n    scope: agent\n");
    assert_eq!(parse("r", &leak).unwrap()[0].action, Action::Freeze);
    for (key, when) in may {
        let text = format!("{}    action: freeze\n", by(key, when));
        assert_eq!(
            parse("r", &text).unwrap()[0].action,
            Action::Freeze,
            "{when}"
        );
    }
    let may_not = [
        ("tool", "conflicting_modifications: { window: 1m }"),
        ("agent", "injection_markers: { window: 1m }"),
        ("agent", "memory_poisoning: { window: 1m }"),
        ("agent", "low_value_executions: { at_least: 5, window: 1h }"),
        ("agent", "unknown_tool: { learn: { for: 7d }, window: 1m }"),
        (
            "agent",
            "rate_of_change: { of: spend, at_least: 3, window: 5m, base: 30m, floor: 1 }",
        ),
        ("agent", "spend_spike: { change: 1 }"),
        ("agent", "latency_shift: { change: 1 }"),
        ("agent", "token_growth: { change: 1 }"),
        ("agent", "confidence_drift: { change: 0.1 }"),
        ("agent", "price_anomaly: { change: 1 }"),
        ("execution", "reprompts: { at_least: 5, window: 1m }"),
        ("agent", "slo_burn: { objective: 0.9, of: success }"),
    ];
    for (key, when) in may_not {
        let throttle = format!(
            "{}    action: {{ throttle: {{ calls_per_minute: 1 }} }}\n",
            by(key, when)
        );
        assert!(parse("r", &throttle).is_ok(), "{when}");
        let message =
            message_of(&throttle.replace("{ throttle: { calls_per_minute: 1 } }", "freeze"));
        assert!(
            message.contains("action is \"freeze\"; a freeze needs a deterministic condition"),
            "{message}"
        );
    }
}

#[test]
fn two_rules_that_read_the_same_markers_are_one_witness() {
    let both = |other: &str| {
        let one = by("agent", "injection_markers: { window: 1m }").replace("name: r", "name: one");
        let two = by("agent", other).replace("rules:\n  - name: r", "  - name: two");
        let all = by("agent", "all_of: [one, two]").replace("rules:\n", "");
        parse("r.yaml", &format!("{one}{two}{all}    action: freeze\n"))
    };
    let refused = both("memory_poisoning: { window: 1m }")
        .unwrap_err()
        .to_string();
    assert!(refused.contains("independent evidence"), "{refused}");
    assert!(both("unknown_tool: { learn: { for: 7d }, window: 1m }").is_ok());
}

#[test]
fn a_soft_limit_takes_a_name_that_must_be_free() {
    let text = format!(
        "{}  - name: r.soft\n    key: agent\n    when:\n      spend_rate: {{ at_least: 1, window: 1m }}\n",
        by("agent", "budget: { limit: 5, per: day, soft: 0.5 }")
    );
    let message = message_of(&text);
    assert!(
        message.contains("r.yaml:6: rule r.soft is already defined in r.yaml:2"),
        "{message}"
    );
}

proptest! {
    #[test]
    fn no_leaf_of_any_kind_makes_the_reader_panic(
        when in prop::sample::select(vec![
            "budget: { limit: LEAF, per: day, soft: LEAF }",
            "absence: { silent_for: LEAF, min_calls: LEAF }",
            "rate_of_change: { of: spend, at_least: LEAF, window: LEAF, base: LEAF, floor: LEAF }",
            "spend_spike: { change: LEAF, at_least: LEAF }",
            "slo_burn: { objective: LEAF, of: latency, under: LEAF, windows: [{ short: LEAF, long: LEAF, factor: LEAF }] }",
            "unknown_tool: { allow: [LEAF], learn: { for: LEAF, min_calls: LEAF, forget: LEAF }, window: 1m }",
            "low_value_executions: { at_least: LEAF, share: LEAF, window: 1m }",
            "all_of: [LEAF, LEAF]",
        ]),
        leaf in "[0-9smhd.e+-]{0,12}|[^\\x00]{0,20}",
    ) {
        if let Ok(rules) = parse("any", &by("agent", &when.replace("LEAF", &leaf))) {
            for rule in rules {
                let _ = (rule.condition(), rule.version());
            }
        }
    }
}
