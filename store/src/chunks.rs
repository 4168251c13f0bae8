//! Many small batches, kept as few larger ones.
//!
//! Requests bring a few rows each, and a batch of seventy columns costs kilobytes however few its rows.
//! So batches are merged as they come, sixteen of one level into one of the next: every row is copied a
//! bounded number of times, and a reader finds few batches.

use std::collections::VecDeque;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::error::ArrowError;

use crate::bounds::Bounds;
use crate::log::LogPosition;

/// So many neighbours of one level become one of the next.
const FAN_IN: usize = 16;
/// Batches of so many rows, or bytes, are large enough and never merged again.
const ROWS_ENOUGH: usize = 8_192;
const BYTES_ENOUGH: u64 = 4 << 20;
/// The level of what is large enough.
const TOP: u8 = u8::MAX;

/// Neighbouring rows in one batch.
#[derive(Debug, Clone)]
pub(crate) struct Chunk {
    /// Log positions of its first and last row.
    pub(crate) first: LogPosition,
    pub(crate) last: LogPosition,
    pub(crate) batch: RecordBatch,
    pub(crate) bytes: u64,
    bounds: Bounds,
    level: u8,
}

impl Chunk {
    fn new(
        first: LogPosition,
        last: LogPosition,
        batch: RecordBatch,
        bounds: Bounds,
        level: u8,
    ) -> Self {
        let bytes = batch.get_array_memory_size() as u64;
        let enough = batch.num_rows() >= ROWS_ENOUGH || bytes >= BYTES_ENOUGH;
        Self {
            first,
            last,
            batch,
            bytes,
            bounds,
            level: if enough { TOP } else { level },
        }
    }
}

/// A list of batches in order, of which the first `fixed` are being flushed and stay as they are.
#[derive(Debug)]
pub(crate) struct Chunks {
    /// Columns whose smallest and largest values are kept.
    bounded: &'static [&'static str],
    list: VecDeque<Chunk>,
    fixed: usize,
    bytes: u64,
    rows: usize,
}

