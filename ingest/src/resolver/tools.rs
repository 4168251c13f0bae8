//! Which spans tell of the same tool call, and which of them stands for it.

use flyball_store::hashed::HashMap;

use super::fact::{Class, Detail, Fact};
use super::tree::Tree;
use super::words::Sym;

/// One tool call.
#[derive(Debug)]
pub(super) struct ToolCall {
    /// Index of the fact that stands for it: the outermost.
    pub(super) stands: usize,
    /// What is known of it: the outermost span's telling, its gaps filled from the others.
    pub(super) told: Detail,
    /// Indexes of the facts that tell of it besides.
    pub(super) others: Vec<usize>,
}

/// The tool calls of a trace, each once: by the model's id of the call, else the outermost of nested spans
/// of the same tool (a framework's span, an MCP client's, an MCP server's).
pub(super) fn tool_calls(facts: &[Fact], tree: &Tree) -> Vec<ToolCall> {
    let mut by_id: HashMap<Sym, usize> = HashMap::default();
    // For each tool span, the one that stands for it. Parents come first, so theirs is known.
    let mut stands: HashMap<usize, usize> = HashMap::default();
    let mut tools: Vec<usize> = tree
        .order
        .iter()
        .copied()
        .filter(|span| facts[*span].class == Class::Tool)
        .collect();
    // A record stands for a call only where no span does.
    tools.sort_unstable_by_key(|span| (facts[*span].recorded, tree.height(facts, *span)));
    let mut calls: HashMap<usize, ToolCall> = HashMap::default();
    for span in tools {
        let told = facts[span].detail();
        let same = told
            .tool_call_id
            .and_then(|id| by_id.get(&id).copied())
            .or_else(|| {
                let around = around(facts, tree, span)?;
                let outer = *stands.get(&around)?;
                // Compared with the call as known so far: an id may have come from a span in between.
                is_same(&told, &calls.get(&outer)?.told).then_some(outer)
            });
        let outer = same.unwrap_or(span);
        stands.insert(span, outer);
        match calls.get_mut(&outer) {
            Some(call) => {
                complete(&mut call.told, &told);
                call.others.push(span);
            }
            None => {
                calls.insert(
                    span,
                    ToolCall {
                        stands: span,
                        told,
                        others: Vec::new(),
                    },
                );
            }
        }
        if let Some(id) = told.tool_call_id {
            by_id.entry(id).or_insert(outer);
        }
    }
    let mut calls: Vec<ToolCall> = calls.into_values().collect();
    calls.sort_unstable_by_key(|call| facts[call.stands].rank());
    calls
}

/// The nearest tool span around a span. An agent or a model call in between starts tool calls of its own.
fn around(facts: &[Fact], tree: &Tree, span: usize) -> Option<usize> {
    tree.ancestors(span)
        .take_while(|above| !matches!(facts[*above].class, Class::Agent | Class::Model(_)))
        .find(|above| facts[*above].class == Class::Tool)
}

fn is_same(one: &Detail, other: &Detail) -> bool {
    let ids_differ = one.tool_call_id.is_some()
        && other.tool_call_id.is_some()
        && one.tool_call_id != other.tool_call_id;
    let names_differ =
        one.tool_name.is_some() && other.tool_name.is_some() && one.tool_name != other.tool_name;
    !ids_differ && !names_differ
}

fn complete(told: &mut Detail, other: &Detail) {
    told.tool_name = told.tool_name.or(other.tool_name);
    told.tool_call_id = told.tool_call_id.or(other.tool_call_id);
    told.tool_effect = told.tool_effect.or(other.tool_effect);
    told.tool_input_hash = told.tool_input_hash.or(other.tool_input_hash);
    told.tool_target = told.tool_target.or(other.tool_target);
    told.injection_markers = told.injection_markers.or(other.injection_markers);
    told.argument_markers = told.argument_markers.or(other.argument_markers);
    told.error_type = told.error_type.or(other.error_type);
    told.policy_verdict = told.policy_verdict.or(other.policy_verdict);
    told.version_set = told.version_set.or(other.version_set);
    told.state = told.state.or(other.state);
    told.step = told.step.or(other.step);
    told.progress = told.progress.or(other.progress);
}
