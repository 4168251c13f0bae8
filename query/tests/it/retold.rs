//! A span that is told again is one row in SQL at every moment, wherever its tellings are.

use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use flyball_query::{Config, Engine};
use flyball_store::rows::{ContentRow, Date, Micros, Row, SpanRow};
use flyball_store::{
    Append, Decoder, Encoding, FrameKind, Header, Maintenance, Origin, Signal, Store, Table,
};
use serde_json::json;

use crate::fixture::ask;

/// A body says how the span is called, who ran it and on which day: `name agent day`.
#[derive(Debug)]
struct Words;

impl Decoder for Words {
    fn decode(&self, _: &Header, body: &Bytes) -> Result<Vec<(Table, RecordBatch)>, String> {
        let text = String::from_utf8(body.to_vec()).unwrap();
        let [name, agent, day] = text.split(' ').collect::<Vec<_>>()[..] else {
            return Err(text);
        };
        let start = 1_790_000_000_000_000 + day.parse::<i64>().unwrap() * 86_400_000_000;
        let span = |span_id: &str, name: &str| SpanRow {
            date: Date::of_micros(start),
            start_time: Micros(start),
            trace_id: "1".repeat(32),
            span_id: span_id.repeat(16),
            name: name.into(),
            agent_name: Some(agent.into()),
            ..SpanRow::default()
        };
        let content = |row: &SpanRow| ContentRow {
            date: row.date,
            start_time: row.start_time,
            trace_id: row.trace_id.clone(),
            span_id: row.span_id.clone(),
            input: Some(row.name.clone()),
            ..ContentRow::default()
        };
        let spans = [span("a", name), span(&name[..1], "other")];
        let contents: Vec<_> = spans.iter().map(content).collect();
        Ok(vec![
            (Table::Spans, SpanRow::batch(&spans).unwrap()),
            (Table::Contents, ContentRow::batch(&contents).unwrap()),
        ])
    }
}

async fn tell(store: &Store, text: &str) {
    let mut digest = [0; 32];
    digest[..text.len()].copy_from_slice(text.as_bytes());
    let header = Header {
        kind: FrameKind::Otlp,
        origin: Origin::Live,
        received_at_unix_nano: 1,
        workspace: "default".into(),
        key: None,
        signal: Signal::Traces,
        encoding: Encoding::Json,
        rejected: Vec::new(),
        digest,
    };
    let body = Bytes::from(text.to_owned());
    let batches = Words.decode(&header, &body).unwrap();
    let append = Append {
        header,
        body,
        batches,
    };
    store.append(append).await.unwrap();
}

#[tokio::test]
async fn a_span_told_again_is_one_row_whichever_columns_are_asked_for() {
    let dir = tempfile::TempDir::new().unwrap();
    let config = flyball_store::Config {
        flush_age: std::time::Duration::from_secs(3_600),
        maintenance: Maintenance {
            every: std::time::Duration::ZERO,
            ..Maintenance::default()
        },
        ..flyball_store::Config::local(dir.path())
    };
    let store = Store::open(config, Arc::new(Words)).await.unwrap();
    let engine = Engine::new(Arc::clone(&store) as _, Config::default()).await;
    let engine = engine.unwrap();
    let check = async |name: &str, agent: &str, others: usize| {
        let rows = ask(
            &engine,
            "SELECT s.name, s.agent_name, c.input FROM spans s
             JOIN contents c ON c.trace_id = s.trace_id AND c.span_id = s.span_id
             WHERE s.span_id LIKE 'a%'",
        );
        let wanted = json!({"name": name, "agent_name": agent, "input": name});
        assert_eq!(rows.await, [wanted], "{name}");
        for (sql, wanted) in [
            ("SELECT count(*) AS n FROM spans", 1 + others),
            ("SELECT count(*) AS n FROM contents", 1 + others),
            (
                "SELECT sum(1) AS n FROM (SELECT name FROM spans)",
                1 + others,
            ),
            (
                "SELECT count(*) AS n FROM spans WHERE name = 'pending'",
                usize::from(name == "pending"),
            ),
            (
                "SELECT count(DISTINCT agent_name) AS n FROM spans WHERE span_id LIKE 'a%'",
                1,
            ),
            (
                "SELECT count(*) AS n FROM (SELECT name FROM spans LIMIT 10)",
                1 + others,
            ),
        ] {
            assert_eq!(
                ask(&engine, sql).await,
                [json!({"n": wanted})],
                "{name}: {sql}"
            );
        }
    };
    tell(&store, "pending one 0").await;
    check("pending", "one", 1).await;
    store.flush().await.unwrap();
    check("pending", "one", 1).await;
    tell(&store, "running two 1").await;
    check("running", "two", 2).await;
    store.flush().await.unwrap();
    check("running", "two", 2).await;
    tell(&store, "final three 0").await;
    check("final", "three", 3).await;
    store.flush().await.unwrap();
    check("final", "three", 3).await;
    store.maintain().await.unwrap();
    let snapshot = store.snapshot("default");
    assert!(snapshot.tables[&Table::Spans].superseded.is_empty());
    check("final", "three", 3).await;
    store.close().await.unwrap();
}
