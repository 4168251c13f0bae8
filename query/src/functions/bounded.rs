//! Functions whose result can be larger than their arguments by any factor: `repeat('x', 1000000000)` is a statement of
//! thirty bytes. The memory pool counts what operators hold, and not what one function makes of one batch, so what
//! these would make is worked out before they are called.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::{cast, kernels::length::length};
use arrow::datatypes::{
    DataType, FieldRef, Int64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature,
};
use datafusion::prelude::SessionContext;

use crate::estimate::size;

/// What one call may make of one batch of rows, bytes.
const MADE_BYTES_MAX: u64 = 32 << 20;
/// A replacement of so many bytes is taken for an honest one.
const HONEST_BYTES: u64 = 64;
/// A list's element.
const ELEMENT_BYTES: u64 = 8;
const DAY_NANOS: i64 = 86_400_000_000_000;

/// Bytes that a function makes of one row, at most.
type Made = fn(&[Argument], usize) -> u64;

/// By name.
#[rustfmt::skip]
const GROWING: [(&str, Made); 10] = [
    ("repeat",          |a, row| a[0].len(row).saturating_mul(a[1].count(row))),
    // A character is four bytes at most.
    ("lpad",            |a, row| a[1].count(row).saturating_mul(4)),
    ("rpad",            |a, row| a[1].count(row).saturating_mul(4)),
    ("replace",         |a, row| grown(a[2].len(row), a[0].len(row) / a[1].len(row).max(1))),
    ("regexp_replace",  |a, row| grown(a[2].len(row), a[0].len(row))),
    ("array_to_string", |a, row| grown(a[1].len(row), a[0].len(row))),
    ("array_repeat",    |a, row| a[0].held.saturating_mul(a[1].count(row))),
    ("array_resize",    |a, row| a[1].count(row).saturating_mul(ELEMENT_BYTES)),
    ("range",           ranged),
    ("generate_series", ranged),
];

fn grown(by: u64, times: u64) -> u64 {
    if by <= HONEST_BYTES {
        return 0;
    }
    by.saturating_mul(times)
}

/// From, to and step, which need not all be there.
fn ranged(arguments: &[Argument], row: usize) -> u64 {
    let value = |at: usize| arguments.get(at).and_then(|argument| argument.int(row));
    let (from, to) = match arguments.len() {
        1 => (Some(0), value(0)),
        _ => (value(0), value(1)),
    };
    let step = value(2).unwrap_or(1).unsigned_abs().max(1);
    let Some((from, to)) = from.zip(to) else {
        return 0;
    };
    (from.abs_diff(to) / step).saturating_mul(ELEMENT_BYTES)
}

/// One argument of a call.
struct Argument {
    /// The same value in every row.
    constant: bool,
    /// Its values as whole numbers: of times, nanoseconds; of intervals, too.
    ints: Option<Int64Array>,
    /// Bytes of its texts, elements of its lists.
    lengths: Option<Int64Array>,
    /// Bytes that a value takes, on average.
    held: u64,
}

impl Argument {
    fn of(value: &ColumnarValue) -> Result<Self> {
        let (array, constant) = match value {
            ColumnarValue::Array(array) => (Arc::clone(array), false),
            ColumnarValue::Scalar(scalar) => (scalar.to_array()?, true),
        };
        let lengths = length(array.as_ref()).ok().and_then(|found| whole(&found));
        Ok(Self {
            constant,
            ints: ints(&array),
            lengths,
            held: (array.get_array_memory_size() / array.len().max(1)) as u64,
        })
    }

    fn value(&self, of: Option<&Int64Array>, row: usize) -> Option<i64> {
        let (of, row) = (of?, if self.constant { 0 } else { row });
        (row < of.len() && of.is_valid(row)).then(|| of.value(row))
    }

    fn int(&self, row: usize) -> Option<i64> {
        self.value(self.ints.as_ref(), row)
    }

    /// A number of times; none when it is not known or below zero.
    fn count(&self, row: usize) -> u64 {
        let count = self.int(row).unwrap_or(0);
        u64::try_from(count).unwrap_or(0)
    }

    fn len(&self, row: usize) -> u64 {
        let length = self.value(self.lengths.as_ref(), row).unwrap_or(0);
        u64::try_from(length).unwrap_or(0)
    }
}

fn whole(array: &ArrayRef) -> Option<Int64Array> {
    let array = cast(array, &DataType::Int64).ok()?;
    array.as_primitive_opt::<Int64Type>().cloned()
}

