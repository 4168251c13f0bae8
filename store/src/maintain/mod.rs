//! What keeps tables small, exact and quick to read while rows come in: compaction, the removal of spans told
//! twice, retention and vacuum.
//!
//! One job at a time, in the background or when asked ([`Store::maintain`]). A job reads files that a table lists
//! and writes others beside them, with nothing locked; then it takes the flusher's lock for one commit and swaps
//! the table's version under the one lock, so a reader sees either the old files or the new. A job that is
//! interrupted leaves files that nobody lists, which a later vacuum takes.

mod compact;
mod due;
mod duplicates;
mod mend;
mod plan;
mod recall;
mod retain;
mod storage;
mod vacuum;

pub use retain::Retain;
pub use storage::{Storage, StoredTable};

pub(crate) use due::run;
pub(crate) use recall::recall;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use deltalake::DeltaTable;

use crate::config::Durability;
use crate::error::{Error, Result};
use crate::store::Store;
use crate::table::Table;
use crate::tables::{self, Commit, Outcome};

pub(crate) type Place = (Arc<str>, Table);

/// How tables are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maintenance {
    /// How often tables are looked at; zero for never by itself.
    pub every: Duration,
    /// Compaction makes files of about so many bytes.
    pub target_bytes: u64,
    /// A file that is larger is sent in parts of so many bytes. S3 takes none under 5 MiB but the last, and 10,000.
    pub part_bytes: usize,
    /// A file that a table has not listed for so long is deleted. No query runs longer, and no version of a table
    /// older than this can be read.
    pub vacuum_after: Duration,
    /// The same for files that held what was erased. No query runs longer.
    pub erased_after: Duration,
    /// A file that no table ever listed is deleted when it is so old. No flush takes longer.
    pub orphan_after: Duration,
    /// Entries of the Delta log behind a checkpoint are deleted when they are so old.
    pub log_after: Duration,
    /// How long rows are kept; for ever unless one of these says otherwise.
    pub retain: Vec<Retain>,
}

impl Default for Maintenance {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(15),
            target_bytes: 128 << 20,
            part_bytes: 8 << 20,
            vacuum_after: Duration::from_secs(7 * 86_400),
            erased_after: Duration::from_secs(600),
            orphan_after: Duration::from_secs(86_400),
            log_after: Duration::from_secs(7 * 86_400),
            retain: Vec::new(),
        }
    }
}

/// What maintenance did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Maintained {
    /// Merges of small files, and rewrites of files that held spans told again.
    pub compactions: u64,
    /// Files they took off the tables.
    pub files_in: u64,
    /// Files they put in their place.
    pub files_out: u64,
    /// Bytes of the former.
    pub bytes_in: u64,
    /// Bytes of the latter.
    pub bytes_out: u64,
    /// Rows that were left out since the same span was told again later.
    pub duplicates: u64,
    /// Files that retention took off the tables.
    pub files_expired: u64,
    /// Their rows.
    pub rows_expired: u64,
    /// Files that were deleted.
    pub files_vacuumed: u64,
    /// Their bytes.
    pub bytes_vacuumed: u64,
    /// Entries of Delta logs that were deleted.
    pub log_entries_deleted: u64,
    /// Jobs that failed, and are tried again.
    pub failures: u64,
}

/// What maintenance remembers from one time to the next.
#[derive(Debug, Default)]
pub(crate) struct Maintainer {
    /// A table that did not change since is not looked at again so soon.
    looked: HashMap<Place, (u64, Instant)>,
    failed: HashMap<Place, (u32, Instant)>,
    vacuumed: HashMap<Place, Instant>,
}

