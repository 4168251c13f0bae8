//! How far a backup, a check or a restore has come, for whoever waits.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts that only grow. Shared as `Arc<Progress>`.
#[derive(Debug, Default)]
pub struct Progress {
    files: AtomicU64,
    files_done: AtomicU64,
    files_copied: AtomicU64,
    bytes: AtomicU64,
    bytes_done: AtomicU64,
}

/// What they stand at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Figures {
    /// Files there are.
    pub files: u64,
    /// Files that are dealt with.
    pub files_done: u64,
    /// Of these, the ones that had to be copied: the others were there.
    pub files_copied: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Bytes of those that are dealt with.
    pub bytes_done: u64,
}

impl Progress {
    pub(super) fn expect(&self, bytes: u64) {
        self.files.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    pub(super) fn done(&self, bytes: u64, copied: bool) {
        self.files_done.fetch_add(1, Relaxed);
        self.files_copied.fetch_add(u64::from(copied), Relaxed);
        self.bytes_done.fetch_add(bytes, Relaxed);
    }

    /// What they stand at.
    #[must_use]
    pub fn figures(&self) -> Figures {
        Figures {
            files: self.files.load(Relaxed),
            files_done: self.files_done.load(Relaxed),
            files_copied: self.files_copied.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            bytes_done: self.bytes_done.load(Relaxed),
        }
    }
}
