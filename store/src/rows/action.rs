//! `alerts`, `actions` and `audit`: our own events. They go through the log as JSON bodies of frames.

use super::{Date, Micros};

crate::row! {
    /// One change of state of one alert.
    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(default)]
    pub struct AlertRow {
        /// Partition: the UTC day of `at`.
        pub date: Date,
        /// When the state changed.
        pub at: Micros,
        /// Rule and key: the same alert keeps its id from pending to ok.
        pub alert_id: String,
        /// Name of the rule.
        pub rule: String,
        /// What it is about, such as `agent=triage`.
        pub key: String,
        /// ok, pending, firing, recovering, no_data, error.
        pub state: String,
        /// The state before.
        pub previous_state: String,
        /// info, warning, critical.
        pub severity: String,
        /// shadow or enforce.
        pub mode: String,
        /// The value that decided.
        pub value: Option<f64>,
        /// What it was held against.
        pub threshold: Option<f64>,
        /// In words, with numbers.
        pub summary: String,
        /// Spans and numbers, as JSON.
        pub evidence: Option<String>,
        /// Where in the log it stands.
        pub log_position: i64,
    }
}

crate::row! {
    /// One event in the life of one action on an agent: decided, obeyed, released.
    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(default)]
    pub struct ActionRow {
        /// Partition: the UTC day of `at`.
        pub date: Date,
        /// When it happened.
        pub at: Micros,
        /// The action: the same from decision to release.
        pub action_id: String,
        /// decided, obeyed or released.
        pub event: String,
        /// frozen, throttled, degraded or running.
        pub state: String,
        /// The state of that scope before.
        pub previous_state: Option<String>,
        /// global, workspace, tenant, agent, tool, execution.
        pub scope: String,
        /// Whose: the agent's name and so on; empty for global.
        pub target: String,
        /// Parameters of the state, as JSON (calls a minute, tier, ...).
        pub parameters: Option<String>,
        /// `rule:NAME`, or the person or key that asked.
        pub actor: String,
        /// Why, in words.
        pub reason: String,
        /// shadow or enforce; shadow changes nothing.
        pub mode: String,
        /// The rule that asked.
        pub rule: Option<String>,
        /// Trace of the span that caused it.
        pub cause_trace_id: Option<String>,
        /// The span that caused it.
        pub cause_span_id: Option<String>,
        /// When that span ended.
        pub cause_ended_at: Option<Micros>,
        /// When we received that span.
        pub cause_received_at: Option<Micros>,
        /// When the action was decided.
        pub decided_at: Option<Micros>,
        /// When a runtime first refused to go on because of it.
        pub obeyed_at: Option<Micros>,
        /// Which runtime.
        pub obeyed_by: Option<String>,
        /// Numbers and spans, as JSON.
        pub evidence: Option<String>,
        /// Where in the log it stands.
        pub log_position: i64,
    }
}

crate::row! {
    /// One record of the ledger. The store gives it its number and its hashes, in log order; what the caller
    /// put there is overwritten.
    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(default)]
    pub struct AuditRow {
        /// Partition: the UTC day of `at`.
        pub date: Date,
        /// Number in the workspace's chain: from 1, without a gap.
        pub seq: i64,
        /// When.
        pub at: Micros,
        /// What: control.changed, price.loaded, ...
        pub event: String,
        /// Who.
        pub actor: String,
        /// On what.
        pub subject: String,
        /// The whole record, as JSON.
        pub record: String,
        /// `hash` of the record before; 64 zeros for the first.
        pub previous_hash: String,
        /// SHA-256, in hex, of the canonical JSON of `actor`, `at` (microseconds), `event`, `previous_hash`,
        /// `record` (as text), `seq` and `subject`.
        pub hash: String,
        /// Where in the log it stands.
        pub log_position: i64,
    }
}
