//! Reports and dashboards say what SQL says.

use flyball_dashboards::grafana::TimeRange;

use crate::harness::{Server, flyball, import, recording, row, run};

#[test]
fn the_chargeback_total_is_the_journals() {
    let dir = tempfile::tempdir().unwrap();
    import(
        dir.path(),
        &[recording("oi_langgraph"), recording("traceloop")],
    );
    let output = run(flyball(dir.path()).args([
        "report",
        "chargeback",
        "--by",
        "team,agent",
        "--format",
        "csv",
    ]));
    let csv = String::from_utf8(output.stdout).unwrap();
    let mut lines = csv.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let column = header
        .iter()
        .position(|name| *name == "cost_usd")
        .expect("a cost_usd column");
    let total = lines
        .next_back()
        .unwrap()
        .split(',')
        .nth(column)
        .unwrap()
        .to_owned();
    let sql = row(dir.path(), "SELECT sum(cost_usd) AS cost FROM charges");
    let digits = |text: &str| text.parse::<rust_decimal::Decimal>().unwrap();
    assert_eq!(
        digits(&total),
        digits(sql["cost"].as_str().unwrap()),
        "{csv}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_dashboard_query_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    import(dir.path(), &[recording("oi_langgraph")]);
    let server = Server::start(dir.path(), &[]);
    let client = server.postgres().await;
    let now_ms = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    let queries =
        flyball_dashboards::grafana::queries(&TimeRange::last_hours(now_ms, 24 * 30)).unwrap();
    assert!(queries.len() >= 8);
    for query in queries {
        let (panel, sql) = (query.title, query.sql);
        client
            .simple_query(&sql)
            .await
            .unwrap_or_else(|e| panic!("{panel}: {e:?}\n{sql}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_and_its_data_are_served() {
    let dir = tempfile::tempdir().unwrap();
    import(dir.path(), &[recording("oi_langgraph")]);
    let server = Server::start(dir.path(), &[]);
    let get = async |path: &str| {
        let answer = reqwest::get(format!("http://{}{path}", server.address("http")))
            .await
            .unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.text().await.unwrap()
    };
    assert!(get("/").await.contains("<html"));
    let fleet: serde_json::Value =
        serde_json::from_str(&get("/api/v1/fleet?window=all").await).unwrap();
    assert!(!fleet["agents"].as_array().unwrap().is_empty(), "{fleet}");
    let metrics = get("/metrics").await;
    for figure in ["flyball_log_bytes", "flyball_charges_entered_total"] {
        assert!(metrics.contains(figure), "{metrics}");
    }
}
