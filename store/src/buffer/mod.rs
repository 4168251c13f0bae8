//! The hot buffer of one table: acknowledged rows that no Delta version holds yet.
//!
//! A span told twice (same trace and span id, first pending, then final) stands here once, in its later
//! telling, as long as neither is on its way to disk. When the first is, or is there already, the span is
//! [`Retold`]: readers leave the first out.

use crate::hashed::{HashMap, HashSet};
use arrow::array::{AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use tokio::time::Instant;

use crate::bounds::Bounds;
use crate::chunks::Chunks;
use crate::log::LogPosition;
use crate::table::Table;
use crate::telling::{self, Retold, SpanId};

#[cfg(test)]
mod tests;

/// A flush takes at most so many bytes at once, so that what is written leaves memory while more comes in.
const FLUSH_BYTES_MAX: u64 = 64 << 20;

/// Rows of one table past its committed version.
#[derive(Debug)]
pub(crate) struct Buffer {
    table: Table,
    chunks: Chunks,
    /// Where the newest telling of each span stands.
    told: HashMap<SpanId, LogPosition>,
    /// Spans of which an earlier telling is beyond our reach.
    retold: Retold,
    since: Option<Instant>,
}

/// What a flush takes.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) batches: Vec<RecordBatch>,
    /// Every row of the table up to this log position is among them or on disk.
    pub(crate) to: LogPosition,
}

impl Buffer {
    pub(crate) fn new(table: Table) -> Self {
        Self {
            table,
            chunks: Chunks::new(table.stat_columns()),
            told: HashMap::default(),
            retold: Retold::default(),
            since: None,
        }
    }

    /// Adds the rows of the request at a position; positions only grow.
    pub(crate) fn push(&mut self, position: LogPosition, batch: RecordBatch) {
        let batch = if self.table.is_told_by_span() {
            self.keep_latest(position, batch)
        } else {
            batch
        };
        if batch.num_rows() > 0 {
            self.since.get_or_insert_with(Instant::now);
        }
        self.chunks.push(position, position, batch);
    }

    /// Drops the earlier tellings of the spans in this batch, from the batch itself and from the buffer. Of two
    /// in one request the fuller stands, else the last.
    fn keep_latest(&mut self, position: LogPosition, batch: RecordBatch) -> RecordBatch {
        let ids = telling::ids(&batch);
        let sizes = batch
            .column_by_name("bytes")
            .and_then(|column| column.as_primitive_opt::<Int64Type>());
        let size = |row| sizes.map_or(0, |sizes: &Int64Array| sizes.value(row));
        let mut best: HashMap<SpanId, usize> =
            HashMap::with_capacity_and_hasher(ids.len(), Default::default());
        let mut keep = vec![true; ids.len()];
        for (row, id) in ids.iter().enumerate() {
            let Some(id) = *id else { continue };
            let kept = best.entry(id).or_insert(row);
            if *kept != row {
                let lesser = if size(row) >= size(*kept) {
                    std::mem::replace(kept, row)
                } else {
                    row
                };
                keep[lesser] = false;
            }
        }
        let mut replaced: HashMap<LogPosition, HashSet<SpanId>> = HashMap::default();
        for id in best.into_keys() {
            self.retold.told(id, position);
            let Some(earlier) = self.told.insert(id, position) else {
                continue;
            };
            if self.chunks.is_fixed(earlier) {
                self.retold.supersede(id, position);
            } else {
                replaced.entry(earlier).or_default().insert(id);
            }
        }
        for (earlier, ids) in replaced {
            // Should it fail, a span stands twice, which compaction mends: better than not at all.
            if let Err(error) = self
                .chunks
                .rewrite(earlier, |batch| without(batch, earlier, &ids))
            {
                tracing::error!(%error, "an earlier telling of a span could not be taken out of the buffer");
            }
        }
        if keep.iter().all(|keep| *keep) {
            return batch;
        }
        filter_record_batch(&batch, &BooleanArray::from(keep)).unwrap_or(batch)
    }

    /// What there is to flush, given that everything up to `visible` has been pushed. It stays visible
    /// until [`Buffer::committed`]. None when there is nothing.
    pub(crate) fn take(&mut self, visible: LogPosition) -> Option<Taken> {
        if self.chunks.is_empty() {
            return None;
        }
        let (mut bytes, mut to) = (0, visible);
        for chunk in self.chunks.iter() {
            if bytes > 0 && bytes + chunk.bytes > FLUSH_BYTES_MAX {
                to = chunk.first - 1;
                break;
            }
            bytes += chunk.bytes;
        }
        Some(Taken {
            batches: self.chunks.fix(to),
            to,
        })
    }

    /// What was taken last and is neither written nor given back.
    pub(crate) fn taken(&self) -> Vec<RecordBatch> {
        self.chunks.fixed()
    }

    /// What was taken could not be written. Spans in it that were told again meanwhile lose that telling.
    pub(crate) fn give_back(&mut self) {
        self.chunks.loosen();
        let superseded = self.retold.superseded();
        if let Err(error) = self.chunks.filter(|batch| superseded.filter(batch)) {
            tracing::error!(%error, "earlier tellings of spans could not be taken out of the buffer");
        }
    }

    /// What was taken up to this position is in the table now.
    pub(crate) fn committed(&mut self, to: LogPosition) {
        self.chunks.replace_fixed(Vec::new());
        let gone = self.told.extract_if(|_, position| *position <= to);
        self.retold.flushed(gone.map(|(id, _)| id));
        if self.chunks.is_empty() {
            self.told = HashMap::default();
            self.since = None;
        } else {
            self.since = Some(Instant::now());
        }
    }

    /// Position of its oldest row; None when it is empty.
    pub(crate) fn oldest(&self) -> Option<LogPosition> {
        self.chunks.iter().next().map(|chunk| chunk.first)
    }

    /// Since when its oldest row waits.
    pub(crate) fn since(&self) -> Option<Instant> {
        self.since
    }

    /// Bytes in memory, with what is remembered of spans that were told again.
    pub(crate) fn bytes(&self) -> u64 {
        self.chunks.bytes() + self.retold.bytes()
    }

    pub(crate) fn retold(&self) -> &Retold {
        &self.retold
    }

    pub(crate) fn retold_mut(&mut self) -> &mut Retold {
        &mut self.retold
    }

    pub(crate) fn rows(&self) -> usize {
        self.chunks.rows()
    }

    pub(crate) fn batches(&self) -> Vec<RecordBatch> {
        self.chunks.batches()
    }

    /// What is known of each of them.
    pub(crate) fn bounds(&self) -> Vec<Bounds> {
        self.chunks.bounds()
    }
}

/// The batch without these spans, as far as they were told at this position.
fn without(
    batch: &RecordBatch,
    position: LogPosition,
    ids: &HashSet<SpanId>,
) -> Result<RecordBatch, ArrowError> {
    let positions = batch
        .column_by_name("log_position")
        .and_then(|column| column.as_primitive_opt::<Int64Type>());
    let keep: BooleanArray = telling::ids(batch)
        .into_iter()
        .enumerate()
        .map(|(row, id)| {
            let here = positions.is_none_or(|positions| positions.value(row) as u64 == position);
            Some(!(here && id.is_some_and(|id| ids.contains(&id))))
        })
        .collect();
    filter_record_batch(batch, &keep)
}
