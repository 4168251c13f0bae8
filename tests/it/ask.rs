//! `flyball query` and `POST /api/v1/query` as people and programs use them: pipes, files, streams, and what is cut.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::harness::{Server, flyball, import, recording, run};

/// Statements on standard input.
fn script(dir: &Path, options: &[&str], text: &str) -> Output {
    let mut child = flyball(dir)
        .arg("query")
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(text.as_bytes()).unwrap();
    drop(input);
    child.wait_with_output().unwrap()
}

fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// What holds with a server and without one.
fn by_every_way(dir: &Path) {
    let output = script(
        dir,
        &["--format", "csv"],
        "SELECT 1 AS a; SELECT ';' AS b\n  -- no; end\n;\n\\format jsonl\nSELECT count(*) AS n\nFROM spans;\nSELECT 'last' AS c",
    );
    let (rows, errors) = said(&output);
    assert!(output.status.success(), "{errors}");
    assert_eq!(rows, "a\n1\nb\n;\n{\"n\":105}\n{\"c\":\"last\"}\n");

    let (shown, _) = said(&script(
        dir,
        &[],
        "\\d\n\\d charges\n\\metrics\n\\timing\nSELECT 1;\n\\?\n\\q\nSELECT nothing;",
    ));
    for word in [
        "model_calls",
        "view",
        "cost_usd",
        "numeric",
        "cost_per_decision",
        " ms",
        "\\format FORMAT",
    ] {
        assert!(shown.contains(word), "{word}: {shown}");
    }

    // The first error ends it, and is told.
    let output = script(
        dir,
        &["--format", "csv"],
        "SELECT 1 AS a; SELECT nothing; SELECT 2 AS b;",
    );
    let (rows, errors) = said(&output);
    assert_eq!((output.status.code(), rows.as_str()), (Some(1), "a\n1\n"));
    assert!(errors.contains("no column nothing"), "{errors}");
    let (_, errors) = said(&script(dir, &[], "\\d no_such\n"));
    assert!(
        errors.contains("no_such: there is no such table"),
        "{errors}"
    );
    let (_, errors) = said(&script(dir, &[], "\\nonsense\n"));
    assert!(errors.contains("\\?"), "{errors}");

    // A file gets its name when it is whole.
    let files = tempfile::tempdir().unwrap();
    let write = |name: &str, sql: &str| {
        let file = files.path().join(name);
        let output = flyball(dir)
            .args(["query", sql, "--output"])
            .arg(&file)
            .output()
            .unwrap();
        (output, std::fs::read(&file).unwrap_or_default())
    };
    let (_, parquet) = write("x.parquet", "SELECT * FROM charges");
    assert!(parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"));
    let (_, csv) = write("x.csv", "SELECT 1 AS a");
    assert_eq!(csv, b"a\n1\n");
    let (output, none) = write("y.csv", "SELECT nothing");
    assert!(!output.status.success() && none.is_empty());
    let (output, _) = write("y", "SELECT 1");
    assert!(said(&output).1.contains("--format"));
    let mut left: Vec<_> = files
        .path()
        .read_dir()
        .unwrap()
        .map(|f| f.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["x.csv", "x.parquet"]);
    if let Some(python) = std::env::var_os("FLYBALL_TEST_READERS") {
        let read = "import sys, pyarrow.parquet as p; t = p.read_table(sys.argv[1]); print(t.num_rows, t.schema.field('cost_usd').type)";
        let output = run(Command::new(python)
            .args(["-c", read])
            .arg(files.path().join("x.parquet")));
        let rows = crate::harness::row(dir, "SELECT count(*) AS n FROM charges")["n"].to_string();
        assert_eq!(said(&output).0.trim(), format!("{rows} decimal128(18, 12)"));
    }

    let explain = |option: &str| {
        let sql = "SELECT sum(cost_usd) FROM charges WHERE agent_name <> 'x'";
        said(&run(flyball(dir).args(["query", sql, option]))).0
    };
    let plan = explain("--explain");
    assert!(
        plan.contains("physical_plan:\n") && plan.contains("scan:\n"),
        "{plan}"
    );
    assert!(
        plan.contains(" to be read; the tables have ") && plan.contains("limit 64.0 GiB"),
        "{plan}"
    );
    assert!(!plan.contains("\nread:\n"), "{plan}");
    let plan = explain("--explain=analyze");
    assert!(
        plan.contains("scan:\n") && plan.contains(" rows left the files"),
        "{plan}"
    );
}

#[test]
fn statements_come_from_a_pipe_and_rows_go_to_files() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    import(dir, &[recording("traceloop")]);
    by_every_way(dir);
    let server = Server::start(dir, &[]);
    by_every_way(dir);
    server.stop();
    assert!(dir.join("spill").is_dir());
}

#[tokio::test(flavor = "multi_thread")]
async fn large_answers_are_streamed_and_what_is_cut_is_seen_to_be() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let mut command = flyball(dir);
    command.env("FLYBALL_QUERY_HTTP_ROWS_MAX", "50000");
    let server = Server::start_as(command, dir, &[]);
    let url = format!("http://{}/api/v1/query", server.address("http"));
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let rows = |n: u64| format!("SELECT value, repeat('x', 200) AS x FROM generate_series(1, {n})");
    let whole = http
        .post(format!("{url}?format=jsonl"))
        .body(rows(50_000))
        .send()
        .await
        .unwrap();
    assert_eq!(whole.headers()["transfer-encoding"], "chunked");
    assert_eq!(whole.text().await.unwrap().lines().count(), 50_000);
    let cut = http.post(&url).body(rows(60_000)).send().await.unwrap();
    assert_eq!(cut.status(), 200);
    assert!(cut.text().await.is_err());

    let file = dir.join("cut.csv");
    let output = flyball(dir)
        .args(["query", &rows(60_000), "--output"])
        .arg(&file)
        .output()
        .unwrap();
    let (_, errors) = said(&output);
    assert!(
        !output.status.success() && errors.contains("broke off"),
        "{errors}"
    );
    assert!(!file.exists());
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_s_document_is_served_and_its_examples_of_queries_run() {
    let dir = tempfile::tempdir().unwrap();
    import(dir.path(), &[recording("traceloop")]);
    let server = Server::start(dir.path(), &[]);
    let at = |path: &str| format!("http://{}{path}", server.address("http"));
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let document: Value = http
        .get(at("/api/v1/openapi.json"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    // What is asked without a body is there; only a backup that nobody asked for is not found.
    for (path, methods) in document["paths"].as_object().unwrap() {
        let get = &methods["get"];
        if get.is_null() || path.ends_with("/watch") {
            continue;
        }
        let status = http
            .get(at(path))
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
            .to_string();
        assert!(!get["responses"][&status].is_null(), "{path}: {status}");
    }
    let content = &document["paths"]["/api/v1/query"]["post"]["requestBody"]["content"];
    let examples = content["application/json"]["examples"].as_object().unwrap();
    assert!(examples.len() >= 3);
    for (name, example) in examples {
        let asked = http.post(at("/api/v1/query")).json(&example["value"]);
        let answer = asked.send().await.unwrap();
        let status = answer.status();
        assert_eq!(status, 200, "{name}: {}", answer.text().await.unwrap());
    }
    server.stop();
}
