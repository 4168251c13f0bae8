//! Which traces tell of a subject, and which files hold them.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use deltalake::DeltaTable;
use futures::TryStreamExt;

use super::list::{SubjectKind, keyed};
use crate::error::Result;
use crate::log::LogPosition;
use crate::maintain::Place;
use crate::store::Store;
use crate::table::Table;
use crate::tables::{self, Listed};

/// Whether a value of a column is the subject: by its name, or by the keyed hash that the list has of it.
#[derive(Debug, Clone)]
pub(super) enum Matches {
    Name(String),
    Hash { key: Vec<u8>, hash: String },
}

impl Matches {
    pub(super) fn name(name: &str) -> Self {
        Self::Name(name.to_owned())
    }

    pub(super) fn hash(key: &[u8], hash: String) -> Self {
        Self::Hash {
            key: key.to_owned(),
            hash,
        }
    }

    fn is(&self, kind: SubjectKind, value: &str) -> bool {
        match self {
            Self::Name(name) => name == value,
            Self::Hash { key, hash } => keyed(key, kind, value) == *hash,
        }
    }

    /// Which rows of a batch name the subject.
    pub(super) fn rows(&self, kind: SubjectKind, batch: &RecordBatch) -> Vec<bool> {
        let names = batch
            .column_by_name(kind.column())
            .and_then(ArrayRef::as_string_opt::<i32>);
        let Some(names) = names else {
            return vec![false; batch.num_rows()];
        };
        let named = names.iter();
        named
            .map(|name| name.is_some_and(|name| self.is(kind, name)))
            .collect()
    }

    /// The traces of the rows that name the subject.
    fn collect(&self, kind: SubjectKind, batch: &RecordBatch, traces: &mut HashSet<String>) {
        let text = |name: &str| {
            let column = batch.column_by_name(name)?;
            column.as_string_opt::<i32>()
        };
        let (Some(ids), Some(names)) = (text("trace_id"), text(kind.column())) else {
            return;
        };
        let mut last: Option<(&str, bool)> = None;
        for row in (0..batch.num_rows()).filter(|row| names.is_valid(*row)) {
            let name = names.value(row);
            let matches = match last {
                Some((seen, matched)) if seen == name => matched,
                _ => self.is(kind, name),
            };
            last = Some((name, matches));
            if matches && !traces.contains(ids.value(row)) {
                traces.insert(ids.value(row).to_owned());
            }
        }
    }
}

impl Store {
    /// Traces of which a span or a charge names the subject, on disk or in memory.
    pub(super) async fn traces_of(
        &self,
        workspace: &str,
        kind: SubjectKind,
        matches: &Matches,
    ) -> Result<HashSet<String>> {
        let snapshot = self.snapshot(workspace);
        let mut traces = HashSet::new();
        for table in [Table::Spans, Table::Charges] {
            let Some(shown) = snapshot.tables.get(&table) else {
                continue;
            };
            for batch in &shown.buffered {
                matches.collect(kind, batch, &mut traces);
            }
            let Some(delta) = &shown.delta else { continue };
            for file in tables::files(delta, workspace, table)? {
                let mut batches =
                    tables::some_columns(delta, &file, &["trace_id", kind.column()]).await?;
                while let Some(batch) = batches.try_next().await? {
                    matches.collect(kind, &batch, &mut traces);
                }
            }
        }
        // What an earlier erasure left without its trace is nobody's.
        traces.remove(super::redact::NO_TRACE);
        Ok(traces)
    }

    /// How many rows of these traces a table has in memory.
    pub(super) fn buffered_of(&self, (workspace, table): &Place, traces: &HashSet<String>) -> u64 {
        let snapshot = self.snapshot(workspace);
        let Some(shown) = snapshot.tables.get(table) else {
            return 0;
        };
        let rows = shown
            .buffered
            .iter()
            .map(|batch| rows_of(batch, traces, LogPosition::MAX));
        rows.sum()
    }
}

/// How many rows of these traces a file has, up to a log position.
pub(super) async fn count(
    delta: &DeltaTable,
    file: &Listed,
    traces: &HashSet<String>,
    position: LogPosition,
) -> Result<u64> {
    let mut count = 0;
    let mut batches = tables::some_columns(delta, file, &["trace_id", "log_position"]).await?;
    while let Some(batch) = batches.try_next().await? {
        count += rows_of(&batch, traces, position);
    }
    Ok(count)
}

/// How many rows of a file name the subject.
pub(super) async fn count_named(
    delta: &DeltaTable,
    file: &Listed,
    kind: SubjectKind,
    matches: &Matches,
) -> Result<u64> {
    let mut count = 0;
    let mut batches = tables::some_columns(delta, file, &[kind.column()]).await?;
    while let Some(batch) = batches.try_next().await? {
        let rows = matches.rows(kind, &batch);
        count += rows.iter().filter(|row| **row).count() as u64;
    }
    Ok(count)
}

fn rows_of(batch: &RecordBatch, traces: &HashSet<String>, position: LogPosition) -> u64 {
    let of_them = concerned(batch, traces, position);
    of_them.iter().filter(|row| **row).count() as u64
}

/// Which rows of a batch belong to these traces and were told up to a position.
pub(super) fn concerned(
    batch: &RecordBatch,
    traces: &HashSet<String>,
    position: LogPosition,
) -> Vec<bool> {
    let ids = batch
        .column_by_name("trace_id")
        .and_then(ArrayRef::as_string_opt::<i32>);
    let told = batch
        .column_by_name("log_position")
        .and_then(|column| column.as_primitive_opt::<Int64Type>());
    let (Some(ids), Some(told)) = (ids, told) else {
        return vec![false; batch.num_rows()];
    };
    let limit = i64::try_from(position).unwrap_or(i64::MAX);
    (0..batch.num_rows())
        .map(|row| told.value(row) <= limit && traces.contains(ids.value(row)))
        .collect()
}

/// The traces that an erasure is about, shared with what goes over their rows.
pub(super) type Traces = Arc<HashSet<String>>;
