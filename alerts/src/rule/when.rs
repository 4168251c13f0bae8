//! What a rule can measure.

use std::collections::BTreeSet;

use rust_decimal::Decimal;
use serde::Serialize;

use super::{Objective, Period, Proof, SECOND};
use crate::knowledge::KEPT_EVERY;

/// How far back charges are read one by one where the tables tell the rest in sums.
const RECENT: i64 = 720 * SECOND;

/// Which calls an error rate or a latency is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Calls {
    /// Tool calls.
    Tool,
    /// Model calls.
    Model,
}

impl Calls {
    /// The word in rule files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Model => "model",
        }
    }
}

/// What is added up to be compared with what it was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// US dollars.
    Spend,
    /// Calls of models and tools.
    Calls,
    /// Calls that failed.
    Errors,
    /// Tokens in and out.
    Tokens,
}

impl Quantity {
    /// The word in rule files, and in sentences.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spend => "spend",
            Self::Calls => "calls",
            Self::Errors => "errors",
            Self::Tokens => "tokens",
        }
    }
}

/// A number for each step of time, of which a detector learns what is usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Series {
    /// US dollars a step; nothing spent is zero. Too much is bad.
    Spend,
    /// Geometric mean of the duration of calls, seconds. Too long is bad.
    Latency(Calls),
    /// Mean tokens of a model call, since the last progress. Too many is bad.
    Tokens,
    /// Mean of `flyball.confidence`, 0 to 1. Too low is bad.
    Confidence,
    /// US dollars for a million tokens. Any change is bad.
    Price,
}

impl Series {
    /// The word in rule files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spend => "spend_spike",
            Self::Latency(_) => "latency_shift",
            Self::Tokens => "token_growth",
            Self::Confidence => "confidence_drift",
            Self::Price => "price_anomaly",
        }
    }

    /// What it is a series of, with its unit.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::Spend => "USD",
            Self::Latency(Calls::Tool) => "s a tool call",
            Self::Latency(Calls::Model) => "s a model call",
            Self::Tokens => "tokens a call",
            Self::Confidence => "confidence",
            Self::Price => "USD a million tokens",
        }
    }
}

/// How a key's tools are learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Learn {
    /// How long, from the first call on, nanoseconds. A stranger counts for as long.
    pub period: i64,
    /// And of how many calls at least.
    pub min_calls: u32,
    /// What was not called for so long is forgotten, nanoseconds.
    pub forget: i64,
}

