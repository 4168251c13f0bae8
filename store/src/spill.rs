//! Rows that had to leave memory while the object store did not take them: Parquet files in the data directory.
//!
//! They are memory that happens to lie on a disk. The log still holds every row, so nothing here has to survive a
//! crash: the folder is emptied at the next start. Readers see the files as they see the buffer; a file goes when
//! its rows are in the table and the last reader that knew it has let go.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arrow::array::RecordBatch;
use object_store::path::Path as Location;

use crate::disk::Local;
use crate::error::{Error, Result};
use crate::folder;
use crate::log::LogPosition;
use crate::rollup::Minutes;
use crate::table::Table;
use crate::tables::{self, Commit};

/// Where such files lie, and how many bytes of them there are.
#[derive(Debug)]
pub(crate) struct SpillFolder {
    path: PathBuf,
    bytes: Arc<AtomicU64>,
    /// For who only reads: the data directory is not his to write to.
    _temporary: Option<tempfile::TempDir>,
}

/// A file of spilled rows: Parquet, with exactly the columns of its table, in the table's order.
#[derive(Debug)]
pub struct SpilledFile {
    path: PathBuf,
    location: Location,
    bytes: u64,
    rows: u64,
    total: Arc<AtomicU64>,
}

/// Rows that are in the log and in a spilled file, but maybe not in the table.
#[derive(Debug, Clone)]
pub(crate) struct Spilled {
    pub(crate) file: Arc<SpilledFile>,
    /// Log position of the oldest row; for charges, which the log does not hold, 0.
    pub(crate) first: LogPosition,
    /// Every row of the table up to here is in this file or before it.
    pub(crate) to: LogPosition,
    /// Names files that are uploaded already. It may have been made.
    pub(crate) commit: Option<Commit>,
    /// Of charges, the minutes in which they start: the rollup does not speak for these.
    pub(crate) minutes: Minutes,
}

impl SpillFolder {
    /// The folder of a data directory. What an earlier process left in it is removed.
    pub(crate) fn of(data_dir: &Path) -> Result<Self> {
        let path = data_dir.join("spill");
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::file("empty", &path)(error));
            }
            _ => {}
        }
        Ok(Self {
            path: std::path::absolute(&path).map_err(Error::file("resolve", &path))?,
            bytes: Arc::default(),
            _temporary: None,
        })
    }

    /// One of its own, that goes when this does.
    pub(crate) fn temporary() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("flyball-spill-").tempdir();
        let folder = folder.map_err(Error::file("create a folder in", &std::env::temp_dir()))?;
        Ok(Self {
            path: folder.path().to_owned(),
            bytes: Arc::default(),
            _temporary: Some(folder),
        })
    }

    /// Bytes of all files that are still there.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Writes rows into a new file.
    pub(crate) async fn write(
        &self,
        table: Table,
        batches: Vec<RecordBatch>,
    ) -> Result<Arc<SpilledFile>> {
        let name = format!("{}-{}.parquet", table.name(), uuid::Uuid::new_v4());
        let path = self.path.join(name);
        let location = Location::from_absolute_path(&path).map_err(|source| {
            Error::objects("name a spilled file")(object_store::Error::InvalidPath { source })
        })?;
        let mut file = SpilledFile {
            path,
            location,
            bytes: 0,
            rows: 0,
            total: Arc::clone(&self.bytes),
        };
        let folder = self.path.clone();
        tokio::task::spawn_blocking(move || {
            folder::create_private(&Local, &folder).map_err(Error::file("create", &folder))?;
            let (rows, bytes) = tables::write_local(table, &batches, &file.path)?;
            (file.rows, file.bytes) = (rows, bytes);
            file.total.fetch_add(bytes, Relaxed);
            Ok(Arc::new(file))
        })
        .await?
    }
}

impl SpilledFile {
    /// Where it lies; there as long as this value is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The same for an object store whose root is the local file system's.
    #[must_use]
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// Its size in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Rows in it.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }
}

impl Drop for SpilledFile {
    fn drop(&mut self) {
        // Also what is left of one that could not be written.
        let _ = std::fs::remove_file(&self.path);
        self.total.fetch_sub(self.bytes, Relaxed);
    }
}
