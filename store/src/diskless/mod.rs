//! The log in a bucket, for machines whose disk does not outlive them.
//!
//! ```text
//! <log_url>/<node>/log/<position of the first frame>.log     the frames of one group commit
//! <log_url>/<node>/claims/<position>                         that log object is a claim, and is never removed
//! <log_url>/<node>/digests/<position>-<anything>             requests known from before; the log up to here may be cut
//! ```
//!
//! Every object is encrypted ([`cipher`]) and none is ever overwritten. An object of the log must be created: if
//! there is one of that name already, another process writes with our node id. Who starts says so by a frame of its
//! own, the claim ([`claim`]), at the first free position: that is exactly where a writer from before would go on,
//! and finds the name taken. Hence a claim stays for ever, or a writer that slept long enough could go on behind
//! everybody's back. [`medium`] is the log's face to its writer and to recovery, [`digests`] what must be remembered
//! of a log that is cut.

mod cipher;
mod claim;
mod digests;
mod medium;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use parking_lot::Mutex;
use tokio::runtime::Runtime;

pub use cipher::LogKey;
pub(crate) use medium::BucketMedium;

use crate::config::{Config, Diskless, Durability};
use crate::dedupe::Dedupe;
use crate::error::{Error, Result};
use crate::log::LogPosition;
use crate::objects::Objects;
use cipher::Cipher;
use digests::Chunk;

/// Opens the log that the configuration names, and takes it over unless it is only read.
pub(crate) async fn open(
    config: &Config,
    diskless: Diskless,
    objects: &Objects,
    dedupe: Arc<Dedupe>,
    read_only: bool,
) -> Result<Arc<Bucket>> {
    let unusable = |reason: String| Error::LogUnusable { reason };
    if config.durability != Durability::Durable {
        return Err(unusable(format!(
            "store.durability = {}: a log in a bucket is durable or nothing (store.log_url)",
            config.durability
        )));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let node = &diskless.node_id;
    let sound = (1..=64).contains(&node.len()) && node.bytes().all(plain) && !node.starts_with('.');
    if !sound {
        return Err(unusable(format!(
            "node.id {node:?} is not 1 to 64 letters, digits, - _ and . (not first)"
        )));
    }
    let (store, root) = objects.beside(&diskless.log_url, &config.storage_options)?;
    let take_over = move || Bucket::take_over(store, &root, &diskless, &dedupe, read_only);
    let bucket = tokio::task::spawn_blocking(take_over).await??;
    Ok(Arc::new(bucket))
}

/// How long one operation may take before it is given up and tried again.
const OPERATION: Duration = Duration::from_secs(60);
/// The log counts as stalled when the bucket has not taken a group for so long.
const STALLED: Duration = Duration::from_secs(2);

/// A log in a bucket, claimed by this process. Its methods wait: they belong on threads made for that.
pub(crate) struct Bucket {
    store: Arc<dyn ObjectStore>,
    /// `<log_url>/<node>` in the store.
    root: Path,
    /// The folder of the log's objects as errors name it.
    place: PathBuf,
    cipher: Cipher,
    /// Its own, so that the log is written whatever the others are busy with, and while they wait for it.
    runtime: Option<Runtime>,
    /// Smallest pause between two groups.
    group: Duration,
    claims: Mutex<BTreeSet<LogPosition>>,
    chunks: Mutex<Vec<Chunk>>,
    /// Log objects that recovery reads: position and bytes of frames.
    found: Mutex<Vec<(LogPosition, u64)>>,
    /// The position of our claim.
    epoch: LogPosition,
    /// Since when the bucket has refused to take a group.
    failing: Mutex<Option<Instant>>,
    /// Nobody waits any more.
    closing: AtomicBool,
}

impl std::fmt::Debug for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bucket")
            .field("place", &self.place)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

/// An object as it is listed.
#[derive(Debug, Clone)]
struct Listed {
    name: String,
    bytes: u64,
}

impl Bucket {
    /// The number of this process among all that wrote this log: every later one's is greater.
    pub(crate) fn epoch(&self) -> LogPosition {
        self.epoch
    }

    /// How long the bucket has not taken what we write, if that is long enough to be told.
    pub(crate) fn stalled(&self) -> Option<Duration> {
        let failing = self.failing.lock().map(|since| since.elapsed());
        failing.filter(|since| *since >= STALLED)
    }

    /// Nothing is waited for any more: a group that is being tried is given up.
    pub(crate) fn close(&self) {
        self.closing.store(true, Relaxed);
    }

    fn wait<T>(
        &self,
        work: impl Future<Output = object_store::Result<T>>,
    ) -> object_store::Result<T> {
        let Some(runtime) = &self.runtime else {
            return Err(object_store::Error::Generic {
                store: "log",
                source: "it is closed".into(),
            });
        };
        let late = |source: tokio::time::error::Elapsed| object_store::Error::Generic {
            store: "log",
            source: source.into(),
        };
        runtime.block_on(async {
            tokio::time::timeout(OPERATION, work)
                .await
                .map_err(late)
                .and_then(|outcome| outcome)
        })
    }

    fn path(&self, folder: &str, name: &str) -> Path {
        self.root.clone().join(folder).join(name)
    }

    fn list(&self, folder: &str) -> object_store::Result<Vec<Listed>> {
        let prefix = self.root.clone().join(folder);
        let listed = self.wait(async { self.store.list(Some(&prefix)).try_collect().await });
        let listed: Vec<object_store::ObjectMeta> = listed?;
        let mut listed: Vec<_> = listed
            .into_iter()
            .filter_map(|meta| {
                let name = meta.location.filename()?.to_owned();
                let bytes = meta.size;
                Some(Listed { name, bytes })
            })
            .collect();
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(listed)
    }

    fn get(&self, path: &Path) -> object_store::Result<Bytes> {
        self.wait(async { self.store.get(path).await?.bytes().await })
    }

    /// Creates an object; one of the same name with the same bytes is ours, since no two are encrypted alike.
    fn create(&self, path: &Path, bytes: &Bytes) -> object_store::Result<()> {
        let create = PutOptions::from(PutMode::Create);
        let put = self.store.put_opts(path, bytes.clone().into(), create);
        match self.wait(put) {
            Ok(_) => Ok(()),
            Err(object_store::Error::AlreadyExists { path: at, source }) => {
                if self.get(path)? == *bytes {
                    return Ok(());
                }
                Err(object_store::Error::AlreadyExists { path: at, source })
            }
            Err(error) => Err(error),
        }
    }

    fn delete(&self, path: &Path) -> object_store::Result<()> {
        match self.wait(self.store.delete(path)) {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            outcome => outcome,
        }
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        // Possibly on a thread of another runtime, which may not wait for this one to end.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// For `map_err` on operations of the bucket.
fn failed(doing: &'static str) -> impl FnOnce(object_store::Error) -> Error {
    Error::objects(doing)
}
