//! Drives a [`Resolver`] with the store's events and the clock.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flyball_pricing::Book;
use flyball_store::{Event, Store, Table};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::options::{Counts, Options};
use super::posting::Post;
use super::state::{Resolver, Told};
use crate::{Error, Result};

/// How often traces are looked at for settling. Nothing that is known waits for it.
const TICK: Duration = Duration::from_millis(200);

/// Events that are taken in together, when more are there than were waited for.
const TOGETHER: usize = 256;

/// What may be asked of a running resolver.
#[derive(Debug)]
pub enum Command {
    /// Settle every trace of everything that was appended so far, and say what was done.
    SettleAll(oneshot::Sender<Counts>),
    /// Say what was done.
    Counts(oneshot::Sender<Counts>),
}

/// A resolver that runs in the background.
#[derive(Debug)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<()>>,
}

impl Handle {
    /// Settles every trace of everything that was appended before, so that a flush takes all charges along.
    ///
    /// # Errors
    /// [`Error::ResolverStopped`] when the resolver has stopped.
    pub async fn settle_all(&self) -> Result<Counts> {
        self.ask(Command::SettleAll).await
    }

    /// What was done since the start.
    ///
    /// # Errors
    /// [`Error::ResolverStopped`] when the resolver has stopped.
    pub async fn counts(&self) -> Result<Counts> {
        self.ask(Command::Counts).await
    }

    async fn ask(&self, command: fn(oneshot::Sender<Counts>) -> Command) -> Result<Counts> {
        let (answer, answered) = oneshot::channel();
        self.commands
            .send(command(answer))
            .await
            .map_err(|_| Error::ResolverStopped)?;
        answered.await.map_err(|_| Error::ResolverStopped)
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
    let (commands, orders) = mpsc::channel(16);
    let (stop, stopped) = oneshot::channel::<()>();
    let driver = Driver::start(store, workspace, book, &options).await?;
    let task = tokio::spawn(driver.run(orders, async {
        let _ = stopped.await;
    }));
    Ok(Handle {
        commands,
        stop,
        task,
    })
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

struct Driver {
    store: Arc<Store>,
    workspace: String,
    resolver: Resolver,
    events: mpsc::UnboundedReceiver<Event>,
}

impl Driver {
    async fn start(
        store: Arc<Store>,
        workspace: &str,
        book: Arc<Book>,
        options: &Options,
    ) -> Result<Self> {
        // Subscribed before it reads: what is appended in between comes twice, and counts once.
        let events = store.subscribe();
        let resume = store.resume(workspace).await?;
        let mut driver = Self {
            resolver: Resolver::new(workspace, book, options),
            workspace: workspace.to_owned(),
            store,
            events,
        };
        let posts = driver.resolver.resume(&resume, now())?;
        driver.journal(posts)?;
        Ok(driver)
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
                event = self.events.recv() => match event {
                    Some(event) => self.take_in(event).await?,
                    // The store has been closed.
                    None => return Ok(()),
                },
                order = orders.recv(), if ordered => match order {
                    Some(order) => self.obey(order).await?,
                    None => ordered = false,
                },
                _ = ticks.tick() => {
                    self.read_late().await?;
                    let posts = self.resolver.tick(now());
                    self.journal(posts)?;
                }
            }
        }
    }

    /// Takes in an event, and those that stand behind it already.
    async fn take_in(&mut self, event: Event) -> Result<()> {
        let mut told = Vec::new();
        told.extend(self.told(event));
        while told.len() < TOGETHER
            && let Ok(event) = self.events.try_recv()
        {
            told.extend(self.told(event));
        }
        if told.is_empty() {
            return Ok(());
        }
        let posts = self.resolver.spans(&told, now())?;
        self.journal(posts)?;
        self.read_late().await
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

    /// Reads what the store holds of settled traces that got late spans.
    async fn read_late(&mut self) -> Result<()> {
        let wanted = self.resolver.wanted();
        if wanted.is_empty() {
            return Ok(());
        }
        match self.store.traces(&self.workspace, &wanted).await {
            Ok(held) => {
                let posts = self.resolver.reopen(&wanted, &held, now())?;
                self.journal(posts)
            }
            Err(problem) => {
                // They wait, and are asked for again at the next tick.
                tracing::warn!(traces = wanted.len(), %problem, "late spans wait: their traces could not be read");
                Ok(())
            }
        }
    }

    async fn obey(&mut self, order: Command) -> Result<()> {
        let answer = match order {
            Command::Counts(answer) => answer,
            Command::SettleAll(answer) => {
                // Appends publish before they return, so everything asked for is in the channel by now.
                while let Ok(event) = self.events.try_recv() {
                    self.take_in(event).await?;
                }
                self.read_late().await?;
                let posts = self.resolver.settle_all(now());
                self.journal(posts)?;
                answer
            }
        };
        // Whoever asked may have gone.
        let _ = answer.send(self.resolver.counts());
        Ok(())
    }

    fn journal(&self, posts: Vec<Post>) -> Result<()> {
        for post in posts {
            self.store
                .journal(&self.workspace, post.origin, post.update)?;
        }
        Ok(())
    }
}

fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
