//! What frameworks with names of their own send, as their documentation has it, and the one meaning it comes to.

use super::*;

/// Input, read from a cache, written to it, output, reasoning.
fn tokens(row: &SpanRow) -> [Option<i64>; 5] {
    [
        row.input_tokens,
        row.cache_read_tokens,
        row.cache_write_tokens,
        row.output_tokens,
        row.reasoning_tokens,
    ]
}

fn of(column: &Option<String>) -> &str {
    column.as_deref().unwrap_or("-")
}

#[test]
fn langfuses_buckets_exclude_each_other() {
    let row = row(vec![
        ("langfuse.observation.type", text("generation")),
        ("langfuse.observation.model.name", text("claude-sonnet-4-5")),
        (
            "langfuse.observation.usage_details",
            text(
                r#"{"input": 20, "input_cached_tokens": 1000, "input_cache_creation": 300, "output": 50, "output_reasoning_tokens": 30, "total": 1400}"#,
            ),
        ),
        (
            "langfuse.observation.cost_details",
            text(r#"{"input": 0.001, "total": 0.0125}"#),
        ),
        ("langfuse.session.id", text("s")),
        ("langfuse.observation.input", text("hello")),
    ]);
    assert_eq!(of(&row.convention), "langfuse");
    assert_eq!(of(&row.operation), "chat");
    assert_eq!(
        tokens(&row),
        [Some(1_320), Some(1_000), Some(300), Some(80), Some(30)]
    );
    assert_eq!(row.client_cost_usd, Some("0.0125".parse().unwrap()));
    assert_eq!((of(&row.session_id), of(&row.provider)), ("s", "anthropic"));
    assert!(!of(&row.attributes).contains("hello"));
}

#[test]
fn mlflows_values_are_json_and_its_input_is_the_total() {
    let row = row(vec![
        ("mlflow.spanType", text("\"CHAT_MODEL\"")),
        ("mlflow.llm.model", text("\"gpt-4o-mini\"")),
        ("mlflow.llm.provider", text("\"OpenAI\"")),
        (
            "mlflow.chat.tokenUsage",
            text(
                r#"{"input_tokens": 1320, "output_tokens": 50, "total_tokens": 1370, "cache_read_input_tokens": 1000}"#,
            ),
        ),
        (
            "mlflow.trace.tokenUsage",
            text(r#"{"input_tokens": 99999}"#),
        ),
        ("mlflow.trace.session", text("\"s\"")),
    ]);
    assert_eq!(
        (of(&row.convention), of(&row.operation)),
        ("mlflow", "chat")
    );
    assert_eq!(
        tokens(&row),
        [Some(1_320), Some(1_000), None, Some(50), None]
    );
    assert_eq!(
        (of(&row.request_model), of(&row.provider)),
        ("gpt-4o-mini", "openai")
    );
    assert_eq!(of(&row.session_id), "s");
}

#[test]
fn the_older_vercel_sdk_calls_once_inside_of_what_repeats_it() {
    let sent = |operation| {
        vec![
            ("ai.operationId", text(operation)),
            ("ai.telemetry.functionId", text("triage")),
            ("ai.model.id", text("gpt-4o")),
            ("ai.model.provider", text("openai.responses")),
            ("ai.usage.inputTokens", Value::IntValue(100)),
            ("ai.usage.cachedInputTokens", Value::IntValue(40)),
            ("ai.usage.outputTokens", Value::IntValue(30)),
            ("ai.usage.reasoningTokens", Value::IntValue(10)),
            ("ai.response.text", text("secret")),
        ]
    };
    let outer = row(sent("ai.generateText"));
    assert_eq!(
        (of(&outer.operation), of(&outer.agent_name)),
        ("invoke_agent", "triage")
    );
    let inner = row(sent("ai.generateText.doGenerate"));
    assert_eq!((of(&inner.operation), of(&inner.agent_name)), ("chat", "-"));
    assert_eq!(
        (of(&inner.convention), of(&inner.provider)),
        ("vercel_ai", "openai")
    );
    assert_eq!(
        tokens(&inner),
        [Some(100), Some(40), None, Some(30), Some(10)]
    );
    assert!(!of(&inner.attributes).contains("secret"));
    let tool = row(vec![
        ("ai.operationId", text("ai.toolCall")),
        ("ai.toolCall.name", text("search")),
        ("ai.toolCall.id", text("c1")),
        ("ai.toolCall.args", text("{}")),
    ]);
    assert_eq!(
        (of(&tool.operation), of(&tool.tool_name)),
        ("execute_tool", "search")
    );
    assert_eq!(of(&tool.tool_input_hash).len(), 64);
}

#[test]
fn claude_codes_bare_words_count_only_where_it_says_who_it_is() {
    let words = || {
        vec![
            ("model", text("claude-sonnet-4-5")),
            ("input_tokens", Value::IntValue(20)),
            ("cache_read_tokens", Value::IntValue(1_000)),
            ("cache_creation_tokens", Value::IntValue(300)),
            ("output_tokens", Value::IntValue(50)),
            ("request_id", text("req_1")),
            ("stop_reason", text("end_turn")),
        ]
    };
    let mut told = words();
    told.push(("span.type", text("claude_code.llm_request")));
    let call = row(told);
    assert_eq!(
        (of(&call.convention), of(&call.operation)),
        ("claude_code", "chat")
    );
    assert_eq!(
        tokens(&call),
        [Some(1_320), Some(1_000), Some(300), Some(50), None]
    );
    assert_eq!(
        (of(&call.request_model), of(&call.response_id)),
        ("claude-sonnet-4-5", "req_1")
    );
    let mut somebody = words();
    somebody.push(("gen_ai.operation.name", text("chat")));
    let other = row(somebody);
    assert_eq!(tokens(&other), [None; 5]);
    assert_eq!(of(&other.request_model), "-");
}

#[test]
fn langsmith_and_crewai_name_their_own() {
    let call = row(vec![
        ("langsmith.span.kind", text("llm")),
        (
            "langsmith.trace.session_id",
            text("a project, no conversation"),
        ),
        ("langsmith.metadata.thread_id", text("t")),
        ("gen_ai.usage.input_tokens", Value::IntValue(5)),
        ("gen_ai.usage.output_tokens", Value::IntValue(2)),
    ]);
    assert_eq!(
        (of(&call.convention), of(&call.operation)),
        ("langsmith", "chat")
    );
    assert_eq!((of(&call.session_id), call.input_tokens), ("t", Some(5)));
    let crew = row(vec![
        ("gen_ai.operation.name", text("execute_task")),
        ("crewai.agent.role", text("Researcher")),
        ("crewai.crew.name", text("crew")),
        ("crewai.execution_uuid", text("e")),
    ]);
    assert_eq!(
        (
            of(&crew.agent_name),
            of(&crew.workflow),
            of(&crew.execution_id)
        ),
        ("Researcher", "crew", "e")
    );
}
