//! From a flush that corrects to its record on the ledger: written down before the commit, told after it, and
//! after a crash in between told at the next start if the commit was made.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use deltalake::DeltaTable;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::Correction;
use crate::append::OwnEvent;
use crate::disk::{self, Disk};
use crate::error::{Error, Result};
use crate::flush::Place;
use crate::store::Store;
use crate::table::Table;
use crate::tables::{self, Commit};

/// The file, in the folder that the ledger's keys are in; missing when there is nothing to tell.
pub(crate) const FILE: &str = "corrections.json";

/// Corrections that are not on the ledger yet.
#[derive(Debug)]
pub(crate) struct Corrections {
    path: PathBuf,
    untold: Mutex<Vec<Untold>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Untold {
    workspace: String,
    correction: Correction,
    /// Its commit was made by this process. Of another process' the table itself has to tell.
    #[serde(skip)]
    made: bool,
}

impl Corrections {
    /// What an earlier process of this directory left.
    pub(crate) fn of(disk: &dyn Disk, folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let untold = match disk::read_text(disk, &path) {
            Ok(text) => serde_json::from_str(&text)
                .map_err(|error| Error::file("use", &path)(std::io::Error::other(error)))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(Error::file("read", &path)(error)),
        };
        Ok(Self {
            path,
            untold: Mutex::new(untold),
        })
    }

    /// The commit that names this file was made.
    pub(crate) fn made(&self, commit: &Commit) {
        let Some(first) = commit.adds().first() else {
            return;
        };
        let mut untold = self.untold.lock();
        for untold in untold.iter_mut() {
            untold.made |= untold.correction.file == first.path;
        }
    }

    /// Keeps the list as it is now.
    async fn keep(&self, on: &Arc<dyn Disk>) -> Result<()> {
        let path = self.path.clone();
        let untold = self.untold.lock().clone();
        let keep = move |disk: &dyn Disk| {
            let text = serde_json::to_vec(&untold).map_err(std::io::Error::other);
            let staged = path.with_extension("new");
            text.and_then(|text| disk::write_whole(disk, &staged, &path, &text, true))
                .map_err(Error::file("write", &path))
        };
        disk::work_on(on, keep).await
    }
}

impl Store {
    /// Writes down what a commit that is about to be made corrects.
    pub(crate) async fn note_corrections(
        &self,
        (workspace, table): &Place,
        commit: &Commit,
        rows: &[RecordBatch],
    ) -> Result<()> {
        let Some(first) = commit.adds().first().filter(|_| *table == Table::Charges) else {
            return Ok(());
        };
        let Some(correction) = Correction::of(&first.path, rows)? else {
            return Ok(());
        };
        self.corrections.untold.lock().push(Untold {
            workspace: workspace.to_string(),
            correction,
            made: false,
        });
        self.corrections.keep(&self.disk).await
    }

    /// Tells the ledger of corrections whose commits are made.
    ///
    /// # Errors
    /// As [`Store::record`]. What could not be told is told later, after a restart as well.
    pub(crate) async fn tell_corrections(&self) -> Result<()> {
        loop {
            let next = {
                let untold = self.corrections.untold.lock();
                untold.iter().find(|untold| untold.made).cloned()
            };
            let Some(next) = next else { return Ok(()) };
            // A record that was told before is not entered again.
            let record = OwnEvent::Audit(next.correction.record());
            self.record(&next.workspace, record).await?;
            let told = |untold: &Untold| untold.correction == next.correction;
            self.corrections
                .untold
                .lock()
                .retain(|untold| !told(untold));
            self.corrections.keep(&self.disk).await?;
        }
    }

    /// Tells the ledger of corrections that an earlier process committed and did not tell, and forgets those that it
    /// did not commit: their traces are resolved anew.
    pub(crate) async fn tell_corrections_left(&self) -> Result<()> {
        let left = self.corrections.untold.lock().clone();
        if left.is_empty() {
            return Ok(());
        }
        let mut made = Vec::with_capacity(left.len());
        for untold in left {
            let delta = {
                let mut state = self.state.lock();
                let workspace = state.workspace_mut(&untold.workspace);
                workspace.version_mut(Table::Charges).delta.clone()
            };
            let Some(delta) = delta else { continue };
            if named(&delta, &untold.workspace, &untold.correction.file).await? {
                made.push(Untold {
                    made: true,
                    ..untold
                });
            }
        }
        *self.corrections.untold.lock() = made;
        self.corrections.keep(&self.disk).await?;
        self.tell_corrections().await
    }
}

/// Whether the table lists a file, or did before it was merged with others.
async fn named(delta: &DeltaTable, workspace: &str, file: &str) -> Result<bool> {
    let files = tables::files(delta, workspace, Table::Charges)?;
    if files.iter().any(|listed| listed.path == file) {
        return Ok(true);
    }
    let gone = tables::taken_off(delta, workspace, Table::Charges).await?;
    Ok(gone.iter().any(|(path, _)| path.as_ref() == file))
}
