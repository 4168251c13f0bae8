//! A store on a temporary directory, requests to feed it, and a way to count what it holds.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use bytes::Bytes;
use flyball_store::rows::{ContentRow, Date, Micros, Row, SpanRow};
use flyball_store::{
    Append, Config, Decoder, Encoding, FrameKind, Header, Maintenance, Origin, Signal, Snapshot,
    Store, Table,
};
use sha2::{Digest, Sha256};

pub(crate) const DAY_MICROS: i64 = 86_400_000_000;
pub(crate) const START_MICROS: i64 = 1_790_000_000_000_000;

/// A span as a test writes it.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Told {
    pub(crate) trace: u32,
    pub(crate) span: u32,
    pub(crate) name: String,
    /// Days after the start of the test's time.
    pub(crate) day: i64,
}

impl Told {
    pub(crate) fn new(trace: u32, span: u32) -> Self {
        Self {
            trace,
            span,
            name: "x".into(),
            day: 0,
        }
    }

    pub(crate) fn trace_id(&self) -> String {
        format!("{:032x}", self.trace)
    }

    fn row(&self) -> SpanRow {
        let start = START_MICROS + self.day * DAY_MICROS + i64::from(self.span);
        SpanRow {
            date: Date::of_micros(start),
            start_time: Micros(start),
            start_unix_nano: start * 1_000,
            trace_id: self.trace_id(),
            span_id: format!("{:016x}", self.span),
            name: self.name.clone(),
            status: "ok".into(),
            agent_name: Some(format!("agent-{}", self.trace % 3)),
            ..SpanRow::default()
        }
    }

    fn content(&self) -> ContentRow {
        let row = self.row();
        ContentRow {
            date: row.date,
            start_time: row.start_time,
            trace_id: row.trace_id,
            span_id: row.span_id,
            input: Some("what?".into()),
            ..ContentRow::default()
        }
    }
}

/// Bodies are JSON lists of [`Told`]; every span has content.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Json;

impl Decoder for Json {
    fn decode(&self, _: &Header, body: &Bytes) -> Result<Vec<(Table, RecordBatch)>, String> {
        let told: Vec<Told> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let spans: Vec<_> = told.iter().map(Told::row).collect();
        let contents: Vec<_> = told.iter().map(Told::content).collect();
        Ok(vec![
            (
                Table::Spans,
                SpanRow::batch(&spans).map_err(|error| error.to_string())?,
            ),
            (
                Table::Contents,
                ContentRow::batch(&contents).map_err(|error| error.to_string())?,
            ),
        ])
    }
}

/// A live request of these spans, received at a time in seconds.
pub(crate) fn request_at(told: &[Told], origin: Origin, second: i64) -> Append {
    let body = Bytes::from(serde_json::to_vec(told).unwrap());
    let header = Header {
        kind: FrameKind::Otlp,
        origin,
        received_at_unix_nano: second * 1_000_000_000,
        workspace: "default".into(),
        key: None,
        signal: Signal::Traces,
        encoding: Encoding::Json,
        rejected: Vec::new(),
        digest: Sha256::digest(&body).into(),
    };
    let batches = Json.decode(&header, &body).unwrap();
    Append {
        header,
        body,
        batches,
    }
}

pub(crate) fn request(told: &[Told]) -> Append {
    request_at(told, Origin::Live, 1_000)
}

/// Flushes, sums, signs the ledger by the clock, and maintains only when asked.
pub(crate) fn config(dir: &Path) -> Config {
    Config {
        flush_age: Duration::from_secs(3_600),
        checkpoint_age: Duration::from_secs(3_600),
        maintenance: Maintenance {
            every: Duration::ZERO,
            // So that small files come in parts, too.
            part_bytes: 1_000,
            ..Maintenance::default()
        },
        rollup_every: Duration::ZERO,
        ..Config::local(dir)
    }
}

pub(crate) async fn open(dir: &Path) -> Arc<Store> {
    Store::open(config(dir), Arc::new(Json)).await.unwrap()
}

/// Rows on disk, by the statistics of the files that the table lists.
pub(crate) fn rows_on_disk(snapshot: &Snapshot, table: Table) -> usize {
    let Some(delta) = &snapshot.tables[&table].delta else {
        return 0;
    };
    delta
        .snapshot()
        .unwrap()
        .log_data()
        .iter()
        .map(|file| file.num_records().unwrap())
        .sum()
}

pub(crate) fn rows_buffered(snapshot: &Snapshot, table: Table) -> usize {
    snapshot.tables[&table]
        .buffered
        .iter()
        .map(RecordBatch::num_rows)
        .sum()
}

pub(crate) fn rows(store: &Store, table: Table) -> usize {
    let snapshot = store.snapshot("default");
    rows_on_disk(&snapshot, table) + rows_buffered(&snapshot, table)
}

/// Every span that can be read back, by trace and span, with its log position.
pub(crate) async fn spans(store: &Store) -> BTreeMap<(String, String), SpanRow> {
    let resume = store.resume("default").await.unwrap();
    let rows = resume
        .spans
        .iter()
        .flat_map(|batch| SpanRow::read(batch).unwrap());
    rows.map(|row| ((row.trace_id.clone(), row.span_id.clone()), row))
        .collect()
}

/// Segment files of the log: name and size, oldest first.
pub(crate) fn segments(dir: &Path) -> Vec<(String, u64)> {
    let entries = std::fs::read_dir(dir.join("log"))
        .unwrap()
        .map(Result::unwrap);
    let mut found: Vec<_> = entries
        .map(|entry| {
            (
                entry.file_name().into_string().unwrap(),
                entry.metadata().unwrap().len(),
            )
        })
        .collect();
    found.sort();
    found
}
