//! What an erasure does to rows on their way from one file to the next.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray};
use arrow::compute::filter_record_batch;
use arrow::error::ArrowError;

use super::find::{Concern, Matches};
use super::list::SubjectKind;
use crate::tables::Pass;

/// Stands in the place of a trace's id where the trace is no more. It is no id of any trace, so the resolver, which
/// would take back charges that no span stands for, never looks at such a charge again.
pub(super) const NO_TRACE: &str = "erased";

/// Rows that are concerned are left out.
pub(super) fn without_rows(concern: Concern) -> Pass {
    Box::new(move |batch| {
        let gone = concern.rows(&batch);
        let keep: BooleanArray = gone.into_iter().map(|gone| Some(!gone)).collect();
        filter_record_batch(&batch, &keep)
    })
}

/// Rows that are concerned lose what names people, and their trace. Money, tokens and everything else stays.
pub(super) fn without_names(concern: Concern) -> Pass {
    Box::new(move |batch| {
        let rows = concern.rows(&batch);
        redacted(&batch, &rows, concern.kind)
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
    use crate::rows::{ChargeRow, MetricRow, Row};

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
        let concern = |kind| Concern {
            traces: Arc::new(["t1".to_owned()].into()),
            kind,
            matches: Matches::name("nobody"),
            position: 5,
        };
        for kind in [SubjectKind::User, SubjectKind::Tenant] {
            let mut pass = without_names(concern(kind));
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
        let mut pass = without_rows(concern(SubjectKind::User));
        let found = pass(ChargeRow::batch(&rows).unwrap()).unwrap();
        assert_eq!(ChargeRow::read(&found).unwrap(), rows[1..]);
    }
    #[test]
    fn a_row_without_a_trace_goes_when_it_names_the_subject() {
        let metric = |user: &str, log_position| MetricRow {
            user_id: Some(user.into()),
            log_position,
            ..MetricRow::default()
        };
        let rows = [metric("ada", 1), metric("bob", 2), metric("ada", 9)];
        let mut pass = without_rows(Concern {
            traces: Arc::default(),
            kind: SubjectKind::User,
            matches: Matches::name("ada"),
            position: 5,
        });
        let left = pass(MetricRow::batch(&rows).unwrap()).unwrap();
        assert_eq!(MetricRow::read(&left).unwrap(), rows[1..]);
    }
}
