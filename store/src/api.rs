//! CONTRACT STUB: replaced by the real modules. Signatures are what the other crates build against.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use deltalake::DeltaTable;
use tokio::sync::mpsc;

use crate::rows::{ActionRow, AlertRow, AuditRow, ChargeRow, ContentRow, Row, SpanRow};

/// Position of a frame in the log: grows by one a frame, never reused; 0 means nothing.
pub type LogPosition = u64;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong in the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The buffer or the disk is full: try again later.
    #[error("{what} is full ({used} of {limit} bytes): try again in {retry_after_ms} ms")]
    Full { what: &'static str, used: u64, limit: u64, retry_after_ms: u64 },
    /// anything else; the real enum names each
    #[error("{0}")]
    Other(String),
}

/// The tables, each a folder `<root>/<workspace>/<name>/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table { Spans, Charges, Contents, Alerts, Actions, Audit }

impl Table {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Spans, Self::Charges, Self::Contents, Self::Alerts, Self::Actions, Self::Audit];
    /// Folder and SQL name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self { Self::Spans => "spans", Self::Charges => "charges", Self::Contents => "contents", Self::Alerts => "alerts", Self::Actions => "actions", Self::Audit => "audit" }
    }
    /// Arrow schema of its rows.
    #[must_use]
    pub fn schema(self) -> SchemaRef {
        match self { Self::Spans => SpanRow::schema(), Self::Charges => ChargeRow::schema(), Self::Contents => ContentRow::schema(), Self::Alerts => AlertRow::schema(), Self::Actions => ActionRow::schema(), Self::Audit => AuditRow::schema() }
    }
}

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind { Otlp, Own }
/// OTLP signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal { Traces, Logs, Metrics }
/// How the body is encoded (always decompressed).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding { Protobuf, Json }
/// How it came. Only what is `Live` may ever cause an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin { Live, Import, Replay }

/// Header of a log frame.
#[derive(Debug, Clone)]
pub struct Header {
    pub kind: FrameKind,
    pub origin: Origin,
    /// nanoseconds since 1970
    pub received_at_unix_nano: i64,
    pub workspace: String,
    /// id of the API key, if any
    pub key: Option<String>,
    pub signal: Signal,
    pub encoding: Encoding,
    /// indexes (in order of the body) of spans that were refused as partial success
    pub rejected: Vec<u32>,
    /// SHA-256 of the request body: recognises a retry (live: one hour; imports: for ever)
    pub digest: [u8; 32],
}

/// Turns a frame's body into rows again, at recovery. `ingest` implements it.
pub trait Decoder: Send + Sync + std::fmt::Debug {
    /// The same batches that were given to [`Store::append`] for this header and body
    /// (`log_position` is filled by the store).
    fn decode(&self, header: &Header, body: &Bytes) -> std::result::Result<Vec<(Table, RecordBatch)>, String>;
}

/// How an acknowledgement relates to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability { Durable, GroupMs(u32), Memory }

/// Where and how to keep things.
#[derive(Debug, Clone)]
pub struct Config {
    /// Local directory: log, SQLite, lock, ports in use.
    pub data_dir: PathBuf,
    /// Where tables live: a URL (`file://`, `s3://`, `gs://`, `az://`) or None for `<data_dir>/tables`.
    pub tables_url: Option<String>,
    /// Options of the object store (object_store's own key names).
    pub storage_options: HashMap<String, String>,
    pub durability: Durability,
    /// flush a table when its buffered rows hold this many bytes
    pub flush_bytes: u64,
    /// ... or its oldest buffered row is this old
    pub flush_age: std::time::Duration,
    /// refuse appends past this many buffered bytes
    pub buffer_bytes_max: u64,
    /// segment size of the log
    pub segment_bytes: u64,
}

impl Config {
    /// Defaults for a directory.
    #[must_use]
    pub fn local(data_dir: impl Into<PathBuf>) -> Self {
        Self { data_dir: data_dir.into(), tables_url: None, storage_options: HashMap::new(), durability: Durability::Durable,
            flush_bytes: 64 << 20, flush_age: std::time::Duration::from_secs(30), buffer_bytes_max: 256 << 20, segment_bytes: 64 << 20 }
    }
}

/// A request to append.
#[derive(Debug)]
pub struct Append {
    pub header: Header,
    pub body: Bytes,
    /// Rows that the body decodes to; `log_position` columns are overwritten by the store.
    pub batches: Vec<(Table, RecordBatch)>,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    pub position: LogPosition,
    /// The same body had been appended before: nothing was written.
    pub duplicate: bool,
}

