//! All tables at one moment, for readers.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use deltalake::DeltaTable;
use futures::stream::BoxStream;

use crate::bounds::Bounds;
use crate::error::Result;
use crate::rollup::Minutes;
use crate::spill::SpilledFile;
use crate::table::Table;
use crate::tables::{self, Listed, Slice};
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

    /// The files of this version.
    ///
    /// # Errors
    /// When the version was not loaded with them.
    pub fn files(&self, workspace: &str) -> Result<Vec<StoredFile>> {
        let Some(delta) = &self.delta else {
            return Ok(Vec::new());
        };
        let listed = tables::files(delta, workspace, self.table)?;
        Ok(listed.into_iter().map(StoredFile).collect())
    }

    /// One column of a file's rows that have this text in that other one, a batch at a time.
    pub fn column_where(
        &self,
        file: &StoredFile,
        column: &'static [&'static str; 1],
        only: (&'static str, &'static str),
    ) -> BoxStream<'static, Result<RecordBatch>> {
        let Some(delta) = &self.delta else {
            return Box::pin(futures::stream::empty());
        };
        let slice = Slice {
            time: "start_time",
            columns: column,
            minutes: Arc::new(Minutes::all()),
            inside: true,
            only: Some(only),
        };
        tables::read_minutes(delta, std::slice::from_ref(&file.0), &slice)
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

/// A file that a version of a table lists. What stands in it never changes: rows that change go to another file.
#[derive(Debug, Clone)]
pub struct StoredFile(Listed);

impl StoredFile {
    /// Where it is, in the table's folder: a name that no other file ever has.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.0.path
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
