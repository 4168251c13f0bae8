//! What one statement may take: memory, disk, time, a place, a scan, a result. Each limit says which it was.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, StatusCode};
use flyball_query::{Config, Engine, Error, http};
use tower::ServiceExt;

use crate::fixture::{ask, whole_world, world};
use crate::stored;

async fn engine(config: Config) -> Arc<Engine> {
    Engine::new(Arc::new(whole_world()), config).await.unwrap()
}

/// Reads a table, and does not end by itself.
const ENDLESS: &str = "SELECT a.value FROM charges, generate_series(1, 1000000000000) a";
const SHORT: &str = "SELECT count(*) AS n FROM charges";

/// One statement at a time.
fn one_place(queue: usize, wait: Duration) -> Config {
    Config {
        statements_max: 1,
        queue_max: queue,
        queue_wait: wait,
        partitions: 1,
        ..Config::default()
    }
}

async fn until<T>(mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "it never came");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_statement_without_a_place_is_refused_by_every_port_in_its_own_words() {
    let engine = engine(one_place(0, Duration::from_secs(3))).await;
    let session = engine.session("default");
    let plan = session.plan(ENDLESS).await.unwrap();
    let running = session.run(plan).await.unwrap();

    let refused = session.query(SHORT).await.unwrap_err();
    assert!(
        matches!(refused, Error::Busy { at_once: 1, .. }),
        "{refused}"
    );
    let request = Request::post("/api/v1/query")
        .body(Body::from(SHORT))
        .unwrap();
    let router = http::router(Arc::clone(&engine), "default");
    let answer = router.oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers()["retry-after"], "3");
    let client = crate::pg::connect(Arc::clone(&engine)).await;
    let refused = client.query(SHORT, &[]).await.unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "53300");

    // What reads no table asks nobody, and the house has places of its own.
    session.query("SELECT 1").await.unwrap();
    client
        .query("SELECT * FROM information_schema.tables", &[])
        .await
        .unwrap();
    assert_eq!(ask(&engine, SHORT).await[0]["n"], 11);

    drop(running);
    until(async || session.query(SHORT).await.ok()).await;
}

#[tokio::test]
async fn who_waits_is_answered_when_a_place_is_free() {
    let engine = engine(one_place(1, Duration::from_secs(50))).await;
    let session = engine.session("default");
    let plan = session.plan(ENDLESS).await.unwrap();
    let running = session.run(plan).await.unwrap();
    let waiting = tokio::spawn({
        let session = session.clone();
        async move { session.query(SHORT).await }
    });
    // Long enough to come before us, then the queue is full.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let refused = session.query(SHORT).await.unwrap_err();
    assert!(matches!(refused, Error::Busy { .. }), "{refused}");
    assert!(!waiting.is_finished());
    drop(running);
    assert_eq!(waiting.await.unwrap().unwrap()[0].num_rows(), 1);
}

