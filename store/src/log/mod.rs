//! The write-ahead log: what was acknowledged stands here until every table has it.
//!
//! A folder of segment files, each named by the position of its first frame. One thread writes
//! ([`writer`], reached through its [`handle`]): it takes all requests that wait, writes their frames,
//! syncs once, and only then lets them be seen and answered. [`replay`] reads the frames back after a restart; [`medium`] is where
//! the segments are kept, behind a small trait: it need not be a folder, and tests can break it.

mod frame;
mod handle;
mod header;
mod medium;
mod replay;
mod writer;

#[cfg(test)]
mod tests;

pub use header::{Encoding, FrameKind, Header, Origin, Signal};

pub(crate) use frame::{Frame, bytes_of as frame_bytes_of, last_position};
pub(crate) use handle::{Audience, Log, Written};
pub(crate) use medium::{Files, Medium, SegmentFile};
pub(crate) use replay::Replay;

use std::path::{Path, PathBuf};

/// Position of a frame in the log: grows by one a frame, never reused; 0 means nothing.
pub type LogPosition = u64;

/// Most bytes a request may take in the log.
pub(crate) const FRAME_BYTES_MAX: u64 = frame::PAYLOAD_BYTES_MAX;

/// Bytes a request will take in the log, at most.
pub(crate) fn frame_bytes(append: &crate::append::Append) -> u64 {
    frame::size_of(&append.header, &append.body)
}

/// A segment file and the position its first frame has (or would have).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) first: LogPosition,
    pub(crate) bytes: u64,
}

/// The file name of a segment.
pub(crate) fn segment_name(first: LogPosition) -> String {
    format!("{first:020}.log")
}

/// Path of a segment.
pub(crate) fn segment_path(folder: &Path, first: LogPosition) -> PathBuf {
    folder.join(segment_name(first))
}

/// The position in a segment's file name; None when it is no segment's.
pub(crate) fn segment_first(name: &str) -> Option<LogPosition> {
    let digits = name.strip_suffix(".log")?;
    let plain = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| plain)
}
