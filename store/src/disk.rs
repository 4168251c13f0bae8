//! The local disk, as far as the store needs one. A trait, so that a simulated disk can take its place: one that
//! crashes, tears writes, fails and fills up.
//!
//! Everything an acknowledgement rests on is reached through a [`Disk`]: the lock, the node's id, the signing key,
//! `state.db`, the log's segments and the tables of a local folder. (What only reads a table's objects goes through
//! the object store's own local reader, and `subjects.db` is left to SQLite.)

use std::fmt::Debug;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Result, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Open {
    /// It exists, and is written at its end.
    End,
    /// It must not exist yet; it is written at its end, and is its owner's alone.
    NewEnd,
    /// It must not exist yet; it is written anywhere.
    New {
        /// Its owner's alone.
        private: bool,
    },
    /// Read and written anywhere, made when missing.
    Shared,
}

/// An entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) bytes: u64,
}

/// An open file.
pub(crate) trait DiskFile: Debug + Send + Sync {
    /// Writes all of it, at the end or after what was written last.
    fn write(&mut self, bytes: &[u8]) -> Result<()>;
    /// Writes all of it at an offset. Not for files that are written at their end.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()>;
    /// All it holds.
    fn read(&mut self) -> Result<Vec<u8>>;
    /// Bytes it holds.
    fn bytes(&self) -> Result<u64>;
    /// Forgets everything past this length.
    fn truncate(&mut self, bytes: u64) -> Result<()>;
    /// Returns when what was written can be read back after a power failure.
    fn sync_data(&mut self) -> Result<()>;
    /// The same, with all that is known about the file.
    fn sync_all(&mut self) -> Result<()>;
    /// Locks it against others, until it is closed.
    fn try_lock(&self) -> std::result::Result<(), TryLockError>;
}

/// A disk. Names are durable only once their folder is synced.
pub(crate) trait Disk: Debug + Send + Sync + 'static {
    /// Whether its operations take time, so that they belong on threads made for waiting. A simulated disk's do
    /// not: on it the whole store runs on one thread, in an order that a seed decides.
    fn waits(&self) -> bool {
        true
    }
    /// Opens a file.
    fn open(&self, path: &Path, how: Open) -> Result<Box<dyn DiskFile>>;
    /// A file from its beginning.
    fn read(&self, path: &Path) -> Result<Box<dyn Read + Send>>;
    /// The files of a folder whose names are text, in any order.
    fn list(&self, folder: &Path) -> Result<Vec<Entry>>;
    /// Whether it is a folder.
    fn is_folder(&self, path: &Path) -> bool;
    /// Makes one folder; the one above it exists.
    fn make_folder(&self, folder: &Path, private: bool) -> Result<()>;
    /// Makes the names in a folder durable.
    fn sync_folder(&self, folder: &Path) -> Result<()>;
    /// Gives a file another name, in place of the file that has it.
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;
    /// Gives a file a second name, unless a file has it.
    fn link(&self, from: &Path, to: &Path) -> Result<()>;
    /// Removes a name.
    fn remove(&self, path: &Path) -> Result<()>;
    /// Opens an SQLite file, made when missing.
    fn database(&self, path: &Path) -> rusqlite::Result<Connection>;
}

/// Work on a disk, on a thread made for waiting if the disk waits.
pub(crate) async fn work_on<T: Send + 'static>(
    disk: &Arc<dyn Disk>,
    work: impl FnOnce(&dyn Disk) -> crate::Result<T> + Send + 'static,
) -> crate::Result<T> {
    if !disk.waits() {
        return work(disk.as_ref());
    }
    let disk = Arc::clone(disk);
    tokio::task::spawn_blocking(move || work(disk.as_ref())).await?
}

/// A whole file of text.
pub(crate) fn read_text(disk: &dyn Disk, path: &Path) -> Result<String> {
    let mut text = String::new();
    disk.read(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// Writes a small file that is complete before it has its name, and durable when this returns.
pub(crate) fn write_whole(
    disk: &dyn Disk,
    staged: &Path,
    path: &Path,
    bytes: &[u8],
    private: bool,
) -> Result<()> {
    // A leftover of a crash may have been made by somebody else, with other permissions. That it is gone has to be
    // known before the name is used again: a disk may carry out what was not synced in another order.
    if disk.remove(staged).is_ok()
        && let Some(folder) = staged.parent()
    {
        disk.sync_folder(folder)?;
    }
    let mut file = disk.open(staged, Open::New { private })?;
    file.write(bytes)?;
    file.sync_all()?;
    disk.rename(staged, path)?;
    path.parent()
        .map_or(Ok(()), |folder| disk.sync_folder(folder))
}

/// The machine's own disk.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Local;

impl Disk for Local {
    fn open(&self, path: &Path, how: Open) -> Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        match how {
            Open::End => options.append(true),
            Open::NewEnd => options.append(true).create_new(true),
            Open::New { .. } => options.write(true).create_new(true),
            Open::Shared => options.read(true).write(true).create(true).truncate(false),
        };
        #[cfg(unix)]
        if matches!(how, Open::NewEnd | Open::New { private: true }) {
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        }
        Ok(Box::new(options.open(path)?))
    }

    fn read(&self, path: &Path) -> Result<Box<dyn Read + Send>> {
        Ok(Box::new(File::open(path)?))
    }

    fn list(&self, folder: &Path) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if let (Ok(name), false) = (entry.file_name().into_string(), metadata.is_dir()) {
                let bytes = metadata.len();
                entries.push(Entry { name, bytes });
            }
        }
        Ok(entries)
    }

    fn is_folder(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn make_folder(&self, folder: &Path, private: bool) -> Result<()> {
        let mut builder = DirBuilder::new();
        #[cfg(unix)]
        if private {
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        }
        builder.create(folder)
    }

    fn sync_folder(&self, folder: &Path) -> Result<()> {
        File::open(folder)?.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        std::fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        std::fs::hard_link(from, to)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        std::fs::remove_file(path)
    }

    fn database(&self, path: &Path) -> rusqlite::Result<Connection> {
        Connection::open(path)
    }
}

impl DiskFile for File {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.write_all(bytes)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.seek(SeekFrom::Start(offset))?;
        self.write_all(bytes)
    }

    fn read(&mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.seek(SeekFrom::Start(0))?;
        self.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn bytes(&self) -> Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn truncate(&mut self, bytes: u64) -> Result<()> {
        self.set_len(bytes)
    }

    fn sync_data(&mut self) -> Result<()> {
        Self::sync_data(self)
    }

    fn sync_all(&mut self) -> Result<()> {
        Self::sync_all(self)
    }

    fn try_lock(&self) -> std::result::Result<(), TryLockError> {
        Self::try_lock(self)
    }
}
