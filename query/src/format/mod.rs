//! Writing a result out: a table for people, CSV, JSON and Arrow for programs.
//!
//! In every format money is exact: decimals are written digit by digit and never pass through a float.
//! Times are RFC 3339 in UTC with microseconds as needed, dates `YYYY-MM-DD`.

mod json;
mod table;

use std::io::Write;
use std::str::FromStr;

use arrow::array::RecordBatch;

use crate::{Error, Result};

/// How to write a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Aligned columns for a terminal.
    Table,
    /// Comma-separated values with a header; NULL is empty.
    Csv,
    /// An array of row objects. Decimals are strings, so that a reader which knows only floats does
    /// not change them; so are 64-bit integers beyond 2^53. NaN and infinities are null.
    Json,
    /// An Arrow IPC stream. Binary: for files and programs.
    Arrow,
}

impl Format {
    /// Media type of the format.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Table => "text/plain; charset=utf-8",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Json => "application/json",
            Self::Arrow => "application/vnd.apache.arrow.stream",
        }
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(given: &str) -> Result<Self> {
        match given.to_ascii_lowercase().as_str() {
            "table" => Ok(Self::Table),
            "csv" => Ok(Self::Csv),
            "json" => Ok(Self::Json),
            "arrow" => Ok(Self::Arrow),
            _ => Err(Error::Format {
                given: given.to_owned(),
            }),
        }
    }
}

/// Writes a result. The first batch gives the schema; without a batch, nothing is known of the columns.
///
/// # Errors
/// When the writer fails, or a value has no form in the format.
pub fn write(batches: &[RecordBatch], format: Format, out: &mut dyn Write) -> Result<()> {
    match format {
        Format::Table => writeln!(out, "{}", table::table(batches)?)?,
        Format::Csv => csv(batches, out)?,
        Format::Json => json::write(batches, out)?,
        Format::Arrow => arrow_stream(batches, out)?,
    }
    Ok(())
}

/// The same as text. For [`Format::Arrow`], which is not text, use [`write()`].
///
/// # Errors
/// As [`write()`]; [`Error::Format`] for Arrow.
pub fn render(batches: &[RecordBatch], format: Format) -> Result<String> {
    let mut bytes = Vec::new();
    write(batches, format, &mut bytes)?;
    String::from_utf8(bytes).map_err(|_| Error::Format {
        given: "arrow as text".to_owned(),
    })
}

fn csv(batches: &[RecordBatch], out: &mut dyn Write) -> Result<()> {
    let mut writer = arrow::csv::WriterBuilder::new()
        .with_header(true)
        .build(out);
    for batch in batches {
        writer.write(batch)?;
    }
    Ok(())
}

fn arrow_stream(batches: &[RecordBatch], out: &mut dyn Write) -> Result<()> {
    if let Some(first) = batches.first() {
        let mut writer = arrow::ipc::writer::StreamWriter::try_new(out, &first.schema())?;
        for batch in batches {
            writer.write(batch)?;
        }
        writer.finish()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
