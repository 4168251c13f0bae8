//! Statements and prepared statements: rows and types, parameters, limits, ending them early.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Decimal128Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use arrow_flight::error::FlightError;
use arrow_flight::sql::{ActionCancelQueryRequest, Any, CommandStatementIngest};
use arrow_flight::{Action, FlightInfo, Ticket};
use flyball_query::{Config, Engine};
use futures::TryStreamExt;
use serde_json::json;
use tonic::Code;

use super::{Client, ask, connect, fetch, json, message, query, refused, status};
use crate::fixture::{NOON, engine, whole_world};
use crate::moment::Growing;

const ENDLESS: &str = "SELECT count(*) AS n FROM generate_series(1, 100000000000)";

fn row(columns: Vec<ArrayRef>) -> RecordBatch {
    let names = (1..).map(|n: u32| n.to_string());
    RecordBatch::try_from_iter(names.zip(columns)).unwrap()
}

#[tokio::test]
async fn rows_come_in_their_own_types() {
    let mut client = connect(engine(whole_world()).await).await;
    let batches = query(
        &mut client,
        "SELECT agent_name, cost_usd, start_time, date, decision, error_type, duration_ms, input_tokens
         FROM model_calls WHERE charge_id = 'm1'",
    )
    .await
    .unwrap();
    let batch = concat_batches(&batches[0].schema(), &batches).unwrap();
    let types: Vec<_> = batch
        .schema()
        .fields()
        .iter()
        .map(|f| f.data_type().clone())
        .collect();
    assert_eq!(
        types,
        [
            DataType::Utf8,
            DataType::Decimal128(18, 12),
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            DataType::Date32,
            DataType::Boolean,
            DataType::Utf8,
            DataType::Float64,
            DataType::Int64,
        ]
    );
    assert_eq!(batch.num_rows(), 1);
    assert_eq!(batch.column(0).as_string::<i32>().value(0), "triage");
    assert_eq!(
        batch.column(1).as_primitive::<Decimal128Type>().value(0),
        1_000_000_000
    );
    let time = batch.column(2).as_primitive::<TimestampMicrosecondType>();
    assert_eq!(time.value(0), (NOON + 1) * 1_000_000);
    assert!(batch.column(4).as_boolean().value(0));
    assert!(batch.column(5).is_null(0));
    assert_eq!(batch.column(7).as_primitive::<Int64Type>().value(0), 1000);
}

