//! One commit to one table, made exactly once: the single place where a lost race is tried again.
//!
//! Flushes add files; maintenance puts files in the place of others, or takes some away. A file that should go
//! may be gone already when somebody else maintains the table too: then the commit is not made, since rows would
//! come back or stand twice, and whoever asked begins anew from the table as it is.

use std::collections::HashSet;
use std::time::Duration;

use deltalake::DeltaTable;
use deltalake::kernel::transaction::{CommitBuilder, CommitProperties};
use deltalake::kernel::{Action, Add, Remove, Transaction};
use deltalake::protocol::{DeltaOperation, SaveMode};

use super::{PARTITION, create, delta, epoch, load, minutes, widen};
use crate::error::Result;
use crate::log::LogPosition;
use crate::objects::Objects;
use crate::rollup::Minutes;
use crate::table::Table;

/// Attempts before the error goes up; whoever asked comes back later with the same files.
const ATTEMPTS: u32 = 6;
/// The first pause; each next is twice as long, and all are jittered.
const PAUSE_MS: u64 = 20;

/// What a commit is for. It stands in the table's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// New rows.
    Append,
    /// The same rows in other files of about so many bytes; rows that were told again later may be left out.
    Compact { target_bytes: u64 },
    /// Rows are left out, for this reason.
    Delete { reason: &'static str },
    /// Rows take the place of others, for this reason.
    Update { reason: &'static str },
}

/// Files that are written and wait to be named by a commit, and files that are to be listed no more.
#[derive(Debug, Clone)]
pub(crate) struct Commit {
    adds: Vec<Add>,
    removes: Vec<Remove>,
    /// Becomes the version of this node's application transaction.
    position: Option<LogPosition>,
    operation: Operation,
}

/// What became of a commit, with the table at a version that tells.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The table has it.
    Made(DeltaTable),
    /// A file that was to go is listed no more, so nothing was done. Never the outcome of a mere append.
    Overtaken(DeltaTable),
}

impl Commit {
    /// New rows, up to a position.
    pub(crate) fn append(adds: Vec<Add>, position: LogPosition) -> Self {
        Self {
            adds,
            removes: Vec::new(),
            position: Some(position),
            operation: Operation::Append,
        }
    }

    /// New files in the place of others. `same_rows` says that they hold the very same rows, so that who follows
    /// the table's changes need not look.
    pub(crate) fn replace(
        operation: Operation,
        mut adds: Vec<Add>,
        mut removes: Vec<Remove>,
        same_rows: bool,
    ) -> Self {
        for add in &mut adds {
            add.data_change = !same_rows;
        }
        for remove in &mut removes {
            remove.data_change = !same_rows;
        }
        Self {
            adds,
            removes,
            position: None,
            operation,
        }
    }

    /// The same, carrying a position.
    pub(crate) fn at(self, position: LogPosition) -> Self {
        Self {
            position: Some(position),
            ..self
        }
    }

    /// The minutes of which rows come or go, by a column of times.
    pub(crate) fn minutes(&self, time: &str) -> Minutes {
        let adds = self.adds.iter().cloned().map(Action::Add);
        let removes = self.removes.iter().cloned().map(Action::Remove);
        let mut changed = Minutes::default();
        for action in adds.chain(removes) {
            changed.extend(&minutes::changed(&action, time));
        }
        changed
    }

    pub(crate) fn adds(&self) -> &[Add] {
        &self.adds
    }

    pub(crate) fn position(&self) -> Option<LogPosition> {
        self.position
    }
}

