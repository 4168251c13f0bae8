//! The one thread that writes the log: group commit, in order.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};

use super::handle::{Audience, Command, Counters, Written};
use super::medium::{Medium, SegmentFile, is_full};
use super::replay::Tail;
use super::{LogPosition, Segment, frame, segment_path};
use crate::append::{Append, Appended};
use crate::config::Durability;
use crate::error::{Error, Result};

/// A group grows to so many bytes before it is written, if so many wait.
const GROUP_BYTES_MAX: usize = 8 << 20;
/// When a full disk is worth another try.
const DISK_RETRY_MS: u64 = 5_000;

type Waiting = (Box<Append>, u64, oneshot::Sender<Result<Appended>>);

pub(super) struct Writer {
    medium: Arc<dyn Medium>,
    active: Box<dyn SegmentFile>,
    /// Never empty; the last is the active one.
    segments: Vec<Segment>,
    next: LogPosition,
    /// Everything up to here is on stable storage.
    synced: LogPosition,
    unsynced_since: Option<Instant>,
    /// When the next group may be written.
    group_at: Instant,
    durability: Durability,
    segment_bytes: u64,
    audience: Box<dyn Audience>,
    poisoned: Option<String>,
    scratch: Vec<u8>,
    counters: Arc<Counters>,
}

impl Writer {
    /// Goes on where the log ended; an empty one gets its first segment.
    pub(super) fn new(
        medium: Arc<dyn Medium>,
        tail: Tail,
        durability: Durability,
        segment_bytes: u64,
        audience: Box<dyn Audience>,
    ) -> Result<Self> {
        let Tail { mut segments, next } = tail;
        let path = |first| segment_path(medium.place(), first);
        let active = match segments.last() {
            Some(Segment { first, .. }) => medium
                .open(*first)
                .map_err(Error::file("open", &path(*first)))?,
            None => {
                segments.push(Segment {
                    first: next,
                    bytes: 0,
                });
                medium
                    .create(next)
                    .map_err(Error::file("create", &path(next)))?
            }
        };
        let writer = Self {
            medium,
            active,
            segments,
            next,
            // The replay synced what it found.
            synced: next - 1,
            unsynced_since: None,
            group_at: Instant::now(),
            durability,
            segment_bytes,
            audience,
            poisoned: None,
            scratch: Vec::new(),
            counters: Arc::new(Counters::default()),
        };
        writer.count();
        Ok(writer)
    }

    pub(super) fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Works until every handle is gone.
    pub(super) fn run(&mut self, receiver: &Receiver<Command>) {
        loop {
            let command = match self.sync_due_in() {
                Some(Duration::ZERO) => None,
                Some(wait) => match receiver.recv_timeout(wait) {
                    Ok(command) => Some(command),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => break,
                },
                None => match receiver.recv() {
                    Ok(command) => Some(command),
                    Err(_) => break,
                },
            };
            match command {
                None => self.sync_or_poison(),
                Some(command) => self.take(command, receiver),
            }
        }
        // In the modes that do not sync before the answer, an orderly end still leaves nothing behind.
        self.sync_or_poison();
    }

    /// The same as a task, for a medium that does not wait. It looks when the bell rings.
    pub(super) async fn serve(mut self, receiver: Receiver<Command>, bell: Arc<Notify>) {
        loop {
            bell.notified().await;
            loop {
                match receiver.try_recv() {
                    Ok(command) => self.take(command, &receiver),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return self.sync_or_poison(),
                }
            }
        }
    }

