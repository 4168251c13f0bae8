//! When the object store does not take what is flushed: rows leave memory for the local disk, the store is asked
//! now and then whether it is back, and then everything is caught up in order.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::buffer::Taken;
use crate::error::Result;
use crate::flush::{Flusher, Pending, Place, Then};
use crate::journal::Netted;
use crate::rollup::Minutes;
use crate::spill::Spilled;
use crate::store::Store;
use crate::table::Table;
use crate::tables::{self, Commit, Outcome};

/// Pause before the store is asked again; it doubles up to the longest.
const PAUSE: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Whether the object store answers.
#[derive(Debug, Default)]
pub(crate) struct Outage(Mutex<Option<Down>>);

#[derive(Debug)]
struct Down {
    since: Instant,
    pause: Duration,
    ask_at: Instant,
}

impl Outage {
    /// It did not answer.
    fn goes_on(&self) {
        let (now, mut down) = (Instant::now(), self.0.lock());
        let pause = down
            .as_ref()
            .map_or(PAUSE, |down| (down.pause * 2).min(PAUSE_MAX));
        *down = Some(Down {
            since: down.as_ref().map_or(now, |down| down.since),
            pause,
            ask_at: now + pause,
        });
    }

    fn is_over(&self) {
        *self.0.lock() = None;
    }

    /// How long it has lasted; None when there is none.
    pub(crate) fn lasts(&self) -> Option<Duration> {
        self.0.lock().as_ref().map(|down| down.since.elapsed())
    }

    /// Whether it is too early to ask again.
    pub(crate) fn is_quiet(&self) -> bool {
        let down = self.0.lock();
        down.as_ref()
            .is_some_and(|down| Instant::now() < down.ask_at)
    }
}

impl Store {
    /// Asks the object store whether it is there, if it was not.
    pub(crate) async fn ask_if_back(&self) -> Result<()> {
        let Some(lasts) = self.outage.lasts() else {
            return Ok(());
        };
        self.look_at_objects().await?;
        tracing::info!(outage = ?lasts, "the object store answers again; what waits is caught up");
        Ok(())
    }

    /// Finds out whether the store answers at all, after something went wrong.
    pub(crate) async fn look_at_objects(&self) -> Result<()> {
        match self.objects.answers().await {
            Ok(()) => {
                self.outage.is_over();
                Ok(())
            }
            Err(error) => {
                if self.outage.lasts().is_none() {
                    tracing::error!(%error, "the object store does not answer; requests are acknowledged to the log until the disk limit");
                }
                self.outage.goes_on();
                Err(error)
            }
        }
    }

    /// Whether so much waits in memory that rows have to leave it.
    pub(crate) fn is_short_of_memory(&self) -> bool {
        self.state.lock().buffered_bytes() > self.config.buffer_bytes_max / 2
    }

    /// Bytes on the local disk that wait for the object store: log and spilled rows.
    pub(crate) fn waiting_bytes(&self) -> u64 {
        let log = self.log.as_ref().map_or(0, |log| log.bytes());
        log + self.spill.bytes()
    }

    /// Moves what a table holds in memory to a local file. Readers see it all the same.
    pub(crate) async fn spill(&self, flusher: &mut Flusher, place: &Place) -> Result<()> {
        // What is uploaded already, and may be committed, leaves with its commit: its turn comes first.
        if let Some(Pending { commit, .. }) = flusher.pending.get(place).cloned() {
            self.spill_rows(place, Some(commit)).await?;
            flusher.pending.remove(place);
        }
        self.spill_rows(place, None).await
    }

    /// What was taken for a commit, or all that may be taken.
    async fn spill_rows(&self, place: &Place, commit: Option<Commit>) -> Result<()> {
        let (workspace, table) = (&place.0, place.1);
        if table == Table::Charges {
            return self.spill_charges(workspace, commit).await;
        }
        let taken = {
            let mut state = self.state.lock();
            match &commit {
                Some(commit) => state.taken(workspace, table, commit.position().unwrap_or(0)),
                None => state.take(workspace, table),
            }
        };
        let Some(Taken { batches, to }) = taken else {
            return Ok(());
        };
        let file = self.spill.write(table, batches).await?;
        let mut state = self.state.lock();
        if let Some(logged) = state.workspace_mut(workspace).logged.get_mut(&table) {
            let first = logged.buffer.oldest().unwrap_or(to);
            logged.version.spilled.push_back(Spilled {
                file,
                first,
                to,
                commit,
                minutes: Minutes::default(),
            });
            logged.buffer.committed(to);
        }
        Ok(())
    }

    async fn spill_charges(&self, workspace: &str, commit: Option<Commit>) -> Result<()> {
        let taken = {
            let mut state = self.state.lock();
            let journal = &mut state.workspace_mut(workspace).journal;
            match &commit {
                Some(_) => journal.taken(),
                None => journal.take(),
            }
        };
        let Some(taken) = taken else { return Ok(()) };
        let to = commit
            .as_ref()
            .and_then(Commit::position)
            .unwrap_or(taken.resolved_to);
        let netted = tokio::task::spawn_blocking(move || taken.net()).await??;
        let minutes = netted.minutes();
        let Netted { flush: rows, open } = netted;
        let file = match rows.is_empty() {
            false => Some(self.spill.write(Table::Charges, rows).await?),
            true => None,
        };
        let mut state = self.state.lock();
        let workspace = state.workspace_mut(workspace);
        workspace.charges.spilled.extend(file.map(|file| Spilled {
            file,
            first: 0,
            to,
            commit,
            minutes,
        }));
        workspace.journal.committed(open);
        Ok(())
    }

    /// Uploads and commits what was spilled, oldest first.
    pub(crate) async fn flush_spilled(&self, place: &Place) -> Result<()> {
        let (workspace, table) = (&place.0, place.1);
        loop {
            let (spilled, current) = {
                let mut state = self.state.lock();
                let version = state.workspace_mut(workspace).version_mut(table);
                match version.spilled.front() {
                    Some(spilled) => (spilled.clone(), version.delta.clone()),
                    None => return Ok(()),
                }
            };
            let commit = match spilled.commit {
                Some(commit) => commit,
                None => {
                    self.sync_log().await?;
                    let path = Arc::clone(&spilled.file);
                    let read = move || tables::read_local(table, path.path());
                    let rows = tokio::task::spawn_blocking(read).await??;
                    let log_store = self.objects.log_store(workspace, table)?;
                    let adds = tables::write(&log_store, table, rows.clone()).await?;
                    let commit = Commit::append(adds, spilled.to);
                    self.note_corrections(place, &commit, &rows).await?;
                    // Before it is tried: whoever flushes next has to know what may have been written.
                    let mut state = self.state.lock();
                    let version = state.workspace_mut(workspace).version_mut(table);
                    if let Some(front) = version.spilled.front_mut() {
                        front.commit = Some(commit.clone());
                    }
                    commit
                }
            };
            let (Outcome::Made(delta) | Outcome::Overtaken(delta)) =
                tables::commit(&self.objects, &self.app, workspace, table, current, &commit)
                    .await?;
            self.swap(place, Some(delta), &commit, Then::Spilled);
        }
    }
}
