//! Drives a [`Resolver`] with the store's events and the clock.
//!
//! What it waits for is never the store: settled traces that got late spans are looked up in a task of its
//! own, and only they wait for it.

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flyball_pricing::Book;
use flyball_store::{Event, Resume, Store, Table};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinHandle, JoinSet};

use super::options::{Counts, Options};
use super::posting::Post;
use super::state::{Resolver, Told, Wanted};
use crate::{Error, Result};

/// How often traces are looked at for settling. Nothing that is known waits for it.
const TICK: Duration = Duration::from_millis(200);

/// Rows that are taken in together, when more events are there than were waited for: many small requests are resolved
/// at once, and what a large one tells is not held up by the next.
const TOGETHER: usize = 4_096;

/// What may be asked of a running resolver.
#[derive(Debug)]
pub enum Command {
    /// Settle every trace of everything that was appended so far, and say what was done.
    SettleAll(oneshot::Sender<Counts>),
    /// Say what was done.
    Counts(oneshot::Sender<Counts>),
}

/// Asks a running resolver; keeps it neither alive nor in place.
#[derive(Debug, Clone)]
pub struct Asker(mpsc::WeakSender<Command>);

impl Asker {
    /// As [`Handle::settle_all`].
    ///
    /// # Errors
    /// [`Error::ResolverStopped`] when the resolver has stopped.
    pub async fn settle_all(&self) -> Result<Counts> {
        let commands = self.0.upgrade().ok_or(Error::ResolverStopped)?;
        ask(&commands, Command::SettleAll).await
    }

    /// What was done since the start.
    ///
    /// # Errors
    /// [`Error::ResolverStopped`] when the resolver has stopped.
    pub async fn counts(&self) -> Result<Counts> {
        let commands = self.0.upgrade().ok_or(Error::ResolverStopped)?;
        ask(&commands, Command::Counts).await
    }
}

async fn ask(
    commands: &mpsc::Sender<Command>,
    command: fn(oneshot::Sender<Counts>) -> Command,
) -> Result<Counts> {
    let (answer, answered) = oneshot::channel();
    commands
        .send(command(answer))
        .await
        .map_err(|_| Error::ResolverStopped)?;
    answered.await.map_err(|_| Error::ResolverStopped)
}

/// A resolver that runs in the background.
#[derive(Debug)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    stop: oneshot::Sender<()>,
    over: watch::Receiver<()>,
    task: JoinHandle<Result<()>>,
}

impl Handle {
    /// Settles every trace of everything that was appended before, so that a flush takes all charges along.
    ///
    /// # Errors
    /// [`Error::ResolverStopped`] when the resolver has stopped.
    pub async fn settle_all(&self) -> Result<Counts> {
        ask(&self.commands, Command::SettleAll).await
    }

    /// What was done since the start.
    ///
    /// # Errors
    /// [`Error::ResolverStopped`] when the resolver has stopped.
    pub async fn counts(&self) -> Result<Counts> {
        ask(&self.commands, Command::Counts).await
    }

    /// Waits until it has ended, for whatever reason: a failure (which [`Handle::stop`] then gives back, and
    /// the log has), a panic, or the end of the store. The future does not borrow the handle.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let mut over = self.over.clone();
        // Nothing is ever sent: the task holds the other end for as long as it lives.
        async move { while over.changed().await.is_ok() {} }
    }

    /// For whoever only wants to know.
    #[must_use]
    pub fn asker(&self) -> Asker {
        Asker(self.commands.downgrade())
    }

    /// Stops it. Open traces stay open: they are rebuilt from their spans at the next start.
    ///
    /// # Errors
    /// What made it stop before, if something did.
    pub async fn stop(self) -> Result<()> {
        // It may have stopped by itself: then there is nobody to tell.
        let _ = self.stop.send(());
        self.task.await.unwrap_or(Err(Error::ResolverStopped))
    }
}

/// Starts the resolver of a workspace. When this returns, it has caught up with the store, and sees
/// everything that is appended from now on.
///
/// # Errors
/// When the store cannot say what to go on from.
pub async fn start(
    store: Arc<Store>,
    workspace: &str,
    book: Arc<Book>,
    options: Options,
) -> Result<Handle> {
    Ok(Driver::start(store, workspace, book, &options)
        .await?
        .spawn())
}

