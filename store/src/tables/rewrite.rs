//! The primitive under compaction, duplicate removal and erasure: rows of some files of one day, written anew.
//!
//! They are streamed: what is in memory at a time is a few rows of each input, one row group of the output, and
//! what of it waits for the object store. The new files are nobody's until a commit names them.

use std::sync::Arc;

use arrow::array::{RecordBatch, new_null_array};
use arrow::error::ArrowError;
use chrono::NaiveDate;
use deltalake::kernel::{Add, Remove};
use deltalake::logstore::LogStoreRef;
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStore;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use parquet::arrow::ParquetRecordBatchStreamBuilder;
use tokio::io::AsyncWriteExt;

use super::encode::{Effort, Encoder, Finished, schema};
use super::files::{add, unique_name};
use super::listed::Listed;
use super::merge::{Batches, Merge};
use crate::error::{Error, Result};
use crate::table::Table;

/// Files that are merged at the same time. More are merged in groups, each into files of its own.
const MERGED_MAX: usize = 64;
/// Rows that are written in one go.
const ROWS_OUT: usize = 4_096;
/// Rows of one input that are in memory, unless they are large.
const ROWS_IN: usize = 1_024;
/// Bytes of decoded rows of one input, about, that are in memory.
const BYTES_IN: usize = 2 << 20;
/// What becomes of rows on their way. It may leave some out or change them, but not the columns they are sorted by.
pub(crate) type Pass =
    Box<dyn FnMut(RecordBatch) -> std::result::Result<RecordBatch, ArrowError> + Send>;

/// Rows of one day to be written anew.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rewrite<'a> {
    pub(crate) log_store: &'a LogStoreRef,
    pub(crate) table: Table,
    pub(crate) day: NaiveDate,
    /// A file is closed when it has so many bytes, unless little is left.
    pub(crate) target_bytes: u64,
    /// Bytes that are sent to the object store in one go.
    pub(crate) part_bytes: usize,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Rewritten {
    pub(crate) adds: Vec<Add>,
    pub(crate) removes: Vec<Remove>,
    pub(crate) rows_in: u64,
    pub(crate) rows_out: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

impl Rewrite<'_> {
    /// Streams all rows of the files through `pass` into new files. `go_on` is asked now and then; when it says
    /// no the answer is [`Error::Closed`], and what was written is nobody's.
    pub(crate) async fn run(
        self,
        files: &[Listed],
        mut pass: Pass,
        go_on: &(dyn Fn() -> bool + Sync),
    ) -> Result<Rewritten> {
        let mut done = Rewritten {
            removes: files.iter().map(Listed::remove).collect(),
            bytes_in: files.iter().map(|file| file.bytes).sum(),
            ..Rewritten::default()
        };
        for some in files.chunks(MERGED_MAX) {
            pass = self.merge(some, pass, &mut done, go_on).await?;
        }
        done.bytes_out = done.adds.iter().map(|add| add.size.max(0) as u64).sum();
        Ok(done)
    }

    async fn merge(
        self,
        files: &[Listed],
        mut pass: Pass,
        done: &mut Rewritten,
        go_on: &(dyn Fn() -> bool + Sync),
    ) -> Result<Pass> {
        let store = self.log_store.object_store(None);
        let (mut inputs, mut rows_all, mut sorted) = (Vec::with_capacity(files.len()), 0, true);
        for file in files {
            let input = open(self.table, file, &store).await?;
            inputs.push(input.batches);
            rows_all += input.rows;
            sorted &= input.sorted;
        }
        let bytes_all: u64 = files.iter().map(|file| file.bytes).sum();
        let mut merge = Merge::begin(self.table, inputs).await?;
        let (mut output, mut rows_done) = (None, 0);
        while let Some(rows) = merge.next(ROWS_OUT).await? {
            if !go_on() {
                return Err(Error::Closed);
            }
            rows_done += rows.num_rows() as u64;
            let mut current = match output.take() {
                Some(output) => output,
                None => Output::begin(self, &store, sorted)?,
            };
            (current, pass) = current.write(rows, pass).await?;
            let left = bytes_all / rows_all.max(1) * rows_all.saturating_sub(rows_done);
            if current.encoder.bytes() >= self.target_bytes && left >= self.target_bytes / 2 {
                done.close(current).await?;
            } else {
                output = Some(current);
            }
        }
        if let Some(output) = output {
            done.close(output).await?;
        }
        done.rows_in += rows_done;
        Ok(pass)
    }
}

