//! What in-stream rules see: one entry of the resolver's journal, and how it came.

use flyball_runtime::control::{Cause, Scope};
use flyball_store::Origin;
use flyball_store::rows::{Entry, Kind, Marker, Micros};
use rust_decimal::Decimal;
use serde::Serialize;

use crate::rule::{Calls, Key, SECOND, Target};

/// What ended longer than this before we received it, or before now, never causes an action.
pub(crate) const FRESH: i64 = 60 * SECOND;

/// A span by its ids, small enough to keep a few for every key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SpanRef {
    /// In two halves, since a `u128` would ask for an alignment that no other number here has.
    pub(crate) trace: [u64; 2],
    pub(crate) span: u64,
}

/// A span as evidence shows it.
#[derive(Debug, Serialize)]
pub(crate) struct SpanName {
    trace_id: String,
    span_id: String,
}

impl SpanRef {
    pub(crate) fn name(self) -> SpanName {
        SpanName {
            trace_id: format!("{:016x}{:016x}", self.trace[0], self.trace[1]),
            span_id: format!("{:016x}", self.span),
        }
    }
}

/// A live span that may cause an action while it is fresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sighting {
    pub(crate) span: SpanRef,
    pub(crate) ended: i64,
    pub(crate) received: i64,
}

impl Sighting {
    /// Whether it ended within the last minute, by our clock.
    pub(crate) fn fresh(&self, now: i64) -> bool {
        now - self.ended <= FRESH
    }

    pub(crate) fn cause(&self) -> Cause {
        let SpanName { trace_id, span_id } = self.span.name();
        Cause {
            trace_id,
            span_id,
            ended_at_unix_nano: self.ended,
            received_at_unix_nano: self.received,
        }
    }
}

/// The columns of `charges` that make an entry, for a query that fills windows again.
pub(crate) const COLUMNS: &str = "charge_id, entry, kind, trace_id, span_id, start_unix_nano, duration_ns, \
     received_at, execution_id, task_id, agent_name, session_id, tenant, team, task_type, request_model, response_model, \
     tool_name, tool_effect, tool_input_hash, tool_target, injection_markers, argument_markers, error_type, calls, \
     input_tokens, output_tokens, cost_usd, decision, confidence, progress, termination, escalated, value_usd, \
     log_position";

flyball_store::row! {
    pub struct seen as EntryView of EntryViews {
        pub charge_id: String,
        pub entry: String,
        pub kind: String,
        pub trace_id: String,
        pub span_id: String,
        pub start_unix_nano: i64,
        pub duration_ns: Option<i64>,
        pub received_at: Micros,
        pub execution_id: String,
        pub task_id: String,
        pub agent_name: Option<String>,
        pub session_id: Option<String>,
        pub tenant: Option<String>,
        pub team: Option<String>,
        pub task_type: Option<String>,
        pub request_model: Option<String>,
        pub response_model: Option<String>,
        pub tool_name: Option<String>,
        pub tool_effect: Option<String>,
        pub tool_input_hash: Option<String>,
        pub tool_target: Option<String>,
        pub injection_markers: Option<String>,
        pub argument_markers: Option<String>,
        pub error_type: Option<String>,
        pub calls: i64,
        pub input_tokens: Option<i64>,
        pub output_tokens: Option<i64>,
        pub cost_usd: Option<Decimal>,
        pub decision: Option<bool>,
        pub confidence: Option<f64>,
        pub progress: Option<f64>,
        pub termination: Option<String>,
        pub escalated: Option<bool>,
        pub value_usd: Option<Decimal>,
        pub log_position: i64,
    }
}

/// A journal entry, read for rules. What every rule asks for is read once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fact<'a> {
    pub(crate) row: &'a EntryView<'a>,
    pub(crate) received: i64,
    pub(crate) ended: i64,
    origin: Origin,
    entry: Option<Entry>,
    kind: Option<Kind>,
    span: Option<SpanRef>,
}

impl<'a> Fact<'a> {
    pub(crate) fn new(row: &'a EntryView<'a>, origin: Origin) -> Self {
        let received = row.received_at.0.saturating_mul(1_000);
        // What still runs is as fresh as the last that we heard of it.
        let ended = row
            .duration_ns
            .map_or(received, |long| row.start_unix_nano.saturating_add(long));
        let entries = [Entry::Charge, Entry::Reversal, Entry::Duplicate];
        let kinds = [
            Kind::ModelCall,
            Kind::ToolCall,
            Kind::Execution,
            Kind::Embedding,
            Kind::Rerank,
        ];
        Self {
            row,
            received,
            ended,
            origin,
            entry: entries
                .into_iter()
                .find(|entry| entry.as_str() == row.entry),
            kind: kinds.into_iter().find(|kind| kind.as_str() == row.kind),
            span: span(row),
        }
    }

