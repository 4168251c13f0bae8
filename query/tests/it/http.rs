//! `POST /api/v1/query`.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use flyball_query::{Config, Engine, http};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::fixture::{engine, whole_world};

pub(crate) async fn post(
    engine: &Arc<Engine>,
    path: &str,
    content_type: &str,
    body: &str,
) -> (StatusCode, String) {
    let request = Request::post(path)
        .header("content-type", content_type)
        .body(Body::from(body.to_owned()))
        .unwrap();
    let answer = http::router(Arc::clone(engine), "default")
        .oneshot(request)
        .await
        .unwrap();
    let status = answer.status();
    let bytes = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    (status, String::from_utf8_lossy(&bytes).into_owned())
}

const SQL: &str =
    "SELECT agent_name, cost_per_decision_usd FROM cost_per_decision ORDER BY agent_name";

#[tokio::test]
async fn rows_come_as_json_objects_with_exact_money() {
    let engine = engine(whole_world()).await;
    let body = json!({ "sql": SQL }).to_string();
    for (content_type, body) in [
        ("application/json; charset=utf-8", body.as_str()),
        ("text/plain", SQL),
    ] {
        let (status, text) = post(&engine, "/api/v1/query", content_type, body).await;
        assert_eq!(status, StatusCode::OK, "{text}");
        assert_eq!(
            serde_json::from_str::<Value>(&text).unwrap(),
            json!([{"agent_name": "triage", "cost_per_decision_usd": "0.001750000000"},
                   {"agent_name": "writer", "cost_per_decision_usd": null}])
        );
    }
}

#[tokio::test]
async fn the_url_s_format_wins_over_the_body_s() {
    let engine = engine(whole_world()).await;
    let body = json!({ "sql": SQL, "format": "csv" }).to_string();
    let (_, csv) = post(&engine, "/api/v1/query", "application/json", &body).await;
    assert_eq!(
        csv,
        "agent_name,cost_per_decision_usd\ntriage,0.001750000000\nwriter,\n"
    );
    let (_, json) = post(
        &engine,
        "/api/v1/query?format=json",
        "application/json",
        &body,
    )
    .await;
    assert!(json.starts_with('['), "{json}");
    let (status, arrow) = post(
        &engine,
        "/api/v1/query?format=arrow",
        "application/json",
        &body,
    )
    .await;
    assert!(status.is_success() && arrow.contains("agent_name"));
}

#[tokio::test]
async fn errors_are_json_and_say_what_to_do() {
    let engine = engine(whole_world()).await;
    for (path, content_type, body, told) in [
        (
            "/api/v1/query",
            "text/plain",
            "SELEC 1",
            "not a valid query",
        ),
        (
            "/api/v1/query",
            "text/plain",
            "SELECT no_such FROM charges",
            "no_such",
        ),
        (
            "/api/v1/query",
            "text/plain",
            "SELECT * FROM no_such",
            "no_such",
        ),
        ("/api/v1/query", "text/plain", "", "0 statements"),
        ("/api/v1/query?format=xml", "text/plain", "SELECT 1", "xml"),
        ("/api/v1/query", "application/json", "{}", "sql"),
        (
            "/api/v1/query",
            "application/json",
            "{\"sql\": \"SELECT 1\", \"formt\": \"csv\"}",
            "formt",
        ),
        (
            "/api/v1/query",
            "application/json",
            "SELECT 1",
            "the body is",
        ),
    ] {
        let (status, text) = post(&engine, path, content_type, body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}: {text}");
        let error: Value = serde_json::from_str(&text).unwrap();
        assert!(
            error["error"].as_str().unwrap().contains(told),
            "{body}: {text}"
        );
    }
}

