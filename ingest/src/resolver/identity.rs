//! Who a span belongs to: what it says itself, else its nearest ancestor, else the trace.

use super::fact::{Class, Fact, Own, Who};
use super::tree::Tree;
use super::words::{Sym, Word, Words};

/// The dimensions of every span of a trace.
#[derive(Debug)]
pub(super) struct Identity {
    /// By index of the facts.
    pub(super) who: Vec<Who>,
    /// The execution of each, by index of the facts.
    pub(super) execution: Vec<Sym>,
    /// The executions that spans or their ancestors name themselves, by index of the facts.
    pub(super) named: Vec<Word>,
}

/// Decides them. `trace_id` is the execution of a trace that names none and has no agent.
pub(super) fn identify(
    facts: &[Fact],
    owns: &[Own],
    tree: &Tree,
    trace_id: &str,
    words: &mut Words,
) -> Identity {
    let own = |span: usize| {
        owns.get(facts[span].own as usize)
            .copied()
            .unwrap_or_default()
    };
    let mut who = vec![Who::default(); facts.len()];
    let mut named: Vec<Word> = vec![None; facts.len()];
    for &span in &tree.order {
        let said = own(span);
        let (above, execution) = match tree.parent[span] {
            Some(parent) => (who[parent], named[parent]),
            None => (Who::default(), None),
        };
        who[span] = inherit(said.who, above);
        named[span] = said.execution.or(execution);
    }

    let topmost = |candidates: &mut dyn Iterator<Item = usize>| {
        candidates.min_by_key(|span| tree.height(facts, *span))
    };
    let trace = of_trace(&who, &topmost);
    for (span, who) in who.iter_mut().enumerate() {
        *who = inherit(*who, trace);
        // The process is the last to ask, and only for the agent's name.
        who.agent_name = who.agent_name.or(own(span).service);
    }

    let agent = topmost(&mut (0..facts.len()).filter(|span| facts[*span].class == Class::Agent));
    let fallback = match agent {
        Some(agent) => {
            named[agent].unwrap_or_else(|| words.put(&format!("{:016x}", facts[agent].span_id)))
        }
        None => {
            let first = topmost(&mut (0..facts.len()).filter(|span| named[*span].is_some()));
            first
                .and_then(|span| named[span])
                .unwrap_or_else(|| words.put(trace_id))
        }
    };
    let execution = named.iter().map(|name| name.unwrap_or(fallback)).collect();
    Identity {
        who,
        execution,
        named,
    }
}

/// For each dimension, what the topmost span that knows it says.
fn of_trace(
    who: &[Who],
    topmost: &dyn Fn(&mut dyn Iterator<Item = usize>) -> Option<usize>,
) -> Who {
    let first = |known: fn(&Who) -> Word| {
        topmost(&mut (0..who.len()).filter(|span| known(&who[*span]).is_some()))
    };
    let word = |known: fn(&Who) -> Word| first(known).and_then(|span| known(&who[span]));
    let agent =
        first(|who| who.agent_name.or(who.agent_id)).map_or_else(Who::default, |span| who[span]);
    Who {
        agent_name: agent.agent_name,
        agent_id: agent.agent_id,
        agent_version: agent.agent_version,
        agent_role: agent.agent_role,
        session_id: word(|who| who.session_id),
        user_id: word(|who| who.user_id),
        tenant: word(|who| who.tenant),
        team: word(|who| who.team),
        environment: word(|who| who.environment),
        workflow: word(|who| who.workflow),
        task_id: word(|who| who.task_id),
        task_type: word(|who| who.task_type),
    }
}

/// What a span says, and for the rest what stands above it. An agent is taken as a whole: the id, version
/// and role of one agent never stand beside the name of another.
fn inherit(said: Who, above: Who) -> Who {
    let other = said.agent_name.is_some()
        && above.agent_name.is_some()
        && said.agent_name != above.agent_name;
    let agent = if other { Who::default() } else { above };
    Who {
        agent_name: said.agent_name.or(agent.agent_name),
        agent_id: said.agent_id.or(agent.agent_id),
        agent_version: said.agent_version.or(agent.agent_version),
        agent_role: said.agent_role.or(agent.agent_role),
        session_id: said.session_id.or(above.session_id),
        user_id: said.user_id.or(above.user_id),
        tenant: said.tenant.or(above.tenant),
        team: said.team.or(above.team),
        environment: said.environment.or(above.environment),
        workflow: said.workflow.or(above.workflow),
        task_id: said.task_id.or(above.task_id),
        task_type: said.task_type.or(above.task_type),
    }
}
