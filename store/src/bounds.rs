//! Smallest and largest values of buffered rows, so that readers skip batches as they skip files.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{max, max_string, min, min_string};
use arrow::datatypes::{DataType, Int64Type, TimeUnit, TimestampMicrosecondType};

/// What is known of the rows of one batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Rows of the batch.
    pub rows: u64,
    /// The columns that files of the table have bounds for too, in the table's order.
    columns: Vec<ColumnBounds>,
}

/// What is known of one column of a batch. Every value lies between the two; with NULLs only there are none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnBounds {
    name: &'static str,
    /// Smallest value.
    pub low: Option<Bound>,
    /// Largest value.
    pub high: Option<Bound>,
    /// How many are NULL.
    pub nulls: u64,
}

/// A value of a column.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bound {
    /// Of a whole number, or of a time in microseconds since 1970.
    Int(i64),
    /// Of a text.
    Text(Arc<str>),
}

impl Bounds {
    /// Looks through a batch.
    #[must_use]
    pub fn of(batch: &RecordBatch, columns: &[&'static str]) -> Self {
        let column = |name: &&'static str| {
            let (low, high, nulls) = look_through(batch.column_by_name(name)?)?;
            Some(ColumnBounds {
                name,
                low,
                high,
                nulls,
            })
        };
        Self {
            rows: batch.num_rows() as u64,
            columns: columns.iter().filter_map(column).collect(),
        }
    }

    /// Of all rows of several batches of one table.
    #[must_use]
    pub(crate) fn together<'a>(mut parts: impl Iterator<Item = &'a Self>) -> Self {
        let Some(first) = parts.next() else {
            return Self::default();
        };
        parts.fold(first.clone(), |mut all, part| {
            all.rows += part.rows;
            // A column that one part says nothing of has no bounds.
            all.columns
                .retain_mut(|column| match part.column(column.name) {
                    Some(other) => {
                        column.widen(other);
                        true
                    }
                    None => false,
                });
            all
        })
    }

    /// One column's; None when nothing is known of it.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&ColumnBounds> {
        self.columns.iter().find(|column| column.name == name)
    }
}

impl ColumnBounds {
    fn widen(&mut self, other: &Self) {
        let narrower =
            |ours: &Option<Bound>, theirs: &Option<Bound>, theirs_first: bool| match (ours, theirs)
            {
                (Some(ours), Some(theirs)) if (theirs < ours) == theirs_first => {
                    Some(theirs.clone())
                }
                (Some(ours), _) => Some(ours.clone()),
                (None, theirs) => theirs.clone(),
            };
        self.low = narrower(&self.low, &other.low, true);
        self.high = narrower(&self.high, &other.high, false);
        self.nulls += other.nulls;
    }
}

/// Smallest, largest, NULLs; None for types that are not compared.
fn look_through(column: &ArrayRef) -> Option<(Option<Bound>, Option<Bound>, u64)> {
    let (low, high) = match column.data_type() {
        DataType::Int64 => {
            let column = column.as_primitive::<Int64Type>();
            (min(column).map(Bound::Int), max(column).map(Bound::Int))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let column = column.as_primitive::<TimestampMicrosecondType>();
            (min(column).map(Bound::Int), max(column).map(Bound::Int))
        }
        DataType::Utf8 => {
            let column = column.as_string::<i32>();
            let text = |text: &str| Bound::Text(Arc::from(text));
            (min_string(column).map(text), max_string(column).map(text))
        }
        _ => return None,
    };
    Some((low, high, column.null_count() as u64))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::rows::{Micros, Row, SpanRow};

    const COLUMNS: [&str; 4] = ["start_time", "agent_name", "log_position", "date"];

    fn batch(rows: &[(i64, Option<String>)]) -> RecordBatch {
        let row = |(at, agent): &(i64, Option<String>)| SpanRow {
            start_time: Micros(*at),
            agent_name: agent.clone(),
            log_position: -at,
            ..SpanRow::default()
        };
        SpanRow::batch(&rows.iter().map(row).collect::<Vec<_>>()).unwrap()
    }

    fn rows() -> impl Strategy<Value = Vec<(i64, Option<String>)>> {
        let row = (-1_000_i64..1_000, proptest::option::of("[a-c\u{e4}]{0,3}"));
        proptest::collection::vec(row, 0..20)
    }

    proptest! {
        #[test]
        fn what_is_known_of_the_parts_is_known_of_the_whole(parts in proptest::collection::vec(rows(), 1..5)) {
            let of_parts: Vec<_> = parts.iter().map(|rows| Bounds::of(&batch(rows), &COLUMNS)).collect();
            let whole: Vec<_> = parts.concat();
            let known = Bounds::together(of_parts.iter());
            prop_assert_eq!(&known, &Bounds::of(&batch(&whole), &COLUMNS));
            // And it is true.
            prop_assert_eq!(known.rows, whole.len() as u64);
            let int = |value: Option<i64>| value.map(Bound::Int);
            let times = known.column("start_time").unwrap();
            prop_assert_eq!(&times.low, &int(whole.iter().map(|row| row.0).min()));
            prop_assert_eq!(&times.high, &int(whole.iter().map(|row| row.0).max()));
            let agents = known.column("agent_name").unwrap();
            let named = || whole.iter().filter_map(|row| row.1.as_deref());
            let text = |value: Option<&str>| value.map(|text| Bound::Text(text.into()));
            prop_assert_eq!(&agents.low, &text(named().min()));
            prop_assert_eq!(&agents.high, &text(named().max()));
            prop_assert_eq!(agents.nulls, (whole.len() - named().count()) as u64);
            prop_assert!(known.column("date").is_none(), "a day has no bounds of its own");
        }
    }
}
