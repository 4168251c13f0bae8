//! A trace to play the resolver's rules on: spans by number, and what stands in the end.

use flyball_ingest::resolver::{Options, Resolver};
use flyball_store::rows::{ChargeRow, Micros, SpanRow};

use crate::journal::{SECOND, resolve};
use crate::truth::book;

const TRACE: u64 = 7;

pub(crate) fn resolver() -> Resolver {
    let options = Options {
        escalation_tools: vec!["escalate_to_human".to_owned()],
        ..Options::default()
    };
    Resolver::new("default", book(), &options)
}

/// A span of the trace: its number is its id and, in milliseconds, its start.
pub(crate) fn span(id: u64, parent: u64, operation: &str) -> SpanRow {
    let start = SECOND + id as i64 * 1_000_000;
    SpanRow {
        trace_id: format!("{TRACE:032x}"),
        span_id: format!("{id:016x}"),
        parent_span_id: (parent > 0).then(|| format!("{parent:016x}")),
        start_unix_nano: start,
        start_time: Micros::of_nanos(start),
        duration_ns: 500_000,
        received_at: Micros(2_000_000),
        operation: (!operation.is_empty()).then(|| operation.to_owned()),
        usage: (operation == "chat").then(|| "unknown".to_owned()),
        ..SpanRow::default()
    }
}

pub(crate) fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

pub(crate) fn call(id: u64, parent: u64, input: i64, output: i64) -> SpanRow {
    SpanRow {
        request_model: some("gpt-4o"),
        usage: some("exact"),
        input_tokens: Some(input),
        output_tokens: Some(output),
        finish_reason: some("stop"),
        ..span(id, parent, "chat")
    }
}

pub(crate) fn agent(id: u64, parent: u64, name: &str) -> SpanRow {
    SpanRow {
        agent_name: some(name),
        ..span(id, parent, "invoke_agent")
    }
}

pub(crate) fn tool(id: u64, parent: u64, name: &str) -> SpanRow {
    SpanRow {
        tool_name: some(name),
        ..span(id, parent, "execute_tool")
    }
}

/// What stands after everything came in one request and settled.
pub(crate) fn settled(spans: &[SpanRow]) -> Vec<ChargeRow> {
    resolve(&mut resolver(), &[spans.to_vec()]).standing()
}

pub(crate) fn of<'a>(rows: &'a [ChargeRow], kind: &str) -> Vec<&'a ChargeRow> {
    rows.iter().filter(|row| row.kind == kind).collect()
}

pub(crate) fn ids(rows: &[&ChargeRow]) -> Vec<u64> {
    rows.iter()
        .map(|row| u64::from_str_radix(&row.span_id, 16).unwrap())
        .collect()
}

pub(crate) fn duplicates(spans: &[SpanRow]) -> Vec<(u64, u64)> {
    let id = |hex: &str| u64::from_str_radix(hex, 16).unwrap();
    let journal = resolve(&mut resolver(), &[spans.to_vec()]);
    let rows = journal.rows.iter().filter(|row| row.entry == "duplicate");
    rows.map(|row| (id(&row.span_id), id(row.duplicate_of.as_deref().unwrap())))
        .collect()
}
