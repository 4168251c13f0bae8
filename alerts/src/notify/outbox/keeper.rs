//! The thread that has the file. Nothing else ever waits for the disk.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::enter::{self, Entered};
use super::settle::{self, Outcome};
use super::take::{self, Batch, Next};
use super::{Lost, Options, Post, Standing, tables};
use crate::notify::Notice;
use crate::notify::silence::Silence;
use crate::ports::Clock;

/// Silences that may be in force or to come.
pub(super) const SILENCES_MAX: usize = 1_000;
/// How long one that is over is still shown.
const SHOWN: TimeDelta = TimeDelta::days(7);
/// How long what is closed is remembered, so that it does not begin again.
const REMEMBERED: i64 = 3_600_000;
/// How long a group is remembered, milliseconds.
const GROUPS: i64 = 31 * 86_400_000;
/// How often what is over is cleared away, milliseconds.
const CLEAR: i64 = 60_000;
/// Notices that are written together.
const BATCH: usize = 256;
/// Wait after a write that failed.
const PAUSE: Duration = Duration::from_secs(1);
/// How long somebody else may keep the file to himself.
const BUSY: Duration = Duration::from_secs(10);

/// What the thread is asked for. The number is that of the notifier.
pub(super) enum Job {
    /// Tell this.
    Tell(usize, Arc<Notice>),
    /// These stand, and no others.
    Stand(usize, Vec<Arc<Notice>>),
    /// Something else.
    Work(Box<dyn FnOnce(&mut Keeper) + Send>),
}

/// What the thread has.
pub(in crate::notify) struct Keeper {
    connection: Connection,
    posts: Arc<[Arc<Post>]>,
    silences: Vec<Silence>,
    options: Options,
    clock: Clock,
    cleared: i64,
}

/// Milliseconds since 1970.
pub(in crate::notify) fn millis(clock: &Clock) -> i64 {
    clock.now().div_euclid(1_000_000)
}

/// The same as a date.
pub(in crate::notify) fn utc(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(millis).unwrap_or_default()
}

