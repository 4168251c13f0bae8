//! A trace that outgrew its room goes on without its oldest spans.
//!
//! What stands of them stands, whatever comes later. Kept are the agents and whatever says how an execution
//! ended, by which new spans still find their execution and their name, and the latest spans, of which an
//! outer telling may still be under way.

use std::cmp::Reverse;

use super::{Key, Posted, Slot, Trace};
use crate::resolver::charge::{Charge, Priced};
use crate::resolver::entries::Entries;
use crate::resolver::fact::{Class, Detail, Fact, Own, Who};
use crate::resolver::trace::Rules;
use crate::resolver::words::{Word, Words};
use flyball_store::rows::Kind;

/// Of its room, the part that is kept of each sort: agents, latest spans, executions.
const KEPT_PART: usize = 8;

impl Trace {
    /// Decides what is still undecided, posts it, and lets the oldest spans go: about three quarters of
    /// `room`, so that the work is a small, fixed number of passes for each span.
    pub(in crate::resolver) fn let_go(
        &mut self,
        rules: &Rules,
        room: usize,
        entries: &mut Entries,
    ) {
        self.resolve(rules, true, entries);
        // Of less than it was decided from.
        self.decided = false;
        let part = room / KEPT_PART;
        let keep = self.kept(rules, part);
        let old = std::mem::take(&mut self.words);
        let owns = std::mem::take(&mut self.owns);
        self.own_index.clear();
        self.index.clear();
        let facts = std::mem::take(&mut self.facts);
        for (fact, keep) in facts.into_iter().zip(keep) {
            if keep {
                self.carry(fact, &owns, &old);
            } else {
                self.gone.insert(fact.span_id);
            }
        }
        self.carry_slots(part, &old);
    }

    /// For each span, whether it is kept.
    fn kept(&self, rules: &Rules, part: usize) -> Vec<bool> {
        let shapes = |fact: &Fact| {
            let detail = fact.detail();
            let hands_over = || {
                let name = self.words.text(detail.tool_name);
                name.is_some_and(|name| rules.escalation_tools.contains(name))
            };
            fact.class == Class::Agent
                || detail.termination.is_some()
                || detail.escalated == Some(true)
                || hands_over()
        };
        let mut shaping = Vec::new();
        let mut others = Vec::new();
        for (at, fact) in self.facts.iter().enumerate() {
            let sort = if shapes(fact) {
                &mut shaping
            } else {
                &mut others
            };
            sort.push(at);
        }
        let latest = |at: &usize| Reverse((self.facts[*at].position, *at));
        // The topmost agent is the first to start, and the one that must not be lost.
        shaping.sort_unstable_by_key(|at| self.facts[*at].rank());
        others.sort_unstable_by_key(latest);
        let mut keep = vec![false; self.facts.len()];
        for at in shaping
            .into_iter()
            .take(part)
            .chain(others.into_iter().take(part))
        {
            keep[at] = true;
        }
        keep
    }

    fn carry(&mut self, fact: Fact, owns: &[Own], old: &Words) {
        let said = owns.get(fact.own as usize).copied().unwrap_or_default();
        let mut word = |word: Word| self.words.word(old.text(word));
        let own = own_in(&said, &mut word);
        let detail = fact
            .detail
            .map(|detail| Box::new(detail_in(&detail, &mut word)));
        let owns = &mut self.owns;
        let own = *self.own_index.entry(own).or_insert_with(|| {
            owns.push(own);
            u32::try_from(owns.len() - 1).unwrap_or(u32::MAX)
        });
        self.index.insert(fact.span_id, self.facts.len());
        self.facts.push(Fact {
            own,
            detail,
            ..fact
        });
    }

