//! Rows: one Rust struct a table, from which its Arrow schema, its writer and its reader all come.
//!
//! A table is a list of fields; [`row!`](crate::row) turns the list into a struct, so that a column
//! exists in exactly one place. Column types are the Rust types of the fields (see [`Column`]).

mod action;
mod charge;
mod column;
mod content;
mod log;
mod metric;
mod rollup;
mod span;

pub use action::{ActionRow, AlertRow, AuditRow};
pub use charge::{ChargeRow, Entry, Kind};
pub use column::{
    Column, Date, MONEY_PRECISION, MONEY_SCALE, Micros, Total, money_type, time_type, total_type,
};
pub use content::ContentRow;
pub use log::LogRow;
pub use metric::MetricRow;
pub use rollup::RollupRow;
pub use span::{SpanRow, Usage};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

/// A row of a table: knows its schema, and goes to and from Arrow.
pub trait Row: Sized {
    /// The Arrow schema, in the order of the fields.
    fn schema() -> SchemaRef;
    /// The rows as one batch of [`Row::schema`].
    ///
    /// # Errors
    /// When a decimal does not fit `DECIMAL(18,12)`.
    fn batch(rows: &[Self]) -> Result<RecordBatch, ArrowError>;
    /// Reads a batch back. Columns are found by name: their order and further columns do not matter,
    /// and a column that the batch lacks reads as NULL (or zero).
    ///
    /// # Errors
    /// When a column has another type than the field.
    fn read(batch: &RecordBatch) -> Result<Vec<Self>, ArrowError>;
}

/// Declares a table's row struct and its [`Row`] implementation.
#[macro_export]
macro_rules! row {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $( $(#[$fmeta:meta])* pub $field:ident : $ty:ty, )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct $name {
            $( $(#[$fmeta])* pub $field: $ty, )*
        }

        impl $crate::rows::Row for $name {
            fn schema() -> ::arrow::datatypes::SchemaRef {
                static SCHEMA: ::std::sync::LazyLock<::arrow::datatypes::SchemaRef> =
                    ::std::sync::LazyLock::new(|| {
                        ::std::sync::Arc::new(::arrow::datatypes::Schema::new(vec![
                            $( <$ty as $crate::rows::Column>::field(stringify!($field)), )*
                        ]))
                    });
                ::std::sync::Arc::clone(&SCHEMA)
            }

            fn batch(rows: &[Self]) -> Result<::arrow::array::RecordBatch, ::arrow::error::ArrowError> {
                ::arrow::array::RecordBatch::try_new(
                    <Self as $crate::rows::Row>::schema(),
                    vec![
                        $( <$ty as $crate::rows::Column>::array(rows.iter().map(|row| &row.$field))?, )*
                    ],
                )
            }

            fn read(batch: &::arrow::array::RecordBatch) -> Result<Vec<Self>, ::arrow::error::ArrowError> {
                $( let $field = <$ty as $crate::rows::Column>::values(batch, stringify!($field))?; )*
                $( let mut $field = $field.into_iter(); )*
                let mut rows = Vec::with_capacity(batch.num_rows());
                for _ in 0..batch.num_rows() {
                    rows.push(Self { $( $field: $field.next().unwrap_or_default(), )* });
                }
                Ok(rows)
            }
        }
    };
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use rust_decimal::Decimal;

    #[test]
    fn a_charge_survives_the_round_trip() {
        let row = ChargeRow {
            charge_id: "c".into(),
            start_time: Micros(1_700_000_000_000_001),
            date: Date::of_micros(1_700_000_000_000_001),
            cost_usd: Some(Decimal::new(-3625, 12)),
            input_tokens: Some(7),
            decision: Some(true),
            calls: 1,
            ..ChargeRow::default()
        };
        let batch = ChargeRow::batch(std::slice::from_ref(&row)).unwrap();
        assert_eq!(ChargeRow::read(&batch).unwrap(), vec![row]);
    }

    #[test]
    fn a_cost_that_does_not_fit_is_an_error() {
        let row = ChargeRow {
            cost_usd: Some(Decimal::from(1_000_000)),
            ..ChargeRow::default()
        };
        assert!(ChargeRow::batch(&[row]).is_err());
    }
}
