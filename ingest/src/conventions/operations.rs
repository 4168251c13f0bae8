//! What kind of work a span tells of.

use std::borrow::Cow;
use std::sync::LazyLock;

use super::Convention;

/// One row: when this key has this value (in any case), the span tells of that operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// The attribute key.
    pub key: &'static str,
    /// Its value, in lower case.
    pub value: &'static str,
    /// The canonical operation.
    pub operation: &'static str,
}

const fn row(key: &'static str, value: &'static str, operation: &'static str) -> Operation {
    Operation {
        key,
        value,
        operation,
    }
}

/// In order of precedence. A `gen_ai.operation.name` that is not listed here is taken as it is.
#[rustfmt::skip]
pub const OPERATIONS: &[Operation] = &[
    // A span that was sent when it began, beside the one that is sent when it ends.
    row("logfire.span_type", "pending_span", "pending"),
    // The tool was not called: its result was known.
    row("crewai.tool.from_cache", "true", "reuse_tool_result"),
    // LangSmith calls a retriever `embeddings`, and a prompt `chat`, where the operation should stand.
    row("langsmith.span.kind", "llm", "chat"),
    row("langsmith.span.kind", "embedding", "embeddings"),
    row("langsmith.span.kind", "tool", "execute_tool"),
    row("langsmith.span.kind", "chain", "invoke_workflow"),
    row("langsmith.span.kind", "retriever", "retrieval"),
    row("langsmith.span.kind", "prompt", "prompt"),
    row("langsmith.span.kind", "parser", "parse"),
    row("gen_ai.operation.name", "completion", "text_completion"),
    row("gen_ai.operation.name", "embedding", "embeddings"),
    row("gen_ai.operation.name", "responses", "chat"),
    row("gen_ai.operation.name", "tool", "execute_tool"),
    row("gen_ai.operation.name", "chat.completions", "chat"),
    row("gen_ai.operation.name", "text.completions", "text_completion"),
    row("gen_ai.operation.name", "call_llm", "chat"),
    row("gen_ai.operation.name", "llm_call", "chat"),
    row("gen_ai.operation.name", "llm_request", "chat"),
    row("gen_ai.operation.name", "tool_call", "execute_tool"),
    row("gen_ai.operation.name", "agent_call", "invoke_agent"),
    row("gen_ai.operation.name", "vector_db_retrieve", "retrieval"),
    row("openinference.span.kind", "llm", "chat"),
    row("openinference.span.kind", "embedding", "embeddings"),
    row("openinference.span.kind", "reranker", "rerank"),
    row("openinference.span.kind", "retriever", "retrieval"),
    row("openinference.span.kind", "tool", "execute_tool"),
    row("openinference.span.kind", "agent", "invoke_agent"),
    row("openinference.span.kind", "chain", "invoke_workflow"),
    row("openinference.span.kind", "guardrail", "guardrail"),
    row("openinference.span.kind", "evaluator", "evaluate"),
    row("openinference.span.kind", "prompt", "prompt"),
    row("openinference.span.kind", "decision", "decide"),
    row("llm.request.type", "chat", "chat"),
    row("llm.request.type", "completion", "text_completion"),
    row("llm.request.type", "embedding", "embeddings"),
    row("llm.request.type", "rerank", "rerank"),
    row("traceloop.span.kind", "agent", "invoke_agent"),
    row("traceloop.span.kind", "tool", "execute_tool"),
    row("traceloop.span.kind", "workflow", "invoke_workflow"),
    row("traceloop.span.kind", "task", "execute_task"),
    row("mcp.method.name", "tools/call", "execute_tool"),
    row("langfuse.observation.type", "generation", "chat"),
    row("langfuse.observation.type", "embedding", "embeddings"),
    row("langfuse.observation.type", "agent", "invoke_agent"),
    row("langfuse.observation.type", "tool", "execute_tool"),
    row("langfuse.observation.type", "chain", "invoke_workflow"),
    row("langfuse.observation.type", "retriever", "retrieval"),
    row("langfuse.observation.type", "evaluator", "evaluate"),
    row("langfuse.observation.type", "guardrail", "guardrail"),
    row("mlflow.spanType", "llm", "chat"),
    row("mlflow.spanType", "chat_model", "chat"),
    row("mlflow.spanType", "embedding", "embeddings"),
    row("mlflow.spanType", "reranker", "rerank"),
    row("mlflow.spanType", "agent", "invoke_agent"),
    row("mlflow.spanType", "tool", "execute_tool"),
    row("mlflow.spanType", "chain", "invoke_workflow"),
    row("mlflow.spanType", "workflow", "invoke_workflow"),
    row("mlflow.spanType", "task", "execute_task"),
    row("mlflow.spanType", "retriever", "retrieval"),
    row("mlflow.spanType", "guardrail", "guardrail"),
    row("mlflow.spanType", "evaluator", "evaluate"),
    row("span.type", "claude_code.interaction", "invoke_agent"),
    row("span.type", "claude_code.llm_request", "chat"),
    row("span.type", "claude_code.tool", "execute_tool"),
    row("ai.operationId", "ai.generatetext", "invoke_agent"),
    row("ai.operationId", "ai.streamtext", "invoke_agent"),
    row("ai.operationId", "ai.generateobject", "invoke_agent"),
    row("ai.operationId", "ai.streamobject", "invoke_agent"),
    row("ai.operationId", "ai.embed", "invoke_workflow"),
    row("ai.operationId", "ai.embedmany", "invoke_workflow"),
    row("ai.operationId", "ai.generatetext.dogenerate", "chat"),
    row("ai.operationId", "ai.streamtext.dostream", "chat"),
    row("ai.operationId", "ai.generateobject.dogenerate", "chat"),
    row("ai.operationId", "ai.streamobject.dostream", "chat"),
    row("ai.operationId", "ai.embed.doembed", "embeddings"),
    row("ai.operationId", "ai.embedmany.doembed", "embeddings"),
    row("ai.operationId", "ai.toolcall", "execute_tool"),
];

