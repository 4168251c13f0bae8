//! The disk under the log. A trait, so that tests can make it full, slow or broken.

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Result, Write};
use std::path::{Path, PathBuf};

use super::{LogPosition, segment_path};
use crate::folder;

/// An open segment, written at its end.
pub(crate) trait SegmentFile: Send {
    /// Writes all of it at the end.
    fn write(&mut self, bytes: &[u8]) -> Result<()>;
    /// Returns when everything written is on stable storage.
    fn sync(&mut self) -> Result<()>;
    /// Forgets everything past this length.
    fn truncate(&mut self, bytes: u64) -> Result<()>;
}

/// A folder of segments.
pub(crate) trait Medium: Send {
    /// A new, empty segment; its name is on stable storage when this returns. When it cannot be made, nothing of
    /// it is left; should even that fail, the error is not one of a full disk.
    fn create(&mut self, first: LogPosition) -> Result<Box<dyn SegmentFile>>;
    /// An existing segment, to go on at its end.
    fn open(&mut self, first: LogPosition) -> Result<Box<dyn SegmentFile>>;
    /// Removes a segment.
    fn remove(&mut self, first: LogPosition) -> Result<()>;
}

/// Whether there is no room, on the disk or within its user's share: it may come back.
pub(super) fn is_full(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded
    )
}

/// Real files, readable by their owner alone.
#[derive(Debug)]
pub(crate) struct Files {
    folder: PathBuf,
    /// Makes the names in the folder durable.
    sync: fn(&Path) -> Result<()>,
}

impl Files {
    pub(crate) fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            sync: folder::sync,
        }
    }
}

impl Medium for Files {
    fn create(&mut self, first: LogPosition) -> Result<Box<dyn SegmentFile>> {
        let mut options = OpenOptions::new();
        options.append(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let path = segment_path(&self.folder, first);
        let file = options.open(&path)?;
        let begun = file.sync_all().and_then(|()| (self.sync)(&self.folder));
        if let Err(error) = begun {
            // The log may go on in the segment before: a file of this name would pass for a gap, or stand in the
            // way of the next attempt.
            std::fs::remove_file(&path)
                .and_then(|()| (self.sync)(&self.folder))
                .map_err(Error::other)?;
            return Err(error);
        }
        Ok(Box::new(file))
    }

    fn open(&mut self, first: LogPosition) -> Result<Box<dyn SegmentFile>> {
        Ok(Box::new(
            OpenOptions::new()
                .append(true)
                .open(segment_path(&self.folder, first))?,
        ))
    }

    fn remove(&mut self, first: LogPosition) -> Result<()> {
        std::fs::remove_file(segment_path(&self.folder, first))?;
        folder::sync(&self.folder)
    }
}

impl SegmentFile for File {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> Result<()> {
        self.sync_data()
    }

    fn truncate(&mut self, bytes: u64) -> Result<()> {
        self.set_len(bytes)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::cell::Cell;

    use super::*;

    std::thread_local! {
        /// The next so many syncs of a folder find the disk full.
        static FULL: Cell<u32> = const { Cell::new(0) };
    }

    fn sync(folder: &Path) -> Result<()> {
        match FULL.get() {
            0 => folder::sync(folder),
            left => {
                FULL.set(left - 1);
                Err(ErrorKind::QuotaExceeded.into())
            }
        }
    }

    #[test]
    fn a_segment_that_cannot_be_begun_leaves_nothing_and_can_be_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = Files::new(dir.path());
        files.sync = sync;
        FULL.set(1);
        assert!(is_full(&files.create(7).err().unwrap()));
        assert!(!segment_path(dir.path(), 7).exists());
        files.create(7).unwrap().write(b"x").unwrap();
        // It may still be there after a power failure: nobody may go on as if it were not.
        FULL.set(2);
        assert!(!is_full(&files.create(8).err().unwrap()));
        // What is there is never overwritten.
        assert!(!is_full(&files.create(7).err().unwrap()));
        assert_eq!(std::fs::read(segment_path(dir.path(), 7)).unwrap(), b"x");
    }
}
