//! The conditions of a price: service tier, length of the context, hours of the week.

use std::borrow::Cow;

use crate::Week;

/// The tier that a call was served in when it names none.
pub(crate) const STANDARD: &str = "standard";

/// Spellings of service tiers, in lower case, and the word of the book.
#[rustfmt::skip]
const TIERS: &[(&str, &str)] = &[
    ("", STANDARD),
    ("default", STANDARD),
    ("auto", STANDARD),
    ("standard_only", STANDARD),
    ("on_demand", STANDARD),
    ("fast", "priority"),
    ("batches", "batch"),
];

/// A service tier in the words of the book: `standard`, `batch`, `flex`, `priority`, or the vendor's own word in
/// lower case. A call that names none was served in `standard`.
///
/// ```
/// use flyball_pricing::service_tier;
/// assert_eq!(service_tier(None), "standard");
/// assert_eq!(service_tier(Some("Default")), "standard");
/// assert_eq!(service_tier(Some("fast")), "priority");
/// assert_eq!(service_tier(Some("ultrafast")), "ultrafast");
/// ```
#[must_use]
pub fn service_tier(word: Option<&str>) -> Cow<'_, str> {
    let word = word.unwrap_or(STANDARD).trim();
    let word = if word.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(word.to_ascii_lowercase())
    } else {
        Cow::Borrowed(word)
    };
    match TIERS.iter().find(|(spelling, _)| *spelling == word) {
        Some((_, tier)) => Cow::Borrowed(*tier),
        None => word,
    }
}

/// When a price holds. What is absent is no condition: it holds whatever the call says there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct When {
    /// Calls served in this tier, in the words of [`service_tier`].
    pub service_tier: Option<String>,
    /// Requests with more input tokens than this, cached ones included; the price is then that of every token.
    pub input_above: Option<i64>,
    /// Requests with at most so many.
    pub input_up_to: Option<i64>,
    /// Calls that begin in these hours.
    pub hours: Option<Week>,
}

impl When {
    /// Whether it holds for a call: its tier in the book's words, its start in nanoseconds since 1970, and all
    /// its input tokens. Where they are unknown, no condition on them holds.
    #[must_use]
    pub fn holds(&self, tier: &str, start_unix_nano: i64, input: Option<i64>) -> bool {
        let lengths = self.input_above.is_some() || self.input_up_to.is_some();
        self.service_tier.as_deref().is_none_or(|own| own == tier)
            && input.map_or(!lengths, |input| {
                self.input_above.is_none_or(|above| input > above)
                    && self.input_up_to.is_none_or(|up_to| input <= up_to)
            })
            && self
                .hours
                .as_ref()
                .is_none_or(|hours| hours.contains(start_unix_nano))
    }

    /// Whether a call exists for which both hold.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let both =
            |one: Option<i64>, other: Option<i64>, pick: fn(i64, i64) -> i64| match (one, other) {
                (Some(one), Some(other)) => Some(pick(one, other)),
                (one, other) => one.or(other),
            };
        let above = both(self.input_above, other.input_above, i64::max);
        let up_to = both(self.input_up_to, other.input_up_to, i64::min);
        let tiers = match (&self.service_tier, &other.service_tier) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
        let hours = match (&self.hours, &other.hours) {
            (Some(one), Some(other)) => one.overlaps(other),
            _ => true,
        };
        tiers && hours && above.zip(up_to).is_none_or(|(above, up_to)| above < up_to)
    }
}

impl std::fmt::Display for When {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts = Vec::new();
        parts.extend(self.service_tier.clone());
        parts.extend(self.input_above.map(|tokens| format!("input > {tokens}")));
        parts.extend(self.input_up_to.map(|tokens| format!("input <= {tokens}")));
        parts.extend(self.hours.as_ref().map(|hours| hours.texts().join(" ")));
        if parts.is_empty() {
            parts.push("always".to_owned());
        }
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_limit_itself_is_below_the_limit() {
        let below = When {
            input_up_to: Some(272_000),
            ..When::default()
        };
        let above = When {
            input_above: Some(272_000),
            ..When::default()
        };
        for (input, expected) in [
            (Some(272_000), [true, false]),
            (Some(272_001), [false, true]),
            (Some(0), [true, false]),
            (None, [false, false]),
        ] {
            let holds = [&below, &above].map(|when| when.holds(STANDARD, 0, input));
            assert_eq!(holds, expected, "{input:?}");
        }
        assert!(!below.overlaps(&above));
    }

    #[test]
    fn a_tier_without_a_condition_is_every_tier() {
        let batch = When {
            service_tier: Some("batch".to_owned()),
            ..When::default()
        };
        assert!(batch.holds("batch", 0, None) && !batch.holds(STANDARD, 0, None));
        assert!(When::default().holds("ultrafast", 0, None));
        assert!(batch.overlaps(&When::default()));
    }

    fn whens() -> impl Strategy<Value = When> {
        let tier = prop::option::of(prop::sample::select(vec!["standard", "batch"]));
        let limit = || prop::option::of(0i64..5);
        let hours = prop::option::of((0usize..4, 1usize..4));
        (tier, limit(), limit(), hours).prop_map(|(tier, above, up_to, hours)| When {
            service_tier: tier.map(str::to_owned),
            input_above: above,
            input_up_to: up_to,
            hours: hours.and_then(|(from, length)| {
                Week::parse(&[format!("{from:02}:00-{:02}:00", from + length)])
            }),
        })
    }

    proptest! {
        /// All calls that the conditions can tell apart, one by one.
        #[test]
        fn two_overlap_exactly_when_a_call_fits_both(one in whens(), other in whens()) {
            let mut both = false;
            for tier in ["standard", "batch"] {
                for input in 0..8 {
                    for hour in 0..24 {
                        let at = hour * 3_600_000_000_000;
                        both |= one.holds(tier, at, Some(input)) && other.holds(tier, at, Some(input));
                    }
                }
            }
            prop_assert_eq!(one.overlaps(&other), both);
            prop_assert_eq!(other.overlaps(&one), both);
        }
    }
}
