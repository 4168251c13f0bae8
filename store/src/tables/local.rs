//! Rows in a file of the local disk, all their columns in it, in the order a flush would write them.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::encode::{Effort, properties};
use super::order::Ordered;
use crate::error::{Error, Result};
use crate::table::Table;

/// Writes a new file; returns its rows and bytes. Not synced: the log has it all.
pub(crate) fn write_local(
    table: Table,
    batches: &[RecordBatch],
    path: &Path,
) -> Result<(u64, u64)> {
    let rows = Ordered::of(table, batches)?;
    let file = File::create_new(path).map_err(Error::file("create", path))?;
    let schema = table.schema();
    let properties = properties(table, Effort::Quick, true)?;
    let mut writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties))?;
    for piece in rows.pieces(rows.all(), &schema) {
        writer.write(&piece?)?;
    }
    writer.finish()?;
    let bytes = std::fs::metadata(path).map_err(Error::file("stat", path))?;
    Ok((rows.all().len() as u64, bytes.len()))
}

/// Reads it back, whole.
pub(crate) fn read_local(table: Table, path: &Path) -> Result<Vec<RecordBatch>> {
    let file = File::open(path).map_err(Error::file("open", path))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)?.build()?;
    reader
        .map(|batch| {
            Ok(RecordBatch::try_new(
                table.schema(),
                batch?.columns().to_vec(),
            )?)
        })
        .collect()
}
