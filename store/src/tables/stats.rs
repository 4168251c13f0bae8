//! What the Delta log says of a file, so that readers skip it: rows, smallest and largest values, NULLs.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{max, max_string, min, min_string};
use arrow::datatypes::{DataType, Int64Type, TimeUnit, TimestampMicrosecondType};
use serde_json::{Map, Value};

/// Longer texts are cut (the smallest) or left out (the largest): both stay true as bounds.
const TEXT_BYTES_MAX: usize = 64;

/// Statistics of these columns as JSON, in the words of the Delta protocol.
pub(super) fn of(rows: &RecordBatch, columns: &[&str]) -> String {
    let (mut smallest, mut largest, mut nulls) = (Map::new(), Map::new(), Map::new());
    for name in columns {
        let Some(column) = rows.column_by_name(name) else {
            continue;
        };
        nulls.insert((*name).to_owned(), column.null_count().into());
        let (low, high) = bounds(column);
        smallest.extend(low.map(|low| ((*name).to_owned(), low)));
        largest.extend(high.map(|high| ((*name).to_owned(), high)));
    }
    serde_json::json!({
        "numRecords": rows.num_rows(),
        "minValues": smallest,
        "maxValues": largest,
        "nullCount": nulls,
    })
    .to_string()
}

fn bounds(column: &ArrayRef) -> (Option<Value>, Option<Value>) {
    match column.data_type() {
        DataType::Int64 => {
            let column = column.as_primitive::<Int64Type>();
            (min(column).map(Value::from), max(column).map(Value::from))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let column = column.as_primitive::<TimestampMicrosecondType>();
            (min(column).and_then(instant), max(column).and_then(instant))
        }
        DataType::Utf8 => {
            let column = column.as_string::<i32>();
            let low = min_string(column).map(|text| Value::from(cut(text)));
            let high = max_string(column)
                .filter(|text| text.len() <= TEXT_BYTES_MAX)
                .map(Value::from);
            (low, high)
        }
        _ => (None, None),
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
        let found: Value = serde_json::from_str(&of(
            &SpanRow::batch(&rows).unwrap(),
            &["start_time", "agent_name", "log_position"],
        ))
        .unwrap();
        let wanted = serde_json::json!({
            "numRecords": 3,
            "minValues": {"start_time": "1969-12-31T23:59:59.999999Z", "agent_name": "\u{e4}", "log_position": 3},
            "maxValues": {"start_time": "1970-01-01T00:00:00.000001Z", "log_position": i64::MAX},
            "nullCount": {"start_time": 0, "agent_name": 1, "log_position": 0},
        });
        assert_eq!(found, wanted);
        assert_eq!(largest(&wanted.to_string(), "log_position"), Some(i64::MAX));
        assert_eq!(instants(&wanted.to_string(), "start_time"), Some((-1, 1)));
        assert_eq!(cut(&long), "\u{e4}".repeat(32));
    }
}
