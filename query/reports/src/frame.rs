//! Journal rows as a polars frame: strings for the dimensions, exact decimals for all that is summed.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Decimal128Type};
use polars::prelude::{
    Column, DataFrame, Int128Chunked, IntoSeries, NewChunkedArray, PlSmallStr, StringChunked,
};

use crate::{Dimension, Error, Result, money};

/// Digits of every summed column: what an `i128` can hold for certain.
pub(crate) const PRECISION: u8 = 38;
const LARGEST: i128 = 10_i128.pow(PRECISION as u32) - 1;

/// What is summed, with its digits after the point. Whole numbers are decimals too: an `i64` sum in
/// polars wraps without a word, and token counts come from whoever sends spans.
pub(crate) const MEASURES: [(&str, i8); 7] = [
    ("calls", 0),
    ("decisions", 0),
    ("input_tokens", 0),
    ("cache_read_tokens", 0),
    ("cache_write_tokens", 0),
    ("output_tokens", 0),
    ("cost_usd", money::SCALE),
];

/// The frame: one column for each dimension (by its name), `kind`, and the measures.
pub(crate) fn journal(batches: &[RecordBatch], by: &[Dimension]) -> Result<DataFrame> {
    let mut columns = Vec::with_capacity(by.len() + 1 + MEASURES.len());
    for dimension in by {
        columns.push(text(batches, dimension.name(), dimension.columns())?);
    }
    columns.push(text(batches, "kind", &["kind"])?);
    for (name, scale) in MEASURES {
        columns.push(decimals(batches, name, scale)?);
    }
    Ok(DataFrame::new_infer_height(columns)?)
}

fn text(batches: &[RecordBatch], name: &str, sources: &[&'static str]) -> Result<Column> {
    let mut values: Vec<Option<String>> = Vec::new();
    for batch in batches {
        let sources = sources
            .iter()
            .map(|source| strings(batch, source))
            .collect::<Result<Vec<_>>>()?;
        let sources: Vec<_> = sources
            .iter()
            .map(|source| source.as_string::<i32>())
            .collect();
        values.extend((0..batch.num_rows()).map(|row| {
            sources
                .iter()
                .find(|source| source.is_valid(row))
                .map(|source| source.value(row).to_owned())
        }));
    }
    let values = StringChunked::from_iter_options(PlSmallStr::from_str(name), values.into_iter());
    Ok(values.into_series().into())
}

fn decimals(batches: &[RecordBatch], name: &'static str, scale: i8) -> Result<Column> {
    let mut values: Vec<Option<i128>> = Vec::new();
    let mut magnitude = 0_i128;
    for batch in batches {
        let column = exact(batch, name, scale)?;
        for value in column.as_primitive::<Decimal128Type>() {
            // No partial sum can leave the range if the sum of magnitudes does not.
            magnitude = value
                .unwrap_or(0)
                .checked_abs()
                .and_then(|value| magnitude.checked_add(value))
                .filter(|magnitude| *magnitude <= LARGEST)
                .ok_or(Error::SumTooLarge { column: name })?;
            values.push(value);
        }
    }
    let values = Int128Chunked::from_iter_options(PlSmallStr::from_str(name), values.into_iter())
        .into_decimal(usize::from(PRECISION), scale as usize)?;
    Ok(values.into_series().into())
}

/// A column as `Utf8`: days are written `YYYY-MM-DD`, other encodings of text are unpacked.
fn strings(batch: &RecordBatch, name: &'static str) -> Result<ArrayRef> {
    let column = column(batch, name)?;
    let accepted = match column.data_type() {
        DataType::Dictionary(_, values) => values.as_ref(),
        other => other,
    };
    match accepted {
        DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Date32
        | DataType::Null => cast(&column, &DataType::Utf8),
        _ => Err(Error::ColumnType {
            column: name,
            found: column.data_type().to_string(),
            accepted: "Utf8, LargeUtf8, Utf8View or Date32",
        }),
    }
}

/// A column as decimals of that scale, if nothing can be lost on the way.
fn exact(batch: &RecordBatch, name: &'static str, scale: i8) -> Result<ArrayRef> {
    let column = column(batch, name)?;
    match column.data_type() {
        DataType::Int64 | DataType::Int32 | DataType::Null => {}
        DataType::Decimal128(_, finer) if *finer <= scale => {}
        found => {
            return Err(Error::ColumnType {
                column: name,
                found: found.to_string(),
                accepted: if scale == 0 {
                    "Int64 or Decimal128 without fraction"
                } else {
                    "Int64 or Decimal128 with at most 12 digits after the point"
                },
            });
        }
    }
    cast(&column, &DataType::Decimal128(PRECISION, scale))
}

fn column(batch: &RecordBatch, name: &'static str) -> Result<ArrayRef> {
    batch
        .column_by_name(name)
        .map(Arc::clone)
        .ok_or(Error::MissingColumn { column: name })
}

fn cast(column: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    // `safe` would put NULL where a value does not fit.
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    Ok(cast_with_options(column, to, &options)?)
}
