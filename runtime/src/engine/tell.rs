//! What an execution tells of itself: the keys of OpenTelemetry and of Flyball on each span.

use rust_decimal::Decimal;
use sha2::{Digest, Sha256};

use super::run::Run;
use super::{Outcome, Parts};
use crate::gate::Limits;
use crate::machine::{Action, Termination};
use crate::model::{Judgement, Message, Reply, Request};
use crate::spec::AgentSpec;
use crate::telemetry::{Span, SpanKind, Telemetry};
use crate::tools::Contract;

/// Content longer than this is cut, in bytes.
const CONTENT_MAX: usize = 16 * 1024;

/// Telemetry with the resource of an agent.
pub(super) fn for_agent(parts: &Parts, spec: &AgentSpec) -> Telemetry {
    let mut resource = vec![
        ("service.name".to_owned(), parts.service.clone()),
        (
            "deployment.environment.name".to_owned(),
            spec.environment.clone(),
        ),
    ];
    resource.extend(spec.team.clone().map(|team| ("team".to_owned(), team)));
    parts.telemetry.for_resource(resource)
}

/// Names the versions of everything that decides: specification, policy and tools.
pub(super) fn version_set(parts: &Parts, spec: &AgentSpec) -> String {
    let mut hash = Sha256::new();
    hash.update(serde_json::to_vec(spec).unwrap_or_default());
    hash.update(parts.policy.version());
    for name in &spec.tools {
        if let Some(fitted) = parts.tools.get(name) {
            hash.update(name);
            hash.update(&fitted.tool.contract().version);
        }
    }
    hex::encode(&hash.finalize()[..8])
}

