//! Which moment of the tables a reader asks for.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use crate::error::Error;

/// Which moment of the tables to read. As text: `latest`, `committed`, a time (RFC 3339) or how long ago (`90s`,
/// `15m`, `2h`, `7d`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Moment {
    /// Everything acknowledged: table and buffer.
    #[default]
    Latest,
    /// Only what Delta versions hold: what every other reader of the tables can see too.
    Committed,
    /// What Delta versions held then.
    At(DateTime<Utc>),
    /// What Delta versions held so long before the statement.
    Ago(TimeDelta),
}

impl Moment {
    /// The time it is about, given the present; None for the present itself, and for what is to come.
    pub(crate) fn past(self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let at = match self {
            Self::Latest | Self::Committed => return None,
            Self::At(at) => at,
            Self::Ago(ago) => now.checked_sub_signed(ago)?,
        };
        (at < now).then_some(at)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("latest"),
            Self::Committed => f.write_str("committed"),
            Self::At(at) => f.write_str(&at.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            Self::Ago(ago) => write!(f, "{}s", ago.num_seconds()),
        }
    }
}

impl FromStr for Moment {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        match text.to_ascii_lowercase().as_str() {
            "latest" => return Ok(Self::Latest),
            "committed" => return Ok(Self::Committed),
            _ => {}
        }
        if let Some(ago) = ago(text) {
            return Ok(Self::Ago(ago));
        }
        DateTime::parse_from_rfc3339(text)
            .map(|at| Self::At(at.to_utc()))
            .map_err(|_| Error::Moment {
                given: text.to_owned(),
            })
    }
}

/// A whole number and its unit, which must not reach back past the year 1.
fn ago(text: &str) -> Option<TimeDelta> {
    let unit = text.chars().last()?;
    let number: i64 = text.strip_suffix(unit)?.parse().ok()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let ago = TimeDelta::try_seconds(number.checked_mul(seconds)?)?;
    (number >= 0 && Utc::now().checked_sub_signed(ago).is_some()).then_some(ago)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_accepted_form_is_read_and_written_back() {
        let noon: DateTime<Utc> = "2026-11-22T12:00:00Z".parse().unwrap();
        for (text, moment, written) in [
            ("latest", Moment::Latest, "latest"),
            ("COMMITTED", Moment::Committed, "committed"),
            (
                "2026-11-22T12:00:00Z",
                Moment::At(noon),
                "2026-11-22T12:00:00Z",
            ),
            (
                "2026-11-22T14:00:00+02:00",
                Moment::At(noon),
                "2026-11-22T12:00:00Z",
            ),
            ("90s", Moment::Ago(TimeDelta::seconds(90)), "90s"),
            ("2h", Moment::Ago(TimeDelta::hours(2)), "7200s"),
            ("7d", Moment::Ago(TimeDelta::days(7)), "604800s"),
        ] {
            let read: Moment = text.parse().unwrap();
            assert_eq!(read, moment, "{text}");
            assert_eq!(read.to_string(), written);
            assert_eq!(written.parse::<Moment>().unwrap(), moment);
        }
    }

    #[test]
    fn anything_else_is_refused_with_what_is_accepted() {
        for text in [
            "",
            "yesterday",
            "2026-11-22",
            "2026-11-22 12:00:00",
            "-2h",
            "2",
            "h",
            "2.5h",
            "2 h",
            "9223372036854775807d",
            "99999999999d",
            "2\u{e9}",
        ] {
            let error = text.parse::<Moment>().unwrap_err().to_string();
            assert!(
                error.contains("RFC 3339") && error.contains("2h"),
                "{error}"
            );
        }
    }

    #[test]
    fn only_what_is_behind_us_is_past() {
        let now: DateTime<Utc> = "2026-11-22T12:00:00Z".parse().unwrap();
        let second = TimeDelta::seconds(1);
        assert_eq!(Moment::Latest.past(now), None);
        assert_eq!(Moment::Committed.past(now), None);
        assert_eq!(Moment::At(now).past(now), None);
        assert_eq!(Moment::At(now + second).past(now), None);
        assert_eq!(Moment::At(now - second).past(now), Some(now - second));
        assert_eq!(Moment::Ago(second).past(now), Some(now - second));
        assert_eq!(Moment::Ago(TimeDelta::zero()).past(now), None);
    }
}
