//! Reading answers of the query engine column by column.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Decimal128Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};

use crate::{Error, Result};

/// The rows of one answer.
#[derive(Debug)]
pub(super) struct Cells<'a>(pub(super) &'a [RecordBatch]);

impl Cells<'_> {
    /// How many rows.
    pub(super) fn rows(&self) -> usize {
        self.0.iter().map(RecordBatch::num_rows).sum()
    }

    /// A column of text.
    pub(super) fn text(&self, name: &'static str) -> Result<Vec<Option<String>>> {
        self.read(name, &DataType::Utf8, |column, into: &mut Vec<_>| {
            into.extend(
                column
                    .as_string::<i32>()
                    .iter()
                    .map(|value| value.map(str::to_owned)),
            );
        })
    }

    /// A column of text that is never NULL; empty where it is all the same.
    pub(super) fn word(&self, name: &'static str) -> Result<Vec<String>> {
        let text = self.text(name)?;
        Ok(text.into_iter().map(Option::unwrap_or_default).collect())
    }

    /// A column of whole numbers.
    pub(super) fn whole(&self, name: &'static str) -> Result<Vec<Option<i64>>> {
        self.read(name, &DataType::Int64, |column, into: &mut Vec<_>| {
            into.extend(column.as_primitive::<Int64Type>().iter());
        })
    }

    /// A column of measured values.
    pub(super) fn number(&self, name: &'static str) -> Result<Vec<Option<f64>>> {
        self.read(name, &DataType::Float64, |column, into: &mut Vec<_>| {
            into.extend(column.as_primitive::<Float64Type>().iter());
        })
    }

    /// A column of instants, in microseconds since 1970.
    pub(super) fn instant(&self, name: &'static str) -> Result<Vec<Option<i64>>> {
        let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        self.read(name, &micros, |column, into: &mut Vec<_>| {
            into.extend(column.as_primitive::<TimestampMicrosecondType>().iter());
        })
    }

    /// A column of dollars, in trillionths.
    pub(super) fn money(&self, name: &'static str) -> Result<Vec<Option<i128>>> {
        for batch in self.0 {
            let kind = batch.column_by_name(name).map(|column| column.data_type());
            if let Some(DataType::Float16 | DataType::Float32 | DataType::Float64) = kind {
                let reason = "money as floating point is not exact".to_owned();
                return Err(Error::Column {
                    column: name,
                    reason,
                });
            }
        }
        self.read(
            name,
            &DataType::Decimal128(38, 12),
            |column, into: &mut Vec<_>| {
                into.extend(column.as_primitive::<Decimal128Type>().iter());
            },
        )
    }

    fn read<T>(
        &self,
        name: &'static str,
        to: &DataType,
        push: impl Fn(&ArrayRef, &mut Vec<T>),
    ) -> Result<Vec<T>> {
        let mut values = Vec::with_capacity(self.rows());
        for batch in self.0 {
            let column = batch.column_by_name(name).ok_or_else(|| Error::Column {
                column: name,
                reason: "is missing".to_owned(),
            })?;
            // `safe` would put NULL where a value does not fit.
            let options = CastOptions {
                safe: false,
                ..CastOptions::default()
            };
            let column =
                cast_with_options(column, to, &options).map_err(|error| Error::Column {
                    column: name,
                    reason: error.to_string(),
                })?;
            push(&column, &mut values);
        }
        Ok(values)
    }
}
