//! A table for people.

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{Cell, CellAlignment, Table};

use crate::Result;

/// Numbers to the right, everything else to the left; NULL is empty; zeros that end a decimal are left
/// out. Without rows, the header and a note.
pub(super) fn table(schema: &Schema, batches: &[RecordBatch]) -> Result<String> {
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY);
    if schema.fields().is_empty() {
        return Ok("(done)".to_owned());
    }
    table.set_header(schema.fields().iter().map(|field| Cell::new(field.name())));
    let options = FormatOptions::default().with_display_error(true);
    let mut rows = 0;
    for batch in batches {
        let columns = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
            .collect::<std::result::Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            table.add_row(
                batch
                    .columns()
                    .iter()
                    .zip(&columns)
                    .map(|(column, text)| cell(column.data_type(), &text.value(row).to_string())),
            );
        }
        rows += batch.num_rows();
    }
    let plural = if rows == 1 { "" } else { "s" };
    Ok(format!("{table}\n({rows} row{plural})"))
}

fn cell(data_type: &DataType, text: &str) -> Cell {
    match data_type {
        DataType::Decimal128(..) | DataType::Decimal256(..) => {
            Cell::new(without_trailing_zeros(text)).set_alignment(CellAlignment::Right)
        }
        number if number.is_numeric() => Cell::new(text).set_alignment(CellAlignment::Right),
        _ => Cell::new(text),
    }
}

fn without_trailing_zeros(decimal: &str) -> &str {
    if decimal.contains('.') {
        decimal.trim_end_matches('0').trim_end_matches('.')
    } else {
        decimal
    }
}