    /// Works off one command and, if it is a request, all that wait behind it.
    fn take(&mut self, first: Command, receiver: &Receiver<Command>) {
        let (mut group, mut bytes, mut command) = (Vec::new(), 0, Some(first));
        while let Some(Command::Append {
            append,
            reserved_bytes,
            answer,
        }) = command
        {
            bytes += append.body.len();
            group.push((append, reserved_bytes, answer));
            command = if bytes < GROUP_BYTES_MAX {
                self.await_more(receiver)
            } else {
                None
            };
        }
        if !group.is_empty() {
            self.commit(group);
        }
        match command {
            Some(Command::Sync { answer }) => {
                self.sync_or_poison();
                self.count();
                let _ = answer.send(self.sound());
            }
            Some(Command::Roll { answer }) => {
                let outcome = self.sound().and_then(|()| self.close_segment());
                self.count();
                let _ = answer.send(outcome);
            }
            Some(Command::Cut { to, answer }) => {
                let outcome = self.sound().and_then(|()| self.cut(to));
                self.count();
                let _ = answer.send(outcome);
            }
            Some(Command::Append { .. }) | None => {}
        }
    }

    /// What waits behind a request, or comes before it is time for the next group.
    fn await_more(&self, receiver: &Receiver<Command>) -> Option<Command> {
        match self.group_at.saturating_duration_since(Instant::now()) {
            Duration::ZERO => receiver.try_recv().ok(),
            wait => receiver.recv_timeout(wait).ok(),
        }
    }

    /// Writes, syncs, shows and answers one group.
    fn commit(&mut self, group: Vec<Waiting>) {
        self.group_at = Instant::now() + self.medium.group_every();
        let (mut fresh, mut again) = (Vec::new(), Vec::new());
        let mut in_group: HashMap<(String, [u8; 32]), LogPosition> = HashMap::new();
        self.scratch.clear();
        for (mut append, reserved_bytes, answer) in group {
            if let Err(error) = self.sound() {
                self.audience.release(reserved_bytes);
                let _ = answer.send(Err(error));
                continue;
            }
            // Events of ours that may come twice have no digest.
            let own =
                append.header.kind == super::FrameKind::Own && append.header.digest == [0; 32];
            let id = (append.header.workspace.clone(), append.header.digest);
            let known = if own {
                None
            } else {
                self.audience
                    .known(&append)
                    .or_else(|| in_group.get(&id).copied())
            };
            if let Some(position) = known {
                self.audience.release(reserved_bytes);
                again.push((position, answer));
                continue;
            }
            if let Err(error) = self.audience.seal(&mut append) {
                self.audience.release(reserved_bytes);
                let _ = answer.send(Err(error));
                continue;
            }
            let position = self.next + fresh.len() as u64;
            frame::encode(
                &mut self.scratch,
                position,
                self.synced,
                &append.header,
                &append.body,
            );
            if !own {
                in_group.insert(id, position);
            }
            fresh.push((
                Written {
                    position,
                    append: *append,
                    reserved_bytes,
                },
                answer,
            ));
        }
        if !fresh.is_empty()
            && let Err(failure) = self.write(fresh.len() as u64)
        {
            self.audience.unwritten();
            for (written, answer) in fresh {
                self.audience.release(written.reserved_bytes);
                let _ = answer.send(Err(self.explain(&failure)));
            }
            for (_, answer) in again {
                let _ = answer.send(Err(self.explain(&failure)));
            }
            return;
        }
        self.count();
        self.counters
            .appended
            .fetch_add(fresh.len() as u64, Relaxed);
        self.counters
            .duplicates
            .fetch_add(again.len() as u64, Relaxed);
        let (written, answers): (Vec<_>, Vec<_>) = fresh.into_iter().unzip();
        let positions: Vec<_> = written.iter().map(|written| written.position).collect();
        if !written.is_empty() {
            self.audience.visible(written);
        }
        for (position, answer) in positions.into_iter().zip(answers) {
            let _ = answer.send(Ok(Appended {
                position,
                duplicate: false,
            }));
        }
        for (position, answer) in again {
            let _ = answer.send(Ok(Appended {
                position,
                duplicate: true,
            }));
        }
    }

