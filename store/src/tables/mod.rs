//! Delta tables: loaded, created, committed to, and read by the few look-ups the resolver needs.
//!
//! A flush writes one Parquet file a day of data ([`files`]; [`encode`] makes each, with [`stats`] for readers
//! to skip by) and makes one commit ([`commit`]) that carries a position as this node's application transaction:
//! after a crash it says what must not be written twice. Maintenance takes files a table lists ([`listed`]) and
//! writes their rows anew ([`rewrite`], which merges them in order with
//! [`merge`]; [`tellings`] says which spans are in them). [`read`] finds rows by
//! trace or position. [`widen`] adds the columns that a table of an earlier version lacks.

mod commit;
mod encode;
mod epoch;
mod files;
mod listed;
mod local;
mod merge;
mod minutes;
mod object;
mod order;
mod read;
mod restored;
mod rewrite;
mod stats;
mod tellings;
mod widen;
mod window;

#[cfg(test)]
mod tests;

pub(crate) use commit::{Commit, Operation, Outcome, commit, fence};
pub(crate) use files::write;
pub(crate) use listed::{Listed, files, taken_off};
pub(crate) use local::{read_local, write_local};
pub(crate) use minutes::{Slice, changed_since, read as read_minutes};
pub(crate) use read::{Wanted, count_rows, latest_tellings, read, read_spilled, tail_begins};
pub(crate) use restored::{First, add_of, check_columns, columns, create_restored};
pub(crate) use rewrite::{Pass, Rewrite, Rewritten};
pub(crate) use tellings::{newest, some_columns, tellings};
pub(crate) use widen::lacks_columns;
pub(crate) use window::Window;

use deltalake::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake::kernel::transaction::CommitProperties;
use deltalake::kernel::{StructField, StructType};
use deltalake::operations::create::CreateBuilder;
use deltalake::protocol::SaveMode;
use deltalake::{DeltaTable, DeltaTableError};

use crate::error::{Error, Result};
use crate::log::LogPosition;
use crate::objects::Objects;
use crate::table::Table;

/// The column every table is partitioned by.
const PARTITION: &str = "date";
/// The property that says which columns have statistics.
const STAT_COLUMNS: &str = "delta.dataSkippingStatsColumns";

/// A table's name in messages.
pub(crate) fn full_name(workspace: &str, table: Table) -> String {
    format!("{workspace}/{}", table.name())
}

/// Somebody else was quicker.
pub(crate) fn overtaken(workspace: &str, table: Table) -> Error {
    Error::Overtaken {
        table: full_name(workspace, table),
    }
}

/// For `map_err` on Delta operations outside.
pub(crate) fn failed(
    doing: &'static str,
    workspace: &str,
    table: Table,
) -> impl FnOnce(DeltaTableError) -> Error {
    delta(doing, workspace, table)
}

/// For `map_err` on Delta operations.
fn delta(
    doing: &'static str,
    workspace: &str,
    table: Table,
) -> impl FnOnce(DeltaTableError) -> Error {
    let table = full_name(workspace, table);
    move |source| Error::Delta {
        table,
        doing,
        source: Box::new(source),
    }
}

/// Loads a table at its newest version; None when there is none.
pub(crate) async fn load(
    objects: &Objects,
    workspace: &str,
    table: Table,
) -> Result<Option<DeltaTable>> {
    let mut loaded = DeltaTable::new(objects.log_store(workspace, table)?);
    let exists = loaded.verify_deltatable_existence().await.map_err(delta(
        "look for it",
        workspace,
        table,
    ))?;
    if !exists {
        return Ok(None);
    }
    loaded
        .load()
        .await
        .map_err(delta("load it", workspace, table))?;
    // Whether it lacks columns is for who commits; what cannot be written into is refused here.
    lacks_columns(&loaded, workspace, table)?;
    Ok(Some(loaded))
}

/// The position this node last committed to a table; 0 when it never did.
pub(crate) async fn committed(
    loaded: &DeltaTable,
    app: &str,
    workspace: &str,
    table: Table,
) -> Result<LogPosition> {
    let failed = || delta("read its last transaction", workspace, table);
    let state = loaded.snapshot().map_err(failed())?;
    let version = state
        .transaction_version(loaded.log_store().as_ref(), app)
        .await
        .map_err(failed())?;
    Ok(version.map_or(0, |version| version.max(0) as u64))
}

/// Creates an empty table. Should another have done so at the same moment, that one is loaded.
async fn create(objects: &Objects, workspace: &str, table: Table) -> Result<DeltaTable> {
    let created = builder(objects, workspace, table)?
        .with_commit_properties(CommitProperties::default().with_max_retries(0))
        .await;
    match created {
        Ok(created) => Ok(created),
        // Lost a race, or the answer got lost: if the table is there now, either is fine.
        Err(error) => load(objects, workspace, table)
            .await?
            .ok_or_else(|| delta("create it", workspace, table)(error)),
    }
}

/// What every table is created with. One that exists is left as it is.
fn builder(objects: &Objects, workspace: &str, table: Table) -> Result<CreateBuilder> {
    let schema: StructType = table.schema().as_ref().try_into_kernel()?;
    let columns: Vec<StructField> = schema.fields().cloned().collect();
    Ok(CreateBuilder::new()
        .with_log_store(objects.log_store(workspace, table)?)
        .with_table_name(table.name())
        .with_columns(columns)
        .with_partition_columns([PARTITION])
        .with_save_mode(SaveMode::Ignore)
        .with_configuration([(STAT_COLUMNS, Some(table.stat_columns().join(",")))]))
}
