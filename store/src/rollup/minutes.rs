//! Sets of minutes: which of them the rollup answers for, and which only the journal does.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;

/// Microseconds of a minute.
pub const MINUTE_MICROS: i64 = 60_000_000;

/// A set of UTC minutes, numbered from 1970, as ranges.
///
/// ```
/// use flyball_store::Minutes;
/// let mut minutes = Minutes::between(0, 119_999_999);
/// minutes.add(5..6);
/// assert_eq!(minutes.ranges(), [0..2, 5..6]);
/// assert!(minutes.has(1) && !minutes.has(2));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Minutes {
    /// Sorted; they neither touch nor overlap, and none is empty.
    ranges: Vec<Range<i64>>,
}

impl Minutes {
    /// Every minute there is.
    #[must_use]
    pub fn all() -> Self {
        let ranges = std::iter::once(i64::MIN..i64::MAX).collect();
        Self { ranges }
    }

    /// The minutes from one instant to another (microseconds since 1970), both ends included.
    #[must_use]
    pub fn between(first_micros: i64, last_micros: i64) -> Self {
        let mut minutes = Self::default();
        minutes.add(Self::of(first_micros)..Self::of(last_micros).saturating_add(1));
        minutes
    }

    /// The minute that an instant (microseconds since 1970) is in.
    #[must_use]
    pub fn of(micros: i64) -> i64 {
        micros.div_euclid(MINUTE_MICROS)
    }

    /// The minutes in which the rows of a batch start, by its column `start_time`.
    pub(crate) fn starts(batch: &RecordBatch) -> Self {
        let Some(starts) = batch
            .column_by_name("start_time")
            .and_then(|column: &ArrayRef| column.as_primitive_opt::<TimestampMicrosecondType>())
        else {
            return Self::default();
        };
        let mut numbers: Vec<i64> = Vec::new();
        for row in (0..starts.len()).filter(|row| starts.is_valid(*row)) {
            let minute = Self::of(starts.value(row));
            if numbers.last() != Some(&minute) {
                numbers.push(minute);
            }
        }
        numbers.sort_unstable();
        let mut minutes = Self::default();
        for minute in numbers {
            minutes.push(minute..minute + 1);
        }
        minutes
    }

    /// The same of several batches.
    pub(crate) fn of_starts(batches: &[RecordBatch]) -> Self {
        let mut minutes = Self::default();
        for batch in batches {
            minutes.extend(&Self::starts(batch));
        }
        minutes
    }

    /// The ranges, in order; they neither touch nor overlap.
    #[must_use]
    pub fn ranges(&self) -> &[Range<i64>] {
        &self.ranges
    }

    /// Whether there is no minute in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether a minute is in it.
    #[must_use]
    pub fn has(&self, minute: i64) -> bool {
        let after = self.ranges.partition_point(|range| range.start <= minute);
        after > 0 && minute < self.ranges[after - 1].end
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        let sizes = self
            .ranges
            .iter()
            .map(|range| range.start.abs_diff(range.end));
        sizes.fold(0, u64::saturating_add)
    }

    /// Adds a range of minutes.
    pub fn add(&mut self, range: Range<i64>) {
        if range.is_empty() {
            return;
        }
        let from = self.ranges.partition_point(|other| other.end < range.start);
        let to = self
            .ranges
            .partition_point(|other| other.start <= range.end);
        let mut merged = range;
        if from < to {
            merged.start = merged.start.min(self.ranges[from].start);
            merged.end = merged.end.max(self.ranges[to - 1].end);
        }
        self.ranges.splice(from..to, [merged]);
    }

    /// Adds every minute of another set.
    pub fn extend(&mut self, other: &Self) {
        for range in &other.ranges {
            self.add(range.clone());
        }
    }

    /// Takes every minute of another set out.
    pub fn remove(&mut self, other: &Self) {
        if other.is_empty() || self.is_empty() {
            return;
        }
        let mut left = Self::default();
        let mut holes = other.ranges.iter().peekable();
        for range in std::mem::take(&mut self.ranges) {
            let mut start = range.start;
            while let Some(hole) = holes.peek() {
                if hole.end <= start {
                    holes.next();
                    continue;
                }
                if hole.start >= range.end {
                    break;
                }
                left.push(start..hole.start.max(start));
                start = hole.end;
                if start >= range.end {
                    break;
                }
            }
            left.push(start.min(range.end)..range.end);
        }
        *self = left;
    }

