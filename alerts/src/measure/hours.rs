//! The hours of the week in which a key is usually heard, and how unlikely a silence is by them.
//!
//! An hour is kept as twelve marks, one for each five minutes in which anything was heard: a burst counts once, and so
//! does what is read again. For an hour that is being judged, the same hour of the weeks before says how likely such five
//! minutes are heard, and so do its neighbours: the least of what they say is believed, so that a day that begins an hour
//! later (daylight saving) is no silence. How unlikely a silence is adds up over it, as the negative logarithm.
//! Hours are those of UTC, counted since 1970.

use serde::{Deserialize, Serialize};

use crate::rule::SECOND;

const HOUR: i64 = 3_600 * SECOND;
const WEEK: i64 = 168;
/// Five minutes, nanoseconds; twelve are an hour.
const BIN: i64 = 300 * SECOND;
const BINS: f64 = 12.0;
/// An hour of which nothing is known: nobody listened.
const UNKNOWN: u16 = u16::MAX;
/// A silence that comes by chance once in 160,000 times (e to the 12th) is told.
const UNLIKELY: f64 = 12.0;
/// No share is believed to be nearer to one than so many tries can show.
const TRIES: f64 = 36.0;

/// What is known of a key's hours, to be kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct KnownHours {
    /// The first hour that was listened to from its beginning.
    since: i64,
    /// The hour that is being filled.
    current: i64,
    /// When it was heard last.
    heard: i64,
    /// How long nothing was heard by then, nanoseconds, and how unlikely that is.
    silent: i64,
    surprise: f64,
    /// By the hour, modulo their number: the weeks that are learnt, and one for what is being filled.
    marks: Vec<u16>,
}

/// The hours of one key, and how unlikely its silence is.
#[derive(Debug)]
pub(crate) struct Hours {
    weeks: i64,
    known: Option<KnownHours>,
    /// What was received until then is in what was kept.
    counted_until: i64,
    /// Of the silence until now.
    surprise: f64,
    /// What a silent five minutes of this hour adds.
    weight: Option<(i64, f64)>,
}

impl Hours {
    /// Learns of so many weeks.
    pub(crate) fn new(weeks: u32) -> Self {
        Self {
            weeks: i64::from(weeks),
            known: None,
            counted_until: i64::MIN,
            surprise: 0.0,
            weight: None,
        }
    }

    /// What is to be kept, of one that was `silent` for so long.
    pub(crate) fn known(&self, silent: i64) -> Option<KnownHours> {
        let known = self.known.clone();
        known.map(|known| KnownHours {
            silent,
            surprise: self.surprise,
            ..known
        })
    }

    /// Whether it was heard at all.
    pub(crate) fn begun(&self) -> bool {
        self.known.is_some()
    }

    /// Whether what is read again was counted before.
    pub(crate) fn counted(&self, at: i64) -> bool {
        at <= self.counted_until
    }

    /// Takes over what was kept. Of the time that `now` ends nobody knows where there is a `gap`.
    pub(crate) fn know(&mut self, mut known: KnownHours, gap: bool, now: i64) {
        if known.marks.len() != self.length() {
            return;
        }
        if gap {
            known.forget(known.current);
            known.reach(now.div_euclid(HOUR), UNKNOWN);
            known.forget(now.div_euclid(HOUR));
        }
        self.surprise = if gap { 0.0 } else { known.surprise };
        self.counted_until = known.heard;
        self.known = Some(known);
        self.weight = None;
    }

    fn length(&self) -> usize {
        usize::try_from((self.weeks + 1) * WEEK).unwrap_or(0)
    }

    /// Heard then: the silence is over.
    pub(crate) fn hear(&mut self, at: i64) {
        let (hour, length) = (at.div_euclid(HOUR), self.length());
        let known = self.known.get_or_insert_with(|| KnownHours {
            since: hour + 1,
            current: hour,
            heard: at,
            silent: 0,
            surprise: 0.0,
            marks: vec![UNKNOWN; length],
        });
        known.reach(hour, 0);
        known.heard = known.heard.max(at);
        if let Some(marks) = known.of_mut(hour).filter(|marks| **marks != UNKNOWN) {
            *marks |= 1 << (at.rem_euclid(HOUR) / BIN);
        }
        self.surprise = 0.0;
    }

    /// Nothing was heard for so much longer, until `now`.
    pub(crate) fn miss(&mut self, longer: i64, now: i64) {
        let (hour, weeks) = (now.div_euclid(HOUR), self.weeks);
        let Some(known) = &mut self.known else {
            return;
        };
        known.reach(hour, 0);
        let weight = match self.weight {
            Some((of, weight)) if of == hour => weight,
            _ => {
                let heard = known.heard(hour, weeks) * TRIES / (TRIES + 1.0);
                -(1.0 - heard).ln()
            }
        };
        self.weight = Some((hour, weight));
        self.surprise += weight * longer.max(0) as f64 / BIN as f64;
    }

    /// Whether its weeks are learnt.
    pub(crate) fn learnt(&self) -> bool {
        let learnt = |known: &KnownHours| known.current - known.since >= self.weeks * WEEK;
        self.known.as_ref().is_some_and(learnt)
    }

    /// Whether so long a silence is unlikely, in these hours.
    pub(crate) fn unlikely(&self) -> bool {
        self.surprise >= UNLIKELY
    }

    /// One silence in how many is as long, as a power of ten.
    pub(crate) fn rarity(&self) -> f64 {
        self.surprise / std::f64::consts::LN_10
    }
}

impl KnownHours {
    pub(crate) fn silent(&self) -> i64 {
        self.silent
    }

