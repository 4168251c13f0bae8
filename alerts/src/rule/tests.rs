#![allow(clippy::unwrap_used)]

mod kinds;

use proptest::prelude::*;
use rust_decimal::Decimal;

use super::*;

/// A rule with one line replaced (or, with `with: ""`, left out), or one added.
fn rule(replace: &str, with: &str) -> String {
    let text = "\
rules:
  - name: loop
    severity: critical
    key: agent
    when:
      spend_rate: { at_least: 5.00, window: 1m }
    recover_below: 2.5
    for: 0s
    action: freeze
";
    assert!(text.contains(replace), "{replace}");
    text.replace(replace, with)
}

fn message(text: &str) -> String {
    parse("rules.yaml", text).unwrap_err().to_string()
}

#[test]
fn a_rule_is_read_with_its_defaults() {
    let rules = parse("rules.yaml", &rule("", "")).unwrap();
    let [rule] = &rules[..] else {
        panic!("{rules:?}")
    };
    assert_eq!(
        rule.when,
        When::SpendRate {
            window: 60 * SECOND
        }
    );
    assert_eq!(rule.threshold.trigger.to_string(), "5.00");
    assert_eq!(rule.threshold.recover.to_string(), "2.5");
    assert_eq!(
        (rule.action.clone(), rule.scope),
        (Action::Freeze, Some(Target::Agent))
    );
    // A rule that acts begins in shadow, and rests five minutes.
    assert_eq!((rule.mode, rule.cool_down), (Mode::Shadow, 300 * SECOND));
    assert_eq!(rule.no_data, NoData::Hold);
}

#[test]
fn a_rule_that_only_tells_needs_no_mode() {
    let text = rule("    action: freeze\n", "").replace("    recover_below: 2.5\n", "");
    let rule = parse("rules.yaml", &text).unwrap().remove(0);
    assert_eq!(
        (rule.mode, rule.scope, rule.cool_down),
        (Mode::Enforce, None, 60 * SECOND)
    );
    assert_eq!(
        rule.threshold.recover,
        Decimal::from(4),
        "0.8 of the trigger"
    );
}

#[test]
fn money_is_exact() {
    let text = rule("5.00", "0.100000000001").replace("2.5", "0.1");
    let rule = parse("rules.yaml", &text).unwrap().remove(0);
    assert_eq!(rule.threshold.trigger.to_string(), "0.100000000001");
}

