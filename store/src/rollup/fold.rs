//! From the journal's rows to the rollup's: no reading, no writing, and the one place that says how each is summed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use rust_decimal::Decimal;

use super::sketch::{Distinct, Quantiles};
use super::{MINUTE_MICROS, Minutes};
use crate::error::Result;
use crate::rows::{ChargeRow, Date, Entry, Kind, Micros, RollupRow, Row, Total};

#[cfg(test)]
mod tests;

/// Columns of the journal that are read.
pub(super) const COLUMNS: [&str; 48] = [
    "start_time",
    "end_time",
    "duration_ns",
    "charge_id",
    "entry",
    "kind",
    "execution_id",
    "task_type",
    "agent_name",
    "agent_role",
    "session_id",
    "user_id",
    "tenant",
    "team",
    "environment",
    "workflow",
    "operation",
    "provider",
    "request_model",
    "response_model",
    "service_tier",
    "tool_name",
    "error_type",
    "calls",
    "decisions",
    "usage",
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "audio_input_tokens",
    "image_input_tokens",
    "output_tokens",
    "reasoning_tokens",
    "audio_output_tokens",
    "image_output_tokens",
    "cost_usd",
    "cost_input_usd",
    "cost_cache_read_usd",
    "cost_cache_write_usd",
    "cost_output_usd",
    "cost_request_usd",
    "client_cost_usd",
    "termination",
    "escalated",
    "value_usd",
    "queue_wait_ms",
    "log_position",
];

type Text = Option<String>;

/// The dimensions that are texts: where each is in the journal and in the rollup.
type Dimension = (fn(&ChargeRow) -> &Text, fn(&mut RollupRow) -> &mut Text);

macro_rules! same_name {
    ($($name:ident),*) => { [ $( (|charge| &charge.$name, |rollup| &mut rollup.$name) ),* ] };
}

const DIMENSIONS: [Dimension; 15] = same_name!(
    agent_name,
    agent_role,
    tenant,
    team,
    environment,
    task_type,
    workflow,
    operation,
    provider,
    request_model,
    response_model,
    service_tier,
    tool_name,
    usage,
    termination
);

/// Whole numbers that are summed as they stand: reversals carry them negated.
type Count = (
    fn(&ChargeRow) -> Option<i64>,
    fn(&mut RollupRow) -> &mut Option<i64>,
);

macro_rules! summed {
    ($($name:ident),*) => { [ $( (|charge| charge.$name, |rollup| &mut rollup.$name) ),* ] };
}

const COUNTS: [Count; 10] = summed!(
    input_tokens,
    cache_read_tokens,
    cache_write_tokens,
    cache_write_1h_tokens,
    audio_input_tokens,
    image_input_tokens,
    output_tokens,
    reasoning_tokens,
    audio_output_tokens,
    image_output_tokens
);

/// Amounts of money, likewise.
type Amount = (
    fn(&ChargeRow) -> Option<Decimal>,
    fn(&mut RollupRow) -> &mut Option<Total>,
);

const AMOUNTS: [Amount; 8] = summed!(
    cost_usd,
    cost_input_usd,
    cost_cache_read_usd,
    cost_cache_write_usd,
    cost_output_usd,
    cost_request_usd,
    client_cost_usd,
    value_usd
);

/// What a reversal repeats with its sign unchanged, so that it counts by `calls`.
type Measured = (
    fn(&ChargeRow) -> Option<i64>,
    fn(&mut RollupRow) -> (&mut i64, &mut Option<i64>),
);

const MEASURED: [Measured; 2] = [
    (
        |row| row.duration_ns,
        |sums| (&mut sums.timed, &mut sums.duration_ns),
    ),
    (
        |row| row.queue_wait_ms,
        |sums| (&mut sums.queued, &mut sums.queue_wait_ms),
    ),
];

/// What tells rows apart.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    minute: i64,
    ended: Option<i64>,
    kind: String,
    texts: [Text; DIMENSIONS.len()],
    priced: bool,
}

impl Key {
    fn of(row: &ChargeRow) -> Self {
        let ended = row
            .end_time
            .filter(|_| row.kind == Kind::Execution.as_str());
        Self {
            minute: Minutes::of(row.start_time.0),
            ended: ended.map(|end| Minutes::of(end.0)),
            kind: row.kind.clone(),
            texts: DIMENSIONS.map(|(of, _)| of(row).clone()),
            priced: row.cost_usd.is_some(),
        }
    }

    /// A rollup row of these dimensions that sums nothing yet.
    fn row(&self) -> RollupRow {
        let begin = |minute: i64| Micros(minute.saturating_mul(MINUTE_MICROS));
        let minute = begin(self.minute);
        let mut row = RollupRow {
            date: Date::of_micros(minute.0),
            minute,
            ended_minute: self.ended.map(begin),
            kind: self.kind.clone(),
            priced: self.priced,
            log_position: i64::MIN,
            ..RollupRow::default()
        };
        for ((_, into), text) in DIMENSIONS.iter().zip(&self.texts) {
            into(&mut row).clone_from(text);
        }
        row
    }
}

