//! Taking a backup while the store runs.

use std::collections::HashMap;
use std::path::{Path as FsPath, PathBuf};

use chrono::{DateTime, Utc};
use deltalake::DeltaTable;
use deltalake::kernel::Add;
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::path::Path;

use super::copy::{Look, copy, look};
use super::local;
use super::manifest::{FORMAT, LedgerHead, LocalFile, Manifest, TableFile, TableVersion};
use super::place::{self, BackupPlace, Opened};
use super::progress::Progress;
use crate::append::OwnEvent;
use crate::error::{Error, Result};
use crate::ledger;
use crate::log::LogPosition;
use crate::rows::{AuditRow, Micros};
use crate::store::Store;
use crate::table::Table;
use crate::tables;

/// Files that are copied at the same time.
const COPIES: usize = 4;

/// What a backup may leave out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BackupOptions {
    /// Leave out the key that signs the ledger, and any other.
    pub without_keys: bool,
}

/// A backup that was taken.
#[derive(Debug, Clone)]
pub struct Taken {
    /// What it holds.
    pub manifest: Manifest,
    /// SHA-256 of the manifest, as its name and the ledger say it.
    pub sha256: String,
}

/// A table as of the backup.
struct Source {
    workspace: String,
    table: Table,
    delta: DeltaTable,
    position: LogPosition,
}

impl Store {
    /// Flushes all tables at one position of the log, and copies those versions, the digests of requests and the
    /// other files of the data directory to a place. Requests are taken in meanwhile. Files that are in the place
    /// already are not copied again, so a backup that was cut off goes on where it was when it is taken again.
    /// In the end every workspace's ledger says so.
    ///
    /// # Errors
    /// [`Error::BackupUrl`]; [`Error::ReadOnly`] and [`Error::Closed`]; what flushing, reading and writing say.
    /// What was copied by then stays, and is no backup.
    pub async fn backup(
        &self,
        place: &BackupPlace,
        options: BackupOptions,
        progress: &Progress,
    ) -> Result<Taken> {
        self.open_log()?;
        let place = place.make()?;
        place.keep_private()?;
        let keys = !options.without_keys;
        let data_dir = self.config.data_dir.clone();
        // In the data directory, so that keys stay where they may lie; gone with this.
        let scratch = tempfile::Builder::new()
            .prefix("backup-")
            .tempdir_in(&data_dir)
            .map_err(Error::file("make a folder in", &data_dir))?;
        // Files of old versions stay until everything is copied.
        let held = self.held.read().await;
        let (before, after) = local::listed(&data_dir, keys)?;
        let mut staged = stage(&data_dir, before, scratch.path()).await?;
        let taken_at = Utc::now();
        let (position, flusher) = self.flush_to_one_point().await?;
        let sources = self.sources();
        self.save_digests(position).await?;
        let late = stage(&data_dir, after, scratch.path()).await?;
        drop(flusher);
        local::forget_past(&late, position)?;
        staged.extend(late);
        let node = self.node().to_owned();
        let mut manifest = Manifest {
            format: FORMAT,
            id: id(taken_at, &node),
            flyball: env!("CARGO_PKG_VERSION").to_owned(),
            taken_at,
            node,
            log_position: position,
            keys,
            tables: Vec::new(),
            local: Vec::new(),
            ledgers: ledgers(&sources).await?,
        };
        manifest.tables = copy_tables(&place, &sources, progress).await?;
        drop(held);
        manifest.local = copy_local(&place, &manifest.id, &staged, progress).await?;
        let sha256 = place.publish(&manifest).await?;
        self.say_taken(&manifest, &sha256).await;
        Ok(Taken { manifest, sha256 })
    }

    /// Every table that exists, of every workspace.
    fn sources(&self) -> Vec<Source> {
        let mut state = self.state.lock();
        let names: Vec<_> = state.workspaces.keys().cloned().collect();
        let mut sources = Vec::new();
        for name in names {
            for table in Table::ALL {
                let version = state.workspace_mut(&name).version_mut(table);
                sources.extend(version.delta.clone().map(|delta| Source {
                    workspace: name.to_string(),
                    table,
                    delta,
                    position: version.committed,
                }));
            }
        }
        sources
    }

    async fn say_taken(&self, manifest: &Manifest, sha256: &str) {
        for workspace in self.workspaces() {
            let record = serde_json::json!({
                "backup": manifest.id,
                "manifest_sha256": sha256,
                "log_position": manifest.log_position,
                "keys": manifest.keys,
            });
            let row = AuditRow {
                at: Micros(Utc::now().timestamp_micros()),
                event: "backup.taken".to_owned(),
                actor: "flyball".to_owned(),
                subject: format!("backup:{}", manifest.id),
                record: record.to_string(),
                ..AuditRow::default()
            };
            if let Err(error) = self.record(&workspace, OwnEvent::Audit(row)).await {
                tracing::warn!(workspace, backup = manifest.id, %error, "the ledger could not be told of a backup");
            }
        }
    }
}

/// Such as `20261122T060000Z-1f0c9b2a`.
fn id(at: DateTime<Utc>, node: &str) -> String {
    let node: String = node.chars().take(8).collect();
    format!("{}-{node}", at.format("%Y%m%dT%H%M%SZ"))
}