#[tokio::test]
async fn results_and_time_are_bounded() {
    let config = Config {
        http_rows_max: 10,
        time_limit: std::time::Duration::from_millis(300),
        ..Config::default()
    };
    let engine = Engine::new(Arc::new(whole_world()), config).await.unwrap();
    let (status, text) = post(
        &engine,
        "/api/v1/query",
        "text/plain",
        "SELECT * FROM generate_series(1, 11)",
    )
    .await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{text}");
    assert!(text.contains("10 rows"), "{text}");
    let (status, _) = post(
        &engine,
        "/api/v1/query",
        "text/plain",
        "SELECT * FROM generate_series(1, 10)",
    )
    .await;
    assert_eq!(status, StatusCode::OK);
    let endless = "SELECT count(*) FROM generate_series(1, 10000000000) a";
    let started = std::time::Instant::now();
    let (status, text) = post(&engine, "/api/v1/query", "text/plain", endless).await;
    assert_eq!(status, StatusCode::GATEWAY_TIMEOUT, "{text}");
    assert!(started.elapsed() < std::time::Duration::from_secs(20));
}

#[tokio::test]
async fn the_bytes_of_a_result_are_bounded() {
    let config = Config {
        result_bytes_max: 1 << 20,
        partitions: 1,
        ..Config::default()
    };
    let engine = Engine::new(Arc::new(whole_world()), config).await.unwrap();
    let rows = |n: u32| {
        format!("SELECT repeat('x', 1000 + value % 2) AS x FROM generate_series(1, {n}) ORDER BY x")
    };
    let (status, text) = post(&engine, "/api/v1/query", "text/plain", &rows(5000)).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{text}");
    assert!(
        text.contains("1048576 bytes") && text.contains("LIMIT") && text.contains("PostgreSQL"),
        "{text}"
    );
    let refused = engine.query("default", &rows(5000)).await.unwrap_err();
    assert!(
        matches!(
            refused,
            flyball_query::Error::TooManyBytes { limit: 1_048_576 }
        ),
        "{refused}"
    );
    let (status, text) = post(&engine, "/api/v1/query", "text/plain", &rows(100)).await;
    assert_eq!(status, StatusCode::OK, "{text}");
    // A value held once and told in every row: small in memory, large written out.
    let shared = "SELECT arrow_cast(repeat('x', 1000), 'Dictionary(Int32, Utf8)') AS x
                  FROM generate_series(1, 5000)";
    for format in ["json", "csv"] {
        let path = format!("/api/v1/query?format={format}");
        let (status, text) = post(&engine, &path, "text/plain", shared).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{format}");
        assert!(text.contains("1048576 bytes"), "{text}");
    }
    // The other port hands rows on as they come.
    let client = crate::pg::connect(Arc::clone(&engine)).await;
    assert_eq!(client.query(&rows(5000), &[]).await.unwrap().len(), 5000);
}

#[tokio::test]
async fn an_unknown_column_is_named_with_the_ones_there_are() {
    let engine = engine(whole_world()).await;
    for (sql, asked, known) in [
        (
            "SELECT coost FROM (SELECT 1 AS cost, 2 AS agent) t",
            "coost",
            "cost, agent",
        ),
        (
            "SELECT a.coost FROM (SELECT 1 AS cost) a, (SELECT 2 AS \"Spend\", 3 AS day) b",
            "a.coost",
            "cost",
        ),
        (
            "SELECT coost FROM (SELECT 1 AS cost) a, (SELECT 2 AS \"Spend\", 3 AS cost) b",
            "coost",
            "cost, \"Spend\"",
        ),
    ] {
        let error = engine.query("default", sql).await.unwrap_err().to_string();
        assert_eq!(
            error,
            format!("not a valid query: no column {asked}; the columns here are {known}")
        );
    }
    let error = engine
        .query("default", "SELECT charges.coost FROM charges")
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("no column charges.coost;"), "{error}");
    assert!(error.contains(", cost_usd, "), "{error}");
    assert!(
        !error.contains("charges.cost_usd") && !error.contains("Schema error"),
        "{error}"
    );
}

#[tokio::test]
async fn memory_is_bounded() {
    let config = Config {
        memory_bytes: 1 << 20,
        partitions: 1,
        ..Config::default()
    };
    let engine = Engine::new(Arc::new(whole_world()), config).await.unwrap();
    let large = "SELECT array_agg(value) AS all_of_them FROM generate_series(1, 3000000)";
    let (status, text) = post(&engine, "/api/v1/query", "text/plain", large).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{text}");
    assert!(text.contains("memory"), "{text}");
}
