//! Figures of the store, for `/metrics`.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;

use crate::log::LogPosition;
use crate::maintain::Maintained;
use crate::objects::ObjectOperation;
use crate::store::Store;
use crate::table::Table;

/// Counters that only grow.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) duplicates: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) flushes: AtomicU64,
    pub(crate) flush_failures: AtomicU64,
    pub(crate) files: AtomicU64,
    pub(crate) file_bytes: AtomicU64,
    pub(crate) maintenance: Mutex<Maintained>,
    /// When files of a table were last rewritten.
    pub(crate) compacted: Mutex<HashMap<(Arc<str>, Table), DateTime<Utc>>>,
    pub(crate) rolled_minutes: AtomicU64,
    pub(crate) rolled_rows: AtomicU64,
    pub(crate) rollup_commits: AtomicU64,
    pub(crate) rollup_failures: AtomicU64,
}

/// The store's figures at one moment. Counters count from the start of the process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes of the log's segments on disk.
    pub log_bytes: u64,
    /// Number of the log's segments.
    pub log_segments: u64,
    /// Position that the next frame will get.
    pub log_next: LogPosition,
    /// Everything in the log up to here is visible.
    pub log_visible: LogPosition,
    /// Whether the log failed and takes no more requests.
    pub log_poisoned: bool,
    /// How long the bucket has not taken the log; None while it does, or when the log is not in a bucket.
    pub log_stalled: Option<Duration>,
    /// Times the log was synced.
    pub log_syncs: u64,
    /// Requests that were written.
    pub appended: u64,
    /// Requests that were in already.
    pub duplicates: u64,
    /// Requests that were refused since buffer, disk or queues were full.
    pub refused: u64,
    /// Commits made.
    pub flushes: u64,
    /// Flushes that failed (and were, or will be, tried again).
    pub flush_failures: u64,
    /// Parquet files committed.
    pub files_written: u64,
    /// Their bytes.
    pub file_bytes_written: u64,
    /// Bytes in all buffers.
    pub buffered_bytes: u64,
    /// The most bytes that all buffers held together since the start, the replay of the log included.
    pub buffered_peak: u64,
    /// Bytes of rows that left memory for the local disk while the object store did not take them.
    pub spilled_bytes: u64,
    /// How long the object store has not answered; None while it does.
    pub outage: Option<Duration>,
    /// Events that subscribers were told and have not dealt with; one counts once for each subscriber.
    pub queued_events: u64,
    /// What those keep in memory, in bytes, about.
    pub queued_bytes: u64,
    /// How long the oldest row that came through the log has waited for its flush.
    pub oldest_buffered: Option<Duration>,
    /// What maintenance did.
    pub maintained: Maintained,
    /// Minutes of the journal that were summed anew.
    pub rolled_minutes: u64,
    /// Rows that the rollup got for them.
    pub rolled_rows: u64,
    /// Commits made to the rollup.
    pub rollup_commits: u64,
    /// Times the rollup could not be made (and was, or will be, tried again).
    pub rollup_failures: u64,
    /// Minutes whose charges are on disk and that the rollup does not speak for yet, of all workspaces.
    pub stale_minutes: u64,
    /// How long the one that waits longest has done so.
    pub oldest_stale: Option<Duration>,
    /// Table by table.
    pub tables: Vec<TableStats>,
}

/// Figures of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableStats {
    /// Whose.
    pub workspace: String,
    /// Which.
    pub table: Table,
    /// Rows in the buffer.
    pub buffered_rows: u64,
    /// Their bytes in memory.
    pub buffered_bytes: u64,
    /// Delta version last seen or made; None when nothing was ever flushed.
    pub version: Option<u64>,
    /// Files of that version.
    pub files: u64,
    /// Log position that the last commit carries (for charges, the resolved position; for the rollup, the Delta
    /// version of the charges it sums).
    pub committed: LogPosition,
    /// Time since the last commit of this process.
    pub since_flush: Option<Duration>,
    /// When this process last rewrote files of it.
    pub compacted: Option<DateTime<Utc>>,
    /// Spans that were told again, of which maintenance has not yet taken the earlier telling off the disk.
    pub superseded: u64,
}

impl Store {
    /// What was asked of the object store since the start, one entry for each kind of operation.
    #[must_use]
    pub fn object_operations(&self) -> Vec<ObjectOperation> {
        self.objects.figures()
    }

    /// The store's figures, for metrics. Cheap.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = Stats {
            refused: self.figures.refused.load(Relaxed),
            duplicates: self.figures.duplicates.load(Relaxed),
            flushes: self.figures.flushes.load(Relaxed),
            flush_failures: self.figures.flush_failures.load(Relaxed),
            files_written: self.figures.files.load(Relaxed),
            file_bytes_written: self.figures.file_bytes.load(Relaxed),
            maintained: self.maintained(),
            rolled_minutes: self.figures.rolled_minutes.load(Relaxed),
            rolled_rows: self.figures.rolled_rows.load(Relaxed),
            rollup_commits: self.figures.rollup_commits.load(Relaxed),
            rollup_failures: self.figures.rollup_failures.load(Relaxed),
            ..Stats::default()
        };
        if let Some(log) = &self.log {
            let counters = log.counters();
            stats.log_bytes = counters.bytes.load(Relaxed);
            stats.log_segments = counters.segments.load(Relaxed);
            stats.log_next = counters.next.load(Relaxed);
            stats.log_poisoned = counters.poisoned.load(Relaxed) != 0;
            stats.log_syncs = counters.syncs.load(Relaxed);
            stats.appended = counters.appended.load(Relaxed);
            stats.duplicates += counters.duplicates.load(Relaxed);
        }
        stats.log_stalled = self.bucket.as_ref().and_then(|bucket| bucket.stalled());
        stats.spilled_bytes = self.spill.bytes();
        stats.outage = self.outage.lasts();
        let compacted = self.figures.compacted.lock().clone();
        let mut state = self.state.lock();
        (stats.queued_events, stats.queued_bytes) = state.subscribers.queued();
        stats.log_visible = state.visible;
        stats.buffered_bytes = state.buffered_bytes();
        stats.buffered_peak = state.peak;
        stats.oldest_buffered = state.oldest_wait();
        for (name, workspace) in &state.workspaces {
            stats.stale_minutes += workspace.rolled.stale().count();
            stats.oldest_stale = stats.oldest_stale.max(workspace.rolled.waits());
            for table in Table::ALL {
                let (rows, bytes, version) = match workspace.logged.get(&table) {
                    Some(logged) => (logged.buffer.rows(), logged.buffer.bytes(), &logged.version),
                    None if table == Table::Rollup1m => (0, 0, &workspace.rolled.version),
                    None => (
                        workspace.journal.rows(),
                        workspace.journal.bytes(),
                        &workspace.charges,
                    ),
                };
                let superseded = workspace
                    .logged
                    .get(&table)
                    .map_or(0, |logged| logged.buffer.retold().superseded().len());
                let loaded = version
                    .delta
                    .as_ref()
                    .and_then(|delta| delta.snapshot().ok());
                stats.tables.push(TableStats {
                    workspace: name.to_string(),
                    table,
                    buffered_rows: rows as u64,
                    buffered_bytes: bytes,
                    version: loaded.map(|loaded| loaded.version()),
                    files: loaded.map_or(0, |loaded| loaded.log_data().num_files() as u64),
                    committed: version.committed,
                    since_flush: version.flushed_at.map(|at| at.elapsed()),
                    compacted: compacted.get(&(Arc::clone(name), table)).copied(),
                    superseded: superseded as u64,
                });
            }
        }
        stats
    }
}
