//! All tables at one moment, for readers.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use deltalake::DeltaTable;

use crate::bounds::Bounds;
use crate::rollup::Minutes;
use crate::spill::SpilledFile;
use crate::table::Table;
use crate::telling::Superseded;

/// One table at one moment.
#[derive(Debug, Clone)]
pub struct TableSnapshot {
    /// Which.
    pub table: Table,
    /// Loaded at the version of this moment; None when nothing was ever flushed.
    pub delta: Option<DeltaTable>,
    /// Rows past that version, schema of the table.
    pub buffered: Vec<RecordBatch>,
    /// What is known of each of these, so that readers can skip it; empty when nothing is.
    pub bounds: Vec<Bounds>,
    /// More such rows, older ones, that left memory while the object store did not take them.
    pub spilled: Vec<Arc<SpilledFile>>,
    /// Spans that were told again. Rows in `delta` and `buffered` of their earlier tellings are not to be read.
    pub superseded: Arc<Superseded>,
}

impl TableSnapshot {
    /// The Delta version, if there is one.
    #[must_use]
    pub fn version(&self) -> Option<u64> {
        self.delta.as_ref()?.version()
    }

    /// Without the rows that no version holds: what other engines see, which is also earlier tellings of spans.
    #[must_use]
    pub(crate) fn committed(mut self) -> Self {
        (self.buffered, self.bounds) = (Vec::new(), Vec::new());
        self.spilled = Vec::new();
        self.superseded = Arc::default();
        self
    }
}

/// All tables of a workspace at one moment: each row exactly once.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Whose.
    pub workspace: Arc<str>,
    /// Every table of [`Table::ALL`], also those that have no rows yet.
    pub tables: HashMap<Table, TableSnapshot>,
    /// The minutes of which the rollup does not say (or not rightly) what the journal holds. Rows of the
    /// rollup count only outside of them, rows of the journal then only inside. All minutes are always right, if slow.
    pub unrolled: Minutes,
}
