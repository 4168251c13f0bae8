//! What happens to a decoded request: normalised, appended, answered.
//!
//! [`Ingest::take_in`] is the one way in for live requests and imports alike, whatever their signal. The log keeps the body as it
//! came; [`Replay`] makes the same rows of it again after a crash.

mod in_flight;
mod tenants;
#[cfg(test)]
mod tests;
mod verdicts;

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use arrow::array::RecordBatch;
use axum::http::HeaderValue;
use bytes::Bytes;
use flyball_store::rows::AuditRow;
use flyball_store::{
    ApiKey, ApiKeys, Append, Appended, Decoder, Durability, Encoding, FrameKind, Header, Origin,
    OwnEvent, Signal, Store, Table,
};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use crate::door::{Caller, Door};
use crate::error::{Error, Result};
use crate::normalise::{self, Normalised, Rejected};
pub(crate) use in_flight::InFlight;
use in_flight::Room;

use crate::otlp::{self, Compression, Limits, decompress};
use crate::redact::{self, Policy};

/// The workspace of requests that name none.
pub const DEFAULT_WORKSPACE: &str = "default";

/// Where accepted requests go. The store; tests put a list in its place.
#[tonic::async_trait]
pub trait Sink: fmt::Debug + Send + Sync {
    /// Keeps the request; when this returns, it is durable.
    ///
    /// # Errors
    /// [`flyball_store::Error::Full`] when there is no room for now, anything else when the store is broken.
    async fn append(&self, append: Append) -> flyball_store::Result<Appended>;

    /// Whether it would keep a request now, as far as that can be said without one, when bodies of so many bytes are
    /// on their way to it already.
    ///
    /// # Errors
    /// As [`Sink::append`].
    fn has_room(&self, _under_way: u64) -> flyball_store::Result<()> {
        Ok(())
    }

    /// Puts a record on the ledger; told again it stands there once. Who only passes requests on has no ledger.
    ///
    /// # Errors
    /// As [`Sink::append`].
    async fn record(&self, _workspace: &str, _record: AuditRow) -> flyball_store::Result<()> {
        Ok(())
    }

    /// What an acknowledgement promises, for the answer's header; None says nothing.
    fn durability(&self) -> Option<Durability> {
        None
    }
}

#[tonic::async_trait]
impl Sink for Store {
    async fn append(&self, append: Append) -> flyball_store::Result<Appended> {
        Self::append(self, append).await
    }

    fn has_room(&self, under_way: u64) -> flyball_store::Result<()> {
        Self::has_room(self, under_way)
    }

    async fn record(&self, workspace: &str, record: AuditRow) -> flyball_store::Result<()> {
        let record = OwnEvent::Audit(record);
        Self::record(self, workspace, record).await.map(drop)
    }

    fn durability(&self) -> Option<Durability> {
        Some(Self::durability(self))
    }
}

/// The way in: limits, policy, clock, and the sink behind.
#[derive(Debug, Clone)]
pub struct Ingest {
    sink: Arc<dyn Sink>,
    limits: Limits,
    policy: Policy,
    room: Room,
    /// Permits to decode on a thread for long work.
    decoders: Arc<Semaphore>,
    door: Arc<Door>,
    clock: fn() -> i64,
}

/// A request that was answered with success, wholly or in part.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Accepted {
    /// Spans, log records or data points that are kept.
    pub kept: u64,
    /// Those that are not.
    pub rejected: u64,
    /// Which and why, for the first few; empty when none.
    pub message: String,
    /// The same body was in before: nothing was added.
    pub duplicate: bool,
}

/// Bodies up to this size are decoded where they arrive; larger ones would hold up the other connections
/// of that thread for milliseconds.
const INLINE_BYTES: usize = 256 << 10;

/// The same of a compressed body: telemetry shrinks to about a fifth, and may shrink far more.
const INLINE_PACKED_BYTES: usize = 16 << 10;

/// Rejected items that a partial success describes one by one.
const REASONS_MAX: usize = 3;

