//! `metrics`: one row a data point.

use super::{Date, Micros};

crate::row! {
    /// One data point of one metric. Numbers stand as they were sent: a point of a cumulative series says the total
    /// since `start_time`, one of a delta series what was added since then.
    pub struct MetricRow {
        /// Partition: the UTC day of `time`.
        pub date: Date,
        /// The point's time; when we received it, where it has none.
        pub time: Micros,
        /// The same, nanoseconds since 1970.
        pub time_unix_nano: i64,
        /// Since when it counts; NULL for a gauge, or when the sender does not say.
        pub start_time: Option<Micros>,
        /// When we received it.
        pub received_at: Micros,
        /// Metric: `gen_ai.client.token.usage`, `claude_code.cost.usage`, ...
        pub name: String,
        /// Unit, in UCUM: `{token}`, `s`, `USD`, ...
        pub unit: Option<String>,
        /// gauge, sum, histogram, exponential_histogram or summary.
        pub kind: String,
        /// delta or cumulative; NULL for what is neither.
        pub temporality: Option<String>,
        /// Whether a sum only grows.
        pub monotonic: Option<bool>,
        /// Value of a gauge or a sum.
        pub value: Option<f64>,
        /// The same, when it was sent as a whole number: beyond 2^53 `value` is rounded.
        pub value_int: Option<i64>,
        /// Of a distribution: how many.
        pub count: Option<i64>,
        /// Their sum.
        pub sum: Option<f64>,
        /// The smallest.
        pub min: Option<f64>,
        /// The largest.
        pub max: Option<f64>,
        /// Of a distribution, as JSON: `{"bounds": [..], "counts": [..]}`, or
        /// `{"scale", "zero_count", "zero_threshold", "positive": {"offset", "counts"}, "negative": {..}}`, or
        /// `{"quantiles": [[q, value], ..]}`.
        pub distribution: Option<String>,
        /// Instrumentation scope.
        pub scope_name: Option<String>,
        /// Resource `service.name`.
        pub service_name: Option<String>,
        /// Agent.
        pub agent_name: Option<String>,
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
        /// Operation, as in `spans`.
        pub operation: Option<String>,
        /// Provider.
        pub provider: Option<String>,
        /// Model asked for.
        pub request_model: Option<String>,
        /// Model used.
        pub response_model: Option<String>,
        /// Tool.
        pub tool_name: Option<String>,
        /// Kind of failure.
        pub error_type: Option<String>,
        /// Attributes of the point, as one JSON object.
        pub attributes: Option<String>,
        /// Resource attributes, as one JSON object.
        pub resource: Option<String>,
        /// Where in the log the request stands that told it.
        pub log_position: i64,
    }
}
