//! Rows of a table on disk, by trace or by log position: what the resolver asks for after a restart.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, RecordBatch, new_null_array,
};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use chrono::NaiveDate;
use deltalake::DeltaTable;
use deltalake::kernel::LogicalFileView;
use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::{ArrowPredicateFn, RowFilter};
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaDataReader;

use super::object::Object;
use super::{PARTITION, Window, delta, stats};
use crate::error::{Error, Result};
use crate::log::LogPosition;
use crate::spill::SpilledFile;
use crate::table::Table;

/// With more traces than this a bloom filter is not asked: it would say yes anyway.
const BLOOM_TRACES_MAX: usize = 2_000;
/// Files that are read at the same time: most of it is waiting for the object store.
const READS: usize = 8;

/// Which rows.
#[derive(Debug, Clone)]
pub(crate) enum Wanted {
    /// Those past this log position.
    Past(LogPosition),
    /// Those of these traces; in files that have nothing within the window they are not looked for.
    Traces(Arc<HashSet<String>>, Option<Window>),
}

impl Wanted {
    /// The column that decides.
    fn column(&self) -> &'static str {
        match self {
            Self::Past(_) => "log_position",
            Self::Traces(..) => "trace_id",
        }
    }

    /// Which rows of that column are wanted.
    fn test(&self, column: &ArrayRef) -> BooleanArray {
        match self {
            Self::Past(position) => match column.as_primitive_opt::<Int64Type>() {
                Some(column) => column
                    .iter()
                    .map(|at| Some(at.is_some_and(|at| at > *position as i64)))
                    .collect(),
                None => BooleanArray::from(vec![true; column.len()]),
            },
            Self::Traces(traces, _) => match column.as_string_opt::<i32>() {
                Some(column) => column
                    .iter()
                    .map(|id| Some(id.is_some_and(|id| traces.contains(id))))
                    .collect(),
                None => BooleanArray::from(vec![true; column.len()]),
            },
        }
    }

    /// The wanted rows of a batch.
    pub(crate) fn filter(
        &self,
        batch: &RecordBatch,
    ) -> std::result::Result<RecordBatch, ArrowError> {
        match batch.column_by_name(self.column()) {
            Some(column) => filter_record_batch(batch, &self.test(column)),
            None => Ok(batch.slice(0, 0)),
        }
    }

    /// Whether a file can be left unopened.
    fn skips(&self, file: &LogicalFileView) -> bool {
        match self {
            Self::Past(position) => file
                .stats()
                .and_then(|stats| stats::largest(&stats, "log_position"))
                .is_some_and(|largest| largest <= *position as i64),
            Self::Traces(traces, window) => {
                traces.is_empty()
                    || window
                        .is_some_and(|window| window.misses(day(file), file.stats().as_deref()))
            }
        }
    }
}

/// The day a file is of.
fn day(file: &LogicalFileView) -> Option<NaiveDate> {
    file.partition_values_map()
        .get(PARTITION)
        .and_then(|day| day.as_deref()?.parse().ok())
}

/// Reads the wanted rows of a table, with the columns of its schema in order.
pub(crate) async fn read(
    loaded: &DeltaTable,
    workspace: &str,
    table: Table,
    wanted: &Wanted,
) -> Result<Vec<RecordBatch>> {
    let state = loaded
        .snapshot()
        .map_err(delta("read it", workspace, table))?;
    let store = loaded.log_store().object_store(None);
    let files: Vec<_> = state
        .log_data()
        .iter()
        .filter(|file| !wanted.skips(file))
        .map(|file| {
            let object = Object {
                store: Arc::clone(&store),
                path: file.object_store_path(),
                size: file.size().max(0) as u64,
            };
            (object, day(&file).map_or(0, |day| day.to_epoch_days()))
        })
        .collect();
    let reads = files.into_iter().map(|(object, day)| async move {
        let batches = read_file(object, wanted).await?;
        let whole = batches.iter().map(|batch| whole(table, batch, day));
        whole
            .collect::<std::result::Result<Vec<_>, _>>()
            .map_err(Error::from)
    });
    let found: Vec<_> = futures::stream::iter(reads)
        .buffered(READS)
        .try_collect()
        .await?;
    Ok(found.into_iter().flatten().collect())
}

/// Reads the wanted rows of spilled files.
pub(crate) async fn read_spilled(
    files: &[Arc<SpilledFile>],
    table: Table,
    wanted: &Wanted,
) -> Result<Vec<RecordBatch>> {
    let store: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new());
    let mut found = Vec::new();
    for file in files {
        let object = Object {
            store: Arc::clone(&store),
            path: file.location().clone(),
            size: file.bytes(),
        };
        for batch in read_file(object, wanted).await? {
            // The file has the day in a column; types are the table's.
            found.push(RecordBatch::try_new(
                table.schema(),
                batch.columns().to_vec(),
            )?);
        }
    }
    Ok(found)
}

/// A log position past which a table holds about its last so many rows, by what the Delta log says of its files.
pub(crate) fn tail_begins(loaded: &DeltaTable, rows: usize) -> LogPosition {
    let Ok(state) = loaded.snapshot() else {
        return 0;
    };
    let mut files: Vec<_> = state
        .log_data()
        .iter()
        .map(|file| {
            let largest = file
                .stats()
                .and_then(|stats| stats::largest(&stats, "log_position"));
            (
                largest.unwrap_or(i64::MAX),
                file.num_records().unwrap_or(usize::MAX),
            )
        })
        .collect();
    files.sort_unstable_by(|a, b| b.cmp(a));
    let mut counted = 0_usize;
    for (largest, records) in files {
        if counted >= rows {
            return largest.max(0) as LogPosition;
        }
        counted = counted.saturating_add(records);
    }
    0
}

