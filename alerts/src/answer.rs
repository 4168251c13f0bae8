//! Reads the answer to a rule's query: one value for each key.

use arrow::array::{Array, RecordBatch};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use rust_decimal::Decimal;

use crate::rule::{Key, Rule, When};

/// A key's value; none when the query says NULL.
pub(crate) type Row = (String, Option<Decimal>);

/// The rows of an answer, at most `limit` of them, and how many were left out (no key, or over the limit).
///
/// # Errors
/// When a column is missing, a value is not a number, or a rule without keys gets several rows.
pub(crate) fn read(
    rule: &Rule,
    workspace: &str,
    batches: &[RecordBatch],
    limit: usize,
) -> Result<(Vec<Row>, u64), String> {
    let When::Sql {
        value, key_column, ..
    } = &rule.when
    else {
        return Err(format!("rule {} asks no query", rule.name));
    };
    let mut rows: Vec<Row> = Vec::new();
    let mut left_out = 0;
    for batch in batches.iter().filter(|batch| batch.num_rows() > 0) {
        let values = Text::of(batch, value)?;
        let keys = key_column
            .as_ref()
            .map(|column| Text::of(batch, column))
            .transpose()?;
        for i in 0..batch.num_rows() {
            let key = match &keys {
                None => Some(workspace.to_owned()),
                Some(keys) => keys.at(i)?.filter(|key| !key.is_empty()),
            };
            match key {
                Some(key) if rows.len() < limit => {
                    rows.push((
                        key,
                        values.at(i)?.map(|text| number(value, &text)).transpose()?,
                    ));
                }
                _ => left_out += 1,
            }
        }
    }
    if rule.key == Key::Workspace && rows.len() > 1 {
        return Err(format!(
            "the query answers {} rows; with key: workspace, one is accepted",
            rows.len()
        ));
    }
    Ok((rows, left_out))
}

/// All rows of an answer, with these columns as text.
///
/// # Errors
/// When a column is missing or cannot be shown.
pub(crate) fn rows<const N: usize>(
    batches: &[RecordBatch],
    columns: [&str; N],
) -> Result<Vec<[Option<String>; N]>, String> {
    let mut rows = Vec::new();
    for batch in batches.iter().filter(|batch| batch.num_rows() > 0) {
        let texts = columns
            .iter()
            .map(|name| Text::of(batch, name))
            .collect::<Result<Vec<_>, _>>()?;
        for i in 0..batch.num_rows() {
            let mut row = [const { None }; N];
            for (cell, text) in row.iter_mut().zip(&texts) {
                *cell = text.at(i)?;
            }
            rows.push(row);
        }
    }
    Ok(rows)
}

struct Text<'a> {
    column: &'a dyn Array,
    format: ArrayFormatter<'a>,
}

impl<'a> Text<'a> {
    fn of(batch: &'a RecordBatch, name: &str) -> Result<Self, String> {
        let Some(column) = batch.column_by_name(name) else {
            let schema = batch.schema();
            let names: Vec<_> = schema.fields().iter().map(|f| f.name().as_str()).collect();
            return Err(format!(
                "the answer has no column {name}; it has {}",
                names.join(", ")
            ));
        };
        let format = ArrayFormatter::try_new(column, &FormatOptions::default())
            .map_err(|e| format!("column {name}: {e}"))?;
        Ok(Self { column, format })
    }

    fn at(&self, row: usize) -> Result<Option<String>, String> {
        if self.column.is_null(row) {
            return Ok(None);
        }
        self.format
            .value(row)
            .try_to_string()
            .map(Some)
            .map_err(|e| e.to_string())
    }
}

/// Integers and decimals come as they are; of a float, what it prints as.
///
/// # Errors
/// When it is no number, or one too large.
pub(crate) fn number(column: &str, text: &str) -> Result<Decimal, String> {
    let exact = Decimal::from_str_exact(text).or_else(|_| Decimal::from_scientific(text));
    // A float can print more digits than a decimal holds: rounding is all right there.
    exact
        .or_else(|_| text.parse::<Decimal>())
        .map_err(|_| format!("column {column} is {text}; accepted is a number up to 7.9e28"))
}
