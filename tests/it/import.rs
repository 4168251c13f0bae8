//! Recorded OTLP of real frameworks comes out with the provider's own totals.

use serde_json::Value;

use crate::harness::{flyball, import, number, query, recording, row};

/// The frameworks of which the spans alone tell every call's usage.
pub(crate) const FRAMEWORKS: [&str; 5] = [
    "openai_v2",
    "oi_openai",
    "oi_langgraph",
    "oi_openai_agents",
    "traceloop",
];

const TOTALS: &str = "sum(input_tokens) AS input, sum(cache_read_tokens) AS cache_read, \
     sum(cache_write_tokens) AS cache_write, sum(output_tokens) AS output, sum(reasoning_tokens) AS reasoning, \
     sum(cost_usd) AS cost";

/// What the provider behind a framework served, as far as its spans show it.
fn truth(framework: &str) -> Value {
    serde_json::from_slice(&std::fs::read(recording(framework).join("truth.json")).unwrap())
        .unwrap()
}

/// Asserts that a row of `TOTALS` is the provider's truth, to the last digit.
fn assert_truth(framework: &str, got: &Value, truth: &Value) {
    for (column, key) in [
        ("calls", "calls"),
        ("input", "input_total_tokens"),
        ("cache_read", "cache_read_tokens"),
        ("cache_write", "cache_write_tokens"),
        ("output", "output_total_tokens"),
        ("reasoning", "reasoning_tokens"),
    ] {
        let got = if got[column].is_null() {
            0.0
        } else {
            number(&got[column])
        };
        assert_eq!(got, number(&truth[key]), "{framework}: {column}");
    }
    let digits = |value: &Value| {
        value
            .as_str()
            .unwrap()
            .parse::<rust_decimal::Decimal>()
            .unwrap()
    };
    assert_eq!(
        digits(&got["cost"]),
        digits(&truth["cost_usd"]),
        "{framework}: cost"
    );
}

#[test]
fn calls_tokens_and_cost_are_the_providers() {
    for framework in FRAMEWORKS {
        let truth = truth(framework);
        let dir = tempfile::tempdir().unwrap();
        import(dir.path(), &[recording(framework)]);
        let calls = row(
            dir.path(),
            &format!("SELECT count(*) AS calls, {TOTALS} FROM model_calls WHERE usage = 'exact'"),
        );
        assert_truth(framework, &calls, &truth);
        let journal = row(
            dir.path(),
            &format!(
                "SELECT sum(calls) AS calls, {TOTALS} FROM charges WHERE kind = 'model_call' AND usage = 'exact'"
            ),
        );
        assert_truth(framework, &journal, &truth);
    }
}

#[test]
fn importing_again_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let folders = [recording("openai_v2"), recording("traceloop")];
    let everything = |dir: &std::path::Path| {
        let spans = row(
            dir,
            "SELECT count(*) AS spans, count(DISTINCT span_id) AS ids FROM spans",
        );
        let charges = query(
            dir,
            "SELECT kind, entry, count(*) AS n, sum(cost_usd) AS cost FROM charges GROUP BY 1, 2 ORDER BY 1, 2",
        );
        (spans, charges)
    };
    import(dir.path(), &folders);
    let once = everything(dir.path());
    assert_eq!(number(&once.0["spans"]), 68.0 + 105.0, "no span is lost");
    assert_eq!(once.0["spans"], once.0["ids"]);
    import(dir.path(), &folders);
    assert_eq!(everything(dir.path()), once);
}

#[test]
fn nobody_who_reads_the_report_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = crate::harness::flyball(dir.path())
        .arg("import")
        .arg(recording("traceloop"))
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // As `| head -0` does.
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && !said.contains("panicked"),
        "{said}"
    );
    let spans = row(dir.path(), "SELECT count(*) AS n FROM spans");
    assert_eq!(number(&spans["n"]), 105.0);
}

#[test]
fn the_table_of_conventions_is_printed_as_it_is_in_force() {
    let dir = tempfile::tempdir().unwrap();
    let print = |more: &[&str]| {
        flyball(dir.path())
            .arg("conventions")
            .args(more)
            .output()
            .unwrap()
    };
    let all = String::from_utf8(print(&[]).stdout).unwrap();
    assert!(all.lines().count() > 100 && all.contains("gen_ai.usage.input_tokens"));
    let events = String::from_utf8(print(&["claude_code.api_request"]).stdout).unwrap();
    assert!(events.contains("a call: chat"), "{events}");
    let rows: Vec<serde_json::Value> =
        serde_json::from_slice(&print(&["session_id", "--format", "json"]).stdout).unwrap();
    assert_eq!(rows[0]["key"], "gen_ai.conversation.id");
    assert_eq!(
        (&rows[1]["key"], &rows[1]["rank"]),
        (&"session.id".into(), &2.into())
    );
    let unknown = print(&["no.such.key"]);
    assert!(!unknown.status.success());
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("\"no.such.key\""));
}
