//! What can stand in a column, and how it goes to Arrow and back.

use std::fmt;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array,
    Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Float64Type, Int64Type, TimeUnit,
    TimestampMicrosecondType,
};
use arrow::error::ArrowError;
use rust_decimal::Decimal;

/// Digits after the point in every money column: a token can cost less than three billionths of a dollar.
pub const MONEY_SCALE: i8 = 12;
/// Digits in all in a money column.
pub const MONEY_PRECISION: u8 = 18;

/// A type that can be a column of a [`Row`](super::Row).
pub trait Column: Sized + Default {
    /// The Arrow field of that name: type and nullability.
    fn field(name: &str) -> Field;
    /// The values as one array.
    ///
    /// # Errors
    /// When a value does not fit the column's type.
    fn array<'a>(values: impl Iterator<Item = &'a Self>) -> Result<ArrayRef, ArrowError>
    where
        Self: 'a;
    /// The column of that name, one value a row; empty when the batch has no such column.
    ///
    /// # Errors
    /// When the column is of another type.
    fn values(batch: &RecordBatch, name: &str) -> Result<Vec<Self>, ArrowError>;

    /// A value where it stands: a text is a slice, everything else is itself.
    type View<'a>: Copy + Default + PartialEq + fmt::Debug;
    /// What the column is read from.
    type Array: fmt::Debug;
    /// This value where it stands.
    fn view(&self) -> Self::View<'_>;
    /// The column of that name; `None` when the batch has no such column, or nothing but NULL in it.
    ///
    /// # Errors
    /// When the column is of another type.
    fn read(batch: &RecordBatch, name: &str) -> Result<Option<Self::Array>, ArrowError>;
    /// The value of a row.
    fn at(array: &Self::Array, row: usize) -> Self::View<'_>;
}

/// A UTC instant in microseconds since 1970: what every Delta reader understands.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Micros(pub i64);

impl Micros {
    /// The instant, from nanoseconds since 1970 (rounded down).
    #[must_use]
    pub fn of_nanos(unix_nano: i64) -> Self {
        Self(unix_nano.div_euclid(1_000))
    }
}

/// A UTC day, in days since 1970.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Date(pub i32);

/// As Delta names its partitions: `2026-11-22`.
impl std::fmt::Display for Date {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let day = chrono::NaiveDate::from_epoch_days(self.0).unwrap_or_default();
        write!(f, "{}", day.format("%Y-%m-%d"))
    }
}

impl Date {
    /// The day of an instant in microseconds since 1970.
    #[must_use]
    pub fn of_micros(micros: i64) -> Self {
        // 106 million days fit an i64 of microseconds, so this cannot overflow an i32.
        Self(micros.div_euclid(86_400_000_000) as i32)
    }

    /// The day of an instant in nanoseconds since 1970.
    #[must_use]
    pub fn of_nanos(unix_nano: i64) -> Self {
        Self::of_micros(unix_nano.div_euclid(1_000))
    }
}

fn typed(batch: &RecordBatch, name: &str, want: &DataType) -> Result<Option<ArrayRef>, ArrowError> {
    let Some(column) = batch.column_by_name(name) else {
        return Ok(None);
    };
    if column.data_type() == want {
        return Ok(Some(Arc::clone(column)));
    }
    // Readers may hand out view or dictionary encodings of the same values.
    arrow::compute::cast(column, want).map(Some).map_err(|e| {
        ArrowError::SchemaError(format!(
            "column {name}: {} is not {want}: {e}",
            column.data_type()
        ))
    })
}

