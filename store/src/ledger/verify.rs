//! `flyball audit verify`: the chain computed again from the files, and what does not fit named.

use std::collections::HashSet;
use std::sync::Arc;

use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::path::Path;

use super::file;
use super::files::{self, Visitor};
use super::head::SignedHead;
use super::heads;
use super::key::PublicKey;
use super::walk::Walk;
use crate::append::{self, OwnEvent};
use crate::config::Config;
use crate::disk::Local;
use crate::error::{Error, Result};
use crate::log::{Files, FrameKind, Medium, Replay};
use crate::objects::Objects;
use crate::rows::AuditRow;
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
    /// A signed head that was kept elsewhere, and does not fit the ledger.
    Head {
        /// Where it was kept.
        place: String,
        /// Number of the record it signs.
        seq: i64,
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
            Self::Head { place, seq, reason } => write!(f, "head {place} (record {seq}): {reason}"),
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
    /// Whose signatures: the key of the last checkpoint, or of a change after it.
    pub public_key: Option<PublicKey>,
    /// What the last checkpoint says, be it in a file or in the log.
    pub signed_head: Option<SignedHead>,
    /// Records that only the log holds; they were checked too. None when the log could not be read.
    pub pending: Option<i64>,
    /// What is not as it was written; empty for a sound ledger. The first is the one to look at.
    pub findings: Vec<Finding>,
}

/// Computes a workspace's ledger again, from its files, and compares. Takes no lock: a server may run.
///
/// Every file must have the bytes its name speaks of, every record the number after the one before, that one's
/// hash and its own, every checkpoint a signature by one key (the first one's, or one that followed it in a record
/// of the change; `pinned` must be among them) and the root of the tree over the records before it. Then
/// records that only the log holds are checked in the same way, and the heads that the data directory keeps.
///
/// # Errors
/// When there is nothing to verify: [`Error::NoData`], [`Error::TablesUrl`], and what the object store or the
/// Delta log says. Damage is no error but a [`Finding`].
pub async fn verify(
    config: &Config,
    workspace: &str,
    pinned: Option<PublicKey>,
) -> Result<LedgerReport> {
    verify_against(config, workspace, pinned, Vec::new()).await
}

/// The same, and against heads that were kept elsewhere, each with the name of its place.
///
/// # Errors
/// As [`verify_ledger`](crate::verify_ledger).
pub async fn verify_against(
    config: &Config,
    workspace: &str,
    pinned: Option<PublicKey>,
    mut kept: Vec<(String, SignedHead)>,
) -> Result<LedgerReport> {
    // First: what is signed while we read is not missed then.
    kept.extend(heads::all(&Local, config.ledger_dir(), workspace)?);
    let log = log_of(config)?;
    verify_on(&Objects::open(config)?, log, workspace, pinned, kept).await
}

/// The same, of a log and tables that are at hand.
pub(crate) async fn verify_on(
    objects: &Objects,
    log: Arc<dyn Medium>,
    workspace: &str,
    pinned: Option<PublicKey>,
    kept: Vec<(String, SignedHead)>,
) -> Result<LedgerReport> {
    let mut walk = Walk::new(workspace, pinned).with_kept(kept);
    let (end_of_files, pending) = go(objects, log, workspace, &mut walk).await?;
    walk.finish();
    let end = walk.report();
    Ok(LedgerReport {
        pending,
        public_key: end.public_key,
        signed_head: end.signed_head,
        findings: end.findings,
        ..end_of_files
    })
}

/// The log of a data directory.
pub(super) fn log_of(config: &Config) -> Result<Arc<dyn Medium>> {
    let log = config.data_dir.join("log");
    if !log.is_dir() {
        return Err(Error::NoData {
            path: config.data_dir.clone(),
        });
    }
    Ok(Arc::new(Files::new(Arc::new(Local), log)))
}

/// Along the files, and what only the log holds; what was found at the end of the files, and how many were only
/// in the log (None: it could not be read).
pub(super) async fn go(
    objects: &Objects,
    log: Arc<dyn Medium>,
    workspace: &str,
    walk: &mut Walk,
) -> Result<(LedgerReport, Option<i64>)> {
    append::check_workspace(workspace)?;
    // Before the files: what moves from the log to a file in between is then found in both, not in neither.
    let name = workspace.to_owned();
    let in_log = tokio::task::spawn_blocking(move || in_log(&log, &name)).await?;
    let mut named = HashSet::new();
    if let Some(loaded) = tables::load(objects, workspace, Table::Audit).await? {
        let store = loaded.log_store().object_store(None);
        let files = files::listed(&loaded, workspace)?;
        named = files.iter().map(|(path, _)| path.clone()).collect();
        files::along(store.as_ref(), files, walk).await;
    }
    if walk.is_done() {
        return Ok((walk.report(), None));
    }
    walk.end_of_files();
    let end_of_files = walk.report();
    let pending = match in_log {
        Ok(rows) => Some(walk_log(rows, walk)),
        Err(error) => {
            tracing::warn!(%error, "the log could not be read: what it holds is not verified");
            None
        }
    };
    let log_store = objects.log_store(workspace, Table::Audit)?;
    let store = log_store.object_store(None);
    unnamed(store.as_ref(), &named, walk).await?;
    Ok((end_of_files, pending))
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