impl Run<'_> {
    /// Begins a span below the execution's own.
    pub(super) fn begin(&self, name: String, kind: SpanKind, operation: &str) -> Span {
        self.begin_at(name, kind, operation, self.record.root_span_id, self.now())
    }

    pub(super) fn begin_at(
        &self,
        name: String,
        kind: SpanKind,
        operation: &str,
        parent: [u8; 8],
        start: i64,
    ) -> Span {
        let mut span = Span::begin(name, kind, self.record.trace_id, Some(parent), start);
        span.text("gen_ai.operation.name", operation);
        span.text("flyball.state", self.record.state.name());
        span.int("flyball.step", self.record.counters.steps);
        self.tell_who(&mut span);
        span
    }

    /// Who it is, on every span: so none of them needs another to be understood.
    fn tell_who(&self, span: &mut Span) {
        let (spec, task) = (&self.record.spec, &self.record.task);
        span.text("gen_ai.agent.name", &spec.agent)
            .maybe("gen_ai.agent.version", spec.version.as_deref())
            .text("flyball.execution.id", &self.record.execution_id)
            .text("flyball.agent.role", spec.role.name())
            .text("flyball.version_set", &self.version_set)
            .maybe("flyball.task.id", task.id.as_deref())
            .maybe("flyball.task.type", task.kind.as_deref())
            .maybe("tenant.id", task.tenant.as_deref())
            .maybe("user.id", task.user.as_deref())
            .maybe("gen_ai.conversation.id", task.session.as_deref());
        if self.parts.gate.is_stale() {
            span.flag("flyball.control.stale", true);
        }
    }

    pub(super) fn tell_call(
        &self,
        span: &mut Span,
        request: &Request,
        limits: &Limits,
        worst: Decimal,
    ) {
        span.text("gen_ai.provider.name", self.parts.provider.name())
            .text("gen_ai.request.model", &request.model)
            .int("gen_ai.request.max_tokens", request.max_tokens)
            .double("gen_ai.request.temperature", request.temperature)
            .text("flyball.budget.reserved_usd", worst.to_string());
        if !limits.waited.is_zero() {
            span.int("flyball.queue.wait_ms", limits.waited.as_millis());
        }
        self.tell_budget(span);
        if self.parts.content {
            span.text("gen_ai.input.messages", messages(&request.messages));
        }
    }

    fn tell_budget(&self, span: &mut Span) {
        span.maybe(
            "flyball.budget.limit_usd",
            self.record.budget.limit().map(|limit| limit.to_string()),
        )
        .text(
            "flyball.budget.spent_usd",
            self.record.budget.spent().to_string(),
        );
    }

    pub(super) fn tell_reply(&self, span: &mut Span, reply: &Reply) {
        span.text("gen_ai.response.model", &reply.model)
            .text("gen_ai.response.id", &reply.id)
            .list(
                "gen_ai.response.finish_reasons",
                [reply.finish_reason.as_str()],
            )
            .flag("flyball.decision", true);
        if let Some(usage) = &reply.usage {
            span.int("gen_ai.usage.input_tokens", usage.input_tokens)
                .int("gen_ai.usage.output_tokens", usage.output_tokens);
            for (key, tokens) in [
                (
                    "gen_ai.usage.cache_read.input_tokens",
                    usage.cache_read_tokens,
                ),
                (
                    "gen_ai.usage.cache_write.input_tokens",
                    usage.cache_write_tokens,
                ),
                (
                    "gen_ai.usage.reasoning.output_tokens",
                    usage.reasoning_tokens,
                ),
            ] {
                if tokens > 0 {
                    span.int(key, tokens);
                }
            }
        }
        self.tell_judgement(span, &reply.judgement);
        if self.parts.content {
            let said = Message::Assistant {
                content: reply.content.clone(),
                tool_calls: reply.tool_calls.clone(),
            };
            span.text("gen_ai.output.messages", messages(&[said]));
        }
    }

    pub(super) fn tell_judgement(&self, span: &mut Span, judgement: &Judgement) {
        span.double("flyball.confidence", judgement.confidence);
        if self.parts.content {
            span.maybe("flyball.summary", judgement.summary.as_deref())
                .json("flyball.plan", judgement.plan.as_ref())
                .json("flyball.alternatives", judgement.alternatives.as_ref())
                .json("flyball.rejected", judgement.rejected.as_ref());
        }
    }

    pub(super) fn tell_action(
        &self,
        span: &mut Span,
        action: &Action,
        contract: Option<&Contract>,
        input_hash: &str,
    ) {
        span.text("gen_ai.tool.name", &action.tool)
            .text("gen_ai.tool.type", "function")
            .text("gen_ai.tool.call.id", &action.call_id)
            .text("flyball.tool.input_hash", input_hash)
            .text("flyball.policy.version", self.parts.policy.version())
            .double("flyball.confidence", self.record.confidence);
        if let Some(contract) = contract {
            span.text("flyball.tool.version", &contract.version)
                .text("flyball.tool.effect", contract.effect.name())
                .maybe(
                    "flyball.tool.compensation",
                    contract.compensation.as_deref(),
                );
            if !contract.scopes.is_empty() {
                span.text("flyball.tool.scope", contract.scopes.join(" "));
            }
        }
        if self.parts.content {
            span.text("gen_ai.tool.call.arguments", cut(action.input.to_string()));
        }
    }

    /// The execution's own span: the last that is told of it.
    pub(super) fn tell_end(&self, outcome: &Outcome) {
        let record = &self.record;
        let name = format!("invoke_agent {}", record.spec.agent);
        let start = record.started_at_unix_nano;
        let mut span = Span::begin_as(
            record.root_span_id,
            name,
            SpanKind::Internal,
            record.trace_id,
            None,
            start,
        );
        self.tell_who(&mut span);
        span.text("gen_ai.operation.name", "invoke_agent")
            .text("flyball.state", record.state.name())
            .int("flyball.step", record.counters.steps)
            .text("flyball.termination", outcome.termination.name())
            .text("flyball.termination.reason", &outcome.reason)
            .flag(
                "flyball.escalated",
                outcome.termination == Termination::Escalation,
            )
            .double("flyball.confidence", record.confidence);
        self.tell_budget(&mut span);
        match outcome.termination {
            Termination::Success => {}
            Termination::Escalation => {
                span.text(
                    "flyball.escalation.reason",
                    format!("{}: {}", outcome.reason, outcome.detail),
                );
            }
            Termination::Failure | Termination::Abort => {
                span.failed(&outcome.reason, &outcome.detail);
            }
        }
        if self.parts.content {
            let asked = Message::User {
                content: record.task.goal.clone(),
            };
            span.text("gen_ai.input.messages", messages(&[asked]));
            if let Some(answer) = &outcome.answer {
                let said = Message::Assistant {
                    content: answer.clone(),
                    tool_calls: Vec::new(),
                };
                span.text("gen_ai.output.messages", messages(&[said]));
            }
        }
        self.telemetry.end(span, outcome.ended_at_unix_nano);
    }
}

/// Messages in OpenTelemetry's form: `[{role, parts: [{type, content}]}]`.
fn messages(messages: &[Message]) -> String {
    use serde_json::json;
    let told: Vec<serde_json::Value> = messages
        .iter()
        .map(|message| match message {
            Message::System { content } => json!({"role": "system", "parts": [{"type": "text", "content": content}]}),
            Message::User { content } => json!({"role": "user", "parts": [{"type": "text", "content": content}]}),
            Message::Tool { call_id, content } => {
                json!({"role": "tool", "parts": [{"type": "tool_call_response", "id": call_id, "response": content}]})
            }
            Message::Assistant { content, tool_calls } => {
                let mut parts = Vec::new();
                if !content.is_empty() {
                    parts.push(json!({"type": "text", "content": content}));
                }
                for call in tool_calls {
                    parts.push(json!({"type": "tool_call", "id": call.id, "name": call.name, "arguments": call.arguments}));
                }
                json!({"role": "assistant", "parts": parts})
            }
        })
        .collect();
    cut(serde_json::Value::Array(told).to_string())
}

fn cut(mut text: String) -> String {
    if text.len() > CONTENT_MAX {
        let mut end = CONTENT_MAX;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    text
}
