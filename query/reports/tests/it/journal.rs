//! Journal rows as the store keeps them, as far as a report reads them.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
};

/// One journal row. Costs in trillionths of a dollar.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) kind: &'static str,
    pub(crate) team: Option<String>,
    pub(crate) agent: Option<String>,
    pub(crate) request_model: Option<&'static str>,
    pub(crate) response_model: Option<&'static str>,
    pub(crate) calls: i64,
    pub(crate) decisions: i64,
    pub(crate) input: Option<i64>,
    pub(crate) cache_read: Option<i64>,
    pub(crate) cache_write: Option<i64>,
    pub(crate) output: Option<i64>,
    pub(crate) cost: Option<i128>,
}

/// A model call that cost nothing known.
pub(crate) fn entry(team: &str, agent: &str) -> Entry {
    Entry {
        kind: "model_call",
        team: Some(team.to_owned()),
        agent: Some(agent.to_owned()),
        request_model: None,
        response_model: None,
        calls: 1,
        decisions: 0,
        input: None,
        cache_read: None,
        cache_write: None,
        output: None,
        cost: None,
    }
}

impl Entry {
    pub(crate) fn tokens(self, input: i64, cache_read: i64, cache_write: i64, output: i64) -> Self {
        Self {
            input: Some(input),
            cache_read: Some(cache_read),
            cache_write: Some(cache_write),
            output: Some(output),
            ..self
        }
    }

    pub(crate) fn cost(self, trillionths: i128) -> Self {
        Self {
            cost: Some(trillionths),
            ..self
        }
    }
}

fn text<'a>(entries: &'a [Entry], of: impl Fn(&'a Entry) -> Option<&'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter(entries.iter().map(of)))
}

fn whole(entries: &[Entry], of: impl Fn(&Entry) -> Option<i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter(entries.iter().map(of)))
}

/// The rows, all on 22 November 2026. Costs have 38 digits where 18 do not hold them.
pub(crate) fn batch(entries: &[Entry]) -> RecordBatch {
    let large = entries
        .iter()
        .any(|entry| entry.cost.is_some_and(|cost| cost.abs() >= 10_i128.pow(18)));
    let cost = Decimal128Array::from_iter(entries.iter().map(|entry| entry.cost))
        .with_precision_and_scale(if large { 38 } else { 18 }, 12)
        .unwrap();
    let date = Date32Array::from(vec![20_779; entries.len()]);
    RecordBatch::try_from_iter_with_nullable([
        ("date", Arc::new(date) as ArrayRef, false),
        ("kind", text(entries, |e| Some(e.kind)), false),
        ("team", text(entries, |e| e.team.as_deref()), true),
        ("agent_name", text(entries, |e| e.agent.as_deref()), true),
        ("request_model", text(entries, |e| e.request_model), true),
        ("response_model", text(entries, |e| e.response_model), true),
        ("calls", whole(entries, |e| Some(e.calls)), false),
        ("decisions", whole(entries, |e| Some(e.decisions)), false),
        ("input_tokens", whole(entries, |e| e.input), true),
        ("cache_read_tokens", whole(entries, |e| e.cache_read), true),
        (
            "cache_write_tokens",
            whole(entries, |e| e.cache_write),
            true,
        ),
        ("output_tokens", whole(entries, |e| e.output), true),
        ("cost_usd", Arc::new(cost), true),
    ])
    .unwrap()
}

/// The same rows with their cost in floating point.
pub(crate) fn with_float_cost(batch: &RecordBatch) -> RecordBatch {
    let schema = batch.schema();
    let columns = schema
        .fields()
        .iter()
        .zip(batch.columns())
        .map(|(field, column)| {
            let column: ArrayRef = if field.name() == "cost_usd" {
                Arc::new(Float64Array::from(vec![0.1; batch.num_rows()]))
            } else {
                Arc::clone(column)
            };
            (field.name().clone(), column)
        });
    RecordBatch::try_from_iter(columns.collect::<Vec<_>>()).unwrap()
}