impl Ingest {
    /// Spans go to `sink`; the clock is the system's.
    #[must_use]
    pub fn new(sink: Arc<dyn Sink>, limits: Limits) -> Self {
        Self {
            sink,
            limits,
            policy: Policy::default(),
            room: Room::of(limits.in_flight_bytes),
            decoders: Arc::new(Semaphore::new(cores())),
            door: Arc::default(),
            clock: system_clock,
        }
    }

    /// What an acknowledgement promises, as the answer's header says it.
    pub(crate) fn promise(&self) -> Option<HeaderValue> {
        HeaderValue::try_from(self.sink.durability()?.to_string()).ok()
    }

    /// The same with another clock (nanoseconds since 1970).
    #[must_use]
    pub fn with_clock(self, clock: fn() -> i64) -> Self {
        Self { clock, ..self }
    }

    /// The same with another policy of what is kept of texts.
    #[must_use]
    pub fn with_policy(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    /// What is done to texts before they are kept.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The same behind a door; without one everybody is let in.
    #[must_use]
    pub fn with_door(self, door: Arc<Door>) -> Self {
        Self { door, ..self }
    }

    /// Who may come in.
    #[must_use]
    pub fn door(&self) -> &Arc<Door> {
        &self.door
    }

    /// The same with other limits for one body. The room for all of them stays shared.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// What a request may weigh.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Whether a request would be kept now: asked before its body is read.
    pub(crate) fn has_room(&self) -> Result<()> {
        Ok(self.sink.has_room(self.room.used())?)
    }

    /// Room for one body that is about to arrive.
    pub(crate) fn in_flight(&self) -> InFlight {
        self.room.body()
    }

    /// Takes in a decompressed body of `/v1/traces`.
    ///
    /// # Errors
    /// See [`Ingest::take_in`].
    pub async fn traces(
        &self,
        body: Bytes,
        encoding: Encoding,
        origin: Origin,
        workspace: &str,
    ) -> Result<Accepted> {
        let sent = Sent {
            signal: Signal::Traces,
            encoding,
        };
        self.take_in(body, Compression::Identity, sent, origin, workspace)
            .await
    }

    /// Takes in a body as it was sent. When this returns, its good spans (records, points) are durable; bad ones are
    /// counted and described. What takes long takes place on a thread for long work.
    ///
    /// # Errors
    /// See [`otlp::decompress`] and [`otlp::traces`]; [`Error::Store`] when the store is full or broken. Nothing of
    /// the request was kept then, and the same request may be sent again.
    pub async fn take_in(
        &self,
        body: Bytes,
        compression: Compression,
        sent: Sent,
        origin: Origin,
        workspace: &str,
    ) -> Result<Accepted> {
        self.take_in_from(&Caller::Anyone, body, compression, sent, origin, workspace)
            .await
    }

    /// The same from somebody who was let in: what the key may not send for is refused as partial success, and what
    /// the body weighs is taken off the key's rate of bytes.
    ///
    /// # Errors
    /// As [`Ingest::take_in`].
    pub async fn take_in_from(
        &self,
        caller: &Caller,
        body: Bytes,
        compression: Compression,
        sent: Sent,
        origin: Origin,
        workspace: &str,
    ) -> Result<Accepted> {
        let received_at_unix_nano = (self.clock)();
        let limits = self.limits;
        let long = if compression == Compression::Identity {
            body.len() > INLINE_BYTES
        } else {
            body.len() > INLINE_PACKED_BYTES
        };
        let policy = self.policy.clone();
        let key = match caller {
            Caller::Key(key) => Some(Arc::clone(key)),
            Caller::Anyone | Caller::Local => None,
        };
        // What cannot be unpacked weighs what was sent.
        let packed = body.len() as u64;
        self.door.charge(caller, packed);
        let key_id = key.as_ref().map(|key| key.id.clone());
        let work = move || -> Result<Ready> {
            let body = decompress(body, compression, limits.body_bytes)?;
            let read = |skip: &[u32]| rows(&body, sent, limits, received_at_unix_nano, skip);
            let normalised = match &key {
                Some(key) => tenants::of_key(key, sent.signal, read)?,
                None => read(&[])?,
            };
            let tenants = key.as_ref().map_or(&[][..], |key| key.tenants.as_slice());
            Ok(Ready {
                digest: digest(&body, tenants),
                body,
                kept: kept(&normalised, sent.signal),
                decisions: match origin {
                    Origin::Live => verdicts::records(
                        &normalised.spans,
                        key.as_ref().map(|key| key.id.as_str()),
                    ),
                    _ => Vec::new(),
                },
                rejected: normalised.rejected.clone(),
                batches: redact::apply(&policy, normalised.batches())?,
            })
        };
        let ready = self.run(long, work).await?;
        self.door
            .charge(caller, (ready.body.len() as u64).saturating_sub(packed));
        let mut accepted = Accepted {
            kept: ready.kept,
            rejected: ready.rejected.len() as u64,
            message: describe(sent.signal, &ready.rejected),
            duplicate: false,
        };
        if accepted.kept == 0 {
            // Nothing to keep: an empty request (exporters send them), or nothing but bad spans.
            return Ok(accepted);
        }
        let header = Header {
            kind: FrameKind::Otlp,
            origin,
            received_at_unix_nano,
            workspace: workspace.to_owned(),
            key: key_id,
            signal: sent.signal,
            encoding: sent.encoding,
            rejected: ready.rejected.iter().map(|one| one.index).collect(),
            digest: ready.digest,
        };
        let appended = self
            .sink
            .append(Append {
                header,
                body: ready.body,
                batches: ready.batches,
            })
            .await?;
        accepted.duplicate = appended.duplicate;
        // At the same time, so that they share a sync however many agents the request tells of.
        let records = ready
            .decisions
            .into_iter()
            .map(|record| self.sink.record(workspace, record));
        futures::future::try_join_all(records).await?;
        Ok(accepted)
    }

    /// Does a body's work here, or on a thread for long work, of which as many are busy at a time as there are cores.
    async fn run<T: Send + 'static>(
        &self,
        long: bool,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        if !long {
            return work();
        }
        let permit = Arc::clone(&self.decoders).acquire_owned().await;
        // Held by the thread: a sender that goes away does not end its work.
        let work = move || {
            let _permit = permit;
            work()
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(done) => done,
            Err(e) => Err(Error::Normalise(e.to_string())),
        }
    }
}

