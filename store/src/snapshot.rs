//! All tables at one moment, for readers.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use deltalake::DeltaTable;

use crate::table::Table;

/// One table at one moment.
#[derive(Debug, Clone)]
pub struct TableSnapshot {
    /// Which.
    pub table: Table,
    /// Loaded at the version of this moment; None when nothing was ever flushed.
    pub delta: Option<DeltaTable>,
    /// Rows past that version, schema of the table.
    pub buffered: Vec<RecordBatch>,
}

/// All tables of a workspace at one moment: each row exactly once.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Whose.
    pub workspace: Arc<str>,
    /// Every table of [`Table::ALL`], also those that have no rows yet.
    pub tables: HashMap<Table, TableSnapshot>,
}