    pub(crate) fn reversal(&self) -> bool {
        self.entry == Some(Entry::Reversal)
    }

    pub(crate) fn charge(&self) -> bool {
        self.entry == Some(Entry::Charge)
    }

    /// Whether windows may count it at all: neither an import nor late when we received it. Otherwise an
    /// hour of history that arrives in one second would look like a runaway.
    pub(crate) fn counts(&self) -> bool {
        self.origin != Origin::Import && self.received.saturating_sub(self.ended) <= FRESH
    }

    /// Whether it is read again after a restart.
    pub(crate) fn replayed(&self) -> bool {
        self.origin == Origin::Replay
    }

    /// It as a possible cause: only what arrives live.
    pub(crate) fn sighting(&self) -> Option<Sighting> {
        if self.origin != Origin::Live || !self.charge() {
            return None;
        }
        let span = self.span()?;
        Some(Sighting {
            span,
            ended: self.ended,
            received: self.received,
        })
    }

    pub(crate) fn span(&self) -> Option<SpanRef> {
        self.span
    }

    pub(crate) fn key<'k>(&self, key: Key, workspace: &'k str) -> Option<&'k str>
    where
        'a: 'k,
    {
        let name = match key {
            Key::Workspace => Some(workspace),
            Key::Tenant => self.row.tenant,
            Key::Agent => self.row.agent_name,
            Key::Tool => self.row.tool_name,
            Key::Session => self.row.session_id,
            Key::Task => self.task(),
            Key::Execution => Some(self.row.execution_id),
            Key::Team => self.row.team,
            Key::TaskType => self.row.task_type,
            Key::Model => self.model(),
        };
        name.filter(|name| !name.is_empty())
    }

    pub(crate) fn scope(&self, target: Target) -> Option<Scope> {
        self.key(target.key(), "")
            .map(|name| scope_of(target, name))
    }

    pub(crate) fn kind(&self, kind: Kind) -> bool {
        self.kind == Some(kind)
    }

    /// The task that was sent with it; one that nobody named is only its execution by another name.
    pub(crate) fn task(&self) -> Option<&'a str> {
        let task = self.row.task_id;
        (!task.is_empty() && task != self.row.execution_id).then_some(task)
    }

    /// The markers that it carries: in what came from outside, else in what a tool was given.
    pub(crate) fn markers(&self) -> Option<&'a str> {
        marked(self.row.injection_markers).or(marked(self.row.argument_markers))
    }

    /// The model used, else asked for.
    pub(crate) fn model(&self) -> Option<&'a str> {
        self.row.response_model.or(self.row.request_model)
    }

    /// Tokens in and out; a reversal's are negative already. None when nobody knows.
    pub(crate) fn tokens(&self) -> Option<i64> {
        let (input, output) = (self.row.input_tokens, self.row.output_tokens);
        input
            .or(output)
            .map(|_| input.unwrap_or(0).saturating_add(output.unwrap_or(0)))
    }

    pub(crate) fn call(&self, calls: Calls) -> bool {
        self.kind(match calls {
            Calls::Tool => Kind::ToolCall,
            Calls::Model => Kind::ModelCall,
        })
    }

    /// +1 for a charge, -1 for its reversal.
    pub(crate) fn sign(&self) -> i64 {
        if self.reversal() { -1 } else { 1 }
    }

    /// What it adds to spend; a reversal's is negative already.
    pub(crate) fn cost(&self) -> Decimal {
        self.row.cost_usd.unwrap_or_default()
    }

    /// Whether it says that the distance to the goal became shorter.
    pub(crate) fn progressed(&self) -> bool {
        self.row.progress.is_some_and(|progress| progress > 0.0)
    }

    /// An execution that was handed to a person.
    pub(crate) fn escalated(&self) -> bool {
        self.kind(Kind::Execution)
            && (self.row.escalated == Some(true) || self.row.termination == Some("escalation"))
    }
}

/// Markers, if there are any.
pub(crate) fn marked(markers: Option<&str>) -> Option<&str> {
    markers.filter(|markers| *markers != Marker::NONE)
}

fn span(row: &EntryView<'_>) -> Option<SpanRef> {
    let trace = u128::from_str_radix(row.trace_id, 16).ok()?;
    let trace = [(trace >> 64) as u64, trace as u64];
    let span = u64::from_str_radix(row.span_id, 16).ok()?;
    Some(SpanRef { trace, span })
}

/// The scope of a target of that name.
pub(crate) fn scope_of(target: Target, name: &str) -> Scope {
    let name = name.to_owned();
    match target {
        Target::Tenant => Scope::Tenant(name),
        Target::Agent => Scope::Agent(name),
        Target::Tool => Scope::Tool(name),
        Target::Execution => Scope::Execution(name),
    }
}
