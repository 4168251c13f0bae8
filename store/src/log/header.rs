//! The header of a frame: what must be known of a request besides its bytes, so that it can be replayed.

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// A request in OTLP.
    Otlp,
    /// An event of ours ([`OwnEvent`](crate::OwnEvent)) as JSON.
    Own,
    /// From here on another process writes this log. Holds no rows.
    Claim,
}

/// OTLP signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Log records.
    Logs,
    /// Metrics.
    Metrics,
}

/// How the body is encoded (always decompressed).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Protocol buffers.
    Protobuf,
    /// JSON.
    Json,
}

/// How it came. Only what is `Live` may ever cause an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Over the wire, as it happens.
    Live,
    /// From recorded files.
    Import,
    /// Told again.
    Replay,
}

/// Header of a log frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// What the body is.
    pub kind: FrameKind,
    /// How it came.
    pub origin: Origin,
    /// When it came, nanoseconds since 1970.
    pub received_at_unix_nano: i64,
    /// Whose it is.
    pub workspace: String,
    /// Id of the API key, if any.
    pub key: Option<String>,
    /// Which OTLP signal.
    pub signal: Signal,
    /// How the body is encoded.
    pub encoding: Encoding,
    /// Indexes (in order of the body) of spans that were refused as partial success.
    pub rejected: Vec<u32>,
    /// SHA-256 of the request body: recognises a retry (live: one hour; imports: for ever).
    pub digest: [u8; 32],
}

impl Header {
    /// Appends the header's bytes: four one-byte codes, the time, the digest, then what varies in length.
    /// All numbers are little-endian.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(match self.kind {
            FrameKind::Otlp => 0,
            FrameKind::Own => 1,
            FrameKind::Claim => 2,
        });
        out.push(match self.origin {
            Origin::Live => 0,
            Origin::Import => 1,
            Origin::Replay => 2,
        });
        out.push(match self.signal {
            Signal::Traces => 0,
            Signal::Logs => 1,
            Signal::Metrics => 2,
        });
        out.push(match self.encoding {
            Encoding::Protobuf => 0,
            Encoding::Json => 1,
        });
        out.extend_from_slice(&self.received_at_unix_nano.to_le_bytes());
        out.extend_from_slice(&self.digest);
        text(out, &self.workspace);
        match &self.key {
            None => out.push(0),
            Some(key) => {
                out.push(1);
                text(out, key);
            }
        }
        out.extend_from_slice(&(self.rejected.len() as u32).to_le_bytes());
        for index in &self.rejected {
            out.extend_from_slice(&index.to_le_bytes());
        }
    }

    /// Reads it back; None when the bytes are not exactly one header.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = Rest(bytes);
        let kind = match rest.byte()? {
            0 => FrameKind::Otlp,
            1 => FrameKind::Own,
            2 => FrameKind::Claim,
            _ => return None,
        };
        let origin = match rest.byte()? {
            0 => Origin::Live,
            1 => Origin::Import,
            2 => Origin::Replay,
            _ => return None,
        };
        let signal = match rest.byte()? {
            0 => Signal::Traces,
            1 => Signal::Logs,
            2 => Signal::Metrics,
            _ => return None,
        };
        let encoding = match rest.byte()? {
            0 => Encoding::Protobuf,
            1 => Encoding::Json,
            _ => return None,
        };
        let received_at_unix_nano = i64::from_le_bytes(rest.array()?);
        let digest = rest.array()?;
        let workspace = rest.text()?;
        let key = match rest.byte()? {
            0 => None,
            1 => Some(rest.text()?),
            _ => return None,
        };
        let count = u32::from_le_bytes(rest.array()?) as usize;
        if rest.0.len() != count.checked_mul(4)? {
            return None;
        }
        let mut rejected = Vec::with_capacity(count);
        for _ in 0..count {
            rejected.push(u32::from_le_bytes(rest.array()?));
        }
        Some(Self {
            kind,
            origin,
            received_at_unix_nano,
            workspace,
            key,
            signal,
            encoding,
            rejected,
            digest,
        })
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// What is left to read.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn text(&mut self) -> Option<String> {
        let len = u32::from_le_bytes(self.array()?) as usize;
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        std::str::from_utf8(head).ok().map(str::to_owned)
    }
}
