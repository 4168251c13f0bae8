//! The data directory: who owns it, and which node it is.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::folder;
use crate::log::Segment;

/// A data directory that is ours as long as this lives.
#[derive(Debug)]
pub(crate) struct Directory {
    root: PathBuf,
    /// Closing the file gives the lock back.
    lock: File,
    /// Whether the owner before us ended without closing: its name still stands in the file.
    after_crash: bool,
}

impl Directory {
    /// Makes the directory if need be and takes its lock.
    pub(crate) fn own(root: &Path) -> Result<Self> {
        let log = root.join("log");
        folder::create_private(&log).map_err(Error::file("create", &log))?;
        Self::lock(root)
    }

    /// Takes the lock of a directory that exists.
    pub(crate) fn existing(root: &Path) -> Result<Self> {
        if !root.join("log").is_dir() {
            return Err(Error::NoData {
                path: root.to_owned(),
            });
        }
        Self::lock(root)
    }

    fn lock(root: &Path) -> Result<Self> {
        let path = root.join("lock");
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(Error::file("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                let holder = holder.trim();
                let holder = if holder.is_empty() {
                    "another process"
                } else {
                    holder
                };
                return Err(Error::Locked {
                    path,
                    holder: holder.to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(Error::file("lock", &path)(source)),
        }
        let after_crash = file.metadata().map_err(Error::file("stat", &path))?.len() > 0;
        let program = std::env::current_exe().unwrap_or_default();
        let me = format!("process {} ({})\n", std::process::id(), program.display());
        // At no moment empty: killed in between, we would leave what looks like an orderly end.
        file.seek(SeekFrom::Start(0))
            .and_then(|_| file.write_all(me.as_bytes()))
            .and_then(|()| file.set_len(me.len() as u64))
            .map_err(Error::file("write", &path))?;
        Ok(Self {
            root: root.to_owned(),
            lock: file,
            after_crash,
        })
    }

    /// Whether the owner before us ended without closing, so that a write of its may still be on its way.
    pub(crate) fn after_crash(&self) -> bool {
        self.after_crash
    }

    /// Gives the lock back. After an orderly end nobody's name stands in it, unless the owner before us crashed
    /// and we only read: what that one left on its way is for the next owner to shut out.
    pub(crate) fn give_back(self, orderly: bool, only_read: bool) {
        if orderly && !(only_read && self.after_crash) {
            // Should it fail, the next start takes this for a crash, which costs it a little time.
            let _ = self.lock.set_len(0);
        }
    }

    /// The folder of the log.
    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// The SQLite file.
    pub(crate) fn state_db(&self) -> PathBuf {
        self.root.join("state.db")
    }

    /// This node's id, made on the first start. It names our transactions in the tables.
    pub(crate) fn node_id(&self) -> Result<String> {
        let path = self.root.join("node_id");
        match std::fs::read_to_string(&path) {
            Ok(id) if !id.trim().is_empty() => return Ok(id.trim().to_owned()),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::file("read", &path)(error)),
        }
        let id = uuid::Uuid::new_v4().to_string();
        // Complete before it has its name: half an id would be another node after the next start.
        let staged = self.root.join("node_id.new");
        let written = File::create(&staged)
            .and_then(|mut file| file.write_all(id.as_bytes()).and_then(|()| file.sync_all()))
            .and_then(|()| std::fs::rename(&staged, &path))
            .and_then(|()| File::open(&self.root)?.sync_all());
        written.map_err(Error::file("write", &path))?;
        Ok(id)
    }
}

/// Whether a log holds no frame at all.
pub(crate) fn is_empty(segments: &[Segment]) -> bool {
    segments.iter().all(|segment| segment.bytes == 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn one_owner_at_a_time_and_the_error_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let owner = Directory::own(dir.path()).unwrap();
        let error = Directory::own(dir.path()).unwrap_err().to_string();
        assert!(
            error.contains(&format!("process {} (", std::process::id())),
            "{error}"
        );
        assert!(
            error.contains(&dir.path().join("lock").display().to_string()),
            "{error}"
        );
        drop(owner);
        let next = Directory::own(dir.path()).unwrap();
        assert!(next.after_crash(), "the first ended without giving it back");
        next.give_back(true, false);
        assert!(!Directory::own(dir.path()).unwrap().after_crash());
    }

    #[test]
    fn who_only_reads_leaves_a_crash_to_the_next_owner() {
        let dir = tempfile::tempdir().unwrap();
        drop(Directory::own(dir.path()).unwrap());
        for _ in 0..2 {
            let reader = Directory::existing(dir.path()).unwrap();
            assert!(reader.after_crash());
            reader.give_back(true, true);
        }
        let owner = Directory::own(dir.path()).unwrap();
        assert!(owner.after_crash());
        owner.give_back(true, false);
        // Nor does it make a crash of an orderly end.
        Directory::existing(dir.path())
            .unwrap()
            .give_back(true, true);
        assert!(!Directory::own(dir.path()).unwrap().after_crash());
    }

    #[test]
    fn the_lock_holds_the_owners_name_and_nothing_of_a_longer_one() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("lock"), "x".repeat(10_000)).unwrap();
        let owner = Directory::own(dir.path()).unwrap();
        assert!(owner.after_crash());
        let name = std::fs::read_to_string(dir.path().join("lock")).unwrap();
        assert!(name.starts_with("process ") && name.ends_with(")\n"));
    }

    #[test]
    fn a_node_keeps_its_id_and_reading_makes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(
            Directory::existing(dir.path()),
            Err(Error::NoData { .. })
        ));
        let owner = Directory::own(dir.path()).unwrap();
        assert_eq!(owner.node_id().unwrap(), owner.node_id().unwrap());
        assert_eq!(owner.node_id().unwrap().len(), 36);
    }
}
