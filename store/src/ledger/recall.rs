//! After a restart: where each chain ended, and what was entered lately, out of the tables. The log's frames
//! come on top, as they are replayed.

use std::collections::VecDeque;
use std::sync::Arc;

use deltalake::DeltaTable;
use object_store::path::Path;
use parking_lot::Mutex;

use super::file;
use super::files::{self, Opened, Visitor};
use super::forgotten::forget_again;
use super::keeper::{Keeper, REMEMBERED};
use super::tree::{self, Tree};
use super::{action_key, record_key};
use crate::error::{Error, Result};
use crate::log::LogPosition;
use crate::personal::Personal;
use crate::rows::{ActionRow, AuditRow, Row};
use crate::state::State;
use crate::table::Table;
use crate::tables::{self, Wanted};

/// Of actions and records each, so many are read back at least.
const READ_BACK: usize = REMEMBERED / 2;

/// Tells the keeper what the tables hold.
pub(crate) async fn recall(
    state: &Mutex<State>,
    keeper: &Mutex<Keeper>,
    personal: &Personal,
) -> Result<()> {
    for (workspace, delta) in loaded(state, Table::Actions) {
        // Without them an action that is told again may be entered again, which no sum depends on.
        let actions = actions(&delta, &workspace).await.unwrap_or_else(|error| {
            tracing::error!(workspace = &*workspace, %error, "the last actions cannot be read back");
            Vec::new()
        });
        let mut keeper = keeper.lock();
        for row in actions {
            let position = row.log_position.max(0) as LogPosition;
            keeper.remember_key(&workspace, action_key(&row), position);
        }
    }
    for (workspace, delta) in loaded(state, Table::Audit) {
        let records = records(&delta, &workspace).await?;
        for row in records {
            let position = row.log_position.max(0) as LogPosition;
            let mut keeper = keeper.lock();
            keeper.remember_key(&workspace, record_key(&row), position);
            keeper.resume(&workspace, &row);
            forget_again(personal, &row)?;
        }
        let lacks_tree = keeper.lock().lacks_tree(&workspace);
        if lacks_tree && let Some(tree) = tree_of(&delta, &workspace).await? {
            keeper.lock().resume_tree(&workspace, tree);
        }
    }
    Ok(())
}

/// The tree over all records of a ledger that is older than its checkpoints' trees: from all its files, once.
/// None when they are not all there; then checkpoints sign the chain alone, as before.
async fn tree_of(delta: &DeltaTable, workspace: &str) -> Result<Option<Tree>> {
    let store = delta.log_store().object_store(None);
    let mut growing = Growing(Some(Tree::default()));
    files::along(
        store.as_ref(),
        files::listed(delta, workspace)?,
        &mut growing,
    )
    .await;
    if growing.0.is_none() {
        tracing::error!(
            workspace,
            "records of the ledger are missing or damaged, so that no proof can be made: `flyball audit verify` names them"
        );
    }
    Ok(growing.0)
}

/// A tree, as long as no record is missing.
struct Growing(Option<Tree>);

impl Visitor for Growing {
    fn step(&mut self, row: &AuditRow, _path: &str) {
        self.0 = self.0.take().and_then(|mut tree| {
            let is_next = i64::try_from(tree.size()) == Ok(row.seq - 1);
            tree.add(&tree::from_hex(&row.hash).filter(|_| is_next)?);
            Some(tree)
        });
    }

    fn damaged(&mut self, _path: &Path, _held: Option<(i64, i64)>, _reason: &str) {
        self.0 = None;
    }

    fn is_done(&self) -> bool {
        self.0.is_none()
    }
}

/// Every workspace's table of that kind, as far as there is one.
fn loaded(state: &Mutex<State>, table: Table) -> Vec<(Arc<str>, DeltaTable)> {
    let mut state = state.lock();
    let names: Vec<_> = state.workspaces.keys().map(Arc::clone).collect();
    let with_delta = |name: Arc<str>| {
        let version = state.workspace_mut(&name).version_mut(table);
        Some((name, version.delta.clone()?))
    };
    names.into_iter().filter_map(with_delta).collect()
}

async fn actions(delta: &DeltaTable, workspace: &str) -> Result<Vec<ActionRow>> {
    let past = Wanted::Past(tables::tail_begins(delta, READ_BACK));
    let mut rows = Vec::new();
    for batch in tables::read(delta, workspace, Table::Actions, &past).await? {
        rows.extend(ActionRow::read(&batch)?);
    }
    Ok(rows)
}

/// The last records, by number. The newest file must be as it was written, or the chain could not go on from
/// its end; damage in an older one is for `verify` to name.
async fn records(delta: &DeltaTable, workspace: &str) -> Result<Vec<AuditRow>> {
    let mut files = files::listed(delta, workspace)?;
    files.retain(|(_, name)| name.is_some());
    files.sort_by_key(|(_, name)| name.as_ref().map(|file::Name { last, .. }| -last));
    let store = delta.log_store().object_store(None);
    let mut rows: Vec<AuditRow> = Vec::new();
    for (path, name) in files {
        let Some(name) = name.filter(|_| rows.len() < READ_BACK) else {
            break;
        };
        let opened = Opened::of(store.as_ref(), path.clone(), name).await;
        match opened.and_then(last_of) {
            Ok(read) => rows.extend(read),
            Err(reason) if rows.is_empty() => {
                return Err(Error::LedgerEnd {
                    workspace: workspace.to_owned(),
                    path: path.to_string(),
                    reason,
                });
            }
            Err(reason) => {
                tracing::error!(
                    workspace, %path, reason,
                    "a file of the ledger is damaged: `flyball audit verify` says which records it held"
                );
                break;
            }
        }
    }
    rows.sort_by_key(|row| row.seq);
    Ok(rows)
}

/// As many of a file's last records as are wanted: a file may hold the whole ledger.
fn last_of(file: Opened) -> std::result::Result<VecDeque<AuditRow>, String> {
    let mut last = VecDeque::new();
    for row in file {
        if last.len() == READ_BACK {
            last.pop_front();
        }
        last.push_back(row?);
    }
    Ok(last)
}
