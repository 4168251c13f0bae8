//! The resolver's charges before they are flushed.
//!
//! They are derived from spans, so the log does not carry them: after a restart they are entered anew.
//! Rows of open traces are visible but stay here; once their trace has settled they may be flushed, and
//! a charge and its reversal that meet before that never reach disk.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;
use arrow::error::ArrowError;
use tokio::time::Instant;

use crate::bounds::Bounds;
use crate::chunks::Chunks;
use crate::log::LogPosition;
use crate::rollup::Minutes;
use crate::rows::{ChargeRow, Entry, Row};
use crate::table::Table;

#[cfg(test)]
mod tests;

/// What the resolver says in one go; visible atomically.
#[derive(Debug, Default)]
pub struct JournalUpdate {
    /// New entries (charges, reversals, duplicates), grouped by their `trace_id`: rows of
    /// [`ChargeRow`](crate::rows::ChargeRow)'s schema.
    pub post: Vec<RecordBatch>,
    /// Traces that have settled: their entries may be flushed (entry and reversal that meet in the buffer
    /// cancel out). A trace that gets entries after it settled has to be named again.
    pub settled: Vec<String>,
    /// Every span up to this log position belongs to a trace that has settled.
    pub resolved_to: LogPosition,
}

impl JournalUpdate {
    /// These entries, grouped by their `trace_id`, and nothing that has settled.
    ///
    /// # Errors
    /// When an amount does not fit `DECIMAL(18,12)`.
    pub fn of(rows: &[ChargeRow]) -> Result<Self, ArrowError> {
        Ok(Self {
            post: vec![ChargeRow::batch(rows)?],
            ..Self::default()
        })
    }
}

/// Charges past the committed version.
#[derive(Debug)]
pub(crate) struct Journal {
    chunks: Chunks,
    settled: HashSet<String>,
    /// Of these, the ones whose rows are being flushed.
    taken: Arc<HashSet<String>>,
    resolved_to: LogPosition,
    since: Option<Instant>,
    /// The minutes in which rows start that a flush has taken up (and maybe further ones)...
    fixed: Minutes,
    /// ...and those of the others.
    loose: Minutes,
}

/// What a flush takes.
#[derive(Debug)]
pub(crate) struct TakenCharges {
    batches: Vec<RecordBatch>,
    settled: Arc<HashSet<String>>,
    /// Once these are on disk, every span up to here has its charges on disk.
    pub(crate) resolved_to: LogPosition,
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            chunks: Chunks::new(Table::Charges.stat_columns()),
            settled: HashSet::new(),
            taken: Arc::default(),
            resolved_to: 0,
            since: None,
            fixed: Minutes::default(),
            loose: Minutes::default(),
        }
    }
}

impl Journal {
    /// Enters rows and what has settled.
    pub(crate) fn enter(
        &mut self,
        rows: Vec<RecordBatch>,
        settled: Vec<String>,
        resolved_to: LogPosition,
    ) {
        self.loose.extend(&Minutes::of_starts(&rows));
        for rows in rows {
            self.chunks.push(0, 0, rows);
        }
        if !settled.is_empty() && !self.chunks.is_empty() {
            self.since.get_or_insert_with(Instant::now);
            self.settled.extend(settled);
        }
        self.resolved_to = self.resolved_to.max(resolved_to);
    }

    /// What had been resolved before we started.
    pub(crate) fn resume_at(&mut self, resolved_to: LogPosition) {
        self.resolved_to = resolved_to;
    }

    /// The rows to look through for a flush; they stay visible until [`Journal::committed`]. What an earlier
    /// flush took and did not write is among them.
    pub(crate) fn take(&mut self) -> Option<TakenCharges> {
        let mut settled = std::mem::take(&mut self.settled);
        settled.extend(self.taken.iter().cloned());
        self.taken = Arc::default();
        if settled.is_empty() || self.chunks.is_empty() {
            self.since = None;
            return None;
        }
        self.taken = Arc::new(settled);
        self.fixed.extend(&std::mem::take(&mut self.loose));
        Some(TakenCharges {
            batches: self.chunks.fix_all(),
            settled: Arc::clone(&self.taken),
            resolved_to: self.resolved_to,
        })
    }

    /// What was taken last and is neither written nor given back.
    pub(crate) fn taken(&self) -> Option<TakenCharges> {
        let batches = self.chunks.fixed();
        (!batches.is_empty()).then(|| TakenCharges {
            batches,
            settled: Arc::clone(&self.taken),
            resolved_to: self.resolved_to,
        })
    }

