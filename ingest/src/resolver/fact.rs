//! What is kept of a span: where it stands, when, who it says it is, and what it tells of a call.

use flyball_pricing::{Tokens, name};
use flyball_store::rows::{Kind, SpanView, Usage};
use rust_decimal::Decimal;

use super::tokens;
use super::words::{Word, Words};
use crate::conventions::sources;

/// The dimensions that a span may name, and may get from its ancestors or its trace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Who {
    pub(super) agent_name: Word,
    pub(super) agent_id: Word,
    pub(super) agent_version: Word,
    pub(super) agent_role: Word,
    pub(super) session_id: Word,
    pub(super) user_id: Word,
    pub(super) tenant: Word,
    pub(super) team: Word,
    pub(super) environment: Word,
    pub(super) workflow: Word,
    pub(super) task_id: Word,
    pub(super) task_type: Word,
}

/// What a span says of itself and its process. Few differ within a trace, so each is kept once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Own {
    pub(super) who: Who,
    pub(super) execution: Word,
    /// `service.name`, when somebody chose it.
    pub(super) service: Word,
}

/// What a span is to the resolver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Class {
    /// An agent at work.
    Agent,
    /// One request to a model.
    Model(Kind),
    /// One tool call.
    Tool,
    /// A poll for a response that was billed when it was asked for.
    Fetch,
    /// Anything else.
    Other,
}

impl Class {
    pub(super) fn of(operation: Option<&str>) -> Self {
        match operation {
            Some("chat" | "generate_content" | "text_completion") => Self::Model(Kind::ModelCall),
            Some("embeddings") => Self::Model(Kind::Embedding),
            Some("rerank") => Self::Model(Kind::Rerank),
            Some("execute_tool") => Self::Tool,
            Some("invoke_agent") => Self::Agent,
            Some("fetch_response") => Self::Fetch,
            _ => Self::Other,
        }
    }
}

/// What a span tells of a call, an agent or an outcome. Most plain spans tell nothing and have none.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Detail {
    pub(super) operation: Word,
    pub(super) provider: Word,
    pub(super) request_model: Word,
    pub(super) response_model: Word,
    pub(super) service_tier: Word,
    pub(super) response_id: Word,
    pub(super) finish_reason: Word,
    pub(super) tool_name: Word,
    pub(super) tool_call_id: Word,
    pub(super) tool_effect: Word,
    pub(super) tool_input_hash: Word,
    pub(super) tool_target: Word,
    pub(super) injection_markers: Word,
    pub(super) argument_markers: Word,
    pub(super) error_type: Word,
    pub(super) state: Word,
    pub(super) termination: Word,
    pub(super) termination_reason: Word,
    pub(super) policy_verdict: Word,
    pub(super) version_set: Word,
    /// The models, without what different tellings spell differently.
    pub(super) plain_models: [Word; 2],
    pub(super) usage: Option<Usage>,
    pub(super) tokens: Tokens,
    pub(super) client_cost: Option<Decimal>,
    pub(super) value: Option<Decimal>,
    pub(super) step: Option<i64>,
    pub(super) confidence: Option<f64>,
    pub(super) progress: Option<f64>,
    pub(super) queue_wait_ms: Option<i64>,
    pub(super) decision: Option<bool>,
    pub(super) output_has_tool_call: Option<bool>,
    pub(super) escalated: Option<bool>,
    /// The instrumentation that told it.
    pub(super) scope: Word,
    /// How near its scope stands to the provider (see [`sources::closeness`]).
    pub(super) closeness: u8,
}