impl Chunks {
    /// None yet; of these columns the bounds will be known.
    pub(crate) fn new(bounded: &'static [&'static str]) -> Self {
        Self {
            bounded,
            list: VecDeque::new(),
            fixed: 0,
            bytes: 0,
            rows: 0,
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Chunk> {
        self.list.iter()
    }

    pub(crate) fn batches(&self) -> Vec<RecordBatch> {
        self.list.iter().map(|chunk| chunk.batch.clone()).collect()
    }

    /// What is known of each batch.
    pub(crate) fn bounds(&self) -> Vec<Bounds> {
        self.list.iter().map(|chunk| chunk.bounds.clone()).collect()
    }

    /// Adds rows at the end. Never fails: what can't be merged stays as it is.
    pub(crate) fn push(&mut self, first: LogPosition, last: LogPosition, batch: RecordBatch) {
        if batch.num_rows() == 0 {
            return;
        }
        let bounds = Bounds::of(&batch, self.bounded);
        self.add(Chunk::new(first, last, batch, bounds, 0));
        while let Ok(Some(merged)) = self.merge_tail() {
            self.add(merged);
        }
    }

    /// Takes the last chunks off as one, when there are enough of one level.
    fn merge_tail(&mut self) -> Result<Option<Chunk>, ArrowError> {
        let free = self.list.len() - self.fixed;
        let Some(level) = self.list.back().map(|chunk| chunk.level) else {
            return Ok(None);
        };
        let alike = self
            .list
            .iter()
            .rev()
            .take(free.min(FAN_IN))
            .take_while(|chunk| chunk.level == level)
            .count();
        let start = self.list.len() - alike;
        if alike < FAN_IN || level == TOP {
            return Ok(None);
        }
        let batches: Vec<_> = self
            .list
            .range(start..)
            .map(|chunk| chunk.batch.clone())
            .collect();
        let (Some(first), Some(last)) = (self.list.get(start), self.list.back()) else {
            return Ok(None);
        };
        let merged = concat_batches(&first.batch.schema(), &batches)?;
        let bounds = Bounds::together(self.list.range(start..).map(|chunk| &chunk.bounds));
        let merged = Chunk::new(first.first, last.last, merged, bounds, level + 1);
        for _ in 0..alike {
            self.drop_back();
        }
        Ok(Some(merged))
    }

    /// Marks all chunks up to a position as being flushed.
    pub(crate) fn fix(&mut self, to: LogPosition) -> Vec<RecordBatch> {
        self.fixed = self
            .list
            .iter()
            .take_while(|chunk| chunk.last <= to)
            .count();
        self.list
            .iter()
            .take(self.fixed)
            .map(|chunk| chunk.batch.clone())
            .collect()
    }

    /// Marks everything as being flushed.
    pub(crate) fn fix_all(&mut self) -> Vec<RecordBatch> {
        self.fixed = self.list.len();
        self.batches()
    }

    /// What is being flushed.
    pub(crate) fn fixed(&self) -> Vec<RecordBatch> {
        let fixed = self.list.iter().take(self.fixed);
        fixed.map(|chunk| chunk.batch.clone()).collect()
    }

    /// The flush failed: what was fixed is as good as new.
    pub(crate) fn loosen(&mut self) {
        self.fixed = 0;
    }

    /// Puts these rows in the place of everything that was fixed. Never fails: what can't be merged stays as it is.
    pub(crate) fn replace_fixed(&mut self, rest: Vec<RecordBatch>) {
        for _ in 0..std::mem::take(&mut self.fixed) {
            if let Some(chunk) = self.list.pop_front() {
                self.bytes -= chunk.bytes;
                self.rows -= chunk.batch.num_rows();
            }
        }
        for batch in in_few(rest).into_iter().rev() {
            let bounds = Bounds::of(&batch, self.bounded);
            let chunk = Chunk::new(0, 0, batch, bounds, TOP);
            self.bytes += chunk.bytes;
            self.rows += chunk.batch.num_rows();
            self.list.push_front(chunk);
        }
    }

    /// Rewrites the loose chunk that holds a position; what is being flushed stays as it is.
    pub(crate) fn rewrite(
        &mut self,
        position: LogPosition,
        keep: impl FnOnce(&RecordBatch) -> Result<RecordBatch, ArrowError>,
    ) -> Result<(), ArrowError> {
        let at = self.list.partition_point(|chunk| chunk.last < position);
        if at < self.fixed {
            return Ok(());
        }
        let Some(chunk) = self
            .list
            .get_mut(at)
            .filter(|chunk| chunk.first <= position)
        else {
            return Ok(());
        };
        let batch = keep(&chunk.batch)?;
        let bounds = Bounds::of(&batch, self.bounded);
        let kept = Chunk::new(chunk.first, chunk.last, batch, bounds, chunk.level);
        self.bytes = self.bytes - chunk.bytes + kept.bytes;
        self.rows = self.rows - chunk.batch.num_rows() + kept.batch.num_rows();
        *chunk = kept;
        Ok(())
    }

    /// Whether the chunk that holds a position is being flushed.
    pub(crate) fn is_fixed(&self, position: LogPosition) -> bool {
        self.list.partition_point(|chunk| chunk.last < position) < self.fixed
    }

    /// Rewrites all loose chunks.
    pub(crate) fn filter(
        &mut self,
        keep: impl Fn(&RecordBatch) -> Result<RecordBatch, ArrowError>,
    ) -> Result<(), ArrowError> {
        let (loose, bounded) = (self.list.split_off(self.fixed), self.bounded);
        self.bytes = self.list.iter().map(|chunk| chunk.bytes).sum();
        self.rows = self.list.iter().map(|chunk| chunk.batch.num_rows()).sum();
        let mut outcome = Ok(());
        for chunk in loose {
            let kept = match keep(&chunk.batch) {
                Ok(kept) if kept.num_rows() == chunk.batch.num_rows() => chunk,
                Ok(kept) => {
                    let bounds = Bounds::of(&kept, bounded);
                    Chunk::new(chunk.first, chunk.last, kept, bounds, chunk.level)
                }
                Err(error) => {
                    outcome = Err(error);
                    chunk
                }
            };
            if kept.batch.num_rows() > 0 {
                self.add(kept);
            }
        }
        outcome
    }

    fn add(&mut self, chunk: Chunk) {
        self.bytes += chunk.bytes;
        self.rows += chunk.batch.num_rows();
        self.list.push_back(chunk);
    }

    fn drop_back(&mut self) {
        if let Some(chunk) = self.list.pop_back() {
            self.bytes -= chunk.bytes;
            self.rows -= chunk.batch.num_rows();
        }
    }
}

/// The same rows in batches that are large enough, but for the last.
fn in_few(batches: Vec<RecordBatch>) -> Vec<RecordBatch> {
    let (mut few, mut small, mut rows) = (Vec::new(), Vec::new(), 0);
    let mut merge = |small: &mut Vec<RecordBatch>| match small.as_slice() {
        [] => {}
        [first, ..] => match concat_batches(&first.schema(), small.iter()) {
            Ok(merged) => {
                few.push(merged);
                small.clear();
            }
            Err(_) => few.append(small),
        },
    };
    for batch in batches {
        rows += batch.num_rows();
        small.push(batch);
        if rows >= ROWS_ENOUGH {
            merge(&mut small);
            rows = 0;
        }
    }
    merge(&mut small);
    few
}
