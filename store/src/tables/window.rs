//! A stretch of time that rows are looked for in: which files can be left unopened.

use chrono::NaiveDate;

use super::stats;

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// When the rows start that are looked for, in microseconds since 1970; both ends belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    from: i64,
    to: i64,
}

impl Window {
    /// From a day before one moment to a day after the other (nanoseconds since 1970, in either order).
    pub(crate) fn around(one_unix_nano: i64, other_unix_nano: i64) -> Self {
        let (from, to) = (
            one_unix_nano.min(other_unix_nano),
            one_unix_nano.max(other_unix_nano),
        );
        Self {
            from: from.div_euclid(1_000) - DAY,
            to: to.div_euclid(1_000) + DAY,
        }
    }

    /// Whether all rows of a file start outside, by its day and its statistics. What neither says may be inside.
    pub(super) fn misses(self, day: Option<NaiveDate>, stats: Option<&str>) -> bool {
        let day = day.map(|day| {
            let start = i64::from(day.to_epoch_days()) * DAY;
            (start, start + (DAY - 1))
        });
        let outside = |(from, to): (i64, i64)| to < self.from || from > self.to;
        day.is_some_and(outside)
            || stats
                .and_then(|stats| stats::instants(stats, "start_time"))
                .is_some_and(outside)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn day(of_month: u32) -> Option<NaiveDate> {
        NaiveDate::from_ymd_opt(2026, 11, of_month)
    }

    /// 2026-11-10, noon.
    const NOON: i64 = 1_794_312_000_000_000_000;

    #[test]
    fn a_day_is_left_out_only_when_it_is_more_than_a_day_away() {
        for window in [
            Window::around(NOON, NOON + 1_000_000_000),
            Window::around(NOON + 1_000_000_000, NOON),
        ] {
            let missed = (7..=13).filter(|of_month| window.misses(day(*of_month), None));
            assert_eq!(missed.collect::<Vec<_>>(), [7, 8, 12, 13]);
        }
    }

    #[test]
    fn statistics_narrow_it_to_the_moment() {
        let window = Window::around(NOON, NOON);
        let misses = |from: &str, to: &str| {
            let stats = serde_json::json!({
                "minValues": {"start_time": from},
                "maxValues": {"start_time": to},
            });
            window.misses(day(9), Some(&stats.to_string()))
        };
        assert!(misses(
            "2026-11-09T00:00:00.000000Z",
            "2026-11-09T11:59:59.999999Z"
        ));
        assert!(!misses(
            "2026-11-09T00:00:00.000000Z",
            "2026-11-09T12:00:00.000000Z"
        ));
        assert!(!misses("2026-11-09T00:00:00.000000Z", "yesterday"));
    }

    #[test]
    fn what_nobody_says_may_be_inside_and_no_time_is_too_far() {
        assert!(!Window::around(NOON, NOON).misses(None, None));
        assert!(!Window::around(NOON, NOON).misses(None, Some("{}")));
        let all = Window::around(i64::MIN, i64::MAX);
        assert!(!all.misses(day(1), None));
    }
}
