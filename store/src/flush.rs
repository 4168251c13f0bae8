//! From buffer to table: in the background, each table on its own, and once more when asked.
//!
//! Rows stay visible in the buffer while they are written. The commit's outcome and the buffer change hands
//! under the one lock, so a reader sees each row exactly once. Files that were written but not committed are
//! kept for the next attempt: only with them can be told whether a commit with an unknown outcome was made.

use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::time::Duration;

use arrow::array::RecordBatch;
use deltalake::DeltaTable;
use tokio::time::Instant;

use crate::buffer::Taken;
use crate::config::Durability;
use crate::error::{Error, Result};
use crate::journal::{Netted, TakenCharges};
use crate::log::LogPosition;
use crate::rollup::Minutes;
use crate::store::Store;
use crate::table::Table;
use crate::tables::{self, Commit, Outcome};

/// How often the background task looks for work, at least.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Pause after a failed flush of a table; it doubles with every further failure up to the longest.
const BACK_OFF: Duration = Duration::from_millis(500);
const BACK_OFF_MAX: Duration = Duration::from_secs(10);

pub(crate) type Place = (Arc<str>, Table);

/// What flushes leave behind for the next ones.
#[derive(Debug, Default)]
pub(crate) struct Flusher {
    /// Written, but maybe not committed.
    pub(crate) pending: HashMap<Place, Pending>,
    failed: HashMap<Place, (u32, Instant)>,
    cut: LogPosition,
    /// The store is closed and the directory may have another owner: nothing is written any more.
    stopped: bool,
}

/// Files that wait for their commit, and what to do with the buffer when it is made.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    pub(crate) commit: Commit,
    then: Then,
}

#[derive(Debug, Clone)]
pub(crate) enum Then {
    /// Rows up to this position leave the buffer.
    Logged { to: LogPosition },
    /// Rows that start in these minutes leave the journal, those of open traces stay.
    Charges {
        open: Vec<RecordBatch>,
        minutes: Minutes,
    },
    /// The oldest spilled file goes.
    Spilled,
}

impl Store {
    /// Flushes everything that may be flushed, and cuts the log.
    ///
    /// # Errors
    /// The first failure; tables after it are still tried, and rows that could not be written stay visible.
    pub async fn flush(&self) -> Result<()> {
        if self.log.is_none() {
            return Err(Error::ReadOnly);
        }
        let tables = self.state.lock().tables();
        let flushed = self.flush_tables(tables, true).await;
        match self.tell_corrections().await {
            // The last flush of all: what it corrects is told at the next start.
            Err(Error::Closed) => flushed,
            told => flushed.and(told),
        }
    }

    /// Flushes the charges alone, and tells the ledger what that corrects.
    pub(crate) async fn flush_charges(&self) -> Result<()> {
        let mut tables = self.state.lock().tables();
        tables.retain(|(_, table)| *table == Table::Charges);
        self.flush_tables(tables, true).await?;
        self.tell_corrections().await
    }

    /// Flushes until nothing more may be, table by table, then cuts the log.
    pub(crate) async fn flush_tables(
        &self,
        tables: Vec<Place>,
        even_if_failed_lately: bool,
    ) -> Result<()> {
        let mut flusher = self.flusher.lock().await;
        if flusher.stopped {
            return Err(Error::Closed);
        }
        let mut outcome = Ok(());
        for place in tables {
            let flushed = self
                .flush_or_spill(&mut flusher, &place, even_if_failed_lately)
                .await;
            outcome = outcome.and(flushed);
        }
        outcome.and(self.cut_log(&mut flusher).await)
    }

    /// Flushes one table, unless that failed just now. When memory is short, its rows leave memory all the same.
    async fn flush_or_spill(
        &self,
        flusher: &mut Flusher,
        place: &Place,
        even_if_failed_lately: bool,
    ) -> Result<()> {
        let later = |(_, until): &(u32, Instant)| Instant::now() < *until;
        let wait = !even_if_failed_lately
            && (self.outage.is_quiet() || flusher.failed.get(place).is_some_and(later));
        let flushed = if wait {
            Ok(())
        } else {
            self.flush_table(flusher, place).await
        };
        match &flushed {
            Ok(()) if wait => {}
            Ok(()) => drop(flusher.failed.remove(place)),
            Err(error) => {
                self.note_failure(flusher, place, error);
                // An outage is not the table's fault: when it is over nothing waits.
                if self.look_at_objects().await.is_err() {
                    flusher.failed.remove(place);
                }
            }
        }
        let written = flushed.is_ok() && !wait;
        if !written
            && self.is_short_of_memory()
            && let Err(error) = self.spill(flusher, place).await
        {
            tracing::error!(workspace = &*place.0, table = place.1.name(), %error, "rows cannot leave memory");
        }
        flushed
    }

    /// Flushes what is visible now. What comes in meanwhile waits, or a busy table would never be done.
    async fn flush_table(&self, flusher: &mut Flusher, place: &Place) -> Result<()> {
        self.ask_if_back().await?;
        let until = self.state.lock().visible;
        self.flush_spilled(place).await?;
        self.commit_pending(flusher, place).await?;
        while let Some(pending) = self.prepare(place).await? {
            flusher.pending.insert(place.clone(), pending);
            self.commit_pending(flusher, place).await?;
            if !self.state.lock().waits(place, until) {
                break;
            }
        }
        Ok(())
    }