impl Store {
    /// Merges whatever can be merged, removes whatever was told again, drops what is too old, and deletes what
    /// nobody lists any more, until nothing is left to do. Ingest and queries go on meanwhile.
    ///
    /// # Errors
    /// [`Error::ReadOnly`], [`Error::Closed`], and the first failure; tables after it are still tried.
    pub async fn maintain(&self) -> Result<Maintained> {
        self.open_log()?;
        self.resume_erasures().await?;
        let before = self.maintained();
        let mut maintainer = self.maintainer.lock().await;
        let mut outcome = Ok(());
        let tables = self.state.lock().tables();
        for place in tables {
            let kept = self.keep(&mut maintainer, &place, true).await;
            if kept.is_err() {
                self.figures.maintenance.lock().failures += 1;
            }
            outcome = outcome.and(kept);
        }
        outcome.map(|()| self.maintained().since(&before))
    }

    /// What maintenance did since the store was opened.
    #[must_use]
    pub fn maintained(&self) -> Maintained {
        *self.figures.maintenance.lock()
    }

    /// Everything that is due for one table, in an order in which nothing is done for nothing: first what goes
    /// altogether, then what is left out, then what is merged.
    async fn keep(&self, maintainer: &mut Maintainer, place: &Place, at_once: bool) -> Result<()> {
        self.expire(place).await?;
        self.mend(place, at_once).await?;
        self.compact(place, at_once).await?;
        // Compaction may have found spans that were told twice at a greater distance.
        self.mend(place, at_once).await?;
        self.vacuum(maintainer, place, at_once).await
    }

    /// A table as it is now; None before its first commit.
    pub(crate) fn version(&self, (workspace, table): &Place) -> Option<DeltaTable> {
        let mut state = self.state.lock();
        let version = state.workspace_mut(workspace).version_mut(*table);
        version.delta.clone()
    }

    /// Commits, between two flushes, and shows readers the result. False when somebody else was quicker.
    pub(crate) async fn replace(&self, place: &Place, commit: &Commit) -> Result<bool> {
        let mut flusher = self.flusher.lock().await;
        // A table that has a flush's files, and not yet the buffer's word for it, must not be shown.
        self.commit_pending(&mut flusher, place).await?;
        if let (Some(log), false) = (&self.log, self.config.durability == Durability::Durable) {
            // What stands in the place of a row that goes may be in the log only.
            log.sync().await?;
        }
        let current = self.version(place);
        let (workspace, table) = (&place.0, place.1);
        let done = tables::commit(&self.objects, &self.app, workspace, table, current, commit);
        let (delta, made) = match done.await? {
            Outcome::Made(delta) => (delta, true),
            Outcome::Overtaken(delta) => (delta, false),
        };
        let mut state = self.state.lock();
        let workspace = state.workspace_mut(workspace);
        workspace.version_mut(table).delta = Some(delta);
        if table == Table::Charges && made {
            workspace.rolled.touch(&commit.minutes("start_time"));
        }
        Ok(made)
    }

    /// Long work asks whether it is still wanted.
    pub(crate) fn goes_on(&self) -> bool {
        !self.closed.load(Relaxed)
    }

    fn count(&self, add: impl FnOnce(&mut Maintained)) {
        add(&mut self.figures.maintenance.lock());
    }
}

impl Maintained {
    fn since(&self, before: &Self) -> Self {
        Self {
            compactions: self.compactions - before.compactions,
            files_in: self.files_in - before.files_in,
            files_out: self.files_out - before.files_out,
            bytes_in: self.bytes_in - before.bytes_in,
            bytes_out: self.bytes_out - before.bytes_out,
            duplicates: self.duplicates - before.duplicates,
            files_expired: self.files_expired - before.files_expired,
            rows_expired: self.rows_expired - before.rows_expired,
            files_vacuumed: self.files_vacuumed - before.files_vacuumed,
            bytes_vacuumed: self.bytes_vacuumed - before.bytes_vacuumed,
            log_entries_deleted: self.log_entries_deleted - before.log_entries_deleted,
            failures: self.failures - before.failures,
        }
    }
}

/// For errors of a task that is not wanted any more.
fn stopped(error: &Error) -> bool {
    matches!(error, Error::Closed)
}
