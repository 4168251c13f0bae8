//! Columns filled value by value, for who has the values of a row one after the other and no row.
//!
//! A column that a row says nothing of costs nothing: missing values are made up for when the next one comes.

use std::sync::Arc;

use arrow::array::{
    ArrayBuilder, ArrayRef, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder,
    Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
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

    /// Where the values go; empty.
    fn builder() -> Self::Builder;
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

            fn builder() -> Self::Builder {
                $new
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
    String, given as &'a str, StringBuilder = StringBuilder::with_capacity(0, 0),
        |to, value| { to.append_value(value); Ok(()) };
    bool, given as bool, BooleanBuilder = BooleanBuilder::with_capacity(0),
        |to, value| { to.append_value(value); Ok(()) };
    i64, given as i64, Int64Builder = Int64Builder::with_capacity(0),
        |to, value| { to.append_value(value); Ok(()) };
    f64, given as f64, Float64Builder = Float64Builder::with_capacity(0),
        |to, value| { to.append_value(value); Ok(()) };
    Micros, given as Micros,
        TimestampMicrosecondBuilder = TimestampMicrosecondBuilder::with_capacity(0).with_data_type(time_type()),
        |to, value| { to.append_value(value.0); Ok(()) };
    Date, given as Date, Date32Builder = Date32Builder::with_capacity(0),
        |to, value| { to.append_value(value.0); Ok(()) };
    Decimal, given as Decimal,
        Decimal128Builder = Decimal128Builder::with_capacity(0).with_data_type(money_type()),
        |to, value| { to.append_value(scaled(&value)?); Ok(()) };
}

/// One column of rows that come one after the other.
#[derive(Debug)]
pub struct Values<T: Fill> {
    builder: T::Builder,
    /// The first value that did not fit.
    problem: Option<ArrowError>,
}

impl<T: Fill> Default for Values<T> {
    fn default() -> Self {
        Self {
            builder: T::builder(),
            problem: None,
        }
    }
}

impl<T: Fill> Values<T> {
    /// The value of this row; None is NULL. Rows come in order, those without a value may be left out, and of two
    /// values for one row the first stands.
    #[inline]
    pub fn set<'a>(&mut self, row: usize, value: impl Into<Option<T::Given<'a>>>) {
        let Some(value) = value.into() else { return };
        let Some(missing) = row.checked_sub(self.builder.len()) else {
            return;
        };
        if missing > 0 {
            T::append_nulls(&mut self.builder, missing);
        }
        if let Err(problem) = T::append(&mut self.builder, value) {
            self.problem.get_or_insert(problem);
            T::append_nulls(&mut self.builder, 1);
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
        let missing = rows.saturating_sub(self.builder.len());
        T::append_nulls(&mut self.builder, missing);
        Ok(Arc::new(self.builder.finish()))
    }
}
