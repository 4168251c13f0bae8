//! A JSON array of row objects, written value by value.

use std::io::Write;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type, UInt64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::Result;

/// The largest integer that every JSON reader keeps exactly.
const EXACT_MAX: u64 = 1 << 53;

pub(super) fn write(batches: &[RecordBatch], out: &mut dyn Write) -> Result<()> {
    let options = FormatOptions::default();
    out.write_all(b"[")?;
    let mut first_row = true;
    for batch in batches {
        let schema = batch.schema();
        let names: Vec<String> = schema
            .fields()
            .iter()
            .map(|field| quoted(field.name()))
            .collect();
        let columns = batch
            .columns()
            .iter()
            .map(|column| Ok((column, ArrayFormatter::try_new(column.as_ref(), &options)?)))
            .collect::<Result<Vec<_>>>()?;
        for row in 0..batch.num_rows() {
            out.write_all(if first_row { b"\n{" } else { b",\n{" })?;
            first_row = false;
            for (at, (name, (column, text))) in names.iter().zip(&columns).enumerate() {
                let comma = if at == 0 { "" } else { "," };
                write!(out, "{comma}{name}:{}", value(column, text, row))?;
            }
            out.write_all(b"}")?;
        }
    }
    out.write_all(if first_row { b"]\n" } else { b"\n]\n" })?;
    Ok(())
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