#[tokio::test]
async fn every_view_s_rows_have_the_columns_that_were_announced() {
    let engine = engine(whole_world()).await;
    let mut client = connect(Arc::clone(&engine)).await;
    for definition in flyball_query::catalogue::all() {
        if definition.kind != flyball_query::catalogue::Kind::View {
            continue;
        }
        // `fetch` compares them.
        let sql = format!("SELECT * FROM {}", definition.name);
        let theirs = ask(&mut client, &sql).await;
        assert_eq!(
            theirs.len(),
            crate::fixture::ask(&engine, &sql).await.len(),
            "{sql}"
        );
    }
    for sql in [
        "EXPLAIN SELECT * FROM charges",
        "EXPLAIN ANALYZE SELECT count(*) FROM charges",
        "SHOW TABLES",
        "DESCRIBE model_calls",
        "SELECT 1 AS a, NULL AS nothing, ARRAY['x'] AS list, named_struct('a', 1) AS pair",
        "SELECT charge_id FROM charges WHERE false",
        "SELECT arrow_cast('x', 'Dictionary(Int32, Utf8)') AS d, arrow_cast('y', 'Utf8View') AS v",
    ] {
        query(&mut client, sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    assert!(
        ask(&mut client, "SELECT charge_id FROM charges WHERE false")
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn prepared_statements_take_parameters_of_either_form() {
    let mut client = connect(engine(whole_world()).await).await;
    let sql = "SELECT charge_id FROM model_calls WHERE agent_name = $1 AND input_tokens >= $2 AND start_time < $3 ORDER BY 1";
    for sql in [
        sql.to_owned(),
        sql.replace(['1', '2', '3'], "")
            .replace('$', "?")
            .replace("BY ", "BY 1"),
    ] {
        let mut prepared = client.prepare(sql, None).await.unwrap();
        let types: Vec<_> = prepared
            .parameter_schema()
            .unwrap()
            .fields()
            .iter()
            .map(|f| f.data_type().clone())
            .collect();
        assert_eq!(
            types,
            [
                DataType::Utf8,
                DataType::Int64,
                DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
            ]
        );
        assert_eq!(
            prepared.dataset_schema().unwrap().field(0).name(),
            "charge_id"
        );
        for (until, found) in [(2, 1), (60, 2)] {
            let until = TimestampMicrosecondArray::from(vec![(NOON + until) * 1_000_000]);
            let values: Vec<ArrayRef> = vec![
                Arc::new(StringArray::from(vec!["triage"])),
                // As a driver may send it: it is made to fit.
                Arc::new(arrow::array::Int32Array::from(vec![1000])),
                Arc::new(until.with_timezone("UTC")),
            ];
            prepared.set_parameters(row(values)).unwrap();
            let info = prepared.execute().await.unwrap();
            assert_eq!(json(&fetch(&mut client, info).await.unwrap()).len(), found);
        }
        prepared.close().await.unwrap();
    }
}

#[tokio::test]
async fn parameters_that_do_not_fit_are_refused_by_name() {
    let mut client = connect(engine(whole_world()).await).await;
    let mut prepared = client
        .prepare(
            "SELECT $1 + input_tokens AS n FROM model_calls".to_owned(),
            None,
        )
        .await
        .unwrap();
    refused(
        prepared.execute().await,
        Code::InvalidArgument,
        "0 parameters are bound: the statement has 1",
    );
    let number: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    prepared
        .set_parameters(row(vec![Arc::clone(&number), number]))
        .unwrap();
    refused(
        prepared.execute().await,
        Code::InvalidArgument,
        "2 parameters are bound",
    );
    prepared
        .set_parameters(row(vec![Arc::new(Int64Array::from(vec![1, 2]))]))
        .unwrap();
    refused(
        prepared.execute().await,
        Code::InvalidArgument,
        "2 rows of parameters",
    );
    prepared
        .set_parameters(row(vec![Arc::new(StringArray::from(vec!["one"]))]))
        .unwrap();
    refused(
        prepared.execute().await,
        Code::InvalidArgument,
        "parameter $1 is Utf8",
    );
    // More than is kept, and more than is gathered.
    for length in [300_000, 2_000_000] {
        let large = StringArray::from(vec!["x".repeat(length)]);
        prepared.set_parameters(row(vec![Arc::new(large)])).unwrap();
        refused(prepared.execute().await, Code::InvalidArgument, "262144");
    }
    prepared
        .set_parameters(row(vec![Arc::new(Int64Array::from(vec![Some(1)]))]))
        .unwrap();
    let info = prepared.execute().await.unwrap();
    assert!(json(&fetch(&mut client, info).await.unwrap()).contains(&json!({"n": 1001})));
    refused(
        client
            .prepare("SELECT $name".to_owned(), None)
            .await
            .map(|_| ()),
        Code::InvalidArgument,
        "$name",
    );
}

/// Clients refuse a message of more than 4 MiB unless told otherwise, and this one was not.
#[tokio::test]
async fn a_result_of_any_size_streams() {
    let mut client = connect(engine(whole_world()).await).await;
    let sql = "SELECT n, CASE WHEN n % 8192 < 100 THEN repeat('x', 200000) ELSE 'y' END AS text
               FROM generate_series(1, 20000) AS s(n)";
    let info = client.execute(sql.to_owned(), None).await.unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let mut stream = client.do_get(ticket).await.unwrap();
    let (mut rows, mut sum, mut bytes) = (0, 0, 0);
    while let Some(batch) = stream.try_next().await.unwrap() {
        rows += batch.num_rows();
        sum += batch
            .column(0)
            .as_primitive::<Int64Type>()
            .values()
            .iter()
            .sum::<i64>();
        bytes += batch.column(1).as_string::<i32>().value_data().len();
    }
    // 299 of 20,000: 99 before the first multiple of 8192, then 100 at each of two.
    assert_eq!((rows, sum), (20_000, 200_010_000));
    assert_eq!(bytes, 299 * 200_000 + 19_701);
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_ended() {
    let config = Config {
        partitions: 2,
        time_limit: Duration::from_millis(300),
        ..Config::default()
    };
    let engine = Engine::new(Arc::new(whole_world()), config).await.unwrap();
    let mut client = connect(engine).await;
    let started = Instant::now();
    refused(
        query(&mut client, ENDLESS).await,
        Code::DeadlineExceeded,
        "stopped after 0.3 s",
    );
    assert!(started.elapsed() < Duration::from_secs(20));
    assert_eq!(
        ask(&mut client, "SELECT 1 AS one").await,
        [json!({"one": 1})]
    );
}

/// A `FlightInfo` with its ticket alone, on the wire.
fn written(info: &FlightInfo) -> Vec<u8> {
    let ticket = &info.endpoint[0].ticket.as_ref().unwrap().ticket;
    message(3, &message(1, &message(1, ticket)))
}

/// `CancelFlightInfo`: its result, which is a status.
async fn cancel(client: &mut Client, info: &FlightInfo) -> Vec<u8> {
    let action = Action::new("CancelFlightInfo", message(1, &written(info)));
    let mut results = client.do_action(action).await.unwrap();
    results.message().await.unwrap().unwrap().body.to_vec()
}

const CANCELLED: [u8; 2] = [0x08, 1];
const NOT_CANCELLABLE: [u8; 2] = [0x08, 3];

#[tokio::test]
async fn what_runs_can_be_cancelled_by_what_was_announced_in_the_old_way_too() {
    let mut client = connect(engine(whole_world()).await).await;
    let info = client.execute(ENDLESS.to_owned(), None).await.unwrap();
    let rows = client
        .do_get(info.endpoint[0].ticket.clone().unwrap())
        .await
        .unwrap();
    let asked = ActionCancelQueryRequest {
        info: written(&info).into(),
    };
    let asked = Any::pack(&asked).unwrap();
    let body = [
        message(1, asked.type_url.as_bytes()),
        message(2, &asked.value),
    ]
    .concat();
    let mut results = client
        .do_action(Action::new("CancelQuery", body))
        .await
        .unwrap();
    let result = results.message().await.unwrap().unwrap().body;
    assert!(result.ends_with(&CANCELLED), "{result:?}");
    refused(
        rows.try_collect::<Vec<_>>().await,
        Code::Cancelled,
        "user request",
    );
}

#[tokio::test]
async fn what_runs_can_be_cancelled_by_what_was_announced() {
    let mut client = connect(engine(whole_world()).await).await;
    let info = client.execute(ENDLESS.to_owned(), None).await.unwrap();
    assert_eq!(
        cancel(&mut client, &info).await,
        NOT_CANCELLABLE,
        "it does not run yet"
    );
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let mut other = client.clone();
    let running = tokio::spawn(async move {
        let rows = other.do_get(ticket).await?;
        rows.try_collect::<Vec<_>>().await
    });
    while cancel(&mut client, &info).await != CANCELLED {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    refused(running.await.unwrap(), Code::Cancelled, "user request");
    assert_eq!(cancel(&mut client, &info).await, NOT_CANCELLABLE);
}

#[tokio::test]
async fn a_client_that_goes_away_ends_what_it_started() {
    let mut client = connect(engine(whole_world()).await).await;
    let many = "SELECT repeat('x', 1000) AS text FROM generate_series(1, 100000000000)";
    let info = client.execute(many.to_owned(), None).await.unwrap();
    let mut rows = client
        .do_get(info.endpoint[0].ticket.clone().unwrap())
        .await
        .unwrap();
    assert!(rows.try_next().await.unwrap().is_some());
    drop(rows);
    // It is gone from the list of what runs as soon as the server has dropped its rows.
    let gone = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        cancel(&mut client, &info).await
    };
    assert_eq!(gone.await, NOT_CANCELLABLE);
}

#[tokio::test]
async fn each_statement_sees_the_rows_of_its_own_moment() {
    let mut client = connect(engine(Growing::default()).await).await;
    let sql = "SELECT count(*) AS n FROM model_calls";
    let info = client.execute(sql.to_owned(), None).await.unwrap();
    assert_eq!(ask(&mut client, sql).await, [json!({"n": 1})]);
    // Announced before, fetched after.
    assert_eq!(
        json(&fetch(&mut client, info).await.unwrap()),
        [json!({"n": 2})]
    );
    let mut prepared = client.prepare(sql.to_owned(), None).await.unwrap();
    for n in 3..=4 {
        let info = prepared.execute().await.unwrap();
        assert_eq!(
            json(&fetch(&mut client, info).await.unwrap()),
            [json!({"n": n})]
        );
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_statement_is_told() {
    let mut client = connect(engine(whole_world()).await).await;
    for (sql, code, told) in [
        ("SELEC 1", Code::InvalidArgument, "SELEC"),
        (
            "SELECT nothing_here FROM model_calls",
            Code::InvalidArgument,
            "cost_usd",
        ),
        (
            "SELECT * FROM nothing_here",
            Code::InvalidArgument,
            "nothing_here",
        ),
        ("SELECT 1; SELECT 2", Code::InvalidArgument, "2 statements"),
        ("", Code::InvalidArgument, "0 statements"),
        ("SELECT 1 / 0", Code::Internal, "ivide by zero"),
        (
            "INSERT INTO charges (charge_id) VALUES ('x')",
            Code::InvalidArgument,
            "only reads",
        ),
    ] {
        refused(query(&mut client, sql).await, code, told);
    }
    let long = format!("SELECT '{}'", "x".repeat(1 << 20));
    refused(
        query(&mut client, &long).await,
        Code::InvalidArgument,
        "1048576",
    );
    let transaction = Some("t1".into());
    refused(
        client.execute("SELECT 1".to_owned(), transaction).await,
        Code::Unimplemented,
        "no transactions",
    );
}

#[tokio::test]
async fn what_would_write_is_refused_as_such() {
    let mut client = connect(engine(whole_world()).await).await;
    for sql in [
        "INSERT INTO charges (charge_id) VALUES ('x')",
        "DELETE FROM charges",
        "CREATE TABLE t (a INT)",
    ] {
        refused(
            client.execute_update(sql.to_owned(), None).await,
            Code::InvalidArgument,
            "only reads",
        );
    }
    refused(
        client.execute_update("SELECT 1".to_owned(), None).await,
        Code::InvalidArgument,
        "execute it as a query",
    );
    let mut prepared = client.prepare("SELECT ?".to_owned(), None).await.unwrap();
    refused(
        prepared.execute_update().await,
        Code::InvalidArgument,
        "execute it as a query",
    );
    refused(
        client.begin_transaction().await,
        Code::Unimplemented,
        "no transactions",
    );
    let ingest = CommandStatementIngest {
        table: "charges".to_owned(),
        ..CommandStatementIngest::default()
    };
    let rows = row(vec![Arc::new(Int64Array::from(vec![1]))]);
    let ingested = client
        .execute_ingest(ingest, futures::stream::iter([Ok(rows)]))
        .await;
    refused(
        ingested,
        Code::InvalidArgument,
        "bulk ingestion into charges is refused",
    );
    assert_eq!(
        ask(&mut client, "SELECT count(*) AS n FROM charges").await,
        [json!({"n": 11})]
    );
}

/// A ticket is no secret and no capability: made up or changed, it is judged like any statement.
#[tokio::test]
async fn tickets_and_handles_that_are_made_up_come_to_nothing() {
    let mut client = connect(engine(whole_world()).await).await;
    for ticket in [
        &b""[..],
        b"garbage",
        &[0xff; 100],
        &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f],
    ] {
        let refused = client
            .do_get(Ticket::new(ticket.to_vec()))
            .await
            .map(|_| ());
        assert_eq!(status(refused).code(), Code::InvalidArgument, "{ticket:?}");
    }
    let innocent = "SELECT * FROM charges WHERE false ";
    let info = client.execute(innocent.to_owned(), None).await.unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap().ticket;
    let at = ticket
        .windows(innocent.len())
        .position(|part| part == innocent.as_bytes())
        .unwrap();
    for hostile in ["DELETE FROM charges", "DROP TABLE charges"] {
        let mut changed = ticket.to_vec();
        let hostile = format!("{hostile:34}");
        changed[at..at + innocent.len()].copy_from_slice(hostile.as_bytes());
        let run = client.do_get(Ticket::new(changed)).await.map(|_| ());
        refused(run, Code::InvalidArgument, "only reads");
    }
    for at in 0..ticket.len() {
        let mut changed = ticket.to_vec();
        changed[at] ^= 0x55;
        if let Ok(rows) = client.do_get(Ticket::new(changed)).await {
            // Where only its name was changed, it is the same statement.
            let _: Result<Vec<_>, FlightError> = rows.try_collect().await;
        }
    }
    let prepared = client
        .prepare("SELECT 1 AS one".to_owned(), None)
        .await
        .unwrap();
    let mut closed = prepared.clone();
    prepared.close().await.unwrap();
    refused(closed.execute().await, Code::NotFound, "prepare it again");
    for action in [
        "CreatePreparedStatement",
        "ClosePreparedStatement",
        "CancelQuery",
        "CancelFlightInfo",
        "SetSessionOptions",
    ] {
        let garbage = client
            .do_action(Action::new(action, &b"garbage"[..]))
            .await
            .map(|_| ());
        assert_eq!(status(garbage).code(), Code::InvalidArgument, "{action}");
    }
    let unknown = client
        .do_action(Action::new("Levitate", &b""[..]))
        .await
        .map(|_| ());
    refused(unknown, Code::Unimplemented, "CloseSession");
    assert_eq!(
        ask(&mut client, "SELECT count(*) AS n FROM charges").await,
        [json!({"n": 11})]
    );
}
