//! What must be remembered of a log that is cut: which requests were in it. Small chunks, one for each cut, and
//! merged before they become many; a chunk's name says how far the log may have been cut.

use super::{Bucket, failed};
use crate::dedupe::{Dedupe, Remembered};
use crate::error::{Error, Result};
use crate::log::LogPosition;

/// With so many chunks the smaller ones become one.
const CHUNKS_MAX: usize = 64;
/// A chunk of so many bytes is left as it is.
const LARGE: u64 = 4 << 20;

/// A chunk in the bucket.
#[derive(Debug, Clone)]
pub(super) struct Chunk {
    pub(super) name: String,
    pub(super) to: LogPosition,
    pub(super) bytes: u64,
}

/// How far the log may have been cut, by a chunk's name.
pub(super) fn cut_of(name: &str) -> Option<LogPosition> {
    let (digits, _) = name.split_once('-')?;
    (digits.len() == 20).then(|| digits.parse().ok())?
}

impl Bucket {
    /// Remembers the requests up to a position, so that the log may be cut there. Waits.
    pub(crate) fn save_digests(&self, dedupe: &Dedupe, to: LogPosition) -> Result<()> {
        let entries = dedupe.unsaved(to);
        self.remember(dedupe, to, &entries)?;
        dedupe.saved(to, &entries);
        Ok(())
    }

    /// Writes one chunk more, and merges when there are many.
    pub(super) fn remember(
        &self,
        dedupe: &Dedupe,
        to: LogPosition,
        entries: &[Remembered],
    ) -> Result<()> {
        let written = self.write_digests(to, entries)?;
        let many = {
            let mut chunks = self.chunks.lock();
            chunks.push(written);
            chunks.len() > CHUNKS_MAX
        };
        if many && let Err(error) = self.merge_digests(dedupe) {
            tracing::warn!(%error, "the digests of the log cannot be merged now; the next cut tries again");
        }
        Ok(())
    }

    fn merge_digests(&self, dedupe: &Dedupe) -> Result<()> {
        let small: Vec<_> = {
            let chunks = self.chunks.lock();
            let small = chunks.iter().filter(|chunk| chunk.bytes < LARGE);
            small.cloned().collect()
        };
        let Some(to) = small.iter().map(|chunk| chunk.to).max() else {
            return Ok(());
        };
        let mut entries = Vec::new();
        for chunk in &small {
            entries.extend(self.read_digests(&chunk.name)?);
        }
        entries.retain(|entry| dedupe.is_needed(entry));
        let merged = self.write_digests(to, &entries)?;
        let mut chunks = self.chunks.lock();
        chunks.retain(|chunk| small.iter().all(|small| small.name != chunk.name));
        chunks.push(merged);
        drop(chunks);
        for chunk in small {
            self.delete(&self.path("digests", &chunk.name))
                .map_err(failed("remove merged digests"))?;
        }
        Ok(())
    }

    fn write_digests(&self, to: LogPosition, entries: &[Remembered]) -> Result<Chunk> {
        let name = format!("{to:020}-{}", uuid::Uuid::new_v4().simple());
        let mut text = Vec::with_capacity(entries.len() * 72);
        for entry in entries {
            encode(entry, &mut text);
        }
        let object = self
            .cipher
            .seal(&name, &text)
            .ok_or_else(|| Error::LogUnusable {
                reason: "the operating system gives no random numbers".into(),
            })?;
        self.create(&self.path("digests", &name), &object)
            .map_err(failed("remember requests before the log is cut"))?;
        let bytes = object.len() as u64;
        Ok(Chunk { name, to, bytes })
    }

    pub(super) fn read_digests(&self, name: &str) -> Result<Vec<Remembered>> {
        let damaged = |reason: String| Error::LogCorrupt {
            segment: self.place.with_file_name("digests").join(name),
            offset: 0,
            reason,
        };
        let object = self
            .get(&self.path("digests", name))
            .map_err(failed("read digests"))?;
        let text = self.cipher.open(name, &object).map_err(damaged)?;
        let mut rest = text.as_slice();
        let mut entries = Vec::new();
        while !rest.is_empty() {
            let entry = decode(&mut rest);
            entries.push(entry.ok_or_else(|| damaged("it holds no whole digests".into()))?);
        }
        Ok(entries)
    }
}

/// Workspace (length in one byte), digest, position, time of receipt, whether it is remembered for ever; all
/// numbers little-endian.
fn encode(entry: &Remembered, out: &mut Vec<u8>) {
    // A workspace's name has 64 characters at most.
    out.push(entry.workspace.len() as u8);
    out.extend_from_slice(entry.workspace.as_bytes());
    out.extend_from_slice(&entry.digest);
    out.extend_from_slice(&entry.position.to_le_bytes());
    out.extend_from_slice(&entry.received_at.to_le_bytes());
    out.push(entry.for_ever.into());
}

fn decode(rest: &mut &[u8]) -> Option<Remembered> {
    let (&[length], tail) = rest.split_first_chunk::<1>()?;
    let (workspace, tail) = tail.split_at_checked(length.into())?;
    let (digest, tail) = tail.split_first_chunk::<32>()?;
    let (position, tail) = tail.split_first_chunk::<8>()?;
    let (received_at, tail) = tail.split_first_chunk::<8>()?;
    let (&[for_ever], tail) = tail.split_first_chunk::<1>()?;
    *rest = tail;
    Some(Remembered {
        workspace: std::str::from_utf8(workspace).ok()?.into(),
        digest: *digest,
        position: u64::from_le_bytes(*position),
        received_at: i64::from_le_bytes(*received_at),
        for_ever: for_ever != 0,
    })
}
