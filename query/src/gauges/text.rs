//! Rows of a metric in Prometheus' text format.

use std::collections::HashSet;
use std::fmt::Write as _;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::{Metric, ROWS_IN_ALL, State, is_text};
use crate::catalogue::Definition;

/// Characters of a label that are kept.
const LABEL_MAX: usize = 128;

/// What is shown of an answer.
pub(super) struct Shown {
    pub(super) text: String,
    pub(super) rows: u64,
}

/// Every numeric column as a gauge. Where a value is NULL (or not a number) there is no sample. Rows whose labels are those
/// of an earlier one, cut to the same, are not shown: Prometheus would refuse the whole scrape.
pub(super) fn gauges(entry: &Definition, rows: &str, batches: &[RecordBatch]) -> Shown {
    let mut seen = HashSet::new();
    let kept: Vec<(&RecordBatch, usize, String)> = batches
        .iter()
        .flat_map(|batch| {
            labels(batch)
                .into_iter()
                .map(move |(row, of)| (batch, row, of))
        })
        .filter(|(_, _, labels)| seen.insert(labels.clone()))
        .collect();
    let mut text = String::new();
    let schema = batches.first().map(RecordBatch::schema);
    let fields = schema.iter().flat_map(|schema| schema.fields().iter());
    for (column, field) in fields.enumerate() {
        if !is_number(field.data_type()) || field.name() == ROWS_IN_ALL {
            continue;
        }
        let name = format!("flyball_{}_{}", entry.name, field.name());
        let help = escaped(
            &format!(
                "{} Column {} of {rows}; {}.",
                entry.summary,
                field.name(),
                entry.unit
            ),
            false,
        );
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (batch, row, labels) in &kept {
            if let Some(value) = number(batch, column, *row) {
                let _ = writeln!(text, "{name}{labels} {value}");
            }
        }
    }
    Shown {
        text,
        rows: kept.len() as u64,
    }
}

/// Name, kind, meaning, and where it is read from: None where there is nothing yet.
type Figure = (
    &'static str,
    &'static str,
    &'static str,
    fn(&State) -> Option<String>,
);

#[rustfmt::skip]
const HEALTH: [Figure; 4] = [
    ("flyball_catalogue_age_seconds", "gauge", "Time since a metric of the catalogue was last answered: how old its gauges are.", |s| s.last.as_ref().map(|last| last.at.elapsed().as_secs_f64().to_string())),
    ("flyball_catalogue_query_seconds", "gauge", "How long that answer took.", |s| s.last.as_ref().map(|last| last.took.as_secs_f64().to_string())),
    ("flyball_catalogue_dropped_rows", "gauge", "Rows of that answer that are not shown, past the limit or with labels like another's.", |s| s.last.as_ref().map(|last| last.dropped.to_string())),
    ("flyball_catalogue_failures_total", "counter", "Times that a metric of the catalogue was not answered, or not in time.", |s| Some(s.failures.to_string())),
];

/// How the metrics themselves fare.
pub(super) fn write_health(text: &mut String, metrics: &[Metric]) {
    if metrics.is_empty() {
        return;
    }
    for (name, kind, meaning, read) in HEALTH {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# HELP {name} {meaning}\n# TYPE {name} {kind}");
        for metric in metrics {
            if let Some(value) = read(&metric.state.lock()) {
                let _ = writeln!(text, "{name}{{metric=\"{}\"}} {value}", metric.entry.name);
            }
        }
    }
}

/// Each row's text columns as `{name="value",...}`; a NULL is a label that is not there.
fn labels(batch: &RecordBatch) -> Vec<(usize, String)> {
    let schema = batch.schema();
    let named: Vec<usize> = (0..batch.num_columns())
        .filter(|column| is_text(schema.field(*column).data_type()))
        .collect();
    let of = |row: usize| {
        let pairs = named.iter().filter_map(|column| {
            let value = cell(batch, *column, row)?;
            let name = schema.field(*column).name();
            Some(format!("{name}=\"{}\"", escaped(&cut(&value), true)))
        });
        let pairs: Vec<String> = pairs.collect();
        match pairs.is_empty() {
            true => String::new(),
            false => format!("{{{}}}", pairs.join(",")),
        }
    };
    (0..batch.num_rows()).map(|row| (row, of(row))).collect()
}

