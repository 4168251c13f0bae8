//! The log as the rest of the store sees it: a queue to the writer's thread, and the thread's audience.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::LogPosition;
use super::medium::Medium;
use super::replay::Tail;
use super::writer::Writer;
use crate::append::{Append, Appended};
use crate::config::Durability;
use crate::error::{Error, Result};

/// Who hears of what was written. Called by the writer's thread alone, in log order.
pub(crate) trait Audience: Send + 'static {
    /// Where the same request already stands.
    fn known(&mut self, append: &Append) -> Option<LogPosition>;
    /// Gives a record of the ledger its place in the chain, before its frame is made.
    fn seal(&mut self, _: &mut Append) -> Result<()> {
        Ok(())
    }
    /// What was sealed could not be written.
    fn unwritten(&mut self) {}
    /// These requests are written (and synced, if so configured): let them be seen.
    fn visible(&mut self, group: Vec<Written>);
    /// These bytes, reserved in the buffer, will not come.
    fn release(&mut self, reserved_bytes: u64);
}

/// A request that stands in the log.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) position: LogPosition,
    pub(crate) append: Append,
    /// Bytes reserved for it in the buffer.
    pub(crate) reserved_bytes: u64,
}

/// Figures of the log, for metrics.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) bytes: AtomicU64,
    pub(crate) segments: AtomicU64,
    pub(crate) next: AtomicU64,
    pub(crate) appended: AtomicU64,
    pub(crate) duplicates: AtomicU64,
    pub(crate) syncs: AtomicU64,
    pub(crate) poisoned: AtomicU64,
}

/// What the thread can be asked for.
pub(super) enum Command {
    Append {
        append: Box<Append>,
        reserved_bytes: u64,
        answer: oneshot::Sender<Result<Appended>>,
    },
    Sync {
        answer: oneshot::Sender<Result<()>>,
    },
    Roll {
        answer: oneshot::Sender<Result<LogPosition>>,
    },
    Cut {
        to: LogPosition,
        answer: oneshot::Sender<Result<()>>,
    },
}

/// Handle on the writer's thread. Dropping it ends the thread after the requests that wait.
///
/// A medium that does not wait (see [`Medium::waits`]) needs no thread: there the writer is a task of the runtime.
#[derive(Debug)]
pub(crate) struct Log {
    sender: Mutex<Option<Sender<Command>>>,
    /// Wakes the task; no thread listens to it.
    bell: Arc<Notify>,
    thread: Mutex<Option<JoinHandle<()>>>,
    medium: Arc<dyn Medium>,
    counters: Arc<Counters>,
}

impl Log {
    /// Starts the thread where the log ended.
    pub(crate) fn start(
        medium: Arc<dyn Medium>,
        tail: Tail,
        durability: Durability,
        segment_bytes: u64,
        audience: Box<dyn Audience>,
    ) -> Result<Self> {
        let place = medium.place().to_owned();
        let waits = medium.waits();
        let kept = Arc::clone(&medium);
        let mut writer = Writer::new(medium, tail, durability, segment_bytes, audience)?;
        let counters = writer.counters();
        let (sender, receiver) = channel();
        let bell = Arc::new(Notify::new());
        let thread = if waits {
            let thread = std::thread::Builder::new()
                .name("flyball-log".into())
                .spawn(move || writer.run(&receiver))
                .map_err(Error::file("start the writer of", &place))?;
            Some(thread)
        } else {
            tokio::spawn(writer.serve(receiver, Arc::clone(&bell)));
            None
        };
        Ok(Self {
            sender: Mutex::new(Some(sender)),
            bell,
            thread: Mutex::new(thread),
            medium: kept,
            counters,
        })
    }

    /// Hands a request over; the receiver hears when it is acknowledged.
    pub(crate) fn append(
        &self,
        append: Append,
        reserved_bytes: u64,
    ) -> Result<oneshot::Receiver<Result<Appended>>> {
        let (answer, receiver) = oneshot::channel();
        self.send(Command::Append {
            append: Box::new(append),
            reserved_bytes,
            answer,
        })?;
        Ok(receiver)
    }

    /// Returns when everything appended before is on stable storage.
    pub(crate) async fn sync(&self) -> Result<()> {
        let (answer, receiver) = oneshot::channel();
        self.send(Command::Sync { answer })?;
        receiver.await.map_err(|_| Error::Closed)?
    }

    /// Begins a new segment. The answer is the last position of those before it.
    pub(crate) async fn roll(&self) -> Result<LogPosition> {
        let (answer, receiver) = oneshot::channel();
        self.send(Command::Roll { answer })?;
        receiver.await.map_err(|_| Error::Closed)?
    }

    /// Removes segments that hold nothing past this position.
    pub(crate) async fn cut(&self, to: LogPosition) -> Result<()> {
        let (answer, receiver) = oneshot::channel();
        self.send(Command::Cut { to, answer })?;
        receiver.await.map_err(|_| Error::Closed)?
    }

    /// Ends the thread after the requests that wait, and waits for it.
    pub(crate) fn stop(&self) {
        self.medium.close();
        drop(self.sender.lock().take());
        self.bell.notify_one();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the log's writer panicked");
        }
    }

    /// Bytes of all segments.
    pub(crate) fn bytes(&self) -> u64 {
        self.counters.bytes.load(Relaxed)
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    fn send(&self, command: Command) -> Result<()> {
        match self.sender.lock().as_ref() {
            Some(sender) => sender.send(command).map_err(|_| Error::Closed)?,
            None => return Err(Error::Closed),
        }
        self.bell.notify_one();
        Ok(())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.stop();
    }
}