/// A request that only needs to be appended.
struct Ready {
    body: Bytes,
    digest: [u8; 32],
    kept: u64,
    rejected: Vec<Rejected>,
    batches: Vec<(Table, RecordBatch)>,
    /// What policies decided on the way, for the ledger.
    decisions: Vec<AuditRow>,
}

/// What a body is: of which signal, in which encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Traces, logs or metrics.
    pub signal: Signal,
    /// Protobuf or JSON.
    pub encoding: Encoding,
}

/// More threads than cores would decode no more, and hold more rows at once.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// A body's rows; spans (records, points) whose index is in `skip` are passed over.
fn rows(
    body: &Bytes,
    sent: Sent,
    limits: Limits,
    received_at_unix_nano: i64,
    skip: &[u32],
) -> Result<Normalised> {
    let (encoding, received) = (sent.encoding, received_at_unix_nano);
    match sent.signal {
        Signal::Traces => otlp::traces(body, encoding, limits, |request| {
            normalise::spans(request, received, skip)
        }),
        Signal::Logs => otlp::logs(body, encoding, limits, |request| {
            normalise::logs(request, received, skip)
        }),
        Signal::Metrics => otlp::metrics(body, encoding, limits, |request| {
            normalise::metrics(request, received, skip)
        }),
    }
}

