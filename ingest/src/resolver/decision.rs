//! Which model calls were decisions.

use flyball_store::hashed::HashSet;
use flyball_store::rows::Kind;

use super::calls::Call;
use super::fact::{Class, Fact};
use super::identity::Identity;
use super::words::Words;

/// Finish reasons of a call that ended in a tool call or a final answer, in the words of all providers.
const DECIDED: &[&str] = &[
    "stop",
    "tool_calls",
    "tool_call",
    "tool_use",
    "tool-calls",
    "function_call",
    "end_turn",
    "stop_sequence",
    "completed",
    "complete",
    "finished",
    "eos",
    "handoff",
];

/// Finish reasons of a call that was cut off or refused: whatever was said, nothing was chosen.
const UNDECIDED: &[&str] = &[
    "error",
    "content_filter",
    "content-filter",
    "safety",
    "recitation",
    "refusal",
    "cancelled",
    "aborted",
    "failed",
];

/// For each call, whether it was a decision: what the agent says itself, else how the call ended, else what
/// its answer holds. `None` when nothing tells. A failed call is none, and a retry belongs to the decision
/// it repeats: of several that qualify in one step and state, the first counts.
pub(super) fn decisions(
    calls: &[Call],
    facts: &[Fact],
    identity: &Identity,
    words: &Words,
) -> Vec<Option<bool>> {
    let mut taken = HashSet::default();
    let mut decision = |call: &Call| {
        if facts[call.bills].class != Class::Model(Kind::ModelCall) {
            return None;
        }
        if call.told.decision.is_some() {
            return call.told.decision;
        }
        let decided = decided(call, words)?;
        let turn = call.told.step.map(|step| {
            let agent = identity.who[call.bills].agent_name;
            (identity.execution[call.bills], agent, step, call.told.state)
        });
        Some(decided && turn.is_none_or(|turn| taken.insert(turn)))
    };
    // Calls come first to start first.
    calls.iter().map(&mut decision).collect()
}

fn decided(call: &Call, words: &Words) -> Option<bool> {
    let told = &call.told;
    let reason = words.text(told.finish_reason);
    if told.error_type.is_some() || reason.is_some_and(|reason| UNDECIDED.contains(&reason)) {
        return Some(false);
    }
    if told.output_has_tool_call == Some(true)
        || reason.is_some_and(|reason| DECIDED.contains(&reason))
    {
        return Some(true);
    }
    match reason {
        // Cut by length, or a reason we do not know: no final answer.
        Some(_) => Some(false),
        // No reason given, but an answer: that is a final one.
        None => told.output_has_tool_call.map(|_| true),
    }
}
