//! Taking a log over: what is there is read off, and the first free position is taken, before anything is replayed.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parking_lot::Mutex;

use super::cipher::{self, Cipher};
use super::{Bucket, Listed, digests, failed};
use crate::config::Diskless;
use crate::dedupe::Dedupe;
use crate::error::{Error, Result};
use crate::log::{
    Encoding, Frame, FrameKind, Header, LogPosition, Origin, Signal, frame_bytes_of, last_position,
    segment_first, segment_name,
};

/// So many processes may start at the same time and be quicker than us.
const ATTEMPTS: u32 = 20;
/// The workspace that stands in a claim's header, which belongs to none.
const NOBODY: &str = "none";

impl Bucket {
    /// Takes over the log of a node, or only looks at it. `root` is the folder of all nodes' logs in the store. What
    /// the node's earlier processes remembered is told to `dedupe`. Waits.
    ///
    /// # Errors
    /// [`Error::LogCorrupt`] for an object that cannot be read, with its name; [`Error::LogGap`] when one is
    /// missing; what the object store says.
    pub(crate) fn take_over(
        store: Arc<dyn ObjectStore>,
        root: &Path,
        diskless: &Diskless,
        dedupe: &Dedupe,
        read_only: bool,
    ) -> Result<Self> {
        let Diskless {
            log_url,
            node_id: node,
            key,
            group_every,
            ..
        } = diskless;
        let unusable = |reason: &str| Error::LogUnusable {
            reason: reason.to_owned(),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("flyball-log-bucket")
            .enable_all()
            .build()
            .map_err(|error| unusable(&format!("its thread cannot be started: {error}")))?;
        let cipher = Cipher::new(key, node).ok_or_else(|| unusable("its key is of no use"))?;
        let place = format!("{}/{node}/log", log_url.trim_end_matches('/'));
        let mut bucket = Self {
            store,
            root: root.clone().join(node.as_str()),
            place: PathBuf::from(place),
            cipher,
            runtime: Some(runtime),
            group: *group_every,
            claims: Mutex::default(),
            chunks: Mutex::default(),
            found: Mutex::default(),
            epoch: 0,
            failing: Mutex::new(None),
            closing: AtomicBool::new(false),
        };
        let claims = bucket.list("claims").map_err(failed("list claims"))?;
        let positions = claims
            .iter()
            .filter_map(|claim| claim.name.parse::<LogPosition>().ok());
        bucket.claims.get_mut().extend(positions);
        let cut = bucket.load_digests(dedupe)?;
        bucket.epoch = if read_only {
            LogPosition::MAX
        } else {
            bucket.claim(cut)?
        };
        let found = bucket.to_replay(cut, read_only)?;
        *bucket.found.get_mut() = found;
        Ok(bucket)
    }

    /// The frames of a log object; the error names it.
    pub(super) fn frames(&self, first: LogPosition) -> Result<Vec<u8>> {
        let name = segment_name(first);
        let object = self
            .get(&self.path("log", &name))
            .map_err(failed("read the log"))?;
        self.cipher
            .open(&name, &object)
            .map_err(|reason| Error::LogCorrupt {
                segment: self.place.join(&name),
                offset: 0,
                reason,
            })
    }

    fn objects(&self) -> Result<Vec<(LogPosition, u64)>> {
        let listed = self.list("log").map_err(failed("list the log"))?;
        listed
            .iter()
            .filter_map(|object| {
                let first = position_of(object)?;
                Some(self.length(object).map(|bytes| (first, bytes)))
            })
            .collect()
    }

    fn length(&self, object: &Listed) -> Result<u64> {
        // Every object holds a frame.
        match object.bytes.checked_sub(cipher::OVERHEAD) {
            Some(bytes) if bytes > 0 => Ok(bytes),
            _ => Err(Error::LogCorrupt {
                segment: self.place.join(&object.name),
                offset: 0,
                reason: format!("{} bytes are no object of the log", object.bytes),
            }),
        }
    }

    /// The position of the last frame of an object.
    fn last_of(&self, first: LogPosition) -> Result<LogPosition> {
        last_position(&self.frames(first)?.into()).ok_or_else(|| Error::LogCorrupt {
            segment: self.place.join(segment_name(first)),
            offset: 0,
            reason: "it holds no whole frames".into(),
        })
    }

    /// Creates the claim at the first free position, and so shuts out whoever wrote before.
    fn claim(&mut self, cut: LogPosition) -> Result<LogPosition> {
        let writer = uuid::Uuid::new_v4().to_string();
        for _ in 0..ATTEMPTS {
            let last = match self.objects()?.last() {
                Some((first, _)) => self.last_of(*first)?,
                None => 0,
            };
            let position = last.max(cut) + 1;
            let frame = frame_bytes_of(&Frame {
                position,
                synced: position - 1,
                header: header(),
                body: Bytes::from(writer.clone()),
            });
            let name = segment_name(position);
            let object = self.cipher.seal(&name, &frame);
            let object = object.ok_or_else(|| Error::LogUnusable {
                reason: "the operating system gives no random numbers".into(),
            })?;
            // Before the claim, so that nobody removes it who does not know what it is.
            let marker = self.path("claims", &format!("{position:020}"));
            self.wait(self.store.put(&marker, Bytes::from(writer.clone()).into()))
                .map_err(failed("claim the log"))?;
            match self.create(&self.path("log", &name), &object) {
                Ok(()) => {
                    self.claims.get_mut().insert(position);
                    return Ok(position);
                }
                // Someone wrote in between.
                Err(object_store::Error::AlreadyExists { .. }) => {
                    self.claims.get_mut().insert(position);
                }
                Err(error) => return Err(failed("claim the log")(error)),
            }
        }
        Err(Error::LogUnusable {
            reason: format!(
                "other processes write to {} all the time: is node.id set to the same on several machines?",
                self.place.display()
            ),
        })
    }

    /// The objects that hold what is past the cut, oldest first, up to our claim. Others are leftovers.
    fn to_replay(&self, cut: LogPosition, read_only: bool) -> Result<Vec<(LogPosition, u64)>> {
        let mut objects = self.objects()?;
        objects.retain(|(first, _)| *first <= self.epoch);
        let after = objects.partition_point(|(first, _)| *first <= cut + 1);
        let begin = match after.checked_sub(1).and_then(|at| objects.get(at)) {
            Some((first, _)) if *first == cut + 1 || self.last_of(*first)? > cut => after - 1,
            _ => after,
        };
        if let Some((first, _)) = objects.get(begin)
            && *first > cut + 1
        {
            return Err(Error::LogGap {
                expected: cut + 1,
                found: self.place.join(segment_name(*first)),
            });
        }
        let kept = objects.split_off(begin);
        for (leftover, _) in objects {
            if !read_only && !self.claims.lock().contains(&leftover) {
                let path = self.path("log", &segment_name(leftover));
                self.delete(&path).map_err(failed("cut the log"))?;
            }
        }
        Ok(kept)
    }

    /// Tells what earlier processes remembered; how far the log may have been cut.
    fn load_digests(&mut self, dedupe: &Dedupe) -> Result<LogPosition> {
        let listed = self.list("digests").map_err(failed("list digests"))?;
        let mut chunks = Vec::with_capacity(listed.len());
        for Listed { name, bytes } in listed {
            let Some(to) = digests::cut_of(&name) else {
                continue;
            };
            let entries = self.read_digests(&name)?;
            for entry in &entries {
                dedupe.restore(entry);
            }
            chunks.push(digests::Chunk { name, to, bytes });
        }
        let cut = chunks.iter().map(|chunk| chunk.to).max().unwrap_or(0);
        *self.chunks.get_mut() = chunks;
        Ok(cut)
    }
}

fn position_of(object: &Listed) -> Option<LogPosition> {
    segment_first(&object.name)
}

fn header() -> Header {
    Header {
        kind: FrameKind::Claim,
        origin: Origin::Live,
        received_at_unix_nano: chrono::Utc::now().timestamp_nanos_opt().unwrap_or(0),
        workspace: NOBODY.into(),
        key: None,
        signal: Signal::Logs,
        encoding: Encoding::Json,
        rejected: Vec::new(),
        digest: [0; 32],
    }
}