/// Runs the resolver of a workspace until `shutdown`. For a background task, see [`start`].
///
/// # Errors
/// When the store refuses the journal, or hands back rows of another schema.
pub async fn run(
    store: Arc<Store>,
    workspace: &str,
    book: Arc<Book>,
    options: Options,
    orders: mpsc::Receiver<Command>,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<()> {
    Driver::start(store, workspace, book, &options)
        .await?
        .run(orders, shutdown)
        .await
}

type Found = flyball_store::Result<Resume>;

/// Looks traces up in the store; tests put something slower in its place.
type LookUp =
    Box<dyn Fn(Wanted) -> Pin<Box<dyn Future<Output = Found> + Send>> + Send + Sync + 'static>;

struct Driver {
    store: Arc<Store>,
    workspace: String,
    resolver: Resolver,
    events: mpsc::UnboundedReceiver<Event>,
    look_up: LookUp,
    /// The look-up under way: one at a time.
    looking: JoinSet<Found>,
    /// What it looks for.
    looked_for: Vec<String>,
    /// The last one failed: none begins before the next tick.
    rests: bool,
    settling: Vec<Settling>,
}

/// Somebody who asked for everything to settle while traces waited to be looked up.
struct Settling {
    waits_for: HashSet<String>,
    answer: oneshot::Sender<Counts>,
}

/// Says that the task is over by being dropped, even when it panics.
struct Alive {
    _over: watch::Sender<()>,
}

impl Drop for Alive {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("the resolver panicked: nothing is charged until the next start");
        }
    }
}

impl Driver {
    async fn start(
        store: Arc<Store>,
        workspace: &str,
        book: Arc<Book>,
        options: &Options,
    ) -> Result<Self> {
        // Subscribed before it reads: what is appended in between comes twice, and counts once.
        let events = store.subscribe_to(&[Table::Spans], false);
        let resume = store.resume(workspace).await?;
        let mut driver = Self {
            resolver: Resolver::new(workspace, book, options),
            look_up: look_up_in(&store, workspace),
            workspace: workspace.to_owned(),
            store,
            events,
            looking: JoinSet::new(),
            looked_for: Vec::new(),
            rests: false,
            settling: Vec::new(),
        };
        let posts = driver.resolver.resume(&resume, now())?;
        driver.journal(posts)?;
        Ok(driver)
    }

    fn spawn(self) -> Handle {
        let (commands, orders) = mpsc::channel(16);
        let (stop, stopped) = oneshot::channel::<()>();
        let (alive, over) = watch::channel(());
        let task = tokio::spawn(async move {
            let _alive = Alive { _over: alive };
            let ended = self.run(orders, async { drop(stopped.await) }).await;
            if let Err(problem) = &ended {
                tracing::error!(%problem, "the resolver stopped: nothing is charged until the next start");
            }
            ended
        });
        Handle {
            commands,
            stop,
            over,
            task,
        }
    }