#[test]
fn an_error_names_file_line_field_value_and_what_is_accepted() {
    let cases = [
        (
            "5.00",
            "five",
            "rules.yaml:6: rule loop: at_least is \"five\"; accepted is a decimal number",
        ),
        (
            "5.00",
            "-1",
            "rules.yaml:6: rule loop: at_least is \"-1\"; accepted is a decimal number of 0 or more",
        ),
        (
            "5.00",
            "0",
            "rules.yaml:6: rule loop: at_least is \"0\"; accepted is a number above 0",
        ),
        ("5.00", ".inf", "at_least is \".inf\""),
        ("5.00", "1e40", "at_least is \"1e40\""),
        (
            "1m",
            "60",
            "rules.yaml:6: rule loop: window is \"60\"; accepted is a whole number with a unit",
        ),
        (
            "1m",
            "1500ms",
            "window is \"1500ms\"; accepted are whole seconds",
        ),
        (
            "1m",
            "125s",
            "window is \"125s\"; accepted are whole seconds",
        ),
        ("1m", "2h", "window is \"2h\"; accepted are whole seconds"),
        (
            "2.5",
            "5.00",
            "rules.yaml:7: rule loop: recover_below is \"5.00\"; accepted is a number above 0 and below the trigger",
        ),
        (
            "recover_below: 2.5",
            "recover_above: 7",
            "recover_above is \"7\"; with at_least, accepted is recover_below",
        ),
        (
            "critical",
            "fatal",
            "rules.yaml:3: rule loop: severity is \"fatal\"; accepted is one of: info, warning, critical",
        ),
        (
            "key: agent",
            "key: user",
            "rules.yaml:4: rule loop: key is \"user\"; accepted is one of: workspace, tenant, agent",
        ),
        (
            "for: 0s",
            "for: soon",
            "rules.yaml:8: rule loop: for is \"soon\"; accepted is a whole number with a unit",
        ),
        (
            "name: loop",
            "name: \"a b\"",
            "rules.yaml:2: rule a b: name is \"a b\"; accepted are 1 to 100 letters",
        ),
        (
            "for: 0s",
            "cool_down: 30s",
            "cool_down is \"30s\"; accepted for a rule that acts is at least its window",
        ),
        (
            "for: 0s",
            "mode: on",
            "mode is \"on\"; accepted is one of: shadow, enforce",
        ),
        (
            "for: 0s",
            "no_data: maybe",
            "no_data is \"maybe\"; accepted is one of: hold, ok, alert",
        ),
        (
            "key: agent",
            "key: workspace",
            "action is \"an act by key workspace\"; accepted is only notify",
        ),
        (
            "key: agent",
            "key: session",
            "accepted together with scope, one of: agent, execution",
        ),
        (
            "for: 0s",
            "scope: tenant",
            "scope is \"tenant\"; with key: agent of spend_rate, accepted is: agent, execution",
        ),
        (
            "action: freeze",
            "action: { throttle: { calls_per_minute: 0 } }",
            "calls_per_minute is \"0\"; accepted is a whole number from 1",
        ),
        (
            "action: freeze",
            "action: { degrade: {} }",
            "degrade is \"empty\"; accepted is at least one of",
        ),
        (
            "action: freeze",
            "action: notify\n    scope: agent",
            "with action: notify, accepted is no scope",
        ),
        (
            "spend_rate: { at_least: 5.00, window: 1m }",
            "escalations: { at_least: 5, window: 1m }",
            "rules.yaml:9: rule loop: action is \"freeze\"; a freeze needs a deterministic condition",
        ),
        (
            "spend_rate: { at_least: 5.00, window: 1m }",
            "error_rate: { at_least: 5, window: 1m }",
            "at_least is \"5\"; accepted is a share above 0 and up to 1",
        ),
        (
            "spend_rate: { at_least: 5.00, window: 1m }",
            "repeated_tool_calls: { at_least: 5.5, window: 1m }",
            "at_least is \"5.5\"; accepted is a whole number from 2",
        ),
        (
            "spend_rate: { at_least: 5.00, window: 1m }",
            "repeated_tool_calls: { at_least: 8, window: 1m, pace: { calls: 9, within: 10s } }",
            "calls is \"9\"; accepted is a whole number from 2 to 8",
        ),
        (
            "spend_rate: { at_least: 5.00, window: 1m }",
            "repeated_tool_calls: { at_least: 8, window: 1m, pace: { calls: 5, within: 2m } }",
            "within is \"2m\"; accepted is 1s to the window, 1m",
        ),
        (
            "spend_rate: { at_least: 5.00, window: 1m }",
            "repeated_tool_calls: { at_least: 8, window: 1m, spend: 0.00 }",
            "spend is \"0.00\"; accepted is a number of US dollars above 0",
        ),
        (
            "spend_rate: { at_least: 5.00, window: 1m }",
            "repeated_tool_calls: { at_least: 8, window: 1m, model_decided: often }",
            "model_decided is \"often\"; accepted",
        ),
        (
            "key: agent\n    when:\n      spend_rate: { at_least: 5.00, window: 1m }",
            "key: tool\n    when:\n      repeated_tool_calls: { at_least: 8, window: 1m, model_decided: true }",
            "accepted with key: tool is false",
        ),
        (
            "key: agent\n    when:\n      spend_rate: { at_least: 5.00, window: 1m }",
            "key: tool\n    when:\n      repeated_tool_calls: { at_least: 8, window: 1m, spend: 1 }",
            "none with key: tool",
        ),
        (
            "action: freeze",
            "action: freeze\n    then:\n      - { after: 2m, action: freeze }",
            "rules.yaml:11: rule loop: then is \"an action as mild as the one before it\"",
        ),
        (
            "action: freeze",
            "action:\n      throttle: { calls_per_minute: 5 }\n    then:\n      - { after: 30s, action: freeze }",
            "rules.yaml:12: rule loop: after is \"30s\"; accepted is at least the rule's window (1m)",
        ),
        (
            "action: freeze",
            "then:\n      - { after: 2m, action: freeze }",
            "rules.yaml:10: rule loop: then is \"a rung\"; accepted with action: notify is none",
        ),
        (
            "      spend_rate: { at_least: 5.00, window: 1m }\n    recover_below: 2.5\n    for: 0s\n    action: freeze",
            "      spend_spike: { change: 1.00 }\n    action:\n      throttle: { calls_per_minute: 5 }\n    then:\n      - { after: 1h, action: freeze }",
            "a freeze needs a deterministic condition",
        ),
    ];
    for (replace, with, want) in cases {
        let message = message(&rule(replace, with));
        assert!(message.contains(want), "{message}\nwanted: {want}");
    }
}

