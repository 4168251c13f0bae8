//! `flyball audit verify`: the chain computed again from the files, and what does not fit named.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::DataType;
use bytes::Bytes;
use deltalake::DeltaTable;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::file::{self, Name};
use super::key::PublicKey;
use super::walk::Walk;
use crate::append::{self, OwnEvent};
use crate::config::Config;
use crate::disk::Local;
use crate::error::{Error, Result};
use crate::log::{Files, FrameKind, Medium, Replay};
use crate::objects::Objects;
use crate::rows::{AuditRow, Row};
use crate::table::Table;
use crate::tables;

/// Something in the ledger that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// A file: the records in it cannot be trusted.
    File {
        /// Its path in the table's folder.
        path: String,
        /// First and last number of the records it held, as far as that is known.
        held: Option<(i64, i64)>,
        /// What is wrong with it.
        reason: String,
    },
    /// A record.
    Record {
        /// Its number.
        seq: i64,
        /// The file it is in; None for one that is nowhere.
        path: Option<String>,
        /// What differs.
        reason: String,
    },
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File { path, held, reason } => match held {
                Some((first, last)) if first == last => {
                    write!(f, "file {path} (record {first}): {reason}")
                }
                Some((first, last)) => {
                    write!(f, "file {path} (records {first} to {last}): {reason}")
                }
                None => write!(f, "file {path}: {reason}"),
            },
            Self::Record { seq, path, reason } => match path {
                Some(path) => write!(f, "record {seq} (in {path}): {reason}"),
                None => write!(f, "record {seq}: {reason}"),
            },
        }
    }
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LedgerReport {
    /// Files read.
    pub files: usize,
    /// Records found in them.
    pub records: i64,
    /// Number and hash (hex) of the last record in the files; 0 and 64 zeros when there is none.
    pub head: (i64, String),
    /// Checkpoints in the files whose signature holds.
    pub checkpoints: usize,
    /// The last record that a checkpoint in the files vouches for; 0 for none.
    pub signed_to: i64,
    /// Whose signatures: the key asked for, else the first checkpoint's.
    pub public_key: Option<PublicKey>,
    /// Records that only the log holds; they were checked too. None when the log could not be read.
    pub pending: Option<i64>,
    /// What is not as it was written; empty for a sound ledger. The first is the one to look at.
    pub findings: Vec<Finding>,
}

/// Computes a workspace's ledger again, from its files, and compares. Takes no lock: a server may run.
///
/// Every file must have the bytes its name speaks of, every record the number after the one before, that one's
/// hash and its own, every checkpoint a signature by `pinned` (without it, by the key of the first checkpoint).
/// Then records that only the log holds are checked in the same way.
///
/// # Errors
/// When there is nothing to verify: [`Error::NoData`], [`Error::TablesUrl`], and what the object store or the
/// Delta log says. Damage is no error but a [`Finding`].
pub async fn verify(
    config: &Config,
    workspace: &str,
    pinned: Option<PublicKey>,
) -> Result<LedgerReport> {
    let log = config.data_dir.join("log");
    if !log.is_dir() {
        return Err(Error::NoData {
            path: config.data_dir.clone(),
        });
    }
    let log = Arc::new(Files::new(Arc::new(Local), log));
    verify_on(&Objects::open(config)?, log, workspace, pinned).await
}

/// The same, of a log and tables that are at hand.
pub(crate) async fn verify_on(
    objects: &Objects,
    log: Arc<dyn Medium>,
    workspace: &str,
    pinned: Option<PublicKey>,
) -> Result<LedgerReport> {
    append::check_workspace(workspace)?;
    // Before the files: what moves from the log to a file in between is then found in both, not in neither.
    let name = workspace.to_owned();
    let in_log = tokio::task::spawn_blocking(move || in_log(&log, &name)).await?;
    let mut walk = Walk::new(workspace, pinned);
    let mut named = HashSet::new();
    if let Some(loaded) = tables::load(objects, workspace, Table::Audit).await? {
        let store = loaded.log_store().object_store(None);
        let files = listed(&loaded, workspace)?;
        named = files.iter().map(|(path, _)| path.clone()).collect();
        walk_files(store.as_ref(), files, &mut walk).await;
    }
    let end_of_files = walk.report();
    let pending = match in_log {
        Ok(rows) => Some(walk_log(rows, &mut walk)),
        Err(error) => {
            tracing::warn!(%error, "the log could not be read: what it holds is not verified");
            None
        }
    };
    let log_store = objects.log_store(workspace, Table::Audit)?;
    let store = log_store.object_store(None);
    unnamed(store.as_ref(), &named, &mut walk).await?;
    Ok(LedgerReport {
        pending,
        public_key: walk.report().public_key,
        findings: walk.report().findings,
        ..end_of_files
    })
}

/// The files a table names, by the records they hold; those of foreign names come first, so that what they hide
/// is missed later.
pub(super) fn listed(loaded: &DeltaTable, workspace: &str) -> Result<Vec<(Path, Option<Name>)>> {
    let state = loaded.snapshot().map_err(|source| Error::Delta {
        table: tables::full_name(workspace, Table::Audit),
        doing: "list its files",
        source: Box::new(source),
    })?;
    let named = |path: Path| {
        let name = path.filename().and_then(file::parse);
        (path, name)
    };
    let listed = state.log_data();
    let mut files: Vec<_> = listed
        .iter()
        .map(|file| named(file.object_store_path()))
        .collect();
    files.sort_by_key(|(_, name)| name.as_ref().map(|name| (name.first, name.last)));
    Ok(files)
}