/// Makes the commit, unless the table has it already, and returns the table at a version that has it.
///
/// An error from the store does not say whether the commit was made: a time-out may hide a success. File names
/// are unique, so the table itself tells: if it lists the first of our files, it has them all; and if none that
/// was only to go is listed any more, there is nothing left to do.
pub(crate) async fn commit(
    objects: &Objects,
    app: &str,
    workspace: &str,
    table: Table,
    current: Option<DeltaTable>,
    commit: &Commit,
) -> Result<Outcome> {
    let mut current = match current {
        Some(current) => current,
        None => match load(objects, workspace, table).await? {
            Some(found) => {
                if standing(&found, commit) == Standing::Open {
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
        match standing(&current, commit) {
            Standing::Made => return Ok(Outcome::Made(current)),
            Standing::Overtaken => return Ok(Outcome::Overtaken(current)),
            Standing::Open => {}
        }
        let failure = match attempt_once(app, table, &mut current, commit).await {
            Ok(()) => return Ok(Outcome::Made(current)),
            Err(failure) => failure,
        };
        attempt += 1;
        // Our view may be old, or the commit made after all. If even this fails, nobody knows yet.
        let known = current.update_incremental(None).await.is_ok();
        let again = known && (attempt < ATTEMPTS || standing(&current, commit) != Standing::Open);
        if !again {
            return Err(delta("commit to it", workspace, table)(failure));
        }
        tracing::debug!(workspace, table = table.name(), %failure, attempt, "the table is looked at again after a commit that failed");
        if standing(&current, commit) == Standing::Open {
            tokio::time::sleep(pause(attempt)).await;
        }
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
    let start = Commit::append(Vec::new(), position);
    let (Outcome::Made(fenced) | Outcome::Overtaken(fenced)) =
        commit(objects, &app, workspace, table, Some(loaded), &start).await?;
    Ok(fenced)
}

async fn attempt_once(
    app: &str,
    table: Table,
    current: &mut DeltaTable,
    commit: &Commit,
) -> std::result::Result<(), deltalake::DeltaTableError> {
    let mut properties = CommitProperties::default()
        .with_max_retries(0)
        .with_cleanup_expired_logs(Some(false));
    if let Some(position) = commit.position {
        let transaction = Transaction::new(app, position as i64);
        properties = properties.with_application_transaction(transaction);
    }
    let adds = commit.adds.iter().cloned().map(Action::Add);
    let removes = commit.removes.iter().cloned().map(Action::Remove);
    let widened = widen::widened(current, table)?.map(Action::Metadata);
    let done = CommitBuilder::from(properties)
        .with_actions(widened.into_iter().chain(adds).chain(removes).collect())
        .build(
            Some(current.snapshot()?),
            current.log_store(),
            commit.operation.told(),
        )
        .await?;
    current.state = Some(done.snapshot());
    Ok(())
}

impl Operation {
    /// In Delta's words.
    fn told(self) -> DeltaOperation {
        match self {
            Self::Append => DeltaOperation::Write {
                mode: SaveMode::Append,
                partition_by: Some(vec![PARTITION.to_owned()]),
                predicate: None,
            },
            Self::Compact { target_bytes } => DeltaOperation::Optimize {
                predicate: None,
                target_size: target_bytes.min(i64::MAX as u64) as i64,
            },
            Self::Delete { reason } => DeltaOperation::Delete {
                predicate: Some(reason.to_owned()),
            },
            Self::Update { reason } => DeltaOperation::Update {
                predicate: Some(reason.to_owned()),
            },
        }
    }
}

/// How a commit stands to what a table lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Made,
    Open,
    Overtaken,
}

fn standing(table: &DeltaTable, commit: &Commit) -> Standing {
    let Ok(state) = table.snapshot() else {
        return Standing::Open;
    };
    let mut first = commit.adds.first().map(|add| add.path.as_str());
    let mut gone: HashSet<&str> = commit
        .removes
        .iter()
        .map(|remove| remove.path.as_str())
        .collect();
    if first.is_none() && gone.is_empty() {
        return Standing::Open;
    }
    for file in state.log_data().iter() {
        let path = file.path();
        first = first.filter(|first| *first != path);
        gone.remove(&*path);
    }
    let all_gone = gone.len() == commit.removes.len();
    match (commit.adds.is_empty(), first.is_none()) {
        (false, true) => Standing::Made,
        (false, false) if !gone.is_empty() => Standing::Overtaken,
        (true, _) if all_gone => Standing::Made,
        (true, _) if !gone.is_empty() => Standing::Overtaken,
        _ => Standing::Open,
    }
}

/// Twice as long each time, give or take a half, so that two who collide do not do so again.
fn pause(attempt: u32) -> Duration {
    let longest = PAUSE_MS << attempt.min(8);
    let random = uuid::Uuid::new_v4().as_u64_pair().0;
    Duration::from_millis(longest / 2 + random % longest)
}
