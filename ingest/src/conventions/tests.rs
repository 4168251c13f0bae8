#![allow(clippy::unwrap_used)]

use std::collections::{HashMap, HashSet};

use super::*;

fn operation_of(attributes: &[(&str, &'static str)]) -> Option<String> {
    let attributes: HashMap<&str, &str> = attributes.iter().copied().collect();
    operations::operation_of(|place| attributes.get(operations::KEYS[place]).copied())
        .map(|operation| operation.into_owned())
}

#[test]
fn no_row_of_the_table_is_there_twice() {
    let rows: HashSet<_> = RULES
        .iter()
        .map(|rule| {
            let of = (rule.convention, rule.only, rule.field);
            (rule.column, rule.key, of)
        })
        .collect();
    assert_eq!(rows.len(), RULES.len());
    let keys: HashSet<_> = CONTENT.iter().map(|(key, _)| key).collect();
    assert_eq!(keys.len(), CONTENT.len());
}

#[test]
fn a_spans_convention_is_the_first_whose_mark_it_bears() {
    let of = |keys: &[&'static str]| {
        let marks = keys.iter().filter_map(|key| Convention::marked_by(key));
        Convention::of(marks).map(Convention::as_str)
    };
    assert_eq!(
        of(&["gen_ai.system", "openinference.span.kind"]),
        Some("openinference")
    );
    assert_eq!(
        of(&["gen_ai.system", "traceloop.span.kind"]),
        Some("openllmetry")
    );
    assert_eq!(of(&["http.method", "gen_ai.request.model"]), Some("otel"));
    assert_eq!(of(&["mcp.method.name"]), Some("otel"));
    assert_eq!(of(&["flyball.step"]), Some("flyball"));
    assert_eq!(of(&["http.method"]), None);
}

#[test]
fn operations_come_from_whichever_key_says() {
    let cases: [(&[(&str, &'static str)], Option<&str>); 8] = [
        (&[("gen_ai.operation.name", "chat")], Some("chat")),
        (
            &[("gen_ai.operation.name", "agent_step")],
            Some("agent_step"),
        ),
        (
            &[("gen_ai.operation.name", "Embedding")],
            Some("embeddings"),
        ),
        (&[("openinference.span.kind", "LLM")], Some("chat")),
        (&[("openinference.span.kind", "RERANKER")], Some("rerank")),
        (&[("traceloop.span.kind", "task")], Some("execute_task")),
        (
            &[
                ("llm.request.type", "completion"),
                ("traceloop.span.kind", "unknown"),
            ],
            Some("text_completion"),
        ),
        (
            &[("gen_ai.operation.name", " "), ("http.method", "GET")],
            None,
        ),
    ];
    for (attributes, operation) in cases {
        assert_eq!(
            operation_of(attributes).as_deref(),
            operation,
            "{attributes:?}"
        );
    }
    let both = [
        ("gen_ai.operation.name", "chat"),
        ("openinference.span.kind", "CHAIN"),
    ];
    assert_eq!(
        operation_of(&both).as_deref(),
        Some("chat"),
        "OpenTelemetry's word comes first"
    );
}

#[test]
fn content_is_told_from_its_neighbours() {
    for key in [
        "gen_ai.prompt",
        "gen_ai.prompt.0.content",
        "gen_ai.prompt.variable.name",
        "llm.tools.3.tool.json_schema",
        "input.value",
    ] {
        assert_eq!(content_side(key), Some(Side::Input), "{key}");
    }
    for key in [
        "output.value",
        "gen_ai.completion.12.tool_calls.0.name",
        "traceloop.entity.output",
    ] {
        assert_eq!(content_side(key), Some(Side::Output), "{key}");
    }
    assert_eq!(content_side("flyball.plan"), Some(Side::Reasoning));
    for key in [
        "gen_ai.prompt.name",
        "gen_ai.prompt.version",
        "input.mime_type",
        "traceloop.entity.name",
        "tool.name",
        "gen_ai.prompt.",
        "",
    ] {
        assert_eq!(content_side(key), None, "{key}");
    }
}

#[test]
fn providers_have_one_name_and_frameworks_are_none() {
    assert_eq!(sources::provider("OpenAI").as_deref(), Some("openai"));
    assert_eq!(
        sources::provider("az.ai.openai").as_deref(),
        Some("azure.ai.openai")
    );
    assert_eq!(sources::provider("langchain"), None);
    assert_eq!(sources::maker("models/gemini-2.5-pro"), Some("gcp.gemini"));
    assert_eq!(sources::maker("my-prod-model"), None);
}

#[test]
fn the_providers_own_scope_is_closer_than_a_wrappers() {
    let anthropic = Some("anthropic");
    assert_eq!(sources::closeness("com.anthropic.sdk.python", anthropic), 2);
    assert_eq!(
        sources::closeness("openinference.instrumentation.anthropic", anthropic),
        1
    );
    assert_eq!(
        sources::closeness("opentelemetry.instrumentation.openai_v2", Some("openai")),
        1
    );
    assert_eq!(
        sources::closeness(
            "opentelemetry.instrumentation.google_genai",
            Some("gcp.gemini")
        ),
        1
    );
    assert_eq!(
        sources::closeness("@opentelemetry/instrumentation-openai", Some("openai")),
        1
    );
    assert_eq!(sources::closeness("pydantic-ai", anthropic), 0);
    assert_eq!(
        sources::closeness("openinference.instrumentation.langchain", Some("openai")),
        0
    );
    assert_eq!(
        sources::closeness(
            "openinference.instrumentation.openai_agents",
            Some("openai")
        ),
        0
    );
}

#[test]
fn every_column_is_one_of_the_spans_table() {
    use flyball_store::rows::{Row, SpanRow};
    let schema = SpanRow::schema();
    for rule in RULES {
        let name = rule.column.name();
        assert!(schema.index_of(&name).is_ok(), "{name}");
    }
}