fn cut(value: &str) -> String {
    match value.char_indices().nth(LABEL_MAX) {
        Some((end, _)) => format!("{}...", &value[..end]),
        None => value.to_owned(),
    }
}

/// A HELP text escapes backslashes and line ends, a label its quotes as well.
fn escaped(text: &str, quotes: bool) -> String {
    let text = text.replace('\\', "\\\\").replace('\n', "\\n");
    if quotes {
        text.replace('"', "\\\"")
    } else {
        text
    }
}

fn is_number(of: &DataType) -> bool {
    of.is_numeric()
}

/// Money keeps its digits: it is written as the decimal it is.
fn number(batch: &RecordBatch, column: usize, row: usize) -> Option<String> {
    match cell(batch, column, row)?.as_str() {
        "NaN" => None,
        "inf" => Some("+Inf".to_owned()),
        "-inf" => Some("-Inf".to_owned()),
        value => Some(value.to_owned()),
    }
}

fn cell(batch: &RecordBatch, column: usize, row: usize) -> Option<String> {
    let column = batch.column(column);
    if column.is_null(row) {
        return None;
    }
    let formatter = ArrayFormatter::try_new(column, &FormatOptions::default()).ok()?;
    formatter.value(row).try_to_string().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Decimal128Array, Float64Array, StringArray};

    use super::*;

    #[test]
    fn a_row_is_one_series_of_each_number() {
        let long = "x".repeat(200);
        let text = |values: Vec<Option<&str>>| Arc::new(StringArray::from(values)) as ArrayRef;
        let money = Decimal128Array::from(vec![Some(3_500_000_000), None, Some(0), Some(0)]);
        let money = money.with_precision_and_scale(38, 12).unwrap();
        let rates = vec![Some(0.5), Some(f64::NAN), Some(f64::INFINITY), Some(1.0)];
        let batch = RecordBatch::try_from_iter([
            (
                "agent_name",
                text(vec![
                    Some("a \"b\"\\\nc"),
                    None,
                    Some(&long),
                    Some(&format!("{long}y")),
                ]),
            ),
            ("cost_usd", Arc::new(money) as ArrayRef),
            ("rate", Arc::new(Float64Array::from(rates)) as ArrayRef),
        ])
        .unwrap();
        let entry = Definition {
            name: "m".to_owned(),
            summary: "What it\nis.".to_owned(),
            unit: "US dollars".to_owned(),
            ..crate::catalogue::all().swap_remove(0)
        };
        let shown = gauges(&entry, "everything kept", &[batch]);
        let cut = "x".repeat(128);
        let expected = format!(
            "# HELP flyball_m_cost_usd What it\\nis. Column cost_usd of everything kept; US dollars.\n\
             # TYPE flyball_m_cost_usd gauge\n\
             flyball_m_cost_usd{{agent_name=\"a \\\"b\\\"\\\\\\nc\"}} 0.003500000000\n\
             flyball_m_cost_usd{{agent_name=\"{cut}...\"}} 0.000000000000\n\
             # HELP flyball_m_rate What it\\nis. Column rate of everything kept; US dollars.\n\
             # TYPE flyball_m_rate gauge\n\
             flyball_m_rate{{agent_name=\"a \\\"b\\\"\\\\\\nc\"}} 0.5\n\
             flyball_m_rate{{agent_name=\"{cut}...\"}} +Inf\n"
        );
        // The last two are the same once they are cut.
        assert_eq!((shown.text, shown.rows), (expected, 3));
    }
}
