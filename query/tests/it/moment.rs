//! A statement sees one moment, and a later statement a later one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flyball_query::Source;
use flyball_store::Snapshot;
use serde_json::json;

use crate::fixture::{ask, charges, decision, engine, execution, moment};

/// Every look finds one execution more, with one call.
#[derive(Debug, Default)]
pub(crate) struct Growing {
    looks: Arc<AtomicUsize>,
}

impl Source for Growing {
    fn snapshot(&self, _workspace: &str) -> Snapshot {
        let n = self.looks.fetch_add(1, Ordering::SeqCst) + 1;
        let mut rows = Vec::new();
        for at in 0..n {
            let id = format!("e{at}");
            rows.push(decision(&format!("m{at}"), "a", &id, at as f64, "0.5"));
            rows.push(execution(&id, "a", at as f64, Some("success")));
        }
        moment(vec![charges(&rows)])
    }
}

#[tokio::test]
async fn tables_and_views_of_one_statement_agree_while_rows_come_in() {
    let source = Growing::default();
    let looks = Arc::clone(&source.looks);
    let engine = engine(source).await;
    let sql = "SELECT (SELECT count(*) FROM executions) AS executions, (SELECT count(*) FROM model_calls) AS calls,
                      (SELECT sum(cost_usd) FROM charges) AS cost, (SELECT count(*) FROM spans) AS spans";
    for n in 1..=3 {
        let cost = format!("{:.12}", 0.5 * f64::from(n));
        assert_eq!(
            ask(&engine, sql).await,
            vec![json!({"executions": n, "calls": n, "cost": cost, "spans": 0})]
        );
        assert_eq!(
            looks.load(Ordering::SeqCst),
            n as usize,
            "one look a statement"
        );
    }
}

#[tokio::test]
async fn a_plan_sees_the_rows_of_the_moment_it_runs() {
    let source = Growing::default();
    let looks = Arc::clone(&source.looks);
    let engine = engine(source).await;
    let session = engine.session("default");
    let plan = session
        .plan("SELECT count(*) AS n FROM model_calls")
        .await
        .unwrap();
    assert_eq!(looks.load(Ordering::SeqCst), 0, "planning looks at no rows");
    for n in 1..=2 {
        let rows = session.run(plan.clone()).await.unwrap();
        let batches: Vec<_> = futures::TryStreamExt::try_collect(rows).await.unwrap();
        let text =
            flyball_query::format::render(&batches, flyball_query::format::Format::Csv).unwrap();
        assert_eq!(text, format!("n\n{n}\n"));
    }
}

#[tokio::test]
async fn what_reads_no_table_takes_no_snapshot() {
    let source = Growing::default();
    let looks = Arc::clone(&source.looks);
    let engine = engine(source).await;
    assert_eq!(
        ask(&engine, "SELECT 1 AS one").await,
        vec![json!({"one": 1})]
    );
    assert!(!ask(&engine, "SHOW TABLES").await.is_empty());
    assert!(!ask(&engine, "DESCRIBE model_calls").await.is_empty());
    assert_eq!(looks.load(Ordering::SeqCst), 0);
}
