//! A disk for tests.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::log::medium::{Medium, SegmentFile};
use crate::log::{LogPosition, Segment};

/// A disk in memory that knows what was synced, and can fail from some operation on.
#[derive(Debug, Default, Clone)]
pub(super) struct Disk(pub(super) Arc<Mutex<Memory>>);

#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) files: BTreeMap<LogPosition, (Vec<u8>, usize)>,
    pub(super) operations: usize,
    pub(super) fail_at: Option<(usize, Failure)>,
    pub(super) sync_takes: std::time::Duration,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Failure {
    /// Everything fails from there on.
    Dead,
    /// This write stops half way since the disk is full, the next succeeds.
    Full,
    /// The same, since its user's share of the disk is used up.
    Quota,
}

impl Memory {
    fn operate(&mut self) -> Option<Failure> {
        self.operations += 1;
        let (at, failure) = self.fail_at?;
        let hit = if failure == Failure::Dead {
            self.operations >= at
        } else {
            self.operations == at
        };
        hit.then_some(failure)
    }
}

struct DiskFile(Disk, LogPosition);

impl Medium for Disk {
    fn place(&self) -> &Path {
        Path::new("memory")
    }
    fn segments(&self) -> io::Result<Vec<Segment>> {
        let segment = |(first, (bytes, _)): (&LogPosition, &(Vec<u8>, usize))| Segment {
            first: *first,
            bytes: bytes.len() as u64,
        };
        Ok(self.0.lock().files.iter().map(segment).collect())
    }
    fn read(&self, first: LogPosition) -> io::Result<Box<dyn io::Read + Send>> {
        let (bytes, _) = self.0.lock().files[&first].clone();
        Ok(Box::new(io::Cursor::new(bytes)))
    }
    fn settle(&self, _: LogPosition) -> io::Result<()> {
        Ok(())
    }
    fn create(&self, first: LogPosition) -> io::Result<Box<dyn SegmentFile>> {
        let mut memory = self.0.lock();
        match memory.operate() {
            None => {}
            Some(Failure::Dead) => return Err(io::Error::other("dead")),
            Some(_) => return Err(io::ErrorKind::StorageFull.into()),
        }
        memory.files.insert(first, (Vec::new(), 0));
        Ok(Box::new(DiskFile(self.clone(), first)))
    }
    fn open(&self, first: LogPosition) -> io::Result<Box<dyn SegmentFile>> {
        Ok(Box::new(DiskFile(self.clone(), first)))
    }
    fn remove(&self, first: LogPosition) -> io::Result<()> {
        self.0.lock().files.remove(&first);
        Ok(())
    }
}

impl SegmentFile for DiskFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut memory = self.0.0.lock();
        let failure = memory.operate();
        let (file, _) = memory.files.get_mut(&self.1).unwrap();
        match failure {
            None => file.extend(bytes),
            Some(_) => file.extend(&bytes[..bytes.len() / 2]),
        }
        match failure {
            None => Ok(()),
            Some(Failure::Full) => Err(io::ErrorKind::StorageFull.into()),
            Some(Failure::Quota) => Err(io::ErrorKind::QuotaExceeded.into()),
            Some(Failure::Dead) => Err(io::Error::other("dead")),
        }
    }
    fn sync(&mut self) -> io::Result<()> {
        let pause = self.0.0.lock().sync_takes;
        std::thread::sleep(pause);
        let mut memory = self.0.0.lock();
        if memory.operate().is_some() {
            return Err(io::Error::other("dead"));
        }
        let (file, synced) = memory.files.get_mut(&self.1).unwrap();
        *synced = file.len();
        Ok(())
    }
    fn truncate(&mut self, bytes: u64) -> io::Result<()> {
        let mut memory = self.0.0.lock();
        memory
            .files
            .get_mut(&self.1)
            .unwrap()
            .0
            .truncate(bytes as usize);
        Ok(())
    }
}
