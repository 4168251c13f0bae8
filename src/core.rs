//! What every command that owns the data directory needs: store, resolver, way in, way to ask.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use flyball_ingest::door::Door;
use flyball_ingest::otlp::Limits;
use flyball_ingest::pipeline::{Ingest, Replay};
use flyball_ingest::resolver::{self, Options};
use flyball_pricing::Book;
use flyball_query::Engine;
use flyball_store::{ApiKeys, Store, make_secret};

use crate::config::Config;
use crate::price_change;
use crate::prices::{self, ImportBook};

/// The only workspace there is.
pub(crate) const WORKSPACE: &str = "default";

/// Store, resolver, ingest and query, without a port.
pub(crate) struct Core {
    /// What is kept.
    pub(crate) store: Arc<Store>,
    /// The way in.
    pub(crate) ingest: Arc<Ingest>,
    /// The way to ask.
    pub(crate) engine: Arc<Engine>,
    /// Who may come in.
    pub(crate) keys: Arc<ApiKeys>,
    /// A secret of this run that opens everything, for whoever can read the data directory.
    pub(crate) local_secret: String,
    resolver: resolver::Handle,
    options: Options,
    data_dir: PathBuf,
    rolls_up: bool,
}

impl Core {
    /// Takes the directory, recovers, and sets the resolver to work where it stopped.
    pub(crate) async fn open(config: &Config) -> Result<Self> {
        let keys = Arc::new(ApiKeys::open(&config.store)?);
        let store = Store::open(config.store.clone(), replay_with(config, &keys)).await?;
        // Whoever had the directory before us may have changed them.
        keys.reload()?;
        // Should a crash have come between a change of the keys and its record.
        keys.tell(&store).await?;
        let data_dir = &config.store.data_dir;
        if let Some(book) = ImportBook::left_behind(data_dir)? {
            let resolver = start(&store, book.book()?, &options(config)).await?;
            resolver.settle_all().await?;
            resolver.stop().await?;
            store.flush().await?;
            ImportBook::forget(data_dir)?;
        }
        let book = prices::configured(config)?;
        let source = config.prices_file.as_deref();
        price_change::note(&store, WORKSPACE, data_dir, source, &book).await?;
        Self::over(store, keys, book, config).await
    }

    /// The same for `import --prices`: what is there is settled with the configured book, what comes is
    /// priced with this one.
    pub(crate) async fn open_to_import(config: &Config, prices: Option<&Path>) -> Result<Self> {
        let book = prices.map(ImportBook::read).transpose()?;
        let mut core = Self::open(config).await?;
        let (Some(book), Some(path)) = (book, prices) else {
            return Ok(core);
        };
        core.resolver.settle_all().await?;
        core.store.flush().await?;
        book.keep(&core.data_dir)?;
        let book = book.book()?;
        price_change::note_import(&core.store, WORKSPACE, path, &book).await?;
        let resolver = start(&core.store, book, &core.options).await?;
        std::mem::replace(&mut core.resolver, resolver)
            .stop()
            .await?;
        Ok(core)
    }

    /// The same for a command that only reads: nothing is written, the log is replayed into memory.
    pub(crate) async fn open_to_read(config: &Config) -> Result<Self> {
        let keys = Arc::new(ApiKeys::open(&config.store)?);
        let replay = replay_with(config, &keys);
        let store = Store::open_read_only(config.store.clone(), replay).await?;
        let book = match ImportBook::left_behind(&config.store.data_dir)? {
            Some(book) => book.book()?,
            None => prices::configured(config)?,
        };
        // Not even for what does not fit into memory.
        let mut config = config.clone();
        config.query.spill_dir = None;
        Self::over(store, keys, book, &config).await
    }

    async fn over(
        store: Arc<Store>,
        keys: Arc<ApiKeys>,
        book: Book,
        config: &Config,
    ) -> Result<Self> {
        let engine = Engine::new(Arc::clone(&store) as _, config.query.clone()).await?;
        let options = options(config);
        let resolver = start(&store, book, &options).await?;
        let limits = Limits::of_body(config.request_bytes_max);
        let ingest = Ingest::new(Arc::clone(&store) as _, limits);
        let local_secret = make_secret()?;
        let door = Door::with_keys(Arc::clone(&keys)).with_local(&local_secret);
        let ingest = ingest.with_policy(config.policy.clone());
        let ingest = Arc::new(ingest.with_door(Arc::new(door)));
        let data_dir = config.store.data_dir.clone();
        Ok(Self {
            store,
            ingest,
            engine,
            keys,
            local_secret,
            resolver,
            options,
            data_dir,
            rolls_up: !config.store.rollup_every.is_zero(),
        })
    }

    /// Asks the resolver what it has done.
    pub(crate) fn asker(&self) -> resolver::Asker {
        self.resolver.asker()
    }

    /// Comes true when the resolver has ended: without it no charge is entered and no rule sees anything.
    pub(crate) fn resolver_ended(&self) -> impl Future<Output = ()> + Send + 'static {
        self.resolver.ended()
    }

    /// Settles every open trace, as an import does at its end, and closes.
    pub(crate) async fn settle_and_close(self) -> Result<()> {
        self.resolver.settle_all().await?;
        let data_dir = self.data_dir.clone();
        // Without a server nobody sums the minutes later. Should it fail, the journal answers as it did.
        if self.rolls_up && self.store.flush().await.is_ok() {
            let _ = self.store.roll_up().await;
        }
        self.close().await?;
        // Only now: until the charges are flushed, the book may be needed again.
        ImportBook::forget(&data_dir)
    }

    /// Stops the resolver, flushes, and gives the directory back.
    pub(crate) async fn close(self) -> Result<()> {
        // The store is closed whatever became of the resolver: what is acknowledged is flushed.
        let stopped = self.resolver.stop().await;
        self.store.close().await?;
        Ok(stopped?)
    }
}

async fn start(store: &Arc<Store>, book: Book, options: &Options) -> Result<resolver::Handle> {
    let store = Arc::clone(store);
    Ok(resolver::start(store, WORKSPACE, Arc::new(book), options.clone()).await?)
}

/// Reads the log again, as it was read when it came.
pub(crate) fn replay(config: &Config) -> Result<Arc<Replay>> {
    let keys = Arc::new(ApiKeys::open(&config.store)?);
    Ok(replay_with(config, &keys))
}

fn replay_with(config: &Config, keys: &Arc<ApiKeys>) -> Arc<Replay> {
    let replay = Replay::with_policy(config.policy.clone());
    Arc::new(replay.with_keys(Arc::clone(keys)))
}

fn options(config: &Config) -> Options {
    Options {
        escalation_tools: config.escalation_tools.clone(),
        ..Options::default()
    }
}
