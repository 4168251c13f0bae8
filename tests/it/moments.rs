//! Reading an earlier moment, or only what is committed: from the command line, over HTTP and over PostgreSQL.

use std::path::Path;
use std::time::Duration;

use tokio_postgres::SimpleQueryMessage;

use crate::harness::{Server, flyball, import, number, recording, run};

/// `flyball query` with options: exit code, rows of `SELECT count(*)`, and what was said beside them.
fn count(dir: &Path, options: &[&str]) -> (i32, Option<f64>, String) {
    let output = flyball(dir)
        .args([
            "query",
            "SELECT count(*) AS n FROM spans",
            "--format",
            "json",
        ])
        .args(options)
        .output()
        .unwrap();
    let rows: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (
        output.status.code().unwrap(),
        rows.get(0).map(|row| number(&row["n"])),
        said,
    )
}

fn now() -> String {
    std::thread::sleep(Duration::from_millis(50));
    let now = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    std::thread::sleep(Duration::from_millis(50));
    now
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_there_earlier_can_be_asked_for_through_every_door() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let empty = now();
    import(dir, &[recording("traceloop")]);
    let one = now();
    import(dir, &[recording("oi_langgraph")]);
    let (first, both) = (Some(105.0), Some(285.0));
    let check = || {
        for (options, wanted, version) in [
            (vec![], both, None),
            (vec!["--committed"], both, Some("-- versions spans=")),
            (
                vec!["--as-of", one.as_str()],
                first,
                Some("-- versions spans="),
            ),
            (
                vec!["--as-of", empty.as_str()],
                Some(0.0),
                Some("-- versions spans=-"),
            ),
            (
                vec!["--as-of", "3650d"],
                Some(0.0),
                Some("-- versions spans=-"),
            ),
            (
                vec!["--as-of", "2999-01-01T00:00:00Z"],
                both,
                Some("-- versions spans="),
            ),
        ] {
            let (code, found, said) = count(dir, &options);
            assert_eq!((code, found), (0, wanted), "{options:?}: {said}");
            if let Some(version) = version {
                assert!(said.contains(version), "{options:?}: {said}");
            }
        }
        let (code, _, said) = count(dir, &["--as-of", "yesterday"]);
        assert!(code != 0 && said.contains("RFC 3339"), "{said}");
        let (code, ..) = count(dir, &["--as-of", "2h", "--committed"]);
        assert_ne!(code, 0, "one or the other");
    };
    check();
    let server = Server::start(dir, &[]);
    check();

    let http = reqwest::Client::new();
    let ask = async |read: &str| {
        let url = format!("http://{}/api/v1/query", server.address("http"));
        let answer = http.post(url).query(&[("read", read), ("format", "csv")]);
        let answer = answer
            .body("SELECT count(*) AS n FROM spans")
            .send()
            .await
            .unwrap();
        let versions = answer.headers().get("flyball-versions").cloned();
        let status = answer.status().as_u16();
        (status, answer.text().await.unwrap(), versions)
    };
    let (status, text, versions) = ask(&one).await;
    assert_eq!((status, text.as_str()), (200, "n\n105\n"));
    assert!(versions.unwrap().to_str().unwrap().starts_with("spans="));
    let (status, text, _) = ask("the day before").await;
    assert!(
        status == 400 && text.contains("RFC 3339"),
        "{status} {text}"
    );

    let sql = server.postgres().await;
    let ask = async |statement: &str| {
        let answer = sql.simple_query(statement).await?;
        let value = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(row.len() - 1).map(str::to_owned),
            _ => None,
        });
        Ok::<_, tokio_postgres::Error>(value)
    };
    let spans = "SELECT count(*) FROM spans";
    assert_eq!(ask(spans).await.unwrap().as_deref(), Some("285"));
    ask(&format!("SET flyball.read = '{one}'")).await.unwrap();
    assert_eq!(ask(spans).await.unwrap().as_deref(), Some("105"));
    assert_eq!(
        ask("SHOW flyball.read").await.unwrap().as_deref(),
        Some(one.as_str())
    );
    let prepared = sql.query_one(spans, &[]).await.unwrap();
    assert_eq!(prepared.get::<_, i64>(0), 105);
    // One session's moment is no other's.
    let other = server.postgres().await.query_one(spans, &[]).await.unwrap();
    assert_eq!(other.get::<_, i64>(0), 285);
    let wrong = ask("SET flyball.read = 'soon'").await.unwrap_err();
    let wrong = wrong.as_db_error().unwrap();
    assert!(wrong.message().contains("RFC 3339"), "{wrong:?}");
    assert_eq!(wrong.code().code(), "22023");
    ask("SET flyball.read = 'committed'").await.unwrap();
    assert_eq!(ask(spans).await.unwrap().as_deref(), Some("285"));
    ask("SET flyball.read = 'latest'").await.unwrap();
    assert_eq!(ask(spans).await.unwrap().as_deref(), Some("285"));
    server.stop();
    run(flyball(dir).args(["query", spans, "--committed"]));
}
