//! How much memory collected batches hold.

use std::collections::HashSet;
use std::num::NonZeroUsize;

use arrow::array::{Array, ArrayData, RecordBatch};
use arrow::buffer::Buffer;

/// Counts what batches hold, each allocation once: batches cut from one larger batch, and values shared
/// between rows, hold the same memory, however often they are met.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// Their addresses: none is freed while its batch is held.
    met: HashSet<NonZeroUsize>,
    bytes: usize,
}

impl Held {
    /// The bytes held so far, with this batch.
    pub(crate) fn with(&mut self, batch: &RecordBatch) -> usize {
        for column in batch.columns() {
            // The array itself, which is what many small or empty batches amount to.
            self.bytes += size_of::<ArrayData>();
            self.array(&column.to_data());
        }
        self.bytes
    }

    fn array(&mut self, data: &ArrayData) {
        for buffer in data.buffers() {
            self.buffer(buffer);
        }
        if let Some(nulls) = data.nulls() {
            self.buffer(nulls.buffer());
        }
        for child in data.child_data() {
            self.array(child);
        }
    }

    fn buffer(&mut self, buffer: &Buffer) {
        if self.met.insert(buffer.data_ptr().addr()) {
            self.bytes = self.bytes.saturating_add(buffer.capacity());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};

    use super::*;

    fn batch(rows: i64) -> RecordBatch {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
        RecordBatch::try_from_iter([("n", column)]).unwrap()
    }

    #[test]
    fn slices_of_one_batch_hold_it_once() {
        let whole = batch(100_000);
        let mut held = Held::default();
        for at in 0..100 {
            let bytes = held.with(&whole.slice(at * 1000, 1000));
            assert!((800_000..900_000).contains(&bytes), "{at}: {bytes}");
        }
    }

    #[test]
    fn batches_of_their_own_add_up() {
        let batches: Vec<RecordBatch> = (0..10).map(|_| batch(1000)).collect();
        let mut held = Held::default();
        let bytes = batches.iter().fold(0, |_, batch| held.with(batch));
        assert!((80_000..90_000).contains(&bytes), "{bytes}");
    }
}
