//! The store itself: everything behind one handle.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

use crate::append::{self, Append, Appended, OwnEvent};
use crate::config::{Config, Durability};
use crate::correction::Corrections;
use crate::dedupe::Dedupe;
use crate::directory::Directory;
use crate::disk::Disk;
use crate::diskless::Bucket;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::flush::Flusher;
use crate::journal::JournalUpdate;
use crate::ledger::Keeper;
use crate::log::{FrameKind, Log, LogPosition, Origin};
use crate::maintain::Maintainer;
use crate::objects::Objects;
use crate::outage::Outage;
use crate::personal::Personal;
use crate::rollup::Roller;
use crate::snapshot::Snapshot;
use crate::spill::SpillFolder;
use crate::state::State;
use crate::table::Table;

/// When a full disk is worth another try: about when the object store is asked again.
const DISK_RETRY_MS: u64 = 5_000;
/// Our own events may take one part in so many more of the buffer than requests.
const OWN_SHARE: u64 = 8;

/// The store. Shared as `Arc<Store>`; every method takes `&self`.
///
/// Dropping it without [`Store::close`] is like a crash: nothing acknowledged is lost, what is in the buffer is
/// read back from the log at the next start.
#[derive(Debug)]
pub struct Store {
    pub(crate) config: Config,
    pub(crate) objects: Objects,
    /// Names our transactions in the tables.
    pub(crate) app: String,
    pub(crate) state: Arc<Mutex<State>>,
    pub(crate) dedupe: Arc<Dedupe>,
    pub(crate) ledger: Arc<Mutex<Keeper>>,
    pub(crate) personal: Arc<Personal>,
    pub(crate) corrections: Corrections,
    pub(crate) disk: Arc<dyn Disk>,
    /// None when opened for reading only.
    pub(crate) log: Option<Log>,
    /// Where the log lives, if not in the data directory.
    pub(crate) bucket: Option<Arc<Bucket>>,
    /// One flush at a time: each Delta table has one writer.
    pub(crate) flusher: tokio::sync::Mutex<Flusher>,
    /// Held for reading while files of old versions are being copied: until then nothing may remove any.
    pub(crate) held: tokio::sync::RwLock<()>,
    /// One job of maintenance at a time.
    pub(crate) maintainer: tokio::sync::Mutex<Maintainer>,
    /// One rollup at a time.
    pub(crate) roller: tokio::sync::Mutex<Roller>,
    /// Rings when the buffer is full.
    pub(crate) full: Arc<Notify>,
    pub(crate) closed: AtomicBool,
    pub(crate) figures: crate::stats::Figures,
    pub(crate) history: crate::history::Loaded,
    /// Whether the object store answers...
    pub(crate) outage: Outage,
    /// ...and where rows go that must leave memory while it does not.
    pub(crate) spill: SpillFolder,
    /// Last, so that the lock is given back after the log's writer has ended.
    pub(crate) directory: Mutex<Option<Directory>>,
}

impl Store {
    /// Frames, syncs (group commit), makes visible, publishes; returns when that is done.
    ///
    /// # Errors
    /// [`Error::Full`] (nothing was written; try again later), [`Error::BatchRefused`], [`Error::WorkspaceName`],
    /// [`Error::TooLarge`], [`Error::LogPoisoned`], [`Error::ReadOnly`] and [`Error::Closed`].
    pub async fn append(&self, mut append: Append) -> Result<Appended> {
        append::check(&mut append)?;
        let log = self.open_log()?;
        // An answer without a wait for what is surely on disk; the writer decides about the rest.
        if let Some(position) = self.dedupe.known(&append.header) {
            self.figures.duplicates.fetch_add(1, Relaxed);
            return Ok(Appended {
                position,
                duplicate: true,
            });
        }
        let bytes = append
            .batches
            .iter()
            .map(|(_, batch)| batch.get_array_memory_size() as u64)
            .sum();
        if let Err(full) = self.admit(&append, bytes) {
            self.figures.refused.fetch_add(1, Relaxed);
            self.full.notify_one();
            return Err(full);
        }
        let answer = match log.append(append, bytes) {
            Ok(answer) => answer,
            Err(error) => {
                self.state.lock().release(bytes);
                return Err(error);
            }
        };
        answer.await.map_err(|_| Error::Closed)?
    }

    /// Whether a request could be appended now: to be asked before anything is done for it, since what is refused
    /// when it has been read and decoded has cost as much as what is kept. Bodies of `under_way` bytes were let in
    /// before and have not been appended: their rows will take about as much of the buffer.
    ///
    /// # Errors
    /// [`Error::Full`] and [`Error::LogStalled`], as [`Store::append`].
    pub fn has_room(&self, under_way: u64) -> Result<()> {
        let asked = self.room_for(0).and_then(|()| {
            let mut state = self.state.lock();
            state.check_queues(self.config.queue_bytes_max)?;
            state.check_buffer(under_way, self.config.buffer_bytes_max)
        });
        if asked.is_err() {
            self.figures.refused.fetch_add(1, Relaxed);
            self.full.notify_one();
        }
        asked
    }

    /// Sets room for a request aside, or refuses it: on the disk, in the queues of those who listen, in the buffer.
    fn admit(&self, append: &Append, bytes: u64) -> Result<()> {
        self.room_for(append.body.len() as u64)?;
        let mut state = self.state.lock();
        let limit = self.config.buffer_bytes_max;
        // An event of ours may be what a listener waits for before it takes the next out of its queue; and what the
        // loop decides is kept although requests have filled the buffer.
        if append.header.kind == FrameKind::Own {
            return state.reserve(bytes, limit.saturating_add(limit / OWN_SHARE));
        }
        state.check_queues(self.config.queue_bytes_max)?;
        state.reserve(bytes, limit)
    }

