//! Hours of the week: when a price of the time of day holds.

use chrono::{DateTime, Datelike as _, Timelike as _};

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const DAY: u16 = 24 * 60;
const WEEK: u16 = 7 * DAY;

/// Minutes of the week, UTC, counted from Monday 00:00: sorted stretches that neither touch nor overlap, each
/// from its first minute up to, and without, its last.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Week(Vec<(u16, u16)>);

impl Week {
    /// Reads `01:00-04:00` (every day), `mon-fri 01:00-04:00`, `sat 00:00-24:00`; the end is not in it. Days and
    /// hours that wrap around (`22:00-02:00`, `sat-mon`) are read so. `None` when a text is none of these, or
    /// when there is none.
    #[must_use]
    pub fn parse<S: AsRef<str>>(texts: &[S]) -> Option<Self> {
        let mut minutes = Vec::new();
        for text in texts {
            stretches(text.as_ref().trim(), &mut minutes)?;
        }
        let week = Self::of(minutes);
        (!week.0.is_empty()).then_some(week)
    }

    fn of(mut minutes: Vec<(u16, u16)>) -> Self {
        minutes.retain(|(from, until)| from < until);
        minutes.sort_unstable();
        let mut joined: Vec<(u16, u16)> = Vec::new();
        for (from, until) in minutes {
            match joined.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(until),
                _ => joined.push((from, until)),
            }
        }
        Self(joined)
    }

    /// Every minute that is not in this one; `None` when there is none left.
    #[must_use]
    pub fn complement(&self) -> Option<Self> {
        let mut rest = Vec::new();
        let mut free = 0;
        for (from, until) in &self.0 {
            rest.push((free, *from));
            free = *until;
        }
        rest.push((free, WEEK));
        let rest = Self::of(rest);
        (!rest.0.is_empty()).then_some(rest)
    }

    /// Whether an instant, nanoseconds since 1970, lies in it.
    #[must_use]
    pub fn contains(&self, at_unix_nano: i64) -> bool {
        let at = DateTime::from_timestamp_nanos(at_unix_nano);
        let day = u16::try_from(at.weekday().num_days_from_monday()).unwrap_or_default();
        let minute = u16::try_from(at.hour() * 60 + at.minute()).unwrap_or_default();
        let minute = day * DAY + minute;
        self.0
            .iter()
            .any(|(from, until)| (*from..*until).contains(&minute))
    }

    /// An instant in it, nanoseconds since 1970.
    pub(crate) fn start(&self) -> i64 {
        // 1970-01-05 was a Monday.
        let monday = 4 * i64::from(DAY);
        let minute = self.0.first().map_or(0, |(from, _)| i64::from(*from));
        (monday + minute) * 60_000_000_000
    }

    /// Whether a minute lies in both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.0.iter().any(|(from, until)| {
            other
                .0
                .iter()
                .any(|(start, end)| from < end && start < until)
        })
    }

    /// The texts that [`Week::parse`] reads as this: one a day and stretch.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        let mut texts = Vec::new();
        for (from, until) in &self.0 {
            let mut at = *from;
            while at < *until {
                let day = at / DAY;
                let end = (*until).min((day + 1) * DAY);
                let (start, stop) = (at - day * DAY, end - day * DAY);
                let name = DAYS[usize::from(day)];
                texts.push(format!("{name} {}-{}", clock(start), clock(stop)));
                at = end;
            }
        }
        texts
    }
}

fn clock(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

fn stretches(text: &str, minutes: &mut Vec<(u16, u16)>) -> Option<()> {
    let (days, hours) = match text.split_once(' ') {
        Some((days, hours)) => (days.trim(), hours.trim()),
        None => ("mon-sun", text),
    };
    let (from, until) = hours.split_once('-')?;
    let (from, until) = (minute(from)?, minute(until)?);
    for day in days_of(days)? {
        let start = day * DAY;
        if from < until {
            minutes.push((start + from, start + until));
        } else {
            // Over midnight, and from Sunday on to Monday.
            minutes.push((start + from, start + DAY));
            let next = (start + DAY) % WEEK;
            minutes.push((next, next + until));
        }
    }
    Some(())
}

fn days_of(text: &str) -> Option<Vec<u16>> {
    let day = |name: &str| {
        let name = name.trim().to_lowercase();
        (0u16..7).find(|day| DAYS[usize::from(*day)] == name)
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (day(first)?, day(last)?),
        None => (day(text)?, day(text)?),
    };
    Some(
        (0..=(last + 7 - first) % 7)
            .map(|n| (first + n) % 7)
            .collect(),
    )
}

fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let two = |digits: &str| {
        (digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit()))
            .then(|| digits.parse::<u16>().ok())
            .flatten()
    };
    let (hour, minute) = (two(hour)?, two(minute)?);
    (minute < 60 && hour * 60 + minute <= DAY).then_some(hour * 60 + minute)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<DateTime<chrono::Utc>>()
            .unwrap()
            .timestamp_nanos_opt()
            .unwrap()
    }

    #[test]
    fn the_first_minute_is_in_and_the_last_is_out() {
        // 2026-11-20 is a Friday.
        let peak = Week::parse(&["mon-fri 01:00-04:00", "mon-fri 06:00-10:00"]).unwrap();
        for (time, inside) in [
            ("2026-11-20T00:59:59.999999999Z", false),
            ("2026-11-20T01:00:00Z", true),
            ("2026-11-20T03:59:59.999999999Z", true),
            ("2026-11-20T04:00:00Z", false),
            ("2026-11-20T09:59:00Z", true),
            ("2026-11-21T02:00:00Z", false),
            ("2026-11-23T02:00:00Z", true),
            ("1969-12-29T02:00:00Z", true),
        ] {
            assert_eq!(peak.contains(at(time)), inside, "{time}");
            assert_eq!(
                peak.complement().unwrap().contains(at(time)),
                !inside,
                "{time}"
            );
        }
        assert!(!peak.overlaps(&peak.complement().unwrap()));
    }

    #[test]
    fn what_wraps_around_wraps_around() {
        let nights = Week::parse(&["22:00-02:00"]).unwrap();
        assert!(nights.contains(at("2026-11-22T23:00:00Z")));
        assert!(nights.contains(at("2026-11-23T01:59:00Z")));
        assert!(!nights.contains(at("2026-11-23T02:00:00Z")));
        let weekend = Week::parse(&["sat-mon 00:00-24:00"]).unwrap();
        assert!(weekend.contains(at("2026-11-23T12:00:00Z")));
        assert!(!weekend.contains(at("2026-11-24T12:00:00Z")));
    }

    #[test]
    fn its_texts_are_itself_and_the_whole_week_has_no_complement() {
        for texts in [
            &["22:00-02:00"][..],
            &["mon-fri 01:00-04:00", "sun 05:30-05:31"],
            &["00:00-24:00"],
        ] {
            let week = Week::parse(texts).unwrap();
            assert_eq!(Week::parse(&week.texts()).unwrap(), week);
            if let Some(rest) = week.complement() {
                assert_eq!(rest.complement().unwrap(), week);
            }
        }
        assert_eq!(Week::parse(&["00:00-24:00"]).unwrap().complement(), None);
    }

    #[test]
    fn what_is_no_hour_is_refused() {
        for text in [
            "",
            "1:00-2:00",
            "01:00",
            "25:00-26:00",
            "01:60-02:00",
            "monday 01:00-02:00",
            "24:01-24:02",
            "é-ü",
            "mon-fri",
        ] {
            assert_eq!(Week::parse(&[text]), None, "{text}");
        }
        assert_eq!(Week::parse::<&str>(&[]), None);
    }
}
