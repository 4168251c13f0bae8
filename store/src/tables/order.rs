//! The order of a file's rows, found without moving them: only the columns they are sorted by are brought together,
//! and the rows are copied once, a piece at a time, on their way into the file.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, new_null_array};
use arrow::compute::{SortColumn, concat, interleave, lexsort_to_indices};
use arrow::datatypes::{DataType, Date32Type, SchemaRef};
use arrow::error::ArrowError;

use super::PARTITION;
use crate::table::Table;

/// Rows of a piece: few enough that its copy weighs nothing beside what is being written.
const PIECE_ROWS: usize = 8_192;

/// Rows of a table by day, and within the day in the table's order.
#[derive(Debug)]
pub(super) struct Ordered<'a> {
    batches: &'a [RecordBatch],
    /// The days in which rows lie (days since 1970), each with its stretch of the order.
    days: Vec<(i32, Range<usize>)>,
    /// Batch and row within it.
    order: Vec<(usize, usize)>,
}

impl<'a> Ordered<'a> {
    /// Finds the order of rows of the table's own schema.
    pub(super) fn of(table: Table, batches: &'a [RecordBatch]) -> Result<Self, ArrowError> {
        let sorted_by = std::iter::once(&PARTITION).chain(table.sort_columns());
        let mut keys = Vec::new();
        for name in sorted_by {
            let parts: Option<Vec<_>> = batches
                .iter()
                .map(|batch| batch.column_by_name(name).map(AsRef::as_ref))
                .collect();
            match parts {
                Some(parts) if !parts.is_empty() => keys.push(SortColumn {
                    values: concat(&parts)?,
                    options: None,
                }),
                _ => {}
            }
        }
        let Some(days) = keys.first().map(|key| Arc::clone(&key.values)) else {
            return Ok(Self {
                batches,
                days: Vec::new(),
                order: Vec::new(),
            });
        };
        let days = days.as_primitive_opt::<Date32Type>().ok_or_else(|| {
            ArrowError::SchemaError(format!("{} has no column {PARTITION}", table.name()))
        })?;
        let places: Vec<(usize, usize)> = batches
            .iter()
            .enumerate()
            .flat_map(|(at, batch)| (0..batch.num_rows()).map(move |row| (at, row)))
            .collect();
        let mut ordered = Self {
            batches,
            days: Vec::new(),
            order: Vec::with_capacity(places.len()),
        };
        for row in lexsort_to_indices(&keys, None)?.values() {
            let row = *row as usize;
            ordered.order.push(places[row]);
            let (day, next) = (days.value(row), ordered.order.len());
            match ordered.days.last_mut() {
                Some((last, stretch)) if *last == day => stretch.end = next,
                _ => ordered.days.push((day, next - 1..next)),
            }
        }
        Ok(ordered)
    }

    /// The days, in order.
    pub(super) fn days(&self) -> impl Iterator<Item = (i32, Range<usize>)> + '_ {
        self.days.iter().cloned()
    }

    /// All of it.
    pub(super) fn all(&self) -> Range<usize> {
        0..self.order.len()
    }

    /// A stretch of it, piece by piece, with the columns of a schema.
    pub(super) fn pieces<'b>(
        &'b self,
        stretch: Range<usize>,
        schema: &'b SchemaRef,
    ) -> impl Iterator<Item = Result<RecordBatch, ArrowError>> + 'b {
        let pieces = self.order[stretch].chunks(PIECE_ROWS);
        pieces.map(move |rows| {
            let columns = schema.fields().iter();
            let columns = columns
                .map(|field| self.column(field.name(), field.data_type(), rows))
                .collect::<Result<_, _>>()?;
            RecordBatch::try_new(Arc::clone(schema), columns)
        })
    }

    fn column(
        &self,
        name: &str,
        data_type: &DataType,
        rows: &[(usize, usize)],
    ) -> Result<ArrayRef, ArrowError> {
        let mut parts: Vec<&dyn Array> = Vec::with_capacity(self.batches.len());
        for batch in self.batches {
            let part = batch
                .column_by_name(name)
                .ok_or_else(|| ArrowError::SchemaError(format!("a batch has no column {name}")))?;
            parts.push(part.as_ref());
        }
        // Most columns of most tables hold nothing at all.
        if parts.iter().all(|part| part.null_count() == part.len()) {
            return Ok(new_null_array(data_type, rows.len()));
        }
        interleave(&parts, rows)
    }
}
