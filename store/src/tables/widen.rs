//! Tables that an earlier version made: what they lack is added, what they have otherwise is refused.
//!
//! A column that is new to a table and may be NULL comes with the next commit, as the metadata of the same version;
//! files from before do not have it, and every reader takes that for NULL. A column of another type, or one that may
//! not be NULL, cannot be had this way: rows are never written into the wrong columns.

use deltalake::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake::kernel::{Metadata, MetadataExt, StructField, StructType};
use deltalake::{DeltaResult, DeltaTable};

use super::{STAT_COLUMNS, delta, full_name};
use crate::error::{Error, Result};
use crate::table::Table;

/// Whether a table's next commit will add columns to it.
///
/// # Errors
/// [`Error::SchemaDiffers`] when it has a column of another type, or lacks one that every row must have.
pub(crate) fn lacks_columns(loaded: &DeltaTable, workspace: &str, table: Table) -> Result<bool> {
    let found = loaded
        .snapshot()
        .map_err(delta("read its schema", workspace, table))?
        .schema();
    let mut lacks = false;
    for field in ours(table)?.fields() {
        let reason = match found.field(field.name()) {
            Some(found) if found.data_type() == field.data_type() => continue,
            None if field.is_nullable() => {
                lacks = true;
                continue;
            }
            Some(found) => format!(
                "column {} is {:?} on disk, this version writes {:?}",
                field.name(),
                found.data_type(),
                field.data_type()
            ),
            None => format!("column {} does not exist on disk", field.name()),
        };
        return Err(Error::SchemaDiffers {
            table: full_name(workspace, table),
            reason,
        });
    }
    Ok(lacks)
}

/// The metadata of a table with the columns that it lacks, behind those that it has; None when it has them all.
pub(super) fn widened(loaded: &DeltaTable, table: Table) -> DeltaResult<Option<Metadata>> {
    let state = loaded.snapshot()?;
    let found = state.schema();
    let ours = ours(table)?;
    let lacking = ours
        .fields()
        .filter(|field| found.field(field.name()).is_none() && field.is_nullable());
    let lacking: Vec<StructField> = lacking.cloned().collect();
    if lacking.is_empty() {
        return Ok(None);
    }
    let columns = found.fields().cloned().chain(lacking);
    let metadata = state.metadata().clone();
    let metadata = metadata.with_schema(&StructType::try_new(columns)?)?;
    let stat_columns = table.stat_columns().join(",");
    let metadata = metadata.add_config_key(STAT_COLUMNS.to_owned(), stat_columns)?;
    Ok(Some(metadata))
}

fn ours(table: Table) -> std::result::Result<StructType, arrow::error::ArrowError> {
    table.schema().as_ref().try_into_kernel()
}