impl Rewritten {
    async fn close(&mut self, output: Output) -> Result<()> {
        self.rows_out += output.rows;
        self.adds.extend(output.finish().await?);
        Ok(())
    }
}

/// A file that is opened to be read.
struct Input {
    batches: Batches,
    rows: u64,
    /// Whether it says that it is in the table's order.
    sorted: bool,
}

async fn open(table: Table, file: &Listed, store: &Arc<dyn ObjectStore>) -> Result<Input> {
    let builder = ParquetRecordBatchStreamBuilder::new(file.object(store)).await?;
    let groups = builder.metadata().row_groups();
    let sorted = groups
        .iter()
        .all(|group| group.sorting_columns().is_some_and(|by| !by.is_empty()));
    let rows: u64 = groups.iter().map(|group| group.num_rows() as u64).sum();
    let bytes: u64 = groups
        .iter()
        .map(|group| group.total_byte_size() as u64)
        .sum();
    let row_bytes = (bytes / rows.max(1)).max(1) as usize;
    let stream = builder
        .with_batch_size((BYTES_IN / row_bytes).clamp(16, ROWS_IN))
        .build()?;
    let batches = stream
        .map_err(Error::from)
        .map(move |batch| Ok(fitted(table, &batch?)?))
        .boxed();
    Ok(Input {
        batches,
        rows,
        sorted,
    })
}

/// The batch with the columns of a file of ours; those it lacks are NULL.
fn fitted(table: Table, batch: &RecordBatch) -> std::result::Result<RecordBatch, ArrowError> {
    let schema = schema(table);
    let column = |field: &Arc<arrow::datatypes::Field>| {
        let found = batch.column_by_name(field.name()).cloned();
        found.unwrap_or_else(|| new_null_array(field.data_type(), batch.num_rows()))
    };
    let columns = schema.fields().iter().map(column).collect();
    RecordBatch::try_new(schema, columns)
}

/// A file that is being written.
struct Output {
    encoder: Encoder,
    upload: BufWriter,
    day: String,
    name: String,
    uploaded: u64,
    rows: u64,
}

impl Output {
    fn begin(
        Rewrite {
            table,
            day,
            part_bytes,
            ..
        }: Rewrite<'_>,
        store: &Arc<dyn ObjectStore>,
        sorted: bool,
    ) -> Result<Self> {
        let (day, name) = (day.format("%Y-%m-%d").to_string(), unique_name());
        let path = Path::from(add(&day, &name, 0, String::new()).path);
        Ok(Self {
            encoder: Encoder::begin(table, Effort::Thorough, sorted)?,
            upload: BufWriter::with_capacity(Arc::clone(store), path, part_bytes),
            day,
            name,
            uploaded: 0,
            rows: 0,
        })
    }

    /// Passes rows on and encodes what is left of them, on a thread made for work.
    async fn write(mut self, rows: RecordBatch, mut pass: Pass) -> Result<(Self, Pass)> {
        let encoder = self.encoder;
        let (encoder, pass, kept) = tokio::task::spawn_blocking(move || {
            let mut encoder = encoder;
            let rows = pass(rows)?;
            if rows.num_rows() > 0 {
                encoder.write(&rows)?;
            }
            Ok::<_, Error>((encoder, pass, rows.num_rows()))
        })
        .await??;
        self.encoder = encoder;
        self.rows += kept as u64;
        let bytes = self.encoder.take();
        self.send(bytes).await?;
        Ok((self, pass))
    }

    async fn send(&mut self, bytes: Vec<u8>) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.uploaded += bytes.len() as u64;
        let sent = self.upload.put(bytes.into()).await;
        sent.map_err(Error::objects("write a Parquet file"))
    }

    /// The action that would add the file; None when no row was left.
    async fn finish(mut self) -> Result<Option<Add>> {
        if self.rows == 0 {
            // What was not sent is not there; what was is an orphan without a name.
            if self.uploaded > 0 {
                let _ = self.upload.abort().await;
            }
            return Ok(None);
        }
        let encoder = self.encoder;
        let Finished { bytes, stats } =
            tokio::task::spawn_blocking(move || encoder.finish()).await??;
        self.uploaded += bytes.len() as u64;
        let sent = self.upload.put(bytes.into()).await;
        sent.map_err(Error::objects("write a Parquet file"))?;
        if let Err(error) = self.upload.shutdown().await {
            return Err(Error::objects("write a Parquet file")(
                object_store::Error::Generic {
                    store: "upload",
                    source: Box::new(error),
                },
            ));
        }
        Ok(Some(add(&self.day, &self.name, self.uploaded, stats)))
    }
}
