//! What Flyball keeps is plain Delta Lake: another implementation finds the same totals.

use std::process::Command;

use serde_json::Value;

use crate::harness::{import, number, recording, row, run};

const READER: &str = r#"
import json, os, sys
from decimal import Decimal
import pyarrow.compute as pc
from deltalake import DeltaTable
root = sys.argv[1]
spans = DeltaTable(f"{root}/default/spans").to_pyarrow_table()
charges = DeltaTable(f"{root}/default/charges").to_pyarrow_table()
print(json.dumps({
    "spans": spans.num_rows,
    "ids": pc.count_distinct(spans["span_id"]).as_py(),
    "calls": pc.sum(charges["calls"]).as_py(),
    "input": pc.sum(charges["input_tokens"]).as_py(),
    "cost": str(sum((c for c in charges["cost_usd"].to_pylist() if c is not None), Decimal(0))),
}), flush=True)
# Its thread pools now and then abort the interpreter's own way out.
os._exit(0)
"#;

#[test]
fn python_deltalake_finds_the_same_totals() {
    let Ok(python) = std::env::var("FLYBALL_TEST_PYTHON") else {
        eprintln!("FLYBALL_TEST_PYTHON names no Python with deltalake: skipped");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    import(
        dir.path(),
        &[recording("oi_langgraph"), recording("traceloop")],
    );
    let output = run(Command::new(python)
        .arg("-c")
        .arg(READER)
        .arg(dir.path().join("tables")));
    let theirs: Value = serde_json::from_slice(&output.stdout).unwrap();
    let spans = row(
        dir.path(),
        "SELECT count(*) AS spans, count(DISTINCT span_id) AS ids FROM spans",
    );
    let charges = row(
        dir.path(),
        "SELECT sum(calls) AS calls, sum(input_tokens) AS input, sum(cost_usd) AS cost FROM charges",
    );
    assert_eq!(number(&theirs["spans"]), 180.0 + 105.0);
    for (ours, key) in [
        (&spans, "spans"),
        (&spans, "ids"),
        (&charges, "calls"),
        (&charges, "input"),
    ] {
        assert_eq!(number(&ours[key]), number(&theirs[key]), "{key}");
    }
    let digits = |v: &Value| {
        v.as_str()
            .unwrap()
            .parse::<rust_decimal::Decimal>()
            .unwrap()
    };
    assert_eq!(digits(&charges["cost"]), digits(&theirs["cost"]));
}