/// How many of what was sent are among the rows.
fn kept(normalised: &Normalised, signal: Signal) -> u64 {
    let rows = |batch: &Option<RecordBatch>| batch.as_ref().map_or(0, RecordBatch::num_rows);
    let rows = match signal {
        Signal::Traces => normalised.spans.num_rows(),
        Signal::Logs => rows(&normalised.logs),
        Signal::Metrics => rows(&normalised.metrics),
    };
    rows as u64
}

/// SHA-256 of a decompressed body: what recognises a retry, however it was compressed this time. For other tenants
/// the same body is another request, since other rows come of it.
fn digest(body: &[u8], tenants: &[String]) -> [u8; 32] {
    if tenants.is_empty() {
        return Sha256::digest(body).into();
    }
    let mut hash = Sha256::new();
    for tenant in tenants {
        hash.update((tenant.len() as u64).to_le_bytes());
        hash.update(tenant);
    }
    hash.update(Sha256::digest(body));
    hash.finalize().into()
}

/// What a partial success says: enough to find the fault in the sender, not a line for every span.
fn describe(signal: Signal, rejected: &[Rejected]) -> String {
    let what = match signal {
        Signal::Traces => "span",
        Signal::Logs => "log record",
        Signal::Metrics => "data point",
    };
    let mut message: Vec<String> = rejected
        .iter()
        .take(REASONS_MAX)
        .map(|rejected| format!("{what} {}: {}", rejected.index, rejected.reason))
        .collect();
    if rejected.len() > REASONS_MAX {
        message.push(format!("and {} more", rejected.len() - REASONS_MAX));
    }
    message.join("; ")
}

pub(crate) fn system_clock() -> i64 {
    // Before 1970 or after 2262 the clock is wrong anyway.
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_nanos()).ok())
        .unwrap_or_default()
}

/// Makes a log frame's rows again, at recovery: the same that [`Ingest::take_in`] appended.
#[derive(Debug, Clone, Default)]
pub struct Replay {
    policy: Policy,
    keys: Option<Arc<ApiKeys>>,
}

impl Replay {
    /// By this policy: the log has requests as they were sent.
    #[must_use]
    pub fn with_policy(policy: Policy) -> Self {
        Self { policy, keys: None }
    }

    /// The same, with the keys that frames of the log name.
    #[must_use]
    pub fn with_keys(self, keys: Arc<ApiKeys>) -> Self {
        Self {
            keys: Some(keys),
            ..self
        }
    }

    /// The key that a frame names, as it was then: keys are never changed but by revoking them.
    fn key(&self, id: &str) -> std::result::Result<Arc<ApiKey>, String> {
        let key = self.keys.as_ref().and_then(|keys| keys.with_id(id));
        key.ok_or_else(|| {
            format!(
                "it was sent with API key {id}, which keys.json does not list: restore that file from a backup"
            )
        })
    }
}

impl Decoder for Replay {
    fn decode(
        &self,
        header: &Header,
        body: &Bytes,
    ) -> std::result::Result<Vec<(Table, RecordBatch)>, String> {
        if header.kind != FrameKind::Otlp {
            return Err(format!(
                "a frame of kind {:?} holds no request",
                header.kind
            ));
        }
        let key = header.key.as_deref().map(|id| self.key(id)).transpose()?;
        // No limits: it was accepted once, and limits may have been lowered since.
        let mut normalised = rows(
            body,
            Sent {
                signal: header.signal,
                encoding: header.encoding,
            },
            Limits::NONE,
            header.received_at_unix_nano,
            &header.rejected,
        )
        .map_err(|e| e.to_string())?;
        // What was refused then is passed over. Whatever is refused now was acknowledged: it must not vanish.
        if !normalised.rejected.is_empty() {
            return Err(format!(
                "{} items that were accepted cannot be read any more: {}",
                normalised.rejected.len(),
                describe(header.signal, &normalised.rejected)
            ));
        }
        if let Some(key) = key {
            tenants::fill(&mut normalised, &key).map_err(|e| e.to_string())?;
        }
        redact::apply(&self.policy, normalised.batches()).map_err(|e| e.to_string())
    }
}