/// Files overlap where days meet, so a record waits until no later file can hold an earlier one.
async fn walk_files(store: &dyn ObjectStore, files: Vec<(Path, Option<Name>)>, walk: &mut Walk) {
    let mut waiting: BTreeMap<i64, Vec<(AuditRow, String)>> = BTreeMap::new();
    for (path, name) in files {
        if let Some(name) = &name {
            let later = waiting.split_off(&name.first);
            for (row, path) in std::mem::replace(&mut waiting, later)
                .into_values()
                .flatten()
            {
                walk.step(&row, &path);
            }
        }
        let Some(name) = name else {
            walk.damaged(
                &path,
                None,
                "its name is not one the ledger gives: somebody else wrote it",
            );
            continue;
        };
        match read(store, &path, &name).await {
            Ok(rows) => {
                walk.read_file();
                for row in rows {
                    waiting
                        .entry(row.seq)
                        .or_default()
                        .push((row, path.to_string()));
                }
            }
            Err(reason) => walk.damaged(&path, Some((name.first, name.last)), &reason),
        }
    }
    for (row, path) in waiting.into_values().flatten() {
        walk.step(&row, &path);
    }
    walk.end_of_files();
}

/// The records of a file, if it is the one its name speaks of. A file that is not is not even opened: nobody
/// knows what a reader of Parquet makes of it.
pub(super) async fn read(
    store: &dyn ObjectStore,
    path: &Path,
    name: &Name,
) -> std::result::Result<Vec<AuditRow>, String> {
    let got = match store.get(path).await {
        Ok(got) => got,
        Err(object_store::Error::NotFound { .. }) => return Err("it is gone".into()),
        Err(error) => return Err(format!("it cannot be read: {error}")),
    };
    let bytes = got
        .bytes()
        .await
        .map_err(|error| format!("it cannot be read: {error}"))?;
    let found = file::sha256(&bytes);
    if found != name.sha256 {
        return Err(format!(
            "its bytes were changed: their SHA-256 is {found}, but {} was written",
            name.sha256
        ));
    }
    let day = path
        .parts()
        .find_map(|part| part.as_ref().strip_prefix("date=").map(str::to_owned));
    let rows = tokio::task::spawn_blocking(move || decode(bytes)).await;
    let rows = rows.map_err(|error| format!("it cannot be read: {error}"))??;
    for row in &rows {
        let at = chrono::DateTime::from_timestamp_micros(row.at.0);
        let at = at.map(|at| at.format("%Y-%m-%d").to_string());
        if at != day {
            return Err(format!(
                "record {} of {} stands in it",
                row.seq,
                at.unwrap_or_else(|| "no day".into())
            ));
        }
    }
    Ok(rows)
}

fn decode(bytes: Bytes) -> std::result::Result<Vec<AuditRow>, String> {
    let cannot = |error: &dyn std::fmt::Display| format!("it cannot be read: {error}");
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|e| cannot(&e))?;
    let wanted = AuditRow::schema();
    for field in wanted.fields().iter().filter(|f| f.name() != "date") {
        let found = reader.schema().field_with_name(field.name());
        let same = found.is_ok_and(|found| same_type(found.data_type(), field.data_type()));
        if !same {
            return Err(format!(
                "it has no column {} {}",
                field.name(),
                field.data_type()
            ));
        }
    }
    let mut rows = Vec::new();
    for batch in reader.build().map_err(|e| cannot(&e))? {
        rows.extend(AuditRow::read(&batch.map_err(|e| cannot(&e))?).map_err(|e| cannot(&e))?);
    }
    Ok(rows)
}

fn same_type(found: &DataType, wanted: &DataType) -> bool {
    match (found, wanted) {
        (DataType::Timestamp(a, _), DataType::Timestamp(b, _)) => a == b,
        _ => found == wanted,
    }
}

/// Records in the log, in order. A server may cut it meanwhile: what is gone then is in files.
fn in_log(log: &Arc<dyn Medium>, workspace: &str) -> Result<Vec<AuditRow>> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        match read_log(log, workspace) {
            Err(Error::File { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound && attempt < 5 => {}
            outcome => return outcome,
        }
    }
}

fn read_log(log: &Arc<dyn Medium>, workspace: &str) -> Result<Vec<AuditRow>> {
    let mut replay = Replay::open(Arc::clone(log), true)?;
    let mut rows = Vec::new();
    while let Some(frame) = replay.next_frame()? {
        if frame.header.kind != FrameKind::Own || frame.header.workspace != workspace {
            continue;
        }
        if let Ok(OwnEvent::Audit(row)) = serde_json::from_slice(&frame.body) {
            rows.push(row);
        }
    }
    Ok(rows)
}

/// Goes on with what no file has; says how many there were.
fn walk_log(rows: Vec<AuditRow>, walk: &mut Walk) -> i64 {
    let end = walk.end();
    let mut pending = 0;
    for row in rows.iter().filter(|row| row.seq > end) {
        walk.step(row, "the log");
        pending += 1;
    }
    pending
}

/// Files of the ledger that the table does not name are left by a crash, before their commit; their records are
/// in later files or in the log. If they are not, somebody took the commit away.
async fn unnamed(store: &dyn ObjectStore, named: &HashSet<Path>, walk: &mut Walk) -> Result<()> {
    let mut list = store.list(None);
    let listed = Error::objects("list the ledger's files");
    let mut left = Vec::new();
    loop {
        match list.try_next().await {
            Ok(Some(object)) => left.push(object.location),
            Ok(None) => break,
            Err(error) => return Err(listed(error)),
        }
    }
    let end = walk.end();
    for path in left.into_iter().filter(|path| !named.contains(path)) {
        if let Some(name) = path.filename().and_then(file::parse)
            && name.last > end
        {
            let reason = "the table names it no more, and its last records are nowhere else";
            walk.damaged(&path, Some((name.first, name.last)), reason);
        }
    }
    Ok(())
}