    /// Puts the scratch into the log. A full disk leaves the log as it was; any other failure ends it.
    fn write(&mut self, frames: u64) -> io::Result<()> {
        let bytes = self.scratch.len() as u64;
        let full = !self.active.takes_more() || self.active_bytes() + bytes > self.segment_bytes;
        if self.active_bytes() > 0
            && full
            && let Err(error) = self.roll()
        {
            // A segment that could not be begun changes nothing; a sync that failed has poisoned already.
            if !is_full(&error) {
                self.poison("begin a segment", &error);
            }
            return Err(error);
        }
        let before = self.active_bytes();
        if let Err(error) = self.active.write(&self.scratch) {
            if !is_full(&error) {
                self.poison("write", &error);
            } else if let Err(error) = self.active.truncate(before) {
                self.poison("take back what did not fit", &error);
            }
            return Err(error);
        }
        self.next += frames;
        if let Some(active) = self.segments.last_mut() {
            active.bytes += bytes;
        }
        self.unsynced_since.get_or_insert_with(Instant::now);
        if self.durability == Durability::Durable {
            self.sync()?;
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.unsynced_since.is_none() {
            return Ok(());
        }
        if let Err(error) = self.active.sync() {
            // The kernel may have dropped the pages it could not write: a second sync would lie.
            self.poison("sync", &error);
            return Err(error);
        }
        self.counters.syncs.fetch_add(1, Relaxed);
        self.synced = self.next - 1;
        self.unsynced_since = None;
        Ok(())
    }

    fn sync_or_poison(&mut self) {
        if self.poisoned.is_none() {
            let _ = self.sync();
        }
    }

    /// Closes the active segment and begins the next.
    fn roll(&mut self) -> io::Result<()> {
        self.sync()?;
        self.active = self.medium.create(self.next)?;
        self.segments.push(Segment {
            first: self.next,
            bytes: 0,
        });
        Ok(())
    }

    /// What comes from now on stands in another segment than what was.
    fn close_segment(&mut self) -> Result<LogPosition> {
        if self.active_bytes() > 0 {
            self.roll().map_err(|error| self.explain(&error))?;
        }
        Ok(self.next - 1)
    }

    /// Oldest first, so that a crash in between leaves no gap; the last, empty one keeps the position.
    fn cut(&mut self, to: LogPosition) -> Result<()> {
        if self.active_bytes() > 0 && to + 1 >= self.next {
            self.roll().map_err(|error| self.explain(&error))?;
        }
        while let [oldest, following, ..] = self.segments.as_slice() {
            if following.first > to + 1 {
                break;
            }
            self.medium
                .remove(oldest.first)
                .map_err(|error| self.explain(&error))?;
            self.segments.remove(0);
        }
        Ok(())
    }

    fn active_bytes(&self) -> u64 {
        self.segments.last().map_or(0, |active| active.bytes)
    }

    fn sync_due_in(&self) -> Option<Duration> {
        match self.durability {
            Durability::GroupMs(ms) if self.poisoned.is_none() => self
                .unsynced_since
                .map(|since| Duration::from_millis(ms.into()).saturating_sub(since.elapsed())),
            _ => None,
        }
    }

    fn poison(&mut self, doing: &str, error: &io::Error) {
        tracing::error!(%error, "the log cannot {doing}: no further request will be acknowledged");
        self.counters.poisoned.store(1, Relaxed);
        self.poisoned
            .get_or_insert_with(|| format!("cannot {doing}: {error}"));
    }

    fn sound(&self) -> Result<()> {
        match &self.poisoned {
            Some(reason) => Err(Error::LogPoisoned {
                reason: reason.clone(),
            }),
            None => Ok(()),
        }
    }

    fn explain(&self, failure: &io::Error) -> Error {
        match &self.poisoned {
            Some(reason) => Error::LogPoisoned {
                reason: reason.clone(),
            },
            None if is_full(failure) => Error::Full {
                what: "disk",
                used: self.scratch.len() as u64,
                limit: 0,
                retry_after_ms: DISK_RETRY_MS,
            },
            None => Error::LogPoisoned {
                reason: failure.to_string(),
            },
        }
    }

    fn count(&self) {
        self.counters.bytes.store(
            self.segments.iter().map(|segment| segment.bytes).sum(),
            Relaxed,
        );
        self.counters
            .segments
            .store(self.segments.len() as u64, Relaxed);
        self.counters.next.store(self.next, Relaxed);
    }
}
