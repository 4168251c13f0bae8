//! What an erasure does to rows on their way from one file to the next.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray};
use arrow::compute::filter_record_batch;
use arrow::error::ArrowError;

use super::find::{Matches, Traces, concerned};
use super::list::SubjectKind;
use crate::log::LogPosition;
use crate::tables::Pass;

/// Stands in the place of a trace's id where the trace is no more. It is no id of any trace, so the resolver, which
/// would take back charges that no span stands for, never looks at such a charge again.
pub(super) const NO_TRACE: &str = "erased";

/// Rows of these traces are left out.
pub(super) fn without_rows(traces: Traces, position: LogPosition) -> Pass {
    Box::new(move |batch| {
        let gone = concerned(&batch, &traces, position);
        let keep: BooleanArray = gone.into_iter().map(|gone| Some(!gone)).collect();
        filter_record_batch(&batch, &keep)
    })
}

/// Rows of these traces lose what names people, and their trace. Money, tokens and everything else stays.
pub(super) fn without_names(traces: Traces, kind: SubjectKind, position: LogPosition) -> Pass {
    Box::new(move |batch| {
        let rows = concerned(&batch, &traces, position);
        redacted(&batch, &rows, kind)
    })
}

/// Rows of sums that name the subject lose its name.
pub(super) fn without_name(kind: SubjectKind, matches: Matches) -> Pass {
    Box::new(move |batch| {
        let rows = matches.rows(kind, &batch);
        redacted(&batch, &rows, kind)
    })
}

fn redacted(
    batch: &RecordBatch,
    rows: &[bool],
    kind: SubjectKind,
) -> Result<RecordBatch, ArrowError> {
    let schema = batch.schema();
    let column = |(at, column): (usize, &ArrayRef)| {
        let name = schema.field(at).name().as_str();
        let instead = if name == "trace_id" {
            Some(NO_TRACE)
        } else if kind.personal_columns().contains(&name) {
            None
        } else {
            return Arc::clone(column);
        };
        match column.as_string_opt::<i32>() {
            Some(texts) => Arc::new(replaced(texts, rows, instead)) as ArrayRef,
            None => Arc::clone(column),
        }
    };
    let columns = batch.columns().iter().enumerate().map(column).collect();
    RecordBatch::try_new(schema, columns)
}

fn replaced(texts: &StringArray, rows: &[bool], instead: Option<&str>) -> StringArray {
    let text = |(row, concerned): (usize, &bool)| match concerned {
        true => instead,
        false => texts.is_valid(row).then(|| texts.value(row)),
    };
    rows.iter().enumerate().map(text).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::rows::{ChargeRow, Row};

    #[test]
    fn a_charge_loses_who_and_keeps_how_much() {
        let charge = |trace: &str, log_position| ChargeRow {
            trace_id: trace.into(),
            user_id: Some("ada".into()),
            session_id: Some("s".into()),
            tenant: Some("acme".into()),
            team: Some("red".into()),
            cost_usd: Some(rust_decimal::Decimal::ONE),
            input_tokens: Some(7),
            log_position,
            ..ChargeRow::default()
        };
        let rows = [charge("t1", 1), charge("t2", 2), charge("t1", 9)];
        let traces: Traces = Arc::new(["t1".to_owned()].into());
        for kind in [SubjectKind::User, SubjectKind::Tenant] {
            let mut pass = without_names(Arc::clone(&traces), kind, 5);
            let found = pass(ChargeRow::batch(&rows).unwrap()).unwrap();
            let nameless = ChargeRow {
                trace_id: "erased".into(),
                user_id: None,
                session_id: None,
                tenant: (kind == SubjectKind::User).then(|| "acme".into()),
                ..charge("t1", 1)
            };
            let wanted = [nameless, rows[1].clone(), rows[2].clone()];
            assert_eq!(ChargeRow::read(&found).unwrap(), wanted);
        }
        let mut pass = without_rows(traces, 5);
        let found = pass(ChargeRow::batch(&rows).unwrap()).unwrap();
        assert_eq!(ChargeRow::read(&found).unwrap(), rows[1..]);
    }
}