    /// What stands of spans that are kept, and of the latest executions. The rest needs no memory: it is not
    /// touched again.
    fn carry_slots(&mut self, part: usize, old: &Words) {
        let slots = std::mem::take(&mut self.slots);
        self.fixed.clear();
        let executions = slots.keys().filter(|key| matches!(key, Key::Execution(_)));
        let mut spare = executions.count().saturating_sub(part);
        for (key, slot) in slots {
            let by_container = slot
                .stands
                .as_ref()
                .is_some_and(|posted| posted.charge.by_container);
            let key = match key {
                Key::Span(id) if self.index.contains_key(&id) && !by_container => key,
                Key::Execution(_) if spare > 0 => {
                    spare -= 1;
                    continue;
                }
                Key::Execution(id) => Key::Execution(self.words.put(old.get(id))),
                Key::Span(_) => continue,
            };
            let stands = slot
                .stands
                .map(|posted| Box::new(posted_in(*posted, old, &mut self.words)));
            self.fixed.insert(key);
            self.slots.insert(
                key,
                Slot {
                    stands,
                    revision: slot.revision,
                },
            );
        }
    }
}

/// Whether what a span resolves to now is to stand in place of what was posted before older spans were let
/// go. Much is forgotten, so only two things are believed: that somebody else tells of the same call, and
/// that an execution's topmost span has come at last.
pub(super) fn outdoes(now: &Charge, before: &Charge) -> bool {
    match now.kind {
        Kind::Execution => {
            let same = (now.span_id, now.duration) == (before.span_id, before.duration);
            !same && now.duration.is_some() && now.start <= before.start
        }
        _ => before.duplicate_of.is_none() && now.duplicate_of.is_some(),
    }
}

fn posted_in(posted: Posted, old: &Words, words: &mut Words) -> Posted {
    let Posted {
        charge,
        priced,
        charge_id,
        received,
    } = posted;
    let priced = priced.map(|priced| {
        Box::new(Priced {
            price_id: words.put(old.get(priced.price_id)),
            ..*priced
        })
    });
    let execution = words.put(old.get(charge.execution));
    let mut word = |word: Word| words.word(old.text(word));
    Posted {
        charge: Charge {
            who: who_in(&charge.who, &mut word),
            told: detail_in(&charge.told, &mut word),
            execution,
            ..charge
        },
        priced,
        charge_id,
        received,
    }
}

fn own_in(own: &Own, word: &mut impl FnMut(Word) -> Word) -> Own {
    Own {
        who: who_in(&own.who, word),
        execution: word(own.execution),
        service: word(own.service),
    }
}

// Every field is named in these two, so that a new word cannot be forgotten.

fn who_in(who: &Who, word: &mut impl FnMut(Word) -> Word) -> Who {
    Who {
        agent_name: word(who.agent_name),
        agent_id: word(who.agent_id),
        agent_version: word(who.agent_version),
        agent_role: word(who.agent_role),
        session_id: word(who.session_id),
        user_id: word(who.user_id),
        tenant: word(who.tenant),
        team: word(who.team),
        environment: word(who.environment),
        workflow: word(who.workflow),
        task_id: word(who.task_id),
        task_type: word(who.task_type),
    }
}

fn detail_in(detail: &Detail, word: &mut impl FnMut(Word) -> Word) -> Detail {
    Detail {
        operation: word(detail.operation),
        provider: word(detail.provider),
        request_model: word(detail.request_model),
        response_model: word(detail.response_model),
        service_tier: word(detail.service_tier),
        response_id: word(detail.response_id),
        finish_reason: word(detail.finish_reason),
        tool_name: word(detail.tool_name),
        tool_call_id: word(detail.tool_call_id),
        tool_effect: word(detail.tool_effect),
        tool_input_hash: word(detail.tool_input_hash),
        tool_target: word(detail.tool_target),
        injection_markers: word(detail.injection_markers),
        argument_markers: word(detail.argument_markers),
        error_type: word(detail.error_type),
        state: word(detail.state),
        termination: word(detail.termination),
        termination_reason: word(detail.termination_reason),
        policy_verdict: word(detail.policy_verdict),
        version_set: word(detail.version_set),
        plain_models: detail.plain_models.map(&mut *word),
        usage: detail.usage,
        tokens: detail.tokens,
        client_cost: detail.client_cost,
        value: detail.value,
        step: detail.step,
        confidence: detail.confidence,
        progress: detail.progress,
        queue_wait_ms: detail.queue_wait_ms,
        decision: detail.decision,
        output_has_tool_call: detail.output_has_tool_call,
        escalated: detail.escalated,
        scope: word(detail.scope),
        closeness: detail.closeness,
    }
}
