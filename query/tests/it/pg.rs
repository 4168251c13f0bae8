//! The PostgreSQL port, with a real client.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use flyball_query::gate::Entrance;
use flyball_query::{Engine, Error, pg};
use rust_decimal::Decimal;
use tokio::net::TcpListener;
use tokio_postgres::types::{FromSql, Type};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage, SimpleQueryRow};

use crate::fixture::{NOON, engine, whole_world};

/// Serves on a free port; the address.
pub(crate) async fn serve(engine: Arc<Engine>) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { pg::serve(engine, Entrance::open("default"), listener).await });
    address
}

pub(crate) async fn connect(engine: Arc<Engine>) -> Client {
    connect_to(serve(engine).await).await
}

async fn connect_to(address: std::net::SocketAddr) -> Client {
    let config = format!(
        "host=127.0.0.1 port={} user=flyball dbname=flyball",
        address.port()
    );
    let (client, connection) = tokio_postgres::connect(&config, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn only_row(messages: Vec<SimpleQueryMessage>) -> SimpleQueryRow {
    let mut rows = messages.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let row = rows.next().unwrap();
    assert!(rows.next().is_none());
    row
}

/// NUMERIC in PostgreSQL's binary form, read independently of the server's encoder.
struct Numeric(String);

impl<'a> FromSql<'a> for Numeric {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        let short = |at: usize| i16::from_be_bytes([raw[2 * at], raw[2 * at + 1]]);
        let (digits, weight, sign, scale) = (short(0), short(1), short(2), short(3) as u32);
        let mut value = Decimal::ZERO;
        for at in 0..digits {
            let power = i32::from(weight - at) * 4;
            let digit = Decimal::from(short(4 + at as usize));
            let unit = Decimal::from_i128_with_scale(10_i128.pow(power.unsigned_abs()), 0);
            value += if power < 0 {
                digit / unit
            } else {
                digit * unit
            };
        }
        value.rescale(scale);
        value.set_sign_negative(sign != 0);
        Ok(Self(value.to_string()))
    }

    fn accepts(data_type: &Type) -> bool {
        *data_type == Type::NUMERIC
    }
}

#[tokio::test]
async fn the_simple_protocol_speaks_text() {
    let client = connect(engine(whole_world()).await).await;
    let row = only_row(
        client
            .simple_query(
                "SELECT agent_name, cost_usd, start_time, date, decision, error_type, duration_ms, input_tokens
                 FROM model_calls WHERE charge_id = 'm1'",
            )
            .await
            .unwrap(),
    );
    assert_eq!(row.get("agent_name"), Some("triage"));
    assert_eq!(row.get("cost_usd"), Some("0.001000000000"));
    assert_eq!(row.get("start_time"), Some("2026-03-01 12:00:01.000000+00"));
    assert_eq!(row.get("date"), Some("2026-03-01"));
    assert_eq!(row.get("decision"), Some("t"));
    assert_eq!(row.get("error_type"), None);
    assert_eq!(row.get("duration_ms"), Some("1000.0"));
    assert_eq!(row.get("input_tokens"), Some("1000"));
}

/// A sketch is bytes to every client: whole in the binary protocol, hexadecimal in text and JSON.
#[tokio::test]
async fn sketches_come_as_bytes_by_every_port() {
    let sql = "SELECT kll_merge(durations) AS durations FROM minute_sketches WHERE agent_name = 'triage' AND kind = 'model_call'";
    let engine = engine(whole_world()).await;
    let json = crate::fixture::ask(&engine, sql).await;
    let client = connect(engine).await;
    let row = client.query_one(sql, &[]).await.unwrap();
    let bytes: Vec<u8> = row.get("durations");
    let sketch = flyball_store::sketch::Quantiles::from_bytes(&bytes).unwrap();
    assert_eq!((sketch.count(), sketch.quantile(0.5)), (2, Some(1e9)));
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(json[0]["durations"], hex.as_str());
    let text = only_row(client.simple_query(sql).await.unwrap());
    assert_eq!(text.get("durations"), Some(format!("\\x{hex}").as_str()));
}

#[tokio::test]
async fn the_extended_protocol_speaks_binary_and_takes_parameters() {
    let client = connect(engine(whole_world()).await).await;
    let statement = client
        .prepare(
            "SELECT cost_usd, start_time, usage, confidence, input_tokens, decision, -cost_usd AS negative
             FROM model_calls WHERE agent_name = $1 AND input_tokens >= $2 AND start_time < $3 ORDER BY start_time",
        )
        .await
        .unwrap();
    assert_eq!(
        statement.params(),
        [Type::TEXT, Type::INT8, Type::TIMESTAMPTZ].as_slice()
    );
    let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(NOON as u64);
    for (until, n) in [(2, 1), (60, 2)] {
        let until = noon + Duration::from_secs(until);
        let rows = client
            .query(&statement, &[&"triage", &1000_i64, &until])
            .await
            .unwrap();
        assert_eq!(rows.len(), n);
        assert_eq!(rows[0].get::<_, Numeric>(0).0, "0.001000000000");
        assert_eq!(rows[0].get::<_, Numeric>("negative").0, "-0.001000000000");
        assert_eq!(
            rows[0].get::<_, SystemTime>(1),
            noon + Duration::from_secs(1)
        );
        assert_eq!(
            rows[0].get::<_, Option<String>>(2).as_deref(),
            Some("exact")
        );
        assert_eq!(rows[0].get::<_, Option<f64>>(3), None);
        assert_eq!(rows[0].get::<_, Option<i64>>(4), Some(1000));
        assert_eq!(rows[0].get::<_, Option<bool>>(5), Some(true));
    }
}

#[tokio::test]
async fn what_the_issue_shows_works_whatever_the_user_is_called() {
    let address = serve(engine(whole_world()).await).await;
    let config = format!("host=127.0.0.1 port={} user=root", address.port());
    let (client, connection) = tokio_postgres::connect(&config, NoTls).await.unwrap();
    tokio::spawn(connection);
    let sql = "select agent_name, cost_per_decision_usd from cost_per_decision where agent_name = 'triage'";
    assert_eq!(
        only_row(client.simple_query(sql).await.unwrap()).get(1),
        Some("0.001750000000")
    );
}

#[tokio::test]
async fn settings_are_a_connection_s_own() {
    let address = serve(engine(whole_world()).await).await;
    let (first, second) = (connect_to(address).await, connect_to(address).await);
    first
        .simple_query("SET statement_timeout = '1ms'")
        .await
        .unwrap();
    first
        .simple_query("SET application_name = 'first'")
        .await
        .unwrap();
    first
        .simple_query("SET datafusion.explain.logical_plan_only = true")
        .await
        .unwrap();
    let plans = |rows: Vec<SimpleQueryMessage>| {
        rows.iter()
            .filter(|m| matches!(m, SimpleQueryMessage::Row(_)))
            .count()
    };
    let endless = "SELECT count(*) FROM generate_series(1, 10000000000)";
    assert_eq!(
        first
            .simple_query(endless)
            .await
            .unwrap_err()
            .code()
            .unwrap()
            .code(),
        "57014"
    );
    first
        .simple_query("SET statement_timeout = 0")
        .await
        .unwrap();
    assert_eq!(
        plans(first.simple_query("EXPLAIN SELECT 1").await.unwrap()),
        1
    );
    assert_eq!(
        plans(second.simple_query("EXPLAIN SELECT 1").await.unwrap()),
        2
    );
    assert_eq!(
        only_row(second.simple_query("SHOW application_name").await.unwrap()).get(0),
        Some("")
    );
}

#[tokio::test]
async fn drivers_find_what_they_look_for() {
    let client = connect(engine(whole_world()).await).await;
    let value = async |sql: &str| {
        only_row(client.simple_query(sql).await.unwrap())
            .get(0)
            .map(str::to_owned)
    };
    assert_eq!(
        value("SELECT current_setting('server_version_num')::int/100")
            .await
            .as_deref(),
        Some("1600")
    );
    assert_eq!(value("SELECT current_setting('no.such', true)").await, None);
    assert!(
        value("SELECT version()")
            .await
            .unwrap()
            .starts_with("PostgreSQL ")
    );
    assert_eq!(
        value("SELECT current_database()").await.as_deref(),
        Some("flyball")
    );
    client
        .simple_query("BEGIN; SELECT 1; COMMIT; DISCARD ALL; DEALLOCATE ALL")
        .await
        .unwrap();
    assert_eq!(
        client
            .simple_query("SELECT nothing_here")
            .await
            .unwrap_err()
            .code()
            .unwrap()
            .code(),
        "42703"
    );
    assert_eq!(
        client
            .simple_query("SELECT * FROM nothing_here")
            .await
            .unwrap_err()
            .code()
            .unwrap()
            .code(),
        "42P01"
    );
    assert_eq!(
        client
            .simple_query("SELEC 1")
            .await
            .unwrap_err()
            .code()
            .unwrap()
            .code(),
        "42601"
    );
    assert!(client.simple_query("").await.is_ok());
}

/// Grafana's time macros, as it expands them.
#[tokio::test]
async fn grafana_s_macros_are_understood() {
    let client = connect(engine(whole_world()).await).await;
    let row = only_row(
        client
            .simple_query(
                "SELECT floor(extract(epoch from start_time)/60)*60 AS time, agent_name AS metric, sum(cost_usd) AS value
                 FROM model_calls
                 WHERE start_time BETWEEN '2026-03-01T12:00:00Z' AND '2026-03-01T12:59:59Z' AND agent_name IN ('triage')
                 GROUP BY 1, 2 ORDER BY 1",
            )
            .await
            .unwrap(),
    );
    assert_eq!(row.get("value"), Some("0.003500000000"));
    assert_eq!(
        row.get("time").unwrap().parse::<f64>().unwrap(),
        NOON as f64
    );
}

#[tokio::test]
async fn a_running_statement_can_be_cancelled() {
    let client = connect(engine(whole_world()).await).await;
    let cancel = client.cancel_token();
    let started = std::time::Instant::now();
    let endless = client.simple_query("SELECT count(*) FROM generate_series(1, 100000000000)");
    let (answer, _) = tokio::join!(endless, async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        cancel.cancel_query(NoTls).await
    });
    assert_eq!(answer.unwrap_err().code().unwrap().code(), "57014");
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "it ended by itself"
    );
    assert!(client.simple_query("SELECT 1").await.is_ok());
}

