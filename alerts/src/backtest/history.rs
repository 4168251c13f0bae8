//! Reads the journal of the past, in the order in which it became known, a slice at a time.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray as _, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Int64Type};
use rust_decimal::Decimal;
use serde::Serialize;

use crate::fact::COLUMNS;
use crate::ports::Ask;
use crate::{Error, Result};

/// Entries of one slice, about: what is in memory at a time.
const ROWS: i64 = 50_000;
/// Executions asked for at a time.
const ASKED: usize = 200;
const MINUTE: i64 = 60_000_000;

/// By which clock history goes by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Timing {
    /// When we knew of each entry, as the engine did then.
    #[default]
    Known,
    /// When each call ended, as if we had known at once: for what was imported.
    Ended,
}

impl Timing {
    /// Where entries are, the moment of one, and the one at which it counts as received, in SQL.
    fn words(self) -> [&'static str; 3] {
        match self {
            Self::Known => ["charges", "known_at", "received_at"],
            // Had we known at once, there would have been nothing to take back.
            Self::Ended => [
                "standing_charges",
                "coalesce(end_time, start_time)",
                "coalesce(end_time, start_time)",
            ],
        }
    }
}

/// What an execution came to, as far as is known today.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Ending {
    pub(super) termination: Option<String>,
    pub(super) usd: Decimal,
}

/// A stretch of the journal, microseconds since 1970, its end not included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slice {
    from: i64,
    to: i64,
    pub(super) rows: i64,
}

/// The journal of a workspace.
#[derive(Debug, Clone, Copy)]
pub(super) struct History<'a> {
    pub(super) ask: &'a dyn Ask,
    pub(super) workspace: &'a str,
    pub(super) timing: Timing,
}

impl History<'_> {
    /// Cuts the time between two moments (nanoseconds since 1970) into slices of about as many entries.
    pub(super) async fn slices(&self, since: i64, until: i64) -> Result<Vec<Slice>> {
        let [entries, moment, _] = self.timing.words();
        let (from, to) = (since.div_euclid(1_000), until.div_euclid(1_000));
        let sql = format!(
            "SELECT CAST({moment} AS BIGINT) / {MINUTE} AS minute, count(*) AS entries FROM {entries} \
             WHERE {} GROUP BY CAST({moment} AS BIGINT) / {MINUTE} ORDER BY minute",
            between(moment, from, to)
        );
        let mut minutes = Vec::new();
        for batch in self.ask(&sql).await? {
            let (minute, entries) = (integers(&batch, "minute")?, integers(&batch, "entries")?);
            minutes.extend(minute.into_iter().zip(entries));
        }
        Ok(slices(&minutes, from, to))
    }

    /// The entries of a slice in their order, in one batch, and the moment of each (nanoseconds since 1970).
    pub(super) async fn entries(&self, slice: Slice) -> Result<Option<(RecordBatch, Vec<i64>)>> {
        let [entries, moment, received] = self.timing.words();
        let sql = format!(
            "SELECT CAST({moment} AS BIGINT) AS moment, {} FROM {entries} WHERE {} \
             ORDER BY moment, known_at, charge_id, entry",
            COLUMNS.replace("received_at", &format!("{received} AS received_at")),
            between(moment, slice.from, slice.to)
        );
        let batches = self.ask(&sql).await?;
        let Some(first) = batches.first() else {
            return Ok(None);
        };
        let all = concat_batches(&first.schema(), &batches).map_err(unreadable)?;
        let moments = integers(&all, "moment")?;
        let moments = moments.into_iter().map(|at| at.saturating_mul(1_000));
        let moments = moments.collect();
        Ok(Some((all, moments)))
    }

    /// How executions ended, and what each cost in all. One that is not in the journal is not in the answer.
    pub(super) async fn endings(&self, executions: &[&str]) -> Result<BTreeMap<String, Ending>> {
        let mut endings: BTreeMap<String, Ending> = BTreeMap::new();
        for ids in executions.chunks(ASKED) {
            let list: Vec<String> = ids
                .iter()
                .map(|id| format!("'{}'", id.replace('\'', "''")))
                .collect();
            let list = list.join(", ");
            let sql = format!(
                "SELECT execution_id, CAST(sum(cost_usd) AS VARCHAR) AS usd FROM charges \
                 WHERE entry IN ('charge', 'reversal') AND execution_id IN ({list}) GROUP BY execution_id"
            );
            for batch in self.ask(&sql).await? {
                let (ids, sums) = (texts(&batch, "execution_id")?, texts(&batch, "usd")?);
                for (id, sum) in ids.into_iter().zip(sums) {
                    let sum = sum.and_then(|sum| Decimal::from_str_exact(&sum).ok());
                    let ending = endings.entry(id.unwrap_or_default()).or_default();
                    ending.usd = sum.unwrap_or_default();
                }
            }
            // An execution has an entry for each of its traces: the last one to end says how it ended.
            let sql = format!(
                "SELECT execution_id, termination FROM standing_charges WHERE kind = 'execution' \
                 AND termination IS NOT NULL AND execution_id IN ({list}) ORDER BY coalesce(end_time, start_time), charge_id DESC"
            );
            for batch in self.ask(&sql).await? {
                let (ids, words) = (
                    texts(&batch, "execution_id")?,
                    texts(&batch, "termination")?,
                );
                for (id, word) in ids.into_iter().zip(words) {
                    let ending = endings.entry(id.unwrap_or_default()).or_default();
                    ending.termination = word;
                }
            }
        }
        Ok(endings)
    }

    async fn ask(&self, sql: &str) -> Result<Vec<RecordBatch>> {
        let answer = self.ask.ask(self.workspace, sql).await;
        answer.map_err(|reason| Error::History { reason })
    }
}