/// The keys of [`OPERATIONS`], best first.
pub(super) const KEYS: [&str; 12] = [
    "logfire.span_type",
    "crewai.tool.from_cache",
    "langsmith.span.kind",
    OWN_KEY,
    "openinference.span.kind",
    "llm.request.type",
    "traceloop.span.kind",
    "mcp.method.name",
    "langfuse.observation.type",
    "mlflow.spanType",
    "span.type",
    "ai.operationId",
];

/// The operation's own key: any value of it is an operation.
const OWN_KEY: &str = "gen_ai.operation.name";

/// How many keys tell an operation.
pub(crate) const KEY_COUNT: usize = KEYS.len();

/// The operation a span tells of, from the text by the key's place among those that tell one; `None` when no key says.
pub(crate) fn operation_of<'a>(text: impl Fn(usize) -> Option<&'a str>) -> Option<Cow<'a, str>> {
    (0..KEY_COUNT).find_map(|place| {
        // MLflow's words are JSON: in quotes.
        let value = lower(text(place)?.trim().trim_matches('"'));
        let rows = ROWS.get(place).map_or(&[][..], Vec::as_slice);
        match rows.iter().find(|row| row.value == value) {
            Some(row) => Some(Cow::Borrowed(row.operation)),
            None => (KEYS[place] == OWN_KEY && !value.is_empty()).then_some(value),
        }
    })
}

/// The rows of each key.
static ROWS: LazyLock<[Vec<Operation>; KEY_COUNT]> = LazyLock::new(|| {
    KEYS.map(|key| {
        let rows = OPERATIONS.iter().filter(|row| row.key == key);
        rows.copied().collect()
    })
});

/// The text in lower case; itself, when it is already.
pub(crate) fn lower(text: &str) -> Cow<'_, str> {
    let is_lower = text
        .bytes()
        .all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
    if is_lower {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.to_lowercase())
    }
}

/// Spans that are not what they say, or do not say what they are: by scope, the end of the span's name, and what they
/// are.
#[rustfmt::skip]
const MISNAMED: &[(&str, &str, &str)] = &[
    // Puts the request together; the call is a span of its own beside it.
    ("openinference.instrumentation.llama_index", "._prepare_chat_with_tools", "prepare"),
    // Holds the results of tool calls that have spans of their own.
    ("gcp.vertex.agent", "(merged tools)", "merge_tools"),
    // Its first format names no operation.
    ("pydantic-ai", "agent run", "invoke_agent"),
];

/// Where the span's name is the agent's or the tool's: by convention and operation.
const NAMED_BY_SPAN: &[(Convention, &str)] = &[
    (Convention::Langfuse, "invoke_agent"),
    (Convention::Langfuse, "execute_tool"),
    (Convention::Mlflow, "invoke_agent"),
    (Convention::Mlflow, "execute_tool"),
    (Convention::LangSmith, "execute_tool"),
];

/// Whether spans of this convention bear the name of the agent or tool that they tell of.
#[must_use]
pub fn is_named_by_span(convention: Option<Convention>, operation: &str) -> bool {
    convention.is_some_and(|convention| NAMED_BY_SPAN.contains(&(convention, operation)))
}

/// What a span tells of in truth, where its instrumentation is known to call it something else.
#[must_use]
pub fn misnamed(scope: &str, span_name: &str) -> Option<&'static str> {
    MISNAMED
        .iter()
        .find(|(of, end, _)| *of == scope && span_name.ends_with(end))
        .map(|(_, _, operation)| *operation)
}

/// Whether one span of this operation is one request to a model: what can be billed.
#[must_use]
pub fn is_model_call(operation: &str) -> bool {
    matches!(
        operation,
        "chat" | "generate_content" | "text_completion" | "embeddings" | "rerank"
    )
}
