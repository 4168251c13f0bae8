//! A person is forgotten, from the command line and through a running server.

use std::path::Path;

use serde_json::Value;

use crate::harness::{Server, flyball, import, number, query, recording, row, run};
use crate::import::FRAMEWORKS;

const WHO: &str = "user-103";

fn erase(dir: &Path, more: &[&str]) -> Value {
    let output = run(flyball(dir)
        .args(["erase", "--user", WHO, "--format", "json"])
        .args(more));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn sums(dir: &Path) -> Value {
    row(
        dir,
        "SELECT count(*) AS n, sum(cost_usd) AS usd, sum(input_tokens) AS tokens, sum(calls) AS calls FROM charges",
    )
}

fn named(dir: &Path, table: &str) -> f64 {
    let sql = format!("SELECT count(*) AS n FROM {table} WHERE user_id = '{WHO}'");
    number(&row(dir, &sql)["n"])
}

/// Files under a folder with a text in their bytes.
fn holding(folder: &Path, text: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            holding(&path, text, found);
        } else if let Ok(bytes) = std::fs::read(&path)
            && bytes
                .windows(text.len())
                .any(|part| part == text.as_bytes())
        {
            found.push(path.display().to_string());
        }
    }
}

#[test]
fn a_user_is_forgotten_and_no_sum_changes() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    import(dir, &FRAMEWORKS.map(recording));
    let before = sums(dir);
    assert!(named(dir, "spans") > 0.0 && named(dir, "charges") > 0.0);

    // Nobody runs yet: the command opens the store itself.
    let asked = erase(dir, &["--dry-run"]);
    assert!(
        asked["dry_run"] == true && number(&asked["traces"]) > 0.0,
        "{asked}"
    );
    assert!(named(dir, "spans") > 0.0);

    let mut command = flyball(dir);
    command.env("FLYBALL_STORE_ERASED_AFTER_S", "0");
    let server = Server::start_as(command, dir, &[]);
    let done = erase(dir, &[]);
    assert_eq!(done["traces"], asked["traces"]);
    assert_eq!((named(dir, "spans"), named(dir, "charges")), (0.0, 0.0));
    assert_eq!(sums(dir), before);
    run(flyball(dir).args(["storage", "compact"]));
    let receipts = query(dir, "SELECT record FROM audit WHERE event = 'erasure'");
    assert_eq!(receipts.len(), 1);
    assert!(!receipts[0].to_string().contains(WHO), "{receipts:?}");
    server.stop();
    let mut found = Vec::new();
    holding(dir, WHO, &mut found);
    assert_eq!(found, Vec::<String>::new());
    let verified = run(flyball(dir).args(["audit", "verify"]));
    assert!(String::from_utf8_lossy(&verified.stdout).contains("as it was written"));
    assert_eq!(sums(dir), before);
    // Imported again, nothing comes back.
    import(dir, &FRAMEWORKS.map(recording));
    assert_eq!((named(dir, "spans"), sums(dir)), (0.0, before));
}
