//! Nothing but reading gets through, by any port.

use std::sync::Arc;

use flyball_query::catalogue::Kind;
use flyball_query::{Engine, Error};
use serde_json::json;
use tokio_postgres::SimpleQueryMessage;

use crate::fixture::{ask, engine, whole_world};

/// What people and programs might send to change or reach something.
pub(crate) const HOSTILE: [&str; 63] = [
    "INSERT INTO charges SELECT * FROM charges",
    "INSERT INTO charges (charge_id) VALUES ('x')",
    "INSERT INTO model_calls SELECT * FROM model_calls",
    "UPDATE charges SET cost_usd = 0",
    "DELETE FROM charges",
    "DELETE FROM flyball.public.audit WHERE true",
    "TRUNCATE charges",
    "TRUNCATE TABLE audit",
    "MERGE INTO charges USING spans ON charges.span_id = spans.span_id WHEN MATCHED THEN DELETE",
    "DROP TABLE charges",
    "DROP TABLE IF EXISTS charges, spans",
    "DROP VIEW model_calls",
    "DROP SCHEMA public CASCADE",
    "DROP FUNCTION psi_drift",
    "ALTER TABLE charges ADD COLUMN x INT",
    "CREATE TABLE t (a INT)",
    "CREATE TABLE t AS SELECT * FROM charges",
    "CREATE TEMP TABLE t AS SELECT 1",
    "SELECT * INTO t FROM charges",
    "CREATE VIEW v AS SELECT 1",
    "CREATE OR REPLACE VIEW model_calls AS SELECT 1",
    "CREATE SCHEMA s",
    "CREATE DATABASE d",
    "CREATE INDEX i ON charges (charge_id)",
    "CREATE FUNCTION f(INT) RETURNS INT RETURN $1",
    "CREATE EXTERNAL TABLE passwd STORED AS CSV LOCATION '/etc/passwd'",
    "CREATE UNBOUNDED EXTERNAL TABLE t (a INT) STORED AS CSV LOCATION '/dev/zero'",
    "COPY charges TO '/tmp/flyball-hostile.parquet'",
    "COPY (SELECT * FROM charges) TO '/tmp/flyball-hostile.csv' STORED AS CSV",
    "COPY charges FROM '/etc/passwd'",
    "COPY charges FROM PROGRAM 'id'",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM 'file:///etc/passwd'",
    "SELECT * FROM 's3://bucket/key.parquet'",
    "SELECT * FROM read_parquet('/tmp/x.parquet')",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT pg_read_file('/etc/passwd')",
    "EXPLAIN INSERT INTO charges SELECT * FROM charges",
    "EXPLAIN ANALYZE INSERT INTO charges SELECT * FROM charges",
    "EXPLAIN ANALYZE CREATE TABLE t AS SELECT 1",
    "PREPARE p AS DELETE FROM charges",
    "EXECUTE p",
    "WITH gone AS (DELETE FROM charges RETURNING *) SELECT * FROM gone",
    "SET datafusion.runtime.memory_limit = '100G'",
    "SET datafusion.catalog.location = '/etc'",
    "GRANT ALL ON charges TO public",
    "SELECT lo_import('/etc/passwd')",
    "SELECT pg_ls_dir('/')",
    "SELECT * FROM parquet_metadata('/tmp/x.parquet')",
    "SELECT * FROM read_json('/etc/passwd')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM 'http://127.0.0.1:1/x.csv'",
    "TABLE \"/etc/passwd\"",
    "DESCRIBE '/etc/passwd'",
    "SET datafusion.execution.target_partitions = 100000",
    "SET datafusion.execution.batch_size = 1000000000",
    "SET datafusion.runtime.temp_directory = '/etc'",
    "SET datafusion.runtime.max_temp_directory_size = '100T'",
    "CALL pg_terminate_backend(1)",
    "DO $$ BEGIN END $$",
    "LOAD 'x'",
    "VACUUM charges",
    "EXPLAIN ANALYZE COPY charges TO '/tmp/flyball-hostile.parquet'",
];