/// What is known of a key's rows so far. Sketches cannot subtract: they take in what stands, and nothing else.
struct Sums {
    row: RollupRow,
    /// Sums that 64 bits could not hold together with the rest: rows of their own.
    full: Vec<RollupRow>,
    durations: Quantiles,
    executions: Distinct,
    sessions: Distinct,
    users: Distinct,
}

impl Sums {
    fn new(row: RollupRow) -> Result<Self> {
        Ok(Self {
            row,
            full: Vec::new(),
            durations: Quantiles::new()?,
            executions: Distinct::new()?,
            sessions: Distinct::new()?,
            users: Distinct::new()?,
        })
    }

    fn add(&mut self, charge: &ChargeRow, stands: bool, key: &Key) {
        if self.overflows(charge) {
            self.full.push(std::mem::replace(&mut self.row, key.row()));
        }
        let row = &mut self.row;
        row.entries += 1;
        row.calls += charge.calls;
        row.decisions += charge.decisions;
        row.errors += charge.calls * i64::from(charge.error_type.is_some());
        row.escalations += charge.calls * i64::from(charge.escalated == Some(true));
        row.log_position = row.log_position.max(charge.log_position);
        for (of, into) in COUNTS {
            if let Some(count) = of(charge) {
                *into(row).get_or_insert(0) += count;
            }
        }
        for (of, into) in AMOUNTS {
            if let Some(amount) = of(charge) {
                into(row).get_or_insert_default().0 += Total::from(amount).0;
            }
        }
        for (of, into) in MEASURED {
            if let Some(measured) = of(charge) {
                let (count, sum) = into(row);
                *count += charge.calls;
                *sum.get_or_insert(0) += measured.saturating_mul(charge.calls);
            }
        }
        if !stands {
            return;
        }
        if let Some(duration) = charge.duration_ns {
            self.durations.add(duration);
        }
        self.executions.add(&charge.execution_id);
        for (sketch, id) in [
            (&mut self.sessions, &charge.session_id),
            (&mut self.users, &charge.user_id),
        ] {
            if let Some(id) = id {
                sketch.add(id);
            }
        }
    }

    /// Whether a sum would pass 64 bits: whoever sends spans may write any number.
    fn overflows(&mut self, charge: &ChargeRow) -> bool {
        let row = &mut self.row;
        let past = |sum: Option<i64>, more: Option<i64>| {
            sum.zip(more)
                .is_some_and(|(sum, more)| sum.checked_add(more).is_none())
        };
        let counts = COUNTS.iter().any(|(of, into)| past(*into(row), of(charge)));
        let measured = MEASURED.iter().any(|(of, into)| {
            let more = of(charge).map(|measured| measured.saturating_mul(charge.calls));
            past(*into(row).1, more)
        });
        counts || measured
    }

    fn finish(self) -> impl Iterator<Item = RollupRow> {
        let some = |sketch: &Distinct| (!sketch.is_empty()).then(|| sketch.to_bytes());
        let row = RollupRow {
            durations: (self.durations.count() > 0).then(|| self.durations.to_bytes()),
            executions: some(&self.executions),
            sessions: some(&self.sessions),
            users: some(&self.users),
            ..self.row
        };
        self.full.into_iter().chain([row])
    }
}

/// The ids of charges that were taken back: nothing of them goes into a sketch, whichever row comes first.
#[derive(Debug, Default)]
pub(super) struct Reversed(HashSet<String>);

impl Reversed {
    /// Columns of the journal that tell of it.
    pub(super) const COLUMNS: [&str; 1] = ["charge_id"];
    /// And the rows that do: this text in this column.
    pub(super) const ONLY: (&str, &str) = ("entry", "reversal");

    /// Takes in reversals, and nothing else.
    pub(super) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let rows = ChargeRow::read(batch)?;
        self.0.extend(rows.into_iter().map(|row| row.charge_id));
        Ok(())
    }
}

/// The rollup of the journal's rows that start in some minutes, a batch at a time; rows of other minutes do not count.
pub(super) struct Fold {
    minutes: Arc<Minutes>,
    reversed: Reversed,
    groups: HashMap<Key, Sums>,
}

impl Fold {
    /// Nothing yet, of these minutes. What is reversed has to be known before.
    pub(super) fn new(minutes: Arc<Minutes>, reversed: Reversed) -> Self {
        Self {
            minutes,
            reversed,
            groups: HashMap::new(),
        }
    }

    /// Adds rows, in any order.
    pub(super) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        for charge in ChargeRow::read(batch)? {
            if !self.minutes.has(Minutes::of(charge.start_time.0)) {
                continue;
            }
            let stands = charge.entry == Entry::Charge.as_str()
                && !self.reversed.0.contains(charge.charge_id.as_str());
            let key = Key::of(&charge);
            match self.groups.get_mut(&key) {
                Some(sums) => sums.add(&charge, stands, &key),
                None => {
                    let mut sums = Sums::new(key.row())?;
                    sums.add(&charge, stands, &key);
                    self.groups.insert(key, sums);
                }
            }
        }
        Ok(())
    }

    /// The rows, in no order.
    pub(super) fn finish(self) -> Vec<RollupRow> {
        self.groups.into_values().flat_map(Sums::finish).collect()
    }
}
