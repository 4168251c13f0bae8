//! Log records that say more than a line of text: which of them tell of a call, and which of their keys are content.

use super::Convention::{self, ClaudeCode, Codex, GeminiCli, Otel};
use super::Side::{self, Input, Output};

/// One row: what a log record of this name tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// The event's name in full.
    pub name: &'static str,
    /// Only when this attribute has this value.
    pub when: Option<(&'static str, &'static str)>,
    /// By which convention its attributes are read.
    pub convention: Convention,
    /// What it tells of.
    pub tells: Tells,
}

/// What a log record tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tells {
    /// A call of this operation, once it is over: also a row of `spans`.
    Call(&'static str),
    /// A call of this operation that failed.
    Failure(&'static str),
    /// The same call as the span it was sent in; a call of its own when it was sent in none. Its operation stands in
    /// `gen_ai.operation.name`.
    Details,
    /// What went into a call: content.
    Said(Side),
    /// Something else that has a name.
    Happening,
}

impl Tells {
    /// The words for it.
    #[must_use]
    pub fn words(self) -> String {
        match self {
            Self::Call(operation) => format!("a call: {operation}"),
            Self::Failure(operation) => format!("a call that failed: {operation}"),
            Self::Details => "the call of the span it was sent in".to_owned(),
            Self::Said(Side::Output) => "content: output".to_owned(),
            Self::Said(_) => "content: input".to_owned(),
            Self::Happening => "something that happened".to_owned(),
        }
    }
}

const fn row(name: &'static str, convention: Convention, tells: Tells) -> Event {
    Event {
        name,
        when: None,
        convention,
        tells,
    }
}

use Tells::{Call, Details, Failure, Happening, Said};

/// The events that are known. Of others the name is kept, and their attributes are read as a span's are.
#[rustfmt::skip]
pub const EVENTS: &[Event] = &[
    row("gen_ai.client.inference.operation.details", Otel, Details),
    row("gen_ai.evaluation.result", Otel, Happening),
    row("gen_ai.client.operation.exception", Otel, Happening),
    row("gen_ai.system.message", Otel, Said(Input)),
    row("gen_ai.user.message", Otel, Said(Input)),
    row("gen_ai.assistant.message", Otel, Said(Input)),
    row("gen_ai.tool.message", Otel, Said(Input)),
    row("gen_ai.choice", Otel, Said(Output)),
    row("claude_code.api_request", ClaudeCode, Call("chat")),
    row("claude_code.api_error", ClaudeCode, Failure("chat")),
    row("claude_code.tool_result", ClaudeCode, Call("execute_tool")),
    row("claude_code.tool_decision", ClaudeCode, Happening),
    row("claude_code.user_prompt", ClaudeCode, Happening),
    row("claude_code.assistant_response", ClaudeCode, Happening),
    Event { when: Some(("event.kind", "response.completed")), ..row("codex.sse_event", Codex, Call("chat")) },
    row("codex.tool_result", Codex, Call("execute_tool")),
    row("codex.tool_decision", Codex, Happening),
    row("codex.user_prompt", Codex, Happening),
    row("gemini_cli.api_response", GeminiCli, Call("chat")),
    row("gemini_cli.api_error", GeminiCli, Failure("chat")),
    row("gemini_cli.tool_call", GeminiCli, Call("execute_tool")),
    row("gemini_cli.user_prompt", GeminiCli, Happening),
];

/// Scopes whose events leave out the start of their name, and that start.
const SHORT_NAMES: &[(&str, &str)] = &[("com.anthropic.claude_code", "claude_code.")];

/// Keys that are content on events of one convention, and too common a word on others.
#[rustfmt::skip]
pub const EVENT_CONTENT: &[(Convention, &str, Side)] = &[
    (ClaudeCode, "prompt", Input),
    (ClaudeCode, "tool_input", Input),
    (ClaudeCode, "tool_parameters", Input),
    (ClaudeCode, "response", Output),
    (ClaudeCode, "tool.output", Output),
    (Codex, "prompt", Input),
    (Codex, "arguments", Input),
    (Codex, "output", Output),
    (GeminiCli, "prompt", Input),
    (GeminiCli, "function_args", Input),
    (GeminiCli, "request_text", Input),
    (GeminiCli, "response_text", Output),
];

/// Keys of a message that say whose it is, not what was said.
const ABOUT_MESSAGES: &[&str] = &[
    "gen_ai.system",
    "gen_ai.provider.name",
    "event.name",
    "session.id",
];

/// How long what an event tells of took, in milliseconds: the event comes when it is over.
pub const DURATION_MS: &str = "duration_ms";

/// Whether what an event tells of came through: a truth value or its word.
pub const SUCCESS: &str = "success";

/// What a person or a rule said to a tool call, best first.
pub const TOOL_DECISION: &[&str] = &["gen_ai.tool.call.decision.outcome", "decision"];

/// The row of an event, and its name in full: by the name of the record, by the attribute that had it before
/// records had names, or by its body. `attribute` reads texts among its attributes.
pub(crate) fn event<'a>(
    names: [Option<&'a str>; 3],
    scope: &str,
    attribute: impl Fn(&str) -> Option<&'a str>,
) -> Option<&'static Event> {
    let fits = |event: &&Event| {
        event
            .when
            .is_none_or(|(key, value)| attribute(key) == Some(value))
    };
    let start = SHORT_NAMES
        .iter()
        .find(|(of, _)| scope.starts_with(of))
        .map(|(_, start)| *start);
    names.into_iter().flatten().find_map(|name| {
        EVENTS.iter().filter(fits).find(|event| {
            event.name == name
                || start.is_some_and(|start| event.name.strip_prefix(start) == Some(name))
        })
    })
}

/// On which side of the content all of a message stands, by its name; `None` when that is no message.
pub(crate) fn message_side(name: &str) -> Option<Side> {
    EVENTS.iter().find_map(|event| match event.tells {
        Said(side) if event.name == name => Some(side),
        _ => None,
    })
}

/// On which side of the content a key of an event stands, beyond what is content everywhere.
pub(crate) fn content_of_event(event: &Event, key: &str) -> Option<Side> {
    match event.tells {
        Said(side) if !ABOUT_MESSAGES.contains(&key) => Some(side),
        _ => EVENT_CONTENT
            .iter()
            .find(|(of, content, _)| *of == event.convention && *content == key)
            .map(|(_, _, side)| *side),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_known_by_record_attribute_or_body() {
        let none = |_: &str| None;
        let name = |names, scope| event(names, scope, none).map(|event| event.name);
        let claude = "com.anthropic.claude_code.events";
        let request = Some("claude_code.api_request");
        assert_eq!(name([request, None, None], ""), request);
        assert_eq!(name([None, Some("api_request"), None], claude), request);
        assert_eq!(name([None, Some("api_request"), None], "other"), None);
        assert_eq!(name([None, Some("api_request"), request], "other"), request);
        assert_eq!(name([Some("unheard of"), None, None], claude), None);
    }

    #[test]
    fn one_kind_of_an_event_is_a_call_and_the_others_are_not() {
        let of = |kind: &'static str| {
            let attribute = move |key: &str| (key == "event.kind").then_some(kind);
            event([None, Some("codex.sse_event"), None], "", attribute).map(|event| event.tells)
        };
        assert_eq!(of("response.completed"), Some(Call("chat")));
        assert_eq!(of("response.created"), None);
    }
}