async fn unharmed(engine: &Engine) {
    let rows = ask(
        engine,
        "SELECT count(*) AS n, sum(cost_usd) AS cost FROM charges",
    )
    .await;
    assert_eq!(rows, vec![json!({"n": 11, "cost": "0.003500000000"})]);
    let tables = ask(
        engine,
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'",
    )
    .await;
    // The tables, of one of them three parts under names of their own, and the views; not the functions.
    let views = flyball_query::catalogue::all();
    let views = views.iter().filter(|entry| entry.kind != Kind::Function);
    let expected = flyball_store::Table::ALL.len() + 3 + views.count();
    assert_eq!(tables.len(), expected, "{tables:?}");
    assert!(!std::path::Path::new("/tmp/flyball-hostile.parquet").exists());
    assert!(!std::path::Path::new("/tmp/flyball-hostile.csv").exists());
}

#[tokio::test]
async fn by_the_library() {
    let engine = engine(whole_world()).await;
    for sql in HOSTILE {
        assert!(
            engine.query("default", sql).await.is_err(),
            "{sql} was carried out"
        );
    }
    unharmed(&engine).await;
}

#[tokio::test]
async fn refusals_say_what_was_refused() {
    let engine = engine(whole_world()).await;
    for (sql, told) in [
        ("INSERT INTO charges SELECT * FROM charges", "INSERT"),
        ("DROP TABLE charges", "DROP TABLE"),
        ("DELETE FROM charges", "DELETE"),
        ("COPY charges TO '/tmp/flyball-hostile.parquet'", "COPY"),
        (
            "CREATE EXTERNAL TABLE p STORED AS CSV LOCATION '/etc/passwd'",
            "EXTERNAL TABLE",
        ),
        ("EXPLAIN ANALYZE DELETE FROM charges", "DELETE"),
    ] {
        let error = engine.query("default", sql).await.unwrap_err();
        assert!(matches!(error, Error::ReadOnly { .. }), "{sql}: {error}");
        assert!(
            error.to_string().to_uppercase().contains(told),
            "{sql}: {error}"
        );
    }
    let setting = engine
        .query("default", "SET datafusion.runtime.memory_limit = '100G'")
        .await
        .unwrap_err();
    assert!(matches!(setting, Error::Setting { .. }), "{setting}");
    let two = engine
        .query("default", "SELECT 1; SELECT 2")
        .await
        .unwrap_err();
    assert!(matches!(two, Error::Statements { found: 2 }), "{two}");
    assert!(matches!(
        engine.query("default", " ; ").await.unwrap_err(),
        Error::Statements { found: 0 }
    ));
}

#[tokio::test]
async fn by_the_postgres_port_in_both_protocols() {
    let engine = engine(whole_world()).await;
    let client = crate::pg::connect(Arc::clone(&engine)).await;
    for sql in HOSTILE {
        let simple = client.simple_query(sql).await;
        assert!(simple.is_err(), "{sql} was carried out: {simple:?}");
        let extended = client.query(sql, &[]).await;
        assert!(extended.is_err(), "{sql} was carried out");
    }
    // A statement that is refused does not take those before it or after it along.
    assert!(
        client
            .simple_query("SELECT 1; DROP TABLE charges; SELECT 2")
            .await
            .is_err()
    );
    let refused = client.simple_query("DROP TABLE charges").await.unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "25006");
    let alive = client
        .simple_query("SELECT count(*) FROM charges")
        .await
        .unwrap();
    assert!(
        alive
            .iter()
            .any(|m| matches!(m, SimpleQueryMessage::Row(row) if row.get(0) == Some("11")))
    );
    unharmed(&engine).await;
}

#[tokio::test]
async fn by_flight_sql_as_a_query_an_update_and_prepared() {
    let engine = engine(whole_world()).await;
    let mut client = crate::flight::connect(Arc::clone(&engine)).await;
    for sql in HOSTILE {
        let asked = crate::flight::query(&mut client, sql).await;
        assert!(asked.is_err(), "{sql} was carried out");
        let update = client.execute_update(sql.to_owned(), None).await;
        assert!(update.is_err(), "{sql} was carried out");
        let prepared = client.prepare(sql.to_owned(), None).await;
        assert!(prepared.is_err(), "{sql} was prepared");
    }
    unharmed(&engine).await;
}

#[tokio::test]
async fn by_http() {
    let engine = engine(whole_world()).await;
    for sql in HOSTILE {
        let (status, body) = crate::http::post(&engine, "/api/v1/query", "text/plain", sql).await;
        assert!(status.is_client_error(), "{sql}: {status} {body}");
        assert!(body.contains("\"error\""), "{sql}: {body}");
    }
    unharmed(&engine).await;
}
