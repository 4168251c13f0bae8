//! Parquet files: sorted, compressed, one for each day of data in a flush.

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
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::{PARTITION, stats};
use crate::error::{Error, Result};
use crate::ledger;
use crate::table::Table;

/// Rows of a row group: what a reader decodes at once, at most.
const ROW_GROUP_ROWS: usize = 128 * 1024;
/// Bytes of a row group, for tables whose rows are large.
const ROW_GROUP_BYTES: usize = 64 << 20;
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
    let properties = properties(table)?;
    let mut files = Vec::new();
    for range in partition(std::slice::from_ref(&days))?.ranges() {
        let day = day(&days, range.start);
        let rows = rows.slice(range.start, range.len());
        files.push(encode_day(
            table,
            &day,
            &without_partition(&rows)?,
            &properties,
        )?);
    }
    Ok(files)
}

fn encode_day(
    table: Table,
    day: &str,
    rows: &RecordBatch,
    properties: &WriterProperties,
) -> Result<Encoded> {
    // Without the Arrow schema in the footer every reader sees the same plain types.
    let options = ArrowWriterOptions::new()
        .with_properties(properties.clone())
        .with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), rows.schema(), options)?;
    writer.write(rows)?;
    let bytes = writer.into_inner()?;
    let name = match table {
        Table::Audit => ledger::file_name(rows, &bytes),
        _ => format!("part-{}.zstd.parquet", uuid::Uuid::new_v4()),
    };
    let add = Add {
        path: format!("{PARTITION}={day}/{name}"),
        partition_values: [(PARTITION.to_owned(), Some(day.to_owned()))].into(),
        size: bytes.len() as i64,
        modification_time: chrono::Utc::now().timestamp_millis(),
        data_change: true,
        stats: Some(stats::of(rows, table.stat_columns())),
        tags: None,
        deletion_vector: None,
        base_row_id: None,
        default_row_commit_version: None,
        clustering_provider: None,
    };
    Ok(Encoded { add, bytes })
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

pub(super) fn properties(table: Table) -> Result<WriterProperties> {
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_created_by("flyball".to_owned());
    let schema = table.schema();
    let fields = schema
        .fields()
        .iter()
        .filter(|field| field.name() != PARTITION);
    let names: Vec<&str> = fields.clone().map(|field| field.name().as_str()).collect();
    for field in fields {
        // Times and positions grow in small steps; a dictionary of them would be as long as they are.
        let is_time = matches!(field.data_type(), arrow::datatypes::DataType::Timestamp(..));
        if is_time
            || matches!(
                field.name().as_str(),
                "start_unix_nano" | "duration_ns" | "log_position" | "seq"
            )
        {
            let column = ColumnPath::from(field.name().as_str());
            builder = builder
                .set_column_dictionary_enabled(column.clone(), false)
                .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED);
        }
    }
    for name in table.bloom_columns() {
        let column = ColumnPath::from(*name);
        builder = builder
            .set_column_dictionary_enabled(column.clone(), false)
            .set_column_bloom_filter_enabled(column.clone(), true)
            .set_column_bloom_filter_fpp(column.clone(), 0.01)
            .set_column_bloom_filter_max_ndv(column, ROW_GROUP_ROWS as u64);
    }
    for name in table.text_columns() {
        let column = ColumnPath::from(*name);
        builder = builder
            .set_column_dictionary_enabled(column.clone(), false)
            .set_column_statistics_enabled(column, EnabledStatistics::None);
    }
    let position = |name: &&str| names.iter().position(|column| column == name);
    let order: Vec<_> = table
        .sort_columns()
        .iter()
        .filter_map(position)
        .map(|at| SortingColumn {
            column_idx: at as i32,
            descending: false,
            nulls_first: true,
        })
        .collect();
    Ok(builder.set_sorting_columns(Some(order)).build())
}
