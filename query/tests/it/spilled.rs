//! Rows that had to leave memory are read like any other: each once, by every road.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use bytes::Bytes;
use flyball_query::{Config as Limits, Engine};
use flyball_store::rows::{Date, Micros, Row, SpanRow};
use flyball_store::{
    Append, Config, Decoder, Encoding, FrameKind, Header, Origin, Signal, Store, Table,
};

/// A body is the number of a trace of fifty spans.
#[derive(Debug)]
struct Fifty;

impl Decoder for Fifty {
    fn decode(&self, _: &Header, body: &Bytes) -> Result<Vec<(Table, RecordBatch)>, String> {
        let trace: u32 = std::str::from_utf8(body).unwrap().parse().unwrap();
        let row = |span: u32| {
            let start = 1_790_000_000_000_000 + i64::from(trace) * 1_000_000;
            SpanRow {
                date: Date::of_micros(start),
                start_time: Micros(start),
                start_unix_nano: start * 1_000,
                trace_id: format!("{trace:032x}"),
                span_id: format!("{span:016x}"),
                name: "long ".repeat(100),
                status: "ok".into(),
                agent_name: Some(format!("agent-{}", trace % 3)),
                ..SpanRow::default()
            }
        };
        let rows: Vec<_> = (0..50).map(row).collect();
        let batch = SpanRow::batch(&rows).map_err(|error| error.to_string())?;
        Ok(vec![(Table::Spans, batch)])
    }
}

fn config(dir: &Path, memory: u64) -> Config {
    Config {
        buffer_bytes_max: memory,
        flush_age: Duration::from_secs(3_600),
        ..Config::local(dir)
    }
}

#[tokio::test]
async fn rows_on_the_local_disk_are_scanned_with_those_in_table_and_memory() {
    // A name that would not survive being taken for a URL.
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("a #1");
    let store = Store::open(config(&dir, 1 << 30), Arc::new(Fifty))
        .await
        .unwrap();
    for trace in 0..90_u32 {
        let body = Bytes::from(trace.to_string());
        let header = Header {
            kind: FrameKind::Otlp,
            origin: Origin::Live,
            received_at_unix_nano: 1,
            workspace: "default".into(),
            key: None,
            signal: Signal::Traces,
            encoding: Encoding::Json,
            rejected: Vec::new(),
            digest: [trace as u8; 32],
        };
        let batches = Fifty.decode(&header, &body).unwrap();
        let append = Append {
            header,
            body,
            batches,
        };
        store.append(append).await.unwrap();
        if trace == 20 {
            store.flush().await.unwrap();
        }
    }
    drop(store);
    // Who only looks may not flush, so what is more than memory goes to the disk.
    let store = Store::open_read_only(config(&dir, 1 << 20), Arc::new(Fifty))
        .await
        .unwrap();
    let snapshot = store.snapshot("default");
    let spans = &snapshot.tables[&Table::Spans];
    assert!(
        spans.delta.is_some() && spans.spilled.len() > 1,
        "{}",
        spans.spilled.len()
    );
    let engine = Engine::new(Arc::clone(&store) as _, Limits::default())
        .await
        .unwrap();
    let text = async |sql: &str| {
        let batches = engine.query("default", sql).await.unwrap();
        arrow::util::pretty::pretty_format_batches(&batches)
            .unwrap()
            .to_string()
    };
    let all = text(
        "SELECT count(*), count(DISTINCT trace_id), min(start_time) < max(start_time) FROM spans",
    )
    .await;
    assert!(all.contains("| 4500 ") && all.contains("| 90 "), "{all}");
    for trace in [0, 30, 60, 89] {
        let one = text(&format!(
            "SELECT agent_name, count(*) AS n, max(length(name)) AS l FROM spans WHERE trace_id = '{trace:032x}' GROUP BY 1"
        ))
        .await;
        assert!(one.contains(&format!("agent-{}", trace % 3)), "{one}");
        assert!(one.contains("| 50 ") && one.contains("| 500 "), "{one}");
    }
    let plan = text("EXPLAIN SELECT count(*) FROM spans WHERE span_id = '0'").await;
    assert!(plan.contains("spill"), "{plan}");
    store.close().await.unwrap();
}
