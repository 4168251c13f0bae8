//! After a restart: where each chain ended, and what was entered lately, out of the tables. The log's frames
//! come on top, as they are replayed.

use deltalake::DeltaTable;
use parking_lot::Mutex;

use super::keeper::{Keeper, REMEMBERED};
use super::{action_key, record_key};
use crate::error::Result;
use crate::log::LogPosition;
use crate::rows::{ActionRow, AuditRow, Row};
use crate::state::State;
use crate::table::Table;
use crate::tables::{self, Wanted};

/// Tells the keeper what the tables hold.
pub(crate) async fn recall(state: &Mutex<State>, keeper: &Mutex<Keeper>) -> Result<()> {
    let loaded = |table: Table| {
        let mut state = state.lock();
        let names: Vec<_> = state.workspaces.keys().cloned().collect();
        let of = |name: &std::sync::Arc<str>, state: &mut State| {
            let delta = state.workspace_mut(name).version_mut(table).delta.clone()?;
            Some((std::sync::Arc::clone(name), delta))
        };
        let found: Vec<_> = names.iter().filter_map(|n| of(n, &mut state)).collect();
        found
    };
    for (workspace, delta) in loaded(Table::Actions) {
        for row in latest::<ActionRow>(&delta, &workspace, Table::Actions).await? {
            let position = row.log_position.max(0) as LogPosition;
            keeper
                .lock()
                .remember_key(&workspace, action_key(&row), position);
        }
    }
    for (workspace, delta) in loaded(Table::Audit) {
        let mut rows = latest::<AuditRow>(&delta, &workspace, Table::Audit).await?;
        rows.sort_by_key(|row| row.seq);
        let mut keeper = keeper.lock();
        for row in rows {
            let position = row.log_position.max(0) as LogPosition;
            keeper.remember_key(&workspace, record_key(&row), position);
            keeper.resume(&workspace, &row);
        }
    }
    Ok(())
}

/// The last rows of a table: half of what is remembered, and what shares a file with them. Should one of those
/// files be damaged, the newest alone will do: the chain has to go on from its end, and `verify` names the rest.
async fn latest<R: Row>(delta: &DeltaTable, workspace: &str, table: Table) -> Result<Vec<R>> {
    let past = |rows| Wanted::Past(tables::tail_begins(delta, rows));
    let batches = match tables::read(delta, workspace, table, &past(REMEMBERED / 2)).await {
        Ok(batches) => batches,
        Err(error) => {
            tracing::error!(
                workspace, table = table.name(), %error,
                "a file of the ledger cannot be read: `flyball audit verify` says which records it held"
            );
            tables::read(delta, workspace, table, &past(1)).await?
        }
    };
    let mut rows = Vec::new();
    for batch in &batches {
        rows.extend(R::read(batch)?);
    }
    Ok(rows)
}