macro_rules! column {
    ($value:ty, $data_type:expr, $array:ident, $as:expr, $to:expr, $from:expr, |$lent:ident: $life:lifetime| $view:ty = $lend:expr, $at:expr) => {
        impl Column for $value {
            fn field(name: &str) -> Field {
                Field::new(name, $data_type, false)
            }
            fn array<'a>(values: impl Iterator<Item = &'a Self>) -> Result<ArrayRef, ArrowError> {
                let to = $to;
                let values: Vec<_> = values.map(|v| to(v)).collect::<Result<_, ArrowError>>()?;
                Ok(Arc::new($array::from(values).with_data_type_of($data_type)))
            }
            fn values(batch: &RecordBatch, name: &str) -> Result<Vec<Self>, ArrowError> {
                Ok(<Option<$value> as Column>::values(batch, name)?
                    .into_iter()
                    .map(Option::unwrap_or_default)
                    .collect())
            }

            type View<$life> = $view;
            type Array = $array;
            fn view(&self) -> Self::View<'_> {
                let $lent = self;
                $lend
            }
            fn read(batch: &RecordBatch, name: &str) -> Result<Option<$array>, ArrowError> {
                <Option<$value> as Column>::read(batch, name)
            }
            fn at(array: &$array, row: usize) -> Self::View<'_> {
                <Option<$value> as Column>::at(array, row).unwrap_or_default()
            }
        }

        impl Column for Option<$value> {
            fn field(name: &str) -> Field {
                Field::new(name, $data_type, true)
            }
            fn array<'a>(values: impl Iterator<Item = &'a Self>) -> Result<ArrayRef, ArrowError> {
                let to = $to;
                let values: Vec<_> = values
                    .map(|v| v.as_ref().map(|v| to(v)).transpose())
                    .collect::<Result<_, ArrowError>>()?;
                Ok(Arc::new($array::from(values).with_data_type_of($data_type)))
            }
            fn values(batch: &RecordBatch, name: &str) -> Result<Vec<Self>, ArrowError> {
                let Some(column) = typed(batch, name, &$data_type)? else {
                    return Ok(Vec::new());
                };
                let (array, from) = ($as(&column), $from);
                Ok((0..array.len())
                    .map(|i| array.is_valid(i).then(|| from(array.value(i))))
                    .collect())
            }

            type View<$life> = Option<$view>;
            type Array = $array;
            fn view(&self) -> Self::View<'_> {
                self.as_ref().map(|$lent| $lend)
            }
            fn read(batch: &RecordBatch, name: &str) -> Result<Option<$array>, ArrowError> {
                let column = typed(batch, name, &$data_type)?;
                let told = column.filter(|column| column.null_count() < column.len());
                Ok(told.map(|column| $as(&column)))
            }
            fn at(array: &$array, row: usize) -> Self::View<'_> {
                array.is_valid(row).then(|| $at(array.value(row)))
            }
        }
    };
}

/// Lets one macro build every kind of array, with its unit, zone or scale.
trait WithDataType {
    fn with_data_type_of(self, data_type: DataType) -> Self;
}

macro_rules! plain {
    ($($array:ty),*) => { $( impl WithDataType for $array {
        fn with_data_type_of(self, _: DataType) -> Self { self }
    } )* };
}
plain!(
    StringArray,
    BooleanArray,
    Int64Array,
    Float64Array,
    Date32Array
);

impl WithDataType for TimestampMicrosecondArray {
    fn with_data_type_of(self, data_type: DataType) -> Self {
        self.with_data_type(data_type)
    }
}

impl WithDataType for Decimal128Array {
    fn with_data_type_of(self, data_type: DataType) -> Self {
        self.with_data_type(data_type)
    }
}

/// A sum of money in trillionths of a US dollar: what does not fit one row's column.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Total(pub i128);

impl From<Decimal> for Total {
    /// Exact for every amount that fits a money column.
    fn from(money: Decimal) -> Self {
        let mut exact = money;
        exact.rescale(MONEY_SCALE as u32);
        Self(exact.mantissa())
    }
}

/// The type of a time column: microseconds, UTC.
#[must_use]
pub fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The type of a money column.
#[must_use]
pub fn money_type() -> DataType {
    DataType::Decimal128(MONEY_PRECISION, MONEY_SCALE)
}

/// The type of a column of sums of money.
#[must_use]
pub fn total_type() -> DataType {
    DataType::Decimal128(38, MONEY_SCALE)
}

/// The amount in trillionths of a US dollar, where it fits a money column.
pub(super) fn scaled(money: &Decimal) -> Result<i128, ArrowError> {
    let mut exact = *money;
    exact.rescale(MONEY_SCALE as u32);
    if exact != *money || exact.mantissa().unsigned_abs() >= 10u128.pow(u32::from(MONEY_PRECISION))
    {
        return Err(ArrowError::InvalidArgumentError(format!(
            "{money} US dollars does not fit DECIMAL({MONEY_PRECISION},{MONEY_SCALE})"
        )));
    }
    Ok(exact.mantissa())
}

