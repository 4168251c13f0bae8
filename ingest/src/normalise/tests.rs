#![allow(clippy::unwrap_used)]

mod frameworks;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

const RECEIVED: i64 = 1_795_000_001_000_000_000;

fn text(text: &str) -> Value {
    Value::StringValue(text.to_owned())
}

fn attributes(pairs: Vec<(&str, Value)>) -> Vec<KeyValue> {
    let attribute = |(key, value): (&str, Value)| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    };
    pairs.into_iter().map(attribute).collect()
}

fn span(pairs: Vec<(&str, Value)>) -> Span {
    Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        name: "work".into(),
        kind: 3,
        start_time_unix_nano: 1_795_000_000_000_000_000,
        end_time_unix_nano: 1_795_000_000_000_000_250,
        attributes: attributes(pairs),
        ..Span::default()
    }
}

fn request(
    scope: &str,
    resource: Vec<(&str, Value)>,
    spans: Vec<Span>,
) -> ExportTraceServiceRequest {
    let scope = Some(InstrumentationScope {
        name: scope.into(),
        version: "1".into(),
        ..InstrumentationScope::default()
    });
    let resource = Some(Resource {
        attributes: attributes(resource),
        ..Resource::default()
    });
    let scope_spans = vec![ScopeSpans {
        scope,
        spans,
        ..ScopeSpans::default()
    }];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource,
            scope_spans,
            ..ResourceSpans::default()
        }],
    }
}

fn spans(
    request: &ExportTraceServiceRequest,
    received_at_unix_nano: i64,
    skip: &[u32],
) -> Normalised {
    super::spans(&request.into(), received_at_unix_nano, skip)
}

fn rows(request: &ExportTraceServiceRequest) -> Vec<SpanRow> {
    SpanRow::read(&spans(request, RECEIVED, &[]).spans).unwrap()
}