impl Keeper {
    pub(super) fn start(
        path: &Path,
        posts: &Arc<[Arc<Post>]>,
        options: &Options,
        clock: Clock,
        queue: Receiver<Job>,
    ) -> Result<(), Box<dyn std::error::Error>> {
        own(path)?;
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY)?;
        connection.query_row("PRAGMA journal_mode=WAL", [], |_| Ok(()))?;
        connection.execute_batch("PRAGMA synchronous=FULL;")?;
        connection.execute_batch(tables::SCHEMA)?;
        connection.set_prepared_statement_cache_capacity(64);
        let mut keeper = Self {
            silences: silences(&connection)?,
            connection,
            posts: Arc::clone(posts),
            options: options.clone(),
            clock,
            cleared: i64::MIN,
        };
        keeper.leave_the_gone()?;
        for at in 0..keeper.posts.len() {
            keeper.count(at)?;
        }
        std::thread::Builder::new()
            .name("flyball-outbox".into())
            .spawn(move || keeper.serve(&queue))?;
        Ok(())
    }

    /// What waits for a notifier that is not configured any more would come as a surprise, should it ever be again.
    fn leave_the_gone(&mut self) -> rusqlite::Result<()> {
        let names: Vec<&str> = self.posts.iter().map(|p| p.channel.name.as_str()).collect();
        let names = serde_json::Value::from(names).to_string();
        let transaction = self.connection.transaction()?;
        let gone = "notifier NOT IN (SELECT value FROM json_each(?1))";
        let dropped =
            transaction.execute(&format!("DELETE FROM waiting WHERE {gone}"), [&names])?;
        transaction.execute(&format!("DELETE FROM alert WHERE {gone}"), [&names])?;
        transaction.execute(&format!("DELETE FROM grouped WHERE {gone}"), [&names])?;
        transaction.commit()?;
        if dropped > 0 {
            tracing::warn!(
                dropped,
                "notices of notifiers that are not configured any more are dropped"
            );
        }
        Ok(())
    }

    fn serve(mut self, queue: &Receiver<Job>) {
        let mut unwritten: Vec<Job> = Vec::new();
        loop {
            let first = if unwritten.is_empty() {
                queue.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else if unwritten.len() < BATCH {
                queue.recv_timeout(PAUSE)
            } else {
                // The disk takes nothing: what comes stays in the queue, until that is full.
                std::thread::sleep(PAUSE);
                Err(RecvTimeoutError::Timeout)
            };
            let mut gone = matches!(first, Err(RecvTimeoutError::Disconnected));
            let mut work = Vec::new();
            let mut sort = |job| match job {
                Job::Work(job) => work.push(job),
                told => unwritten.push(told),
            };
            let mut taken = usize::from(first.is_ok());
            first.into_iter().for_each(&mut sort);
            while taken < BATCH && !gone {
                match queue.try_recv() {
                    Ok(job) => sort(job),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => gone = true,
                }
                taken += 1;
            }
            if !unwritten.is_empty() {
                match self.write(&unwritten) {
                    Ok(()) => unwritten.clear(),
                    Err(error) => tracing::error!(%error, "notices cannot be kept; trying again"),
                }
            }
            work.into_iter().for_each(|job| job(&mut self));
            if gone {
                return;
            }
        }
    }

    /// Writes what was told in one transaction.
    fn write(&mut self, told: &[Job]) -> rusqlite::Result<()> {
        let now = millis(&self.clock);
        let most = self.options.waiting;
        let clear = now.saturating_sub(self.cleared) >= CLEAR;
        let posts = Arc::clone(&self.posts);
        let mut entered = vec![Entered::default(); posts.len()];
        let mut touched = vec![false; posts.len()];
        let transaction = self.begin()?;
        for job in told {
            let (at, done) = match job {
                Job::Tell(at, notice) => {
                    let channel = &posts[*at].channel;
                    (*at, enter::notice(&transaction, channel, notice, now)?)
                }
                Job::Stand(at, standing) => {
                    let channel = &posts[*at].channel;
                    (
                        *at,
                        enter::standing(&transaction, channel, standing, most, now)?,
                    )
                }
                Job::Work(_) => continue,
            };
            touched[at] = true;
            entered[at].cancelled += done.cancelled;
        }
        let of_touched = || posts.iter().enumerate().filter(|(at, _)| touched[*at]);
        for (at, post) in of_touched() {
            entered[at].dropped += enter::make_room(&transaction, &post.channel.name, most, now)?;
        }
        if clear {
            clear_away(&transaction, now)?;
        }
        transaction.commit()?;
        if clear {
            self.cleared = now;
        }
        for (at, post) in of_touched() {
            let counts = &post.counts;
            counts.cancelled.fetch_add(entered[at].cancelled, Relaxed);
            counts.dropped.fetch_add(entered[at].dropped, Relaxed);
            self.count(at)?;
            post.wake.notify_one();
        }
        Ok(())
    }

    fn begin(&mut self) -> rusqlite::Result<Transaction<'_>> {
        self.connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
    }

    /// Reads what the figures show of one notifier.
    fn count(&self, at: usize) -> rusqlite::Result<()> {
        let Post {
            channel, counts, ..
        } = &*self.posts[at];
        let now = millis(&self.clock);
        let (waiting, silenced, oldest): (i64, i64, Option<i64>) = self
            .connection
            .prepare_cached(
                "SELECT count(*) FILTER (WHERE held_until <= ?2), count(*) FILTER (WHERE held_until > ?2), \
                 min(at) FILTER (WHERE held_until <= ?2) FROM waiting WHERE notifier = ?1",
            )?
            .query_row(params![channel.name, now], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
        counts.waiting.store(waiting.unsigned_abs(), Relaxed);
        counts.silenced.store(silenced.unsigned_abs(), Relaxed);
        counts.oldest.store(oldest.unwrap_or_default(), Relaxed);
        Ok(())
    }

    /// What is due to a notifier.
    pub(in crate::notify) fn next(&mut self, at: usize) -> rusqlite::Result<Next> {
        let now = millis(&self.clock);
        let post = Arc::clone(&self.posts[at]);
        let silences = std::mem::take(&mut self.silences);
        let next = self.begin().and_then(|transaction| {
            let next = take::next(&transaction, &post.channel, &silences, now)?;
            transaction.commit()?;
            Ok(next)
        });
        self.silences = silences;
        let (next, cancelled) = next?;
        post.counts.cancelled.fetch_add(cancelled, Relaxed);
        self.count(at)?;
        Ok(next)
    }

    /// What came of it.
    pub(in crate::notify) fn settle(
        &mut self,
        at: usize,
        batch: &Batch,
        outcome: &Outcome,
    ) -> rusqlite::Result<()> {
        let now = millis(&self.clock);
        let post = Arc::clone(&self.posts[at]);
        let options = self.options.clone();
        let transaction = self.begin()?;
        let done = settle::settle(&transaction, &post.channel, batch, outcome, &options, now)?;
        transaction.commit()?;
        post.counts.sent.fetch_add(done.sent, Relaxed);
        post.counts.failed.fetch_add(done.failed, Relaxed);
        self.count(at)
    }

    pub(super) fn lost(&self) -> rusqlite::Result<Vec<Lost>> {
        tables::lost(&self.connection)
    }

    pub(super) fn silences(&self) -> Vec<Standing> {
        let now = utc(millis(&self.clock));
        let state = |silence: &Silence| match silence.holds(now) {
            true => "active",
            false if silence.until <= now => "over",
            false => "pending",
        };
        let standing = self.silences.iter().map(|silence| Standing {
            state: state(silence),
            silence: silence.clone(),
        });
        standing.collect()
    }

    /// False when there are too many.
    pub(super) fn silence(&mut self, silence: Silence) -> rusqlite::Result<bool> {
        let now = utc(millis(&self.clock));
        let over: Vec<String> = self
            .silences
            .iter()
            .filter(|silence| silence.until + SHOWN <= now)
            .map(|silence| silence.id.clone())
            .collect();
        let to_come = self.silences.iter().filter(|s| s.until > now).count();
        if to_come >= SILENCES_MAX {
            return Ok(false);
        }
        let transaction = self.begin()?;
        for id in &over {
            transaction.execute("DELETE FROM silence WHERE id = ?1", [id])?;
        }
        put(&transaction, &silence)?;
        transaction.commit()?;
        self.silences.retain(|silence| !over.contains(&silence.id));
        self.silences.push(silence);
        Ok(true)
    }

    /// Ends it; what it held back is looked at again.
    pub(super) fn unsilence(&mut self, id: &str) -> rusqlite::Result<Option<Silence>> {
        let now = utc(millis(&self.clock));
        let found = self
            .silences
            .iter()
            .position(|s| s.id == id && s.until > now);
        let Some(at) = found else {
            return Ok(None);
        };
        let ended = Silence {
            until: now,
            from: self.silences[at].from.min(now),
            ..self.silences[at].clone()
        };
        let transaction = self.begin()?;
        put(&transaction, &ended)?;
        transaction.execute("UPDATE waiting SET held_until = 0", [])?;
        transaction.commit()?;
        self.silences[at] = ended.clone();
        for (at, post) in self.posts.iter().enumerate() {
            self.count(at)?;
            post.wake.notify_one();
        }
        Ok(Some(ended))
    }
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").finish_non_exhaustive()
    }
}

