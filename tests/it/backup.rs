//! Backup and restore from the command line: of a running server, of a stopped directory, to a folder and to a
//! bucket.

use std::path::Path;

use serde_json::Value;

use crate::harness::{Server, flyball, import, recording, row, run};
use crate::load::Load;
use crate::seaweed::{BUCKET, Seaweed};

/// What a command printed, which must have succeeded.
fn said(dir: &Path, arguments: &[&str]) -> String {
    let output = run(flyball(dir).args(arguments));
    String::from_utf8(output.stdout).unwrap()
}

/// Exit code and words of a command that may fail.
fn outcome(dir: &Path, arguments: &[&str]) -> (i32, String) {
    let output = flyball(dir).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), text.into_owned())
}

/// The log position that a backup says it goes up to.
fn position(text: &str) -> u64 {
    let (_, rest) = text.split_once("up to log position ").unwrap();
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

/// Totals of everything up to a position; every trace of the load is one request, so its charges are in or out
/// with its spans.
fn totals(ask: impl Fn(&str) -> Vec<Value>, position: u64) -> Vec<Value> {
    let spans = format!(
        "SELECT count(*) AS spans, count(DISTINCT trace_id || span_id) AS ids, sum(input_tokens) AS input, \
         sum(log_position) AS positions FROM spans WHERE log_position <= {position}"
    );
    let charges = format!(
        "SELECT kind, sum(calls) AS calls, sum(cost_usd) AS cost FROM charges WHERE trace_id IN \
         (SELECT trace_id FROM spans WHERE log_position <= {position}) GROUP BY 1 ORDER BY 1"
    );
    [ask(&spans), ask(&charges)].concat()
}

#[test]
fn a_running_server_is_backed_up_and_the_copy_has_its_totals_of_that_moment() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let place = other.path().join("backups").display().to_string();
    let copy = other.path().join("copy");
    let server = Server::start(dir.path(), &[]);
    let load = Load::start(&server);
    run(flyball(dir.path()).args(["freeze", "--agent", "writer", "--reason", "a test"]));
    while load.acknowledged() < 50 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let before = load.acknowledged();
    let first = said(dir.path(), &["backup", &place]);
    assert!(
        first.contains("it holds the key that signs the ledger"),
        "{first}"
    );
    let after = load.acknowledged();
    while load.acknowledged() < after + 20 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let sent = load.stop();
    let (code, text) = outcome(dir.path(), &["backup", "verify", &place]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("the backup is as it was written"), "{text}");

    let listed = said(dir.path(), &["backup", "list", &place]);
    assert_eq!(listed.lines().count(), 2, "{listed}");

    let text = said(&copy, &["restore", &place]);
    assert!(text.contains("every file checked"), "{text}");
    let position = position(&first);
    let ours = totals(|sql| server.query(sql), position);
    let restored = Server::start(&copy, &[]);
    let theirs = totals(|sql| restored.query(sql), position);
    assert_eq!(theirs, ours);
    let spans = crate::harness::number(&theirs[0]["spans"]) as u64;
    assert!(
        spans >= 2 * before && spans < 2 * sent,
        "{before} {spans} {sent}"
    );
    assert_eq!(theirs[0]["spans"], theirs[0]["ids"]);
    // Nothing is past that moment, control is as it was, and the ledger goes on.
    let all = &restored.query("SELECT count(*) AS n FROM spans")[0]["n"];
    assert_eq!(all, &theirs[0]["spans"]);
    let status = said(&copy, &["status"]);
    assert!(
        status.contains("writer") && status.contains("frozen"),
        "{status}"
    );
    // It takes in what the first one had after the backup.
    let load = Load::start(&restored);
    while load.acknowledged() < 5 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    load.stop();
    restored.stop();
    let (code, text) = outcome(&copy, &["audit", "verify"]);
    assert_eq!(code, 0, "{text}");
    server.stop();
    let (code, text) = outcome(dir.path(), &["audit", "verify"]);
    assert_eq!(code, 0, "{text}");
}

#[test]
fn a_stopped_directory_is_backed_up_to_a_bucket_and_comes_back_from_there() {
    let Some(python) = std::env::var_os("FLYBALL_TEST_READERS") else {
        eprintln!("FLYBALL_TEST_READERS names no Python with SeaweedFS beside it: skipped");
        return;
    };
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    import(
        dir.path(),
        &[recording("oi_langgraph"), recording("traceloop")],
    );
    let seaweed = Seaweed::start(&Path::new(&python).with_file_name("weed"));
    let place = format!("s3://{BUCKET}/backups");
    let options = seaweed.options();
    let options = ["--storage-options", options.as_str()];
    let first = said(dir.path(), &[&["backup", &place][..], &options].concat());
    assert!(first.contains(" 0 were there already"), "{first}");
    let second = said(dir.path(), &[&["backup", &place][..], &options].concat());
    assert!(!second.contains(" 0 were there already"), "{second}");
    let verified = outcome(
        dir.path(),
        &[&["backup", "verify", &place][..], &options].concat(),
    );
    assert_eq!(verified.0, 0, "{}", verified.1);
    // Back into another bucket: tables there, the rest here.
    let copy = other.path().join("copy");
    let tables = format!("s3://{BUCKET}/copy");
    let mut restore = flyball(&copy);
    restore
        .args(["restore", &place, "--tables-url", &tables])
        .env("FLYBALL_DATA_STORAGE_OPTIONS", seaweed.options());
    run(&mut restore);
    let there = |sql: &str| -> Value {
        let mut command = flyball(&copy);
        command
            .args(["query", sql, "--format", "json"])
            .env("FLYBALL_DATA_TABLES_URL", &tables)
            .env("FLYBALL_DATA_STORAGE_OPTIONS", seaweed.options());
        serde_json::from_slice(&run(&mut command).stdout).unwrap()
    };
    for sql in [
        "SELECT count(*) AS spans, count(DISTINCT span_id) AS ids, sum(input_tokens) AS input FROM spans",
        "SELECT sum(calls) AS calls, sum(input_tokens) AS input, sum(cost_usd) AS cost FROM charges",
        "SELECT count(*) AS contents FROM contents",
    ] {
        assert_eq!(there(sql)[0], row(dir.path(), sql), "{sql}");
    }
    let (code, text) = outcome(&copy, &[&["restore", &place][..], &options].concat());
    assert_ne!(code, 0);
    assert!(text.contains("restored into an empty directory"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_go_only_to_who_can_read_them() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Server::start(dir.path(), &[]);
    let http = reqwest::Client::new();
    let url = format!("http://{}/api/v1/backup", server.address("http"));
    let place = other.path().join("backups").display().to_string();
    for (body, status) in [
        (serde_json::json!({ "url": place }), 403),
        (
            serde_json::json!({ "url": place, "proof": "0".repeat(64) }),
            403,
        ),
        (
            serde_json::json!({ "url": place, "without_keys": true }),
            202,
        ),
        (serde_json::json!({ "url": place, "keys": true }), 422),
    ] {
        let answer = http.post(&url).json(&body).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{body}");
    }
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let going: Value = http.get(&url).send().await.unwrap().json().await.unwrap();
        assert_eq!(going["error"], Value::Null, "{going}");
        if going["taken"].is_object() {
            assert_eq!(going["taken"]["keys"], false);
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{going}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    server.stop();
}
