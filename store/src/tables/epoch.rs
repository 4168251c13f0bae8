//! Which process of a node may commit, where the log is in a bucket and two machines may believe to be the same node.
//!
//! Whoever starts later writes its epoch (the position of its claim in the log) into every table, as an
//! application transaction of its own. A commit of an older process then finds its version taken, looks at the
//! table again, sees the greater epoch and stops. A table that did not exist yet cannot be marked so: there, rows
//! that the newer process did not know of tell it that the older one was quicker, and it stops; after a restart
//! it knows them.

use deltalake::DeltaTable;

use super::{committed, full_name};
use crate::error::{Error, Result};
use crate::log::LogPosition;
use crate::objects::Objects;
use crate::table::Table;

/// Names the transaction that holds the epoch.
pub(super) fn app_of(app: &str) -> String {
    format!("{app}/epoch")
}

/// Refuses to go on when a later process has taken the table over.
pub(super) async fn check(
    objects: &Objects,
    app: &str,
    workspace: &str,
    table: Table,
    current: &DeltaTable,
) -> Result<()> {
    let Some(epoch) = objects.epoch() else {
        return Ok(());
    };
    if committed(current, &app_of(app), workspace, table).await? > epoch {
        return Err(taken_over(workspace, table));
    }
    Ok(())
}

/// Refuses to go on when a table that we did not know of holds rows of ours.
pub(super) async fn check_unknown(
    objects: &Objects,
    app: &str,
    workspace: &str,
    table: Table,
    found: &DeltaTable,
) -> Result<()> {
    if objects.epoch().is_some() && committed(found, app, workspace, table).await? > NOTHING {
        return Err(taken_over(workspace, table));
    }
    Ok(())
}

/// What a table has of a node that never wrote to it.
const NOTHING: LogPosition = 0;

fn taken_over(workspace: &str, table: Table) -> Error {
    Error::TakenOver {
        table: full_name(workspace, table),
    }
}
