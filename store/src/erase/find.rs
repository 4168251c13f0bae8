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
        let mut last: Option<(&str, bool)> = None;
        let mut is = |name| match last {
            Some((seen, matched)) if seen == name => matched,
            _ => {
                let matches = self.is(kind, name);
                last = Some((name, matches));
                matches
            }
        };
        let named = names.iter();
        named.map(|name| name.is_some_and(&mut is)).collect()
    }

    /// The traces of the rows that name the subject.
    fn collect(&self, kind: SubjectKind, batch: &RecordBatch, traces: &mut HashSet<String>) {
        let text = |name: &str| {
            let column = batch.column_by_name(name)?;
            column.as_string_opt::<i32>()
        };
        let Some(ids) = text("trace_id") else {
            return;
        };
        let named = self.rows(kind, batch);
        for row in (0..batch.num_rows()).filter(|row| named[*row] && ids.is_valid(*row)) {
            if !traces.contains(ids.value(row)) {
                traces.insert(ids.value(row).to_owned());
            }
        }
    }
}

impl Store {
    /// Traces of which a span, a charge or a log record names the subject, on disk or in memory.
    pub(super) async fn traces_of(
        &self,
        workspace: &str,
        kind: SubjectKind,
        matches: &Matches,
    ) -> Result<HashSet<String>> {
        let snapshot = self.snapshot(workspace);
        let mut traces = HashSet::new();
        for table in [Table::Spans, Table::Charges, Table::Logs] {
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

    /// How many rows of a table that are in memory an erasure is about.
    pub(super) fn buffered_of(&self, (workspace, table): &Place, concern: &Concern) -> u64 {
        let snapshot = self.snapshot(workspace);
        let Some(shown) = snapshot.tables.get(table) else {
            return 0;
        };
        shown
            .buffered
            .iter()
            .map(|batch| concern.count(batch))
            .sum()
    }
}

/// How many rows of a file an erasure is about.
pub(super) async fn count(
    delta: &DeltaTable,
    table: Table,
    file: &Listed,
    concern: &Concern,
) -> Result<u64> {
    let schema = table.schema();
    let columns = ["trace_id", concern.kind.column(), "log_position"];
    let columns: Vec<&str> = columns
        .into_iter()
        .filter(|name| schema.index_of(name).is_ok())
        .collect();
    let mut count = 0;
    let mut batches = tables::some_columns(delta, file, &columns).await?;
    while let Some(batch) = batches.try_next().await? {
        count += concern.count(&batch);
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

/// Which rows an erasure is about: those of its traces, and those that name the subject themselves (a metric
/// belongs to no trace), told up to a log position.
#[derive(Debug, Clone)]
pub(super) struct Concern {
    pub(super) traces: Arc<HashSet<String>>,
    pub(super) kind: SubjectKind,
    pub(super) matches: Matches,
    pub(super) position: LogPosition,
}

impl Concern {
    /// Row by row of a batch.
    pub(super) fn rows(&self, batch: &RecordBatch) -> Vec<bool> {
        let told = batch
            .column_by_name("log_position")
            .and_then(|column| column.as_primitive_opt::<Int64Type>());
        let Some(told) = told else {
            return vec![false; batch.num_rows()];
        };
        let ids = batch
            .column_by_name("trace_id")
            .and_then(ArrayRef::as_string_opt::<i32>);
        let traced = |row: usize| {
            ids.is_some_and(|ids| ids.is_valid(row) && self.traces.contains(ids.value(row)))
        };
        let limit = i64::try_from(self.position).unwrap_or(i64::MAX);
        let named = self.matches.rows(self.kind, batch);
        named
            .into_iter()
            .enumerate()
            .map(|(row, named)| told.value(row) <= limit && (named || traced(row)))
            .collect()
    }

    fn count(&self, batch: &RecordBatch) -> u64 {
        self.rows(batch).into_iter().filter(|row| *row).count() as u64
    }
}