#[tokio::test]
async fn without_keys_only_this_machine_is_served() {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let refused = pg::serve(
        engine(whole_world()).await,
        Entrance::open("default"),
        listener,
    )
    .await
    .unwrap_err();
    assert!(matches!(refused, Error::NotLoopback { .. }), "{refused}");
}

/// What psql itself asks, when it is installed.
#[tokio::test(flavor = "multi_thread")]
async fn psql_lists_and_describes() {
    let address = serve(engine(whole_world()).await).await;
    let psql = |command: &'static str| async move {
        tokio::process::Command::new("psql")
            .args([
                "-X",
                "-h",
                "127.0.0.1",
                "-p",
                &address.port().to_string(),
                "-c",
                command,
            ])
            .env_remove("PGPASSWORD")
            .output()
            .await
    };
    if psql("SELECT 1").await.is_err() {
        return;
    }
    for (command, told) in [
        ("\\dt", "charges"),
        ("\\dv", "cost_per_decision"),
        ("\\d", "model_calls"),
        ("\\d model_calls", "cost_usd"),
        ("\\d charges", "cost_usd"),
        ("\\l", "flyball"),
        ("\\dn", "public"),
        ("\\conninfo", "127.0.0.1"),
        (
            "select agent_name, cost_per_decision_usd from cost_per_decision",
            "0.001750000000",
        ),
    ] {
        let output = psql(command).await.unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && text.contains(told),
            "{command}: {text} {errors}"
        );
    }
}
