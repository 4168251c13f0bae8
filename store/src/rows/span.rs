//! `spans`: what was sent, normalised in form, never corrected. It carries usage as reported, and no money.

use rust_decimal::Decimal;

use super::{Date, Micros};

/// How much of a call's token usage the sender told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Usage {
    /// Nothing: token columns are NULL.
    Unknown,
    /// Some of it (a stream that was cut, one side only): a lower bound.
    Partial,
    /// Input and output as the provider counted them.
    Exact,
}

impl Usage {
    /// The word in the `usage` column.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Partial => "partial",
            Self::Exact => "exact",
        }
    }

    /// Reads the word; anything else is unknown.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        match word {
            "exact" => Self::Exact,
            "partial" => Self::Partial,
            _ => Self::Unknown,
        }
    }
}

crate::row! {
    /// One span, as its sender told it. Identity columns hold what stood on this very span or its
    /// resource; what an ancestor would add is the resolver's to say (see [`ChargeRow`](super::ChargeRow)).
    /// Token columns mean what OpenTelemetry means: input is all input, output is all output.
    pub struct SpanRow, filled as SpanColumns, seen as SpanView of SpanViews {
        /// Partition: the UTC day of `start_time`.
        pub date: Date,
        /// Start, microseconds.
        pub start_time: Micros,
        /// End, microseconds.
        pub end_time: Micros,
        /// Start, nanoseconds since 1970.
        pub start_unix_nano: i64,
        /// End minus start, nanoseconds; 0 when the sender's end lies before its start.
        pub duration_ns: i64,
        /// When we received it.
        pub received_at: Micros,
        /// 32 lower-case hex digits.
        pub trace_id: String,
        /// 16 lower-case hex digits.
        pub span_id: String,
        /// 16 lower-case hex digits; NULL for a root.
        pub parent_span_id: Option<String>,
        /// Span name.
        pub name: String,
        /// internal, server, client, producer, consumer; NULL when unspecified.
        pub kind: Option<String>,
        /// unset, ok or error.
        pub status: String,
        /// Status description.
        pub status_message: Option<String>,
        /// log, when no span told this call but a log record did (see [`LogRow`](super::LogRow)); NULL for a span.
        pub signal: Option<String>,
        /// Instrumentation scope.
        pub scope_name: Option<String>,
        /// Its version.
        pub scope_version: Option<String>,
        /// Resource `service.name`.
        pub service_name: Option<String>,
        /// Which convention it was read by: otel, openinference, openllmetry; NULL for a plain span.
        pub convention: Option<String>,
        /// Canonical operation: chat, generate_content, text_completion, embeddings, rerank, retrieval,
        /// execute_tool, invoke_agent, invoke_workflow, plan, ...; NULL for a plain span.
        pub operation: Option<String>,
        /// Agent, as sent on this span.
        pub agent_name: Option<String>,
        /// Instance of the agent, as sent.
        pub agent_id: Option<String>,
        /// Version of the agent, as sent.
        pub agent_version: Option<String>,
        /// `flyball.agent.role`.
        pub agent_role: Option<String>,
        /// Session (conversation), as sent.
        pub session_id: Option<String>,
        /// User, as sent.
        pub user_id: Option<String>,
        /// Tenant, as sent.
        pub tenant: Option<String>,
        /// Team, as sent.
        pub team: Option<String>,
        /// Deployment environment, as sent.
        pub environment: Option<String>,
        /// `flyball.execution.id` or a convention's run id, as sent.
        pub execution_id: Option<String>,
        /// `flyball.task.id`.
        pub task_id: Option<String>,
        /// `flyball.task.type`.
        pub task_type: Option<String>,
        /// Workflow, crew or graph.
        pub workflow: Option<String>,
        /// openai, anthropic, gcp.gemini, ...
        pub provider: Option<String>,
        /// Model asked for.
        pub request_model: Option<String>,
        /// Model used; priced before `request_model`.
        pub response_model: Option<String>,
        /// Service tier, which changes the price.
        pub service_tier: Option<String>,
        /// exact, partial or unknown; NULL when the span tells of no model call and carries no usage.
        pub usage: Option<String>,
        /// All input tokens, cached ones included.
        pub input_tokens: Option<i64>,
        /// Of input: read from a cache.
        pub cache_read_tokens: Option<i64>,
        /// Of input: written to a cache.
        pub cache_write_tokens: Option<i64>,
        /// Of those written: kept for an hour; the others for minutes.
        pub cache_write_1h_tokens: Option<i64>,
        /// Of input: audio.
        pub audio_input_tokens: Option<i64>,
        /// Of input: images.
        pub image_input_tokens: Option<i64>,
        /// All output tokens, reasoning included.
        pub output_tokens: Option<i64>,
        /// Of output: reasoning.
        pub reasoning_tokens: Option<i64>,
        /// Of output: audio.
        pub audio_output_tokens: Option<i64>,
        /// Of output: images.
        pub image_output_tokens: Option<i64>,
        /// The sender's own estimate of the cost.
        pub client_cost_usd: Option<Decimal>,
        /// Provider's id of the response.
        pub response_id: Option<String>,
        /// First finish reason: stop, length, tool_calls, content_filter, error, ...
        pub finish_reason: Option<String>,
        /// Whether the output asks for a tool (from the messages, when the finish reason does not say).
        pub output_has_tool_call: Option<bool>,
        /// Tool, as sent.
        pub tool_name: Option<String>,
        /// function, extension, datastore, mcp, ...
        pub tool_type: Option<String>,
        /// The model's id of the tool call.
        pub tool_call_id: Option<String>,
        /// `flyball.tool.effect`: read_only, reversible, irreversible.
        pub tool_effect: Option<String>,
        /// `flyball.tool.input_hash`, else SHA-256 of the arguments as sent, hex.
        pub tool_input_hash: Option<String>,
        /// What the call acts on: `flyball.tool.target`, else SHA-256 (hex) of the argument that names a path or URI.
        pub tool_target: Option<String>,
        /// Signs of prompt injection ([`Marker`](super::Marker)) in what came from outside, separated by blanks: in what
        /// a tool gave back, in new messages of users and tools. `none` where there are none; NULL where nothing came.
        pub injection_markers: Option<String>,
        /// The same signs in what a tool was given.
        pub argument_markers: Option<String>,
        /// `error.type`, else the exception's type, else `error` when the status says so.
        pub error_type: Option<String>,
        /// `flyball.state`.
        pub state: Option<String>,
        /// `flyball.step`.
        pub step: Option<i64>,
        /// `flyball.decision`.
        pub decision: Option<bool>,
        /// `flyball.confidence`, 0 to 1.
        pub confidence: Option<f64>,
        /// `flyball.progress`.
        pub progress: Option<f64>,
        /// success, failure, escalation or abort.
        pub termination: Option<String>,
        /// Why.
        pub termination_reason: Option<String>,
        /// `flyball.escalated`.
        pub escalated: Option<bool>,
        /// `flyball.intervention`: approve, reject, amend, override, abort.
        pub intervention: Option<String>,
        /// `flyball.policy.verdict`: allow, deny, needs_approval.
        pub policy_verdict: Option<String>,
        /// `flyball.policy.rule`.
        pub policy_rule: Option<String>,
        /// `flyball.queue.wait_ms`.
        pub queue_wait_ms: Option<i64>,
        /// `flyball.version_set`.
        pub version_set: Option<String>,
        /// `flyball.outcome`.
        pub outcome: Option<String>,
        /// `flyball.value_usd`.
        pub value_usd: Option<Decimal>,
        /// Every attribute that is no content, as one JSON object; without those that a column holds exactly as they
        /// were sent under its leading key.
        pub attributes: Option<String>,
        /// Resource attributes, as one JSON object.
        pub resource: Option<String>,
        /// Span events (without content), as a JSON array.
        pub events: Option<String>,
        /// Span links, as a JSON array.
        pub links: Option<String>,
        /// Where in the log the request stands that told it; of two tellings the later is kept.
        pub log_position: i64,
    }
}
