//! One frame of the log, byte by byte.
//!
//! ```text
//! offset  size  what (little-endian)
//!      0     4  n: bytes of what follows the checksum
//!      4     4  CRC-32C of those n bytes
//!      8     1  version of this layout: 1
//!      9     8  position of the frame
//!     17     8  synced: every frame up to this position was on stable storage when this one was written
//!     25     4  h: bytes of the header
//!     29     h  header
//!   29+h   ...  body: the request's bytes, as they came
//! ```
//!
//! `synced` tells damage from a torn write. Frames of one group are written before one sync, and a crash
//! may keep any part of them: a bad frame followed by good ones of its own group was never acknowledged.
//! A bad frame that a later one calls synced was, and its loss must not pass in silence.

use bytes::Bytes;

use super::LogPosition;
use super::header::Header;

/// Bytes before the checksummed part.
pub(crate) const PREFIX: usize = 8;
/// Bytes of the checksummed part before the header.
const FIXED: usize = 1 + 8 + 8 + 4;
/// Most bytes a frame's checksummed part may hold.
pub(crate) const PAYLOAD_BYTES_MAX: u64 = 1 << 30;
const VERSION: u8 = 1;

/// A frame as read from the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) position: LogPosition,
    pub(crate) synced: LogPosition,
    pub(crate) header: Header,
    pub(crate) body: Bytes,
}

/// Appends one frame's bytes.
pub(crate) fn encode(
    out: &mut Vec<u8>,
    position: LogPosition,
    synced: LogPosition,
    header: &Header,
    body: &[u8],
) {
    let start = out.len();
    out.extend_from_slice(&[0; PREFIX]);
    out.push(VERSION);
    out.extend_from_slice(&position.to_le_bytes());
    out.extend_from_slice(&synced.to_le_bytes());
    let header_len_at = out.len();
    out.extend_from_slice(&[0; 4]);
    header.encode(out);
    let header_len = (out.len() - header_len_at - 4) as u32;
    out[header_len_at..header_len_at + 4].copy_from_slice(&header_len.to_le_bytes());
    out.extend_from_slice(body);
    let payload_len = (out.len() - start - PREFIX) as u32;
    let crc = crc32c::crc32c(&out[start + PREFIX..]);
    out[start..start + 4].copy_from_slice(&payload_len.to_le_bytes());
    out[start + 4..start + PREFIX].copy_from_slice(&crc.to_le_bytes());
}

/// Upper bound of a frame's size for this header and body.
pub(crate) fn size_of(header: &Header, body: &[u8]) -> u64 {
    let key = header.key.as_ref().map_or(0, String::len);
    (PREFIX + FIXED + 64 + header.workspace.len() + key + header.rejected.len() * 4 + body.len())
        as u64
}

/// Length and checksum from the first eight bytes; None when no frame can begin so.
pub(crate) fn prefix(bytes: [u8; PREFIX]) -> Option<(usize, u32)> {
    let [a, b, c, d, e, f, g, h] = bytes;
    let len = u32::from_le_bytes([a, b, c, d]);
    let plausible = len as usize >= FIXED && u64::from(len) <= PAYLOAD_BYTES_MAX;
    plausible.then_some((len as usize, u32::from_le_bytes([e, f, g, h])))
}

/// Position and `synced` of a payload that looks like ours, without checking the sum.
pub(crate) fn peek(payload: &[u8]) -> Option<(LogPosition, LogPosition)> {
    let (version, rest) = payload.split_first()?;
    let (position, rest) = rest.split_first_chunk::<8>()?;
    let (synced, _) = rest.split_first_chunk::<8>()?;
    (*version == VERSION).then_some((u64::from_le_bytes(*position), u64::from_le_bytes(*synced)))
}

/// Reads the checksummed part; the error says what is wrong with it.
pub(crate) fn decode(payload: Bytes, crc: u32) -> Result<Frame, String> {
    let found = crc32c::crc32c(&payload);
    if found != crc {
        return Err(format!("checksum {found:08x} where {crc:08x} was written"));
    }
    let Some((position, synced)) = peek(&payload) else {
        return Err(format!(
            "frame version {} where {VERSION} is known",
            payload.first().copied().unwrap_or(0)
        ));
    };
    let header_len = match payload.get(FIXED - 4..FIXED) {
        Some(&[a, b, c, d]) => u32::from_le_bytes([a, b, c, d]) as usize,
        _ => return Err("frame too short".into()),
    };
    let header_end = FIXED.saturating_add(header_len);
    let header = payload
        .get(FIXED..header_end)
        .and_then(Header::decode)
        .ok_or_else(|| format!("header of {header_len} bytes cannot be read"))?;
    let body = payload.slice(header_end..);
    Ok(Frame {
        position,
        synced,
        header,
        body,
    })
}

/// The bytes of one frame.
pub(crate) fn bytes_of(frame: &Frame) -> Vec<u8> {
    let mut out = Vec::new();
    let Frame {
        position,
        synced,
        header,
        body,
    } = frame;
    encode(&mut out, *position, *synced, header, body);
    out
}

/// The position of the last of some frames; None when they are not all whole.
pub(crate) fn last_position(bytes: &Bytes) -> Option<LogPosition> {
    let (mut at, mut last) = (0, None);
    while at < bytes.len() {
        let head = bytes.get(at..at + PREFIX)?.try_into().ok()?;
        let (len, crc) = prefix(head)?;
        let payload = bytes.get(at + PREFIX..at + PREFIX + len)?;
        last = Some(decode(bytes.slice_ref(payload), crc).ok()?.position);
        at += PREFIX + len;
    }
    last
}

#[cfg(test)]
mod tests;