/// What a rule measures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// A query on a schedule; each row of the answer is one key's value.
    Sql {
        /// The query.
        query: String,
        /// Nanoseconds from one asking to the next.
        every: i64,
        /// Column with the value.
        value: String,
        /// Column with the key; none for one number in all.
        key_column: Option<String>,
        /// Whoever wrote it says that the condition is a fact and not a guess, so that it may freeze.
        deterministic: bool,
    },
    /// US dollars spent in the last `window` nanoseconds, by receive time.
    SpendRate {
        /// Length, nanoseconds.
        window: i64,
    },
    /// US dollars spent since the period began, by receive time and the calendar of UTC.
    Budget {
        /// The period.
        per: Period,
    },
    /// US dollars of a task (or session) in the last `window` nanoseconds, in executions that each stayed under the
    /// limit.
    BudgetLeakage {
        /// Length, nanoseconds.
        window: i64,
        /// The limit, US dollars.
        limit: Decimal,
        /// With fewer executions, there is no leak.
        executions: u32,
    },
    /// Executions that ended in the last `window` nanoseconds and were worth nothing.
    LowValueExecutions {
        /// Length, nanoseconds.
        window: i64,
        /// They count where they are this share of all that ended, or more.
        share: Decimal,
    },
    /// How often the same tool was called with the same input and ended the same way, in the last
    /// `window` nanoseconds, since anything new was tried or progress was made.
    RepeatedToolCalls {
        /// Length, nanoseconds.
        window: i64,
        /// What the calls must show besides, to count at all.
        proof: Proof,
    },
    /// How often a tool was called again with the same input, the call before having failed, in the last
    /// `window` nanoseconds.
    RetryStorm {
        /// Length, nanoseconds.
        window: i64,
    },
    /// Model calls in a row in the last `window` nanoseconds, without a tool call or progress between them.
    Reprompts {
        /// Length, nanoseconds.
        window: i64,
    },
    /// Calls of tools that are neither on the list nor learnt, in the last `window` nanoseconds.
    UnknownTool {
        /// The tools that are known.
        allow: BTreeSet<String>,
        /// How the others are learnt; without it, they are not.
        #[serde(skip_serializing_if = "Option::is_none")]
        learn: Option<Learn>,
        /// Length, nanoseconds.
        window: i64,
    },
    /// How often somebody came back to change what another had changed since, in the last `window` nanoseconds: of the
    /// target that is fought over most.
    ConflictingModifications {
        /// Length, nanoseconds.
        window: i64,
        /// Tools that modify, besides those whose effect says so.
        tools: BTreeSet<String>,
    },
    /// Calls in the last `window` nanoseconds with signs of prompt injection in what came from outside.
    InjectionMarkers {
        /// Length, nanoseconds.
        window: i64,
        /// The signs that count; none for all.
        markers: BTreeSet<String>,
    },
    /// Calls of memory tools in the last `window` nanoseconds with such signs in what was written or read.
    MemoryPoisoning {
        /// Length, nanoseconds.
        window: i64,
        /// The tools; without any, those with names of such.
        tools: BTreeSet<String>,
    },
    /// Share (0 to 1) of calls in the last `window` nanoseconds that failed; unknown under `min_calls`.
    ErrorRate {
        /// Which calls.
        of: Calls,
        /// Length, nanoseconds.
        window: i64,
        /// With fewer, there is no verdict.
        min_calls: u32,
    },
    /// Executions that were handed to a person in the last `window` nanoseconds.
    Escalations {
        /// Length, nanoseconds.
        window: i64,
    },
    /// Seconds since anything was heard, while others were.
    Absence {
        /// From when on it is too long, nanoseconds.
        silent_for: i64,
        /// Who was heard less often before falling silent is not missed.
        min_calls: u32,
        /// Weeks of which the hours are learnt in which a key is usually heard; then only silence in those counts.
        #[serde(skip_serializing_if = "Option::is_none")]
        learn: Option<u32>,
    },
    /// How many times as much as before: the last `window` nanoseconds, beside the `base` before them.
    RateOfChange {
        /// Of what.
        of: Quantity,
        /// Length, nanoseconds.
        window: i64,
        /// Length of what it is compared with, nanoseconds.
        base: i64,
        /// Less than this in the window never fires.
        floor: Decimal,
    },
    /// How unusual a series has become: the negative decimal logarithm of the share of steps that are as
    /// unusual (`flyball-detect`).
    Detector {
        /// The series.
        of: Series,
        /// Length of a step, nanoseconds.
        every: i64,
        /// Differences from what was expected that are smaller do not matter, in the unit of the series.
        change: Decimal,
    },
    /// How fast the error budget of a service level burns, as a share of what fires.
    SloBurn(Objective),
    /// How many of these rules fire on the same key.
    Composite {
        /// Whether all of them are needed.
        all: bool,
        /// Their names.
        of: BTreeSet<String>,
        /// Whether what it takes is independent evidence, so that it may freeze: see `rule::composite`.
        independent: bool,
    },
}

