//! The outbox: what is to be told, in one SQLite file, until it has been told.
//!
//! A thread of its own has the file. Notices come to it through a bounded queue and are written together; workers
//! ask it what is due (`take`) and tell it what came of that (`settle`). Whoever notifies waits for nothing: when the
//! disk hangs and the queue is full, notices are dropped and counted, and the next roll call of the alerts that stand
//! (`enter`) makes up for them.

mod enter;
mod keeper;
mod settle;
mod tables;
mod take;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::channel::Channel;
use super::silence::{Silence, SilenceOrder};
use super::worker::Worker;
use super::{Notice, Notifier, http};
use crate::ports::Clock;
use crate::rule::Severity;
use crate::{Error, Result};

use keeper::{Job, Keeper};
pub(super) use keeper::{millis, utc};
pub(super) use settle::Outcome;
pub(super) use take::{Batch, Next};

/// How often a job that found the queue full is offered again.
const OFFER_AGAIN: Duration = Duration::from_millis(20);

/// How it works; the defaults are meant for everybody.
#[derive(Debug, Clone)]
pub struct Options {
    /// Notices that may be on their way to the disk; what comes on top is dropped and counted.
    pub queue: usize,
    /// Notices that may wait for one notifier; what is over already makes room first, and that is counted.
    pub waiting: usize,
    /// How long one try may take.
    pub timeout: Duration,
    /// The wait after the first failure; it doubles from there on ...
    pub backoff: Duration,
    /// ... up to this.
    pub backoff_max: Duration,
    /// What could not be told for so long is given up.
    pub give_up: Duration,
    /// How long an answer to a question to the outbox is waited for.
    pub patience: Duration,
}

impl Default for Options {
    /// 4,096 on their way, 10,000 waiting; 10 s a try, from 1 s to 30 s between tries, for three days.
    fn default() -> Self {
        Self {
            queue: 4_096,
            waiting: 10_000,
            timeout: Duration::from_secs(10),
            backoff: Duration::from_secs(1),
            backoff_max: Duration::from_secs(30),
            give_up: Duration::from_secs(3 * 86_400),
            patience: Duration::from_secs(15),
        }
    }
}

/// How one notifier stands. Counts are those since the start of the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// The notifier.
    pub name: String,
    /// What it speaks.
    pub kind: &'static str,
    /// Notices that the receiver took.
    pub sent: u64,
    /// Notices that the receiver refused for good, or that were given up.
    pub failed: u64,
    /// Notices that were never told, for want of room.
    pub dropped: u64,
    /// Notices that were over before they were told, and so were not.
    pub cancelled: u64,
    /// Notices that wait to be told.
    pub waiting: u64,
    /// Notices that a silence holds back.
    pub silenced: u64,
    /// How long the oldest of those that wait has waited, seconds.
    pub oldest_waiting_s: u64,
    /// Why the last try failed, while it is the last.
    pub trouble: Option<String>,
}

/// A notice that was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// The notifier.
    pub notifier: String,
    /// The alert.
    pub alert_id: String,
    /// What the receiver knows it by.
    pub delivery_id: String,
    /// When it was given up, milliseconds since 1970.
    pub at_unix_ms: i64,
    /// Why.
    pub reason: String,
}

/// A silence, and how it stands.
#[derive(Debug, Clone, Serialize)]
pub struct Standing {
    /// The silence.
    #[serde(flatten)]
    pub silence: Silence,
    /// pending, active or over.
    pub state: &'static str,
}

/// One notifier, shared by whoever tells, the thread that writes and the worker that sends.
#[derive(Debug)]
pub(super) struct Post {
    pub(super) channel: Channel,
    pub(super) counts: Counts,
    /// Something may be due.
    pub(super) wake: Notify,
}

/// See [`Figures`].
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) sent: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) cancelled: AtomicU64,
    pub(super) waiting: AtomicU64,
    pub(super) silenced: AtomicU64,
    /// Since when the oldest waits, milliseconds since 1970; 0 for none.
    pub(super) oldest: AtomicI64,
    pub(super) trouble: Mutex<Option<String>>,
}

