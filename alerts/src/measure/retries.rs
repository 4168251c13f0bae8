//! A tool that fails is called again with the same input, and again.
//!
//! A retry is a call whose last call before, of the same execution, tool and input, had failed. Calls are put
//! in the order in which they ended, since spans arrive in bundles. How often one input was retried within
//! the window is a count of what was sent, and no estimate.

use std::collections::VecDeque;

use serde_json::{Value, json};

use crate::fact::{Fact, SpanRef};
use crate::rule::RETRIES;

/// Inputs kept for one key; the one that was idle longest makes room.
const INPUTS: usize = 64;
/// Spans shown as evidence.
const SHOWN: usize = 5;

#[derive(Debug)]
struct Try {
    received: i64,
    ended: i64,
    failed: bool,
    charge: Box<str>,
    span: Option<SpanRef>,
}

#[derive(Debug)]
struct Input {
    execution: Box<str>,
    tool: Box<str>,
    hash: Box<str>,
    /// In the order in which they ended.
    tries: VecDeque<Try>,
    fed: i64,
}

impl Input {
    fn retries(&self) -> usize {
        let before = self.tries.iter();
        before
            .zip(self.tries.iter().skip(1))
            .filter(|(before, _)| before.failed)
            .count()
    }
}

/// The inputs of one key.
#[derive(Debug)]
pub(crate) struct Retries {
    window: i64,
    inputs: Vec<Input>,
}

impl Retries {
    pub(crate) fn new(window: i64) -> Self {
        Self {
            window,
            inputs: Vec::new(),
        }
    }

    pub(crate) fn touch(&self) -> i64 {
        self.inputs.first().map_or(0, |input| input.fed)
    }

    pub(crate) fn add(&mut self, fact: &Fact<'_>, now: i64) {
        let row = fact.row;
        let (Some(tool), Some(hash)) = (row.tool_name, row.tool_input_hash) else {
            return;
        };
        self.expire(now);
        let known = self.inputs.iter().position(|i| {
            *i.hash == *hash && *i.tool == *tool && *i.execution == *row.execution_id
        });
        if fact.reversal() {
            if let Some(at) = known {
                let tries = &mut self.inputs[at].tries;
                tries.retain(|t| *t.charge != *row.charge_id);
            }
            return;
        }
        let at = known.unwrap_or_else(|| {
            if self.inputs.len() >= INPUTS
                && let Some(idlest) = (0..self.inputs.len()).min_by_key(|i| self.inputs[*i].fed)
            {
                self.inputs.swap_remove(idlest);
            }
            self.inputs.push(Input {
                execution: row.execution_id.into(),
                tool: tool.into(),
                hash: hash.into(),
                tries: VecDeque::new(),
                fed: fact.received,
            });
            self.inputs.len() - 1
        });
        let input = &mut self.inputs[at];
        input.fed = input.fed.max(fact.received);
        if input.tries.len() > RETRIES as usize {
            input.tries.pop_front();
        }
        let ended = fact.ended.min(fact.received);
        let place = input.tries.iter().rposition(|t| t.ended <= ended);
        input.tries.insert(
            place.map_or(0, |i| i + 1),
            Try {
                received: fact.received,
                ended,
                failed: row.error_type.is_some(),
                charge: row.charge_id.into(),
                span: fact.span(),
            },
        );
    }

    /// Retries of the input that was retried most.
    pub(crate) fn most(&mut self, now: i64) -> usize {
        self.expire(now);
        self.worst().map_or(0, Input::retries)
    }

    pub(crate) fn numbers(&self) -> Value {
        match self.worst() {
            None => json!({ "retries": 0 }),
            Some(input) => json!({
                "tool": input.tool,
                "input_hash": input.hash,
                "execution": input.execution,
                "retries": input.retries(),
                "calls": input.tries.len(),
                "failed": input.tries.iter().filter(|t| t.failed).count(),
            }),
        }
    }

    /// The last few calls of that input.
    pub(crate) fn spans(&self) -> Vec<SpanRef> {
        self.worst().map_or_else(Vec::new, |input| {
            let skip = input.tries.len().saturating_sub(SHOWN);
            input
                .tries
                .iter()
                .skip(skip)
                .filter_map(|t| t.span)
                .collect()
        })
    }

    pub(crate) fn is_empty(&mut self, now: i64) -> bool {
        self.expire(now);
        self.inputs.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.inputs.clear();
    }

    fn worst(&self) -> Option<&Input> {
        self.inputs.iter().max_by_key(|input| input.retries())
    }

    fn expire(&mut self, now: i64) {
        let first = now - self.window;
        self.inputs.retain_mut(|input| {
            if input.fed <= first {
                return false;
            }
            while input.tries.front().is_some_and(|t| t.received <= first) {
                input.tries.pop_front();
            }
            true
        });
    }
}
