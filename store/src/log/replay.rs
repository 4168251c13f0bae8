//! Reads the log back, frame by frame, and judges what does not read.

use std::fmt;
use std::io::{self, BufReader, Read};
use std::sync::Arc;

use bytes::Bytes;

use super::frame::{self, Frame, PREFIX};
use super::medium::Medium;
use super::{LogPosition, Segment, segment_path};
use crate::error::{Error, Result};

/// Reads a log from its first segment to its end.
///
/// A frame that does not read, at the end of the last segment, is a torn write and was never acknowledged:
/// [`Replay::finish`] cuts it off. Anywhere else it is damage, and an error.
pub(crate) struct Replay {
    medium: Arc<dyn Medium>,
    segments: Vec<Segment>,
    index: usize,
    reader: Option<BufReader<Box<dyn Read + Send>>>,
    offset: u64,
    next: LogPosition,
    torn: bool,
}

/// Where the writer goes on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tail {
    /// All segments, the last one to be written on.
    pub(crate) segments: Vec<Segment>,
    /// Position of the next frame.
    pub(crate) next: LogPosition,
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay")
            .field("medium", &self.medium)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl Replay {
    /// Begins at the oldest segment.
    ///
    /// Unless only looked at, the newest segment is synced first: what a process that was killed left in the
    /// page cache may be flushed to a table while it is replayed, and a table must never be ahead of the log.
    pub(crate) fn open(medium: Arc<dyn Medium>, read_only: bool) -> Result<Self> {
        let segments = medium
            .segments()
            .map_err(Error::file("list", medium.place()))?;
        if !read_only && let Some(last) = segments.last() {
            let path = segment_path(medium.place(), last.first);
            medium
                .settle(last.first)
                .map_err(Error::file("sync", &path))?;
        }
        let next = segments.first().map_or(1, |segment| segment.first);
        Ok(Self {
            medium,
            segments,
            index: 0,
            reader: None,
            offset: 0,
            next,
            torn: false,
        })
    }

    /// The next frame; None at the end.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Frame>> {
        while !self.torn && self.index < self.segments.len() {
            let segment = self.segments[self.index].clone();
            if self.reader.is_none() {
                self.begin(&segment)?;
            }
            match self.read(&segment)? {
                Read1::Frame(frame) => return Ok(Some(*frame)),
                Read1::End => {
                    self.reader = None;
                    self.index += 1;
                }
                Read1::Bad(reason) => self.judge(&segment, reason)?,
            }
        }
        Ok(None)
    }

    fn begin(&mut self, segment: &Segment) -> Result<()> {
        let path = segment_path(self.medium.place(), segment.first);
        if segment.first != self.next {
            return Err(Error::LogGap {
                expected: self.next,
                found: path,
            });
        }
        let bytes =
            self.medium
                .read(segment.first)
                .map_err(|error| match error.downcast::<Error>() {
                    // A medium that knows better what is wrong.
                    Ok(known) => known,
                    Err(error) => Error::file("open", &path)(error),
                })?;
        self.reader = Some(BufReader::with_capacity(1 << 20, bytes));
        self.offset = 0;
        Ok(())
    }

    fn read(&mut self, segment: &Segment) -> Result<Read1> {
        let left = segment.bytes.saturating_sub(self.offset);
        if left == 0 {
            return Ok(Read1::End);
        }
        let path = segment_path(self.medium.place(), segment.first);
        let Some(reader) = self.reader.as_mut() else {
            return Ok(Read1::End);
        };
        let mut head = [0; PREFIX];
        if left < PREFIX as u64 {
            return Ok(Read1::Bad(format!(
                "{left} bytes where a frame should begin"
            )));
        }
        reader
            .read_exact(&mut head)
            .map_err(Error::file("read", &path))?;
        let Some((len, crc)) = frame::prefix(head) else {
            return Ok(Read1::Bad("no frame begins here".into()));
        };
        if len as u64 > left - PREFIX as u64 {
            return Ok(Read1::Bad(format!(
                "a frame of {len} bytes where {} are left",
                left - PREFIX as u64
            )));
        }
        let mut payload = vec![0; len];
        reader
            .read_exact(&mut payload)
            .map_err(Error::file("read", &path))?;
        match frame::decode(Bytes::from(payload), crc) {
            Ok(frame) if frame.position == self.next => {
                self.next += 1;
                self.offset += (PREFIX + len) as u64;
                Ok(Read1::Frame(Box::new(frame)))
            }
            Ok(frame) => Ok(Read1::Bad(format!(
                "position {} where {} should be",
                frame.position, self.next
            ))),
            Err(reason) => Ok(Read1::Bad(reason)),
        }
    }

    /// Torn or damaged? Torn, if nothing proves that the bad frame had ever been synced.
    fn judge(&mut self, segment: &Segment, reason: String) -> Result<()> {
        let path = segment_path(self.medium.place(), segment.first);
        let damaged = |reason| Error::LogCorrupt {
            segment: path.clone(),
            offset: self.offset,
            reason,
        };
        if self.index + 1 < self.segments.len() {
            return Err(damaged(format!("{reason}, and a later segment follows")));
        }
        let rest = self
            .rest(segment.first)
            .map_err(Error::file("read", &path))?;
        if let Some((offset, position)) = synced_later(&rest, self.offset, self.next) {
            return Err(damaged(format!(
                "{reason}, and the frame at offset {offset} (position {position}) was written after it was synced"
            )));
        }
        tracing::warn!(
            segment = %path.display(), offset = self.offset, bytes = segment.bytes - self.offset, reason,
            "the log ends in a torn write, which was never acknowledged: it is cut off"
        );
        self.torn = true;
        Ok(())
    }

    /// What a segment holds from here on.
    fn rest(&self, first: LogPosition) -> io::Result<Bytes> {
        let mut bytes = self.medium.read(first)?;
        io::copy(&mut (&mut bytes).take(self.offset), &mut io::sink())?;
        let mut rest = Vec::new();
        bytes.read_to_end(&mut rest)?;
        Ok(Bytes::from(rest))
    }

    /// After the last frame: cuts a torn tail and tells where to go on.
    pub(crate) fn finish(mut self) -> Result<Tail> {
        if self.torn
            && let Some(last) = self.segments.last_mut()
        {
            let path = segment_path(self.medium.place(), last.first);
            let mut file = self
                .medium
                .open(last.first)
                .map_err(Error::file("open", &path))?;
            file.truncate(self.offset)
                .map_err(Error::file("cut", &path))?;
            file.sync().map_err(Error::file("sync", &path))?;
            last.bytes = self.offset;
        }
        Ok(Tail {
            segments: self.segments,
            next: self.next,
        })
    }

    /// Whether reading takes time: see [`Medium::waits`].
    pub(crate) fn waits(&self) -> bool {
        self.medium.waits()
    }

    /// Position of the frame that would come next.
    pub(crate) fn next_position(&self) -> LogPosition {
        self.next
    }

    /// The segments found.
    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }
}

enum Read1 {
    Frame(Box<Frame>),
    End,
    Bad(String),
}

/// Looks past a bad frame for a good one that was written when the bad one's position was already synced.
fn synced_later(
    bytes: &Bytes,
    bad_offset: u64,
    bad_position: LogPosition,
) -> Option<(u64, LogPosition)> {
    // A frame takes at least 29 bytes, which bounds the positions that can follow.
    let furthest = bad_position.saturating_add(bytes.len() as u64 / 29);
    for at in 1..bytes.len() {
        let Some(head) = bytes
            .get(at..at + PREFIX)
            .and_then(|head| head.try_into().ok())
        else {
            break;
        };
        let Some((len, crc)) = frame::prefix(head) else {
            continue;
        };
        let Some(payload) = bytes.get(at + PREFIX..at + PREFIX + len) else {
            continue;
        };
        let Some((position, synced)) = frame::peek(payload) else {
            continue;
        };
        if position <= bad_position
            || position > furthest
            || synced < bad_position
            || synced >= position
        {
            continue;
        }
        if frame::decode(bytes.slice_ref(payload), crc).is_ok() {
            return Some((bad_offset + at as u64, position));
        }
    }
    None
}