    async fn run(
        mut self,
        mut orders: mpsc::Receiver<Command>,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<()> {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut shutdown = std::pin::pin!(shutdown);
        let mut ordered = true;
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => return Ok(()),
                _ = ticks.tick() => self.tick()?,
                Some(found) = self.looking.join_next(), if !self.looking.is_empty() => self.found(found)?,
                order = orders.recv(), if ordered => match order {
                    Some(order) => self.obey(order)?,
                    None => ordered = false,
                },
                event = self.events.recv() => match event {
                    Some(event) => self.take_in(event)?,
                    // The store has been closed.
                    None => return Ok(()),
                },
            }
        }
    }

    fn tick(&mut self) -> Result<()> {
        self.rests = false;
        self.look_for_late();
        at_length(|| {
            let posts = self.resolver.tick(now())?;
            self.journal(posts)
        })
    }

    /// Takes in an event, and those that stand behind it already.
    fn take_in(&mut self, event: Event) -> Result<()> {
        let (mut told, mut rows, mut next) = (Vec::new(), 0, Some(event));
        while let Some(event) = next {
            if let Some(one) = self.told(event) {
                rows += one.batch.num_rows();
                told.push(one);
            }
            next = (rows < TOGETHER)
                .then(|| self.events.try_recv().ok())
                .flatten();
        }
        if told.is_empty() {
            return Ok(());
        }
        at_length(|| {
            let posts = self.resolver.spans(&told, now())?;
            self.journal(posts)
        })?;
        self.look_for_late();
        Ok(())
    }

    fn told(&self, event: Event) -> Option<Told> {
        match event {
            Event::Rows {
                workspace,
                origin,
                position,
                table: Table::Spans,
                batch,
            } if *workspace == *self.workspace => Some(Told {
                batch,
                position,
                origin,
            }),
            _ => None,
        }
    }

    /// Begins to read what the store holds of settled traces that got late spans. They wait; nothing else does.
    fn look_for_late(&mut self) {
        if self.rests || !self.looking.is_empty() {
            return;
        }
        if let Some(wanted) = self.resolver.wanted_first() {
            self.looked_for.clone_from(&wanted.traces);
            self.looking.spawn((self.look_up)(wanted));
        }
    }

    /// Takes in what was found of late spans' traces.
    fn found(&mut self, found: std::result::Result<Found, JoinError>) -> Result<()> {
        let looked_for = std::mem::take(&mut self.looked_for);
        let problem = match found {
            Ok(Ok(held)) => {
                let posts = self.resolver.reopen(&looked_for, &held, now())?;
                self.journal(posts)?;
                None
            }
            Ok(Err(problem)) => Some(problem.to_string()),
            Err(problem) => Some(problem.to_string()),
        };
        if let Some(problem) = problem {
            // They wait, and are looked for again at the next tick.
            tracing::warn!(traces = looked_for.len(), %problem, "late spans wait: their traces could not be read");
            self.rests = true;
        }
        for settling in &mut self.settling {
            for trace in &looked_for {
                settling.waits_for.remove(trace);
            }
        }
        self.settle_asked()?;
        self.look_for_late();
        Ok(())
    }

    /// Settles for everybody who asked, once what they wait for has been looked up.
    fn settle_asked(&mut self) -> Result<()> {
        let ready = |settling: &mut Settling| settling.waits_for.is_empty();
        let ready: Vec<Settling> = self.settling.extract_if(.., ready).collect();
        if ready.is_empty() {
            return Ok(());
        }
        let posts = self.resolver.settle_all(now())?;
        self.journal(posts)?;
        for settling in ready {
            // Whoever asked may have gone.
            let _ = settling.answer.send(self.resolver.counts());
        }
        Ok(())
    }

    fn obey(&mut self, order: Command) -> Result<()> {
        match order {
            Command::Counts(answer) => {
                // Whoever asked may have gone.
                let _ = answer.send(self.resolver.counts());
                Ok(())
            }
            Command::SettleAll(answer) => {
                // Appends publish before they return, so everything asked for is in the channel by now.
                for _ in 0..self.events.len() {
                    let Ok(event) = self.events.try_recv() else {
                        break;
                    };
                    self.take_in(event)?;
                }
                self.settling.push(Settling {
                    waits_for: self.resolver.wanted().into_iter().collect(),
                    answer,
                });
                self.settle_asked()
            }
        }
    }

    fn journal(&self, posts: Vec<Post>) -> Result<()> {
        for post in posts {
            self.store
                .journal(&self.workspace, post.origin, post.update)?;
        }
        Ok(())
    }
}

/// Does what takes milliseconds; whoever waits for this thread is given another, where there are several.
fn at_length<T>(work: impl FnOnce() -> T) -> T {
    match tokio::runtime::Handle::try_current().map(|here| here.runtime_flavor()) {
        Ok(tokio::runtime::RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

fn look_up_in(store: &Arc<Store>, workspace: &str) -> LookUp {
    let (store, workspace) = (Arc::clone(store), workspace.to_owned());
    Box::new(move |wanted: Wanted| {
        let (store, workspace) = (Arc::clone(&store), workspace.clone());
        Box::pin(async move {
            let (from, to) = (wanted.from_unix_nano, wanted.to_unix_nano);
            store
                .traces_between(&workspace, &wanted.traces, from, to)
                .await
        })
    })
}

fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
