//! Which telling of which span a file holds, without reading anything else of it.

use deltalake::DeltaTable;
use futures::{StreamExt, TryStreamExt};
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};

use super::listed::Listed;
use super::merge::Batches;
use super::read::groups_with;
use crate::error::{Error, Result};
use crate::telling;

/// Rows that are read at a time.
const ROWS: usize = 8_192;

/// Trace, span and log position of a file's rows; of many, those where one of these spans may be.
pub(crate) async fn tellings(
    loaded: &DeltaTable,
    file: &Listed,
    of: Option<&[(String, String)]>,
) -> Result<Batches> {
    let store = loaded.log_store().object_store(None);
    let mut builder = ParquetRecordBatchStreamBuilder::new(file.object(&store)).await?;
    let schema = builder.parquet_schema();
    let at = |name: &str| (0..schema.num_columns()).find(|at| schema.column(*at).name() == name);
    let columns: Option<Vec<usize>> = telling::COLUMNS.iter().map(|name| at(name)).collect();
    let Some([trace, span, position]) = columns.as_deref() else {
        return Ok(futures::stream::empty().boxed());
    };
    let mask = ProjectionMask::leaves(schema, [*trace, *span, *position]);
    if let Some(spans) = of {
        let groups = groups_with(&mut builder, [*trace, *span], spans).await?;
        builder = builder.with_row_groups(groups);
    }
    let stream = builder
        .with_projection(mask)
        .with_batch_size(ROWS)
        .build()?;
    Ok(stream.map_err(Error::from).boxed())
}

/// Some columns of a file's rows; without those that the file lacks.
pub(crate) async fn some_columns(
    loaded: &DeltaTable,
    file: &Listed,
    names: &[&str],
) -> Result<Batches> {
    let store = loaded.log_store().object_store(None);
    let builder = ParquetRecordBatchStreamBuilder::new(file.object(&store)).await?;
    let schema = builder.parquet_schema();
    let wanted = (0..schema.num_columns()).filter(|at| names.contains(&schema.column(*at).name()));
    let mask = ProjectionMask::leaves(schema, wanted);
    let stream = builder
        .with_projection(mask)
        .with_batch_size(ROWS)
        .build()?;
    Ok(stream.map_err(Error::from).boxed())
}

/// The files that hold a table's last so many rows, oldest first, by what the Delta log says of them.
pub(crate) fn newest(mut files: Vec<Listed>, rows: u64) -> Vec<Listed> {
    let last = |file: &Listed| file.positions().map_or(i64::MAX, |(_, last)| last);
    files.sort_by_cached_key(|file| std::cmp::Reverse(last(file)));
    let mut counted = 0;
    files.retain(|file| {
        let wanted = counted < rows;
        counted += file.rows;
        wanted
    });
    files.reverse();
    files
}
