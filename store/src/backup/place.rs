//! Where backups are: a folder or a bucket.

use std::collections::HashMap;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use sha2::{Digest, Sha256};
use url::Url;

use super::manifest::{FORMAT, Manifest};
use crate::config::Config;
use crate::disk::Local;
use crate::error::{Error, Result};
use crate::folder;
use crate::objects::Objects;

/// Where backups are, by path or URL, with the options of the object store.
#[derive(Debug, Clone, Default)]
pub struct BackupPlace {
    /// A path, or `file://`, `s3://`, `gs://`, `az://`.
    pub url: String,
    /// Options of the object store; those of the environment come below them.
    pub storage_options: HashMap<String, String>,
}

/// A place, opened.
#[derive(Debug, Clone)]
pub(super) struct Opened {
    /// Rooted at the place.
    pub(super) store: Arc<dyn ObjectStore>,
    /// The folder, if it is one of this machine.
    folder: Option<PathBuf>,
    name: String,
}

impl BackupPlace {
    /// The URL, and the folder if it is one of this machine.
    fn resolve(&self) -> Result<(String, Option<PathBuf>)> {
        let folder = match Url::parse(&self.url) {
            Ok(url) if url.scheme() == "file" => url.to_file_path().ok(),
            Ok(_) => None,
            Err(_) if self.url.contains("://") => None,
            Err(_) => Some(
                std::path::absolute(&self.url)
                    .map_err(Error::file("resolve", FsPath::new(&self.url)))?,
            ),
        };
        let url = match &folder {
            Some(folder) => {
                Url::from_directory_path(folder).map_or_else(|()| self.url.clone(), String::from)
            }
            None => self.url.clone(),
        };
        Ok((url, folder))
    }

    /// Opens it to write; a folder is made.
    pub(super) fn make(&self) -> Result<Opened> {
        let (url, folder) = self.resolve()?;
        let objects = Objects::open(&Config {
            tables_url: Some(url),
            storage_options: self.storage_options.clone(),
            ..Config::local("")
        });
        let objects = objects.map_err(|error| match error {
            Error::TablesUrl { url, reason } => Error::BackupUrl { url, reason },
            other => other,
        })?;
        let (store, root) = objects.root();
        Ok(Opened {
            store: Arc::new(PrefixStore::new(store, root)),
            folder,
            name: self.url.clone(),
        })
    }

    /// Opens it to read.
    pub(super) fn open(&self) -> Result<Opened> {
        if let (_, Some(folder)) = self.resolve()?
            && !folder.is_dir()
        {
            return Err(Error::NoBackup {
                place: self.url.clone(),
                wanted: None,
            });
        }
        self.make()
    }
}

/// Manifests of all complete backups of a place, the earliest first.
///
/// # Errors
/// [`Error::NoBackup`] when there is no such folder; [`Error::BackupDamaged`] names a manifest that was changed.
pub async fn list(place: &BackupPlace) -> Result<Vec<Manifest>> {
    let place = place.open()?;
    let mut manifests = Vec::new();
    for (_, path) in place.backups().await? {
        manifests.push(place.read(&path).await?);
    }
    Ok(manifests)
}

/// The folder of one backup.
pub(super) fn folder(id: &str) -> Path {
    Path::from("backups").join(id)
}

/// Where a file of a table lies.
pub(super) fn table_file(workspace: &str, table: &str, path: &str) -> Path {
    Path::from(format!("files/{workspace}/{table}/{path}"))
}

/// Where a file of the data directory lies.
pub(super) fn local_file(id: &str, name: &str) -> Path {
    Path::from(format!("backups/{id}/local/{name}"))
}

impl Opened {
    /// In a folder of this machine, nobody else gets to keys and prompts.
    pub(super) fn keep_private(&self) -> Result<()> {
        let Some(root) = &self.folder else {
            return Ok(());
        };
        for name in ["files", "backups"] {
            let folder = root.join(name);
            folder::create_private(&Local, &folder).map_err(Error::file("create", &folder))?;
        }
        Ok(())
    }

