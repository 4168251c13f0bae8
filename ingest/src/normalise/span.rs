//! One span, with its scope and resource, as a row.

use std::array;
use std::borrow::Cow;

use flyball_store::rows::{Date, Micros, SpanRow, Usage};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource as Sent;
use opentelemetry_proto::tonic::trace::v1::Span;
use rust_decimal::Decimal;
use sha2::{Digest, Sha256};

use super::accept::Place as Stands;
use super::usage::{Apart, Counts};
use super::value::{self, Found};
use super::{answer, json};
use crate::conventions::{
    Column, Convention, Place, RULES, Rule, is_leading, is_model_call, is_named_by_span,
    is_token_count, misnamed, operation, rules_of, sources,
};

/// Values by column, each with the rank of the rule that found it (the lower, the better).
#[derive(Debug, Clone)]
struct Columns([Option<(usize, Found)>; Column::COUNT]);

impl Columns {
    fn new() -> Self {
        Self(array::from_fn(|_| None))
    }

    /// Reads what the attributes say by the rules for this place.
    fn read(&mut self, attributes: &[KeyValue], of: Reading<'_>) {
        for kv in attributes {
            let Some(value) = kv.value.as_ref().and_then(|value| value.value.as_ref()) else {
                continue;
            };
            for (place, rule) in rules_of(&kv.key) {
                let slot = &mut self.0[rule.column as usize];
                let fits = of.allows(rule) && slot.as_ref().is_none_or(|(found, _)| place <= found);
                let found = || match rule.field {
                    Some(field) => value::read(&value::within(value, field)?, rule.read),
                    None => value::read(value, rule.read),
                };
                if fits && let Some(found) = found() {
                    *slot = Some((*place, found));
                }
            }
        }
    }

    /// The keys whose values stand in a column just as they were sent, and need not stand in `attributes` as well:
    /// the leading key of the column, so that nobody has to guess where the value came from.
    fn said_exactly(&self, attributes: &[KeyValue]) -> Vec<&'static str> {
        let found = self.0.iter().flatten();
        let leading = found.filter(|(place, _)| is_leading(*place));
        leading
            .filter_map(|(place, found)| {
                let key = RULES[*place].key;
                value::is_exactly(find(attributes, key)?, found).then_some(key)
            })
            .collect()
    }

    /// Takes from the resource what the span itself did not say.
    fn fall_back_on(&mut self, resource: &Self) {
        for (own, theirs) in self.0.iter_mut().zip(&resource.0) {
            if own.is_none() {
                own.clone_from(theirs);
            }
        }
    }

    /// Whether the parts of a number are told apart from it, by the rule that found it.
    fn is_apart(&self, column: Column) -> bool {
        let found = self.0[column as usize].as_ref();
        found.is_some_and(|(place, _)| RULES[*place].apart)
    }

    fn take(&mut self, column: Column) -> Option<Found> {
        self.0[column as usize].take().map(|(_, found)| found)
    }

    fn text(&mut self, column: Column) -> Option<String> {
        match self.take(column)? {
            Found::Text(text) => Some(text),
            _ => None,
        }
    }

    fn count(&mut self, column: Column) -> Option<i64> {
        match self.take(column)? {
            Found::Count(count) => Some(count),
            _ => None,
        }
    }

    fn number(&mut self, column: Column) -> Option<f64> {
        match self.take(column)? {
            Found::Number(number) => Some(number),
            _ => None,
        }
    }

    fn money(&mut self, column: Column) -> Option<Decimal> {
        match self.take(column)? {
            Found::Money(money) => Some(money),
            _ => None,
        }
    }

    fn flag(&mut self, column: Column) -> Option<bool> {
        match self.take(column)? {
            Found::Flag(flag) => Some(flag),
            _ => None,
        }
    }
}

/// What is read: which rules may find a value there.
#[derive(Debug, Clone, Copy)]
enum Reading<'a> {
    Resource,
    Span {
        operation: Option<&'a str>,
        convention: Option<Convention>,
    },
}

impl Reading<'_> {
    fn allows(self, rule: &Rule) -> bool {
        match self {
            Self::Resource => rule.place == Place::Both && rule.only.is_none() && !rule.marked,
            Self::Span {
                operation,
                convention,
            } => {
                rule.only.is_none_or(|only| operation == Some(only))
                    && (!rule.marked || convention == Some(rule.convention))
            }
        }
    }
}