impl Detail {
    fn of(row: &SpanView<'_>, words: &mut Words) -> Self {
        let mut word = |text: Option<&str>| words.word(text);
        let mut detail = Self {
            operation: word(row.operation),
            provider: word(row.provider),
            request_model: word(row.request_model),
            response_model: word(row.response_model),
            service_tier: word(row.service_tier),
            response_id: word(row.response_id),
            finish_reason: word(row.finish_reason),
            tool_name: word(row.tool_name),
            tool_call_id: word(row.tool_call_id),
            tool_effect: word(row.tool_effect),
            tool_input_hash: word(row.tool_input_hash),
            tool_target: word(row.tool_target),
            injection_markers: word(row.injection_markers),
            argument_markers: word(row.argument_markers),
            error_type: word(row.error_type),
            state: word(row.state),
            termination: word(row.termination),
            termination_reason: word(row.termination_reason),
            policy_verdict: word(row.policy_verdict),
            version_set: word(row.version_set),
            plain_models: [None; 2],
            usage: row.usage.map(Usage::parse),
            tokens: tokens::of_span(row),
            client_cost: row.client_cost_usd,
            value: row.value_usd,
            step: row.step,
            confidence: row.confidence,
            progress: row.progress,
            queue_wait_ms: row.queue_wait_ms,
            decision: row.decision,
            output_has_tool_call: row.output_has_tool_call,
            escalated: row.escalated,
            scope: word(row.scope_name),
            closeness: row
                .scope_name
                .map_or(0, |scope| sources::closeness(scope, row.provider)),
        };
        let models = [row.request_model, row.response_model];
        detail.plain_models = models.map(|model| words.word(model.map(name::plain).as_deref()));
        detail
    }
}

/// One span.
#[derive(Debug, Clone)]
pub(super) struct Fact {
    pub(super) span_id: u64,
    /// 0 for a root.
    pub(super) parent_id: u64,
    /// Nanoseconds since 1970.
    pub(super) start: i64,
    /// Nanoseconds.
    pub(super) duration: i64,
    /// Microseconds since 1970.
    pub(super) received: i64,
    pub(super) position: u64,
    /// Index into the trace's list of [`Own`].
    pub(super) own: u32,
    pub(super) class: Class,
    /// No span told it, but a log record.
    pub(super) recorded: bool,
    pub(super) detail: Option<Box<Detail>>,
}

impl Fact {
    /// What is kept of a row; `None` when its ids are not what every row's are.
    pub(super) fn of(
        row: &SpanView<'_>,
        words: &mut Words,
        own: impl FnOnce(Own) -> u32,
    ) -> Option<Self> {
        let id = |hex: &str| u64::from_str_radix(hex, 16).ok();
        let span_id = id(row.span_id)?;
        let parent_id = match row.parent_span_id {
            Some(hex) => id(hex)?,
            None => 0,
        };
        let detail = Detail::of(row, words);
        Some(Self {
            span_id,
            parent_id,
            start: row.start_unix_nano,
            duration: row.duration_ns,
            received: row.received_at.0,
            position: u64::try_from(row.log_position).unwrap_or_default(),
            own: own(Self::own(row, words)),
            class: Class::of(row.operation),
            recorded: row.signal.is_some(),
            detail: (detail
                != Detail {
                    scope: detail.scope,
                    closeness: detail.closeness,
                    ..Detail::default()
                })
            .then(|| Box::new(detail)),
        })
    }

    fn own(row: &SpanView<'_>, words: &mut Words) -> Own {
        let mut word = |text: Option<&str>| words.word(text);
        let who = Who {
            agent_name: word(row.agent_name),
            agent_id: word(row.agent_id),
            agent_version: word(row.agent_version),
            agent_role: word(row.agent_role),
            session_id: word(row.session_id),
            user_id: word(row.user_id),
            tenant: word(row.tenant),
            team: word(row.team),
            environment: word(row.environment),
            workflow: word(row.workflow),
            task_id: word(row.task_id),
            task_type: word(row.task_type),
        };
        // What an SDK says when nobody configured a name is no name.
        let service = row
            .service_name
            .filter(|name| !name.starts_with("unknown_service"));
        Own {
            who,
            execution: words.word(row.execution_id),
            service: words.word(service),
        }
    }

    /// End, nanoseconds since 1970.
    pub(super) fn end(&self) -> i64 {
        self.start.saturating_add(self.duration)
    }

    /// What it tells; a plain span tells nothing.
    pub(super) fn detail(&self) -> Detail {
        self.detail.as_deref().copied().unwrap_or_default()
    }

    /// Which of several spans comes first, whatever order they arrived in.
    pub(super) fn rank(&self) -> (i64, u64) {
        (self.start, self.span_id)
    }

    /// Whether it carries usage that is not a model call's own: an agent's or a step's total.
    pub(super) fn is_container(&self) -> bool {
        matches!(self.class, Class::Agent | Class::Other)
            && self
                .detail
                .as_ref()
                .is_some_and(|detail| detail.usage.is_some())
    }
}
