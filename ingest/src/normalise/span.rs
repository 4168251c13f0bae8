//! One span, with its scope and resource, as a row.

use std::borrow::Cow;

use flyball_otlp::common::{InstrumentationScope, Resource as Sent, Value};
use flyball_otlp::trace::Span;
use flyball_store::rows::{Date, Micros, SpanColumns, SpanRow, Usage};
use sha2::{Digest, Sha256};

use super::accept::Place as Stands;
use super::attributes::{Attributes, find};
use super::columns::{Columns, Reading};
use super::markers::{self, Found, Markers};
use super::usage::{Apart, Counts};
use super::{answer, json, target, value};
use crate::conventions::{
    Column, Convention, Key, Side, is_model_call, is_named_by_span, misnamed, operation_of, sources,
};

/// What all spans of a resource have in common: read once.
#[derive(Debug)]
pub(super) struct Resource<'a> {
    columns: Columns<'a>,
    service_name: Option<Cow<'a, str>>,
    json: Option<String>,
}

impl<'a> Resource<'a> {
    pub(super) fn of(sent: Option<&Sent<'a>>) -> Self {
        let sent = sent.map_or(&[][..], |resource| &resource.attributes);
        let mut keys = Vec::new();
        let attributes = Attributes::of(sent, &mut keys);
        Self {
            columns: Columns::read(&attributes, Reading::Resource),
            service_name: attributes.find("service.name").and_then(value::text),
            json: json::object(sent.iter().map(|kv| (kv.key, kv.value.as_ref()))),
        }
    }
}

/// What all spans of a scope have in common: read once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    name: Option<&'a str>,
    version: Option<&'a str>,
    excludes_cached_input: bool,
    tells_lifetime_totals: bool,
}

impl<'a> Scope<'a> {
    pub(super) fn of(sent: Option<&InstrumentationScope<'a>>) -> Self {
        let name = sent.and_then(|scope| some(scope.name));
        Self {
            name,
            version: sent.and_then(|scope| some(scope.version)),
            excludes_cached_input: sources::excludes_cached_input(name.unwrap_or_default()),
            tells_lifetime_totals: sources::tells_lifetime_totals(name.unwrap_or_default()),
        }
    }
}

impl<'a> Scope<'a> {
    /// Its name; empty when it has none.
    pub(super) fn name_or_empty(self) -> &'a str {
        self.name.unwrap_or_default()
    }
}

/// Where a span, record or point stands in its request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting<'s, 'a> {
    pub(super) scope: Scope<'a>,
    pub(super) resource: &'s Resource<'a>,
    pub(super) received_at_unix_nano: i64,
}

/// What is known of a span before its attributes are read.
#[derive(Debug, Clone)]
pub(super) struct Told<'a> {
    /// By which convention they are read.
    pub(super) convention: Option<Convention>,
    /// What it tells of; `None` when nothing names it.
    pub(super) operation: Option<Cow<'a, str>>,
}

impl<'a> Told<'a> {
    /// As the attributes tell it, and what is known of the sender.
    pub(super) fn by(attributes: &Attributes<'_, 'a>, name: &str, scope: Scope<'_>) -> Self {
        let texts = attributes.operations();
        let misnamed = scope.name.and_then(|scope| misnamed(scope, name));
        Self {
            convention: attributes.convention(),
            operation: misnamed
                .map(Cow::Borrowed)
                .or_else(|| operation_of(|place| texts.get(place).copied().flatten())),
        }
    }
}

/// What a span says, or something else that has been put into a span's shape: all but its frame.
#[derive(Debug)]
pub(super) struct Said<'a> {
    columns: Columns<'a>,
    convention: Option<Convention>,
    operation: Option<Cow<'a, str>>,
    status: &'static str,
    usage: Option<Usage>,
    output_has_tool_call: Option<bool>,
    markers: Markers,
    /// Keys whose values stand in columns just as they were sent.
    in_columns: Vec<Key>,
}

