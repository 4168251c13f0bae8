//! One Parquet file: rows go in, bytes and what the Delta log says of them come out.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::{PARTITION, stats};
use crate::error::Result;
use crate::table::Table;

/// Rows of a row group: what a reader decodes at once, at most.
const ROW_GROUP_ROWS: usize = 128 * 1024;
/// Bytes of a row group, for tables whose rows are large.
const ROW_GROUP_BYTES: usize = 64 << 20;

/// The largest rate of false positives at which a full row group's filter still fits into 128 KiB: filters are
/// powers of two, and at 1 % it would take twice that for one more look saved in fifty.
const BLOOM_FPP: f64 = 0.03;

/// How much time a file is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effort {
    /// It will be rewritten soon: a flush.
    Quick,
    /// It stays for long: compaction.
    Thorough,
}

impl Effort {
    fn zstd_level(self) -> i32 {
        match self {
            Self::Quick => 1,
            Self::Thorough => 9,
        }
    }
}

/// A file that is being made. It keeps one row group in memory, encoded.
pub(super) struct Encoder {
    writer: ArrowWriter<Vec<u8>>,
    totals: stats::Totals,
}

/// What is left when all rows are in.
pub(super) struct Finished {
    /// The bytes that were not taken before.
    pub(super) bytes: Vec<u8>,
    /// Statistics as the Delta log has them.
    pub(super) stats: String,
}

impl Encoder {
    /// A file without rows yet. `sorted` says whether they will come in the table's order.
    pub(super) fn begin(table: Table, effort: Effort, sorted: bool) -> Result<Self> {
        // Without the Arrow schema in the footer every reader sees the same plain types.
        let options = ArrowWriterOptions::new()
            .with_properties(properties(table, effort, sorted)?)
            .with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), schema(table), options)?;
        Ok(Self {
            writer,
            totals: stats::Totals::new(table.stat_columns()),
        })
    }

    /// Adds rows of the [`schema`].
    pub(super) fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        self.totals.add(rows);
        Ok(self.writer.write(rows)?)
    }

    /// Bytes so far: those that are final and about those of the row group in memory.
    pub(super) fn bytes(&self) -> u64 {
        (self.writer.bytes_written() + self.writer.in_progress_size()) as u64
    }

    /// Takes the bytes that are final.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.writer.inner_mut())
    }

    pub(super) fn finish(self) -> Result<Finished> {
        let stats = self.totals.told();
        let bytes = self.writer.into_inner()?;
        Ok(Finished { bytes, stats })
    }
}

/// The columns that stand in a file: all but the day, which its folder tells.
pub(super) fn schema(table: Table) -> SchemaRef {
    let whole = table.schema();
    let fields = whole.fields().iter();
    let kept = fields.filter(|field| field.name() != PARTITION);
    Arc::new(Schema::new(kept.map(Arc::clone).collect::<Vec<_>>()))
}

pub(super) fn properties(table: Table, effort: Effort, sorted: bool) -> Result<WriterProperties> {
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(effort.zstd_level())?))
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
        // One request's spans share it.
        let repeats = field.name() == "received_at";
        if is_time && !repeats
            || matches!(
                field.name().as_str(),
                "start_unix_nano" | "time_unix_nano" | "duration_ns" | "log_position" | "seq"
            )
        {
            let column = ColumnPath::from(field.name().as_str());
            builder = builder
                .set_column_dictionary_enabled(column.clone(), false)
                .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED);
        }
    }
    for name in table.id_columns() {
        let column = ColumnPath::from(*name);
        builder = builder
            .set_column_dictionary_enabled(column.clone(), false)
            .set_column_encoding(column, Encoding::DELTA_LENGTH_BYTE_ARRAY);
    }
    for name in table.bloom_columns() {
        let column = ColumnPath::from(*name);
        builder = builder
            .set_column_bloom_filter_enabled(column.clone(), true)
            .set_column_bloom_filter_fpp(column.clone(), BLOOM_FPP)
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
    Ok(builder.set_sorting_columns(sorted.then_some(order)).build())
}