fn ints(array: &ArrayRef) -> Option<Int64Array> {
    match array.data_type() {
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => {
            let nanos = DataType::Timestamp(TimeUnit::Nanosecond, None);
            whole(&cast(array, &nanos).ok()?)
        }
        DataType::Interval(_) => {
            let parts = DataType::Interval(IntervalUnit::MonthDayNano);
            let array = cast(array, &parts).ok()?;
            let nanos = array.as_primitive_opt::<IntervalMonthDayNanoType>()?.iter();
            Some(nanos.map(|step| step.map(interval_nanos)).collect())
        }
        whole_number if whole_number.is_integer() => whole(array),
        _ => None,
    }
}

/// The shortest that it can be: a month has 28 days.
fn interval_nanos(step: arrow::datatypes::IntervalMonthDayNano) -> i64 {
    let days = i64::from(step.months) * 28 + i64::from(step.days);
    days.saturating_mul(DAY_NANOS)
        .saturating_add(step.nanoseconds)
}

/// One of these, which refuses before it is called.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
}

impl Bounded {
    fn check(&self, arguments: &ScalarFunctionArgs) -> Result<()> {
        let name = self.inner.name();
        let Some((_, made)) = GROWING.iter().find(|(growing, _)| *growing == name) else {
            return Ok(());
        };
        let given = arguments.args.iter().map(Argument::of);
        let given = given.collect::<Result<Vec<_>>>()?;
        let rows = match given.iter().all(|argument| argument.constant) {
            true => 1,
            false => arguments.number_rows,
        };
        let bytes = (0..rows).fold(0_u64, |sum, row| sum.saturating_add(made(&given, row)));
        if bytes > MADE_BYTES_MAX {
            let refused = format!(
                "{name} would make {} of {rows} rows, and may make {}",
                size(bytes),
                size(MADE_BYTES_MAX)
            );
            return Err(DataFusionError::ResourcesExhausted(refused));
        }
        Ok(())
    }
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field_from_args(arguments)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.check(&arguments)?;
        self.inner.invoke_with_args(arguments)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}

/// Puts the bounded ones in the place of those that are there.
pub(super) fn register(context: &SessionContext) {
    for (name, _) in GROWING {
        if let Ok(inner) = context.udf(name) {
            context.register_udf(ScalarUDF::new_from_impl(Bounded { inner }));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    async fn asked(sql: &str) -> std::result::Result<usize, String> {
        let context = SessionContext::new();
        register(&context);
        let frame = context.sql(sql).await.map_err(|e| e.to_string())?;
        let rows = frame.collect().await.map_err(|e| e.to_string())?;
        Ok(rows.iter().map(|batch| batch.num_rows()).sum())
    }

    #[tokio::test]
    async fn what_would_outgrow_its_arguments_is_refused_before_it_is_made() {
        for sql in [
            "SELECT repeat('x', 1000000000)",
            "SELECT repeat(repeat('x', 10000), 10000)",
            "SELECT lpad('x', 1000000000)",
            "SELECT rpad(column1, 1000000000, 'ab') FROM (VALUES ('a'), ('b'))",
            "SELECT replace(repeat('x', 1000000), 'x', repeat('y', 1000))",
            "SELECT regexp_replace(repeat('x', 1000000), 'x', repeat('y', 1000), 'g')",
            "SELECT array_to_string(range(1, 100000), repeat('y', 100000))",
            "SELECT array_repeat(1, 10000000000)",
            "SELECT array_repeat(array_repeat(1, 100000), 100000)",
            "SELECT array_resize(make_array(1), 10000000000, 0)",
            "SELECT range(1, 10000000000)",
            "SELECT range(0, -10000000000, -1)",
            "SELECT generate_series(1, 10000000000)",
            "SELECT range(TIMESTAMP '1970-01-01', TIMESTAMP '2026-01-01', INTERVAL '1 nanosecond')",
            "SELECT range(value, 1000000) FROM generate_series(1, 1000)",
        ] {
            let error = asked(sql).await.unwrap_err();
            assert!(error.contains("would make"), "{sql}: {error}");
        }
    }

    #[tokio::test]
    async fn honest_calls_are_what_they_were() {
        for sql in [
            "SELECT repeat('x', 1000) FROM generate_series(1, 8000)",
            "SELECT repeat(NULL, 5), repeat('x', -5), lpad('x', 10, 'ab')",
            "SELECT regexp_replace(repeat('x', 1000000), 'x', 'yy', 'g')",
            "SELECT range(1, 1000), generate_series(10), range(1, 100, 3)",
            "SELECT generate_series(DATE '2026-01-01', DATE '2026-02-01', INTERVAL '1 day')",
            "SELECT array_repeat('a', 10), array_resize(make_array(1), 5, 0)",
        ] {
            asked(sql).await.unwrap();
        }
    }
}