    /// Makes the commit that waits, if one does. It is forgotten only once it is made: whoever flushes may stop
    /// waiting at any point, and the next flush has to know what may have been written.
    ///
    /// # Errors
    /// [`Error::Closed`] when nothing may be written any more.
    pub(crate) async fn commit_pending(&self, flusher: &mut Flusher, place: &Place) -> Result<()> {
        if flusher.stopped {
            return Err(Error::Closed);
        }
        let Some(pending) = flusher.pending.get(place).cloned() else {
            return Ok(());
        };
        let (workspace, table) = (&place.0, place.1);
        let current = self
            .state
            .lock()
            .workspace_mut(workspace)
            .version_mut(table)
            .delta
            .clone();
        let (Outcome::Made(delta) | Outcome::Overtaken(delta)) = tables::commit(
            &self.objects,
            &self.app,
            workspace,
            table,
            current,
            &pending.commit,
        )
        .await?;
        flusher.pending.remove(place);
        self.swap(place, Some(delta), &pending.commit, pending.then);
        Ok(())
    }

    /// Writes what the buffer holds as files. None when there is nothing to commit.
    async fn prepare(&self, place: &Place) -> Result<Option<Pending>> {
        let (workspace, table) = place;
        if *table == Table::Charges {
            return self.prepare_charges(place).await;
        }
        let Some(taken) = self.state.lock().take(workspace, *table) else {
            return Ok(None);
        };
        self.prepare_taken(place, taken).await
    }

    async fn prepare_taken(&self, place: &Place, taken: Taken) -> Result<Option<Pending>> {
        let (workspace, table) = place;
        let written = match self.sync_log().await {
            Ok(()) => {
                tables::write(
                    &self.objects.log_store(workspace, *table)?,
                    *table,
                    taken.batches,
                )
                .await
            }
            Err(error) => Err(error),
        };
        match written {
            Ok(adds) => Ok(Some(Pending {
                commit: Commit::append(adds, taken.to),
                then: Then::Logged { to: taken.to },
            })),
            Err(error) => {
                if let Some(logged) = self
                    .state
                    .lock()
                    .workspace_mut(workspace)
                    .logged
                    .get_mut(table)
                {
                    logged.buffer.give_back();
                }
                Err(error)
            }
        }
    }

    async fn prepare_charges(&self, place: &Place) -> Result<Option<Pending>> {
        let workspace = &place.0;
        let taken = self.state.lock().workspace_mut(workspace).journal.take();
        match taken {
            Some(taken) => self.prepare_taken_charges(place, taken).await,
            None => Ok(None),
        }
    }

    async fn prepare_taken_charges(
        &self,
        place: &Place,
        taken: TakenCharges,
    ) -> Result<Option<Pending>> {
        let (workspace, table) = place;
        let position = taken.resolved_to;
        let written = async {
            self.sync_log().await?;
            let netted = tokio::task::spawn_blocking(move || taken.net()).await??;
            let log_store = self.objects.log_store(workspace, *table)?;
            let minutes = netted.minutes();
            let Netted { flush: rows, open } = netted;
            let adds = match rows.is_empty() {
                false => tables::write(&log_store, *table, rows.clone()).await?,
                true => Vec::new(),
            };
            let commit = Commit::append(adds, position);
            self.note_corrections(place, &commit, &rows).await?;
            Ok((commit, Then::Charges { open, minutes }))
        };
        match written.await {
            Ok((commit, then)) => {
                if commit.adds().is_empty() {
                    self.swap(place, None, &commit, then);
                    return Ok(None);
                }
                Ok(Some(Pending { commit, then }))
            }
            Err(error) => {
                self.state
                    .lock()
                    .workspace_mut(workspace)
                    .journal
                    .give_back();
                Err(error)
            }
        }
    }

    /// The moment rows move from buffer to table, for every reader at once.
    pub(crate) fn swap(
        &self,
        place: &Place,
        delta: Option<DeltaTable>,
        commit: &Commit,
        then: Then,
    ) {
        self.corrections.made(commit);
        let mut state = self.state.lock();
        let workspace = state.workspace_mut(&place.0);
        if let Some(delta) = delta {
            let version = workspace.version_mut(place.1);
            version.delta = Some(delta);
            version.committed = version.committed.max(commit.position().unwrap_or(0));
            version.flushed_at = Some(Instant::now());
            self.figures.flushes.fetch_add(1, Relaxed);
            self.figures
                .files
                .fetch_add(commit.adds().len() as u64, Relaxed);
            self.figures.file_bytes.fetch_add(
                commit.adds().iter().map(|add| add.size.max(0) as u64).sum(),
                Relaxed,
            );
        }
        match then {
            Then::Logged { to } => {
                if let Some(logged) = workspace.logged.get_mut(&place.1) {
                    logged.buffer.committed(to);
                }
            }
            Then::Charges { open, minutes } => {
                workspace.journal.committed(open);
                workspace.rolled.touch(&minutes);
            }
            Then::Spilled => {
                if let Some(spilled) = workspace.version_mut(place.1).spilled.pop_front() {
                    workspace.rolled.touch(&spilled.minutes);
                }
            }
        }
    }

