//! Writing a result out, batch by batch as it comes: a table for people; CSV, JSON, Arrow and Parquet for programs.
//!
//! In every format money is exact: decimals are written digit by digit and never pass through a float.
//! Times are RFC 3339 in UTC with microseconds as needed, dates `YYYY-MM-DD`.

mod json;
mod table;

use std::fmt;
use std::io::Write;
use std::str::FromStr;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::writer::StreamWriter;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::properties::WriterProperties;

use crate::{Error, Result};

/// A row group of Parquet is written out when it has so many bytes: until then it is held in memory.
const ROW_GROUP_BYTES: usize = 16 << 20;

/// How to write a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Aligned columns for a terminal. Held until the last row: every row widens its columns.
    Table,
    /// Comma-separated values with a header; NULL is empty.
    Csv,
    /// An array of row objects. Decimals are strings, so that a reader which knows only floats does
    /// not change them; so are 64-bit integers beyond 2^53. NaN and infinities are null.
    Json,
    /// The same objects, one a line, without an array around them.
    JsonLines,
    /// An Arrow IPC stream. Binary: for files and programs.
    Arrow,
    /// A Parquet file. Binary.
    Parquet,
}

/// Format, name, media type, and other names of that which an `Accept` header may have.
type Form = (Format, &'static str, &'static str, &'static [&'static str]);

#[rustfmt::skip]
const FORMS: [Form; 6] = [
    (Format::Table,     "table",   "text/plain; charset=utf-8",           &[]),
    (Format::Csv,       "csv",     "text/csv; charset=utf-8",             &["application/csv"]),
    (Format::Json,      "json",    "application/json",                    &[]),
    (Format::JsonLines, "jsonl",   "application/x-ndjson",                &["application/jsonl", "application/ndjson"]),
    (Format::Arrow,     "arrow",   "application/vnd.apache.arrow.stream", &["application/vnd.apache.arrow"]),
    (Format::Parquet,   "parquet", "application/vnd.apache.parquet",      &["application/x-parquet"]),
];

impl Format {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        FORMS.iter().map(|form| form.0)
    }

    /// Media type of the format.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        self.form().2
    }

    /// Whether it is bytes and no text.
    #[must_use]
    pub fn is_binary(self) -> bool {
        matches!(self, Self::Arrow | Self::Parquet)
    }

    /// What an `Accept` header (RFC 9110) asks for first of what there is; None when it asks for nothing that is.
    #[must_use]
    pub fn accepted(header: &str) -> Option<Self> {
        let mut asked: Vec<(f32, Self)> = Vec::new();
        for range in header.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default().to_ascii_lowercase();
            let weight = parts.find_map(|part| part.strip_prefix("q="));
            let weight = weight.and_then(|q| q.parse().ok()).unwrap_or(1.0);
            let named = |(_, _, own, others): &&Form| {
                own.split(';').next() == Some(&media) || others.contains(&media.as_str())
            };
            if let Some(form) = FORMS.iter().find(named).filter(|_| weight > 0.0) {
                asked.push((weight, form.0));
            }
        }
        // Of equal weights the first one stands.
        asked.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        asked.first().map(|(_, format)| *format)
    }

    fn form(self) -> &'static Form {
        let own = FORMS.iter().find(|form| form.0 == self);
        own.unwrap_or(&FORMS[0])
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.form().1)
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(given: &str) -> Result<Self> {
        let name = given.to_ascii_lowercase();
        let found = FORMS.iter().find(|form| form.1 == name);
        found.map(|form| form.0).ok_or_else(|| Error::Format {
            given: given.to_owned(),
        })
    }
}

/// Writes one result: [`Self::rows`] for each batch, [`Self::end`] behind the last. Without `end`, no format but CSV and
/// lines of JSON is whole, which is how a reader notices that a result broke off.
pub struct Writer(State);

