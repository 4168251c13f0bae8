//! `rollup_1m`: the journal, summed by minute and dimension.

use super::{Date, Micros, Total};

crate::row! {
    /// The journal's rows of one minute that agree in every dimension, summed. Users, sessions and what else
    /// tells one run from another are no dimensions; how many of them there were is in the sketches.
    /// A sum is NULL where every summand is, so that adding rows up gives what adding the journal's rows gives.
    pub struct RollupRow {
        /// Partition: the UTC day of `minute`.
        pub date: Date,
        /// Begin of the UTC minute in which the calls (or executions) started.
        pub minute: Micros,
        /// Of executions that ended: begin of the minute in which they did. NULL for calls.
        pub ended_minute: Option<Micros>,
        /// model_call, embedding, rerank, tool_call or execution.
        pub kind: String,
        /// Agent.
        pub agent_name: Option<String>,
        /// Its role.
        pub agent_role: Option<String>,
        /// Tenant.
        pub tenant: Option<String>,
        /// Team.
        pub team: Option<String>,
        /// Environment.
        pub environment: Option<String>,
        /// Task type.
        pub task_type: Option<String>,
        /// Workflow.
        pub workflow: Option<String>,
        /// Canonical operation.
        pub operation: Option<String>,
        /// Provider.
        pub provider: Option<String>,
        /// Model asked for.
        pub request_model: Option<String>,
        /// Model used.
        pub response_model: Option<String>,
        /// Service tier.
        pub service_tier: Option<String>,
        /// Tool.
        pub tool_name: Option<String>,
        /// exact, partial or unknown; NULL for tool calls and executions.
        pub usage: Option<String>,
        /// Of executions that ended: success, failure, escalation or abort.
        pub termination: Option<String>,
        /// Whether the calls have a price: where not, `cost_usd` is NULL.
        pub priced: bool,
        /// Journal rows behind this one: charges, reversals and duplicates.
        pub entries: i64,
        /// Calls (or executions) that stand.
        pub calls: i64,
        /// Of them, decisions.
        pub decisions: i64,
        /// Of them, those that failed.
        pub errors: i64,
        /// Of them, those that handed control to a person.
        pub escalations: i64,
        /// Of them, those with a duration.
        pub timed: i64,
        /// Their durations together, nanoseconds.
        pub duration_ns: Option<i64>,
        /// Of the calls, those that say how long they waited before admission.
        pub queued: i64,
        /// Those waits together, milliseconds.
        pub queue_wait_ms: Option<i64>,
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
        /// Cost in all.
        pub cost_usd: Option<Total>,
        /// Of it: uncached input.
        pub cost_input_usd: Option<Total>,
        /// Of it: cache reads.
        pub cost_cache_read_usd: Option<Total>,
        /// Of it: cache writes.
        pub cost_cache_write_usd: Option<Total>,
        /// Of it: output.
        pub cost_output_usd: Option<Total>,
        /// Of it: fees for requests and tools.
        pub cost_request_usd: Option<Total>,
        /// The senders' own estimates.
        pub client_cost_usd: Option<Total>,
        /// What the executions were worth.
        pub value_usd: Option<Total>,
        /// KLL sketch of the durations in nanoseconds; NULL without any.
        pub durations: Option<Vec<u8>>,
        /// HLL sketch of the execution ids.
        pub executions: Option<Vec<u8>>,
        /// HLL sketch of the session ids; NULL without any.
        pub sessions: Option<Vec<u8>>,
        /// HLL sketch of the user ids; NULL without any.
        pub users: Option<Vec<u8>>,
        /// Highest log position of the journal rows.
        pub log_position: i64,
    }
}