/// What all spans of a resource have in common: read once.
#[derive(Debug)]
pub(super) struct Resource {
    columns: Columns,
    service_name: Option<String>,
    json: Option<String>,
}

impl Resource {
    pub(super) fn of(sent: Option<&Sent>) -> Self {
        let attributes = sent.map_or(&[][..], |resource| &resource.attributes);
        let mut columns = Columns::new();
        columns.read(attributes, Reading::Resource);
        Self {
            columns,
            service_name: find(attributes, "service.name").and_then(value::text),
            json: json::text(json::object(attributes.iter())),
        }
    }
}

/// The row of a span.
pub(super) fn row(
    sent: &Span,
    stands: &Stands,
    scope: Option<&InstrumentationScope>,
    resource: &Resource,
    received_at_unix_nano: i64,
) -> SpanRow {
    let misnamed = scope.and_then(|scope| misnamed(&scope.name, &sent.name));
    let named = misnamed.map(Cow::Borrowed).or_else(|| {
        operation(|key| match find(&sent.attributes, key) {
            Some(Value::StringValue(text)) => Some(text.as_str()),
            Some(Value::BoolValue(true)) => Some("true"),
            _ => None,
        })
    });
    let told = Told {
        convention: Convention::of(sent.attributes.iter().map(|kv| kv.key.as_str())),
        operation: named,
    };
    row_of(sent, stands, scope, resource, received_at_unix_nano, told)
}

/// What is known of a span before its attributes are read.
pub(super) struct Told {
    /// By which convention they are read.
    pub(super) convention: Option<Convention>,
    /// What it tells of; `None` when nothing names it.
    pub(super) operation: Option<Cow<'static, str>>,
}

/// The row of a span, or of something else that has been put into a span's shape.
pub(super) fn row_of(
    sent: &Span,
    stands: &Stands,
    scope: Option<&InstrumentationScope>,
    resource: &Resource,
    received_at_unix_nano: i64,
    told: Told,
) -> SpanRow {
    let Told {
        convention,
        operation: named,
    } = told;
    let scope_name = scope.and_then(|scope| some(&scope.name));
    let mut row = SpanRow {
        date: Date::of_nanos(stands.start),
        start_time: Micros::of_nanos(stands.start),
        end_time: Micros::of_nanos(stands.end),
        start_unix_nano: stands.start,
        duration_ns: stands.end - stands.start,
        received_at: Micros::of_nanos(received_at_unix_nano),
        trace_id: stands.trace_id.clone(),
        span_id: stands.span_id.clone(),
        parent_span_id: stands.parent_span_id.clone(),
        name: sent.name.clone(),
        kind: kind(sent.kind),
        status: status(sent).to_owned(),
        status_message: sent
            .status
            .as_ref()
            .and_then(|status| some(&status.message)),
        scope_version: scope.and_then(|scope| some(&scope.version)),
        service_name: resource.service_name.clone(),
        convention: convention.map(|convention| convention.as_str().to_owned()),
        resource: resource.json.clone(),
        events: json::events(&sent.events),
        links: json::links(&sent.links),
        ..SpanRow::default()
    };
    let mut columns = Columns::new();
    let reading = Reading::Span {
        operation: named.as_deref(),
        convention,
    };
    columns.read(&sent.attributes, reading);
    let apart = Apart {
        input: columns.is_apart(Column::InputTokens)
            || sources::excludes_cached_input(scope_name.as_deref().unwrap_or_default()),
        cache_write: columns.is_apart(Column::CacheWriteTokens),
        output: columns.is_apart(Column::OutputTokens) || columns.is_apart(Column::ReasoningTokens),
    };
    let mut in_columns = columns.said_exactly(&sent.attributes);
    columns.fall_back_on(&resource.columns);
    fill(&mut row, &mut columns);
    row.operation = named
        .map(|named| named.into_owned())
        .or_else(|| implied(&row));
    row.error_type = row.error_type.take().or_else(|| failure(sent));
    if row.operation.as_deref().is_some_and(is_model_call) {
        describe_call(&mut row, sent);
    }
    if row.operation.as_deref() == Some("execute_tool") {
        describe_tool(&mut row, sent);
    }
    take_name(&mut row, convention);
    let told = Counts::of(&row);
    count_tokens(&mut row, apart);
    if row.operation.as_deref() == Some("invoke_agent")
        && row.usage.is_some()
        && sources::tells_lifetime_totals(scope_name.as_deref().unwrap_or_default())
    {
        Counts::default().put(&mut row);
        row.usage = Some(Usage::Unknown.as_str().to_owned());
    }
    if told != Counts::of(&row) {
        in_columns.retain(|key| !is_token_count(key));
    }
    if find(&sent.attributes, OPERATION).is_some_and(|sent| is_text(sent, &row.operation)) {
        in_columns.push(OPERATION);
    }
    row.attributes = json::attributes(&sent.attributes, &in_columns);
    row.scope_name = scope_name;
    row
}