    /// Whether the log takes a body of so many bytes.
    fn room_for(&self, body: u64) -> Result<()> {
        if let Some(stalled) = self.bucket.as_ref().and_then(|bucket| bucket.stalled()) {
            return Err(Error::LogStalled {
                stalled_s: stalled.as_secs(),
            });
        }
        let (used, limit) = (self.waiting_bytes(), self.config.log_bytes_max);
        if used + body > limit {
            return Err(Error::Full {
                what: "disk",
                used,
                limit,
                retry_after_ms: DISK_RETRY_MS,
            });
        }
        Ok(())
    }

    /// The same for an event of ours. `date` is set from `at`, `log_position` by the log; a record of the ledger
    /// gets its number and hashes. An action or a record that was told before is not entered again: the answer
    /// is where it stands. What names people in a record is sealed first ([`Store::forget_subject`] erases it).
    ///
    /// # Errors
    /// As [`Store::append`]; [`Error::State`] and [`Error::SubjectKeys`] when no key can be had for a person.
    pub async fn record(&self, workspace: &str, mut event: OwnEvent) -> Result<LogPosition> {
        if let OwnEvent::Audit(row) = event {
            event = OwnEvent::Audit(self.sealed_record(workspace, row).await?);
        }
        let position = self.append(event.into_append(workspace)?).await?.position;
        let due = self.ledger.lock().due(workspace);
        if due && let Err(error) = self.checkpoint(workspace).await {
            tracing::warn!(workspace, %error, "no checkpoint of the ledger could be made; the next record tries again");
            self.ledger.lock().ask_again(workspace);
        }
        Ok(position)
    }

    /// Whether a body with this digest is already in.
    #[must_use]
    pub fn seen(&self, workspace: &str, digest: &[u8; 32]) -> bool {
        self.dedupe.seen(workspace, digest)
    }

    /// All events from now on, in log order. See [`Store::subscribe_to`].
    #[must_use]
    pub fn subscribe(&self) -> mpsc::UnboundedReceiver<Event> {
        self.subscribe_to(&Table::ALL, true)
    }

    /// Events from now on, in log order: acknowledged rows of these tables, and charges or not. Appending does
    /// not wait for whoever listens, so the queue has no bound: ask for no more than is read, and read it at
    /// once. What waits shows in [`Stats`](crate::Stats) as `queued_events` and `queued_bytes`; an event counts
    /// there until its `workspace` is dropped.
    #[must_use]
    pub fn subscribe_to(&self, tables: &[Table], charges: bool) -> mpsc::UnboundedReceiver<Event> {
        self.state.lock().subscribers.add(tables, charges)
    }

    /// Enters charges; visible at once, published to subscribers with `origin`.
    ///
    /// # Errors
    /// [`Error::BatchRefused`] when entries are not of the table's schema: then nothing of the update is entered.
    /// [`Error::WorkspaceName`], [`Error::Closed`].
    pub fn journal(
        &self,
        workspace: &str,
        origin: Origin,
        mut update: JournalUpdate,
    ) -> Result<()> {
        append::check_workspace(workspace)?;
        if self.closed.load(Relaxed) {
            return Err(Error::Closed);
        }
        update.post.retain(|batch| batch.num_rows() > 0);
        for batch in &update.post {
            append::fits(Table::Charges, batch).map_err(|reason| Error::BatchRefused {
                table: Table::Charges,
                reason,
            })?;
        }
        self.state.lock().enter(workspace, origin, update);
        Ok(())
    }

    /// Every table of the workspace, under one lock.
    #[must_use]
    pub fn snapshot(&self, workspace: &str) -> Snapshot {
        self.state.lock().snapshot(workspace)
    }

    /// Workspaces that have data.
    #[must_use]
    pub fn workspaces(&self) -> Vec<String> {
        self.state
            .lock()
            .workspaces
            .keys()
            .map(|name| name.to_string())
            .collect()
    }

    /// Flushes, stops the writer and gives the lock back. Charges of open traces are not flushed: they are
    /// entered anew from their spans after the next start.
    ///
    /// # Errors
    /// What [`Store::flush`] says; the store is closed all the same, and nothing is lost.
    pub async fn close(&self) -> Result<()> {
        if let Some(bucket) = &self.bucket {
            // One attempt each for what waits: nobody would be there to see the next.
            bucket.close();
        }
        if self.log.is_some() && !self.closed.load(Relaxed) {
            // While the ledger still takes records of what this corrects. What fails fails again below.
            let _ = self.flush_charges().await;
        }
        self.sign_ledgers().await;
        if self.closed.swap(true, Relaxed) {
            return Ok(());
        }
        // Wakes the background task, which ends; a flush of its that runs is waited for by ours.
        self.full.notify_one();
        let mut outcome = Ok(());
        if let Some(log) = &self.log {
            // What was handed over before is still written, synced and answered, and so flushed.
            outcome = log.sync().await;
            outcome = outcome.and(self.flush().await);
            self.stop_rolling_up().await;
            self.stop_flushing().await;
            log.stop();
        }
        if let Some(directory) = self.directory.lock().take() {
            directory.give_back(outcome.is_ok(), self.log.is_none());
        }
        outcome
    }

    /// What an acknowledgement promises.
    #[must_use]
    pub fn durability(&self) -> Durability {
        self.config.durability
    }

    /// The log, unless there is none to write to.
    pub(crate) fn open_log(&self) -> Result<&Log> {
        if self.closed.load(Relaxed) {
            return Err(Error::Closed);
        }
        self.log.as_ref().ok_or(Error::ReadOnly)
    }
}