/// Not a copy: the array makes its own.
fn text(text: &str) -> Result<&str, ArrowError> {
    Ok(text)
}

column!(
    String,
    DataType::Utf8,
    StringArray,
    |c: &ArrayRef| c.as_string::<i32>().clone(),
    text,
    |v: &str| v.to_owned(),
    |value: 'a| &'a str = value.as_str(),
    |v| v
);
column!(
    bool,
    DataType::Boolean,
    BooleanArray,
    |c: &ArrayRef| c.as_boolean().clone(),
    |v: &bool| Ok(*v),
    |v: bool| v,
    |value: 'a| bool = *value,
    |v| v
);
column!(
    i64,
    DataType::Int64,
    Int64Array,
    |c: &ArrayRef| c.as_primitive::<Int64Type>().clone(),
    |v: &i64| Ok(*v),
    |v: i64| v,
    |value: 'a| i64 = *value,
    |v| v
);
column!(
    f64,
    DataType::Float64,
    Float64Array,
    |c: &ArrayRef| c.as_primitive::<Float64Type>().clone(),
    |v: &f64| Ok(*v),
    |v: f64| v,
    |value: 'a| f64 = *value,
    |v| v
);
column!(
    Micros,
    time_type(),
    TimestampMicrosecondArray,
    |c: &ArrayRef| c.as_primitive::<TimestampMicrosecondType>().clone(),
    |v: &Micros| Ok(v.0),
    |v: i64| Micros(v),
    |value: 'a| Micros = *value,
    Micros
);
column!(
    Date,
    DataType::Date32,
    Date32Array,
    |c: &ArrayRef| c.as_primitive::<Date32Type>().clone(),
    |v: &Date| Ok(v.0),
    |v: i32| Date(v),
    |value: 'a| Date = *value,
    Date
);
column!(
    Decimal,
    money_type(),
    Decimal128Array,
    |c: &ArrayRef| c.as_primitive::<Decimal128Type>().clone(),
    |v: &Decimal| scaled(v),
    |v: i128| Decimal::from_i128_with_scale(v, MONEY_SCALE as u32).normalize(),
    |value: 'a| Decimal = *value,
    |v| Decimal::from_i128_with_scale(v, MONEY_SCALE as u32).normalize()
);
column!(
    Total,
    total_type(),
    Decimal128Array,
    |c: &ArrayRef| c.as_primitive::<Decimal128Type>().clone(),
    |v: &Total| Ok(v.0),
    |v: i128| Total(v),
    |value: 'a| Total = *value,
    Total
);

/// Bytes that only a function can read, such as a sketch.
impl Column for Option<Vec<u8>> {
    fn field(name: &str) -> Field {
        Field::new(name, DataType::Binary, true)
    }

    fn array<'a>(values: impl Iterator<Item = &'a Self>) -> Result<ArrayRef, ArrowError> {
        let values: Vec<Option<&[u8]>> = values.map(Option::as_deref).collect();
        Ok(Arc::new(BinaryArray::from(values)))
    }

    fn values(batch: &RecordBatch, name: &str) -> Result<Vec<Self>, ArrowError> {
        let column = typed(batch, name, &DataType::Binary)?;
        Ok(column.map_or_else(Vec::new, |column| {
            let values = column.as_binary::<i32>();
            values
                .iter()
                .map(|value| value.map(<[u8]>::to_vec))
                .collect()
        }))
    }

    type View<'a> = Option<&'a [u8]>;
    type Array = BinaryArray;

    fn view(&self) -> Self::View<'_> {
        self.as_deref()
    }

    fn read(batch: &RecordBatch, name: &str) -> Result<Option<BinaryArray>, ArrowError> {
        let column = typed(batch, name, &DataType::Binary)?;
        Ok(column.map(|column| column.as_binary::<i32>().clone()))
    }

    fn at(array: &BinaryArray, row: usize) -> Self::View<'_> {
        array.is_valid(row).then(|| array.value(row))
    }
}
