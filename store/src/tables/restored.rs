//! A table made anew out of files that another one named.

use std::collections::{BTreeMap, HashMap};

use deltalake::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake::kernel::transaction::CommitProperties;
use deltalake::kernel::{Action, Add, LogicalFileView, StructType, Transaction};

use super::{builder, delta, full_name, load};
use crate::error::{Error, Result};
use crate::history::RESTORED;
use crate::log::LogPosition;
use crate::objects::Objects;
use crate::table::Table;

/// The first commit of a restored table.
#[derive(Debug)]
pub(crate) struct First {
    /// Its files, which are in place.
    pub(crate) adds: Vec<Add>,
    /// Names the transactions of the node that will write it.
    pub(crate) app: String,
    /// How far that node's log has come, as far as this table goes; None for one whose transactions are no such
    /// positions.
    pub(crate) position: Option<LogPosition>,
    /// Name of the backup.
    pub(crate) restored_from: String,
}

/// Creates the table with all its files in one commit. Done again, it finds the table as it should be.
pub(crate) async fn create_restored(
    objects: &Objects,
    workspace: &str,
    table: Table,
    first: First,
) -> Result<()> {
    let mut names: Vec<_> = first.adds.iter().map(|add| add.path.clone()).collect();
    let mut properties = CommitProperties::default()
        .with_max_retries(0)
        .with_metadata(HashMap::from([(
            RESTORED.to_owned(),
            serde_json::Value::from(first.restored_from),
        )]));
    if let Some(position) = first.position {
        let position = Transaction::new(first.app, position as i64);
        properties = properties.with_application_transaction(position);
    }
    let created = builder(objects, workspace, table)?
        .with_commit_properties(properties)
        .with_actions(first.adds.into_iter().map(Action::Add))
        .await;
    let created = match created {
        Ok(created) => created,
        // The answer may have got lost on its way.
        Err(error) => load(objects, workspace, table)
            .await?
            .ok_or_else(|| delta("create it", workspace, table)(error))?,
    };
    let state = created
        .snapshot()
        .map_err(delta("read it", workspace, table))?;
    let mut found: Vec<_> = state
        .log_data()
        .iter()
        .map(|file| file.path().into_owned())
        .collect();
    names.sort_unstable();
    found.sort_unstable();
    if found == names {
        return Ok(());
    }
    Err(Error::NotEmpty {
        place: created.table_url().to_string(),
    })
}

/// A file as the action that adds it says it.
pub(crate) fn add_of(file: &LogicalFileView) -> Add {
    Add {
        path: file.path().into_owned(),
        partition_values: file.partition_values_map(),
        size: file.size(),
        modification_time: file.modification_time(),
        data_change: true,
        stats: file.stats(),
        tags: None,
        deletion_vector: None,
        base_row_id: None,
        default_row_commit_version: None,
        clustering_provider: None,
    }
}

/// Name and type of each column.
pub(crate) fn columns(schema: &StructType) -> BTreeMap<String, String> {
    let fields = schema.fields();
    fields
        .map(|field| (field.name().clone(), field.data_type().to_string()))
        .collect()
}

/// Whether this version reads what those columns hold. It may have more.
pub(crate) fn check_columns(
    found: &BTreeMap<String, String>,
    workspace: &str,
    table: Table,
) -> Result<()> {
    let schema: StructType = table.schema().as_ref().try_into_kernel()?;
    let ours = columns(&schema);
    for (name, kind) in found {
        if ours.get(name) != Some(kind) {
            let here = ours.get(name).map_or("unknown", String::as_str);
            return Err(Error::SchemaDiffers {
                table: full_name(workspace, table),
                reason: format!("column {name} is {kind} in the backup, here it is {here}"),
            });
        }
    }
    Ok(())
}
