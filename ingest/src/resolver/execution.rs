//! Executions: which a trace holds, when each ended and how.

use std::collections::BTreeMap;

use flyball_store::hashed::HashSet;
use flyball_store::rows::Kind;

use super::charge::Charge;
use super::fact::{Class, Detail, Fact, Own};
use super::identity::Identity;
use super::tree::Tree;
use super::words::{Sym, Word, Words};

/// The ways to end.
const TERMINATIONS: [&str; 4] = ["success", "failure", "escalation", "abort"];

/// What is told of one execution.
#[derive(Debug)]
struct Told {
    /// The topmost agent span.
    agent: Option<usize>,
    /// The topmost span of any kind.
    top: usize,
    /// The first to start.
    first: usize,
    /// Whether it is an execution at all: an agent, a named run, or at least a model call.
    counts: bool,
    /// Control was handed to a person.
    escalated: bool,
    /// The last span that says how it ended.
    said: Option<usize>,
    /// When its last span was received, microseconds since 1970.
    received: i64,
}

/// What the executions of a trace are decided from.
pub(super) struct Executions<'a> {
    pub(super) facts: &'a [Fact],
    pub(super) owns: &'a [Own],
    pub(super) tree: &'a Tree,
    pub(super) identity: &'a Identity,
    /// Names of the tools that hand control to a person.
    pub(super) escalation_tools: &'a HashSet<String>,
    /// Whether the trace has settled: what is not there now will not be waited for.
    pub(super) settled: bool,
}

impl Executions<'_> {
    /// One entry an execution, with when its last span was received.
    ///
    /// It is provisional until its topmost agent span (without agents, the root) has been seen, with all
    /// above that might hold a higher one: then it has an end and a termination.
    pub(super) fn charges(&self, words: &mut Words) -> Vec<(Charge, i64)> {
        let told = self.told(words);
        told.into_iter()
            .filter(|(_, told)| told.counts)
            .map(|(id, told)| (self.charge(id, &told, words), told.received))
            .collect()
    }

    fn told(&self, words: &Words) -> BTreeMap<Sym, Told> {
        let mut executions: BTreeMap<Sym, Told> = BTreeMap::new();
        for (span, fact) in self.facts.iter().enumerate() {
            let told = executions
                .entry(self.identity.execution[span])
                .or_insert_with(|| Told {
                    agent: None,
                    top: span,
                    first: span,
                    counts: false,
                    escalated: false,
                    said: None,
                    received: fact.received,
                });
            let higher = |other: usize| {
                self.tree.height(self.facts, span) < self.tree.height(self.facts, other)
            };
            if higher(told.top) {
                told.top = span;
            }
            if fact.rank() < self.facts[told.first].rank() {
                told.first = span;
            }
            if fact.class == Class::Agent && told.agent.is_none_or(higher) {
                told.agent = Some(span);
            }
            let named = self.identity.named[span].is_some();
            told.counts |=
                named || matches!(fact.class, Class::Agent | Class::Model(Kind::ModelCall));
            told.received = told.received.max(fact.received);
            let detail = fact.detail();
            told.escalated |=
                detail.escalated == Some(true) || self.escalates(fact, &detail, words);
            let later = |other: usize| {
                (fact.end(), fact.span_id) > (self.facts[other].end(), self.facts[other].span_id)
            };
            if termination(detail.termination, words).is_some() && told.said.is_none_or(later) {
                told.said = Some(span);
            }
        }
        executions
    }

    /// A call of a tool that hands control to a person; one that failed did not.
    fn escalates(&self, fact: &Fact, detail: &Detail, words: &Words) -> bool {
        let named = || {
            words
                .text(detail.tool_name)
                .is_some_and(|name| self.escalation_tools.contains(name))
        };
        fact.class == Class::Tool && detail.error_type.is_none() && named()
    }

    fn charge(&self, id: Sym, told: &Told, words: &mut Words) -> Charge {
        let stands = told
            .agent
            .unwrap_or(if self.facts[told.top].parent_id == 0 {
                told.top
            } else {
                told.first
            });
        let fact = &self.facts[stands];
        let ended = match told.agent {
            // An agent that names its own execution is its top, whoever called it.
            Some(agent) => self.settled || self.tree.rooted[agent] || self.names_itself(agent),
            None => fact.parent_id == 0,
        };
        let said = told.said.filter(|_| ended || self.settled);
        let own = fact.detail();
        let mut detail = Detail {
            operation: own.operation,
            escalated: told.escalated.then_some(true),
            ..Detail::default()
        };
        if ended {
            detail = Detail {
                error_type: own.error_type,
                state: own.state,
                step: own.step,
                confidence: own.confidence,
                progress: own.progress,
                policy_verdict: own.policy_verdict,
                queue_wait_ms: own.queue_wait_ms,
                version_set: own.version_set,
                value: own.value,
                termination: Some(words.put(if told.escalated {
                    "escalation"
                } else if own.error_type.is_some() {
                    "failure"
                } else {
                    "success"
                })),
                termination_reason: own.termination_reason.or(own.error_type),
                escalated: Some(told.escalated),
                ..detail
            };
        }
        // What an agent says itself about its end overrides; its topmost span says it best.
        let top_says = termination(own.termination, words).is_some() && ended;
        if let Some(said) = if top_says { Some(stands) } else { said } {
            let last = self.facts[said].detail();
            detail.termination = termination(last.termination, words);
            detail.termination_reason = last.termination_reason.or(detail.termination_reason);
        }
        let mut who = self.identity.who[stands];
        who.task_id = who.task_id.filter(|task| *task != id);
        Charge {
            kind: Kind::Execution,
            duplicate_of: None,
            by_container: false,
            span_id: fact.span_id,
            start: fact.start,
            duration: ended.then_some(fact.duration),
            who,
            execution: id,
            told: detail,
            decision: None,
        }
    }

    fn names_itself(&self, agent: usize) -> bool {
        self.owns
            .get(self.facts[agent].own as usize)
            .is_some_and(|own| own.execution.is_some())
    }
}

fn termination(said: Word, words: &Words) -> Word {
    said.filter(|said| TERMINATIONS.contains(&words.get(*said)))
}
