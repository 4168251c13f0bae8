//! The periods of a budget.

use chrono::{DateTime, Datelike, NaiveTime};
use serde::Serialize;

use super::SECOND;

/// For how long a budget is. Hours, days and months are those of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// A calendar hour.
    Hour,
    /// A calendar day.
    Day,
    /// A calendar month.
    Month,
    /// The life of an execution. One that was idle for a day is forgotten, and a life counts for a week.
    Execution,
}

impl Period {
    /// The word in rule files, and in sentences.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
            Self::Execution => "execution",
        }
    }

    /// The first nanosecond (since 1970) of the period that `at` lies in; of a life, always 0.
    ///
    /// ```
    /// use flyball_alerts::rule::Period;
    ///
    /// let at = 1_709_211_599_000_000_000; // 2024-02-29 12:59:59
    /// assert_eq!(Period::Hour.begin(at), 1_709_208_000_000_000_000); // 12:00:00
    /// assert_eq!(Period::Day.begin(at), 1_709_164_800_000_000_000); // 00:00:00
    /// assert_eq!(Period::Month.begin(at), 1_706_745_600_000_000_000); // 2024-02-01
    /// ```
    #[must_use]
    pub fn begin(self, at: i64) -> i64 {
        let floor = |length: i64| at.div_euclid(length) * length;
        match self {
            Self::Hour => floor(3_600 * SECOND),
            Self::Day => floor(86_400 * SECOND),
            Self::Month => {
                let day = DateTime::from_timestamp_nanos(at).date_naive();
                let first = day.with_day(1).map(|day| day.and_time(NaiveTime::MIN));
                first
                    .and_then(|first| first.and_utc().timestamp_nanos_opt())
                    // No day lacks a first of its month.
                    .unwrap_or_else(|| floor(86_400 * SECOND))
            }
            Self::Execution => 0,
        }
    }
}