#[test]
fn syntax_errors_name_the_line_too() {
    let cases = [
        (
            "    for: 0s",
            "    four: 0s",
            "rules.yaml:8: unknown field `four`, expected one of `name`",
        ),
        (
            "spend_rate:",
            "spending:",
            "rules.yaml:6: unknown variant `spending`, expected one of",
        ),
        (
            "window: 1m",
            "windows: 1m",
            "rules.yaml:6: unknown field `windows`",
        ),
        ("    key: agent\n", "", "missing field `key`"),
        (
            "    for: 0s",
            "    key: tool",
            "rules.yaml:8: duplicate mapping key: key",
        ),
        (
            "at_least: 5.00",
            "at_least: [5]",
            "rules.yaml:6: expected string scalar",
        ),
        ("rules:", "rulez:", "rules.yaml:1: unknown field `rulez`"),
    ];
    for (replace, with, want) in cases {
        let message = message(&rule(replace, with));
        assert!(
            message.replace('`', "").contains(&want.replace('`', "")),
            "{message}\nwanted: {want}"
        );
    }
    assert!(message("").contains("rules.yaml:1: the file is empty"));
}

fn sql(more: &str) -> String {
    format!(
        "rules:\n  - name: slow\n    key: agent\n    when:\n      sql:\n        query: SELECT 1\n        every: 30s\n{more}"
    )
}

#[test]
fn a_query_needs_one_bound_and_may_freeze_only_on_its_authors_word() {
    let low = sql("        at_most: 0.8\n    recover_above: 0.9\n");
    let rule = parse("r", &low).unwrap().remove(0);
    assert!(rule.threshold.low);
    assert_eq!(
        rule.when,
        When::Sql {
            query: "SELECT 1".into(),
            every: 30 * SECOND,
            value: "value".into(),
            key_column: Some("agent_name".into()),
            deterministic: false,
        }
    );
    assert!(
        message(&sql("")).contains("sql is \"without a bound\"; accepted is at_least or at_most")
    );
    let both = sql("        at_most: 1\n        at_least: 2\n");
    assert!(
        message(&both)
            .contains("at_most is \"1\"; accepted is either at_least or at_most, not both")
    );
    assert!(message(&sql("        at_most: 1\n")).contains("together with recover_above"));
    assert!(
        message(&sql("        at_most: 1\n    recover_above: 1\n"))
            .contains("above the trigger, 1")
    );
    assert!(message(&sql("        at_least: 1\n    action: freeze\n")).contains("deterministic"));
    let sure = sql("        at_least: 1\n        deterministic: true\n    action: freeze\n");
    assert_eq!(parse("r", &sure).unwrap()[0].scope, Some(Target::Agent));
    assert!(
        message(&sure.replace("30s", "10ms")).contains("every is \"10ms\"; accepted is 1s to 1d")
    );
    let other = sql(
        "        at_least: 1\n        deterministic: true\n    action: freeze\n    scope: execution\n",
    );
    assert!(
        message(&other)
            .contains("scope is \"execution\"; with key: agent of sql, accepted is: agent")
    );
}

#[test]
fn a_folder_is_read_by_name_and_names_are_unique_over_all_files() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("b.yaml", &rule("name: loop", "name: second"));
    write("a.yml", &rule("", ""));
    write("notes.txt", "not: [yaml");
    let rules = load(folder.path()).unwrap();
    let names: Vec<_> = rules.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names, ["loop", "second"]);
    assert_eq!(load(&folder.path().join("b.yaml")).unwrap().len(), 1);

    write("c.yaml", &rule("", ""));
    let message = load(folder.path()).unwrap_err().to_string();
    assert!(
        message.contains("c.yaml:2: rule loop is already defined in"),
        "{message}"
    );
    assert!(message.contains("a.yml:2"), "{message}");
    let missing = load(&folder.path().join("none.yaml"))
        .unwrap_err()
        .to_string();
    assert!(missing.contains("none.yaml"), "{missing}");
}

