//! The same tool, called with the same input, ending the same way, again and again without progress.
//!
//! Calls are kept apart by outcome, so that a retry that comes through in the end is a change and not a
//! repetition. A call that reports progress (`flyball.progress` above 0: the distance to the goal became
//! shorter), be it of a tool or a model, ends every run of its key. Calls whose input is unknown cannot be told to be equal and do
//! not count.

use std::collections::VecDeque;

use serde_json::{Value, json};

use crate::fact::{Fact, SpanRef};

/// Runs kept for one key; the one that was idle longest makes room.
const RUNS: usize = 64;
/// Calls remembered of one run: more than any threshold allows.
const CALLS: usize = 10_001;
/// Spans shown as evidence.
const SHOWN: usize = 5;

#[derive(Debug)]
struct Call {
    received: i64,
    charge: Box<str>,
    span: Option<SpanRef>,
}

/// Equal calls since the last progress, oldest first.
#[derive(Debug)]
struct Run {
    tool: Box<str>,
    input: Box<str>,
    outcome: Option<Box<str>>,
    calls: VecDeque<Call>,
}

impl Run {
    fn is_of(&self, fact: &Fact<'_>) -> bool {
        let row = fact.row;
        Some(&*self.tool) == row.tool_name.as_deref()
            && Some(&*self.input) == row.tool_input_hash.as_deref()
            && self.outcome.as_deref() == row.error_type.as_deref()
    }
}

/// The runs of one key.
#[derive(Debug)]
pub(crate) struct Repeats {
    window: i64,
    runs: Vec<Run>,
}

impl Repeats {
    pub(crate) fn new(window: i64) -> Self {
        Self {
            window,
            runs: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, fact: &Fact<'_>, now: i64) {
        let row = fact.row;
        if fact.reversal() {
            // Found by its id, wherever it was counted.
            for run in &mut self.runs {
                run.calls.retain(|call| *call.charge != *row.charge_id);
            }
            return;
        }
        if fact.progressed() {
            self.runs.clear();
            return;
        }
        let (Some(tool), Some(input)) = (&row.tool_name, &row.tool_input_hash) else {
            return;
        };
        self.expire(now);
        let at = match self.runs.iter().position(|run| run.is_of(fact)) {
            Some(at) => at,
            None => {
                if self.runs.len() >= RUNS {
                    self.drop_idlest();
                }
                self.runs.push(Run {
                    tool: tool.as_str().into(),
                    input: input.as_str().into(),
                    outcome: row.error_type.as_deref().map(Into::into),
                    calls: VecDeque::new(),
                });
                self.runs.len() - 1
            }
        };
        let calls = &mut self.runs[at].calls;
        if calls.len() >= CALLS {
            calls.pop_front();
        }
        let call = Call {
            received: fact.received,
            charge: row.charge_id.as_str().into(),
            span: fact.span(),
        };
        // Receive times come nearly in order.
        let place = calls
            .iter()
            .rposition(|c| c.received <= call.received)
            .map_or(0, |i| i + 1);
        calls.insert(place, call);
    }

    /// Length of the longest run.
    pub(crate) fn most(&mut self, now: i64) -> usize {
        self.expire(now);
        self.longest().map_or(0, |run| run.calls.len())
    }

    pub(crate) fn numbers(&mut self, now: i64) -> Value {
        self.expire(now);
        match self.longest() {
            None => json!({ "calls": 0 }),
            Some(run) => json!({
                "tool": run.tool,
                "input_hash": run.input,
                "outcome": run.outcome.as_deref().unwrap_or("success"),
                "calls": run.calls.len(),
            }),
        }
    }

    /// The last few calls of the longest run.
    pub(crate) fn spans(&mut self, now: i64) -> Vec<SpanRef> {
        self.expire(now);
        let Some(run) = self.longest() else {
            return Vec::new();
        };
        let skip = run.calls.len().saturating_sub(SHOWN);
        run.calls
            .iter()
            .skip(skip)
            .filter_map(|call| call.span)
            .collect()
    }

    pub(crate) fn clear(&mut self) {
        self.runs.clear();
    }

    fn longest(&self) -> Option<&Run> {
        self.runs.iter().max_by_key(|run| run.calls.len())
    }

    fn expire(&mut self, now: i64) {
        let first = now - self.window;
        for run in &mut self.runs {
            while run.calls.front().is_some_and(|call| call.received <= first) {
                run.calls.pop_front();
            }
        }
        self.runs.retain(|run| !run.calls.is_empty());
    }

    fn drop_idlest(&mut self) {
        let last = |run: &Run| run.calls.back().map_or(i64::MIN, |call| call.received);
        if let Some(at) = (0..self.runs.len()).min_by_key(|i| last(&self.runs[*i])) {
            self.runs.swap_remove(at);
        }
    }
}
