//! JSON objects, one a row, written value by value.

use std::io::Write;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type, UInt64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::Result;

/// The largest integer that every JSON reader keeps exactly.
const EXACT_MAX: u64 = 1 << 53;

/// Row objects, in an array or each on a line.
pub(super) struct Rows {
    opening: &'static [u8],
    between: &'static [u8],
    /// Behind the last row, and where there was none.
    closing: (&'static [u8], &'static [u8]),
    begun: bool,
}

impl Rows {
    pub(super) fn array() -> Self {
        Self {
            opening: b"[\n{",
            between: b",\n{",
            closing: (b"\n]\n", b"[]\n"),
            begun: false,
        }
    }

    pub(super) fn lines() -> Self {
        Self {
            opening: b"{",
            between: b"\n{",
            closing: (b"\n", b""),
            begun: false,
        }
    }

    pub(super) fn write(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<()> {
        let options = FormatOptions::default();
        let schema = batch.schema();
        let names = schema.fields().iter().map(|field| quoted(field.name()));
        let names: Vec<String> = names.collect();
        let columns = batch
            .columns()
            .iter()
            .map(|column| Ok((column, ArrayFormatter::try_new(column.as_ref(), &options)?)))
            .collect::<Result<Vec<_>>>()?;
        for row in 0..batch.num_rows() {
            let begun = std::mem::replace(&mut self.begun, true);
            out.write_all(if begun { self.between } else { self.opening })?;
            for (at, (name, (column, text))) in names.iter().zip(&columns).enumerate() {
                let comma = if at == 0 { "" } else { "," };
                write!(out, "{comma}{name}:{}", value(column, text, row))?;
            }
            out.write_all(b"}")?;
        }
        Ok(())
    }

    pub(super) fn end(self, out: &mut dyn Write) -> Result<()> {
        let (some, none) = self.closing;
        Ok(out.write_all(if self.begun { some } else { none })?)
    }
}

fn value(column: &ArrayRef, text: &ArrayFormatter<'_>, row: usize) -> String {
    if column.is_null(row) {
        return "null".to_owned();
    }
    match column.data_type() {
        DataType::Null => "null".to_owned(),
        DataType::Boolean => column.as_boolean().value(row).to_string(),
        DataType::Int64 => integer(&column.as_primitive::<Int64Type>().value(row)),
        DataType::UInt64 => integer(&column.as_primitive::<UInt64Type>().value(row)),
        small if small.is_integer() => text.value(row).to_string(),
        DataType::Float64 => float(column.as_primitive::<Float64Type>().value(row)),
        DataType::Float32 => float(f64::from(column.as_primitive::<Float32Type>().value(row))),
        _ => quoted(&text.value(row).to_string()),
    }
}

fn integer(value: &(impl Copy + TryInto<i128> + std::fmt::Display)) -> String {
    let wide: i128 = (*value).try_into().unwrap_or(i128::MAX);
    if wide.unsigned_abs() <= u128::from(EXACT_MAX) {
        value.to_string()
    } else {
        quoted(&value.to_string())
    }
}

fn float(value: f64) -> String {
    serde_json::Number::from_f64(value).map_or_else(|| "null".to_owned(), |n| n.to_string())
}

fn quoted(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}
