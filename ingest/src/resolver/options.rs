//! How patient the resolver is, and what it has done.

use std::time::Duration;

/// How patient the resolver is, and how much it holds.
#[derive(Debug, Clone)]
pub struct Options {
    /// A trace whose root has ended and whose parents have all been seen settles when nothing came for this long.
    pub settle_after_root: Duration,
    /// Any trace settles when nothing came for this long.
    pub settle_after_idle: Duration,
    /// Any trace settles at this age.
    pub settle_at_age: Duration,
    /// When more spans than this are held, the traces opened first settle before their time.
    pub spans_held_max: usize,
    /// Settled traces that are remembered. Of older ones a late span is only recognised by its age, and the
    /// store has to be asked.
    pub settled_remembered: usize,
    /// Calls that are remembered by their ids, of those that spans told and of those that log records told each, so
    /// that a call told by both in different traces bills once.
    pub tellings_remembered: usize,
    /// When a trace holds more spans than this, its oldest are let go: what stands of them stands, and the
    /// newer ones are taken in as its continuation.
    pub spans_of_trace_max: usize,
    /// Names of the tools that hand control to a person, exactly as spans say them. None unless configured:
    /// no convention names such a tool, and a guess would call somebody's success an escalation.
    pub escalation_tools: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            settle_after_root: Duration::from_secs(2),
            settle_after_idle: Duration::from_secs(30),
            settle_at_age: Duration::from_secs(15 * 60),
            spans_held_max: 120_000,
            settled_remembered: 500_000,
            tellings_remembered: 200_000,
            spans_of_trace_max: 20_000,
            escalation_tools: Vec::new(),
        }
    }
}

/// What the resolver has done, since it began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Traces that settled because they were complete.
    pub settled_complete: u64,
    /// Traces that settled because nothing more came.
    pub settled_idle: u64,
    /// Traces that settled at the age limit.
    pub settled_aged: u64,
    /// Traces that settled before their time, because too many spans were held.
    pub settled_for_room: u64,
    /// Times that a trace outgrew its room and went on without its oldest spans.
    pub continued: u64,
    /// Traces that settled because somebody asked (an import that ends).
    pub settled_on_request: u64,
    /// Settled traces that were opened again by a late span.
    pub reopened: u64,
    /// Entries made.
    pub entered: u64,
    /// Entries taken back.
    pub taken_back: u64,
    /// Traces open now.
    pub traces_open: u64,
    /// Spans held now.
    pub spans_held: u64,
}
