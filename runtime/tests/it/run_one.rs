//! One agent, once, from a file.

use flyball_runtime::machine::Termination;
use flyball_runtime::run_one::{RunFile, RunOptions, run_one};

const FILE: &str = r#"{
  "agent": {"agent": "clerk", "model": "flyball-demo-small", "tools": ["look"], "bounds": {"budget_usd": "0.05"}},
  "task": {"goal": "find the red one"},
  "provider": {"kind": "scripted", "script": {"provider": "flyball", "replies": [
    {"tool_calls": [{"name": "look", "arguments": {"colour": "red"}}], "usage": {"input_tokens": 400, "output_tokens": 20}},
    {"content": "On the left.", "usage": {"input_tokens": 500, "output_tokens": 10}, "judgement": {"confidence": 0.9}}
  ]}},
  "tools": [{"contract": {"name": "look", "input": {"type": "object", "required": ["colour"]}}, "outputs": [{"at": "left"}]}]
}"#;

#[tokio::test]
async fn a_file_is_run_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clerk.json");
    std::fs::write(&file, FILE).unwrap();
    let journal = Some(folder.path().join("journal.sqlite"));
    let outcome = run_one(
        &file,
        &RunOptions {
            journal,
            ..RunOptions::default()
        },
    )
    .await
    .unwrap();
    assert_eq!(
        (outcome.termination, outcome.answer.as_deref()),
        (Termination::Success, Some("On the left."))
    );
    // 900 x 0.25 + 30 x 1, a millionth of it
    assert_eq!(outcome.spent_usd, rust_decimal::Decimal::new(255, 6));
}

#[test]
fn a_file_that_is_none_says_where() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.json");
    for (text, says) in [
        ("", "EOF"),
        ("{}", "agent"),
        (&FILE.replace("\"goal\"", "\"gaol\""), "gaol"),
        (&FILE.replace("scripted", "oracle"), "oracle"),
        (&FILE.replace("\"0.05\"", "\"much\""), "line"),
    ] {
        std::fs::write(&file, text).unwrap();
        let error = RunFile::read(&file).unwrap_err().to_string();
        assert!(error.contains("x.json") && error.contains(says), "{error}");
    }
    assert!(RunFile::read(&folder.path().join("none.json")).is_err());
}
