//! A backtest as a program reads it: a line for each order, or one for a firing without.

use std::sync::Arc;

use anyhow::Result;
use arrow::array::{ArrayRef, RecordBatch, StringArray};
use chrono::{DateTime, SecondsFormat};
use flyball_alerts::backtest::{Act, Backtest, Firing, Sums};
use flyball_query::format::{Format, render};

use super::picture::usd;

/// What stands in a column.
type Value = fn(&Backtest, &Firing, Option<&Act>) -> Option<String>;

#[rustfmt::skip]
const COLUMNS: [(&str, Value); 18] = [
    ("rule",          |backtest, _, _| Some(backtest.rule.clone())),
    ("key",           |_, firing, _| Some(firing.key.clone())),
    ("fired_at",      |_, firing, _| Some(instant(firing.fired_at_unix_nano))),
    ("pending_since", |_, firing, _| firing.pending_since_unix_nano.map(instant)),
    ("over_at",       |_, firing, _| firing.over_at_unix_nano.map(instant)),
    ("value",         |_, firing, _| firing.value.clone()),
    ("threshold",     |_, firing, _| Some(firing.threshold.clone())),
    ("action",        |_, _, act| Some(act?.action.clone())),
    ("target",        |_, _, act| Some(act?.target.clone())),
    ("outcome",       |_, _, act| Some(act?.outcome.clone())),
    ("action_id",     |_, _, act| act?.action_id.clone()),
    ("calls",         |_, _, act| Some(ordered(act)?.calls.to_string())),
    ("spent_usd",     |_, _, act| Some(usd(ordered(act)?.spent_usd))),
    ("saved_usd",     |_, _, act| Some(usd(ordered(act)?.saved_usd))),
    ("unknown_usd",   |_, _, act| Some(usd(ordered(act)?.unknown_usd))),
    ("stopped",       |_, _, act| Some(ordered(act)?.stopped.to_string())),
    ("wrong",         |_, _, act| Some(ordered(act)?.wrong.to_string())),
    ("lost_usd",      |_, _, act| Some(usd(ordered(act)?.lost_usd))),
];

/// With a header.
pub(super) fn text(backtests: &[Backtest]) -> Result<String> {
    let mut lines: Vec<(&Backtest, &Firing, Option<&Act>)> = Vec::new();
    for backtest in backtests {
        for firing in &backtest.firings {
            match firing.acts.as_slice() {
                [] => lines.push((backtest, firing, None)),
                acts => lines.extend(acts.iter().map(|act| (backtest, firing, Some(act)))),
            }
        }
    }
    let columns = COLUMNS.iter().map(|(name, value)| {
        let values = lines
            .iter()
            .map(|(backtest, firing, act)| value(backtest, firing, *act));
        let column: StringArray = values.collect();
        (*name, Arc::new(column) as ArrayRef)
    });
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.map(|(name, column)| (name, column, true)),
    )?;
    Ok(render(&[batch], Format::Csv)?)
}

/// The sums of what would have been ordered.
fn ordered(act: Option<&Act>) -> Option<&Sums> {
    let act = act?;
    act.action_id.is_some().then_some(&act.sums)
}

fn instant(unix_nano: i64) -> String {
    DateTime::from_timestamp_nanos(unix_nano).to_rfc3339_opts(SecondsFormat::Micros, true)
}
