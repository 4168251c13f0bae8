//! Recorded OTLP of real frameworks: the same totals whether the rollup is asked or the journal.

use std::path::Path;

use serde_json::Value;

use crate::harness::{flyball, import, number, prices, query, recording, row, run};
use crate::import::FRAMEWORKS;

const SUMS: &str = "sum(calls) AS calls, sum(decisions) AS decisions, sum(input_tokens) AS input, \
     sum(cache_read_tokens) AS cache_read, sum(output_tokens) AS output, sum(reasoning_tokens) AS reasoning, \
     CAST(sum(cost_usd) AS DECIMAL(38, 12)) AS cost";

/// By agent, kind and model, out of the journal and out of what is summed.
fn totals(dir: &Path) -> [Vec<Value>; 2] {
    let keys = "agent_name, kind, response_model, date";
    ["charges", "minutes"].map(|table| {
        let sql = format!("SELECT {keys}, {SUMS} FROM {table} GROUP BY {keys} ORDER BY {keys}");
        query(dir, &sql)
    })
}

fn counted(dir: &Path, table: &str) -> f64 {
    number(&row(dir, &format!("SELECT count(*) AS n FROM {table}"))["n"])
}

#[test]
fn totals_by_agent_are_the_same_before_and_after_they_are_summed() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    run(flyball(dir)
        .env("FLYBALL_STORE_ROLLUP_EVERY_S", "0")
        .arg("import")
        .args(FRAMEWORKS.map(recording))
        .arg("--prices")
        .arg(prices()));
    let [journal, before] = totals(dir);
    assert!(journal.len() >= FRAMEWORKS.len(), "{journal:#?}");
    assert_eq!(before, journal);
    assert_eq!(counted(dir, "charges_unrolled"), counted(dir, "charges"));
    let metrics = ["cost_per_decision", "latency_p95_by_hour", "agent_activity"];
    let answers =
        || metrics.map(|metric| query(dir, &format!("SELECT * FROM {metric} ORDER BY 1, 2, 3")));
    let by_journal = answers();
    // Everything is in already; what was not summed is now.
    import(dir, &[recording("openai_v2")]);
    assert_eq!(counted(dir, "charges_unrolled"), 0.0);
    assert!(counted(dir, "rollup_1m") > 0.0);
    assert_eq!(totals(dir), [journal.clone(), journal]);
    assert_eq!(answers(), by_journal);
}
