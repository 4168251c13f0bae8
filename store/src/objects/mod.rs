//! Where tables live: a local folder or a bucket, as one [`ObjectStore`].

//!
//! Whatever it is, it is reached through one decorator ([`guarded`]): a limit, retries, figures.

mod cloud;
mod durable_local;
mod figures;
mod guarded;

pub use durable_local::DurableLocal;
pub use figures::{LATENCY_BUCKETS_MS, ObjectOperation};

use std::collections::HashMap;
use std::path::Path as FsPath;
use std::sync::Arc;
use std::time::Duration;

use deltalake::logstore::{LogStoreRef, StorageConfig, default_logstore};
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{
    ObjectStore, ObjectStoreExt, ObjectStoreScheme, PutMode, PutOptions, PutPayload,
};
use url::Url;

use guarded::Guarded;

use crate::config::Config;
use crate::disk::Local;
use crate::error::{Error, Result};
use crate::folder;
use crate::log::LogPosition;
use crate::table::Table;

/// An object store and the folder in it under which everything of ours lies.
#[derive(Debug, Clone)]
pub(crate) struct Objects {
    store: Arc<dyn ObjectStore>,
    guarded: Guarded,
    url: Url,
    root: Path,
    /// Opened by us: another client of the same kind can be had.
    ours: bool,
    /// Of the process that took the tables over, where several machines may believe to be the same node.
    epoch: Option<LogPosition>,
}

/// So many operations run at the same time unless told otherwise.
const AT_ONCE: usize = 64;
/// The same for the log: it never waits for the tables.
const LOG_AT_ONCE: usize = 8;
/// How long the store may take to show that it is there.
const PATIENCE: Duration = Duration::from_secs(5);

impl Objects {
    /// Opens what the configuration names. Local folders are created.
    pub(crate) fn open(config: &Config) -> Result<Self> {
        let Some(text) = &config.tables_url else {
            return Self::local(&config.data_dir.join("tables")).map(Self::opened);
        };
        let refused = |reason: String| Error::TablesUrl {
            url: text.clone(),
            reason,
        };
        let url = Url::parse(text).map_err(|error| refused(error.to_string()))?;
        let (scheme, _) =
            ObjectStoreScheme::parse(&url).map_err(|error| refused(error.to_string()))?;
        if scheme == ObjectStoreScheme::Local {
            let path = url
                .to_file_path()
                .map_err(|()| refused("it is not an absolute path".into()))?;
            return Self::local(&path).map(Self::opened);
        }
        let store = cloud::open(&scheme, &url, &config.storage_options).map_err(refused)?;
        Self::on(store, url).map(Self::opened)
    }

    fn opened(mut self) -> Self {
        self.ours = true;
        self
    }

    /// A local folder, created when missing, written with fsync.
    pub(crate) fn local(path: &FsPath) -> Result<Self> {
        folder::create(&Local, path).map_err(Error::file("create", path))?;
        let folder = path.canonicalize().map_err(Error::file("resolve", path))?;
        let refused = |reason: &str| Error::TablesUrl {
            url: folder.display().to_string(),
            reason: reason.into(),
        };
        if folder.as_os_str().to_string_lossy().contains('%') {
            // Readers of Delta tables decode it, and look in another folder.
            return Err(refused(
                "a folder whose name has a % in it can't hold Delta tables",
            ));
        }
        let url = Url::from_directory_path(&folder)
            .map_err(|()| refused("it is not an absolute path"))?;
        Self::on(Arc::new(DurableLocal::new()), url)
    }

    /// A store of the caller's making; the URL says which folder of it is ours.
    pub(crate) fn on(store: Arc<dyn ObjectStore>, mut url: Url) -> Result<Self> {
        let folder = format!("{}/", url.path().trim_end_matches('/'));
        url.set_path(&folder);
        let refused = |reason: String| Error::TablesUrl {
            url: url.to_string(),
            reason,
        };
        let (_, root) =
            ObjectStoreScheme::parse(&url).map_err(|error| refused(error.to_string()))?;
        let guarded = Guarded::new(store, AT_ONCE);
        Ok(Self {
            store: Arc::new(guarded.clone()),
            guarded,
            url,
            root,
            ours: false,
            epoch: None,
        })
    }

    /// The same for the process that this epoch belongs to.
    pub(crate) fn of_epoch(mut self, epoch: LogPosition) -> Self {
        self.epoch = Some(epoch);
        self
    }

    /// Which process may commit: see [`Objects::of_epoch`].
    pub(crate) fn epoch(&self) -> Option<LogPosition> {
        self.epoch
    }