/// Our own events, kept through the log like everything else.
#[derive(Debug, Clone)]
pub enum OwnEvent { Alert(AlertRow), Action(ActionRow), Audit(AuditRow) }

/// What subscribers see, in log order.
#[derive(Debug, Clone)]
pub enum Event {
    /// Acknowledged rows of a table (`spans`, `contents`, ...), log positions filled.
    Rows { workspace: Arc<str>, origin: Origin, position: LogPosition, table: Table, batch: RecordBatch },
    /// Journal entries, as they are made.
    Charges { workspace: Arc<str>, origin: Origin, rows: Arc<[ChargeRow]> },
}

/// What the resolver says in one go; visible atomically.
#[derive(Debug, Default)]
pub struct JournalUpdate {
    /// New entries (charges, reversals, duplicates), grouped by their `trace_id`.
    pub post: Vec<ChargeRow>,
    /// Traces that have settled: their entries may be flushed (entry and reversal that meet in the buffer cancel out).
    pub settled: Vec<String>,
    /// Every span up to this log position belongs to a trace that has settled.
    pub resolved_to: LogPosition,
}

/// What the resolver needs to go on after a restart.
#[derive(Debug, Default)]
pub struct Resume {
    /// All spans (table and buffer) of every trace that has a span past the resolved position.
    pub spans: Vec<RecordBatch>,
    /// Journal rows on disk of those traces.
    pub charges: Vec<RecordBatch>,
    /// The resolved position that was flushed with the last charges.
    pub resolved_to: LogPosition,
}

/// One table at one moment.
#[derive(Debug, Clone)]
pub struct TableSnapshot {
    pub table: Table,
    /// Loaded at the version of this moment; None when nothing was ever flushed.
    pub delta: Option<DeltaTable>,
    /// Rows past that version, schema of the table.
    pub buffered: Vec<RecordBatch>,
}

/// All tables of a workspace at one moment: each row exactly once.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub workspace: Arc<str>,
    pub tables: HashMap<Table, TableSnapshot>,
}

/// The store. Shared as `Arc<Store>`; every method takes `&self`.
#[derive(Debug)]
pub struct Store { _private: () }

impl Store {
    /// Takes the directory's lock, recovers (replays the log past each table's version through `decoder`), starts the flusher.
    pub async fn open(config: Config, decoder: Arc<dyn Decoder>) -> Result<Arc<Self>> { let _ = (config, decoder); unimplemented!() }
    /// Frames, syncs (group commit), makes visible, publishes; returns when that is done.
    pub async fn append(&self, append: Append) -> Result<Appended> { let _ = append; unimplemented!() }
    /// The same for an event of ours.
    pub async fn record(&self, workspace: &str, event: OwnEvent) -> Result<LogPosition> { let _ = (workspace, event); unimplemented!() }
    /// Whether a body with this digest is already in.
    pub fn seen(&self, workspace: &str, digest: &[u8; 32]) -> bool { let _ = (workspace, digest); unimplemented!() }
    /// Events from now on, in log order. Unbounded; `Event`s are cheap to clone.
    pub fn subscribe(&self) -> mpsc::UnboundedReceiver<Event> { unimplemented!() }
    /// Enters charges; visible at once, published to subscribers with `origin`.
    pub fn journal(&self, workspace: &str, origin: Origin, update: JournalUpdate) -> Result<()> { let _ = (workspace, origin, update); unimplemented!() }
    /// What the resolver needs after a restart.
    pub async fn resume(&self, workspace: &str) -> Result<Resume> { unimplemented!("{workspace}") }
    /// Spans (table and buffer) and journal rows (table and buffer) of these traces.
    pub async fn traces(&self, workspace: &str, trace_ids: &[String]) -> Result<Resume> { unimplemented!("{workspace} {trace_ids:?}") }
    /// Every table of the workspace, under one lock.
    pub fn snapshot(&self, workspace: &str) -> Snapshot { unimplemented!("{workspace}") }
    /// Workspaces that have data.
    pub fn workspaces(&self) -> Vec<String> { unimplemented!() }
    /// Flushes everything that may be flushed, and cuts the log.
    pub async fn flush(&self) -> Result<()> { unimplemented!() }
    /// Flushes, stops the writer and gives the lock back.
    pub async fn close(&self) -> Result<()> { unimplemented!() }
}