/// Where the operation stands, if it does.
const OPERATION: &str = "gen_ai.operation.name";

fn is_text(sent: &Value, column: &Option<String>) -> bool {
    matches!((sent, column), (Value::StringValue(sent), Some(column)) if sent == column)
}

/// Moves what the rules found into the row.
fn fill(row: &mut SpanRow, columns: &mut Columns) {
    row.agent_name = columns.text(Column::AgentName);
    row.agent_id = columns.text(Column::AgentId);
    row.agent_version = columns.text(Column::AgentVersion);
    row.agent_role = columns.text(Column::AgentRole);
    row.session_id = columns.text(Column::SessionId);
    row.user_id = columns.text(Column::UserId);
    row.tenant = columns.text(Column::Tenant);
    row.team = columns.text(Column::Team);
    row.environment = columns.text(Column::Environment);
    row.execution_id = columns.text(Column::ExecutionId);
    row.task_id = columns.text(Column::TaskId);
    row.task_type = columns.text(Column::TaskType);
    row.workflow = columns.text(Column::Workflow);
    row.provider = columns.text(Column::Provider);
    row.request_model = columns.text(Column::RequestModel);
    row.response_model = columns.text(Column::ResponseModel);
    row.service_tier = columns.text(Column::ServiceTier);
    row.input_tokens = columns.count(Column::InputTokens);
    row.cache_read_tokens = columns.count(Column::CacheReadTokens);
    row.cache_write_tokens = columns.count(Column::CacheWriteTokens);
    row.cache_write_1h_tokens = columns.count(Column::CacheWrite1hTokens);
    row.audio_input_tokens = columns.count(Column::AudioInputTokens);
    row.image_input_tokens = columns.count(Column::ImageInputTokens);
    row.output_tokens = columns.count(Column::OutputTokens);
    row.reasoning_tokens = columns.count(Column::ReasoningTokens);
    row.audio_output_tokens = columns.count(Column::AudioOutputTokens);
    row.image_output_tokens = columns.count(Column::ImageOutputTokens);
    row.client_cost_usd = columns.money(Column::ClientCostUsd);
    row.response_id = columns.text(Column::ResponseId);
    row.finish_reason = columns.text(Column::FinishReason);
    row.tool_name = columns.text(Column::ToolName);
    row.tool_type = columns.text(Column::ToolType);
    row.tool_call_id = columns.text(Column::ToolCallId);
    row.tool_effect = columns.text(Column::ToolEffect);
    row.tool_input_hash = columns.text(Column::ToolInputHash);
    row.error_type = columns.text(Column::ErrorType);
    row.state = columns.text(Column::State);
    row.step = columns.count(Column::Step);
    row.decision = columns.flag(Column::Decision);
    row.confidence = columns.number(Column::Confidence);
    row.progress = columns.number(Column::Progress);
    row.termination = columns.text(Column::Termination);
    row.termination_reason = columns.text(Column::TerminationReason);
    row.escalated = columns.flag(Column::Escalated);
    row.intervention = columns.text(Column::Intervention);
    row.policy_verdict = columns.text(Column::PolicyVerdict);
    row.policy_rule = columns.text(Column::PolicyRule);
    row.queue_wait_ms = columns.count(Column::QueueWaitMs);
    row.version_set = columns.text(Column::VersionSet);
    row.outcome = columns.text(Column::Outcome);
    row.value_usd = columns.money(Column::ValueUsd);
}

