//! Sorted files in, one sorted stream out, a few rows of each in memory at a time.

use std::cmp::Ordering;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::interleave_record_batch;
use arrow::row::{RowConverter, Rows, SortField};
use futures::TryStreamExt;
use futures::stream::BoxStream;

use crate::error::Result;
use crate::table::Table;

/// Batches of one file.
pub(super) type Batches = BoxStream<'static, Result<RecordBatch>>;

/// Merges inputs that are each in the table's order. Of equal rows those of the earlier input come first.
pub(super) struct Merge {
    converter: RowConverter,
    columns: &'static [&'static str],
    inputs: Vec<Input>,
    /// Inputs that have rows left, as a heap: the one with the smallest row is first.
    heap: Vec<usize>,
    /// Batches that rows of the next output are taken from.
    held: Vec<RecordBatch>,
}

/// Rows that are handed out in one go have about so many bytes at most.
const BYTES_OUT: usize = 32 << 20;

struct Input {
    batches: Batches,
    /// Bytes of a row of its batch, about.
    row_bytes: usize,
    keys: Rows,
    /// The row that comes next.
    at: usize,
    /// Where its batch is held.
    held: usize,
}

impl Merge {
    pub(super) async fn begin(table: Table, inputs: Vec<Batches>) -> Result<Self> {
        let schema = table.schema();
        let columns = table.sort_columns();
        let fields = columns.iter().filter_map(|name| {
            let field = schema.field_with_name(name).ok()?;
            Some(SortField::new(field.data_type().clone()))
        });
        let converter = RowConverter::new(fields.collect())?;
        let mut merge = Self {
            converter,
            columns,
            inputs: Vec::with_capacity(inputs.len()),
            heap: Vec::with_capacity(inputs.len()),
            held: Vec::new(),
        };
        for batches in inputs {
            let keys = merge.converter.empty_rows(0, 0);
            merge.inputs.push(Input {
                batches,
                row_bytes: 0,
                keys,
                at: 0,
                held: 0,
            });
            let input = merge.inputs.len() - 1;
            if merge.refill(input).await? {
                merge.heap.push(input);
                merge.rise(merge.heap.len() - 1);
            }
        }
        Ok(merge)
    }

    /// The next rows, so many at most, fewer if they are large; None after the last.
    pub(super) async fn next(&mut self, rows: usize) -> Result<Option<RecordBatch>> {
        let mut taken: Vec<(usize, usize)> = Vec::with_capacity(rows);
        let mut bytes = 0;
        while taken.len() < rows
            && bytes < BYTES_OUT
            && let Some(first) = self.heap.first().copied()
        {
            let input = &mut self.inputs[first];
            taken.push((input.held, input.at));
            bytes += input.row_bytes;
            input.at += 1;
            if input.at == input.keys.num_rows() && !self.refill(first).await? {
                self.heap.swap_remove(0);
            }
            self.sink();
        }
        if taken.is_empty() {
            return Ok(None);
        }
        let held: Vec<&RecordBatch> = self.held.iter().collect();
        let merged = interleave_record_batch(&held, &taken)?;
        self.let_go();
        Ok(Some(merged))
    }

    /// Gets the next rows of an input that has none left; false at its end.
    async fn refill(&mut self, input: usize) -> Result<bool> {
        while let Some(batch) = self.inputs[input].batches.try_next().await? {
            if batch.num_rows() == 0 {
                continue;
            }
            let columns: Vec<ArrayRef> = self
                .columns
                .iter()
                .filter_map(|name| batch.column_by_name(name).cloned())
                .collect();
            let keys = self.converter.convert_columns(&columns)?;
            let row_bytes = batch.get_array_memory_size() / batch.num_rows();
            self.held.push(batch);
            let input = &mut self.inputs[input];
            input.row_bytes = row_bytes;
            (input.keys, input.at, input.held) = (keys, 0, self.held.len() - 1);
            return Ok(true);
        }
        Ok(false)
    }

    /// Lets go of batches of which all rows are out.
    fn let_go(&mut self) {
        let mut kept = Vec::with_capacity(self.heap.len());
        for input in &self.heap {
            let input = &mut self.inputs[*input];
            kept.push(self.held[input.held].clone());
            input.held = kept.len() - 1;
        }
        self.held = kept;
    }

    fn before(&self, one: usize, other: usize) -> bool {
        let (a, b) = (&self.inputs[one], &self.inputs[other]);
        match a.keys.row(a.at).cmp(&b.keys.row(b.at)) {
            Ordering::Less => true,
            Ordering::Equal => one < other,
            Ordering::Greater => false,
        }
    }

    fn rise(&mut self, mut at: usize) {
        while at > 0 && self.before(self.heap[at], self.heap[(at - 1) / 2]) {
            self.heap.swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
    }

    /// Brings the first of the heap to where it belongs.
    fn sink(&mut self) {
        let mut at = 0;
        loop {
            let children = [2 * at + 1, 2 * at + 2];
            let smallest = children
                .into_iter()
                .filter(|child| *child < self.heap.len())
                .fold(at, |smallest, child| {
                    if self.before(self.heap[child], self.heap[smallest]) {
                        child
                    } else {
                        smallest
                    }
                });
            if smallest == at {
                return;
            }
            self.heap.swap(at, smallest);
            at = smallest;
        }
    }
}

/// Makes a stream out of batches that are there already.
#[cfg(test)]
pub(super) fn ready(batches: Vec<RecordBatch>) -> Batches {
    use futures::StreamExt;
    futures::stream::iter(batches.into_iter().map(Ok)).boxed()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::rows::{Micros, Row, SpanRow};

    fn row(agent: Option<&str>, at: i64) -> SpanRow {
        SpanRow {
            agent_name: agent.map(str::to_owned),
            start_time: Micros(at),
            ..SpanRow::default()
        }
    }

    /// Inputs of random rows, in random batches, against sorting it all.
    #[tokio::test]
    async fn merging_is_sorting() {
        let mut dice = 7_u64;
        let mut roll = move |sides: u64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (dice >> 33) % sides
        };
        for inputs in [0, 1, 2, 9, 40] {
            let (mut all, mut streams) = (Vec::new(), Vec::new());
            for _ in 0..inputs {
                let agents = [None, Some("a"), Some("ab"), Some("b")];
                let mut rows: Vec<_> = (0..roll(60))
                    .map(|_| row(agents[roll(4) as usize], roll(20) as i64 - 10))
                    .collect();
                rows.sort_by_key(|row| (row.agent_name.clone(), row.start_time));
                let batches = rows.chunks(1 + roll(9) as usize);
                let batches = batches.map(|rows| SpanRow::batch(rows).unwrap());
                streams.push(ready(batches.collect()));
                all.extend(rows);
            }
            all.sort_by_key(|row| (row.agent_name.clone(), row.start_time));
            let mut merge = Merge::begin(Table::Spans, streams).await.unwrap();
            let mut found = Vec::new();
            while let Some(batch) = merge.next(7).await.unwrap() {
                assert!(batch.num_rows() <= 7 && merge.held.len() <= inputs);
                found.extend(SpanRow::read(&batch).unwrap());
            }
            assert_eq!(found, all, "{inputs} inputs");
        }
    }
}
