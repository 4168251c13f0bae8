//! What a model's answer holds, when the attributes about it do not say.

use flyball_otlp::common::{KeyValue, Value};
use serde::Deserialize;
use serde_json::Value as Json;

use super::json;

/// What the messages of an answer tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// Whether it asks for a tool; `None` when no answer was sent.
    pub(super) has_tool_call: Option<bool>,
    /// Why it ended, where messages say so themselves.
    pub(super) finish_reason: Option<String>,
}

/// Types of message parts that ask for a tool, in the words of the various providers.
const TOOL_CALLS: &[&str] = &[
    "tool_call",
    "tool_use",
    "function_call",
    "server_tool_call",
    "tool-call",
];

/// Deeper than any provider nests its messages.
const DEPTH: usize = 8;

/// Looks through the answer of a model call.
pub(super) fn answer(attributes: &[KeyValue<'_>]) -> Answer {
    let mut answer = Answer::default();
    for kv in attributes {
        let key = kv.key;
        if key.starts_with("llm.output_messages.") || key.starts_with("gen_ai.completion.") {
            let asks = key.contains(".tool_calls.");
            answer.has_tool_call = Some(answer.has_tool_call.unwrap_or(false) || asks);
        } else if matches!(key, "gen_ai.output.messages" | "gen_ai.completion")
            && let Some(messages) = kv.value.as_ref().and_then(structure)
        {
            let asks = asks_for_tool(&messages, DEPTH);
            answer.has_tool_call = Some(answer.has_tool_call.unwrap_or(false) || asks);
            answer.finish_reason = answer.finish_reason.or_else(|| finish_reason(&messages));
        }
    }
    answer
}

/// Messages as JSON, whether they came as structure or as text; `None` when they are neither.
fn structure(value: &Value<'_>) -> Option<Json> {
    match value {
        Value::String(text) => serde_json::from_str(text).ok(),
        other => Some(json::of(other)),
    }
}

fn asks_for_tool(value: &Json, depth: usize) -> bool {
    if depth == 0 {
        return false;
    }
    match value {
        Json::Array(items) => items.iter().any(|item| asks_for_tool(item, depth - 1)),
        Json::Object(fields) => {
            let typed = fields
                .get("type")
                .and_then(Json::as_str)
                .is_some_and(|kind| TOOL_CALLS.contains(&kind));
            let listed = fields
                .get("tool_calls")
                .and_then(Json::as_array)
                .is_some_and(|calls| !calls.is_empty());
            // What a tool was given or gave back is not the model's own structure.
            let below = || {
                fields
                    .iter()
                    .filter(|(key, _)| {
                        !matches!(key.as_str(), "arguments" | "input" | "response" | "result")
                    })
                    .any(|(_, value)| asks_for_tool(value, depth - 1))
            };
            typed || listed || below()
        }
        _ => false,
    }
}

fn finish_reason(messages: &Json) -> Option<String> {
    let reason = messages
        .as_array()?
        .iter()
        .find_map(|message| message.get("finish_reason")?.as_str())?;
    (!reason.trim().is_empty()).then(|| reason.trim().to_lowercase())
}

/// The provider's id of a response that was sent whole, as JSON text (OpenInference's `output.value`).
pub(super) fn response_id(attributes: &[KeyValue<'_>]) -> Option<String> {
    #[derive(Deserialize)]
    struct Response {
        id: Option<String>,
    }
    let whole = attributes.iter().find(|kv| kv.key == "output.value")?;
    let Some(Value::String(text)) = whole.value else {
        return None;
    };
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let response: Response = serde_json::from_str(text).ok()?;
    // Anything shorter is somebody's counter, and would make different calls look the same.
    response.id.filter(|id| id.len() >= 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes<'a>(pairs: &[(&'a str, &'a str)]) -> Vec<KeyValue<'a>> {
        pairs
            .iter()
            .map(|(key, text)| KeyValue {
                key,
                value: Some(Value::String(text)),
                ..KeyValue::default()
            })
            .collect()
    }

    fn asks(pairs: &[(&str, &str)]) -> Option<bool> {
        answer(&attributes(pairs)).has_tool_call
    }

    #[test]
    fn a_tool_call_is_seen_in_every_spelling() {
        for pair in [
            (
                "llm.output_messages.0.message.tool_calls.0.tool_call.id",
                "c",
            ),
            ("gen_ai.completion.0.tool_calls.0.name", "f"),
            (
                "gen_ai.output.messages",
                r#"[{"role":"assistant","parts":[{"type":"tool_call","name":"f"}]}]"#,
            ),
            (
                "gen_ai.output.messages",
                r#"[{"role":"assistant","content":[{"type":"tool_use","name":"f"}]}]"#,
            ),
            (
                "gen_ai.completion",
                r#"{"choices":[{"message":{"tool_calls":[{"id":"c"}]}}]}"#,
            ),
        ] {
            assert_eq!(asks(&[pair]), Some(true), "{pair:?}");
        }
    }

    #[test]
    fn a_plain_answer_asks_for_nothing_and_silence_says_nothing() {
        assert_eq!(
            asks(&[("llm.output_messages.0.message.content", "Done.")]),
            Some(false)
        );
        let told = r#"[{"role":"assistant","parts":[{"type":"text","content":"a tool_call"}],"finish_reason":"Stop"}]"#;
        assert_eq!(
            answer(&attributes(&[("gen_ai.output.messages", told)])),
            Answer {
                has_tool_call: Some(false),
                finish_reason: Some("stop".into())
            }
        );
        assert_eq!(asks(&[("gen_ai.usage.input_tokens", "3")]), None);
        assert_eq!(asks(&[("gen_ai.output.messages", "[{broken")]), None);
        let quoted =
            r#"[{"parts":[{"type":"tool_call_response","response":{"type":"tool_call"}}]}]"#;
        assert_eq!(asks(&[("gen_ai.output.messages", quoted)]), Some(false));
    }

    #[test]
    fn a_response_sent_whole_gives_its_id() {
        let id = |text| response_id(&attributes(&[("output.value", text)]));
        assert_eq!(
            id(r#"{"id":"resp_16e6bc7b106f","output":[]}"#).as_deref(),
            Some("resp_16e6bc7b106f")
        );
        for text in [
            "Done.",
            "{\"id\":\"0\"}",
            "{\"id\":17}",
            "{\"id\":",
            "[]",
            "{}",
        ] {
            assert_eq!(id(text), None, "{text}");
        }
    }
}