/// Rows of a Parquet file of so many bytes, by its footer.
pub(crate) async fn count_rows(store: &dyn ObjectStore, path: &Path, size: u64) -> Result<u64> {
    const TAIL: u64 = 64 << 10;
    let mut from = size.saturating_sub(TAIL);
    let mut reader = ParquetMetaDataReader::new();
    loop {
        let tail = store.get_range(path, from..size).await;
        let tail = tail.map_err(Error::objects("read a Parquet file"))?;
        match reader.try_parse_sized(&tail, size) {
            Ok(()) => break,
            Err(ParquetError::NeedMoreData(needed)) if from > 0 => {
                from = size.saturating_sub((needed as u64).max(2 * (size - from)));
            }
            Err(error) => return Err(error.into()),
        }
    }
    let rows = reader.finish()?.file_metadata().num_rows();
    Ok(rows.max(0) as u64)
}

async fn read_file(object: Object, wanted: &Wanted) -> Result<Vec<RecordBatch>> {
    let mut builder = ParquetRecordBatchStreamBuilder::new(object).await?;
    let schema = builder.parquet_schema();
    let Some(column) =
        (0..schema.num_columns()).find(|at| schema.column(*at).name() == wanted.column())
    else {
        return Ok(Vec::new());
    };
    let mask = ProjectionMask::leaves(schema, [column]);
    let groups = match wanted {
        Wanted::Traces(traces, _) => possible_groups(&mut builder, column, traces).await?,
        Wanted::Past(_) => (0..builder.metadata().num_row_groups()).collect(),
    };
    if groups.is_empty() {
        return Ok(Vec::new());
    }
    let test = wanted.clone();
    let predicate = ArrowPredicateFn::new(mask, move |batch: RecordBatch| {
        Ok(test.test(batch.column(0)))
    });
    let stream = builder
        .with_row_groups(groups)
        .with_row_filter(RowFilter::new(vec![Box::new(predicate)]))
        .build()?;
    Ok(stream.try_collect().await?)
}

/// Row groups that may have one of these spans, by the bloom filters of both columns.
pub(super) async fn groups_with(
    builder: &mut ParquetRecordBatchStreamBuilder<Object>,
    [trace, span]: [usize; 2],
    spans: &[(String, String)],
) -> Result<Vec<usize>> {
    let mut groups = Vec::new();
    for group in 0..builder.metadata().num_row_groups() {
        let traces = builder
            .get_row_group_column_bloom_filter(group, trace)
            .await?;
        let ids = builder
            .get_row_group_column_bloom_filter(group, span)
            .await?;
        let possible = match (traces, ids) {
            (Some(traces), Some(ids)) => spans
                .iter()
                .any(|(trace, span)| traces.check(trace.as_str()) && ids.check(span.as_str())),
            _ => true,
        };
        groups.extend(possible.then_some(group));
    }
    Ok(groups)
}

/// Row groups that may have rows of these traces, by the bloom filter of that column.
async fn possible_groups(
    builder: &mut ParquetRecordBatchStreamBuilder<Object>,
    column: usize,
    traces: &HashSet<String>,
) -> Result<Vec<usize>> {
    let all = 0..builder.metadata().num_row_groups();
    if traces.len() > BLOOM_TRACES_MAX {
        return Ok(all.collect());
    }
    let mut groups = Vec::new();
    for group in all {
        let bloom = builder
            .get_row_group_column_bloom_filter(group, column)
            .await?;
        if bloom.is_none_or(|bloom| traces.iter().any(|trace| bloom.check(trace.as_str()))) {
            groups.push(group);
        }
    }
    Ok(groups)
}

/// The batch with the table's columns: the day added, columns it lacks as NULL.
fn whole(
    table: Table,
    batch: &RecordBatch,
    day: i32,
) -> std::result::Result<RecordBatch, ArrowError> {
    let schema = table.schema();
    let column = |name: &str, data_type| {
        if name == PARTITION {
            return Arc::new(Date32Array::from_value(day, batch.num_rows())) as ArrayRef;
        }
        batch
            .column_by_name(name)
            .cloned()
            .unwrap_or_else(|| new_null_array(data_type, batch.num_rows()))
    };
    let columns = schema
        .fields()
        .iter()
        .map(|field| column(field.name(), field.data_type()))
        .collect();
    RecordBatch::try_new(Arc::clone(&schema), columns)
}

/// Of every span only its latest telling, since table and buffer may hold both.
pub(crate) fn latest_tellings(
    table: Table,
    batches: &[RecordBatch],
) -> std::result::Result<Vec<RecordBatch>, ArrowError> {
    let all = concat_batches(&table.schema(), batches)?;
    let text = |name| {
        all.column_by_name(name)
            .and_then(|column: &ArrayRef| column.as_string_opt::<i32>())
    };
    let positions = all
        .column_by_name("log_position")
        .and_then(|column| column.as_primitive_opt::<Int64Type>());
    let (Some(traces), Some(spans), Some(positions)) =
        (text("trace_id"), text("span_id"), positions)
    else {
        return Ok(vec![all]);
    };
    let mut latest: HashMap<(&str, &str), usize> = HashMap::with_capacity(all.num_rows());
    for row in 0..all.num_rows() {
        let kept = latest
            .entry((traces.value(row), spans.value(row)))
            .or_insert(row);
        if positions.value(row) >= positions.value(*kept) {
            *kept = row;
        }
    }
    if latest.len() == all.num_rows() {
        return Ok(if all.num_rows() == 0 {
            Vec::new()
        } else {
            vec![all]
        });
    }
    let mut keep = vec![false; all.num_rows()];
    for row in latest.into_values() {
        keep[row] = true;
    }
    Ok(vec![filter_record_batch(&all, &BooleanArray::from(keep))?])
}
