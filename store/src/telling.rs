//! Spans told more than once: which telling stands.
//!
//! A span may be told while it runs and again when it has ended, by another instance of its agent or on another
//! day; trace and span id make it the same. Of its tellings the one with the highest log position stands. Two of
//! them in the buffer become one there. Once the earlier has left for disk, the later is [`Superseded`]'s to
//! remember, so that readers leave the earlier out, until maintenance has taken it off the disk.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Instant;

use crate::hashed::{HashMap, HashSet};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;

use crate::log::LogPosition;

/// So many spans are remembered in one generation of what was flushed; there are two.
pub(crate) const REMEMBERED: usize = 1 << 20;
/// What one of them takes in memory, about, as long as it is superseded.
const ENTRY_BYTES: u64 = 64;

/// Trace and span.
pub(crate) type SpanId = (u128, u64);

/// The columns that say which telling of which span a row is.
pub(crate) const COLUMNS: [&str; 3] = ["trace_id", "span_id", "log_position"];

/// Spans of which an earlier telling may still be on disk. A row of such a span is not to be read unless it is
/// the newest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Superseded {
    latest: HashMap<SpanId, LogPosition>,
}

impl Superseded {
    /// Whether every row stands.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.latest.is_empty()
    }

    /// How many spans were told again.
    #[must_use]
    pub fn len(&self) -> usize {
        self.latest.len()
    }

    /// Which rows stand, by their `trace_id`, `span_id` and `log_position`.
    #[must_use]
    pub fn standing(
        &self,
        traces: &StringArray,
        spans: &StringArray,
        positions: &Int64Array,
    ) -> BooleanArray {
        let stands = |row| {
            let latest = id(traces, spans, row).and_then(|id| self.latest.get(&id));
            latest.is_none_or(|latest| positions.value(row) >= *latest as i64)
        };
        (0..positions.len()).map(|row| Some(stands(row))).collect()
    }

    /// The rows of a batch that stand. A batch without those columns is left as it is.
    pub(crate) fn filter(
        &self,
        batch: &RecordBatch,
    ) -> std::result::Result<RecordBatch, ArrowError> {
        match columns(batch) {
            Some((traces, spans, positions)) if !self.is_empty() => {
                filter_record_batch(batch, &self.standing(traces, spans, positions))
            }
            _ => Ok(batch.clone()),
        }
    }

    /// Whether a batch has a row that does not stand.
    pub(crate) fn hides_any(&self, batch: &RecordBatch) -> bool {
        columns(batch).is_some_and(|(traces, spans, positions)| {
            self.standing(traces, spans, positions).has_false()
        })
    }

    /// The span was told at this position.
    pub(crate) fn learn(&mut self, id: SpanId, position: LogPosition) {
        let latest = self.latest.entry(id).or_insert(position);
        *latest = position.max(*latest);
    }

    /// Spans that stand in a sorted list with more than one position.
    pub(crate) fn twice(sorted: &[(SpanId, LogPosition)]) -> Self {
        let mut found = Self::default();
        for pair in sorted.windows(2) {
            if let [(id, earlier), (again, later)] = pair
                && id == again
                && earlier != later
            {
                found.learn(*id, *later);
            }
        }
        found
    }

    pub(crate) fn has(&self, id: &SpanId) -> bool {
        self.latest.contains_key(id)
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (id, position) in &other.latest {
            self.learn(*id, *position);
        }
    }

    /// Trace and span of each, as they stand in the tables.
    pub(crate) fn spans(&self) -> Vec<(String, String)> {
        let text = |(trace, span): &SpanId| (format!("{trace:032x}"), format!("{span:016x}"));
        self.latest.keys().map(text).collect()
    }

    /// From this position on every row stands.
    pub(crate) fn ends(&self) -> LogPosition {
        self.latest.values().copied().max().unwrap_or(0)
    }
}

/// What a table's buffer knows of spans whose first telling has left it.
#[derive(Debug, Default)]
pub(crate) struct Retold {
    superseded: Arc<Superseded>,
    since: Option<Instant>,
    flushed: Flushed,
}

impl Retold {
    /// A span comes that the buffer does not hold. Whether it was flushed before.
    pub(crate) fn told(&mut self, id: SpanId, position: LogPosition) {
        if self.flushed.has(id) || self.superseded.has(&id) {
            self.supersede(id, position);
        }
    }

    /// An earlier telling of this span is on disk, or on its way.
    pub(crate) fn supersede(&mut self, id: SpanId, position: LogPosition) {
        self.since.get_or_insert_with(Instant::now);
        Arc::make_mut(&mut self.superseded).learn(id, position);
    }

    /// The same of many.
    pub(crate) fn supersede_all(&mut self, found: &Superseded) {
        if !found.is_empty() {
            self.since.get_or_insert_with(Instant::now);
            Arc::make_mut(&mut self.superseded).merge(found);
        }
    }

    /// These rows are on disk now.
    pub(crate) fn flushed(&mut self, ids: impl Iterator<Item = SpanId>) {
        ids.for_each(|id| self.flushed.learn(id));
    }

    /// These rows were found on disk at the start, each span in as many tellings as there are.
    pub(crate) fn recall(&mut self, mut found: Vec<(SpanId, LogPosition)>) {
        found.sort_unstable();
        self.supersede_all(&Superseded::twice(&found));
        found.sort_unstable_by_key(|(_, position)| *position);
        self.flushed(found.into_iter().map(|(id, _)| id));
    }

