//! The disk under the log. A trait, so that tests can make it full, slow or broken.

use std::fs::{File, OpenOptions};
use std::io::{Result, Write};
use std::path::PathBuf;

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
    /// A new, empty segment; its name is on stable storage when this returns.
    fn create(&mut self, first: LogPosition) -> Result<Box<dyn SegmentFile>>;
    /// An existing segment, to go on at its end.
    fn open(&mut self, first: LogPosition) -> Result<Box<dyn SegmentFile>>;
    /// Removes a segment.
    fn remove(&mut self, first: LogPosition) -> Result<()>;
}

/// Real files, readable by their owner alone.
#[derive(Debug)]
pub(crate) struct Files {
    folder: PathBuf,
}

impl Files {
    pub(crate) fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }
}

impl Medium for Files {
    fn create(&mut self, first: LogPosition) -> Result<Box<dyn SegmentFile>> {
        let mut options = OpenOptions::new();
        options.append(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(segment_path(&self.folder, first))?;
        file.sync_all()?;
        folder::sync(&self.folder)?;
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
