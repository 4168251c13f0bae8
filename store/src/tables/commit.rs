//! One commit to one table, made exactly once: the single place where a lost race is tried again.

use std::time::Duration;

use deltalake::DeltaTable;
use deltalake::kernel::transaction::{CommitBuilder, CommitProperties};
use deltalake::kernel::{Action, Add, Transaction};
use deltalake::protocol::{DeltaOperation, SaveMode};

use super::{PARTITION, create, delta, epoch, load};
use crate::error::Result;
use crate::log::LogPosition;
use crate::objects::Objects;
use crate::table::Table;

/// Attempts before the error goes up; whoever flushes comes back later with the same files.
const ATTEMPTS: u32 = 6;
/// The first pause; each next is twice as long, and all are jittered.
const PAUSE_MS: u64 = 20;

/// Files that are written and wait to be named by a commit.
#[derive(Debug, Clone)]
pub(crate) struct Commit {
    pub(crate) adds: Vec<Add>,
    /// Becomes the version of this node's application transaction.
    pub(crate) position: LogPosition,
}

/// Makes the commit, unless the table has it already, and returns the table at a version that has it.
///
/// An error from the store does not say whether the commit was made: a time-out may hide a success. File names
/// are unique, so the table itself tells: if it lists the first of our files, it has them all.
pub(crate) async fn commit(
    objects: &Objects,
    app: &str,
    workspace: &str,
    table: Table,
    current: Option<DeltaTable>,
    commit: &Commit,
) -> Result<DeltaTable> {
    let mut current = match current {
        Some(current) => current,
        None => match load(objects, workspace, table).await? {
            Some(found) => {
                if !holds(&found, commit) {
                    epoch::check_unknown(objects, app, workspace, table, &found).await?;
                }
                found
            }
            None => create(objects, workspace, table).await?,
        },
    };
    let mut attempt = 0;
    loop {
        epoch::check(objects, app, workspace, table, &current).await?;
        let failure = match attempt_once(app, &mut current, commit).await {
            Ok(()) => return Ok(current),
            Err(failure) => failure,
        };
        attempt += 1;
        // Our view may be old, or the commit made after all. If even this fails, nobody knows yet.
        match current.update_incremental(None).await {
            Ok(()) if holds(&current, commit) => {
                tracing::info!(workspace, table = table.name(), %failure, "the commit was made although an error came back");
                return Ok(current);
            }
            Ok(()) if attempt < ATTEMPTS => {}
            _ => return Err(delta("commit to it", workspace, table)(failure)),
        }
        tracing::debug!(workspace, table = table.name(), %failure, attempt, "a commit is tried again");
        tokio::time::sleep(pause(attempt)).await;
    }
}

/// Shuts out a commit that an earlier process of this node may still have on its way to the object store.
///
/// Such a commit aims at the version after the newest it knew. A commit of ours without files takes that version, or
/// finds it taken; either way what the table holds afterwards is final, and only then may be judged what to replay.
pub(crate) async fn fence(
    objects: &Objects,
    app: &str,
    workspace: &str,
    table: Table,
    loaded: DeltaTable,
) -> Result<DeltaTable> {
    let (app, position) = match objects.epoch() {
        Some(epoch) => (epoch::app_of(app), epoch),
        None => {
            let now = chrono::Utc::now().timestamp_millis().max(0) as u64;
            (format!("{app}/start"), now)
        }
    };
    let start = Commit {
        adds: Vec::new(),
        position,
    };
    commit(objects, &app, workspace, table, Some(loaded), &start).await
}

async fn attempt_once(
    app: &str,
    current: &mut DeltaTable,
    commit: &Commit,
) -> std::result::Result<(), deltalake::DeltaTableError> {
    if holds(current, commit) {
        return Ok(());
    }
    let properties = CommitProperties::default()
        .with_max_retries(0)
        .with_cleanup_expired_logs(Some(false))
        .with_application_transaction(Transaction::new(app, commit.position as i64));
    let operation = DeltaOperation::Write {
        mode: SaveMode::Append,
        partition_by: Some(vec![PARTITION.to_owned()]),
        predicate: None,
    };
    let done = CommitBuilder::from(properties)
        .with_actions(commit.adds.iter().cloned().map(Action::Add).collect())
        .build(Some(current.snapshot()?), current.log_store(), operation)
        .await?;
    current.state = Some(done.snapshot());
    Ok(())
}

/// Whether a loaded table lists the commit's files.
fn holds(table: &DeltaTable, commit: &Commit) -> bool {
    let (Ok(state), Some(first)) = (table.snapshot(), commit.adds.first()) else {
        return false;
    };
    state
        .log_data()
        .iter()
        .any(|file| file.path() == first.path)
}

/// Twice as long each time, give or take a half, so that two who collide do not do so again.
fn pause(attempt: u32) -> Duration {
    let longest = PAUSE_MS << attempt.min(8);
    let random = uuid::Uuid::new_v4().as_u64_pair().0;
    Duration::from_millis(longest / 2 + random % longest)
}
