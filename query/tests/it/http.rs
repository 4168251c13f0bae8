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
