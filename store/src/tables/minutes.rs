//! Rows by the minute they are of: what the rollup sums, and what it replaces.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, Scalar, StringArray};
use arrow::compute::cast;
use arrow::compute::kernels::cmp::eq;
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use chrono::NaiveDate;
use deltalake::DeltaTable;
use deltalake::kernel::Action;
use deltalake::logstore::get_actions;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use parquet::arrow::arrow_reader::{ArrowPredicate, ArrowPredicateFn, RowFilter};
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::statistics::Statistics;

use super::listed::Listed;
use super::object::Object;
use super::{PARTITION, delta, stats};
use crate::error::Result;
use crate::rollup::Minutes;
use crate::table::Table;

/// Files that are read at the same time.
const READS: usize = 4;
/// Rows that are handed on at once.
const BATCH_ROWS: usize = 8_192;
/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// Which rows, and what of them.
#[derive(Debug, Clone)]
pub(crate) struct Slice {
    /// The column with the time that decides.
    pub(crate) time: &'static str,
    /// The columns to read; none for all of them.
    pub(crate) columns: &'static [&'static str],
    pub(crate) minutes: Arc<Minutes>,
    /// Rows of these minutes, or all others.
    pub(crate) inside: bool,
    /// Of these, the rows that have this text in this column; none for all of them.
    pub(crate) only: Option<(&'static str, &'static str)>,
}

impl Slice {
    /// Whether rows of every time are wanted.
    fn is_always(&self) -> bool {
        self.inside && self.minutes.as_ref() == &Minutes::all()
    }

    fn test(&self, times: &ArrayRef) -> BooleanArray {
        let Some(times) = times.as_primitive_opt::<TimestampMicrosecondType>() else {
            return BooleanArray::from(vec![false; times.len()]);
        };
        let wanted = |at: i64| self.minutes.has(Minutes::of(at)) == self.inside;
        times
            .iter()
            .map(|at| Some(at.is_some_and(wanted)))
            .collect()
    }

    /// Whether a row group may hold rows that are wanted, by its statistics.
    fn may_hold(&self, group: &RowGroupMetaData, column: usize) -> bool {
        let Some(Statistics::Int64(bounds)) = group.column(column).statistics() else {
            return true;
        };
        match (bounds.min_opt(), bounds.max_opt()) {
            (Some(first), Some(last)) if self.inside => {
                self.minutes.meets(&Minutes::between(*first, *last))
            }
            _ => true,
        }
    }
}

/// Reads the wanted rows of these files, without the column of the day: a batch at a time, in no order, so that memory
/// does not depend on how many they are.
pub(crate) fn read(
    loaded: &DeltaTable,
    files: &[Listed],
    slice: &Slice,
) -> BoxStream<'static, Result<RecordBatch>> {
    let store = loaded.log_store().object_store(None);
    let objects: Vec<Object> = files.iter().map(|file| file.object(&store)).collect();
    let slice = slice.clone();
    let reads = move |object| {
        let slice = slice.clone();
        stream::once(async move { read_file(object, &slice).await }).try_flatten()
    };
    stream::iter(objects)
        .map(move |object| reads(object).boxed())
        .flatten_unordered(READS)
        .boxed()
}

async fn read_file(
    object: Object,
    slice: &Slice,
) -> Result<BoxStream<'static, Result<RecordBatch>>> {
    let builder = ParquetRecordBatchStreamBuilder::new(object).await?;
    let schema = builder.parquet_schema();
    let place = |name: &str| (0..schema.num_columns()).find(|at| schema.column(*at).name() == name);
    let Some(time) = place(slice.time) else {
        return Ok(stream::empty().boxed());
    };
    let wanted = slice.columns.iter().filter_map(|name| place(name));
    let columns = match slice.columns {
        [] => ProjectionMask::all(),
        _ => ProjectionMask::leaves(schema, wanted),
    };
    let groups = builder.metadata().row_groups().iter().enumerate();
    let groups: Vec<usize> = groups
        .filter(|(_, group)| slice.may_hold(group, time))
        .map(|(at, _)| at)
        .collect();
    let mut tests: Vec<Box<dyn ArrowPredicate>> = Vec::new();
    if let Some((column, text)) = slice.only {
        let Some(column) = place(column) else {
            return Ok(stream::empty().boxed());
        };
        let text = StringArray::from(vec![text]);
        let is_text = move |batch: RecordBatch| {
            let text = cast(&text, batch.column(0).data_type())?;
            eq(batch.column(0), &Scalar::new(text))
        };
        let mask = ProjectionMask::leaves(schema, [column]);
        tests.push(Box::new(ArrowPredicateFn::new(mask, is_text)));
    }
    if !slice.is_always() {
        let test = slice.clone();
        let in_time = move |batch: RecordBatch| {
            let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
            Ok(test.test(&cast(batch.column(0), &micros)?))
        };
        let mask = ProjectionMask::leaves(schema, [time]);
        tests.push(Box::new(ArrowPredicateFn::new(mask, in_time)));
    }
    if groups.is_empty() {
        return Ok(stream::empty().boxed());
    }
    let found = builder
        .with_row_groups(groups)
        .with_projection(columns)
        .with_row_filter(RowFilter::new(tests))
        .with_batch_size(BATCH_ROWS)
        .build()?;
    Ok(found.map_err(Into::into).boxed())
}

/// The minutes that a file's rows may be of, by a column of its statistics, else by its day.
pub(super) fn spanned(stats: Option<&str>, time: &str, day: Option<&str>) -> Minutes {
    let told = stats.and_then(|stats| stats::instants(stats, time));
    let day = || {
        let day: NaiveDate = day?.parse().ok()?;
        let start = i64::from(day.to_epoch_days()) * DAY;
        Some((start, start + (DAY - 1)))
    };
    match told.or_else(day) {
        Some((first, last)) => Minutes::between(first, last),
        None => Minutes::all(),
    }
}

/// The minutes of which rows came or went after a version of a table, by what the Delta log says of files that
/// were added or taken off. None when the log does not go back so far.
pub(crate) async fn changed_since(
    loaded: &DeltaTable,
    version: u64,
    workspace: &str,
    table: Table,
    time: &'static str,
) -> Result<Option<Minutes>> {
    let failed = || delta("read its history", workspace, table);
    let log_store = loaded.log_store();
    let newest = loaded.version().unwrap_or_default();
    let mut changed = Minutes::default();
    for version in version + 1..=newest {
        let commit = log_store.read_commit_entry(version).await;
        let Some(commit) = commit.map_err(failed())? else {
            return Ok(None);
        };
        for action in get_actions(version, &commit).map_err(failed())? {
            changed.extend(&self::changed(&action, time));
        }
    }
    Ok(Some(changed))
}

/// The minutes of which rows come or go with an action; none when it only moves them to another file.
pub(super) fn changed(action: &Action, time: &str) -> Minutes {
    let day = |values: &HashMap<String, Option<String>>| values.get(PARTITION).cloned().flatten();
    match action {
        Action::Add(add) if add.data_change => {
            let day = day(&add.partition_values);
            spanned(add.stats.as_deref(), time, day.as_deref())
        }
        // An action that takes a file away does not say when its rows were.
        Action::Remove(remove) if remove.data_change => {
            let day = remove.partition_values.as_ref().and_then(day);
            spanned(None, time, day.as_deref())
        }
        _ => Minutes::default(),
    }
}