impl<'a> Said<'a> {
    pub(super) fn by<'s: 'a>(
        sent: &Span<'a>,
        attributes: &Attributes<'_, 'a>,
        setting: Setting<'s, 'a>,
        told: Told<'a>,
    ) -> Self {
        let scope = setting.scope;
        let reading = Reading::Span {
            operation: told.operation.as_deref(),
            convention: told.convention,
        };
        let mut columns = Columns::read(attributes, reading);
        let apart = Apart {
            input: columns.is_apart(Column::InputTokens) || scope.excludes_cached_input,
            cache_write: columns.is_apart(Column::CacheWriteTokens),
            output: columns.is_apart(Column::OutputTokens)
                || columns.is_apart(Column::ReasoningTokens),
        };
        let in_columns = columns.said_exactly(attributes);
        columns.fall_back_on(&setting.resource.columns);
        let operation = told
            .operation
            .or_else(|| implied(&columns).map(Cow::Borrowed));
        let mut said = Self {
            columns,
            convention: told.convention,
            operation,
            status: status(sent),
            usage: None,
            output_has_tool_call: None,
            markers: Markers::default(),
            in_columns,
        };
        said.derive(sent, attributes);
        said.count_tokens(apart, scope);
        if let Some(Value::String(sent)) = attributes.find(OPERATION)
            && said.operation() == Some(*sent)
        {
            said.in_columns.push(crate::conventions::key(OPERATION));
        }
        said
    }

    pub(super) fn operation(&self) -> Option<&str> {
        self.operation.as_deref()
    }

    /// What was not sent, but follows from what was.
    fn derive(&mut self, sent: &Span<'a>, attributes: &Attributes<'_, 'a>) {
        let status = self.status;
        self.columns
            .derive(Column::ErrorType, || failure(sent, status));
        if self.operation().is_some_and(is_model_call) {
            self.output_has_tool_call = describe_call(&mut self.columns, attributes);
            self.markers = markers::of_model_call(sent, attributes);
        }
        if self.operation() == Some("execute_tool") {
            describe_tool(&mut self.columns, attributes);
            self.markers = markers::of_tool(attributes);
        }
        // The span's name where it is the agent's, or the tool's, and nothing else says it.
        let operation = self.operation().unwrap_or_default();
        if !sent.name.is_empty() && is_named_by_span(self.convention, operation) {
            let named = match operation {
                "execute_tool" => Column::ToolName,
                _ => Column::AgentName,
            };
            self.columns
                .derive(named, || Some(Cow::Borrowed(sent.name)));
        }
    }

    /// Brings the tokens to one meaning, and says how much of the truth they tell. A count that is not what was sent
    /// any more has to stand in `attributes` too.
    fn count_tokens(&mut self, apart: Apart, scope: Scope<'_>) {
        let told = Counts::of(&self.columns);
        let mut counts = told.as_otel_counts(apart);
        let broke_off = self.status == "error"
            || self.columns.text(Column::ErrorType).is_some()
            || self.columns.text(Column::FinishReason) == Some("error");
        self.usage = counts.usage(self.operation(), broke_off);
        if self.operation() == Some("invoke_agent")
            && self.usage.is_some()
            && scope.tells_lifetime_totals
        {
            counts = Counts::default();
            self.usage = Some(Usage::Unknown);
        }
        if told != counts {
            counts.put(&mut self.columns);
            self.in_columns.retain(|key| !key.is_token_count);
        }
    }

    /// Writes the row of a span as row `at`; `text` is where to write JSON, and is used again for the next one.
    pub(super) fn write(
        &self,
        frame: Frame<'_, '_>,
        attributes: &Attributes<'_, '_>,
        out: &mut SpanColumns,
        at: usize,
        text: &mut Vec<u8>,
    ) {
        frame.write(out, at);
        out.status.set(at, self.status);
        out.convention
            .set(at, self.convention.map(Convention::as_str));
        out.operation.set(at, self.operation());
        out.usage.set(at, self.usage.map(Usage::as_str));
        out.output_has_tool_call.set(at, self.output_has_tool_call);
        let markers = |found: Option<Found>| found.map(Found::text);
        let injection = markers(self.markers.injection);
        out.injection_markers.set(at, injection.as_deref());
        let arguments = markers(self.markers.arguments);
        out.argument_markers.set(at, arguments.as_deref());
        fill(out, at, &self.columns);
        out.attributes
            .set(at, json::attributes(attributes, &self.in_columns, text));
    }

