//! `logs`: log records and events, normalised as spans are.

use rust_decimal::Decimal;

use super::{Date, Micros};

crate::row! {
    /// One log record, as its sender told it. What its attributes say is read by the same table as a span's, so the
    /// columns that both have mean the same. A record that tells of a call also stands in `spans`, with `signal` log,
    /// under the same `trace_id` and with `record_id` as its `span_id`: that is what the resolver charges, unless a
    /// span tells of the call as well.
    pub struct LogRow {
        /// Partition: the UTC day of `time`.
        pub date: Date,
        /// When it happened; when it was observed, where that is all the sender says; else when we received it.
        pub time: Micros,
        /// The same, nanoseconds since 1970.
        pub time_unix_nano: i64,
        /// When we received it.
        pub received_at: Micros,
        /// 32 lower-case hex digits: the trace it was sent in. Where it was sent in none, the one that its session
        /// and execution stand for; NULL when it names neither.
        pub trace_id: Option<String>,
        /// The span it was sent in; NULL when in none.
        pub span_id: Option<String>,
        /// Names the record: 16 hex digits of a hash over what it says.
        pub record_id: String,
        /// What happened: `gen_ai.evaluation.result`, `claude_code.api_request`, ...; NULL for a plain log line.
        pub event_name: Option<String>,
        /// trace, debug, info, warn, error or fatal; NULL when unspecified.
        pub severity: Option<String>,
        /// The body, where it is a text and no content.
        pub body: Option<String>,
        /// Instrumentation scope.
        pub scope_name: Option<String>,
        /// Resource `service.name`.
        pub service_name: Option<String>,
        /// Which convention it was read by; NULL for a plain log line.
        pub convention: Option<String>,
        /// Operation it tells of, as in `spans`.
        pub operation: Option<String>,
        /// Agent.
        pub agent_name: Option<String>,
        /// Instance of the agent.
        pub agent_id: Option<String>,
        /// Session (conversation).
        pub session_id: Option<String>,
        /// User.
        pub user_id: Option<String>,
        /// Tenant.
        pub tenant: Option<String>,
        /// Team.
        pub team: Option<String>,
        /// Deployment environment.
        pub environment: Option<String>,
        /// Execution.
        pub execution_id: Option<String>,
        /// Provider.
        pub provider: Option<String>,
        /// Model asked for.
        pub request_model: Option<String>,
        /// Model used.
        pub response_model: Option<String>,
        /// Provider's id of the response.
        pub response_id: Option<String>,
        /// exact, partial or unknown, as in `spans`.
        pub usage: Option<String>,
        /// All input tokens, cached ones included.
        pub input_tokens: Option<i64>,
        /// All output tokens.
        pub output_tokens: Option<i64>,
        /// The sender's own estimate of the cost.
        pub client_cost_usd: Option<Decimal>,
        /// Tool.
        pub tool_name: Option<String>,
        /// The model's id of the tool call.
        pub tool_call_id: Option<String>,
        /// Kind of failure.
        pub error_type: Option<String>,
        /// What was evaluated: `gen_ai.evaluation.name`.
        pub evaluation_name: Option<String>,
        /// `gen_ai.evaluation.score.value`.
        pub evaluation_score: Option<f64>,
        /// `gen_ai.evaluation.score.label`.
        pub evaluation_label: Option<String>,
        /// What a person or a rule said to a tool call: accept, reject, allow, deny, require_approval.
        pub tool_decision: Option<String>,
        /// Every attribute that is no content, as one JSON object.
        pub attributes: Option<String>,
        /// Resource attributes, as one JSON object.
        pub resource: Option<String>,
        /// Where in the log the request stands that told it.
        pub log_position: i64,
    }
}
