//! `flyball agent run FILE`: what it prints, and how it exits.

use serde_json::{Value, json};

use crate::harness::{flyball, root};

#[test]
fn the_example_is_run_alone_and_told_in_a_few_lines() {
    let folder = tempfile::tempdir().unwrap();
    let example = root().join("runtime/examples/clerk.json");
    let journal = folder.path().join("journal.sqlite");
    let run = |file: &std::path::Path| {
        let output = flyball(folder.path())
            .args(["agent", "run"])
            .arg(file)
            .arg("--journal")
            .arg(&journal)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let complaint = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), said, complaint)
    };
    let (code, said, complaint) = run(&example);
    assert_eq!(code, Some(0), "{said}{complaint}");
    for line in [
        "termination  success",
        "reason       goal_reached",
        "cost         0.00",
        "steps        2 (2 model calls, 2 tool calls, 0 retries)",
        "answer       Invoice 4711",
    ] {
        assert!(said.contains(line), "{line} is not in\n{said}");
    }
    assert!(journal.exists());

    // one that does not end in success
    let mut bounded: Value = serde_json::from_slice(&std::fs::read(&example).unwrap()).unwrap();
    bounded["agent"]["bounds"]["max_steps"] = json!(1);
    let file = folder.path().join("bounded.json");
    std::fs::write(&file, bounded.to_string()).unwrap();
    let (code, said, _) = run(&file);
    assert_eq!(code, Some(1));
    assert!(
        said.contains("termination  escalation") && said.contains("max_steps"),
        "{said}"
    );

    let (code, _, complaint) = run(&folder.path().join("none.json"));
    assert_eq!(code, Some(1));
    assert!(complaint.contains("none.json"), "{complaint}");
}
