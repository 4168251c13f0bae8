//! Wilson's 95 % interval of a rate: what a rate of n events allows one to say.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};

/// The normal quantile of a two-sided 95 % interval.
const Z: f64 = 1.959_963_984_540_054;

/// Lower and upper bound of the rate behind `successes` of `n`, at 95 % (Wilson 1927, without
/// continuity correction). `None` when `n` is not positive or `successes` is not between 0 and `n`.
///
/// ```
/// // 8 of 10: the textbook example, 0.490 to 0.943.
/// let (low, high) = flyball_query::functions::wilson::interval(8, 10).unwrap_or_default();
/// assert!((low - 0.4902).abs() < 1e-4 && (high - 0.9433).abs() < 1e-4);
/// ```
#[must_use]
pub fn interval(successes: i64, n: i64) -> Option<(f64, f64)> {
    if n <= 0 || !(0..=n).contains(&successes) {
        return None;
    }
    let count = n as f64;
    let rate = successes as f64 / count;
    let z2 = Z * Z;
    let centre = rate + z2 / (2.0 * count);
    let spread = Z * (rate * (1.0 - rate) / count + z2 / (4.0 * count * count)).sqrt();
    let scale = 1.0 + z2 / count;
    // At the ends the bound is the rate itself; rounding must not push it past.
    let low = if successes == 0 {
        0.0
    } else {
        (centre - spread) / scale
    };
    let high = if successes == n {
        1.0
    } else {
        (centre + spread) / scale
    };
    Some((low, high))
}

/// `wilson_low(successes, n)`: the lower bound, NULL when there is none.
pub(super) fn wilson_low() -> ScalarUDF {
    bound("wilson_low", |(low, _)| low)
}

/// `wilson_high(successes, n)`: the upper bound, NULL when there is none.
pub(super) fn wilson_high() -> ScalarUDF {
    bound("wilson_high", |(_, high)| high)
}

fn bound(name: &str, of: fn((f64, f64)) -> f64) -> ScalarUDF {
    create_udf(
        name,
        vec![DataType::Int64, DataType::Int64],
        DataType::Float64,
        Volatility::Immutable,
        Arc::new(move |arguments: &[ColumnarValue]| {
            let arrays = ColumnarValue::values_to_arrays(arguments)?;
            Ok(ColumnarValue::Array(each(&arrays, of)?))
        }),
    )
}

fn each(arrays: &[ArrayRef], of: fn((f64, f64)) -> f64) -> Result<ArrayRef> {
    let (successes, counts) = (
        arrays[0].as_primitive::<Int64Type>(),
        arrays[1].as_primitive::<Int64Type>(),
    );
    let bounds: Float64Array = successes
        .iter()
        .zip(counts.iter())
        .map(|pair| match pair {
            (Some(successes), Some(n)) => interval(successes, n).map(of),
            _ => None,
        })
        .collect();
    Ok(Arc::new(bounds))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::interval;
    use proptest::prelude::*;

    #[test]
    fn no_events_say_nothing() {
        assert_eq!(interval(0, 0), None);
        assert_eq!(interval(3, 2), None);
        assert_eq!(interval(-1, 2), None);
    }

    #[test]
    fn one_of_one_is_far_from_certain() {
        let (low, high) = interval(1, 1).unwrap();
        assert!((low - 0.2065).abs() < 1e-4, "{low}");
        assert!((high - 1.0).abs() < f64::EPSILON);
    }

    proptest! {
        #[test]
        fn the_interval_holds_the_rate_and_stays_within_0_and_1(n in 1_i64..10_000, part in 0.0_f64..=1.0) {
            let successes = ((n as f64) * part).floor() as i64;
            let (low, high) = interval(successes, n).unwrap();
            let rate = successes as f64 / n as f64;
            prop_assert!(0.0 <= low && low <= rate && rate <= high && high <= 1.0);
        }
    }
}