#[tokio::test]
async fn a_waiter_that_is_cancelled_leaves_the_queue() {
    let engine = engine(one_place(1, Duration::from_secs(50))).await;
    let session = engine.session("default");
    let plan = session.plan(ENDLESS).await.unwrap();
    let _running = session.run(plan).await.unwrap();
    for _ in 0..3 {
        let waited = tokio::time::timeout(Duration::from_millis(300), session.query(SHORT)).await;
        // It was not refused: there was room to wait, each time.
        if let Ok(Err(error)) = waited {
            panic!("{error}");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn what_does_not_fit_into_memory_goes_to_the_disk_within_its_limit() {
    let dir = tempfile::tempdir().unwrap();
    let spill = dir.path().join("spill");
    std::fs::create_dir(&spill).unwrap();
    std::fs::write(spill.join("left-behind"), "by an earlier run").unwrap();
    let config = |spill_bytes_max| Config {
        memory_bytes: 24 << 20,
        partitions: 1,
        spill_dir: Some(spill.clone()),
        spill_bytes_max,
        ..Config::default()
    };
    // Some 60 MB to be sorted.
    let sorted = "SELECT count(*) AS n, max(at) AS last FROM (SELECT row_number() OVER (ORDER BY k, x) AS at FROM
        (SELECT value % 1000 AS k, value || repeat('x', 50) AS x FROM generate_series(1, 500000)))";
    let engine = engine(config(1 << 30)).await;
    assert!(!spill.join("left-behind").exists());
    let rows = ask(&engine, sorted).await;
    assert_eq!(
        (&rows[0]["n"], &rows[0]["last"]),
        (&500_000.into(), &500_000.into())
    );
    for too_little in [1 << 20, 0] {
        let engine = self::engine(config(too_little)).await;
        let refused = engine.query("default", sorted).await.unwrap_err();
        assert!(matches!(refused, Error::Memory(_)), "{refused}");
    }
    let left = || {
        let files = std::fs::read_dir(&spill).unwrap();
        files
            .filter(|f| {
                f.as_ref()
                    .unwrap()
                    .path()
                    .read_dir()
                    .unwrap()
                    .next()
                    .is_some()
            })
            .count()
    };
    until(async || (left() == 0).then_some(())).await;
}

#[tokio::test]
async fn a_scan_that_is_too_wide_is_refused_before_it_begins() {
    let dir = tempfile::tempdir().unwrap();
    let (source, files, bytes) = stored::two_files(&dir, &world()).await;
    assert_eq!(files, 2);
    let limited = |scan_bytes_max| {
        let config = Config {
            scan_bytes_max,
            partitions: 2,
            ..Config::default()
        };
        Engine::new(Arc::new(source.clone()), config)
    };
    let wide = "SELECT sum(cost_usd) AS cost FROM charges";
    let engine = limited(bytes).await.unwrap();
    assert_eq!(ask(&engine, wide).await[0]["cost"], "0.003500000000");

    let engine = limited(bytes - 1).await.unwrap();
    let refused = engine.query("default", wide).await.unwrap_err();
    let told = refused.to_string();
    assert!(matches!(refused, Error::TooWide { .. }), "{told}");
    for word in ["2 files", "11 rows", "query.scan_bytes_max", "start_time"] {
        assert!(told.contains(word), "{told}");
    }
    let (status, told) = crate::http::post(&engine, "/api/v1/query", "text/plain", wide).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{told}");
    let client = crate::pg::connect(Arc::clone(&engine)).await;
    let refused = client.query(wide, &[]).await.unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "53400");

    // A filter that rules a file out is the way round; so is taking what one file has.
    let narrow = format!("{wide} WHERE start_time < TIMESTAMPTZ '2026-03-01T11:59:30Z'");
    ask(&engine, &narrow).await;
    // EXPLAIN reads nothing, and says what would be read.
    let plan = ask(&engine, &format!("EXPLAIN {wide}")).await;
    let scan = plan.iter().find(|row| row["plan_type"] == "scan").unwrap();
    let scan = scan["plan"].as_str().unwrap();
    assert!(
        scan.starts_with("2 files, ") && scan.contains("11 rows to be read"),
        "{scan}"
    );
    let plan = ask(&engine, &format!("EXPLAIN {narrow}")).await;
    let scan = plan.iter().find(|row| row["plan_type"] == "scan").unwrap();
    let scan = scan["plan"].as_str().unwrap();
    assert!(
        scan.starts_with("1 file, ") && scan.contains("the tables have 2 files"),
        "{scan}"
    );
    // EXPLAIN ANALYZE reads, and is held to the limit.
    assert!(
        engine
            .query("default", &format!("EXPLAIN ANALYZE {wide}"))
            .await
            .is_err()
    );
    let plan = ask(&engine, &format!("EXPLAIN ANALYZE {narrow}")).await;
    let read = plan.iter().find(|row| row["plan_type"] == "read").unwrap();
    let read = read["plan"].as_str().unwrap();
    assert!(read.contains(" read, 1 rows left the files"), "{read}");
}

/// Statements that would take a machine down if they were carried out as they stand.
fn heavy() -> Vec<String> {
    let list = |item: &str, between: &str, n: usize| vec![item; n].join(between);
    let deep = |open: &str, inner: &str, close: &str, n: usize| {
        format!("SELECT {}{inner}{}", open.repeat(n), close.repeat(n))
    };
    let mut all: Vec<String> = [
        "SELECT count(*) FROM generate_series(1, 1000000000000)",
        "SELECT * FROM generate_series(1, 1000000000000)",
        "SELECT range(1, 1000000000000)",
        "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t",
        "WITH RECURSIVE t AS (SELECT repeat('x', 100000) AS x UNION ALL SELECT x FROM t) SELECT max(x) FROM t",
        "SELECT repeat('x', 1000000000)",
        "SELECT length(repeat(repeat('x', 100000), 100000))",
        "SELECT lpad('x', 2000000000)",
        "SELECT array_repeat(array_repeat(1, 100000), 100000)",
        "SELECT array_agg(value) FROM generate_series(1, 1000000000)",
        "SELECT string_agg(repeat('x', 1000), ',') FROM generate_series(1, 1000000000)",
        "SELECT count(DISTINCT value) FROM generate_series(1, 1000000000)",
        "SELECT * FROM generate_series(1, 1000000000) ORDER BY value DESC",
        "SELECT count(*) FROM charges a, charges b, charges c, charges d, charges e, charges f, charges g, charges h,
         charges i, charges j",
        "SELECT regexp_like(repeat('a', 1000000), '(a+)+$') FROM generate_series(1, 1000000)",
        "SELECT regexp_like('a', '((a{100}){1000})')",
        "SELECT factorial(20) FROM generate_series(1, 1000000000)",
    ]
    .map(str::to_owned)
    .into();
    all.extend([
        format!("SELECT {}", list("1", "+", 900)),
        format!("SELECT {}", list("1", "+", 300_000)),
        format!(
            "SELECT count(*) FROM charges WHERE {}",
            list("calls = 7", " OR ", 450)
        ),
        format!(
            "SELECT count(*) FROM charges WHERE {}",
            list("calls = 7", " AND ", 50_000)
        ),
        format!(
            "SELECT count(*) FROM charges WHERE calls IN ({})",
            list("7", ",", 100_000)
        ),
        format!("SELECT {} true", list("NOT", " ", 900)),
        format!("SELECT {} 1", list("-", " ", 900)),
        format!("SELECT 1{}", "::int".repeat(900)),
        format!("SELECT 'a'{}", list("|| 'a'", " ", 900)),
        list("SELECT 1", " UNION ALL ", 300),
        format!("SELECT count(*) FROM {}", list("charges", ",", 100)),
        deep("(", "1", ")", 40),
        deep("(", "1", ")", 100_000),
        deep("abs(", "1", ")", 900),
        deep("(SELECT ", "1", ")", 300),
        deep("CASE WHEN true THEN ", "1", " END", 300),
        deep("ARRAY[", "1", "]", 300),
        deep("ARRAY[", "1", "]", 24),
        deep("NOT (", "true", ")", 40),
        deep("(SELECT ", "1", ")", 12),
        deep("EXISTS (SELECT ", "1", ")", 40),
    ]);
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_heavy_ends_within_its_limits() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        memory_bytes: 64 << 20,
        time_limit: Duration::from_millis(1500),
        http_rows_max: 10_000,
        result_bytes_max: 8 << 20,
        spill_dir: Some(dir.path().join("spill")),
        spill_bytes_max: 64 << 20,
        partitions: 2,
        ..Config::default()
    };
    let engine = engine(config).await;
    let client = crate::pg::connect(Arc::clone(&engine)).await;
    for sql in heavy() {
        let told: String = sql.chars().take(80).collect();
        let begun = Instant::now();
        let (status, answer) =
            crate::http::post(&engine, "/api/v1/query", "text/plain", &sql).await;
        assert!(
            status != StatusCode::INTERNAL_SERVER_ERROR || !answer.contains("lost"),
            "{told}: {answer}"
        );
        let http = begun.elapsed();
        let begun = Instant::now();
        // To its end or to its limit, whichever is first; what it is answered is not ours to hold.
        let rows = client.query_raw(&sql, Vec::<String>::new()).await;
        if let Ok(rows) = rows {
            let mut rows = std::pin::pin!(rows);
            while let Some(Ok(_)) = futures::StreamExt::next(&mut rows).await {}
        }
        let pg = begun.elapsed();
        eprintln!("{status} {http:?} {pg:?} {told}");
        assert!(
            http + pg < Duration::from_secs(120),
            "{told}: {http:?}, {pg:?}"
        );
    }
    // All is well.
    assert_eq!(ask(&engine, SHORT).await[0]["n"], 11);
}
