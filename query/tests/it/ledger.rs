//! The ledger in SQL: people are named as long as they may be.

use std::sync::Arc;

use arrow::array::RecordBatch;
use flyball_query::{Config, Engine};
use flyball_store::rows::{AuditRow, Micros};
use flyball_store::{Config as StoreConfig, Decoder, Header, OwnEvent, Store, Table};
use serde_json::json;

use crate::fixture::ask;

/// No request comes in here.
#[derive(Debug)]
struct Nothing;

impl Decoder for Nothing {
    fn decode(&self, _: &Header, _: &bytes::Bytes) -> Result<Vec<(Table, RecordBatch)>, String> {
        Ok(Vec::new())
    }
}

#[tokio::test]
async fn names_on_the_ledger_are_readable_until_they_are_erased() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(StoreConfig::local(dir.path()), Arc::new(Nothing))
        .await
        .unwrap();
    for actor in ["cli:ada", "rule:runaway"] {
        let row = AuditRow {
            at: Micros(1_790_000_000_000_000),
            event: "control.decided".into(),
            actor: actor.into(),
            subject: "agent:triage".into(),
            record: json!({"actor": actor, "reason": "it runs away"}).to_string(),
            ..AuditRow::default()
        };
        store.record("default", OwnEvent::Audit(row)).await.unwrap();
    }
    let engine = Engine::new(Arc::clone(&store) as _, Config::default())
        .await
        .unwrap();
    let all = "SELECT actor, json_text(record, 'reason') AS reason FROM audit ORDER BY seq LIMIT 2";
    let by_rule = json!({"actor": "rule:runaway", "reason": "it runs away"});
    for flushed in [false, true] {
        let by_ada = json!({"actor": "cli:ada", "reason": "it runs away"});
        assert_eq!(ask(&engine, all).await, [by_ada, by_rule.clone()]);
        let found = "SELECT seq FROM audit WHERE actor = 'cli:ada'";
        assert_eq!(ask(&engine, found).await, [json!({"seq": 1})]);
        let raw = ask(&engine, "SELECT actor FROM audit_records WHERE seq = 1").await;
        assert!(
            raw[0]["actor"].as_str().unwrap().starts_with("sealed:"),
            "{raw:?}"
        );
        if !flushed {
            store.flush().await.unwrap();
        }
    }
    assert!(
        store
            .forget_subject("default", "cli", "ada")
            .await
            .unwrap()
            .is_some()
    );
    let erased = json!({"actor": "erased", "reason": "erased"});
    assert_eq!(ask(&engine, all).await, [erased, by_rule]);
    store.close().await.unwrap();
}
