//! Over a real store that is being written and flushed at the same time.

use std::sync::Arc;

use arrow::array::RecordBatch;
use flyball_query::{Config, Engine};
use flyball_store::{Decoder, Header, JournalUpdate, Origin, Store, Table};
use serde_json::{Value, json};

use crate::fixture::{ask, decision, execution};

/// Nothing goes through the log here.
#[derive(Debug)]
struct NoBodies;

impl Decoder for NoBodies {
    fn decode(
        &self,
        _header: &Header,
        _body: &bytes::Bytes,
    ) -> Result<Vec<(Table, RecordBatch)>, String> {
        Ok(Vec::new())
    }
}

fn count(row: &Value, column: &str) -> u64 {
    row[column].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_statement_sees_whole_updates_once_while_rows_are_flushed() {
    const UPDATES: u64 = 60;
    let dir = tempfile::TempDir::new().unwrap();
    let store = Store::open(flyball_store::Config::local(dir.path()), Arc::new(NoBodies))
        .await
        .unwrap();
    let config = Config {
        partitions: 2,
        ..Config::default()
    };
    let engine = Engine::new(Arc::clone(&store) as _, config).await.unwrap();

    let writer = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            for n in 0..UPDATES {
                let id = format!("e{n}");
                let update = JournalUpdate {
                    settled: vec![format!("trace-{id}")],
                    ..JournalUpdate::of(&[
                        decision(&format!("m{n}"), "a", &id, n as f64, "0.25"),
                        execution(&id, "a", n as f64, Some("success")),
                    ])
                    .unwrap()
                };
                store.journal("default", Origin::Live, update).unwrap();
                if n % 7 == 6 {
                    store.flush().await.unwrap();
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        }
    });

    let sql = "SELECT (SELECT count(*) FROM executions) AS executions,
                      (SELECT count(*) FROM model_calls) AS calls,
                      (SELECT CAST(coalesce(sum(cost_usd), 0) * 4 AS BIGINT) FROM charges) AS quarters,
                      (SELECT count(DISTINCT charge_id) FROM charges) AS ids";
    let mut last = 0;
    while !writer.is_finished() {
        let row = ask(&engine, sql).await.remove(0);
        let n = count(&row, "executions");
        assert!(n >= last, "rows went away: {row}");
        let whole = json!({"executions": n, "calls": n, "quarters": n, "ids": 2 * n});
        assert_eq!(row, whole);
        last = n;
    }
    writer.await.unwrap();
    let all =
        json!({"executions": UPDATES, "calls": UPDATES, "quarters": UPDATES, "ids": 2 * UPDATES});
    assert_eq!(ask(&engine, sql).await, vec![all.clone()]);
    store.flush().await.unwrap();
    assert!(
        store.snapshot("default").tables[&Table::Charges]
            .delta
            .is_some()
    );
    assert_eq!(ask(&engine, sql).await, vec![all]);
    store.close().await.unwrap();
}