enum State {
    Table(SchemaRef, Vec<RecordBatch>),
    Csv { schema: SchemaRef, begun: bool },
    Json(json::Rows),
    Arrow(Box<StreamWriter<Vec<u8>>>),
    Parquet(Box<ArrowWriter<Vec<u8>>>),
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl Writer {
    /// For a result with these columns.
    ///
    /// # Errors
    /// When a column's type has no form in the format.
    pub fn new(format: Format, schema: &SchemaRef) -> Result<Self> {
        Ok(Self(match format {
            Format::Table => State::Table(Arc::clone(schema), Vec::new()),
            Format::Csv => State::Csv {
                schema: Arc::clone(schema),
                begun: false,
            },
            Format::Json => State::Json(json::Rows::array()),
            Format::JsonLines => State::Json(json::Rows::lines()),
            Format::Arrow => State::Arrow(Box::new(StreamWriter::try_new(Vec::new(), schema)?)),
            Format::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(ZstdLevel::default()))
                    .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
                    .build();
                let plain = plain(schema);
                let writer = ArrowWriter::try_new(Vec::new(), plain, Some(properties));
                State::Parquet(Box::new(writer.map_err(parquet)?))
            }
        }))
    }

    /// Writes the rows of one batch.
    ///
    /// # Errors
    /// When `out` fails, or a value has no form in the format.
    pub fn rows(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<()> {
        match &mut self.0 {
            State::Table(_, batches) => batches.push(batch.clone()),
            State::Csv { begun, .. } => csv(batch, !std::mem::replace(begun, true), out)?,
            State::Json(rows) => rows.write(batch, out)?,
            State::Arrow(writer) => {
                writer.write(batch)?;
                out.write_all(&std::mem::take(writer.get_mut()))?;
            }
            State::Parquet(writer) => {
                let plain = RecordBatch::try_new(plain(&batch.schema()), batch.columns().to_vec())?;
                writer.write(&plain).map_err(parquet)?;
                out.write_all(&std::mem::take(writer.inner_mut()))?;
            }
        }
        Ok(())
    }

    /// Writes what stands behind the last row; of a result without any, its columns, as far as the format has them.
    ///
    /// # Errors
    /// As [`Self::rows`].
    pub fn end(self, out: &mut dyn Write) -> Result<()> {
        match self.0 {
            State::Table(schema, batches) => {
                writeln!(out, "{}", table::table(&schema, &batches)?)?;
            }
            State::Csv { begun: true, .. } => {}
            State::Csv { schema, .. } => csv(&RecordBatch::new_empty(schema), true, out)?,
            State::Json(rows) => rows.end(out)?,
            State::Arrow(mut writer) => {
                writer.finish()?;
                out.write_all(writer.get_ref())?;
            }
            State::Parquet(writer) => out.write_all(&writer.into_inner().map_err(parquet)?)?,
        }
        Ok(())
    }
}

/// Writes a result. The first batch gives the schema; without a batch, nothing is known of the columns.
///
/// # Errors
/// When the writer fails, or a value has no form in the format.
pub fn write(batches: &[RecordBatch], format: Format, out: &mut dyn Write) -> Result<()> {
    let first = batches.first().map(RecordBatch::schema);
    let schema = first.unwrap_or_else(|| Schema::empty().into());
    let mut writer = Writer::new(format, &schema)?;
    for batch in batches {
        writer.rows(batch, out)?;
    }
    writer.end(out)
}

/// The same as text. For a format that is none, use [`write()`].
///
/// # Errors
/// As [`write()`]; [`Error::Format`] for a format that is no text.
pub fn render(batches: &[RecordBatch], format: Format) -> Result<String> {
    let mut bytes = Vec::new();
    write(batches, format, &mut bytes)?;
    String::from_utf8(bytes).map_err(|_| Error::Format {
        given: format!("{format} as text"),
    })
}

fn csv(batch: &RecordBatch, header: bool, out: &mut dyn Write) -> Result<()> {
    let builder = arrow::csv::WriterBuilder::new().with_header(header);
    Ok(builder.build(out).write(batch)?)
}

/// The schema without notes on its fields, which batches of one result do not always agree on.
fn plain(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| {
        let field = field.as_ref().clone();
        field.with_metadata(Default::default()).with_nullable(true)
    });
    Schema::new(fields.collect::<Vec<_>>()).into()
}

fn parquet(error: ParquetError) -> Error {
    Error::Encode(error.into())
}

#[cfg(test)]
mod tests;
