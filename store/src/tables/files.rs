//! The files of a flush: sorted, one for each day of data.

use std::ops::Range;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use deltalake::kernel::Add;
use deltalake::logstore::LogStoreRef;
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStoreExt;
use object_store::path::Path;

use super::PARTITION;
use super::encode::{Effort, Encoder, Finished, schema};
use super::order::Ordered;
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
    let rows = Ordered::of(table, batches)?;
    let schema = schema(table);
    let encode = |(day, stretch)| encode_day(table, &day_name(day), &rows, stretch, &schema);
    rows.days().map(encode).collect()
}

fn encode_day(
    table: Table,
    day: &str,
    rows: &Ordered<'_>,
    stretch: Range<usize>,
    schema: &SchemaRef,
) -> Result<Encoded> {
    let mut encoder = Encoder::begin(table, Effort::Quick, true)?;
    // The ledger's files are named after what stands in them; they are small.
    let mut records = Vec::new();
    for piece in rows.pieces(stretch, schema) {
        let piece = piece?;
        encoder.write(&piece)?;
        if table == Table::Audit {
            records.push(piece);
        }
    }
    let Finished { bytes, stats, .. } = encoder.finish()?;
    let name = match table {
        Table::Audit => ledger::file_name(&concat_batches(schema, &records)?, &bytes),
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

/// The day (since 1970) as Delta writes it, such as `2026-11-22`.
fn day_name(day: i32) -> String {
    let day = chrono::NaiveDate::from_epoch_days(day);
    day.unwrap_or_default().format("%Y-%m-%d").to_string()
}