    /// The row of something that is no span but was read as one: it began and ended at these times (nanoseconds since
    /// 1970), and has no ids, and no attributes beyond its columns.
    pub(super) fn row(&self, name: &str, times: (i64, i64), setting: Setting<'_, '_>) -> SpanRow {
        let (start, end) = times;
        let owned = |text: &str| text.to_owned();
        let mut row = SpanRow {
            date: Date::of_nanos(start),
            start_time: Micros::of_nanos(start),
            end_time: Micros::of_nanos(end),
            start_unix_nano: start,
            duration_ns: end - start,
            received_at: Micros::of_nanos(setting.received_at_unix_nano),
            name: name.to_owned(),
            status: self.status.to_owned(),
            scope_name: setting.scope.name.map(owned),
            scope_version: setting.scope.version.map(owned),
            service_name: setting.resource.service_name.as_deref().map(owned),
            convention: self.convention.map(Convention::as_str).map(owned),
            operation: self.operation().map(owned),
            usage: self.usage.map(Usage::as_str).map(owned),
            output_has_tool_call: self.output_has_tool_call,
            injection_markers: self.markers.injection.map(|found| found.text().into()),
            argument_markers: self.markers.arguments.map(|found| found.text().into()),
            resource: setting.resource.json.clone(),
            ..SpanRow::default()
        };
        fill_row(&mut row, &self.columns);
        row
    }
}

/// Where the operation stands, if it does.
const OPERATION: &str = "gen_ai.operation.name";

/// What a span is by its frame: ids, times, names, scope and resource, events and links.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'s, 'a> {
    pub(super) sent: &'s Span<'a>,
    pub(super) stands: &'s Stands,
    pub(super) setting: Setting<'s, 'a>,
}

impl Frame<'_, '_> {
    fn write(&self, out: &mut SpanColumns, at: usize) {
        let Self {
            sent,
            stands,
            setting,
        } = self;
        out.date.set(at, Date::of_nanos(stands.start));
        out.start_time.set(at, Micros::of_nanos(stands.start));
        out.end_time.set(at, Micros::of_nanos(stands.end));
        out.start_unix_nano.set(at, stands.start);
        out.duration_ns.set(at, stands.end - stands.start);
        out.received_at
            .set(at, Micros::of_nanos(setting.received_at_unix_nano));
        out.trace_id.set(at, stands.trace_id.as_str());
        out.span_id.set(at, stands.span_id.as_str());
        let parent = stands.parent_span_id.as_ref();
        out.parent_span_id.set(at, parent.map(|id| id.as_str()));
        out.name.set(at, sent.name);
        out.kind.set(at, kind(sent.kind));
        let message = sent.status.as_ref().and_then(|status| some(status.message));
        out.status_message.set(at, message);
        out.scope_name.set(at, setting.scope.name);
        out.scope_version.set(at, setting.scope.version);
        out.service_name
            .set(at, setting.resource.service_name.as_deref());
        out.resource.set(at, setting.resource.json.as_deref());
        out.events.set(at, json::events(&sent.events).as_deref());
        out.links.set(at, json::links(&sent.links).as_deref());
        // The store knows where the request stands.
        out.log_position.set(at, 0);
    }
}

/// Declares which columns the rules fill, and how values go there: into columns, and into a row.
macro_rules! filled {
    ($( $field:ident: $how:ident = $column:ident, )*) => {
        /// Moves what the rules found into row `at`.
        fn fill(out: &mut SpanColumns, at: usize, columns: &Columns<'_>) {
            $( out.$field.set(at, columns.$how(Column::$column)); )*
        }

        /// Moves what the rules found into a row.
        fn fill_row(row: &mut SpanRow, columns: &Columns<'_>) {
            $( row.$field = columns.$how(Column::$column).map(Into::into); )*
        }
    };
}

filled! {
    agent_name: text = AgentName,
    agent_id: text = AgentId,
    agent_version: text = AgentVersion,
    agent_role: text = AgentRole,
    session_id: text = SessionId,
    user_id: text = UserId,
    tenant: text = Tenant,
    team: text = Team,
    environment: text = Environment,
    execution_id: text = ExecutionId,
    task_id: text = TaskId,
    task_type: text = TaskType,
    workflow: text = Workflow,
    provider: text = Provider,
    request_model: text = RequestModel,
    response_model: text = ResponseModel,
    service_tier: text = ServiceTier,
    input_tokens: count = InputTokens,
    cache_read_tokens: count = CacheReadTokens,
    cache_write_tokens: count = CacheWriteTokens,
    cache_write_1h_tokens: count = CacheWrite1hTokens,
    audio_input_tokens: count = AudioInputTokens,
    image_input_tokens: count = ImageInputTokens,
    output_tokens: count = OutputTokens,
    reasoning_tokens: count = ReasoningTokens,
    audio_output_tokens: count = AudioOutputTokens,
    image_output_tokens: count = ImageOutputTokens,
    client_cost_usd: money = ClientCostUsd,
    response_id: text = ResponseId,
    finish_reason: text = FinishReason,
    tool_name: text = ToolName,
    tool_type: text = ToolType,
    tool_call_id: text = ToolCallId,
    tool_effect: text = ToolEffect,
    tool_input_hash: text = ToolInputHash,
    tool_target: text = ToolTarget,
    error_type: text = ErrorType,
    state: text = State,
    step: count = Step,
    decision: flag = Decision,
    confidence: number = Confidence,
    progress: number = Progress,
    termination: text = Termination,
    termination_reason: text = TerminationReason,
    escalated: flag = Escalated,
    intervention: text = Intervention,
    policy_verdict: text = PolicyVerdict,
    policy_rule: text = PolicyRule,
    queue_wait_ms: count = QueueWaitMs,
    version_set: text = VersionSet,
    outcome: text = Outcome,
    value_usd: money = ValueUsd,
}

