//! `charges`: the resolver's journal.

use rust_decimal::Decimal;

use super::{Date, Micros};

/// What a journal row tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One inference request to a model.
    ModelCall,
    /// One embeddings request.
    Embedding,
    /// One reranking request.
    Rerank,
    /// One tool call; its cost is NULL unless the tool has a price.
    ToolCall,
    /// One execution of an agent. Costs nothing itself.
    Execution,
}

impl Kind {
    /// The word in the `kind` column.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ModelCall => "model_call",
            Self::Embedding => "embedding",
            Self::Rerank => "rerank",
            Self::ToolCall => "tool_call",
            Self::Execution => "execution",
        }
    }
}

/// How a journal row counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Entry {
    /// The call, entered.
    Charge,
    /// A charge taken back: same `charge_id`, calls, tokens and money negated.
    Reversal,
    /// A span that tells of a call another span already bills (`duplicate_of`): all zero.
    Duplicate,
}

impl Entry {
    /// The word in the `entry` column.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::Reversal => "reversal",
            Self::Duplicate => "duplicate",
        }
    }
}

crate::row! {
    /// One entry of the journal: a call (or execution) with every dimension, its tokens and its cost.
    /// `SUM` over any quantity is right at every moment, since a correction is a reversal and a new charge.
    /// Rows that stand are those with `entry = 'charge'` whose `charge_id` no reversal names.
    pub struct ChargeRow, filled as ChargeColumns {
        /// Partition: the UTC day of `start_time`.
        pub date: Date,
        /// Start of the call.
        pub start_time: Micros,
        /// End of the call; of an execution that still runs, NULL.
        pub end_time: Option<Micros>,
        /// Start, nanoseconds since 1970.
        pub start_unix_nano: i64,
        /// End minus start, nanoseconds; NULL while it runs.
        pub duration_ns: Option<i64>,
        /// When its last span was received.
        pub received_at: Micros,
        /// When we knew it: the time of this entry.
        pub known_at: Micros,
        /// Deterministic: the same call, read the same way, has the same id.
        pub charge_id: String,
        /// charge, reversal or duplicate ([`Entry`]).
        pub entry: String,
        /// Why, for corrections: late_span, reprice, erasure, duplicate.
        pub reason: Option<String>,
        /// model_call, embedding, rerank, tool_call or execution ([`Kind`]).
        pub kind: String,
        /// Trace of the billing span.
        pub trace_id: String,
        /// The span that bills; of an execution, its topmost agent span (or the trace's first).
        pub span_id: String,
        /// For a duplicate, the span that bills in its place.
        pub duplicate_of: Option<String>,
        /// call: the span itself is the call. container: an agent or step that bills for what it hides.
        pub billed_by: Option<String>,
        /// Resolved execution.
        pub execution_id: String,
        /// Resolved task; the execution itself unless sent.
        pub task_id: String,
        /// Resolved task type.
        pub task_type: Option<String>,
        /// Resolved agent: own, nearest ancestor's, the trace's.
        pub agent_name: Option<String>,
        /// Resolved instance.
        pub agent_id: Option<String>,
        /// Resolved version.
        pub agent_version: Option<String>,
        /// Resolved role.
        pub agent_role: Option<String>,
        /// Resolved session.
        pub session_id: Option<String>,
        /// Resolved user.
        pub user_id: Option<String>,
        /// Resolved tenant.
        pub tenant: Option<String>,
        /// Resolved team.
        pub team: Option<String>,
        /// Resolved environment.
        pub environment: Option<String>,
        /// Resolved workflow.
        pub workflow: Option<String>,
        /// Canonical operation of the billing span.
        pub operation: Option<String>,
        /// Provider.
        pub provider: Option<String>,
        /// Model asked for.
        pub request_model: Option<String>,
        /// Model used.
        pub response_model: Option<String>,
        /// Service tier.
        pub service_tier: Option<String>,
        /// Provider's id of the response.
        pub response_id: Option<String>,
        /// Finish reason.
        pub finish_reason: Option<String>,
        /// Tool.
        pub tool_name: Option<String>,
        /// The model's id of the tool call.
        pub tool_call_id: Option<String>,
        /// read_only, reversible, irreversible.
        pub tool_effect: Option<String>,
        /// Hash of the tool's input.
        pub tool_input_hash: Option<String>,
        /// What the tool call acts on, as sent or as a hash.
        pub tool_target: Option<String>,
        /// Signs of prompt injection ([`Marker`](super::Marker)) in what came from outside, separated by blanks; `none`
        /// where there are none, NULL where nothing came.
        pub injection_markers: Option<String>,
        /// The same signs in what a tool was given.
        pub argument_markers: Option<String>,
        /// Error, NULL when it went well.
        pub error_type: Option<String>,
        /// 1 for a call (or execution), -1 for its reversal, 0 for a duplicate.
        pub calls: i64,
        /// 1 when the call was a decision, -1 for its reversal, else 0.
        pub decisions: i64,
        /// Whether the model call was a decision; NULL for other kinds.
        pub decision: Option<bool>,
        /// exact, partial or unknown; NULL for tool calls and executions.
        pub usage: Option<String>,
        /// All input tokens.
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
        /// All output tokens.
        pub output_tokens: Option<i64>,
        /// Of output: reasoning.
        pub reasoning_tokens: Option<i64>,
        /// Of output: audio.
        pub audio_output_tokens: Option<i64>,
        /// Of output: images.
        pub image_output_tokens: Option<i64>,
        /// Cost in all; NULL when unpriced or usage is unknown.
        pub cost_usd: Option<Decimal>,
        /// Of it: uncached input.
        pub cost_input_usd: Option<Decimal>,
        /// Of it: cache reads.
        pub cost_cache_read_usd: Option<Decimal>,
        /// Of it: cache writes.
        pub cost_cache_write_usd: Option<Decimal>,
        /// Of it: output.
        pub cost_output_usd: Option<Decimal>,
        /// Of it: a fee for the request or tool.
        pub cost_request_usd: Option<Decimal>,
        /// The price it was computed with; NULL when there was none.
        pub price_id: Option<String>,
        /// The sender's own estimate.
        pub client_cost_usd: Option<Decimal>,
        /// Turn of the agent's loop.
        pub step: Option<i64>,
        /// State of the agent's machine.
        pub state: Option<String>,
        /// The agent's own estimate, 0 to 1.
        pub confidence: Option<f64>,
        /// Reduction of the distance to the goal.
        pub progress: Option<f64>,
        /// Of an execution that ended: success, failure, escalation or abort.
        pub termination: Option<String>,
        /// Why.
        pub termination_reason: Option<String>,
        /// Whether control was handed to a person.
        pub escalated: Option<bool>,
        /// allow, deny, needs_approval.
        pub policy_verdict: Option<String>,
        /// Time before admission, milliseconds.
        pub queue_wait_ms: Option<i64>,
        /// What it was worth.
        pub value_usd: Option<Decimal>,
        /// The immutable set of prompt, policy, tool, route and price versions.
        pub version_set: Option<String>,
        /// Highest log position of the spans it was read from.
        pub log_position: i64,
    }
}