    /// Flushes so that every table that the log feeds holds all rows up to one position and none past it, and the
    /// charges what has settled. Until the guard is dropped nothing else is flushed.
    pub(crate) async fn flush_to_one_point(
        &self,
    ) -> Result<(LogPosition, tokio::sync::MutexGuard<'_, Flusher>)> {
        // Most of it as usual, so that little is left for the one point.
        self.flush().await?;
        let mut flusher = self.flusher.lock().await;
        if flusher.stopped {
            return Err(Error::Closed);
        }
        let places = self.state.lock().tables();
        for place in &places {
            self.flush_spilled(place).await?;
            self.commit_pending(&mut flusher, place).await?;
        }
        let (position, logged, charges) = self.state.lock().take_all();
        for (place, taken) in logged {
            if taken.to < position {
                return Err(Error::Full {
                    what: "buffer",
                    used: self.state.lock().buffered_bytes(),
                    limit: self.config.buffer_bytes_max,
                    retry_after_ms: 1_000,
                });
            }
            if let Some(pending) = self.prepare_taken(&place, taken).await? {
                flusher.pending.insert(place.clone(), pending);
                self.commit_pending(&mut flusher, &place).await?;
            }
        }
        for (place, taken) in charges {
            if let Some(pending) = self.prepare_taken_charges(&place, taken).await? {
                flusher.pending.insert(place.clone(), pending);
                self.commit_pending(&mut flusher, &place).await?;
            }
        }
        Ok((position, flusher))
    }

    /// Saves the digests of requests up to a position, as before the log is cut there.
    pub(crate) async fn save_digests(&self, to: LogPosition) -> Result<()> {
        let (dedupe, bucket) = (Arc::clone(&self.dedupe), self.bucket.clone());
        let save = move || match bucket {
            Some(bucket) => bucket.save_digests(&dedupe, to),
            None => dedupe.save_to(to),
        };
        tokio::task::spawn_blocking(save).await?
    }

    /// A table must never be ahead of the log, or positions could be given out twice. What is visible is synced
    /// already, unless a looser promise was configured.
    pub(crate) async fn sync_log(&self) -> Result<()> {
        match &self.log {
            Some(log) if self.config.durability != Durability::Durable => log.sync().await,
            _ => Ok(()),
        }
    }

    /// Cuts the log behind the slowest table. The digests of what goes are saved before.
    async fn cut_log(&self, flusher: &mut Flusher) -> Result<()> {
        let Some(log) = &self.log else { return Ok(()) };
        let to = self.state.lock().safe_to_cut();
        if to <= flusher.cut {
            return Ok(());
        }
        self.save_digests(to).await?;
        log.cut(to).await?;
        flusher.cut = to;
        Ok(())
    }

    /// Tables to flush now.
    pub(crate) fn due(&self) -> Vec<Place> {
        let disk_short = self.waiting_bytes() > self.config.log_bytes_max / 2;
        self.state.lock().due(&self.config, disk_short)
    }

    /// The last flush has run: from now on the directory may have another owner.
    pub(crate) async fn stop_flushing(&self) {
        self.flusher.lock().await.stopped = true;
    }

    fn note_failure(&self, flusher: &mut Flusher, place: &Place, error: &Error) {
        self.figures.flush_failures.fetch_add(1, Relaxed);
        let failures = flusher
            .failed
            .get(place)
            .map_or(0, |(failures, _)| *failures)
            + 1;
        let pause = BACK_OFF
            .saturating_mul(1 << (failures - 1).min(10))
            .min(BACK_OFF_MAX);
        flusher
            .failed
            .insert(place.clone(), (failures, Instant::now() + pause));
        tracing::error!(
            workspace = &*place.0, table = place.1.name(), %error, failures, retry_in = ?pause,
            "a flush failed; its rows stay in the buffer and in the log"
        );
    }
}

/// The background task: ends when the store is closed or gone.
pub(crate) async fn run(store: Weak<Store>) {
    loop {
        let Some(strong) = store.upgrade() else {
            return;
        };
        let pause = LOOK_EVERY.min(strong.config.flush_age.max(Duration::from_millis(10)));
        let full = Arc::clone(&strong.full);
        drop(strong);
        // A full buffer does not wait for the clock. `due` then finds every table.
        let _ = tokio::time::timeout(pause, full.notified()).await;
        let Some(strong) = store.upgrade() else {
            return;
        };
        if strong.closed.load(Relaxed) {
            return;
        }
        let due = strong.due();
        if !due.is_empty() {
            // Failures are logged and tried again where they happen.
            let _ = strong.flush_tables(due, false).await;
        }
        if let Err(error) = strong.tell_corrections().await {
            tracing::warn!(%error, "corrections could not be put on the ledger; tried again");
        }
        strong.sign_overdue().await;
    }
}