/// What a span without a named operation tells of, by what it carries: older instrumentations name none.
fn implied(columns: &Columns<'_>) -> Option<&'static str> {
    let has = |column| columns.text(column).is_some();
    let counted = |column| columns.count(column).is_some();
    let model = has(Column::RequestModel) || has(Column::ResponseModel);
    let answered =
        counted(Column::InputTokens) || counted(Column::OutputTokens) || has(Column::ResponseId);
    if model && answered {
        Some("chat")
    } else if has(Column::ToolName) && has(Column::ToolCallId) {
        Some("execute_tool")
    } else {
        None
    }
}

/// What kind of failure a span with status error tells of.
fn failure<'a>(sent: &Span<'a>, status: &str) -> Option<Cow<'a, str>> {
    if status != "error" {
        return None;
    }
    let mut events = sent.events.iter().rev();
    let exception = events.find_map(|event| find(&event.attributes, "exception.type"));
    exception
        .and_then(value::text)
        .or(Some(Cow::Borrowed("error")))
}

/// Derives what a model call's answer tells; whether the answer asks for a tool.
fn describe_call(columns: &mut Columns<'_>, attributes: &Attributes<'_, '_>) -> Option<bool> {
    let answer = answer::answer(attributes.sent());
    columns.derive(Column::FinishReason, || {
        answer.finish_reason.map(Cow::Owned)
    });
    columns.derive(Column::ResponseId, || {
        answer::response_id(attributes.sent()).map(Cow::Owned)
    });
    let model = columns
        .text(Column::ResponseModel)
        .or(columns.text(Column::RequestModel));
    let needed = columns.text(Column::Provider).is_none();
    let maker = model.filter(|_| needed).and_then(sources::maker);
    columns.derive(Column::Provider, || maker.map(Cow::Borrowed));
    answer.has_tool_call
}

/// Keys under which a tool's arguments stand, best first. All are content.
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

fn describe_tool(columns: &mut Columns<'_>, attributes: &Attributes<'_, '_>) {
    if attributes.has_content(Side::Input) {
        columns.derive(Column::ToolTarget, || {
            let arguments = ARGUMENTS.iter().find_map(|key| attributes.find(key))?;
            target::of(arguments).map(Cow::Owned)
        });
        columns.derive(Column::ToolInputHash, || {
            let arguments = ARGUMENTS.iter().find_map(|key| attributes.find(key))?;
            let digest = match arguments {
                Value::String(text) => Sha256::digest(text),
                other => Sha256::digest(json::of(other).to_string()),
            };
            Some(Cow::Owned(hex::encode(digest)))
        });
    }
    columns.derive(Column::ToolType, || {
        let mut keys = attributes.sent().iter().map(|kv| kv.key);
        keys.any(|key| key.starts_with("mcp."))
            .then_some(Cow::Borrowed("mcp"))
    });
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn kind(kind: i32) -> Option<&'static str> {
    match kind {
        1 => Some("internal"),
        2 => Some("server"),
        3 => Some("client"),
        4 => Some("producer"),
        5 => Some("consumer"),
        _ => None,
    }
}

fn status(sent: &Span<'_>) -> &'static str {
    match sent.status.as_ref().map(|status| status.code) {
        Some(1) => "ok",
        Some(2) => "error",
        _ => "unset",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conventions::content_side;

    #[test]
    fn what_a_tool_was_given_is_content_whatever_the_key() {
        for key in ARGUMENTS {
            assert_eq!(content_side(key), Some(Side::Input), "{key}");
        }
    }
}
