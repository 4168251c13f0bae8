//! A JSON number as an exact decimal.

use rust_decimal::Decimal;

/// Reads `12`, `0.5` or `1.5E-7` exactly: `None` when the text is no number, or has more digits than a
/// decimal keeps (28).
pub(crate) fn exact(text: &str) -> Option<Decimal> {
    shifted(text, 0)
}

/// [`exact`], of a number a million times too large: prices are quoted a million tokens.
pub(crate) fn millionth(text: &str) -> Option<Decimal> {
    shifted(text, -6)
}

/// The same number a million times, as text; the inverse of [`millionth`].
pub(crate) fn a_million(amount: Decimal) -> String {
    let mut amount = amount.normalize();
    match amount.scale().checked_sub(6) {
        Some(scale) if amount.set_scale(scale).is_ok() => amount.normalize().to_string(),
        _ => (amount * Decimal::from(1_000_000)).normalize().to_string(),
    }
}

fn shifted(text: &str, by: i64) -> Option<Decimal> {
    let (base, exponent) = match text.split_once(['e', 'E']) {
        Some((base, exponent)) => (base, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let base = Decimal::from_str_exact(base).ok()?.normalize();
    if base.is_zero() {
        return Some(Decimal::ZERO);
    }
    let scale = i64::from(base.scale()) - i64::from(exponent) - by;
    let value = if scale >= 0 {
        let scale = u32::try_from(scale)
            .ok()
            .filter(|s| *s <= Decimal::MAX_SCALE)?;
        Decimal::try_from_i128_with_scale(base.mantissa(), scale).ok()?
    } else {
        let factor = 10i128.checked_pow(u32::try_from(-scale).ok()?)?;
        Decimal::try_from_i128_with_scale(base.mantissa().checked_mul(factor)?, 0).ok()?
    };
    Some(value.normalize())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn scientific_and_plain_notation_are_the_same_number() {
        let plain = Decimal::from_str_exact("0.00000015").unwrap();
        for text in [
            "1.5E-7",
            "1.5e-7",
            "15e-8",
            "0.00000015",
            "1.50e-07",
            "0.15e-6",
        ] {
            assert_eq!(exact(text), Some(plain), "{text}");
        }
        assert_eq!(exact("2.5e+1"), Some(Decimal::from(25)));
        assert_eq!(exact("1E3"), Some(Decimal::from(1000)));
        assert_eq!(exact("0e-40"), Some(Decimal::ZERO));
    }

    #[test]
    fn a_million_times_a_millionth_is_the_same() {
        for text in [
            "2.5",
            "0.0028",
            "1e-7",
            "150",
            "1E3",
            "0",
            "0.00000000000000000001",
        ] {
            let amount = millionth(text).unwrap();
            assert_eq!(
                amount,
                exact(text).unwrap() / Decimal::from(1_000_000),
                "{text}"
            );
            assert_eq!(exact(&a_million(amount)), exact(text), "{text}");
        }
    }

    #[test]
    fn what_a_float_would_have_blurred_stays() {
        // The shortest text of a double that is one ulp off 2.5e-7.
        assert_eq!(
            exact("2.4999999999999998e-07").unwrap().to_string(),
            "0.00000024999999999999998"
        );
    }

    #[test]
    fn what_is_no_number_or_does_not_fit_is_refused() {
        for text in [
            "",
            "e",
            "1e",
            "abc",
            "NaN",
            "1e-29",
            "1e40",
            "1.2.3",
            "--1",
            "1e99999999999",
        ] {
            assert_eq!(exact(text), None, "{text}");
        }
    }
}
