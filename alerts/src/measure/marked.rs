//! Calls that carried signs of an attack, and the last of those signs.

use std::collections::BTreeSet;

use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::fact::{Fact, marked};
use crate::window::Ring;

/// What stands in the names of tools that keep memories, and in those of them that only look some up.
const MEMORY: [&str; 6] = [
    "memory", "Memory", "memories", "remember", "Remember", "memorize",
];
const LOOKS_UP: [&str; 8] = [
    "search", "get", "read", "recall", "list", "query", "retrieve", "find",
];

/// Whether what came from outside carries one of these markers, or any.
pub(super) fn injected(fact: &Fact<'_>, markers: &BTreeSet<String>) -> bool {
    let found = marked(fact.row.injection_markers);
    found.is_some_and(|found| {
        markers.is_empty() || found.split(' ').any(|marker| markers.contains(marker))
    })
}

/// Whether it is a call of a memory tool that wrote what carries markers, or was given such a thing to read.
pub(super) fn poisons(fact: &Fact<'_>, tools: &BTreeSet<String>) -> bool {
    let Some(tool) = fact.row.tool_name.filter(|_| fact.markers().is_some()) else {
        return false;
    };
    let holds = |words: &[&str]| words.iter().any(|word| tool.contains(word));
    let memory = if tools.is_empty() {
        holds(&MEMORY)
    } else {
        tools.contains(tool)
    };
    let looks_up =
        fact.row.tool_effect == Some("read_only") || (tools.is_empty() && holds(&LOOKS_UP));
    let written = marked(fact.row.argument_markers).is_some() && !looks_up;
    memory && (written || marked(fact.row.injection_markers).is_some())
}

/// Marked calls of one key.
#[derive(Debug)]
pub(crate) struct Marked {
    calls: Ring<i64>,
    dollars: Ring<Decimal>,
    markers: Option<Box<str>>,
    tool: Option<Box<str>>,
}

impl Marked {
    pub(crate) fn new(window: i64) -> Self {
        Self {
            calls: Ring::new(window),
            dollars: Ring::new(window),
            markers: None,
            tool: None,
        }
    }

    pub(crate) fn add(&mut self, fact: &Fact<'_>, now: i64) {
        self.calls.add(fact.received, fact.sign(), now);
        self.dollars.add(fact.received, fact.cost(), now);
        if !fact.charge() {
            return;
        }
        let markers = fact.markers();
        if self.markers.as_deref() != markers {
            self.markers = markers.map(Into::into);
        }
        if self.tool.as_deref() != fact.row.tool_name {
            self.tool = fact.row.tool_name.map(Into::into);
        }
    }

    pub(crate) fn value(&mut self, now: i64) -> i64 {
        self.calls.sum(now)
    }

    pub(crate) fn numbers(&mut self, now: i64) -> Value {
        json!({
            "calls": self.calls.sum(now),
            "usd": self.dollars.sum(now).normalize().to_string(),
            "markers": self.markers,
            "tool": self.tool,
        })
    }

    pub(crate) fn is_empty(&mut self, now: i64) -> bool {
        self.calls.is_empty(now)
    }

    pub(crate) fn clear(&mut self) {
        self.calls.clear();
        self.dollars.clear();
    }
}
