//! The data directory: who owns it, and which node it is.

use std::fs::TryLockError;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{self, Disk, DiskFile, Open};
use crate::error::{Error, Result};
use crate::folder;
use crate::log::Segment;

/// A data directory that is ours as long as this lives.
#[derive(Debug)]
pub(crate) struct Directory {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    /// Closing the file gives the lock back.
    lock: Box<dyn DiskFile>,
    /// Whether the owner before us ended without closing: its name still stands in the file.
    after_crash: bool,
}

impl Directory {
    /// Makes the directory if need be and takes its lock.
    pub(crate) fn own(disk: Arc<dyn Disk>, root: &Path) -> Result<Self> {
        let log = root.join("log");
        folder::create_private(disk.as_ref(), &log).map_err(Error::file("create", &log))?;
        Self::lock(disk, root)
    }

    /// Takes the lock of a directory that exists.
    pub(crate) fn existing(disk: Arc<dyn Disk>, root: &Path) -> Result<Self> {
        if !disk.is_folder(&root.join("log")) {
            return Err(Error::NoData {
                path: root.to_owned(),
            });
        }
        Self::lock(disk, root)
    }

    fn lock(disk: Arc<dyn Disk>, root: &Path) -> Result<Self> {
        let path = root.join("lock");
        let mut file = disk
            .open(&path, Open::Shared)
            .map_err(Error::file("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = file.read().unwrap_or_default();
                let holder = String::from_utf8_lossy(&holder);
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
        let after_crash = file.bytes().map_err(Error::file("stat", &path))? > 0;
        let program = std::env::current_exe().unwrap_or_default();
        let me = format!("process {} ({})\n", std::process::id(), program.display());
        // At no moment empty: killed in between, we would leave what looks like an orderly end. The same goes for
        // the machine, so it is synced.
        file.write_at(0, me.as_bytes())
            .and_then(|()| file.truncate(me.len() as u64))
            .and_then(|()| file.sync_all())
            .and_then(|()| disk.sync_folder(root))
            .map_err(Error::file("write", &path))?;
        Ok(Self {
            disk,
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
    pub(crate) fn give_back(mut self, orderly: bool, only_read: bool) {
        if orderly && !(only_read && self.after_crash) {
            // Should it fail, the next start takes this for a crash, which costs it a little time.
            let _ = self.lock.truncate(0);
        }
    }

    /// The disk it is on.
    pub(crate) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
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
        match disk::read_text(self.disk.as_ref(), &path) {
            Ok(id) if !id.trim().is_empty() => return Ok(id.trim().to_owned()),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::file("read", &path)(error)),
        }
        let id = uuid::Uuid::new_v4().to_string();
        // Complete before it has its name: half an id would be another node after the next start.
        let staged = self.root.join("node_id.new");
        let private = false;
        disk::write_whole(self.disk.as_ref(), &staged, &path, id.as_bytes(), private)
            .map_err(Error::file("write", &path))?;
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
    use crate::disk::Local;

    fn own(root: &Path) -> Result<Directory> {
        Directory::own(Arc::new(Local), root)
    }

    fn existing(root: &Path) -> Result<Directory> {
        Directory::existing(Arc::new(Local), root)
    }

    #[test]
    fn one_owner_at_a_time_and_the_error_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let owner = own(dir.path()).unwrap();
        let error = own(dir.path()).unwrap_err().to_string();
        assert!(
            error.contains(&format!("process {} (", std::process::id())),
            "{error}"
        );
        assert!(
            error.contains(&dir.path().join("lock").display().to_string()),
            "{error}"
        );
        drop(owner);
        let next = own(dir.path()).unwrap();
        assert!(next.after_crash(), "the first ended without giving it back");
        next.give_back(true, false);
        assert!(!own(dir.path()).unwrap().after_crash());
    }

    #[test]
    fn who_only_reads_leaves_a_crash_to_the_next_owner() {
        let dir = tempfile::tempdir().unwrap();
        drop(own(dir.path()).unwrap());
        for _ in 0..2 {
            let reader = existing(dir.path()).unwrap();
            assert!(reader.after_crash());
            reader.give_back(true, true);
        }
        let owner = own(dir.path()).unwrap();
        assert!(owner.after_crash());
        owner.give_back(true, false);
        // Nor does it make a crash of an orderly end.
        existing(dir.path()).unwrap().give_back(true, true);
        assert!(!own(dir.path()).unwrap().after_crash());
    }

    #[test]
    fn the_lock_holds_the_owners_name_and_nothing_of_a_longer_one() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("lock"), "x".repeat(10_000)).unwrap();
        let owner = own(dir.path()).unwrap();
        assert!(owner.after_crash());
        let name = std::fs::read_to_string(dir.path().join("lock")).unwrap();
        assert!(name.starts_with("process ") && name.ends_with(")\n"));
    }

    #[test]
    fn a_node_keeps_its_id_and_reading_makes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(existing(dir.path()), Err(Error::NoData { .. })));
        let owner = own(dir.path()).unwrap();
        assert_eq!(owner.node_id().unwrap(), owner.node_id().unwrap());
        assert_eq!(owner.node_id().unwrap().len(), 36);
    }
}