/// Makes the file, or makes sure of it, so that its owner alone can read it; SQLite makes those beside it alike.
fn own(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
        options.mode(0o600);
        let file = options.open(path)?;
        file.set_permissions(std::fs::Permissions::from_mode(0o600))
    }
    #[cfg(not(unix))]
    options.open(path).map(drop)
}

fn put(c: &Connection, silence: &Silence) -> rusqlite::Result<()> {
    // It holds nothing that JSON has no form for.
    let text = serde_json::to_string(silence).unwrap_or_default();
    c.execute(
        "INSERT INTO silence VALUES (?1, ?2) ON CONFLICT DO UPDATE SET silence = excluded.silence",
        params![silence.id, text],
    )?;
    Ok(())
}

fn silences(c: &Connection) -> rusqlite::Result<Vec<Silence>> {
    let mut all = c.prepare("SELECT silence FROM silence ORDER BY rowid")?;
    let texts = all.query_map([], |row| row.get::<_, String>(0))?;
    let mut silences = Vec::new();
    for text in texts {
        // One that cannot be read mutes nothing: it is safer to hear too much.
        match serde_json::from_str(&text?) {
            Ok(silence) => silences.push(silence),
            Err(error) => tracing::error!(%error, "a silence cannot be read, and mutes nothing"),
        }
    }
    Ok(silences)
}

fn clear_away(c: &Connection, now: i64) -> rusqlite::Result<()> {
    c.prepare_cached("DELETE FROM alert WHERE closed_at < ?1")?
        .execute([now - REMEMBERED])?;
    c.prepare_cached("DELETE FROM grouped WHERE told_at < ?1")?
        .execute([now - GROUPS])?;
    Ok(())
}