/// What a span without a named operation tells of, by what it carries: older instrumentations name none.
fn implied(row: &SpanRow) -> Option<String> {
    let model = row.request_model.is_some() || row.response_model.is_some();
    let answered =
        row.input_tokens.is_some() || row.output_tokens.is_some() || row.response_id.is_some();
    let operation = if model && answered {
        "chat"
    } else if row.tool_name.is_some() && row.tool_call_id.is_some() {
        "execute_tool"
    } else {
        return None;
    };
    Some(operation.to_owned())
}

/// What kind of failure a span with status error tells of.
fn failure(sent: &Span) -> Option<String> {
    if status(sent) != "error" {
        return None;
    }
    let exception = sent
        .events
        .iter()
        .rev()
        .find_map(|event| find(&event.attributes, "exception.type"));
    exception
        .and_then(value::text)
        .or_else(|| Some("error".to_owned()))
}

fn describe_call(row: &mut SpanRow, sent: &Span) {
    let answer = answer::answer(&sent.attributes);
    row.output_has_tool_call = answer.has_tool_call;
    row.finish_reason = row.finish_reason.take().or(answer.finish_reason);
    row.response_id = row
        .response_id
        .take()
        .or_else(|| answer::response_id(&sent.attributes));
    if row.provider.is_none() {
        let model = row
            .response_model
            .as_deref()
            .or(row.request_model.as_deref());
        row.provider = model.and_then(sources::maker).map(str::to_owned);
    }
}

/// Keys under which a tool's arguments stand, best first.
const ARGUMENTS: &[&str] = &[
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.input",
    "mcp.tool.arguments",
    "mcp.request.argument",
    "traceloop.entity.input",
    "input.value",
    "tool_arguments",
    "ai.toolCall.args",
    "gcp.vertex.agent.tool_call_args",
    "langfuse.observation.input",
    "mlflow.spanInputs",
];

fn describe_tool(row: &mut SpanRow, sent: &Span) {
    if row.tool_input_hash.is_none() {
        let arguments = ARGUMENTS.iter().find_map(|key| find(&sent.attributes, key));
        row.tool_input_hash = arguments.map(|arguments| {
            let digest = match arguments {
                Value::StringValue(text) => Sha256::digest(text),
                other => Sha256::digest(json::of(other).to_string()),
            };
            hex::encode(digest)
        });
    }
    if row.tool_type.is_none() && sent.attributes.iter().any(|kv| kv.key.starts_with("mcp.")) {
        row.tool_type = Some("mcp".to_owned());
    }
}

/// The span's name where it is the agent's, or the tool's, and nothing else says it.
fn take_name(row: &mut SpanRow, convention: Option<Convention>) {
    let operation = row.operation.as_deref().unwrap_or_default();
    if row.name.is_empty() || !is_named_by_span(convention, operation) {
        return;
    }
    let named = match operation {
        "execute_tool" => &mut row.tool_name,
        _ => &mut row.agent_name,
    };
    named.get_or_insert_with(|| row.name.clone());
}

fn count_tokens(row: &mut SpanRow, apart: Apart) {
    let counts = Counts::of(row).as_otel_counts(apart);
    let broke_off = row.status == "error"
        || row.error_type.is_some()
        || row.finish_reason.as_deref() == Some("error");
    row.usage = counts
        .usage(row.operation.as_deref(), broke_off)
        .map(Usage::as_str)
        .map(str::to_owned);
    counts.put(row);
}

/// The last value of a key; of a key sent twice the later stays, in `attributes` too.
pub(super) fn find<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    attributes
        .iter()
        .rev()
        .find(|kv| kv.key == key)?
        .value
        .as_ref()?
        .value
        .as_ref()
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn kind(kind: i32) -> Option<String> {
    let word = match kind {
        1 => "internal",
        2 => "server",
        3 => "client",
        4 => "producer",
        5 => "consumer",
        _ => return None,
    };
    Some(word.to_owned())
}

fn status(sent: &Span) -> &'static str {
    match sent.status.as_ref().map(|status| status.code) {
        Some(1) => "ok",
        Some(2) => "error",
        _ => "unset",
    }
}