/// The outbox at work.
#[derive(Debug)]
pub struct Outbox {
    desk: Desk,
    posts: Arc<[Arc<Post>]>,
    clock: Clock,
    closing: CancellationToken,
    workers: Mutex<Vec<JoinHandle<()>>>,
}

/// The way to the thread that has the file.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    jobs: SyncSender<Job>,
    path: Arc<Path>,
    patience: Duration,
}

impl Desk {
    /// Has something done by the thread.
    ///
    /// # Errors
    /// When it could not be done, or not in time.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Keeper) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        let mut job = Job::Work(Box::new(move |keeper| {
            // Nobody waits any more: it is done all the same.
            let _ = answer.send(work(keeper));
        }));
        let asked = async {
            while let Err(error) = self.jobs.try_send(job) {
                job = match error {
                    TrySendError::Full(job) => job,
                    TrySendError::Disconnected(_) => return Err("its thread has ended".to_owned()),
                };
                tokio::time::sleep(OFFER_AGAIN).await;
            }
            let answer = answered
                .await
                .map_err(|_| "its thread has ended".to_owned())?;
            answer.map_err(|error| error.to_string())
        };
        let answer = tokio::time::timeout(self.patience, asked).await;
        let answer = answer.unwrap_or_else(|_| Err("the disk does not answer".to_owned()));
        answer.map_err(|reason| self.failed(reason))
    }

    fn failed(&self, reason: String) -> Error {
        Error::Outbox {
            path: self.path.to_path_buf(),
            reason,
        }
    }
}

impl Outbox {
    /// Opens (or creates) the file, which only its owner can read, and goes on where it was left. Must be called
    /// inside a tokio runtime.
    ///
    /// # Errors
    /// When two channels have one name, the file cannot be opened, or TLS cannot be set up.
    pub fn open(
        path: &Path,
        channels: Vec<Channel>,
        options: Options,
        clock: Clock,
    ) -> Result<Arc<Self>> {
        let failed = |reason: String| Error::Outbox {
            path: path.to_owned(),
            reason,
        };
        let mut names = HashSet::new();
        if let Some(twice) = channels.iter().find(|c| !names.insert(c.name.as_str())) {
            return Err(failed(format!("two notifiers are called {}", twice.name)));
        }
        let posts: Arc<[Arc<Post>]> = channels
            .into_iter()
            .map(|channel| {
                Arc::new(Post {
                    channel,
                    counts: Counts::default(),
                    wake: Notify::new(),
                })
            })
            .collect();
        let client = http::client(options.timeout).map_err(|e| failed(http::spoken(&e)))?;
        let (jobs, queue) = sync_channel(options.queue.max(1));
        Keeper::start(path, &posts, &options, clock.clone(), queue)
            .map_err(|error| failed(error.to_string()))?;
        let desk = Desk {
            jobs,
            path: path.into(),
            patience: options.patience,
        };
        let closing = CancellationToken::new();
        let workers = posts.iter().enumerate().map(|(at, post)| {
            let worker = Worker {
                at,
                post: Arc::clone(post),
                desk: desk.clone(),
                client: client.clone(),
                options: options.clone(),
                clock: clock.clone(),
                closing: closing.clone(),
            };
            tokio::spawn(worker.run())
        });
        Ok(Arc::new(Self {
            workers: Mutex::new(workers.collect()),
            desk,
            posts,
            clock,
            closing,
        }))
    }

    /// One for each channel, for the engine.
    #[must_use]
    pub fn notifiers(&self) -> Vec<Arc<dyn Notifier>> {
        let slots = self.posts.iter().enumerate();
        slots
            .map(|(at, post)| {
                Arc::new(Slot {
                    at,
                    post: Arc::clone(post),
                    jobs: self.desk.jobs.clone(),
                }) as Arc<dyn Notifier>
            })
            .collect()
    }

