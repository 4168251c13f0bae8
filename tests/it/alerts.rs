//! `flyball alerts`: a rule tried on what a fleet has done, and the trust that it earns and loses.

use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::harness::{Server, flyball, query, row, run};

/// In shadow, and soon satisfied.
const RULES: &str = "\
rules:
  - name: repeats
    key: execution
    when:
      repeated_tool_calls: { at_least: 4, window: 1m }
    cool_down: 1m
    action: freeze
    scope: agent
    promote: { after: 0s, actions: 1 }
    demote: { wrong: 1, within: 1d }
  - name: watched
    key: workspace
    when:
      sql: { query: SELECT 1 AS value, every: 1s, at_least: 2 }
";

fn alerts(dir: &Path, arguments: &[&str]) -> Output {
    flyball(dir).arg("alerts").args(arguments).output().unwrap()
}

fn printed(dir: &Path, arguments: &[&str]) -> String {
    let output = run(flyball(dir).arg("alerts").args(arguments));
    String::from_utf8(output.stdout).unwrap()
}

fn complaint(dir: &Path, arguments: &[&str]) -> String {
    let output = alerts(dir, arguments);
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_rule_is_tried_on_the_past_earns_trust_and_loses_it() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("demo");
    run(flyball(&dir).arg("demo"));
    let file = parent.path().join("rules.yaml");
    std::fs::write(&file, RULES).unwrap();
    let file = file.to_str().unwrap();

    // The rule that froze the runaway would do so again, and says what that was worth.
    let text = printed(&dir, &["backtest", "runaway-loop", "--since", "1h"]);
    assert!(text.contains("firings: 1 on 1 keys; orders: 1;"), "{text}");
    assert!(text.contains("freeze agent"), "{text}");
    assert!(text.contains('!'), "its moment on the timeline: {text}");
    let json = printed(
        &dir,
        &[
            "backtest",
            "runaway-loop",
            "--since",
            "1h",
            "--format",
            "json",
        ],
    );
    let json: Value = serde_json::from_str(&json).unwrap();
    let fired = &json[0]["firings"][0];
    let target = fired["acts"][0]["target"].as_str().unwrap();
    let frozen = row(
        &dir,
        "SELECT target, CAST(decided_at AS BIGINT) AS at FROM actions WHERE state = 'frozen' AND mode = 'enforce'",
    );
    assert_eq!(
        target,
        format!("agent {}", frozen["target"].as_str().unwrap())
    );
    // Within what it took to hear of it.
    let decided: i64 = frozen["at"].to_string().trim_matches('"').parse().unwrap();
    let apart = fired["fired_at_unix_nano"].as_i64().unwrap() / 1_000 - decided;
    assert!(apart.abs() < 2_000_000, "{apart} us");

    let csv = printed(
        &dir,
        &[
            "backtest", "--file", file, "--since", "1h", "--format", "csv",
        ],
    );
    assert!(csv.starts_with("rule,key,fired_at,"), "{csv}");
    assert!(
        csv.lines().count() > 1 && csv.contains("\nrepeats,execution="),
        "{csv}"
    );

    let said = complaint(&dir, &["backtest", "task-success-low"]);
    assert!(said.contains("now() is today"), "{said}");
    let said = complaint(&dir, &["backtest", "no-such"]);
    assert!(
        said.contains("no rule no-such; there are: runaway-loop"),
        "{said}"
    );
    let said = complaint(&dir, &["backtest", "runaway-loop", "--since", "lately"]);
    assert!(said.contains("--since \"lately\""), "{said}");
    let said = complaint(&dir, &["promote", "repeats"]);
    assert!(said.contains("no server runs"), "{said}");

    // In shadow on a live fleet, until it has shown enough.
    let live = parent.path().join("live");
    let server = Server::start(&live, &["--rules", file]);
    let said = complaint(&live, &["promote", "repeats"]);
    assert!(
        said.contains("it would have acted 0 times, and 1 are asked for"),
        "{said}"
    );
    run(flyball(&live).args([
        "agent",
        "fleet",
        "--seconds",
        "10",
        "--otlp",
        &format!("http://{}", server.address("otlp_grpc")),
        "--control",
        &format!("http://{}", server.address("http")),
    ]));
    let list = printed(&live, &["list", "--format", "json"]);
    let list: Value = serde_json::from_str(&list).unwrap();
    let evidence = &list[0]["standing"]["evidence"];
    assert!(evidence["actions"].as_u64().unwrap() > 0, "{list}");
    let said = printed(
        &live,
        &[
            "promote",
            "repeats",
            "--anyway",
            "--reason",
            "the fleet is a sample",
        ],
    );
    assert!(said.contains("repeats is in force"), "{said}");
    let said = printed(&live, &["list"]);
    assert!(
        said.contains("promoted") && said.contains("enforce"),
        "{said}"
    );
    let said = printed(&live, &["backtest", "--file", file, "--since", "1h"]);
    assert!(
        said.contains("repeats: at least 4 equal tool calls"),
        "{said}"
    );

    // It freezes for real now, and whoever releases that says that it was wrong.
    run(flyball(&live).args([
        "agent",
        "fleet",
        "--seconds",
        "10",
        "--seed",
        "8",
        "--otlp",
        &format!("http://{}", server.address("otlp_grpc")),
        "--control",
        &format!("http://{}", server.address("http")),
    ]));
    let frozen = query(
        &live,
        "SELECT target FROM actions WHERE rule = 'repeats' AND mode = 'enforce' AND released_at IS NULL",
    );
    let target = frozen[0]["target"].as_str().unwrap();
    let released = run(flyball(&live).args([
        "release",
        "--agent",
        target,
        "--reason",
        "a sample",
        "--false-alarm",
    ]));
    let said = String::from_utf8(released.stdout).unwrap();
    assert!(said.contains("repeats is in shadow from now on"), "{said}");
    let said = printed(&live, &["list"]);
    assert!(said.contains("demoted"), "{said}");

    let ledger = query(
        &live,
        "SELECT event FROM audit WHERE event LIKE 'alerts.%' ORDER BY seq",
    );
    let events: Vec<&str> = ledger
        .iter()
        .map(|row| row["event"].as_str().unwrap())
        .collect();
    assert_eq!(
        events,
        ["alerts.promoted", "alerts.false_alarm", "alerts.demoted"]
    );
    let told = row(
        &live,
        "SELECT count(*) AS n FROM alerts WHERE rule = 'repeats' AND \"key\" = 'trust' AND state = 'firing'",
    );
    assert_eq!(told["n"], 1);
    server.kill();
}
