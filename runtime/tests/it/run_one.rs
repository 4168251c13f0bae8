//! One agent, once, from a file.

use flyball_runtime::clock::{Clock, SystemClock};
use flyball_runtime::machine::{Journal, Record, SqliteJournal, Termination};
use flyball_runtime::run_one::{ProviderFile, RunFile, RunOptions, run_one};
use flyball_runtime::spec::AgentSpec;

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

#[tokio::test]
async fn the_example_runs_alone_and_its_provider_can_be_replaced_as_its_readme_says() {
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let file = examples.join("clerk.json");
    let outcome = run_one(&file, &RunOptions::default()).await.unwrap();
    assert_eq!(outcome.termination, Termination::Success, "{outcome:?}");
    assert_eq!(
        (outcome.counters.steps, outcome.counters.tool_calls),
        (2, 2)
    );
    assert!(outcome.spent_usd > rust_decimal::Decimal::ZERO);

    let readme = std::fs::read_to_string(examples.join("README.md")).unwrap();
    let (_, after) = readme.split_once("\"provider\": ").unwrap();
    let provider = &after[..=after.find('}').unwrap()];
    let mut parts: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    parts["provider"] = serde_json::from_str(provider).unwrap();
    let read: RunFile = serde_json::from_value(parts).unwrap();
    assert!(matches!(read.provider, ProviderFile::Openai { .. }));
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

#[tokio::test]
async fn what_another_process_left_is_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clerk.json");
    std::fs::write(&file, FILE).unwrap();
    let journal = folder.path().join("journal.sqlite");
    let RunFile { agent, task, .. } = RunFile::read(&file).unwrap();
    let left = SqliteJournal::open(&journal).await.unwrap();
    let stranger = AgentSpec::new("stranger", "m");
    let now = SystemClock.unix_nano();
    for (id, spec) in [("e1", agent), ("e2", stranger)] {
        let record = Record::new(id.into(), spec, task.clone(), now);
        left.begin(&record).await.unwrap();
    }
    drop(left);
    let options = RunOptions {
        journal: Some(journal.clone()),
        ..RunOptions::default()
    };
    let outcome = run_one(&file, &options).await.unwrap();
    assert_eq!(
        (outcome.execution_id.as_str(), outcome.counters.resumes),
        ("e1", 1)
    );
    assert_eq!(outcome.termination, Termination::Success);
    // the next run is a new one
    let outcome = run_one(&file, &options).await.unwrap();
    assert_eq!(outcome.counters.resumes, 0);
    let left = SqliteJournal::open(&journal).await.unwrap();
    assert_eq!(left.unfinished().await.unwrap(), ["e2"]);
}

#[tokio::test]
async fn files_that_name_one_ledger_share_its_limits() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clerk.json");
    let ledger = serde_json::json!(folder.path().join("ledger.sqlite"));
    let mut text: serde_json::Value = serde_json::from_str(FILE).unwrap();
    // A call may have 1,024 tokens of output, a thousandth of a dollar: one is left after the first run.
    text["shared"] = serde_json::json!({"ledger": ledger, "limits": [
        {"scope": "agent", "target": "default/clerk", "window": "month", "usd": "0.0015"}]});
    std::fs::write(&file, text.to_string()).unwrap();
    let options = RunOptions::default();
    let mut spent = rust_decimal::Decimal::ZERO;
    let last = loop {
        let outcome = run_one(&file, &options).await.unwrap();
        spent += outcome.spent_usd;
        if outcome.termination != Termination::Success {
            break outcome;
        }
    };
    assert_eq!(last.reason, "budget_exhausted");
    assert!(
        last.detail.contains("agent:default/clerk:month:"),
        "{}",
        last.detail
    );
    assert!(spent > rust_decimal::Decimal::ZERO && spent <= rust_decimal::Decimal::new(15, 4));
}
