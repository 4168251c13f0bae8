//! What a trace resolves to now: every entry that should stand in the journal.

use flyball_pricing::Tokens;
use flyball_store::hashed::{HashMap, HashSet};
use flyball_store::rows::{Kind, Usage};

use super::calls::calls;
use super::charge::Charge;
use super::decision::decisions;
use super::execution::Executions;
use super::fact::{Class, Detail, Fact, Own};
use super::identity::{Identity, identify};
use super::tools::tool_calls;
use super::tree::Tree;
use super::words::Words;

/// An entry that should stand, and when the last span it rests on was received (microseconds since 1970).
#[derive(Debug, Clone, Copy)]
pub(super) struct Resolved {
    pub(super) charge: Charge,
    pub(super) received: i64,
}

/// What there is to resolve.
pub(super) struct Open<'a> {
    pub(super) trace_id: &'a str,
    pub(super) facts: &'a [Fact],
    pub(super) index: &'a HashMap<u64, usize>,
    pub(super) owns: &'a [Own],
    pub(super) escalation_tools: &'a HashSet<String>,
    /// Whether to decide what had to wait until no more spans were expected.
    pub(super) settled: bool,
    /// Whether older spans were let go: nobody can say then that nothing below a container bills.
    pub(super) continued: bool,
}

impl Open<'_> {
    /// Resolves it. The same spans give the same entries, whatever order they came in.
    pub(super) fn resolve(&self, words: &mut Words) -> Vec<Resolved> {
        let tree = Tree::of(self.facts, self.index);
        let identity = identify(self.facts, self.owns, &tree, self.trace_id, words);
        let mut resolved = self.model_calls(&tree, &identity, words);
        if self.settled && !self.continued {
            resolved.extend(self.containers(&tree, &identity, &resolved));
        }
        resolved.extend(self.tools(&tree, &identity));
        let executions = Executions {
            facts: self.facts,
            owns: self.owns,
            tree: &tree,
            identity: &identity,
            escalation_tools: self.escalation_tools,
            settled: self.settled,
        };
        let executions = executions.charges(words);
        resolved.extend(executions.into_iter().map(|(charge, received)| Resolved {
            charge: charge.trimmed(),
            received,
        }));
        resolved
    }

    fn model_calls(&self, tree: &Tree, identity: &Identity, words: &Words) -> Vec<Resolved> {
        let calls = calls(self.facts, tree);
        let decisions = decisions(&calls, self.facts, identity, words);
        let mut resolved = Vec::with_capacity(calls.len());
        for (call, decision) in calls.iter().zip(decisions) {
            let mut bills = self.entry(call.bills, call.told, identity);
            bills.charge.decision = decision;
            resolved.push(bills.trimmed());
            for other in &call.others {
                resolved.push(self.duplicate(*other, call.bills, identity));
            }
        }
        resolved
    }

    fn tools(&self, tree: &Tree, identity: &Identity) -> Vec<Resolved> {
        let mut resolved = Vec::new();
        for call in tool_calls(self.facts, tree) {
            resolved.push(self.entry(call.stands, call.told, identity).trimmed());
            for other in &call.others {
                resolved.push(self.duplicate(*other, call.stands, identity));
            }
        }
        resolved
    }

    /// Agents and steps that carry usage while nothing below them bills any: the lowest of them bills. One whose usage
    /// cannot be this run's bills as unknown, unless a call below it stands for itself.
    fn containers(&self, tree: &Tree, identity: &Identity, calls: &[Resolved]) -> Vec<Resolved> {
        let known = |charge: &Charge| {
            charge.duplicate_of.is_none() && charge.told.usage != Some(Usage::Unknown)
        };
        let billing: HashSet<u64> = calls
            .iter()
            .filter(|call| known(&call.charge))
            .map(|call| call.charge.span_id)
            .collect();
        let told_elsewhere = |charge: &Charge| {
            charge
                .duplicate_of
                .is_some_and(|bills| billing.contains(&bills))
        };
        let duplicates: HashSet<u64> = calls
            .iter()
            .filter(|call| told_elsewhere(&call.charge))
            .map(|call| call.charge.span_id)
            .collect();
        let mut below = vec![false; self.facts.len()];
        // Whether a call stands at the span or below it, whatever is known of its usage.
        let mut called: Vec<bool> = self
            .facts
            .iter()
            .map(|fact| matches!(fact.class, Class::Model(_)))
            .collect();
        let mut resolved = Vec::new();
        // Children before parents.
        for &span in tree.order.iter().rev() {
            let fact = &self.facts[span];
            let mut bills = billing.contains(&fact.span_id) || duplicates.contains(&fact.span_id);
            if !below[span] && !bills && fact.is_container() {
                let told = fact.detail();
                let unknown = told.usage == Some(Usage::Unknown) && !called[span];
                bills = unknown || has_tokens(&told.tokens);
                if bills {
                    resolved.push(
                        self.entry_of(Kind::ModelCall, span, told, identity)
                            .by_container()
                            .trimmed(),
                    );
                }
            }
            if let Some(parent) = tree.parent[span] {
                below[parent] |= below[span] || bills;
                called[parent] |= called[span];
            }
        }
        resolved.sort_unstable_by_key(|resolved| (resolved.charge.start, resolved.charge.span_id));
        resolved
    }

    fn duplicate(&self, span: usize, of: usize, identity: &Identity) -> Resolved {
        let mut resolved = self.entry(span, self.facts[span].detail(), identity);
        resolved.charge.duplicate_of = Some(self.facts[of].span_id);
        resolved.trimmed()
    }

    fn entry(&self, span: usize, told: Detail, identity: &Identity) -> Resolved {
        let kind = match self.facts[span].class {
            Class::Model(kind) => kind,
            _ => Kind::ToolCall,
        };
        self.entry_of(kind, span, told, identity)
    }

    fn entry_of(&self, kind: Kind, span: usize, told: Detail, identity: &Identity) -> Resolved {
        let fact = &self.facts[span];
        let charge = Charge {
            kind,
            duplicate_of: None,
            by_container: false,
            span_id: fact.span_id,
            start: fact.start,
            duration: Some(fact.duration),
            who: identity.who[span],
            execution: identity.execution[span],
            told,
            decision: None,
        };
        Resolved {
            charge,
            received: fact.received,
        }
    }
}

impl Resolved {
    fn trimmed(self) -> Self {
        Self {
            charge: self.charge.trimmed(),
            ..self
        }
    }

    fn by_container(mut self) -> Self {
        self.charge.by_container = true;
        self
    }
}

fn has_tokens(tokens: &Tokens) -> bool {
    tokens.input.unwrap_or(0) > 0 || tokens.output.unwrap_or(0) > 0
}