    /// What was taken could not be written.
    pub(crate) fn give_back(&mut self) {
        self.chunks.loosen();
    }

    /// What was taken is in the table now, but for the rows of open traces.
    pub(crate) fn committed(&mut self, open: Vec<RecordBatch>) {
        self.fixed = Minutes::of_starts(&open);
        self.chunks.replace_fixed(open);
        self.taken = Arc::default();
        self.since = (!self.settled.is_empty()).then(Instant::now);
    }

    pub(crate) fn since(&self) -> Option<Instant> {
        self.since
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.chunks.bytes()
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

    /// The minutes in which its rows start.
    pub(crate) fn minutes(&self) -> Minutes {
        let mut minutes = self.fixed.clone();
        minutes.extend(&self.loose);
        minutes
    }
}

/// A flush's rows, sorted out.
#[derive(Debug, Default)]
pub(crate) struct Netted {
    /// Rows to write, netted.
    pub(crate) flush: Vec<RecordBatch>,
    /// Rows of traces that are still open.
    pub(crate) open: Vec<RecordBatch>,
}

impl Netted {
    /// The minutes in which the rows to write start.
    pub(crate) fn minutes(&self) -> Minutes {
        Minutes::of_starts(&self.flush)
    }
}

impl TakenCharges {
    /// Parts settled from open rows, and lets charges and their reversals cancel out.
    pub(crate) fn net(self) -> Result<Netted, ArrowError> {
        let mut settled = Vec::with_capacity(self.batches.len());
        for batch in &self.batches {
            let mask: BooleanBuffer = text(batch, "trace_id")?
                .iter()
                .map(|trace| trace.is_some_and(|trace| self.settled.contains(trace)))
                .collect();
            settled.push(mask);
        }
        let standing = standing(&self.batches, &settled)?;
        let mut netted = Netted::default();
        for ((batch, settled), standing) in self.batches.iter().zip(settled).zip(standing) {
            netted.flush.extend(only(batch, standing)?);
            netted.open.extend(only(batch, !&settled)?);
        }
        Ok(netted)
    }
}

/// The rows of a batch that are to stay, if there are any. Where all are, nothing is copied.
fn only(batch: &RecordBatch, stay: BooleanBuffer) -> Result<Option<RecordBatch>, ArrowError> {
    Ok(match stay.count_set_bits() {
        0 => None,
        all if all == batch.num_rows() => Some(batch.clone()),
        _ => Some(filter_record_batch(batch, &BooleanArray::new(stay, None))?),
    })
}

/// Which settled rows are left when each reversal takes one charge of the same id with it. Either may come first:
/// a reversal can stand for a charge that is on disk, and a charge after it enters the call anew.
fn standing(
    batches: &[RecordBatch],
    settled: &[BooleanBuffer],
) -> Result<Vec<BooleanBuffer>, ArrowError> {
    let (charge, reversal) = (Entry::Charge.as_str(), Entry::Reversal.as_str());
    let mut columns = Vec::with_capacity(batches.len());
    let mut reverses = false;
    for batch in batches {
        let (ids, entries) = (text(batch, "charge_id")?, text(batch, "entry")?);
        reverses |= entries.iter().any(|entry| entry == Some(reversal));
        columns.push((ids, entries));
    }
    // Mostly nothing is taken back, and nothing has to be looked up.
    if !reverses {
        return Ok(settled.to_vec());
    }
    let mut keep: Vec<Vec<bool>> = settled.iter().map(|rows| rows.iter().collect()).collect();
    let mut waiting: HashMap<&str, (bool, VecDeque<(usize, usize)>)> = HashMap::new();
    for (at, (ids, entries)) in columns.into_iter().enumerate() {
        for (row, (id, entry)) in ids.iter().zip(entries.iter()).enumerate() {
            let (Some(id), Some(entry)) = (id, entry) else {
                continue;
            };
            if !settled[at].value(row) || entry != charge && entry != reversal {
                continue;
            }
            let is_reversal = entry == reversal;
            let (kind, rows) = waiting.entry(id).or_default();
            if rows.is_empty() || *kind == is_reversal {
                *kind = is_reversal;
                rows.push_back((at, row));
            } else if let Some((other, other_row)) = rows.pop_front() {
                (keep[at][row], keep[other][other_row]) = (false, false);
            }
        }
    }
    Ok(keep.into_iter().map(BooleanBuffer::from).collect())
}

fn text<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a StringArray, ArrowError> {
    batch
        .column_by_name(name)
        .and_then(ArrayRef::as_string_opt::<i32>)
        .ok_or_else(|| ArrowError::SchemaError(format!("charges have no text column {name}")))
}
