//! `kill -9` at any moment: not one span lost or doubled.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Server, flyball, import, prices, query, recording};

fn everything(dir: &Path) -> Vec<Value> {
    let mut rows = query(
        dir,
        "SELECT count(*) AS spans, count(DISTINCT span_id) AS ids FROM spans",
    );
    rows.extend(query(
        dir,
        "SELECT kind, usage, sum(calls) AS calls, sum(input_tokens) AS input, sum(output_tokens) AS output, \
         sum(cost_usd) AS cost FROM charges GROUP BY 1, 2 ORDER BY 1, 2",
    ));
    rows.extend(query(dir, "SELECT count(*) AS contents FROM contents"));
    rows
}

#[test]
fn killed_while_importing_then_imported_again() {
    let folders = [
        recording("openai_v2"),
        recording("oi_langgraph"),
        recording("traceloop"),
    ];
    let clean = tempfile::tempdir().unwrap();
    let started = std::time::Instant::now();
    import(clean.path(), &folders);
    let whole = started.elapsed();
    let truth = everything(clean.path());

    // FLYBALL_CRASHES raises the number of kills for a long run.
    let crashes: u32 = std::env::var("FLYBALL_CRASHES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(8);
    let dir = tempfile::tempdir().unwrap();
    for crash in 1..=crashes {
        let mut child = flyball(dir.path())
            .arg("import")
            .args(&folders)
            .arg("--prices")
            .arg(prices())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // From nearly at once to nearly at the end.
        std::thread::sleep(
            whole
                .mul_f64(f64::from(crash) / f64::from(crashes + 1))
                .max(Duration::from_millis(5)),
        );
        child.kill().unwrap();
        child.wait().unwrap();
        if crash % 3 == 0 {
            // Whoever looks in between changes nothing, and no other price book comes near these charges.
            query(dir.path(), "SELECT count(*) AS n FROM charges");
        }
        if crash % 4 == 0 {
            Server::start(dir.path(), &[]).stop();
        }
    }
    import(dir.path(), &folders);
    assert_eq!(everything(dir.path()), truth);
}