    /// Of these spans nothing but the telling that stands is on disk. One that was told once more since stays.
    pub(crate) fn mended(&mut self, spans: &Superseded) {
        let superseded = Arc::make_mut(&mut self.superseded);
        for (id, position) in &spans.latest {
            if superseded.latest.get(id) == Some(position) {
                superseded.latest.remove(id);
            }
        }
        if superseded.is_empty() {
            *superseded = Superseded::default();
            self.since = None;
        } else {
            self.since = Some(Instant::now());
        }
    }

    pub(crate) fn superseded(&self) -> &Arc<Superseded> {
        &self.superseded
    }

    /// Since when the oldest of them waits to be mended.
    pub(crate) fn since(&self) -> Option<Instant> {
        self.since
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.superseded.len() as u64 * ENTRY_BYTES
    }
}

/// Spans that were flushed lately, as hashes. One that is taken for another is merely looked at for nothing.
#[derive(Debug, Default)]
struct Flushed {
    hasher: RandomState,
    generations: [HashSet<u64>; 2],
}

impl Flushed {
    fn has(&self, id: SpanId) -> bool {
        let hash = self.hasher.hash_one(id);
        let mut generations = self.generations.iter();
        generations.any(|hashes| hashes.contains(&hash))
    }

    fn learn(&mut self, id: SpanId) {
        let hash = self.hasher.hash_one(id);
        let [older, newer] = &mut self.generations;
        if newer.len() >= REMEMBERED {
            *older = std::mem::take(newer);
        }
        newer.insert(hash);
    }
}

/// The three columns of a batch.
pub(crate) fn columns(batch: &RecordBatch) -> Option<(&StringArray, &StringArray, &Int64Array)> {
    let [trace, span, position] = COLUMNS;
    let text = |name| {
        batch
            .column_by_name(name)
            .and_then(ArrayRef::as_string_opt::<i32>)
    };
    let positions = batch.column_by_name(position)?;
    Some((
        text(trace)?,
        text(span)?,
        positions.as_primitive_opt::<Int64Type>()?,
    ))
}

/// Trace and span of each row; None for ids that are not hex of the proper length.
pub(crate) fn ids(batch: &RecordBatch) -> Vec<Option<SpanId>> {
    match columns(batch) {
        Some((traces, spans, _)) => (0..batch.num_rows())
            .map(|row| id(traces, spans, row))
            .collect(),
        None => vec![None; batch.num_rows()],
    }
}

/// Span and log position of each row that has both.
pub(crate) fn told(batch: &RecordBatch) -> Vec<(SpanId, LogPosition)> {
    let Some((traces, spans, positions)) = columns(batch) else {
        return Vec::new();
    };
    let told = |row| {
        Some((
            id(traces, spans, row)?,
            positions.value(row).max(0) as LogPosition,
        ))
    };
    (0..batch.num_rows()).filter_map(told).collect()
}

fn id(traces: &StringArray, spans: &StringArray, row: usize) -> Option<SpanId> {
    let (trace, span) = (traces.value(row), spans.value(row));
    let proper =
        traces.is_valid(row) && spans.is_valid(row) && trace.len() == 32 && span.len() == 16;
    if !proper {
        return None;
    }
    Some((
        u128::from_str_radix(trace, 16).ok()?,
        u64::from_str_radix(span, 16).ok()?,
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_a_span_that_was_flushed_is_superseded() {
        let mut retold = Retold::default();
        retold.flushed([(1, 1), (1, 2)].into_iter());
        retold.told((1, 3), 8);
        assert!(retold.superseded().is_empty() && retold.since().is_none());
        retold.told((1, 2), 9);
        retold.told((1, 2), 12);
        assert_eq!(
            retold.superseded().latest,
            HashMap::from_iter([((1, 2), 12)])
        );
        assert!(retold.since().is_some() && retold.bytes() > 0);
    }

    #[test]
    fn what_was_told_once_more_meanwhile_is_not_mended() {
        let mut retold = Retold::default();
        retold.supersede((1, 1), 5);
        retold.supersede((1, 2), 5);
        let seen = Arc::clone(retold.superseded());
        retold.supersede((1, 1), 6);
        retold.mended(&seen);
        assert_eq!(
            retold.superseded().latest,
            HashMap::from_iter([((1, 1), 6)])
        );
        let seen = Arc::clone(retold.superseded());
        retold.mended(&seen);
        assert!(retold.superseded().is_empty() && retold.since().is_none());
        assert_eq!(retold.bytes(), 0);
    }

    #[test]
    fn what_stands_twice_on_disk_is_found_at_the_start() {
        let mut retold = Retold::default();
        retold.recall(vec![((1, 1), 9), ((1, 2), 4), ((1, 1), 3), ((1, 1), 6)]);
        assert_eq!(
            retold.superseded().latest,
            HashMap::from_iter([((1, 1), 9)])
        );
        retold.told((1, 2), 12);
        assert_eq!(retold.superseded().len(), 2);
    }

    #[test]
    fn two_generations_are_remembered_and_no_more() {
        let mut flushed = Flushed::default();
        let last = 3 * REMEMBERED as u64;
        for n in 0..=last {
            flushed.learn((0, n));
        }
        assert!(!flushed.has((0, 0)) && !flushed.has((0, REMEMBERED as u64)));
        assert!(flushed.has((0, 2 * REMEMBERED as u64)) && flushed.has((0, last)));
        let held: usize = flushed.generations.iter().map(HashSet::len).sum();
        assert_eq!(held, REMEMBERED + 1);
    }
}