    fn place(&self, hour: i64) -> Option<usize> {
        let length = i64::try_from(self.marks.len()).ok()?;
        let kept = hour <= self.current && hour > self.current - length;
        usize::try_from(hour.rem_euclid(length.max(1)))
            .ok()
            .filter(|_| kept)
    }

    fn of_mut(&mut self, hour: i64) -> Option<&mut u16> {
        let place = self.place(hour)?;
        self.marks.get_mut(place)
    }

    fn forget(&mut self, hour: i64) {
        if let Some(marks) = self.of_mut(hour) {
            *marks = UNKNOWN;
        }
    }

    /// Goes on to an hour; of those between there are no marks yet, or never will be.
    fn reach(&mut self, hour: i64, empty: u16) {
        let length = i64::try_from(self.marks.len()).unwrap_or(0);
        let first = (self.current + 1).max(hour.saturating_sub(length) + 1);
        for between in first..=hour {
            self.current = between;
            if let Some(marks) = self.of_mut(between) {
                *marks = empty;
            }
        }
    }

    /// The share of its five minutes in which it was heard, 0 to 1; none when nobody listened.
    fn share(&self, hour: i64) -> Option<f64> {
        let marks = *self.marks.get(self.place(hour)?)?;
        (marks != UNKNOWN && hour >= self.since).then(|| f64::from(marks.count_ones()) / BINS)
    }

    /// How likely five minutes of an hour are heard: the least that any of its weeks, or the hour before or after it, says.
    fn heard(&self, hour: i64, weeks: i64) -> f64 {
        let share = |week: i64, beside: i64| self.share(hour - week * WEEK + beside);
        let of_weeks = (1..=weeks).filter_map(|week| mean((-1..=1).filter_map(|b| share(week, b))));
        let of_hours = (-1..=1).filter_map(|b| mean((1..=weeks).filter_map(|week| share(week, b))));
        let least = of_weeks.chain(of_hours).reduce(f64::min);
        least.unwrap_or(0.0)
    }
}

fn mean(of: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, n) = of.fold((0.0, 0), |(sum, n), one| (sum + one, n + 1));
    (n > 0).then(|| sum / f64::from(n))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Monday, 3 January 2028, 0:00 UTC.
    const MONDAY: i64 = 1_830_470_400 * SECOND;
    const DAY: i64 = 24 * HOUR;

    /// Heard every five minutes from 9 to 17 on working days, for so many weeks.
    fn office(weeks: i64) -> Hours {
        let mut hours = Hours::new(1);
        for day in 0..weeks * 7 {
            if day % 7 >= 5 {
                continue;
            }
            for bin in 9 * 12..17 * 12 {
                hours.hear(MONDAY + day * DAY + bin * BIN);
            }
        }
        hours
    }

    /// Minutes of silence from `from` on until it is unlikely; none within a week.
    fn told_after(hours: &mut Hours, from: i64) -> Option<i64> {
        (1..7 * 1_440).find(|minute| {
            hours.miss(60 * SECOND, from + minute * 60 * SECOND);
            hours.learnt() && hours.unlikely()
        })
    }

    #[test]
    fn a_silence_is_unlikely_only_in_hours_that_are_usually_busy() {
        let mut hours = office(2);
        // The last call was on Friday at 16:55. Monday's first hour may be late, its second may not.
        let friday = MONDAY + 11 * DAY + 17 * HOUR - BIN;
        let minutes = told_after(&mut hours, friday).unwrap();
        let told = friday + minutes * 60 * SECOND - (MONDAY + 14 * DAY);
        assert!(
            (10 * HOUR..10 * HOUR + 30 * 60 * SECOND).contains(&told),
            "{told}"
        );
    }

    #[test]
    fn nothing_is_unlikely_before_a_week_was_heard() {
        let mut young = Hours::new(1);
        for bin in 0..144 {
            young.hear(MONDAY + bin * BIN);
        }
        // Silent from noon on: the first hour, of which the beginning may have been missed, does not count a week later.
        let minutes = told_after(&mut young, MONDAY + DAY / 2).unwrap();
        let told = MONDAY + DAY / 2 + minutes * 60 * SECOND;
        assert!(told >= MONDAY + 7 * DAY + HOUR, "{minutes}");
    }

    #[test]
    fn a_day_that_begins_or_ends_an_hour_off_is_no_silence() {
        let mut hours = office(2);
        let monday = MONDAY + 14 * DAY;
        // Begins at 10, ends at 16.
        for (from, until) in [(8 * 60, 10 * 60), (16 * 60, 17 * 60)] {
            hours.hear(monday + from * 60 * SECOND);
            for minute in from..until {
                hours.miss(60 * SECOND, monday + (minute + 1) * 60 * SECOND - 1);
                assert!(!hours.unlikely(), "{minute}");
            }
        }
    }

    #[test]
    fn what_is_kept_says_the_same_and_a_gap_says_nothing() {
        let mut hours = office(2);
        let bytes = rmp_serde::to_vec(&hours.known(0).unwrap()).unwrap();
        assert!(bytes.len() < 1_100, "{}", bytes.len());
        let known: KnownHours = rmp_serde::from_slice(&bytes).unwrap();
        let friday = MONDAY + 11 * DAY + 17 * HOUR;
        let mut again = Hours::new(1);
        again.know(known.clone(), false, friday);
        assert_eq!(
            told_after(&mut again, friday),
            told_after(&mut hours, friday)
        );
        // Nobody listened for a week: of the next, nothing is known.
        let mut deaf = Hours::new(1);
        deaf.know(known, true, MONDAY + 21 * DAY);
        assert_eq!(told_after(&mut deaf, MONDAY + 21 * DAY), None);
    }
}
