//! Content encodings, undone without ever writing more than the limit.

use std::io::{self, Read};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;

use crate::error::{Error, Result};

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

/// The largest window a zstd frame may ask for, as a power of two: the 8 MiB that RFC 8878 asks every
/// decoder to support. The library's own default would let a frame of a few bytes claim 128 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

impl Compression {
    /// Reads a `content-encoding` (HTTP) or `grpc-encoding` header.
    ///
    /// # Errors
    /// [`Error::UnsupportedContentEncoding`] for anything but gzip, zstd and identity.
    pub fn of_header(value: Option<&str>) -> Result<Self> {
        let given = value.unwrap_or_default();
        match given.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            _ => Err(Error::UnsupportedContentEncoding {
                given: given.to_owned(),
            }),
        }
    }

    /// Recognises a compressed file by its first bytes. No OTLP body starts like this: the first byte
    /// of protobuf is a tag of field 1, of JSON a brace.
    #[must_use]
    pub fn sniff(body: &[u8]) -> Self {
        match body {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::Identity,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// The body as it was before its compression; at most `limit` bytes.
///
/// # Errors
/// [`Error::BadCompression`] when it is not what the encoding says or cut short, [`Error::TooLarge`]
/// when more than `limit` bytes come out (no more than that are ever held).
pub fn decompress(body: Bytes, compression: Compression, limit: usize) -> Result<Bytes> {
    let bad = |e: io::Error| Error::BadCompression {
        encoding: compression.name(),
        reason: e.to_string(),
    };
    let out = match compression {
        Compression::Identity => body,
        Compression::Gzip => {
            read(MultiGzDecoder::new(body.as_ref()), body.len(), limit).map_err(bad)?
        }
        Compression::Zstd => {
            let mut decoder =
                zstd::stream::read::Decoder::with_buffer(body.as_ref()).map_err(bad)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(bad)?;
            read(decoder, body.len(), limit).map_err(bad)?
        }
    };
    if out.len() > limit {
        return Err(Error::TooLarge {
            what: "the decompressed request body",
            limit,
        });
    }
    Ok(out)
}

/// Reads to the end, or to one byte past the limit.
fn read(decoder: impl Read, compressed: usize, limit: usize) -> io::Result<Bytes> {
    let most = limit.saturating_add(1);
    // Telemetry shrinks to about a fifth; a wrong guess costs a copy, not correctness.
    let mut out = Vec::with_capacity(compressed.saturating_mul(5).min(most));
    decoder.take(most as u64).read_to_end(&mut out)?;
    Ok(Bytes::from(out))
}