#[test]
fn the_shipped_rules_are_valid_and_say_what_they_do() {
    let rules = default_rules().unwrap();
    let acting: Vec<_> = rules
        .iter()
        .filter(|rule| rule.acts())
        .map(|rule| rule.name.as_str())
        .collect();
    assert_eq!(
        acting,
        ["runaway-loop", "spend-hard-limit", "spend-rate-high"]
    );
    let runaway = &rules[0];
    assert_eq!(
        (runaway.mode, runaway.scope),
        (Mode::Enforce, Some(Target::Agent))
    );
    assert_eq!(
        runaway.condition(),
        "at least 8 equal tool calls with nothing new within 3m, each decided by a model, the last 5 within 10s \
         or at a cost of 0.1 USD"
    );
}

#[test]
fn a_version_changes_with_the_rule_and_only_then() {
    let one = parse("a", &rule("", "")).unwrap().remove(0);
    let same = parse("b", &rule("severity", "# why\n    severity"))
        .unwrap()
        .remove(0);
    let other = parse("a", &rule("5.00", "5.01")).unwrap().remove(0);
    assert_eq!(one.version(), same.version());
    assert_ne!(one.version(), other.version());
}

#[test]
fn bombs_and_depths_are_refused() {
    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for i in 1..20 {
        let refs = vec![format!("*a{}", i - 1); 10].join(",");
        bomb.push_str(&format!("a{i}: &a{i} [{refs}]\n"));
    }
    assert!(parse("bomb", &format!("{bomb}rules: []")).is_err());
    assert!(parse("deep", &format!("rules: {}", "[".repeat(100_000))).is_err());
    let in_a_list = format!("rules:\n  - name: {}\n", "{a: ".repeat(10_000));
    assert!(parse("deep", &in_a_list).is_err());
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "[ -~\n]{0,300}") {
        let _ = parse("any", &text);
    }

    #[test]
    fn no_leaf_makes_the_reader_panic(
        field in prop::sample::select(vec!["5.00", "1m", "2.5", "0s", "critical", "agent", "loop", "freeze"]),
        leaf in "[^\\x00]{0,40}",
    ) {
        let _ = parse("any", &rule(field, &leaf));
    }
}

#[test]
fn how_trust_is_earned_and_lost_stands_in_the_file() {
    let with = |more: &str| format!("{}    {more}\n", rule("", ""));
    let rules = with("promote: { after: 2d, actions: 9 }\n    demote: { within: 1h }");
    let rule_of = |text: &str| parse("rules.yaml", text).unwrap().remove(0);
    let wanted = Promote {
        after: 2 * 86_400 * SECOND,
        actions: 9,
        wrong_at_most: 0,
    };
    assert_eq!(rule_of(&rules).promote, Some(wanted));
    let within = Demote {
        wrong: 2,
        within: 3_600 * SECOND,
    };
    assert_eq!(rule_of(&rules).demote, Some(within));
    // A rule that says nothing of it is the rule that it was.
    let plain = serde_json::to_string(&rule_of(&rule("", ""))).unwrap();
    assert!(!plain.contains("mote"), "{plain}");

    for (more, want) in [
        ("promote: { after: soon }", "after is \"soon\""),
        ("promote: { actions: 0 }", "actions is \"0\""),
        ("promote: { sooner: 1d }", "sooner"),
        ("demote: { wrong: 0 }", "wrong is \"0\""),
        ("demote: { within: 0s }", "within is \"0s\""),
    ] {
        let said = message(&with(more));
        assert!(said.contains(want), "{said}");
    }
    let tells = rule("    action: freeze\n", "    promote: { after: 1d }\n");
    let said = message(&tells);
    assert!(
        said.contains(
            "rules.yaml:9: rule loop: promote is \"set\"; accepted only for a rule that acts"
        ),
        "{said}"
    );
}
