//! The simulated disk as the store sees it.

use std::fs::TryLockError;
use std::io::{ErrorKind, Read, Result, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use rusqlite::Connection;
use turmoil::fs::shim::std::fs;

use super::dice::Dice;
use super::power::{BLOCK, SimDisk};
use crate::disk::{Disk, DiskFile, Entry, Open};

impl Disk for SimDisk {
    fn waits(&self) -> bool {
        false
    }

    fn open(&self, path: &Path, how: Open) -> Result<Box<dyn DiskFile>> {
        let mut options = fs::OpenOptions::new();
        match how {
            Open::End => options.read(true).append(true),
            Open::NewEnd => options.append(true).create_new(true),
            Open::New { .. } => options.write(true).create_new(true),
            Open::Shared => options.read(true).write(true).create(true),
        };
        let open = || options.open(path);
        let file = match how {
            Open::End => {
                self.look()?;
                self.on(open)?
            }
            _ => self.change_whole("create", path, open)?,
        };
        Ok(Box::new(SimFile {
            disk: self.clone(),
            path: path.to_owned(),
            file: Some(file),
        }))
    }

    fn read(&self, path: &Path) -> Result<Box<dyn Read + Send>> {
        Ok(Box::new(std::io::Cursor::new(self.contents(path)?)))
    }

    fn list(&self, folder: &Path) -> Result<Vec<Entry>> {
        let entries = self.entries(folder)?.into_iter();
        let files = entries.filter(|(_, is_folder, _)| !is_folder);
        Ok(files
            .map(|(name, _, bytes)| Entry { name, bytes })
            .collect())
    }

    fn is_folder(&self, path: &Path) -> bool {
        self.on(|| fs::metadata(path))
            .is_ok_and(|metadata| metadata.is_dir())
    }

    fn make_folder(&self, folder: &Path, _: bool) -> Result<()> {
        self.change_whole("make", folder, || fs::create_dir(folder))
    }

    fn sync_folder(&self, folder: &Path) -> Result<()> {
        self.change_whole("sync folder", folder, || fs::sync_dir(folder))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.change_whole("rename", to, || fs::rename(from, to))
    }

    /// By renaming: turmoil does not list a second name before its folder is synced. The first name is removed next
    /// in any case.
    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        self.change_whole("link", to, || match fs::exists(to) {
            true => Err(ErrorKind::AlreadyExists.into()),
            false => fs::rename(from, to),
        })
    }

    fn remove(&self, path: &Path) -> Result<()> {
        self.change_whole("remove", path, || fs::remove_file(path))
    }

    /// SQLite wants a disk of its own. This one keeps exactly what `synchronous = FULL` promises: a transaction that
    /// was committed is there after the power failure, and of any other nothing is.
    fn database(&self, _: &Path) -> rusqlite::Result<Connection> {
        self.connect()
    }
}

/// An open file.
#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    path: PathBuf,
    /// None once it is closed.
    file: Option<fs::File>,
}

impl SimFile {
    fn file(&self) -> &fs::File {
        self.file.as_ref().unwrap()
    }

    fn put(&mut self, bytes: &[u8], at: Option<u64>) -> Result<()> {
        let Self { disk, path, file } = self;
        let file = Mutex::new(file.as_mut().unwrap());
        let put = |bytes: &[u8]| {
            let mut file = file.lock();
            if let Some(at) = at {
                file.seek(SeekFrom::Start(at))?;
            }
            file.write_all(bytes)
        };
        let whole = || {
            let written = put(bytes);
            if written.is_err() {
                // As much as there is room for.
                let _ = put(&bytes[..bytes.len().min(BLOCK as usize / 4)]);
            }
            written
        };
        let half = |dice: &mut Dice| {
            let _ = put(&bytes[..dice.roll(bytes.len() as u64 + 1) as usize]);
        };
        disk.change("write", path, bytes.len(), whole, half)
    }
}

impl DiskFile for SimFile {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.put(bytes, None)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.put(bytes, Some(offset))
    }

    fn read(&mut self) -> Result<Vec<u8>> {
        self.disk.contents(&self.path)
    }

    fn bytes(&self) -> Result<u64> {
        self.disk.look()?;
        self.disk.on(|| Ok(self.file().metadata()?.len()))
    }

    fn truncate(&mut self, bytes: u64) -> Result<()> {
        self.disk
            .change_whole("truncate", &self.path, || self.file().set_len(bytes))
    }

    fn sync_data(&mut self) -> Result<()> {
        if self.disk.lies() {
            return Ok(());
        }
        self.disk
            .change_whole("sync", &self.path, || self.file().sync_data())
    }

    fn sync_all(&mut self) -> Result<()> {
        self.disk
            .change_whole("sync", &self.path, || self.file().sync_all())
    }

    /// There is one process at a time, and a lock dies with its process.
    fn try_lock(&self) -> std::result::Result<(), TryLockError> {
        Ok(())
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let file = self.file.take();
        let _ = self.disk.on(|| {
            drop(file);
            Ok(())
        });
    }
}