    /// Whether some minute is in both.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        other.ranges.iter().any(|range| {
            let after = self.ranges.partition_point(|own| own.end <= range.start);
            self.ranges
                .get(after)
                .is_some_and(|own| own.start < range.end)
        })
    }

    /// Those of them that are in a range.
    #[must_use]
    pub fn within(&self, range: &Range<i64>) -> Self {
        let mut found = Self::default();
        for own in &self.ranges {
            found.push(own.start.max(range.start)..own.end.min(range.end));
        }
        found
    }

    /// The same minutes and more, in so many ranges at most: the narrowest gaps are filled.
    #[must_use]
    pub fn coarsened(&self, ranges_max: usize) -> Self {
        let surplus = self.ranges.len().saturating_sub(ranges_max.max(1));
        if surplus == 0 {
            return self.clone();
        }
        let gap = |at: usize| self.ranges[at - 1].end.abs_diff(self.ranges[at].start);
        let mut gaps: Vec<usize> = (1..self.ranges.len()).collect();
        gaps.sort_by_key(|at| gap(*at));
        gaps.truncate(surplus);
        let mut coarse = self.clone();
        for at in gaps {
            coarse.add(self.ranges[at - 1].start..self.ranges[at].end);
        }
        coarse
    }

    /// Appends a range that does not begin before the last one does.
    fn push(&mut self, range: Range<i64>) {
        if range.is_empty() {
            return;
        }
        match self.ranges.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => self.ranges.push(range),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn set(minutes: &Minutes) -> BTreeSet<i64> {
        minutes.ranges().iter().cloned().flatten().collect()
    }

    fn of(ranges: &[(i64, i64)]) -> Minutes {
        let mut minutes = Minutes::default();
        for (start, length) in ranges {
            minutes.add(*start..start + length);
        }
        minutes
    }

    fn ranges() -> impl Strategy<Value = Vec<(i64, i64)>> {
        proptest::collection::vec((-40_i64..40, 0_i64..9), 0..12)
    }

    proptest! {
        #[test]
        fn it_is_a_set(ours in ranges(), theirs in ranges(), from in -40_i64..40, most in 1_usize..6) {
            let (a, b) = (of(&ours), of(&theirs));
            let (set_a, set_b) = (set(&a), set(&b));
            let plain: BTreeSet<i64> = ours.iter().flat_map(|(start, length)| *start..start + length).collect();
            prop_assert_eq!(&set_a, &plain);
            prop_assert!(a.ranges().windows(2).all(|pair| pair[0].end < pair[1].start));
            prop_assert_eq!(a.count(), set_a.len() as u64);
            prop_assert!((-50..60).all(|minute| a.has(minute) == set_a.contains(&minute)));
            let mut both = a.clone();
            both.extend(&b);
            prop_assert_eq!(set(&both), &set_a | &set_b);
            let mut left = a.clone();
            left.remove(&b);
            prop_assert_eq!(set(&left), &set_a - &set_b);
            prop_assert!(left.ranges().windows(2).all(|pair| pair[0].end < pair[1].start));
            let clipped = a.within(&(from..from + 10));
            prop_assert_eq!(set(&clipped), set_a.range(from..from + 10).copied().collect::<BTreeSet<_>>());
            prop_assert_eq!(a.meets(&b), !set_a.is_disjoint(&set_b));
            let coarse = a.coarsened(most);
            prop_assert!(coarse.ranges().len() <= most);
            prop_assert!(set(&coarse).is_superset(&set_a));
        }
    }

    #[test]
    fn all_minutes_stay_all_but_for_what_is_taken_out() {
        let mut all = Minutes::all();
        all.extend(&Minutes::between(0, 1));
        assert_eq!(all, Minutes::all());
        all.remove(&Minutes::between(-1, 1));
        assert_eq!(all.ranges(), [i64::MIN..-1, 1..i64::MAX]);
        assert!(Minutes::all().has(0) && !Minutes::default().has(0));
    }
}
