//! Which keys hold content: what people and models said, and what tools were given and gave back.

use std::collections::HashMap;
use std::sync::LazyLock;

/// Which part of a `contents` row a key belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// What went in: prompts, tool arguments, offered tools.
    Input,
    /// What came out: completions, tool results.
    Output,
    /// The agent's reasoning log.
    Reasoning,
}

use Side::{Input, Output, Reasoning};

/// Keys of content. `*` at the end stands for anything, `#` for an index.
#[rustfmt::skip]
pub const CONTENT: &[(&str, Side)] = &[
    // OpenTelemetry
    ("gen_ai.input.messages", Input),
    ("gen_ai.system_instructions", Input),
    ("gen_ai.tool.definitions", Input),
    ("gen_ai.tool.call.arguments", Input),
    ("gen_ai.tool.input", Input),
    ("tool_arguments", Input),
    ("gen_ai.prompt", Input),
    ("gen_ai.prompt.#.*", Input),
    ("gen_ai.prompt.variable.*", Input),
    ("gen_ai.retrieval.query.text", Input),
    ("gen_ai.memory.query.text", Input),
    ("gen_ai.output.messages", Output),
    ("gen_ai.tool.call.result", Output),
    ("gen_ai.tool.output", Output),
    ("tool_response", Output),
    ("gen_ai.completion", Output),
    ("gen_ai.completion.#.*", Output),
    ("gen_ai.retrieval.documents", Output),
    ("gen_ai.memory.records", Output),
    ("mcp.request.argument", Input),
    ("mcp.tool.arguments", Input),
    ("mcp.response.value", Output),
    ("mcp.tool.result", Output),
    // OpenInference
    ("input.value", Input),
    ("llm.input_messages.*", Input),
    ("llm.prompts", Input),
    ("llm.prompts.*", Input),
    ("llm.tools.*", Input),
    ("llm.invocation_parameters", Input),
    ("llm.prompt_template.template", Input),
    ("llm.prompt_template.variables", Input),
    ("tool.parameters", Input),
    ("embedding.embeddings.*", Input),
    ("reranker.query", Input),
    ("reranker.input_documents.*", Input),
    ("output.value", Output),
    ("llm.output_messages.*", Output),
    ("llm.choices.*", Output),
    ("llm.function_call", Output),
    ("reranker.output_documents.*", Output),
    ("retrieval.documents.*", Output),
    // OpenLLMetry
    ("traceloop.entity.input", Input),
    ("traceloop.prompt.template", Input),
    ("traceloop.prompt.template_variables", Input),
    ("llm.request.functions.*", Input),
    ("traceloop.entity.output", Output),
    // Vercel's AI SDK
    ("ai.prompt", Input),
    ("ai.prompt.*", Input),
    ("ai.toolCall.args", Input),
    ("ai.value", Input),
    ("ai.values", Input),
    ("ai.response.text", Output),
    ("ai.response.object", Output),
    ("ai.response.reasoning", Output),
    ("ai.response.toolCalls", Output),
    ("ai.toolCall.result", Output),
    // Langfuse, MLflow, Google ADK
    ("langfuse.observation.input", Input),
    ("langfuse.observation.output", Output),
    ("langfuse.trace.input", Input),
    ("langfuse.trace.output", Output),
    ("mlflow.spanInputs", Input),
    ("mlflow.chat.tools", Input),
    ("mlflow.spanOutputs", Output),
    ("gcp.vertex.agent.llm_request", Input),
    ("gcp.vertex.agent.tool_call_args", Input),
    ("gcp.vertex.agent.llm_response", Output),
    ("gcp.vertex.agent.tool_response", Output),
    // flyball
    ("flyball.plan", Reasoning),
    ("flyball.alternatives", Reasoning),
    ("flyball.rejected", Reasoning),
    ("flyball.summary", Reasoning),
];

struct Patterns {
    exact: HashMap<&'static str, Side>,
    indexed: Vec<(&'static str, Side)>,
    open: Vec<(&'static str, Side)>,
}

static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| {
    let mut patterns = Patterns {
        exact: HashMap::new(),
        indexed: Vec::new(),
        open: Vec::new(),
    };
    for (pattern, side) in CONTENT {
        if let Some(start) = pattern.strip_suffix("#.*") {
            patterns.indexed.push((start, *side));
        } else if let Some(start) = pattern.strip_suffix('*') {
            patterns.open.push((start, *side));
        } else {
            patterns.exact.insert(pattern, *side);
        }
    }
    patterns
});

/// On which side of the content a key stands; `None` when it is no content.
#[must_use]
pub fn content_side(key: &str) -> Option<Side> {
    PATTERNS.exact.get(key).copied().or_else(|| by_pattern(key))
}

/// The same by the patterns alone.
pub(super) fn by_pattern(key: &str) -> Option<Side> {
    let patterns = &*PATTERNS;
    let open = patterns
        .open
        .iter()
        .find(|(start, _)| key.starts_with(start));
    let indexed = || {
        patterns.indexed.iter().find(|(start, _)| {
            let index = key
                .strip_prefix(start)
                .and_then(|rest| rest.split('.').next());
            index.is_some_and(|index| {
                !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit())
            })
        })
    };
    open.or_else(indexed).map(|(_, side)| *side)
}
