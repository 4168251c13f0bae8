//! Rows: one Rust struct a table, from which its Arrow schema, its writer and its reader all come.
//!
//! A table is a list of fields; [`row!`](crate::row) turns the list into a struct, so that a column
//! exists in exactly one place. Column types are the Rust types of the fields (see [`Column`]).

mod action;
mod charge;
mod column;
mod content;
mod fill;
mod log;
mod marker;
mod metric;
mod rollup;
mod span;

pub use action::{ActionRow, AlertRow, AuditRow};
pub use charge::{ChargeColumns, ChargeRow, Entry, Kind};
pub use column::{
    Column, Date, MONEY_PRECISION, MONEY_SCALE, Micros, Total, money_type, time_type, total_type,
};
pub use content::ContentRow;
pub use fill::{Fill, Values};
pub use log::LogRow;
pub use marker::Marker;
pub use metric::MetricRow;
pub use rollup::RollupRow;
pub use span::{SpanColumns, SpanRow, SpanView, SpanViews, Usage};

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

/// Declares a table's row struct and its [`Row`] implementation. `filled as` adds a struct of the same fields whose
/// values come one by one (see [`Values`]); `seen as` a row whose texts are slices, and what gives such rows of a batch.
/// Without a name it is only seen: for who reads a few of a table's columns.
#[macro_export]
macro_rules! row {
    (
        $(#[$meta:meta])*
        pub struct $name:ident, filled as $columns:ident, seen as $view:ident of $views:ident {
            $( $(#[$fmeta:meta])* pub $field:ident : $ty:ty, )*
        }
    ) => {
        $crate::row! {
            $(#[$meta])*
            pub struct $name, seen as $view of $views {
                $( $(#[$fmeta])* pub $field: $ty, )*
            }
        }

        $crate::row! {
            pub struct filled as $columns of $name {
                $( $(#[$fmeta])* pub $field: $ty, )*
            }
        }
    };
    (
        $(#[$meta:meta])*
        pub struct $name:ident, filled as $columns:ident {
            $( $(#[$fmeta:meta])* pub $field:ident : $ty:ty, )*
        }
    ) => {
        $crate::row! {
            $(#[$meta])*
            pub struct $name {
                $( $(#[$fmeta])* pub $field: $ty, )*
            }
        }

        $crate::row! {
            pub struct filled as $columns of $name {
                $( $(#[$fmeta])* pub $field: $ty, )*
            }
        }
    };
    (
        pub struct filled as $columns:ident of $name:ident {
            $( $(#[$fmeta:meta])* pub $field:ident : $ty:ty, )*
        }
    ) => {
        /// The columns of many rows, each filled on its own.
        #[derive(Debug)]
        pub struct $columns {
            $( $(#[$fmeta])* pub $field: $crate::rows::Values<$ty>, )*
        }

        impl $columns {
            /// Empty, for about so many rows.
            #[must_use]
            pub fn for_rows(rows: usize) -> Self {
                Self { $( $field: $crate::rows::Values::for_rows(rows), )* }
            }

            /// So many rows as one batch. Columns that may be NULL need not have been filled.
            ///
            /// # Errors
            /// When a value did not fit its column, or a column that may not be NULL lacks one.
            pub fn batch(self, rows: usize) -> Result<::arrow::array::RecordBatch, ::arrow::error::ArrowError> {
                ::arrow::array::RecordBatch::try_new(
                    <$name as $crate::rows::Row>::schema(),
                    vec![ $( self.$field.finish(rows)?, )* ],
                )
            }
        }
    };
    (
        $(#[$meta:meta])*
        pub struct $name:ident, seen as $view:ident of $views:ident {
            $( $(#[$fmeta:meta])* pub $field:ident : $ty:ty, )*
        }
    ) => {
        $crate::row! {
            $(#[$meta])*
            pub struct $name {
                $( $(#[$fmeta])* pub $field: $ty, )*
            }
        }

        $crate::row! {
            pub struct seen as $view of $views {
                $( $(#[$fmeta])* pub $field: $ty, )*
            }
        }

        impl $name {
            /// The row where it stands.
            #[must_use]
            pub fn view(&self) -> $view<'_> {
                $view { $( $field: $crate::rows::Column::view(&self.$field), )* }
            }
        }
    };
    (
        pub struct seen as $view:ident of $views:ident {
            $( $(#[$fmeta:meta])* pub $field:ident : $ty:ty, )*
        }
    ) => {
        /// A row where it stands: nothing is copied.
        #[derive(Debug, Clone, Copy, Default, PartialEq)]
        pub struct $view<'a> {
            $( $(#[$fmeta])* pub $field: <$ty as $crate::rows::Column>::View<'a>, )*
        }

        /// The rows of a batch, to be looked at where they stand.
        #[derive(Debug)]
        pub struct $views {
            rows: usize,
            $( $field: Option<<$ty as $crate::rows::Column>::Array>, )*
        }

        impl $views {
            /// Finds the columns by name. One that the batch lacks reads as NULL (or zero).
            ///
            /// # Errors
            /// When a column has another type than the field.
            pub fn of(batch: &::arrow::array::RecordBatch) -> Result<Self, ::arrow::error::ArrowError> {
                Ok(Self {
                    rows: batch.num_rows(),
                    $( $field: <$ty as $crate::rows::Column>::read(batch, stringify!($field))?, )*
                })
            }

            /// Every row.
            pub fn iter(&self) -> impl Iterator<Item = $view<'_>> {
                (0..self.rows).map(|row| $view {
                    $( $field: self.$field.as_ref().map_or_else(
                        Default::default,
                        |column| <$ty as $crate::rows::Column>::at(column, row),
                    ), )*
                })
            }
        }
    };
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
    fn columns_filled_one_by_one_are_the_rows() {
        let told = SpanRow {
            trace_id: "t".into(),
            agent_name: Some("a".into()),
            start_time: Micros(7),
            date: Date(3),
            value_usd: Some(Decimal::new(15, 1)),
            escalated: Some(false),
            confidence: Some(0.5),
            step: Some(2),
            ..SpanRow::default()
        };
        let rows = [SpanRow::default(), told, SpanRow::default()];
        let mut columns = SpanColumns::for_rows(3);
        for (at, row) in rows.iter().enumerate() {
            columns.date.set(at, row.date);
            columns.start_time.set(at, row.start_time);
            columns.end_time.set(at, row.end_time);
            columns.start_unix_nano.set(at, row.start_unix_nano);
            columns.duration_ns.set(at, row.duration_ns);
            columns.received_at.set(at, row.received_at);
            columns.trace_id.set(at, row.trace_id.as_str());
            columns.span_id.set(at, row.span_id.as_str());
            columns.name.set(at, row.name.as_str());
            columns.status.set(at, row.status.as_str());
            columns.agent_name.set(at, row.agent_name.as_deref());
            columns.value_usd.set(at, row.value_usd);
            columns.escalated.set(at, row.escalated);
            columns.confidence.set(at, row.confidence);
            columns.step.set(at, row.step);
            columns.log_position.set(at, row.log_position);
        }
        let batch = columns.batch(3).unwrap();
        assert_eq!(batch, SpanRow::batch(&rows).unwrap());
        let seen = SpanViews::of(&batch).unwrap();
        assert!(seen.iter().eq(rows.iter().map(SpanRow::view)));
        assert!(
            SpanColumns::for_rows(3).batch(1).is_err(),
            "a trace id may not be NULL"
        );
        let mut columns = SpanColumns::for_rows(3);
        columns.value_usd.set(0, Decimal::from(1_000_000));
        assert!(columns.batch(1).is_err(), "money must fit");
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
