//! The bucket as a place for the log's segments: each group of frames is a segment, complete once it is synced.

use std::io::{self, Cursor, ErrorKind, Read};
use std::path::Path as FsPath;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::Bucket;
use crate::log::{LogPosition, Medium, Segment, SegmentFile, segment_name};

/// Pause before a group is tried again; it doubles up to the longest.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// The bucket, shared by the log's writer and by who reads it.
#[derive(Debug)]
pub(crate) struct BucketMedium(pub(crate) Arc<Bucket>);

/// A segment that is being filled, or that is an object already.
struct Group {
    bucket: Arc<Bucket>,
    first: LogPosition,
    frames: Vec<u8>,
    sealed: bool,
}

impl Medium for BucketMedium {
    fn place(&self) -> &FsPath {
        &self.0.place
    }

    fn group_every(&self) -> Duration {
        self.0.group
    }

    fn close(&self) {
        self.0.close();
    }

    fn segments(&self) -> io::Result<Vec<Segment>> {
        let found = self.0.found.lock();
        let segment = |(first, bytes): &(u64, u64)| Segment {
            first: *first,
            bytes: *bytes,
        };
        Ok(found.iter().map(segment).collect())
    }

    fn read(&self, first: LogPosition) -> io::Result<Box<dyn Read + Send>> {
        let frames = self.0.frames(first).map_err(io::Error::other)?;
        Ok(Box::new(Cursor::new(frames)))
    }

    fn create(&self, first: LogPosition) -> io::Result<Box<dyn SegmentFile>> {
        Ok(Box::new(Group {
            bucket: Arc::clone(&self.0),
            first,
            frames: Vec::new(),
            sealed: false,
        }))
    }

    fn open(&self, first: LogPosition) -> io::Result<Box<dyn SegmentFile>> {
        Ok(Box::new(Group {
            bucket: Arc::clone(&self.0),
            first,
            frames: Vec::new(),
            sealed: true,
        }))
    }

    fn settle(&self, _: LogPosition) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, first: LogPosition) -> io::Result<()> {
        if self.0.claims.lock().contains(&first) {
            return Ok(());
        }
        let path = self.0.path("log", &segment_name(first));
        Ok(self.0.delete(&path)?)
    }
}

impl SegmentFile for Group {
    fn takes_more(&self) -> bool {
        !self.sealed
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.sealed {
            return Err(ErrorKind::ReadOnlyFilesystem.into());
        }
        self.frames.extend_from_slice(bytes);
        Ok(())
    }

    /// Creates the object, however long that takes. What happens to an attempt is often unknown, so the very same
    /// object is tried until it is there; only when another stands in its place it never will be.
    fn sync(&mut self) -> io::Result<()> {
        if self.sealed || self.frames.is_empty() {
            return Ok(());
        }
        let name = segment_name(self.first);
        let path = self.bucket.path("log", &name);
        let object = self
            .bucket
            .cipher
            .seal(&name, &self.frames)
            .ok_or_else(|| io::Error::other("the operating system gives no random numbers"))?;
        let mut pause = PAUSE;
        loop {
            match self.bucket.create(&path, &object) {
                Ok(()) => break,
                Err(object_store::Error::AlreadyExists { .. }) => {
                    return Err(io::Error::other(format!(
                        "{} exists and is not ours: another process writes with this node.id, and this one must stop",
                        self.bucket.place.join(&name).display()
                    )));
                }
                Err(error) if self.bucket.closing.load(Relaxed) => {
                    return Err(io::Error::other(format!(
                        "the log is closed while the bucket does not answer: {error}"
                    )));
                }
                Err(error) => {
                    let mut failing = self.bucket.failing.lock();
                    if failing.is_none() {
                        tracing::error!(%error, %path, "the bucket does not take the log; nothing is acknowledged until it does");
                    }
                    failing.get_or_insert_with(Instant::now);
                }
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(PAUSE_MAX);
        }
        if let Some(since) = self.bucket.failing.lock().take() {
            tracing::info!(after = ?since.elapsed(), "the bucket takes the log again");
        }
        self.sealed = true;
        self.frames = Vec::new();
        Ok(())
    }

    fn truncate(&mut self, bytes: u64) -> io::Result<()> {
        if self.sealed {
            return Err(ErrorKind::ReadOnlyFilesystem.into());
        }
        self.frames.truncate(bytes as usize);
        Ok(())
    }
}
