//! Whether a backup is as it was written: every file is read again.

use std::sync::Arc;

use futures::StreamExt;
use object_store::ObjectStore;
use object_store::path::Path;
use object_store::prefix::PrefixStore;

use super::copy::{Look, look};
use super::manifest::{Manifest, TableFile, TableVersion};
use super::place::{self, BackupPlace, Opened};
use super::progress::Progress;
use crate::error::Result;
use crate::ledger;
use crate::table::Table;
use crate::tables;

/// Files that are read at the same time.
const READS: usize = 4;

/// Something in a backup that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file, in the place.
    pub path: String,
    /// What is wrong with it.
    pub reason: String,
}

/// What a check found.
#[derive(Debug, Clone)]
pub struct BackupReport {
    /// What the backup says it holds.
    pub manifest: Manifest,
    /// What is not so, in the manifest's order; empty for a sound backup.
    pub damage: Vec<Damage>,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path, self.reason)
    }
}

/// Reads every file of a backup again and compares: bytes and hashes, rows of the Parquet files, and the chain of
/// every ledger up to the record that the backup says is its last. Without a name it is the latest backup.
///
/// # Errors
/// [`Error::NoBackup`](crate::Error::NoBackup), [`Error::BackupUrl`](crate::Error::BackupUrl); a manifest that is
/// itself damaged is [`Error::BackupDamaged`](crate::Error::BackupDamaged). Other damage is in the report.
pub async fn verify(
    place: &BackupPlace,
    id: Option<&str>,
    progress: &Progress,
) -> Result<BackupReport> {
    let place = place.open()?;
    let manifest = place.manifest(id).await?;
    let mut jobs = Vec::new();
    for table in &manifest.tables {
        for file in &table.files {
            progress.expect(file.size());
            let place = &place;
            jobs.push(async move {
                let path = place::table_file(&table.workspace, &table.table, &file.add.path);
                let reason = check_file(place.store.as_ref(), &path, file).await;
                progress.done(file.size(), false);
                Damage::found(&path, reason)
            });
        }
    }
    let found: Vec<Option<Damage>> = futures::stream::iter(jobs).buffered(READS).collect().await;
    let mut damage: Vec<Damage> = found.into_iter().flatten().collect();
    for file in &manifest.local {
        let path = place::local_file(&manifest.id, &file.name);
        let wanted = Look {
            size: file.size,
            sha256: file.sha256.clone(),
        };
        progress.expect(file.size);
        let reason = compare(place.store.as_ref(), &path, &wanted).await.err();
        progress.done(file.size, false);
        damage.extend(Damage::found(&path, reason));
    }
    for table in &manifest.tables {
        if table.known() == Some(Table::Audit) {
            damage.extend(check_ledger(&place, &manifest, table).await);
        }
    }
    Ok(BackupReport { manifest, damage })
}

impl Damage {
    fn found(path: &Path, reason: Option<String>) -> Option<Self> {
        reason.map(|reason| Self {
            path: path.to_string(),
            reason,
        })
    }
}

async fn compare(store: &dyn ObjectStore, path: &Path, wanted: &Look) -> Result<(), String> {
    match look(store, path).await {
        Ok(found) => found.differs(wanted).map_or(Ok(()), Err),
        Err(object_store::Error::NotFound { .. }) => Err("it is gone".into()),
        Err(error) => Err(format!("it cannot be read: {error}")),
    }
}

/// What is wrong with a Parquet file.
async fn check_file(store: &dyn ObjectStore, path: &Path, file: &TableFile) -> Option<String> {
    let wanted = Look {
        size: file.size(),
        sha256: file.sha256.clone(),
    };
    if let Err(reason) = compare(store, path, &wanted).await {
        return Some(reason);
    }
    let rows = tables::count_rows(store, path, file.size()).await;
    match (rows, file.rows) {
        (Ok(found), Some(wanted)) if found != wanted => {
            Some(format!("it has {found} rows, the table says {wanted}"))
        }
        (Ok(_), _) => None,
        (Err(error), _) => Some(error.to_string()),
    }
}

/// Goes along the chain of a ledger in the backup's own files.
async fn check_ledger(place: &Opened, manifest: &Manifest, table: &TableVersion) -> Vec<Damage> {
    let folder = place::table_file(&table.workspace, &table.table, "");
    let store = PrefixStore::new(Arc::clone(&place.store), folder.clone());
    let paths = table
        .files
        .iter()
        .map(|file| Path::from(file.add.path.as_str()));
    let report = ledger::verify_files(&store, paths.collect(), &table.workspace).await;
    let mut damage: Vec<Damage> = report
        .findings
        .iter()
        .map(|finding| Damage {
            path: folder.to_string(),
            reason: format!("the ledger is not as it was written: {finding}"),
        })
        .collect();
    let head = manifest
        .ledgers
        .iter()
        .find(|head| head.workspace == table.workspace);
    if let Some(head) = head
        && damage.is_empty()
        && report.head != (head.seq, head.hash.clone())
    {
        damage.push(Damage {
            path: folder.to_string(),
            reason: format!(
                "the ledger ends with record {} (hash {}), but its last was {} (hash {})",
                report.head.0, report.head.1, head.seq, head.hash
            ),
        });
    }
    damage
}