fn row(pairs: Vec<(&str, Value)>) -> SpanRow {
    rows(&request("any", Vec::new(), vec![span(pairs)])).remove(0)
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn one_bad_span_does_not_cost_its_neighbours() {
    let bad = |change: fn(&mut Span)| {
        let mut span = span(Vec::new());
        change(&mut span);
        span
    };
    let sent = vec![
        span(Vec::new()),
        bad(|span| span.trace_id = vec![0; 16]),
        bad(|span| span.trace_id = vec![1; 15]),
        bad(|span| span.span_id = vec![0; 8]),
        bad(|span| span.parent_span_id = vec![1; 9]),
        bad(|span| span.start_time_unix_nano = 0),
        bad(|span| span.start_time_unix_nano = i64::MAX as u64 + 1),
        bad(|span| span.end_time_unix_nano = u64::MAX),
        span(Vec::new()),
    ];
    let request = request("any", Vec::new(), sent);
    let normalised = spans(&request, RECEIVED, &[]);
    assert_eq!(normalised.spans.num_rows(), 2);
    let indexes: Vec<u32> = normalised
        .rejected
        .iter()
        .map(|rejected| rejected.index)
        .collect();
    assert_eq!(indexes, [1, 2, 3, 4, 5, 6, 7]);
    let fields = [
        "trace_id",
        "trace_id",
        "span_id",
        "parent_span_id",
        "start_time",
        "start_time",
        "end_time",
    ];
    for (rejected, field) in normalised.rejected.iter().zip(fields) {
        assert!(rejected.reason.starts_with(field), "{}", rejected.reason);
    }
    assert!(
        normalised.rejected[5]
            .reason
            .contains("9223372036854775808"),
        "{}",
        normalised.rejected[5].reason
    );
    let replayed = spans(&request, RECEIVED, &indexes);
    assert_eq!(
        (replayed.spans, replayed.rejected),
        (normalised.spans, Vec::new())
    );
}

#[test]
fn an_end_before_the_start_took_no_time_and_a_parent_of_zeros_is_none() {
    let mut sent = span(Vec::new());
    sent.end_time_unix_nano = 1;
    sent.parent_span_id = vec![0; 8];
    let row = rows(&request("any", Vec::new(), vec![sent])).remove(0);
    assert_eq!(
        (row.duration_ns, row.end_time, row.parent_span_id),
        (0, row.start_time, None)
    );
}

#[test]
fn the_envelope_is_kept() {
    let mut sent = span(vec![("http.method", text("GET"))]);
    sent.status = Some(Status {
        code: 2,
        message: "broken".into(),
    });
    let row = rows(&request(
        "scope",
        vec![("service.name", text("svc"))],
        vec![sent],
    ))
    .remove(0);
    assert_eq!(
        (row.trace_id.as_str(), row.span_id.as_str()),
        ("01".repeat(16).as_str(), "0202020202020202")
    );
    assert_eq!(
        (row.name.as_str(), row.kind.as_deref(), row.status.as_str()),
        ("work", Some("client"), "error")
    );
    assert_eq!(
        (row.status_message.as_deref(), row.error_type.as_deref()),
        (Some("broken"), Some("error"))
    );
    assert_eq!(
        (row.scope_name.as_deref(), row.service_name.as_deref()),
        (Some("scope"), Some("svc"))
    );
    assert_eq!(
        (row.duration_ns, row.received_at.0, row.date.0),
        (250, RECEIVED / 1_000, 20_775)
    );
    assert_eq!(
        (row.convention, row.operation, row.usage),
        (None, None, None),
        "a plain span"
    );
}

#[test]
fn the_new_name_comes_before_the_old_and_they_are_never_added() {
    let row = row(vec![
        ("gen_ai.usage.prompt_tokens", Value::IntValue(900)),
        ("gen_ai.usage.input_tokens", text("1000")),
        ("gen_ai.usage.completion_tokens", Value::DoubleValue(50.0)),
        ("gen_ai.system", text("az.ai.openai")),
        ("gen_ai.request.model", text("gpt-4o")),
        ("gen_ai.response.finish_reason", text("[\"stop\"]")),
        ("gen_ai.usage.cost", Value::DoubleValue(0.0)),
    ]);
    assert_eq!(
        (row.input_tokens, row.output_tokens, row.usage.as_deref()),
        (Some(1_000), Some(50), Some("exact"))
    );
    assert_eq!(
        (row.provider.as_deref(), row.finish_reason.as_deref()),
        (Some("azure.ai.openai"), Some("stop"))
    );
    assert_eq!(
        (row.operation.as_deref(), row.convention.as_deref()),
        (Some("chat"), Some("otel")),
        "older spans name none"
    );
    assert_eq!(
        row.client_cost_usd, None,
        "a cost of nothing is an unknown price"
    );
}

#[test]
fn openinference_and_openllmetry_fill_the_same_columns() {
    let openinference = row(vec![
        ("openinference.span.kind", text("LLM")),
        ("llm.model_name", text("claude-sonnet-5")),
        ("llm.token_count.prompt", Value::IntValue(100)),
        ("llm.token_count.completion", Value::IntValue(10)),
        (
            "llm.token_count.prompt_details.cache_read",
            Value::IntValue(60),
        ),
        (
            "llm.output_messages.0.message.tool_calls.0.tool_call.id",
            text("c"),
        ),
        (
            "output.value",
            text(r#"{"id":"msg_0123456789","content":[]}"#),
        ),
        ("session.id", text("s")),
    ]);
    assert_eq!(
        (
            openinference.convention.as_deref(),
            openinference.operation.as_deref()
        ),
        (Some("openinference"), Some("chat"))
    );
    assert_eq!(
        (
            openinference.cache_read_tokens,
            openinference.output_has_tool_call
        ),
        (Some(60), Some(true))
    );
    assert_eq!(
        (openinference.response_id, openinference.provider),
        (some("msg_0123456789"), some("anthropic"))
    );
    assert_eq!(openinference.session_id, some("s"));

    let tool = row(vec![
        ("traceloop.span.kind", text("tool")),
        ("traceloop.entity.name", text("search")),
        ("traceloop.entity.input", text("{\"q\":1}")),
        ("traceloop.association.properties.user_id", text("u")),
    ]);
    assert_eq!(
        (tool.convention.as_deref(), tool.operation.as_deref()),
        (Some("openllmetry"), Some("execute_tool"))
    );
    assert_eq!(
        (tool.tool_name, tool.agent_name, tool.user_id),
        (some("search"), None, some("u"))
    );
    // SHA-256 of {"q":1}.
    let digest = "6ae0f660046dadcf5fe8462c0e00a062db4c8d67be82f4098c5ea4208d19b076";
    assert_eq!(tool.tool_input_hash.as_deref(), Some(digest));
}

#[test]
fn the_agents_own_account_is_read() {
    let row = row(vec![
        ("flyball.execution.id", text("run")),
        ("flyball.step", Value::IntValue(3)),
        ("flyball.decision", Value::BoolValue(true)),
        ("flyball.confidence", Value::DoubleValue(0.75)),
        ("flyball.value_usd", text("12.50")),
        ("flyball.termination", text("Success")),
        ("flyball.queue.wait_ms", text("15")),
    ]);
    assert_eq!(
        (row.execution_id, row.step, row.decision),
        (some("run"), Some(3), Some(true))
    );
    assert_eq!(
        (row.confidence, row.termination, row.queue_wait_ms),
        (Some(0.75), some("success"), Some(15))
    );
    assert_eq!(row.value_usd, Some("12.5".parse().unwrap()));
}

#[test]
fn what_the_resource_says_counts_where_the_span_says_nothing() {
    let resource = vec![
        ("service.name", text("svc")),
        ("team", text("payments")),
        ("deployment.environment", text("prod")),
    ];
    let own = span(vec![("team", text("refunds"))]);
    let rows = rows(&request("any", resource, vec![span(Vec::new()), own]));
    assert_eq!(
        (rows[0].team.as_deref(), rows[0].environment.as_deref()),
        (Some("payments"), Some("prod"))
    );
    assert_eq!(rows[1].team.as_deref(), Some("refunds"));
    assert_eq!(
        rows[0].agent_name, None,
        "the service is the resolver's last resort, not what was sent"
    );
}

#[test]
fn what_stands_in_a_column_as_it_was_sent_does_not_stand_in_attributes_again() {
    let sent = |pairs| {
        let request = request("any", Vec::new(), vec![span(pairs)]);
        let row = SpanRow::read(&spans(&request, RECEIVED, &[]).spans)
            .unwrap()
            .remove(0);
        row.attributes
            .map_or(json!({}), |text| serde_json::from_str(&text).unwrap())
    };
    let exact = vec![
        ("gen_ai.operation.name", text("chat")),
        ("gen_ai.request.model", text("gpt-4o")),
        ("gen_ai.conversation.id", text("s1")),
        ("gen_ai.usage.input_tokens", Value::IntValue(7)),
        ("gen_ai.usage.output_tokens", Value::IntValue(2)),
        ("flyball.confidence", Value::DoubleValue(0.25)),
        ("flyball.escalated", Value::BoolValue(true)),
    ];
    assert_eq!(sent(exact), json!({}));
    let changed = vec![
        // Read as another word, of another type, trimmed, or not at all.
        ("gen_ai.operation.name", text("text_completion ")),
        ("gen_ai.provider.name", text("OpenAI")),
        ("gen_ai.request.model", text(" gpt-4o")),
        ("gen_ai.usage.output_tokens", text("2")),
        ("flyball.confidence", Value::DoubleValue(7.0)),
        // Not the leading key: nobody could tell where the value came from.
        ("session.id", text("s1")),
        // Cached tokens that are no part of the input are added to it.
        ("gen_ai.usage.input_tokens", Value::IntValue(7)),
        ("gen_ai.usage.cache_read.input_tokens", Value::IntValue(100)),
    ];
    let told: std::collections::BTreeSet<_> = changed.iter().map(|(key, _)| *key).collect();
    let kept = sent(changed);
    let kept: std::collections::BTreeSet<_> = kept
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(kept, told);
    // Of two keys of one column the other one stays, whatever it says.
    let both = vec![
        ("gen_ai.conversation.id", text("s1")),
        ("session.id", text("s2")),
    ];
    assert_eq!(sent(both), json!({"session.id": "s2"}));
}

#[test]
fn content_is_set_apart_and_nothing_else_is_dropped() {
    let nested = Value::KvlistValue(KeyValueList {
        values: attributes(vec![("a", Value::IntValue(1))]),
    });
    let list = Value::ArrayValue(ArrayValue {
        values: vec![
            AnyValue {
                value: Some(text("x")),
            },
            AnyValue { value: None },
        ],
    });
    let mut sent = span(vec![
        ("gen_ai.operation.name", text("chat")),
        ("gen_ai.input.messages", text("[{\"role\":\"user\"}]")),
        ("gen_ai.completion.0.content", text("Done.")),
        ("flyball.summary", text("in brief")),
        ("nested", nested),
        ("list", list),
        ("bytes", Value::BytesValue(vec![0xab])),
        ("nan", Value::DoubleValue(f64::NAN)),
        ("empty", text("")),
    ]);
    sent.events = vec![
        Event {
            name: "gen_ai.user.message".into(),
            attributes: attributes(vec![("content", text("hi"))]),
            ..Event::default()
        },
        Event {
            name: "retry".into(),
            attributes: attributes(vec![("attempt", Value::IntValue(2))]),
            ..Event::default()
        },
    ];
    let normalised = spans(&request("any", Vec::new(), vec![sent]), RECEIVED, &[]);
    let row = SpanRow::read(&normalised.spans).unwrap().remove(0);
    let kept: Json = serde_json::from_str(row.attributes.as_deref().unwrap()).unwrap();
    let expected = json!({
        "nested": {"a": 1}, "list": ["x", null], "bytes": "ab", "nan": "NaN", "empty": "",
    });
    assert_eq!(kept, expected);
    let events: Json = serde_json::from_str(row.events.as_deref().unwrap()).unwrap();
    assert_eq!(
        (&events[0]["attributes"], &events[1]["attributes"]),
        (&json!({}), &json!({"attempt": 2}))
    );
    let content = ContentRow::read(&normalised.contents.unwrap())
        .unwrap()
        .remove(0);
    let object =
        |text: &Option<String>| serde_json::from_str::<Json>(text.as_deref().unwrap()).unwrap();
    let input = json!({"gen_ai.input.messages": "[{\"role\":\"user\"}]", "events.0.gen_ai.user.message.content": "hi"});
    assert_eq!(object(&content.input), input);
    assert_eq!(
        object(&content.output),
        json!({"gen_ai.completion.0.content": "Done."})
    );
    assert_eq!(
        object(&content.reasoning),
        json!({"flyball.summary": "in brief"})
    );
    assert_eq!((content.sha256.len(), content.span_id), (64, row.span_id));
    assert!(
        spans(
            &request("any", Vec::new(), vec![span(Vec::new())]),
            RECEIVED,
            &[]
        )
        .contents
        .is_none()
    );
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(Value::IntValue),
        any::<f64>().prop_map(Value::DoubleValue),
        any::<bool>().prop_map(Value::BoolValue),
        ".{0,12}".prop_map(Value::StringValue),
        "[\\[\\]{}\",:0-9a-z]{0,16}".prop_map(Value::StringValue),
        prop::collection::vec(any::<u8>(), 0..4).prop_map(Value::BytesValue),
    ];
    leaf.prop_recursive(4, 16, 4, |inner| {
        let item = inner.prop_map(|value| AnyValue { value: Some(value) });
        prop::collection::vec(item, 0..4)
            .prop_map(|values| Value::ArrayValue(ArrayValue { values }))
    })
}

proptest! {
    #[test]
    fn any_value_under_any_key_we_know_gives_a_row(
        drawn in prop::collection::vec((any::<prop::sample::Index>(), any_value()), 0..12), kind in 0usize..4,
    ) {
        let kinds = [("gen_ai.operation.name", "chat"), ("openinference.span.kind", "TOOL"), ("traceloop.span.kind", "agent"), ("x", "y")];
        let keys: Vec<&str> = crate::conventions::RULES.iter().map(|rule| rule.key)
            .chain(["output.value", "gen_ai.output.messages", "llm.output_messages.0.message.content"]).collect();
        let mut pairs = vec![(kinds[kind].0, text(kinds[kind].1))];
        pairs.extend(drawn.into_iter().map(|(key, value)| (*key.get(&keys), value)));
        let row = row(pairs);
        let (input, output) = (row.input_tokens, row.output_tokens);
        let counts = [input, row.cache_read_tokens, row.cache_write_tokens, output, row.reasoning_tokens];
        prop_assert!(counts.into_iter().flatten().all(|count| count >= 0));
        if let Some(input) = input {
            let cached = row.cache_read_tokens.unwrap_or(0).saturating_add(row.cache_write_tokens.unwrap_or(0));
            prop_assert!(cached <= input);
        }
        prop_assert!(row.confidence.is_none_or(|share| (0.0..=1.0).contains(&share)));
        prop_assert_eq!(row.usage.as_deref() == Some("unknown"), input.is_none() && output.is_none() && row.usage.is_some());
    }
}
