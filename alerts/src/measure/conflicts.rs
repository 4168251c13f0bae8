//! Two who change the same thing against each other.
//!
//! A modification is a successful tool call that is not read-only (by `flyball.tool.effect`, or by the rule's list of
//! tools) and of which it is known what it changes (`tool_target`) and to what (`tool_input_hash`). One writer after
//! another is how work is handed on. It is a conflict when a writer comes back: somebody else has changed the target
//! since, and now it is changed again, with another input than theirs. Writers are executions of agents.
//!
//! Writers, inputs and charges are kept as hashes under a key of this process: a write takes 48 bytes.

use std::collections::{BTreeSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};

use flyball_store::rows::Kind;
use serde_json::{Value, json};

use crate::fact::{Fact, SpanRef};

/// Targets kept for one key; the one that was idle longest makes room.
const TARGETS: usize = 64;
/// Writes remembered of one target.
const WRITES: usize = 256;
/// Writers of a target whose names are kept.
const WRITERS: usize = 8;
/// Spans shown as evidence.
const SHOWN: usize = 6;

#[derive(Debug, Clone, Copy)]
struct Write {
    received: i64,
    /// By its own clock: exporters send spans in bundles.
    ended: i64,
    writer: u64,
    input: u64,
    charge: u64,
    span: Option<SpanRef>,
}

#[derive(Debug)]
struct Writer {
    hash: u64,
    agent: Option<Box<str>>,
    execution: Box<str>,
}

#[derive(Debug)]
struct Target {
    name: Box<str>,
    /// In the order in which they ended.
    writes: VecDeque<Write>,
    writers: Vec<Writer>,
    /// How often somebody came back.
    comebacks: usize,
    fed: i64,
}

impl Target {
    fn count(&mut self) {
        let mut before: Option<&Write> = None;
        let mut seen: Vec<u64> = Vec::new();
        self.comebacks = 0;
        for write in &self.writes {
            let against =
                before.is_some_and(|b| b.writer != write.writer && b.input != write.input);
            let known = seen.contains(&write.writer);
            self.comebacks += usize::from(against && known);
            if !known {
                seen.push(write.writer);
            }
            before = Some(write);
        }
    }
}

/// Whether a call modified something: it went well, and its effect or the list says so.
pub(super) fn modifies(fact: &Fact<'_>, tools: &BTreeSet<String>) -> bool {
    let row = fact.row;
    if row.tool_target.is_none() || row.error_type.is_some() || !fact.kind(Kind::ToolCall) {
        return false;
    }
    match row.tool_effect {
        Some("reversible" | "irreversible") => true,
        Some("read_only") => false,
        _ => row.tool_name.is_some_and(|tool| tools.contains(tool)),
    }
}

/// What was changed under one key.
#[derive(Debug)]
pub(crate) struct Conflicts {
    window: i64,
    hasher: RandomState,
    targets: Vec<Target>,
}

impl Conflicts {
    pub(crate) fn new(window: i64) -> Self {
        Self {
            window,
            hasher: RandomState::new(),
            targets: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, fact: &Fact<'_>, now: i64) {
        let row = fact.row;
        let (Some(name), Some(input)) = (row.tool_target, row.tool_input_hash) else {
            return;
        };
        self.expire(now);
        let charge = self.hasher.hash_one(row.charge_id);
        let known = self.targets.iter().position(|t| *t.name == *name);
        if fact.reversal() {
            if let Some(at) = known {
                let target = &mut self.targets[at];
                target.writes.retain(|write| write.charge != charge);
                target.count();
            }
            return;
        }
        let at = known.unwrap_or_else(|| self.make(name, fact.received));
        let agent = row.agent_name;
        let writer = self.hasher.hash_one((agent, row.execution_id));
        let input = self.hasher.hash_one(input);
        let target = &mut self.targets[at];
        target.fed = target.fed.max(fact.received);
        if target.writes.len() >= WRITES {
            target.writes.pop_front();
        }
        let there = target.writers.iter().any(|w| w.hash == writer);
        if !there && target.writers.len() < WRITERS {
            target.writers.push(Writer {
                hash: writer,
                agent: agent.map(Into::into),
                execution: row.execution_id.into(),
            });
        }
        let ended = fact.ended.min(fact.received);
        let place = target.writes.iter().rposition(|w| w.ended <= ended);
        let write = Write {
            received: fact.received,
            ended,
            writer,
            input,
            charge,
            span: fact.span(),
        };
        target.writes.insert(place.map_or(0, |i| i + 1), write);
        target.count();
    }

    /// How often somebody came back to the target that is fought over most.
    pub(crate) fn most(&mut self, now: i64) -> usize {
        self.expire(now);
        self.worst().map_or(0, |target| target.comebacks)
    }

    pub(crate) fn numbers(&self) -> Value {
        let Some(target) = self.worst() else {
            return json!({ "comebacks": 0 });
        };
        let stands = |writer: &&Writer| target.writes.iter().any(|w| w.writer == writer.hash);
        let writers: Vec<_> = target
            .writers
            .iter()
            .filter(stands)
            .map(|w| json!({ "agent": w.agent, "execution": w.execution }))
            .collect();
        json!({
            "target": target.name,
            "comebacks": target.comebacks,
            "modifications": target.writes.len(),
            "writers": writers,
        })
    }

    /// The last few modifications of that target.
    pub(crate) fn spans(&self) -> Vec<SpanRef> {
        self.worst().map_or_else(Vec::new, |target| {
            let skip = target.writes.len().saturating_sub(SHOWN);
            let last = target.writes.iter().skip(skip);
            last.filter_map(|write| write.span).collect()
        })
    }

    pub(crate) fn is_empty(&mut self, now: i64) -> bool {
        self.expire(now);
        self.targets.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.targets.clear();
    }

    fn make(&mut self, name: &str, at: i64) -> usize {
        if self.targets.len() >= TARGETS
            && let Some(idlest) = (0..self.targets.len()).min_by_key(|i| self.targets[*i].fed)
        {
            self.targets.swap_remove(idlest);
        }
        self.targets.push(Target {
            name: name.into(),
            writes: VecDeque::new(),
            writers: Vec::new(),
            comebacks: 0,
            fed: at,
        });
        self.targets.len() - 1
    }

    fn worst(&self) -> Option<&Target> {
        let contested = self.targets.iter();
        contested.max_by_key(|target| (target.comebacks, target.fed))
    }

    fn expire(&mut self, now: i64) {
        let first = now - self.window;
        self.targets.retain_mut(|target| {
            if target.fed <= first {
                return false;
            }
            let before = target.writes.len();
            target.writes.retain(|write| write.received > first);
            if target.writes.len() != before {
                target.count();
            }
            true
        });
    }
}
