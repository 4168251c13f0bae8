//! Model calls in a row, with no tool call and no progress between them.
//!
//! A bundle of spans may hold all model calls first and the tools that they called after, so what was
//! received in the last two seconds does not count yet.

use std::collections::VecDeque;

use flyball_store::rows::Kind;

use crate::fact::{Fact, SpanRef};
use crate::rule::{REPROMPTS, SECOND};

/// How long the rest of a bundle may take.
const SETTLE: i64 = 2 * SECOND;
/// Spans shown as evidence.
const SHOWN: usize = 5;

#[derive(Debug)]
struct Prompt {
    received: i64,
    ended: i64,
    charge: Box<str>,
    span: Option<SpanRef>,
}

/// The model calls of one execution since anything else happened.
#[derive(Debug)]
pub(crate) struct Reprompts {
    window: i64,
    /// In order of receipt.
    prompts: VecDeque<Prompt>,
    changed_at: i64,
}

impl Reprompts {
    pub(crate) fn new(window: i64) -> Self {
        Self {
            window,
            prompts: VecDeque::new(),
            changed_at: i64::MIN,
        }
    }

    pub(crate) fn add(&mut self, fact: &Fact<'_>, now: i64) {
        let ended = fact.ended.min(fact.received);
        if fact.reversal() {
            let charge = fact.row.charge_id;
            self.prompts.retain(|prompt| *prompt.charge != *charge);
            return;
        }
        if fact.progressed() || fact.kind(Kind::ToolCall) {
            self.changed_at = self.changed_at.max(ended);
            self.prompts.retain(|prompt| prompt.ended > ended);
            return;
        }
        self.expire(now);
        if ended <= self.changed_at {
            return;
        }
        if self.prompts.len() > REPROMPTS as usize {
            self.prompts.pop_front();
        }
        self.prompts.push_back(Prompt {
            received: fact.received,
            ended,
            charge: fact.row.charge_id.into(),
            span: fact.span(),
        });
    }

    /// How many there are in a row.
    pub(crate) fn count(&mut self, now: i64) -> usize {
        self.expire(now);
        let settled = |prompt: &&Prompt| prompt.received <= now - SETTLE;
        self.prompts.iter().filter(settled).count()
    }

    /// The last few of them.
    pub(crate) fn spans(&self) -> Vec<SpanRef> {
        let skip = self.prompts.len().saturating_sub(SHOWN);
        let last = self.prompts.iter().skip(skip);
        last.filter_map(|prompt| prompt.span).collect()
    }

    pub(crate) fn is_empty(&mut self, now: i64) -> bool {
        self.expire(now);
        self.prompts.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.prompts.clear();
    }

    fn expire(&mut self, now: i64) {
        let first = now - self.window;
        while self
            .prompts
            .front()
            .is_some_and(|prompt| prompt.received <= first)
        {
            self.prompts.pop_front();
        }
    }
}
