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

#[tokio::test]
async fn parameters_are_bound_by_number_and_by_name() {
    let engine = engine(whole_world()).await;
    let post = async |body: Value| {
        post(
            &engine,
            "/api/v1/query",
            "application/json",
            &body.to_string(),
        )
        .await
    };
    for (sql, parameters, rows) in [
        (
            "SELECT count(*) AS n FROM charges WHERE agent_name = $1 AND start_time < $2",
            json!(["triage", "2026-03-01T12:00:00Z"]),
            json!([{"n": 1}]),
        ),
        (
            "SELECT count(*) AS n FROM charges WHERE agent_name = $agent AND cost_usd > $least",
            json!({"agent": "triage", "least": "0.0024"}),
            json!([{"n": 1}]),
        ),
        (
            "SELECT $2::text || $1::text AS x",
            json!(["b", "a"]),
            json!([{"x": "ab"}]),
        ),
        ("SELECT $1 AS x", json!([7]), json!([{"x": 7}])),
        (
            "SELECT count(*) AS n FROM charges WHERE agent_name IS NOT DISTINCT FROM $1",
            json!([null]),
            json!([{"n": 0}]),
        ),
        (
            "SELECT value AS x FROM generate_series(1, 9) ORDER BY 1 LIMIT $1",
            json!([2]),
            json!([{"x": 1}, {"x": 2}]),
        ),
        ("SELECT 1 AS x", json!([]), json!([{"x": 1}])),
        // No text can leave its place.
        (
            "SELECT $1 AS x",
            json!(["'; DROP TABLE charges; --"]),
            json!([{"x": "'; DROP TABLE charges; --"}]),
        ),
    ] {
        let (status, text) = post(json!({"sql": sql, "parameters": parameters})).await;
        assert_eq!(status, StatusCode::OK, "{sql}: {text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), rows, "{sql}");
    }
    for (sql, parameters, told) in [
        (
            "SELECT * FROM charges WHERE calls = $1",
            json!(["many"]),
            vec!["$1 = \"many\"", "a whole number"],
        ),
        (
            "SELECT * FROM charges WHERE start_time > $t",
            json!({"t": "noon"}),
            vec!["$t = \"noon\"", "a time"],
        ),
        (
            "SELECT * FROM charges WHERE calls = $1",
            json!([]),
            vec!["$1 has no value"],
        ),
        (
            "SELECT * FROM charges WHERE calls = $1",
            json!([1, 2]),
            vec!["$2", "does not stand"],
        ),
        (
            "SELECT * FROM charges WHERE calls = $n",
            json!({"m": 1}),
            vec!["$n has no value"],
        ),
        (
            "SELECT * FROM charges WHERE calls = $1",
            json!(7),
            vec!["7 is neither"],
        ),
    ] {
        let (status, text) = post(json!({"sql": sql, "parameters": parameters})).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{sql}: {text}");
        let error: Value = serde_json::from_str(&text).unwrap();
        let error = error["error"].as_str().unwrap();
        assert!(
            told.iter().all(|word| error.contains(word)),
            "{sql}: {error}"
        );
    }
}

#[tokio::test]
async fn the_format_is_chosen_by_url_body_or_accept_header() {
    let engine = engine(whole_world()).await;
    for (path, accept, kind) in [
        ("/api/v1/query", "text/csv", "text/csv"),
        (
            "/api/v1/query",
            "application/x-ndjson",
            "application/x-ndjson",
        ),
        ("/api/v1/query", "*/*", "application/json"),
        (
            "/api/v1/query?format=parquet",
            "text/csv",
            "application/vnd.apache.parquet",
        ),
        ("/api/v1/query?format=jsonl", "*/*", "application/x-ndjson"),
    ] {
        let request = Request::post(path)
            .header("accept", accept)
            .body(Body::from(SQL))
            .unwrap();
        let router = http::router(Arc::clone(&engine), "default");
        let answer = router.oneshot(request).await.unwrap();
        let told = answer.headers()["content-type"].to_str().unwrap();
        assert!(told.starts_with(kind), "{path} {accept}: {told}");
        let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        if kind.ends_with("parquet") {
            assert!(body.starts_with(b"PAR1") && body.ends_with(b"PAR1"));
        }
    }
}

/// Rows that take their time: the first are there long before the last.
fn slow(rows: u64) -> String {
    format!("SELECT value, repeat('x', 1000) AS x FROM generate_series(1, {rows})")
}

async fn begin(engine: &Arc<Engine>, path: &str, sql: String) -> axum::response::Response {
    let request = Request::post(path).body(Body::from(sql)).unwrap();
    let router = http::router(Arc::clone(engine), "default");
    router.oneshot(request).await.unwrap()
}

#[tokio::test]
async fn a_large_answer_comes_as_it_is_made_and_whole() {
    let config = Config {
        partitions: 1,
        ..Config::default()
    };
    let engine = Engine::new(Arc::new(whole_world()), config).await.unwrap();
    for (format, rows) in [("csv", 20_001), ("jsonl", 20_000), ("json", 20_002)] {
        let answer = begin(
            &engine,
            &format!("/api/v1/query?format={format}"),
            slow(20_000),
        )
        .await;
        assert_eq!(answer.status(), StatusCode::OK);
        // Streamed, so nobody knew how long it would be.
        assert!(answer.headers().get("content-length").is_none());
        let text = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        let text = String::from_utf8(text.into()).unwrap();
        assert_eq!(text.lines().count(), rows, "{format}");
    }
    let answer = begin(&engine, "/api/v1/query?format=arrow", slow(20_000)).await;
    let bytes = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    let read = arrow::ipc::reader::StreamReader::try_new(&bytes[..], None).unwrap();
    let rows: usize = read.map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(rows, 20_000);
    let answer = begin(&engine, "/api/v1/query?format=parquet", slow(20_000)).await;
    let bytes = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    let read =
        datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(bytes, 8192);
    let rows: usize = read.unwrap().map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(rows, 20_000);
}

#[tokio::test]
async fn a_limit_behind_the_first_rows_cuts_the_answer_where_a_reader_sees_it() {
    let config = Config {
        http_rows_max: 15_000,
        partitions: 1,
        ..Config::default()
    };
    let engine = Engine::new(Arc::new(whole_world()), config).await.unwrap();
    for format in ["json", "jsonl", "csv", "arrow", "parquet"] {
        let answer = begin(
            &engine,
            &format!("/api/v1/query?format={format}"),
            slow(100_000),
        )
        .await;
        // Parquet is written by row group, the first of which is larger than the limit.
        if format == "parquet" {
            assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
            continue;
        }
        assert_eq!(answer.status(), StatusCode::OK, "{format}");
        let cut = to_bytes(answer.into_body(), usize::MAX).await.unwrap_err();
        assert!(format!("{cut:?}").contains("TooManyRows"), "{cut:?}");
    }
    // A small answer is known before its head is sent.
    let small = "SELECT value FROM generate_series(1, 20000)".to_owned();
    let answer = begin(&engine, "/api/v1/query", small).await;
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn who_stops_reading_stops_the_statement() {
    let config = Config {
        statements_max: 1,
        queue_max: 0,
        http_rows_max: usize::MAX,
        result_bytes_max: usize::MAX,
        partitions: 1,
        ..Config::default()
    };
    let engine = Engine::new(Arc::new(whole_world()), config).await.unwrap();
    let endless =
        "SELECT repeat('x', 1000) FROM charges, generate_series(1, 1000000000)".to_owned();
    let answer = begin(&engine, "/api/v1/query?format=csv", endless).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let short = || {
        begin(
            &engine,
            "/api/v1/query",
            "SELECT count(*) FROM charges".to_owned(),
        )
    };
    assert_eq!(short().await.status(), StatusCode::SERVICE_UNAVAILABLE);
    drop(answer);
    let begun = std::time::Instant::now();
    while short().await.status() != StatusCode::OK {
        assert!(begun.elapsed() < std::time::Duration::from_secs(30));
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
