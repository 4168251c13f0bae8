//! The files that a table lists.

use std::sync::Arc;

use chrono::NaiveDate;
use deltalake::DeltaTable;
use deltalake::kernel::{LogicalFileView, Remove};
use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::path::Path;

use super::object::Object;
use super::{PARTITION, delta, minutes, stats};
use crate::error::Result;
use crate::rollup::Minutes;
use crate::table::Table;

/// A file that a table lists.
#[derive(Clone)]
pub(crate) struct Listed {
    /// In the table's folder.
    pub(crate) path: String,
    /// None when somebody else wrote it without one.
    pub(crate) day: Option<NaiveDate>,
    pub(crate) bytes: u64,
    /// 0 when the log does not say.
    pub(crate) rows: u64,
    /// Milliseconds since 1970.
    pub(crate) written_at: i64,
    view: LogicalFileView,
}

impl std::fmt::Debug for Listed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listed")
            .field("path", &self.path)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

impl Listed {
    pub(super) fn of(view: LogicalFileView) -> Self {
        let day = view.partition_values_map();
        let day = day.get(PARTITION).and_then(|day| day.as_deref());
        Self {
            path: view.path().into_owned(),
            day: day.and_then(|day| day.parse().ok()),
            bytes: view.size().max(0) as u64,
            rows: view.num_records().unwrap_or(0) as u64,
            written_at: view.modification_time(),
            view,
        }
    }

    /// The action that takes it off the list.
    pub(crate) fn remove(&self) -> Remove {
        self.view.remove_action(true)
    }

    /// The log positions of its rows, both ends among them; None when the log does not say.
    pub(crate) fn positions(&self) -> Option<(i64, i64)> {
        let stats = self.view.stats()?;
        Some((
            stats::smallest(&stats, "log_position")?,
            stats::largest(&stats, "log_position")?,
        ))
    }

    /// When its rows start, in microseconds since 1970, both ends among them.
    pub(crate) fn starts(&self) -> Option<(i64, i64)> {
        stats::instants(&self.view.stats()?, "start_time")
    }

    /// Where it is, in the table's folder.
    pub(crate) fn object_path(&self) -> Path {
        self.view.object_store_path()
    }

    /// The minutes that its rows may be of, by this column of times.
    pub(crate) fn minutes(&self, time: &str) -> Minutes {
        let day = self.day.map(|day| day.to_string());
        minutes::spanned(self.view.stats().as_deref(), time, day.as_deref())
    }

    pub(super) fn object(&self, store: &Arc<dyn ObjectStore>) -> Object {
        Object {
            store: Arc::clone(store),
            path: self.object_path(),
            size: self.bytes,
        }
    }
}

/// All of a table's files.
pub(crate) fn files(loaded: &DeltaTable, workspace: &str, table: Table) -> Result<Vec<Listed>> {
    let state = loaded
        .snapshot()
        .map_err(delta("list its files", workspace, table))?;
    Ok(state.log_data().iter().map(Listed::of).collect())
}

/// Files that a table has taken off its list, with when it did (milliseconds since 1970), as far as its log still
/// tells: readers of older versions may need them yet.
pub(crate) async fn taken_off(
    loaded: &DeltaTable,
    workspace: &str,
    table: Table,
) -> Result<Vec<(Path, Option<i64>)>> {
    let failed = || delta("list what it took off its list", workspace, table);
    let state = loaded.snapshot().map_err(failed())?;
    let log_store = loaded.log_store();
    let mut tombstones = state.all_tombstones(log_store.as_ref());
    let mut found = Vec::new();
    while let Some(gone) = tombstones.try_next().await.map_err(failed())? {
        let path = gone.path();
        let path = Path::parse(path.as_ref()).unwrap_or_else(|_| Path::from(path.as_ref()));
        found.push((path, gone.deletion_timestamp()));
    }
    Ok(found)
}