    /// A store for the log, counted with this one, and the folder in it. A client of its own, since it is driven
    /// by a runtime of its own; a store of the caller's making is shared.
    pub(crate) fn beside(
        &self,
        text: &str,
        options: &HashMap<String, String>,
    ) -> Result<(Arc<dyn ObjectStore>, Path)> {
        let refused = |reason: String| Error::LogUnusable {
            reason: format!(
                "store.log_url {text:?}: {reason}. Accepted: s3://bucket/path, gs://bucket/path, az://container/path, file:///path"
            ),
        };
        let url = Url::parse(text).map_err(|error| refused(error.to_string()))?;
        let (scheme, root) =
            ObjectStoreScheme::parse(&url).map_err(|error| refused(error.to_string()))?;
        let store: Arc<dyn ObjectStore> = match scheme {
            _ if !self.ours => self.guarded.inner(),
            ObjectStoreScheme::Local => Arc::new(DurableLocal::new()),
            _ => cloud::open(&scheme, &url, options).map_err(refused)?,
        };
        Ok((Arc::new(self.guarded.beside(store, LOG_AT_ONCE)), root))
    }

    /// The same with another limit on the operations that run at the same time.
    pub(crate) fn limited(mut self, at_once: usize) -> Self {
        self.guarded = self.guarded.limited(at_once);
        self.store = Arc::new(self.guarded.clone());
        self
    }

    /// What was asked of the store so far, and how it answered.
    pub(crate) fn figures(&self) -> Vec<ObjectOperation> {
        self.guarded.figures()
    }

    /// Whether the store answers at all, cheaply: it is asked for an object that is not there.
    pub(crate) async fn answers(&self) -> Result<()> {
        let path = self.root.clone().join("_probe");
        let asked = tokio::time::timeout(PATIENCE, self.store.head(&path)).await;
        match asked {
            Ok(Ok(_) | Err(object_store::Error::NotFound { .. })) => Ok(()),
            Ok(Err(error)) => Err(Error::objects("reach it")(error)),
            Err(late) => Err(Error::objects("reach it")(object_store::Error::Generic {
                store: "object store",
                source: late.into(),
            })),
        }
    }

    /// The store, and the folder of it that is ours.
    pub(crate) fn root(&self) -> (Arc<dyn ObjectStore>, Path) {
        (Arc::clone(&self.store), self.root.clone())
    }

    /// Finds out whether the store refuses to overwrite. One that does not would let two writers destroy each
    /// other's commits, so it is refused.
    pub(crate) async fn probe(&self) -> Result<()> {
        let path = self
            .root
            .clone()
            .join(format!("_probe-{}", uuid::Uuid::new_v4()));
        let create = || PutOptions {
            mode: PutMode::Create,
            ..PutOptions::default()
        };
        let first = self
            .store
            .put_opts(&path, PutPayload::from_static(b"1"), create())
            .await;
        first.map_err(Error::objects("write a probe"))?;
        let second = self
            .store
            .put_opts(&path, PutPayload::from_static(b"2"), create())
            .await;
        if let Err(error) = self.store.delete(&path).await {
            tracing::warn!(%error, %path, "the probe object could not be removed");
        }
        match second {
            Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
            Ok(_) | Err(object_store::Error::NotImplemented { .. }) => Err(Error::NoPutIfAbsent {
                url: self.url.to_string(),
            }),
            Err(error) => Err(Error::objects("write a probe")(error)),
        }
    }

    /// Names of the folders right under the root: the workspaces.
    pub(crate) async fn folders(&self) -> Result<Vec<String>> {
        let list = self.store.list_with_delimiter(Some(&self.root)).await;
        let list = list.map_err(Error::objects("list workspaces"))?;
        Ok(list
            .common_prefixes
            .iter()
            .filter_map(|path| path.filename().map(str::to_owned))
            .collect())
    }

    /// The store as seen from a table's folder, and Delta's log on it.
    pub(crate) fn log_store(&self, workspace: &str, table: Table) -> Result<LogStoreRef> {
        let folder = format!("{workspace}/{}/", table.name());
        let url = self.url.join(&folder).map_err(|error| Error::TablesUrl {
            url: self.url.to_string(),
            reason: format!("it has no folder {folder}: {error}"),
        })?;
        let prefix = self.root.clone().join(workspace).join(table.name());
        let prefixed = Arc::new(PrefixStore::new(Arc::clone(&self.store), prefix));
        Ok(default_logstore(
            prefixed,
            Arc::clone(&self.store),
            &url,
            &StorageConfig::default(),
        ))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn places_that_keep_nothing_are_refused_with_what_is_accepted() {
        for url in ["memory:///", "http://example.com/x", "tables", "ftp://x/y"] {
            let config = Config {
                tables_url: Some(url.into()),
                ..Config::local("/nowhere")
            };
            let error = Objects::open(&config).unwrap_err().to_string();
            assert!(error.contains(url) && error.contains("s3://"), "{error}");
        }
    }

    #[tokio::test]
    async fn the_probe_passes_a_local_folder_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let objects = Objects::local(dir.path()).unwrap();
        objects.probe().await.unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