impl When {
    /// The word in rule files.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Sql { .. } => "sql",
            Self::SpendRate { .. } => "spend_rate",
            Self::Budget { .. } => "budget",
            Self::BudgetLeakage { .. } => "budget_leakage",
            Self::LowValueExecutions { .. } => "low_value_executions",
            Self::RepeatedToolCalls { .. } => "repeated_tool_calls",
            Self::RetryStorm { .. } => "retry_storm",
            Self::Reprompts { .. } => "reprompts",
            Self::UnknownTool { .. } => "unknown_tool",
            Self::ConflictingModifications { .. } => "conflicting_modifications",
            Self::InjectionMarkers { .. } => "injection_markers",
            Self::MemoryPoisoning { .. } => "memory_poisoning",
            Self::ErrorRate { .. } => "error_rate",
            Self::Escalations { .. } => "escalations",
            Self::Absence { .. } => "absence",
            Self::RateOfChange { .. } => "rate_of_change",
            Self::Detector { of, .. } => of.as_str(),
            Self::SloBurn(_) => "slo_burn",
            Self::Composite { all: true, .. } => "all_of",
            Self::Composite { all: false, .. } => "any_of",
        }
    }

    /// Length of its window in nanoseconds; of a query, the time between two askings; of a detector, a step.
    /// What looks back further without sliding (a budget, an objective) says a minute.
    #[must_use]
    pub fn window(&self) -> i64 {
        match self {
            Self::Sql { every, .. } | Self::Detector { every, .. } => *every,
            Self::SpendRate { window }
            | Self::BudgetLeakage { window, .. }
            | Self::ConflictingModifications { window, .. }
            | Self::InjectionMarkers { window, .. }
            | Self::MemoryPoisoning { window, .. }
            | Self::LowValueExecutions { window, .. }
            | Self::RepeatedToolCalls { window, .. }
            | Self::RetryStorm { window }
            | Self::Reprompts { window }
            | Self::UnknownTool { window, .. }
            | Self::ErrorRate { window, .. }
            | Self::Escalations { window }
            | Self::RateOfChange { window, .. } => *window,
            Self::Absence { silent_for, .. } => *silent_for,
            Self::Budget { .. } | Self::SloBurn(_) => 60 * SECOND,
            Self::Composite { .. } => SECOND,
        }
    }

    /// How far back charges must be read one by one after a start, nanoseconds; none when they need not be.
    #[must_use]
    pub fn reach(&self) -> Option<i64> {
        match self {
            Self::Sql { .. } | Self::Composite { .. } => None,
            Self::Budget { .. } | Self::SloBurn(_) => Some(RECENT),
            Self::RateOfChange { window, base, .. } => Some(window + base),
            // What ended within the window began within another before it, or was not seen whole.
            Self::LowValueExecutions { window, .. } => Some(2 * window),
            // What it knows is kept every so often: what came since is read again.
            Self::Detector { every, .. } => Some(KEPT_EVERY + 2 * every),
            Self::Absence {
                silent_for,
                learn: Some(_),
                ..
            } => Some((*silent_for).max(KEPT_EVERY + 60 * SECOND)),
            _ => Some(self.window()),
        }
    }

    /// Whether the tables are asked for sums of what lies further back.
    #[must_use]
    pub fn asks_history(&self) -> bool {
        matches!(self, Self::Budget { .. } | Self::SloBurn(_))
    }

    /// How long it learns what is usual of a key before it judges, nanoseconds; none when it saves no such thing.
    #[must_use]
    pub fn learns(&self) -> Option<i64> {
        match self {
            Self::UnknownTool {
                learn: Some(learn), ..
            } => Some(learn.period),
            // The hour in which it begins to listen is not whole.
            Self::Absence {
                learn: Some(weeks), ..
            } => Some((168 * i64::from(*weeks) + 1) * 3_600 * SECOND),
            _ => None,
        }
    }

    /// Whether it is a fact (money spent, calls counted) rather than a statistical guess. Only facts may freeze.
    #[must_use]
    pub fn deterministic(&self) -> bool {
        match self {
            Self::SpendRate { .. }
            | Self::Budget { .. }
            | Self::BudgetLeakage { .. }
            | Self::RepeatedToolCalls { .. }
            | Self::RetryStorm { .. }
            | Self::UnknownTool { learn: None, .. } => true,
            Self::Sql { deterministic, .. } => *deterministic,
            Self::Composite { independent, .. } => *independent,
            // Working together on a thing looks like a conflict, and a text about an attack like one.
            Self::ConflictingModifications { .. }
            | Self::InjectionMarkers { .. }
            | Self::MemoryPoisoning { .. }
            // What was of value is a judgement.
            | Self::LowValueExecutions { .. }
            // What is usual was learnt from a sample.
            | Self::UnknownTool { learn: Some(_), .. }
            // A model that answers without tools looks like one that is asked again.
            | Self::Reprompts { .. }
            | Self::ErrorRate { .. }
            | Self::Escalations { .. }
            | Self::Absence { .. }
            | Self::RateOfChange { .. }
            | Self::Detector { .. }
            | Self::SloBurn(_) => false,
        }
    }
}