    /// Sizes of the files of tables that are there, by path.
    pub(super) async fn files(&self) -> Result<HashMap<Path, u64>> {
        let under = Path::from("files");
        let listed = self.store.list(Some(&under));
        listed
            .map_ok(|object| (object.location, object.size))
            .try_collect()
            .await
            .map_err(Error::objects("list the files of a backup"))
    }

    /// Writes a manifest, unless there is one of that name.
    pub(super) async fn publish(&self, manifest: &Manifest) -> Result<String> {
        let bytes = serde_json::to_vec_pretty(manifest).map_err(|error| Error::BackupDamaged {
            path: manifest.id.clone(),
            reason: format!("its manifest cannot be written: {error}"),
        })?;
        let sha256 = hex::encode(Sha256::digest(&bytes));
        let path = folder(&manifest.id).join(format!("manifest-{sha256}.json"));
        let create = PutOptions {
            mode: PutMode::Create,
            ..PutOptions::default()
        };
        let written = self.store.put_opts(&path, bytes.into(), create).await;
        written.map_err(Error::objects("write the manifest of a backup"))?;
        Ok(sha256)
    }

    /// Ids of all backups that are complete, the earliest first, with the path of their manifests.
    pub(super) async fn backups(&self) -> Result<Vec<(String, Path)>> {
        let under = Path::from("backups");
        let folders = self.store.list_with_delimiter(Some(&under)).await;
        let folders = folders.map_err(Error::objects("list backups"))?;
        let mut found = Vec::new();
        for folder in folders.common_prefixes {
            let files = self.store.list_with_delimiter(Some(&folder)).await;
            let files = files.map_err(Error::objects("list the files of a backup"))?;
            let mut paths = files.objects.into_iter().map(|object| object.location);
            let manifest =
                paths.find(|path| path.filename().is_some_and(|name| sum(name).is_some()));
            if let (Some(id), Some(manifest)) = (folder.filename(), manifest) {
                found.push((id.to_owned(), manifest));
            }
        }
        found.sort();
        Ok(found)
    }

    /// The manifest of one backup; without a name, of the latest.
    pub(super) async fn manifest(&self, id: Option<&str>) -> Result<Manifest> {
        let mut backups = self.backups().await?;
        if let Some(id) = id {
            backups.retain(|(name, _)| name == id);
        }
        let Some((_, path)) = backups.pop() else {
            return Err(Error::NoBackup {
                place: self.name.clone(),
                wanted: id.map(str::to_owned),
            });
        };
        self.read(&path).await
    }

    /// The manifest of the latest backup that a node took.
    pub(super) async fn latest_of(&self, node: &str) -> Result<Option<Manifest>> {
        for (_, path) in self.backups().await?.into_iter().rev() {
            let manifest = self.read(&path).await?;
            if manifest.node == node {
                return Ok(Some(manifest));
            }
        }
        Ok(None)
    }

    /// Reads a manifest, which must have the hash that its name says.
    pub(super) async fn read(&self, path: &Path) -> Result<Manifest> {
        let cannot = || Error::objects("read the manifest of a backup");
        let got = self.store.get(path).await.map_err(cannot())?;
        let bytes = got.bytes().await.map_err(cannot())?;
        let damaged = |reason: String| Error::BackupDamaged {
            path: path.to_string(),
            reason,
        };
        let found = hex::encode(Sha256::digest(&bytes));
        if path.filename().and_then(sum) != Some(&found) {
            return Err(damaged(format!("its SHA-256 is {found}")));
        }
        let manifest: Manifest =
            serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        if manifest.format != FORMAT {
            let reason = format!(
                "it is of form {}, this version of Flyball reads form {FORMAT}",
                manifest.format
            );
            return Err(damaged(reason));
        }
        Ok(manifest)
    }
}

/// The hash in a manifest's name.
fn sum(name: &str) -> Option<&str> {
    let sum = name.strip_prefix("manifest-")?.strip_suffix(".json")?;
    (sum.len() == 64).then_some(sum)
}
