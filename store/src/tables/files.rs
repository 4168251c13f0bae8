//! The files of a flush: sorted, one for each day of data.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{
    SortColumn, concat_batches, lexsort_to_indices, partition, take_record_batch,
};
use arrow::datatypes::Date32Type;
use arrow::error::ArrowError;
use deltalake::kernel::Add;
use deltalake::logstore::LogStoreRef;
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStoreExt;
use object_store::path::Path;

use super::PARTITION;
use super::encode::{Effort, Encoder, Finished};
use crate::error::{Error, Result};
use crate::ledger;
use crate::table::Table;

/// Files that are uploaded at the same time.
const UPLOADS: usize = 4;

/// A file ready to be uploaded.
struct Encoded {
    add: Add,
    bytes: Vec<u8>,
}

/// Writes rows as files of a table and returns the actions that would add them. Until a commit names them,
/// nobody sees them.
pub(crate) async fn write(
    log_store: &LogStoreRef,
    table: Table,
    batches: Vec<RecordBatch>,
) -> Result<Vec<Add>> {
    let files = tokio::task::spawn_blocking(move || encode(table, &batches)).await??;
    let store = log_store.object_store(None);
    let uploads = files.into_iter().map(|Encoded { add, bytes }| {
        let store = &store;
        async move {
            let path = Path::from(add.path.as_str());
            store
                .put(&path, bytes.into())
                .await
                .map_err(Error::objects("write a Parquet file"))?;
            Ok::<_, Error>(add)
        }
    });
    futures::stream::iter(uploads)
        .buffered(UPLOADS)
        .try_collect()
        .await
}

fn encode(table: Table, batches: &[RecordBatch]) -> Result<Vec<Encoded>> {
    let rows = sorted(table, batches)?;
    let days = rows
        .column_by_name(PARTITION)
        .map(ArrayRef::clone)
        .unwrap_or_else(|| Arc::clone(rows.column(0)));
    let mut files = Vec::new();
    for range in partition(std::slice::from_ref(&days))?.ranges() {
        let day = day(&days, range.start);
        let rows = rows.slice(range.start, range.len());
        files.push(encode_day(table, &day, &without_partition(&rows)?)?);
    }
    Ok(files)
}

fn encode_day(table: Table, day: &str, rows: &RecordBatch) -> Result<Encoded> {
    let mut encoder = Encoder::begin(table, Effort::Quick, true)?;
    encoder.write(rows)?;
    let Finished { bytes, stats, .. } = encoder.finish()?;
    let name = match table {
        Table::Audit => ledger::file_name(rows, &bytes),
        _ => unique_name(),
    };
    let add = add(day, &name, bytes.len() as u64, stats);
    Ok(Encoded { add, bytes })
}

/// A name that no file has had before.
pub(super) fn unique_name() -> String {
    format!("part-{}.zstd.parquet", uuid::Uuid::new_v4())
}

/// The action that makes a file part of a table.
pub(super) fn add(day: &str, name: &str, bytes: u64, stats: String) -> Add {
    Add {
        path: format!("{PARTITION}={day}/{name}"),
        partition_values: [(PARTITION.to_owned(), Some(day.to_owned()))].into(),
        size: bytes as i64,
        modification_time: chrono::Utc::now().timestamp_millis(),
        data_change: true,
        stats: Some(stats),
        tags: None,
        deletion_vector: None,
        base_row_id: None,
        default_row_commit_version: None,
        clustering_provider: None,
    }
}

/// All rows in one batch, by day and then in the table's order.
pub(super) fn sorted(table: Table, batches: &[RecordBatch]) -> Result<RecordBatch, ArrowError> {
    let all = concat_batches(&table.schema(), batches)?;
    let columns = std::iter::once(&PARTITION).chain(table.sort_columns());
    let columns: Vec<_> = columns
        .filter_map(|name| all.column_by_name(name))
        .map(|values| SortColumn {
            values: Arc::clone(values),
            options: None,
        })
        .collect();
    let order = lexsort_to_indices(&columns, None)?;
    take_record_batch(&all, &order)
}

fn without_partition(rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = rows.schema();
    let kept: Vec<_> = (0..schema.fields().len())
        .filter(|at| schema.field(*at).name() != PARTITION)
        .collect();
    rows.project(&kept)
}

/// The day as Delta writes it, such as `2026-11-22`.
fn day(days: &ArrayRef, row: usize) -> String {
    let days = days.as_primitive::<Date32Type>();
    let day = chrono::NaiveDate::from_epoch_days(days.value(row)).filter(|_| days.is_valid(row));
    day.unwrap_or_default().format("%Y-%m-%d").to_string()
}
