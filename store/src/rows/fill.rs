//! Columns filled value by value, for who has the values of a row one after the other and no row.
//!
//! A column that a row says nothing of costs nothing: missing values are made up for when the next one comes.

use std::sync::Arc;

use arrow::array::{
    ArrayBuilder, ArrayRef, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder,
    Int64Builder, StringBuilder, TimestampMicrosecondBuilder, new_null_array,
};
use arrow::error::ArrowError;
use rust_decimal::Decimal;

use super::column::{Column, Date, Micros, money_type, scaled, time_type};

/// A [`Column`] that can be filled value by value.
pub trait Fill: Column {
    /// What a value is given as.
    type Given<'a>;
    /// What collects the values.
    type Builder: ArrayBuilder;

    /// Where the values of so many rows go; empty.
    fn builder(rows: usize) -> Self::Builder;
    /// Adds a value.
    ///
    /// # Errors
    /// When it does not fit the column's type.
    fn append(builder: &mut Self::Builder, value: Self::Given<'_>) -> Result<(), ArrowError>;
    /// Adds so many NULLs.
    fn append_nulls(builder: &mut Self::Builder, count: usize);
}

macro_rules! fill {
    ($($value:ty, given as $given:ty, $builder:ty = $new:expr, $append:expr;)*) => { $(
        fill!(@one $value, $given, $builder, $new, $append);
        fill!(@one Option<$value>, $given, $builder, $new, $append);
    )* };
    (@one $column:ty, $given:ty, $builder:ty, $new:expr, $append:expr) => {
        impl Fill for $column {
            type Given<'a> = $given;
            type Builder = $builder;

            fn builder(rows: usize) -> Self::Builder {
                let new: fn(usize) -> Self::Builder = $new;
                new(rows)
            }

            #[inline]
            fn append(builder: &mut Self::Builder, value: Self::Given<'_>) -> Result<(), ArrowError> {
                let append: fn(&mut Self::Builder, Self::Given<'_>) -> Result<(), ArrowError> = $append;
                append(builder, value)
            }

            #[inline]
            fn append_nulls(builder: &mut Self::Builder, count: usize) {
                builder.append_nulls(count);
            }
        }
    };
}

fill! {
    String, given as &'a str, StringBuilder = |rows| StringBuilder::with_capacity(rows, rows * TEXT_BYTES),
        |to, value| { to.append_value(value); Ok(()) };
    bool, given as bool, BooleanBuilder = |rows| BooleanBuilder::with_capacity(rows),
        |to, value| { to.append_value(value); Ok(()) };
    i64, given as i64, Int64Builder = |rows| Int64Builder::with_capacity(rows),
        |to, value| { to.append_value(value); Ok(()) };
    f64, given as f64, Float64Builder = |rows| Float64Builder::with_capacity(rows),
        |to, value| { to.append_value(value); Ok(()) };
    Micros, given as Micros,
        TimestampMicrosecondBuilder = |rows| TimestampMicrosecondBuilder::with_capacity(rows).with_data_type(time_type()),
        |to, value| { to.append_value(value.0); Ok(()) };
    Date, given as Date, Date32Builder = |rows| Date32Builder::with_capacity(rows),
        |to, value| { to.append_value(value.0); Ok(()) };
    Decimal, given as Decimal,
        Decimal128Builder = |rows| Decimal128Builder::with_capacity(rows).with_data_type(money_type()),
        |to, value| { to.append_value(scaled(&value)?); Ok(()) };
}

/// Bytes that a text is thought to have, until it is known: most are words.
const TEXT_BYTES: usize = 16;

/// One column of rows that come one after the other.
#[derive(Debug)]
pub struct Values<T: Fill> {
    /// Made for the first value: most columns of a request have none.
    builder: Option<T::Builder>,
    /// How many rows are expected.
    rows: usize,
    /// The first value that did not fit.
    problem: Option<ArrowError>,
}

impl<T: Fill> Values<T> {
    /// No values yet, of about so many rows.
    #[must_use]
    pub fn for_rows(rows: usize) -> Self {
        Self {
            builder: None,
            rows,
            problem: None,
        }
    }

    /// The value of this row; None is NULL. Rows come in order, those without a value may be left out, and of two
    /// values for one row the first stands.
    #[inline]
    pub fn set<'a>(&mut self, row: usize, value: impl Into<Option<T::Given<'a>>>) {
        let Some(value) = value.into() else { return };
        let builder = self.builder.get_or_insert_with(|| T::builder(self.rows));
        let Some(missing) = row.checked_sub(builder.len()) else {
            return;
        };
        if missing > 0 {
            T::append_nulls(builder, missing);
        }
        if let Err(problem) = T::append(builder, value) {
            self.problem.get_or_insert(problem);
            T::append_nulls(builder, 1);
        }
    }

    /// The column of so many rows.
    ///
    /// # Errors
    /// When a value did not fit the column's type.
    pub fn finish(mut self, rows: usize) -> Result<ArrayRef, ArrowError> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        let Some(builder) = &mut self.builder else {
            return Ok(new_null_array(T::field("").data_type(), rows));
        };
        let missing = rows.saturating_sub(builder.len());
        T::append_nulls(builder, missing);
        Ok(Arc::new(builder.finish()))
    }
}
