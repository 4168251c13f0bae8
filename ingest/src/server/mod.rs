//! The two ports that exporters send to: OTLP/gRPC ([`grpc`], 4317) and OTLP/HTTP ([`http`], 4318).
//!
//! Both answer in OTLP's own terms, so that an exporter knows whether to try again:
//!
//! | what happened | gRPC | HTTP | tried again? |
//! |---|---|---|---|
//! | all spans (records, points) kept, or kept before | OK | 200 | |
//! | some of them bad | OK, `partial_success` | 200, `partial_success` | no |
//! | body malformed, bad compression | `INVALID_ARGUMENT` | 400 | no |
//! | content type not OTLP's | HTTP 415 | 415 | no |
//! | no API key, or none in force, where keys are configured | `UNAUTHENTICATED` | 401 | no |
//! | its role may not send | `PERMISSION_DENIED` | 403 | no |
//! | over the key's rate | `RESOURCE_EXHAUSTED`, `RetryInfo` | 429, `Retry-After` | yes |
//! | sent by a web page | | 403 | no |
//! | encoding unknown | `UNIMPLEMENTED` | 415 | no |
//! | body cut short, or slower than 30 s | `UNAVAILABLE`, `RetryInfo` | 408 | yes |
//! | body over a limit | `RESOURCE_EXHAUSTED` | 413 | no |
//! | buffer or disk full, too many bodies at once | `RESOURCE_EXHAUSTED`, `RetryInfo` | 429, `Retry-After` | yes |
//! | store broken | `UNAVAILABLE`, `RetryInfo` | 503, `Retry-After` | yes |
//!
//! The key is looked at before anything of the body is read ([`door`](crate::door)).
//! A success says in the header `flyball-durability` what it promises: `durable`, `group_ms:N` or `memory`.
//! A request costs only itself: whatever is wrong with it, its connection and its neighbours go on.

pub mod grpc;
pub mod http;
mod status;

pub use status::{RetryInfo, RpcStatus, StatusDetail, WireDuration};

use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::http::HeaderValue;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use tokio_stream::StreamExt;

use crate::error::{Error, Result};
use crate::otlp::Compression;
use crate::pipeline::{InFlight, Ingest};

/// The header of a success that says what it promises: the setting `store.durability`.
const DURABILITY: &str = "flyball-durability";

fn with_promise(mut answer: Response, promise: Option<HeaderValue>) -> Response {
    if let Some(promise) = promise {
        answer.headers_mut().insert(DURABILITY, promise);
    }
    answer
}

/// How long a body may take to arrive. An exporter gives up long before (10 s by default).
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// For so many bytes of a body there is room at once, if it announces as many: it does not grow by being copied, and
/// who announces much and sends little takes little.
const AT_ONCE_MAX: usize = 1 << 20;

/// Telemetry shrinks to about a fifth, or better.
const UNPACKS_TO: usize = 8;

/// A body that has arrived whole, and the room that it takes for as long as this is kept.
#[derive(Debug)]
pub struct Arrived {
    /// As it was sent.
    pub bytes: Bytes,
    _room: InFlight,
}

/// Waits for the body of a request to another port than OTLP's, by the rules of these: at most `limit` bytes, within
/// 30 s, in the room that all bodies share.
///
/// # Errors
/// [`Error::TooLarge`], [`Error::BodyCut`], and [`flyball_store::Error::Full`] when there is no room.
pub async fn arrive(body: Body, limit: usize, ingest: &Ingest) -> Result<Arrived> {
    let mut room = ingest.in_flight();
    let bytes = read_body(body, 0, limit, Compression::Identity, &mut room).await?;
    Ok(Arrived { bytes, _room: room })
}

/// Reads a body and keeps nothing of it.
async fn let_pass(body: Body, limit: usize) {
    let mut chunks = body.into_data_stream();
    let mut passed = 0;
    let read = async {
        while let Some(Ok(chunk)) = chunks.next().await
            && passed <= limit
        {
            passed += chunk.len();
        }
    };
    // Whoever takes longer loses the answer.
    let _ = tokio::time::timeout(BODY_TIMEOUT, read).await;
}

/// How long the body says it is, framed by gRPC or not; 0 when it does not say.
fn announced(length: Option<u64>, frame: usize, first: &[u8]) -> usize {
    match (frame, first) {
        (1.., [_, a, b, c, d, ..]) => u32::from_be_bytes([*a, *b, *c, *d]) as usize + frame,
        _ => length.map_or(0, |length| usize::try_from(length).unwrap_or(0)),
    }
}

/// The whole body: at most `limit` bytes, besides a frame of `frame` bytes around it. Its room is held from
/// the first byte until `room` is dropped, so that slow senders hold no more than they have sent.
async fn read_body(
    body: Body,
    frame: usize,
    limit: usize,
    compression: Compression,
    room: &mut InFlight,
) -> Result<Bytes> {
    let weight = |bytes: usize| match compression {
        Compression::Identity => bytes,
        Compression::Gzip | Compression::Zstd => bytes.saturating_mul(UNPACKS_TO).min(limit),
    };
    let read = async {
        let length = body.size_hint().exact();
        let mut chunks = body.into_data_stream();
        let mut first = Bytes::new();
        let mut whole = BytesMut::new();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|e| Error::BodyCut {
                reason: e.to_string(),
            })?;
            if first.len() + whole.len() + chunk.len() > limit.saturating_add(frame) {
                return Err(Error::TooLarge {
                    what: "the request body",
                    limit,
                });
            }
            room.grow_to(weight(first.len() + whole.len() + chunk.len()))
                .await?;
            // Most bodies come in one piece, which then needs no copy.
            if first.is_empty() && whole.is_empty() {
                first = chunk;
            } else {
                if whole.capacity() == 0 {
                    whole.reserve(announced(length, frame, &first).min(AT_ONCE_MAX));
                }
                whole.extend_from_slice(&std::mem::take(&mut first));
                whole.extend_from_slice(&chunk);
            }
        }
        Ok(if whole.is_empty() {
            first
        } else {
            whole.freeze()
        })
    };
    tokio::time::timeout(BODY_TIMEOUT, read)
        .await
        .unwrap_or_else(|_| {
            Err(Error::BodyCut {
                reason: format!("it took longer than {} s", BODY_TIMEOUT.as_secs()),
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_says_its_length_before_a_header_does() {
        let frame = [0, 0, 1, 0, 2, b'x'];
        assert_eq!(announced(Some(9), 5, &frame), 0x1_0002 + 5);
        assert_eq!(announced(Some(9), 5, &frame[..4]), 9);
        assert_eq!(announced(Some(9), 0, &frame), 9);
        assert_eq!(announced(None, 0, &frame), 0);
        assert_eq!(announced(None, 5, &[0, 255, 255, 255, 255]), 0x1_0000_0004);
    }
}
