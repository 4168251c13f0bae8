//! What the Delta log says of a file, so that readers skip it: rows, smallest and largest values, NULLs.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{max, max_string, min, min_string};
use arrow::datatypes::{DataType, Int64Type, TimeUnit, TimestampMicrosecondType};
use serde_json::{Map, Value};

/// Longer texts are cut (the smallest) or left out (the largest): both stay true as bounds.
const TEXT_BYTES_MAX: usize = 64;

/// Statistics of some columns over the rows of a file, as they come.
#[derive(Debug)]
pub(super) struct Totals {
    rows: u64,
    columns: Vec<(&'static str, Column)>,
}

#[derive(Debug, Default)]
struct Column {
    nulls: u64,
    bounds: Option<(Bound, Bound)>,
}

/// A value that files are skipped by. Of one column they are all of one kind.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
enum Bound {
    Number(i64),
    /// Microseconds since 1970.
    Instant(i64),
    Text(String),
}

impl Totals {
    pub(super) fn new(columns: &'static [&'static str]) -> Self {
        let columns = columns.iter().map(|name| (*name, Column::default()));
        Self {
            rows: 0,
            columns: columns.collect(),
        }
    }

    pub(super) fn add(&mut self, rows: &RecordBatch) {
        self.rows += rows.num_rows() as u64;
        for (name, column) in &mut self.columns {
            let Some(values) = rows.column_by_name(name) else {
                continue;
            };
            column.nulls += values.null_count() as u64;
            let Some((low, high)) = bounds(values) else {
                continue;
            };
            column.bounds = Some(match column.bounds.take() {
                Some((lowest, highest)) => (
                    if low < lowest { low } else { lowest },
                    if high > highest { high } else { highest },
                ),
                None => (low, high),
            });
        }
    }

    /// As JSON, in the words of the Delta protocol.
    pub(super) fn told(&self) -> String {
        let (mut smallest, mut largest, mut nulls) = (Map::new(), Map::new(), Map::new());
        for (
            name,
            Column {
                nulls: none,
                bounds,
            },
        ) in &self.columns
        {
            nulls.insert((*name).to_owned(), (*none).into());
            let Some((low, high)) = bounds else { continue };
            smallest.extend(low.smallest().map(|low| ((*name).to_owned(), low)));
            largest.extend(high.largest().map(|high| ((*name).to_owned(), high)));
        }
        serde_json::json!({
            "numRecords": self.rows,
            "minValues": smallest,
            "maxValues": largest,
            "nullCount": nulls,
        })
        .to_string()
    }
}

impl Bound {
    fn smallest(&self) -> Option<Value> {
        match self {
            Self::Number(number) => Some(Value::from(*number)),
            Self::Instant(micros) => instant(*micros),
            Self::Text(text) => Some(Value::from(cut(text))),
        }
    }

    fn largest(&self) -> Option<Value> {
        match self {
            Self::Text(text) if text.len() > TEXT_BYTES_MAX => None,
            other => other.smallest(),
        }
    }
}

fn bounds(column: &ArrayRef) -> Option<(Bound, Bound)> {
    match column.data_type() {
        DataType::Int64 => {
            let column = column.as_primitive::<Int64Type>();
            Some((Bound::Number(min(column)?), Bound::Number(max(column)?)))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let column = column.as_primitive::<TimestampMicrosecondType>();
            Some((Bound::Instant(min(column)?), Bound::Instant(max(column)?)))
        }
        DataType::Utf8 => {
            let column = column.as_string::<i32>();
            let text = |text: &str| Bound::Text(text.to_owned());
            Some((text(min_string(column)?), text(max_string(column)?)))
        }
        _ => None,
    }
}

/// With all six digits, so that nothing has to be rounded.
fn instant(micros: i64) -> Option<Value> {
    let at = chrono::DateTime::from_timestamp_micros(micros)?;
    Some(Value::from(at.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()))
}

fn cut(text: &str) -> &str {
    let end = (0..=TEXT_BYTES_MAX.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

/// A whole-number bound out of such JSON.
pub(super) fn largest(stats: &str, column: &str) -> Option<i64> {
    let stats: Value = serde_json::from_str(stats).ok()?;
    stats.get("maxValues")?.get(column)?.as_i64()
}

/// The other one.
pub(super) fn smallest(stats: &str, column: &str) -> Option<i64> {
    let stats: Value = serde_json::from_str(stats).ok()?;
    stats.get("minValues")?.get(column)?.as_i64()
}

/// Both bounds of a time out of such JSON, in microseconds.
pub(super) fn instants(stats: &str, column: &str) -> Option<(i64, i64)> {
    let stats: Value = serde_json::from_str(stats).ok()?;
    let bound = |side: &str| {
        let text = stats.get(side)?.get(column)?.as_str()?;
        let at = chrono::DateTime::parse_from_rfc3339(text).ok()?;
        Some(at.timestamp_micros())
    };
    Some((bound("minValues")?, bound("maxValues")?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::rows::{Micros, Row, SpanRow};

    #[test]
    fn bounds_are_true_and_exact() {
        let long = "\u{e4}".repeat(40);
        let row = |at, agent: Option<&str>, log_position| SpanRow {
            start_time: Micros(at),
            agent_name: agent.map(str::to_owned),
            log_position,
            ..SpanRow::default()
        };
        let rows = [
            row(1, Some(&long), 9),
            row(-1, None, 3),
            row(0, Some("\u{e4}"), i64::MAX),
        ];
        let told = |batches: &[&[SpanRow]]| {
            let mut totals = Totals::new(&["start_time", "agent_name", "log_position"]);
            for rows in batches {
                totals.add(&SpanRow::batch(rows).unwrap());
            }
            serde_json::from_str::<Value>(&totals.told()).unwrap()
        };
        let found = told(&[&rows]);
        let wanted = serde_json::json!({
            "numRecords": 3,
            "minValues": {"start_time": "1969-12-31T23:59:59.999999Z", "agent_name": "\u{e4}", "log_position": 3},
            "maxValues": {"start_time": "1970-01-01T00:00:00.000001Z", "log_position": i64::MAX},
            "nullCount": {"start_time": 0, "agent_name": 1, "log_position": 0},
        });
        assert_eq!(found, wanted);
        assert_eq!(told(&[&rows[..1], &[], &rows[1..]]), wanted, "in parts");
        assert_eq!(largest(&wanted.to_string(), "log_position"), Some(i64::MAX));
        assert_eq!(instants(&wanted.to_string(), "start_time"), Some((-1, 1)));
        assert_eq!(cut(&long), "\u{e4}".repeat(32));
    }
}
