//! Where segments are kept. A trait, so that tests can make it full, slow or broken, and so that it need not be a
//! folder of files.

use std::fmt::Debug;
use std::io::{Error, ErrorKind, Read, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::{LogPosition, Segment, segment_first, segment_path};
use crate::disk::{Disk, DiskFile, Open};

/// An open segment, written at its end.
pub(crate) trait SegmentFile: Send {
    /// Writes all of it at the end.
    fn write(&mut self, bytes: &[u8]) -> Result<()>;
    /// Returns when everything written is on stable storage.
    fn sync(&mut self) -> Result<()>;
    /// Forgets everything past this length.
    fn truncate(&mut self, bytes: u64) -> Result<()>;
    /// Whether more can be written. A segment in a bucket is complete once it is synced.
    fn takes_more(&self) -> bool {
        true
    }
}

/// A place for segments.
pub(crate) trait Medium: Debug + Send + Sync {
    /// What errors call it: the folder in which [`segment_path`] finds a segment.
    fn place(&self) -> &Path;
    /// Whether its operations take time, so that they belong on threads made for waiting.
    fn waits(&self) -> bool {
        true
    }
    /// The smallest pause between two groups, where each costs money and time.
    fn group_every(&self) -> Duration {
        Duration::ZERO
    }
    /// Nobody waits any more: what cannot be written now is given up.
    fn close(&self) {}
    /// The segments there are, oldest first.
    fn segments(&self) -> Result<Vec<Segment>>;
    /// A segment's bytes, from its beginning.
    fn read(&self, first: LogPosition) -> Result<Box<dyn Read + Send>>;
    /// A new, empty segment; its name is on stable storage when this returns. When it cannot be made, nothing of
    /// it is left; should even that fail, the error is not one of a full disk.
    fn create(&self, first: LogPosition) -> Result<Box<dyn SegmentFile>>;
    /// An existing segment, to go on at its end.
    fn open(&self, first: LogPosition) -> Result<Box<dyn SegmentFile>>;
    /// Puts on stable storage what anybody ever wrote to a segment.
    fn settle(&self, first: LogPosition) -> Result<()>;
    /// Removes a segment.
    fn remove(&self, first: LogPosition) -> Result<()>;
}

/// Whether there is no room, on the disk or within its user's share: it may come back.
pub(super) fn is_full(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded
    )
}

/// Files of a folder, readable by their owner alone.
#[derive(Debug)]
pub(crate) struct Files {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    /// Makes the names in the folder durable.
    sync: fn(&dyn Disk, &Path) -> Result<()>,
}

impl Files {
    pub(crate) fn new(disk: Arc<dyn Disk>, folder: impl Into<PathBuf>) -> Self {
        Self {
            disk,
            folder: folder.into(),
            sync: |disk, folder| disk.sync_folder(folder),
        }
    }

    fn path(&self, first: LogPosition) -> PathBuf {
        segment_path(&self.folder, first)
    }

    fn sync(&self) -> Result<()> {
        (self.sync)(self.disk.as_ref(), &self.folder)
    }
}

impl Medium for Files {
    fn place(&self) -> &Path {
        &self.folder
    }

    fn waits(&self) -> bool {
        self.disk.waits()
    }

    /// Files of other names are not ours and are left alone.
    fn segments(&self) -> Result<Vec<Segment>> {
        let files = self.disk.list(&self.folder)?.into_iter();
        let mut segments: Vec<_> = files
            .filter_map(|file| {
                let (first, bytes) = (segment_first(&file.name)?, file.bytes);
                Some(Segment { first, bytes })
            })
            .collect();
        segments.sort_by_key(|segment| segment.first);
        Ok(segments)
    }

    fn read(&self, first: LogPosition) -> Result<Box<dyn Read + Send>> {
        self.disk.read(&self.path(first))
    }

    fn create(&self, first: LogPosition) -> Result<Box<dyn SegmentFile>> {
        let path = self.path(first);
        let mut file = self.disk.open(&path, Open::NewEnd)?;
        if let Err(error) = file.sync_all().and_then(|()| self.sync()) {
            // The log may go on in the segment before: a file of this name would pass for a gap, or stand in the
            // way of the next attempt.
            self.disk
                .remove(&path)
                .and_then(|()| self.sync())
                .map_err(Error::other)?;
            return Err(error);
        }
        Ok(Box::new(file))
    }

    fn open(&self, first: LogPosition) -> Result<Box<dyn SegmentFile>> {
        Ok(Box::new(self.disk.open(&self.path(first), Open::End)?))
    }

    fn settle(&self, first: LogPosition) -> Result<()> {
        self.disk.open(&self.path(first), Open::End)?.sync_all()?;
        // Killed while it began the segment, the process before us may have left a name that is not durable.
        self.sync()
    }

    fn remove(&self, first: LogPosition) -> Result<()> {
        self.disk.remove(&self.path(first))?;
        self.disk.sync_folder(&self.folder)
    }
}

impl SegmentFile for Box<dyn DiskFile> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.as_mut().write(bytes)
    }

    fn sync(&mut self) -> Result<()> {
        self.as_mut().sync_data()
    }

    fn truncate(&mut self, bytes: u64) -> Result<()> {
        self.as_mut().truncate(bytes)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::cell::Cell;

    use super::*;
    use crate::disk::Local;

    std::thread_local! {
        /// The next so many syncs of a folder find the disk full.
        static FULL: Cell<u32> = const { Cell::new(0) };
    }

    fn sync(disk: &dyn Disk, folder: &Path) -> Result<()> {
        match FULL.get() {
            0 => disk.sync_folder(folder),
            left => {
                FULL.set(left - 1);
                Err(ErrorKind::QuotaExceeded.into())
            }
        }
    }

    #[test]
    fn a_segment_that_cannot_be_begun_leaves_nothing_and_can_be_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = Files::new(Arc::new(Local), dir.path());
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
