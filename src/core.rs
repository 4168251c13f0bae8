//! What every command that owns the data directory needs: store, resolver, way in, way to ask.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use flyball_ingest::otlp::Limits;
use flyball_ingest::pipeline::{Ingest, Replay};
use flyball_ingest::resolver;
use flyball_pricing::Book;
use flyball_query::Engine;
use flyball_store::Store;

use crate::config::Config;

/// The only workspace until keys are configured.
pub(crate) const WORKSPACE: &str = "default";

/// Store, resolver, ingest and query, without a port.
pub(crate) struct Core {
    /// What is kept.
    pub store: Arc<Store>,
    /// The way in.
    pub ingest: Arc<Ingest>,
    /// The way to ask.
    pub engine: Arc<Engine>,
    resolver: resolver::Handle,
}

impl Core {
    /// Takes the directory, recovers, and sets the resolver to work where it stopped.
    pub(crate) async fn open(config: &Config) -> Result<Self> {
        Self::over(
            Store::open(config.store.clone(), Arc::new(Replay)).await?,
            config,
        )
        .await
    }

    /// The same for a command that only reads: nothing is written, the log is replayed into memory.
    pub(crate) async fn open_to_read(config: &Config) -> Result<Self> {
        Self::over(
            Store::open_read_only(config.store.clone(), Arc::new(Replay)).await?,
            config,
        )
        .await
    }

    async fn over(store: Arc<Store>, config: &Config) -> Result<Self> {
        let book = match &config.prices_file {
            Some(path) => {
                Book::read(path).with_context(|| format!("prices.file {}", path.display()))?
            }
            None => Book::builtin()?,
        };
        let options = flyball_query::Config {
            memory_bytes: config.query_memory_bytes,
            ..flyball_query::Config::default()
        };
        let engine = Engine::new(Arc::clone(&store) as _, options).await?;
        let resolver = resolver::start(
            Arc::clone(&store),
            WORKSPACE,
            Arc::new(book),
            resolver::Options::default(),
        )
        .await?;
        let ingest = Arc::new(Ingest::new(
            Arc::clone(&store) as _,
            Limits::of_body(config.request_bytes_max),
        ));
        Ok(Self {
            store,
            ingest,
            engine,
            resolver,
        })
    }

    /// Settles every open trace, as an import does at its end, and closes.
    pub(crate) async fn settle_and_close(self) -> Result<()> {
        self.resolver.settle_all().await?;
        self.close().await
    }

    /// Stops the resolver, flushes, and gives the directory back.
    pub(crate) async fn close(self) -> Result<()> {
        self.resolver.stop().await?;
        self.store.close().await?;
        Ok(())
    }
}