    /// How each notifier stands. Waits for nothing.
    #[must_use]
    pub fn figures(&self) -> Vec<Figures> {
        let now = millis(&self.clock);
        let figures = self.posts.iter().map(|post| {
            let counts = &post.counts;
            let oldest = counts.oldest.load(Relaxed);
            let waited = if oldest == 0 { 0 } else { now - oldest };
            Figures {
                name: post.channel.name.clone(),
                kind: post.channel.kind.as_str(),
                sent: counts.sent.load(Relaxed),
                failed: counts.failed.load(Relaxed),
                dropped: counts.dropped.load(Relaxed),
                cancelled: counts.cancelled.load(Relaxed),
                waiting: counts.waiting.load(Relaxed),
                silenced: counts.silenced.load(Relaxed),
                oldest_waiting_s: u64::try_from(waited / 1_000).unwrap_or_default(),
                trouble: counts.trouble.lock().clone(),
            }
        });
        figures.collect()
    }

    /// The notices that were given up last, the newest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn lost(&self) -> Result<Vec<Lost>> {
        self.desk.ask(|keeper| keeper.lost()).await
    }

    /// Every silence that is kept: those to come, those in force, and for a week those that are over.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn silences(&self) -> Result<Vec<Standing>> {
        self.desk.ask(|keeper| Ok(keeper.silences())).await
    }

    /// Makes a silence of an order, without keeping it: what is wrong with it is known before anybody is told.
    ///
    /// # Errors
    /// When the order is not acceptable; the error names the field.
    pub fn check_silence(&self, order: &SilenceOrder, by: &str) -> Result<Silence> {
        Silence::new(order, by, utc(millis(&self.clock)))
    }

    /// Keeps a silence; from its beginning on it mutes.
    ///
    /// # Errors
    /// When there are too many already, or it cannot be kept.
    pub async fn silence(&self, silence: Silence) -> Result<()> {
        let kept = self.desk.ask(move |keeper| keeper.silence(silence)).await?;
        kept.then_some(()).ok_or_else(|| Error::Silence {
            field: "silences",
            value: keeper::SILENCES_MAX.to_string(),
            accepted: "accepted are no more at a time; end one first".to_owned(),
        })
    }

    /// Ends a silence now; what it held back and still stands is told. None when there is none of this id in force
    /// or to come.
    ///
    /// # Errors
    /// When that cannot be kept.
    pub async fn unsilence(&self, id: &str) -> Result<Option<Silence>> {
        let id = id.to_owned();
        self.desk.ask(move |keeper| keeper.unsilence(&id)).await
    }

    /// Ends it: what was told so far is on disk when this returns; what could not be sent goes out after the next
    /// start.
    pub async fn stop(&self, patience: Duration) {
        // Behind every notice that is in the queue.
        if let Err(error) = self.desk.ask(|_| Ok(())).await {
            tracing::error!("{error}");
        }
        self.closing.cancel();
        let workers: Vec<_> = std::mem::take(&mut *self.workers.lock());
        for mut worker in workers {
            if tokio::time::timeout(patience, &mut worker).await.is_err() {
                // It is told again: at least once, not at most.
                worker.abort();
            }
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.closing.cancel();
        for worker in self.workers.lock().drain(..) {
            worker.abort();
        }
    }
}

/// What the engine sees of one channel.
#[derive(Debug)]
struct Slot {
    at: usize,
    post: Arc<Post>,
    jobs: SyncSender<Job>,
}

impl Slot {
    fn wants(&self, severity: Severity) -> bool {
        severity >= self.post.channel.min_severity
    }
}

impl Notifier for Slot {
    fn name(&self) -> &str {
        &self.post.channel.name
    }

    fn notify(&self, notice: Arc<Notice>) {
        // A rule may have become milder meanwhile: who was told that it began is told that it is over.
        let over = notice.status == super::About::Resolved;
        if !over && !self.wants(notice.severity) {
            return;
        }
        if self.jobs.try_send(Job::Tell(self.at, notice)).is_err() {
            self.post.counts.dropped.fetch_add(1, Relaxed);
            tracing::warn!(
                notifier = self.post.channel.name,
                "the outbox takes no more: notice dropped"
            );
        }
    }

    fn standing(&self, mut standing: Vec<Arc<Notice>>) {
        standing.retain(|notice| self.wants(notice.severity));
        // The next roll call comes soon.
        let _ = self.jobs.try_send(Job::Stand(self.at, standing));
    }
}
