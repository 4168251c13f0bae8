//! Where and how to keep things.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::diskless::LogKey;
use crate::maintain::Maintenance;

/// How an acknowledgement relates to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Acknowledged means on stable storage: one fdatasync for all requests that wait together.
    Durable,
    /// Acknowledged means handed to the operating system: survives our death, not the machine's.
    /// Synced at least once in that many milliseconds.
    GroupMs(u32),
    /// The same without the sync: the operating system writes when it likes.
    Memory,
}

impl std::fmt::Display for Durability {
    /// As the setting is written: `durable`, `group_ms:N` or `memory`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Durable => f.write_str("durable"),
            Self::GroupMs(ms) => write!(f, "group_ms:{ms}"),
            Self::Memory => f.write_str("memory"),
        }
    }
}

/// A log in a bucket instead of the data directory: for machines whose disk does not outlive them.
#[derive(Debug, Clone)]
pub struct Diskless {
    /// Folder of the logs of all nodes: `s3://`, `gs://`, `az://` or `file://`, with the options of the tables.
    pub log_url: String,
    /// Names this node among them, and its transactions in the tables. Never two processes at a time.
    pub node_id: String,
    /// What the log is encrypted with.
    pub key: LogKey,
    /// What the ledger keeps apart (its signing key, the keys of people, the newest heads) lies in this folder,
    /// which must outlive the machine: the signing key is expected there, and never made.
    pub ledger_dir: PathBuf,
    /// The smallest pause between two groups: how many requests share an object, and what it costs.
    pub group_every: Duration,
}

/// Where and how to keep things.
#[derive(Debug, Clone)]
pub struct Config {
    /// Local directory: log, SQLite, lock, ports in use.
    pub data_dir: PathBuf,
    /// Where tables live: a URL (`file://`, `s3://`, `gs://`, `az://`) or None for `<data_dir>/tables`.
    pub tables_url: Option<String>,
    /// Options of the object store (object_store's own key names). What is not named here is taken
    /// from the environment (`AWS_*`, `GOOGLE_*`, `AZURE_*`).
    pub storage_options: HashMap<String, String>,
    /// Where the log lives: None for the data directory.
    pub diskless: Option<Diskless>,
    /// What an acknowledgement promises. In a bucket the log is always durable.
    pub durability: Durability,
    /// Flush a table when its buffered rows hold this many bytes...
    pub flush_bytes: u64,
    /// ...or its oldest buffered row is this old.
    pub flush_age: Duration,
    /// Sign the ledger when its oldest unsigned record is this old: what no checkpoint signs can be cut off unseen.
    pub checkpoint_age: Duration,
    /// Refuse appends past this many buffered bytes. From half of it on, rows are flushed, or leave memory for
    /// the local disk while the object store does not take them.
    pub buffer_bytes_max: u64,
    /// Refuse appends past this many bytes of the local disk: the log, and rows that had to leave memory.
    pub log_bytes_max: u64,
    /// Refuse requests (not our own events) while more bytes than this wait for whoever subscribed: what waits is seen
    /// late, by what prices it and by what stops its agent.
    pub queue_bytes_max: u64,
    /// Size at which a segment of the log is closed and the next begun, in bytes.
    pub segment_bytes: u64,
    /// Operations of the object store that run at the same time, at most.
    pub objects_at_once: usize,
    /// Compaction, retention and vacuum.
    pub maintenance: Maintenance,
    /// How often minutes whose charges have reached the disk are summed for the rollup; zero for never.
    pub rollup_every: Duration,
}

impl Config {
    /// Where the ledger keeps what lies apart from its records.
    pub(crate) fn ledger_dir(&self) -> &Path {
        let diskless = self.diskless.as_ref();
        diskless.map_or(&self.data_dir, |diskless| &diskless.ledger_dir)
    }

    /// Defaults for a directory.
    #[must_use]
    pub fn local(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            tables_url: None,
            storage_options: HashMap::new(),
            diskless: None,
            durability: Durability::Durable,
            flush_bytes: 64 << 20,
            flush_age: Duration::from_secs(30),
            checkpoint_age: Duration::from_secs(5),
            buffer_bytes_max: 128 << 20,
            log_bytes_max: 8 << 30,
            queue_bytes_max: 32 << 20,
            segment_bytes: 64 << 20,
            objects_at_once: 64,
            maintenance: Maintenance::default(),
            rollup_every: Duration::from_secs(60),
        }
    }
}
