//! Dollars and percentages as whole numbers.

use std::fmt;

/// Digits after the point of every amount.
pub(crate) const SCALE: i8 = 12;

/// US dollars, exact: a whole number of trillionths, as in a `DECIMAL(38,12)` column.
///
/// ```
/// use flyball_reports::Usd;
/// assert_eq!(Usd::of_trillionths(-1_500_000_000_003).to_string(), "-1.500000000003");
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Usd(i128);

impl Usd {
    /// The amount, from trillionths of a dollar.
    #[must_use]
    pub fn of_trillionths(trillionths: i128) -> Self {
        Self(trillionths)
    }

    /// The amount in trillionths of a dollar.
    #[must_use]
    pub fn trillionths(self) -> i128 {
        self.0
    }

    /// This amount as a percentage of `total`: the exact quotient, rounded half-even to two digits.
    /// `None` when the total is zero (or the quotient cannot be held).
    ///
    /// ```
    /// use flyball_reports::Usd;
    /// let share = Usd::of_trillionths(1).share_of(Usd::of_trillionths(3));
    /// assert_eq!(share.map(|s| s.to_string()).as_deref(), Some("33.33"));
    /// ```
    #[must_use]
    pub fn share_of(self, total: Self) -> Option<Percent> {
        let part = self.0.checked_mul(10_000)?;
        let whole = part.checked_div_euclid(total.0)?;
        // 0 <= rest < |total|; the quotient lies between `whole` and the next one away from it.
        let rest = part.checked_rem_euclid(total.0)?.unsigned_abs();
        let other = total.0.unsigned_abs() - rest;
        let up = rest > other || (rest == other && whole.rem_euclid(2) == 1);
        let step = total.0.signum();
        Some(Percent(if up { whole + step } else { whole }))
    }

    /// With only so many digits after the point (none is dropped that is not zero).
    pub(crate) fn with_digits(self, digits: usize) -> String {
        let exact = self.to_string();
        let cut = exact.len() - (SCALE as usize - digits.min(SCALE as usize));
        exact[..cut].to_owned()
    }

    /// How many digits after the point it takes to write it exactly.
    pub(crate) fn digits(self) -> usize {
        let (mut rest, mut digits) = (self.0, SCALE as usize);
        while digits > 0 && rest % 10 == 0 {
            rest /= 10;
            digits -= 1;
        }
        digits
    }
}

impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fixed(f, self.0, SCALE as usize)
    }
}

/// A percentage with two digits after the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent(i128);

impl Percent {
    /// In hundredths of a percent.
    #[must_use]
    pub fn hundredths(self) -> i128 {
        self.0
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fixed(f, self.0, 2)
    }
}

fn fixed(f: &mut fmt::Formatter<'_>, value: i128, digits: usize) -> fmt::Result {
    let one = 10_u128.pow(digits as u32);
    let (sign, value) = (if value < 0 { "-" } else { "" }, value.unsigned_abs());
    write!(f, "{sign}{}.{:0digits$}", value / one, value % one)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts_are_written_to_the_last_digit() {
        assert_eq!(Usd::of_trillionths(0).to_string(), "0.000000000000");
        assert_eq!(Usd::of_trillionths(1).to_string(), "0.000000000001");
        assert_eq!(
            Usd::of_trillionths(i128::MIN).to_string(),
            "-170141183460469231731687303.715884105728"
        );
        assert_eq!(
            Usd::of_trillionths(2_500_000_000_000).with_digits(2),
            "2.50"
        );
        assert_eq!(Usd::of_trillionths(2_512_300_000_000).digits(), 4);
    }

    #[test]
    fn shares_round_half_to_even() {
        let share = |part, total| {
            Usd::of_trillionths(part)
                .share_of(Usd::of_trillionths(total))
                .map(|s| s.to_string())
        };
        assert_eq!(share(1, 8).as_deref(), Some("12.50"));
        // 1/20000 = 0.005 %: halfway between 0.00 and 0.01.
        assert_eq!(share(1, 20_000).as_deref(), Some("0.00"));
        assert_eq!(share(3, 20_000).as_deref(), Some("0.02"));
        assert_eq!(share(-1, 3).as_deref(), Some("-33.33"));
        assert_eq!(share(-2, 3).as_deref(), Some("-66.67"));
        assert_eq!(share(2, -3).as_deref(), Some("-66.67"));
        assert_eq!(share(-2, -3).as_deref(), Some("66.67"));
        assert_eq!(share(5, 0), None);
        assert_eq!(share(i128::MAX, 1), None);
    }

    proptest! {
        #[test]
        fn a_share_is_never_off_by_more_than_half_a_hundredth(part in -1_i128 << 80..1_i128 << 80, total in 1_i128..1 << 80) {
            for total in [total, -total] {
                let share = Usd::of_trillionths(part).share_of(Usd::of_trillionths(total)).unwrap();
                let off = (share.hundredths() * total - part * 10_000).abs();
                prop_assert!(off * 2 <= total.abs());
            }
        }
    }
}