async fn stage(
    data_dir: &FsPath,
    files: Vec<(String, local::Kind)>,
    scratch: &FsPath,
) -> Result<Vec<(String, PathBuf)>> {
    let (data_dir, scratch) = (data_dir.to_owned(), scratch.to_owned());
    tokio::task::spawn_blocking(move || local::stage(&data_dir, &files, &scratch)).await?
}

async fn ledgers(sources: &[Source]) -> Result<Vec<LedgerHead>> {
    let mut heads = Vec::new();
    for source in sources.iter().filter(|source| source.table == Table::Audit) {
        let (seq, hash) = ledger::head_of_files(&source.delta, &source.workspace).await?;
        heads.push(LedgerHead {
            workspace: source.workspace.clone(),
            seq,
            hash,
        });
    }
    Ok(heads)
}

/// Copies what is not there yet; a hash that the latest backup knows is not computed again.
async fn copy_tables(
    place: &Opened,
    sources: &[Source],
    progress: &Progress,
) -> Result<Vec<TableVersion>> {
    let there = place.files().await?;
    let known = known(place).await?;
    let mut tables = Vec::new();
    let mut jobs = Vec::new();
    for (at, source) in sources.iter().enumerate() {
        let (version, files) = described(source)?;
        tables.push(version);
        let from = source.delta.log_store().object_store(None);
        for (add, rows) in files {
            progress.expect(add.size.max(0) as u64);
            let target = place::table_file(&source.workspace, source.table.name(), &add.path);
            let there = there.get(&target) == Some(&(add.size.max(0) as u64));
            let known = known.get(&target).filter(|_| there).cloned();
            let from = std::sync::Arc::clone(&from);
            jobs.push(async move {
                let (sha256, copied) = match known {
                    Some(sha256) => (sha256, false),
                    None => one(from.as_ref(), &add, place.store.as_ref(), &target, there).await?,
                };
                progress.done(add.size.max(0) as u64, copied);
                Ok::<_, Error>((at, TableFile { add, sha256, rows }))
            });
        }
    }
    let mut copied = futures::stream::iter(jobs).buffered(COPIES);
    while let Some((at, file)) = copied.try_next().await? {
        tables[at].files.push(file);
    }
    Ok(tables)
}

/// One file: copied, or only read if one of its name and size is there, since files never change.
async fn one(
    from: &dyn ObjectStore,
    add: &Add,
    to: &dyn ObjectStore,
    target: &Path,
    there: bool,
) -> Result<(String, bool)> {
    let source = Path::from(add.path.as_str());
    let found = if there {
        let looked = look(from, &source).await;
        looked.map_err(Error::objects("read a file of a table"))?
    } else {
        copy((from, &source), (to, target), None).await?
    };
    if found.size != add.size.max(0) as u64 {
        return Err(Error::BackupDamaged {
            path: add.path.clone(),
            reason: format!("it has {} bytes, {} were written", found.size, add.size),
        });
    }
    Ok((found.sha256, !there))
}

/// Hashes of files as the latest backup of the place knows them.
async fn known(place: &Opened) -> Result<HashMap<Path, String>> {
    let latest = match place.manifest(None).await {
        Ok(latest) => latest,
        Err(Error::NoBackup { .. }) => return Ok(HashMap::new()),
        Err(error) => {
            tracing::warn!(%error, "the latest backup cannot be read: the hashes it knew are computed again");
            return Ok(HashMap::new());
        }
    };
    let files = latest.tables.into_iter().flat_map(|table| {
        let (workspace, name) = (table.workspace, table.table);
        table.files.into_iter().map(move |file| {
            (
                place::table_file(&workspace, &name, &file.add.path),
                file.sha256,
            )
        })
    });
    Ok(files.collect())
}

/// A table as the manifest has it, without its files, and these.
fn described(source: &Source) -> Result<(TableVersion, Vec<(Add, Option<u64>)>)> {
    let state = source.delta.snapshot().map_err(|error| Error::Delta {
        table: tables::full_name(&source.workspace, source.table),
        doing: "list its files",
        source: Box::new(error),
    })?;
    let listed = state.log_data();
    let files = listed.iter().map(|file| {
        let rows = file.num_records().map(|rows| rows as u64);
        (tables::add_of(&file), rows)
    });
    let version = TableVersion {
        workspace: source.workspace.clone(),
        table: source.table.name().to_owned(),
        version: source.delta.version().unwrap_or(0),
        position: source.position,
        columns: tables::columns(state.schema().as_ref()),
        files: Vec::new(),
    };
    Ok((version, files.collect()))
}

async fn copy_local(
    place: &Opened,
    id: &str,
    staged: &[(String, PathBuf)],
    progress: &Progress,
) -> Result<Vec<LocalFile>> {
    let from = LocalFileSystem::new();
    let mut files = Vec::new();
    for (name, path) in staged {
        let source = Path::from_absolute_path(path).map_err(|error| Error::BackupDamaged {
            path: path.display().to_string(),
            reason: error.to_string(),
        })?;
        let target = place::local_file(id, name);
        let Look { size, sha256 } =
            copy((&from, &source), (place.store.as_ref(), &target), None).await?;
        progress.expect(size);
        progress.done(size, true);
        files.push(LocalFile {
            name: name.clone(),
            size,
            sha256,
        });
    }
    Ok(files)
}