fn between(moment: &str, from: i64, to: i64) -> String {
    format!(
        "{moment} >= to_timestamp_micros({from}) AND {moment} < to_timestamp_micros({to}) \
         AND entry IN ('charge', 'reversal')"
    )
}

/// Whole minutes side by side, as many as make about [`ROWS`] entries. A minute is never cut.
fn slices(minutes: &[(i64, i64)], from: i64, to: i64) -> Vec<Slice> {
    let mut slices: Vec<Slice> = Vec::new();
    for (minute, rows) in minutes {
        let (start, end) = (minute * MINUTE, (minute + 1) * MINUTE);
        match slices.last_mut() {
            Some(last) if last.rows + rows <= ROWS => {
                last.to = end.min(to);
                last.rows += rows;
            }
            _ => slices.push(Slice {
                from: start.max(from),
                to: end.min(to),
                rows: *rows,
            }),
        }
    }
    slices
}

fn column(batch: &RecordBatch, name: &str, kind: &DataType) -> Result<arrow::array::ArrayRef> {
    let column = batch.column_by_name(name).ok_or_else(|| Error::History {
        reason: format!("the answer has no column {name}"),
    })?;
    cast(column, kind).map_err(unreadable)
}

fn integers(batch: &RecordBatch, name: &str) -> Result<Vec<i64>> {
    let column = column(batch, name, &DataType::Int64)?;
    Ok(column.as_primitive::<Int64Type>().values().to_vec())
}

fn texts(batch: &RecordBatch, name: &str) -> Result<Vec<Option<String>>> {
    let column = column(batch, name, &DataType::Utf8)?;
    let column = column.as_string::<i32>();
    Ok((0..column.len())
        .map(|row| column.is_valid(row).then(|| column.value(row).to_owned()))
        .collect())
}

pub(super) fn unreadable(error: impl std::fmt::Display) -> Error {
    Error::History {
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_hold_every_minute_once_and_few_rows() {
        let minutes = [(10, 30_000), (11, 20_000), (12, 1), (500, 90_000), (501, 5)];
        let cut = slices(&minutes, 10 * MINUTE + 7, 501 * MINUTE + 9);
        let want = [
            (10 * MINUTE + 7, 12 * MINUTE, 50_000),
            (12 * MINUTE, 13 * MINUTE, 1),
            (500 * MINUTE, 501 * MINUTE, 90_000),
            (501 * MINUTE, 501 * MINUTE + 9, 5),
        ];
        let cut: Vec<_> = cut.iter().map(|s| (s.from, s.to, s.rows)).collect();
        assert_eq!(cut, want);
        assert_eq!(slices(&[], 0, MINUTE), []);
    }
}
