//! Signs of prompt injection in what comes to an agent from outside, and in what it gives to its tools.
//!
//! What counts as outside: what a tool gave back; and of a model call the messages of users and tools that are new in
//! it, that is after the last message of the model itself (the others were new in an earlier call). System prompts are
//! ours. Looked at are the texts as they came, before anything is taken out of them, and whether or not content is
//! kept. A marker is a fact about a text and no proof of an attack: a page about injections carries them too.

use std::borrow::Cow;
use std::sync::LazyLock;

use flyball_otlp::common::Value;
use flyball_otlp::trace::Span;
use flyball_store::rows::Marker;
use regex::RegexSet;
use serde_json::Value as Json;

use super::attributes::Attributes;
use super::json;
use crate::conventions::Side;

/// Most of the texts of one span that is looked through, bytes; of a conversation, its end.
const SCANNED: usize = 64 << 10;
/// Deeper than any provider nests its messages.
const DEPTH: usize = 16;

/// What is looked for. Word boundaries and case are ASCII's, so that no text falls back to a slower engine; a blank may
/// be one that JSON has escaped.
#[rustfmt::skip]
const PATTERNS: &[(Marker, &str)] = &[
    // "Ignore all previous instructions", "disregard the system prompt", "forget everything above".
    (Marker::InstructionOverride, r"(?i-u:\b(?:ignore|disregard|forget|override|bypass)(?:\s|\\[nrt])+(?:(?:all|any|of|the|your|my|these|those|everything)(?:\s|\\[nrt])+){0,4}(?:previous|prior|above|earlier|preceding|foregoing|former|system|original)\b)"),
    (Marker::InstructionOverride, r"(?i-u:\b(?:do(?:\s|\\[nrt])+not|don't)(?:\s|\\[nrt])+(?:follow|obey)(?:\s|\\[nrt])+(?:(?:the|your|any)(?:\s|\\[nrt])+){0,2}(?:previous|prior|above|earlier|system|original)\b)"),
    // Marks that chat templates put between roles.
    (Marker::RoleMarker, r"(?i-u:<\|(?:im_start|im_end|system|user|assistant|start_header_id|end_header_id|eot_id|endoftext)\|>|\[/?INST\]|<</?SYS>>|</?(?:system|assistant)(?:_prompt)?>)"),
    // What looks like a tool call of a model, where no model speaks.
    (Marker::ToolCallText, r"(?i-u:</?(?:tool_call|tool_use|function_calls?)\b|<invoke(?:\s|\\[nrt])+name=|<\|tool_calls?(?:_begin)?\|>|\[TOOL_CALLS\])"),
    // An image whose address carries data: shown, it is sent.
    (Marker::ExfiltrationLink, r"!\[[^\]\r\n]*\]\(\s*<?https?://[^\s)?]+\?[^\s)=]+="),
    // Unicode's tag characters (but those of flags), runs of characters without width, variation selectors in
    // rows, and marks that turn the order of reading round.
    (Marker::HiddenText, r"(?:^|[^\x{1F3F4}\x{E0020}-\x{E007F}])[\x{E0020}-\x{E007F}]"),
    (Marker::HiddenText, r"[\x{200B}-\x{200D}\x{2060}\x{FEFF}]{4}|[\x{E0100}-\x{E01EF}]{2}|[\x{202D}\x{202E}]"),
];

/// None finds nothing; ours all compile, which the tests would notice.
static SET: LazyLock<Option<RegexSet>> =
    LazyLock::new(|| RegexSet::new(PATTERNS.iter().map(|(_, pattern)| pattern)).ok());

/// What was found on both sides of a span.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Markers {
    /// In what came from outside; `None` when nothing did.
    pub(super) injection: Option<Found>,
    /// In what a tool was given; `None` when nobody told.
    pub(super) arguments: Option<Found>,
}

/// A set of markers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Found(u8);

impl Found {
    fn in_text(text: &str) -> Self {
        let Some(set) = &*SET else {
            return Self(0);
        };
        let found = set.matches(text).into_iter();
        Self(found.fold(0, |all, at| all | 1 << PATTERNS[at].0 as u8))
    }

    /// As the column has it: the names, separated by blanks, or `none`.
    pub(super) fn text(self) -> Cow<'static, str> {
        let mut found = Marker::ALL
            .into_iter()
            .filter(|m| self.0 & 1 << *m as u8 != 0);
        match (found.next(), found.next()) {
            (None, _) => Cow::Borrowed(Marker::NONE),
            (Some(one), None) => Cow::Borrowed(one.as_str()),
            (Some(one), Some(two)) => {
                let names: Vec<_> = [one, two]
                    .into_iter()
                    .chain(found)
                    .map(Marker::as_str)
                    .collect();
                Cow::Owned(names.join(" "))
            }
        }
    }
}

/// Looks through texts until it has seen enough.
#[derive(Debug)]
struct Scan {
    left: usize,
    seen: bool,
    found: Found,
}

impl Scan {
    fn new() -> Self {
        Self {
            left: SCANNED,
            seen: false,
            found: Found(0),
        }
    }

    fn text(&mut self, text: &str) {
        self.seen = true;
        let text = &text[..text.floor_char_boundary(self.left)];
        self.left -= text.len();
        self.found.0 |= Found::in_text(text).0;
    }

    /// What may be JSON as text: then its escapes hide what it says.
    fn told(&mut self, value: &Value<'_>) {
        match value {
            Value::String(text) => {
                let escaped = text.starts_with(['{', '[', '"']) && text.contains('\\');
                match escaped.then(|| serde_json::from_str::<Json>(text)) {
                    Some(Ok(inside)) => self.inside(&inside, DEPTH),
                    _ => self.text(text),
                }
            }
            other => self.inside(&json::of(other), DEPTH),
        }
    }

    fn inside(&mut self, value: &Json, depth: usize) {
        match value {
            Json::String(text) => self.text(text),
            Json::Array(items) if depth > 0 => {
                for item in items {
                    self.inside(item, depth - 1);
                }
            }
            Json::Object(fields) if depth > 0 => {
                for value in fields.values() {
                    self.inside(value, depth - 1);
                }
            }
            _ => {}
        }
    }

    fn end(&self) -> Option<Found> {
        self.seen.then_some(self.found)
    }
}

/// What a tool call carries: what came out, and what went in.
pub(super) fn of_tool(attributes: &Attributes<'_, '_>) -> Markers {
    let (mut came, mut went) = (Scan::new(), Scan::new());
    for (kv, key) in attributes.iter() {
        match (key.side, &kv.value) {
            (Some(Side::Output), Some(value)) => came.told(value),
            (Some(Side::Input), Some(value)) => went.told(value),
            _ => {}
        }
    }
    Markers {
        injection: came.end(),
        arguments: went.end(),
    }
}

/// Keys that hold a conversation as one JSON text or structure.
const CONVERSATIONS: &[&str] = &[
    "gen_ai.input.messages",
    "gen_ai.prompt",
    "ai.prompt.messages",
];
/// Starts of keys that hold it message by message: an index follows.
const FLAT: &[&str] = &["llm.input_messages.", "gen_ai.prompt."];

/// What a model call brings that is new.
pub(super) fn of_model_call(sent: &Span<'_>, attributes: &Attributes<'_, '_>) -> Markers {
    let mut scan = Scan::new();
    for (kv, _) in attributes
        .iter()
        .filter(|(_, key)| key.side == Some(Side::Input))
    {
        if let (true, Some(value)) = (CONVERSATIONS.contains(&kv.key), &kv.value) {
            conversation(value, &mut scan);
        }
    }
    flat(attributes, &mut scan);
    let answered = sent
        .events
        .iter()
        .rposition(|e| e.name == "gen_ai.assistant.message");
    for event in sent.events.iter().skip(answered.map_or(0, |at| at + 1)) {
        if matches!(event.name, "gen_ai.user.message" | "gen_ai.tool.message") {
            let values = event.attributes.iter().filter_map(|kv| kv.value.as_ref());
            values.for_each(|value| scan.told(value));
        }
    }
    Markers {
        injection: scan.end(),
        arguments: None,
    }
}

fn conversation(value: &Value<'_>, scan: &mut Scan) {
    let parsed = match value {
        Value::String(text) => {
            // Most conversations have nothing in them, and need not be taken apart to know it.
            let end = &text[text.ceil_char_boundary(text.len().saturating_sub(SCANNED))..];
            if Found::in_text(end) == Found(0) && !may_hide(end) {
                scan.seen = true;
                return;
            }
            serde_json::from_str(text).ok()
        }
        other => Some(json::of(other)),
    };
    let Some(parsed) = parsed else {
        return;
    };
    let messages = parsed.get("messages").unwrap_or(&parsed);
    let Some(messages) = messages.as_array() else {
        return;
    };
    let role = |message: &Json| Role::of(message.get("role").and_then(Json::as_str));
    let answered = messages.iter().rposition(|m| role(m) == Role::Model);
    for message in messages.iter().skip(answered.map_or(0, |at| at + 1)) {
        if role(message) == Role::Outside {
            scan.inside(message, DEPTH);
        }
    }
}

/// Whether JSON may spell characters that nobody sees.
fn may_hide(json: &str) -> bool {
    const STARTS: [&str; 7] = ["200", "2060", "202", "fef", "FEF", "db4", "DB4"];
    json.contains("\\u")
        && json
            .split("\\u")
            .skip(1)
            .any(|rest| STARTS.iter().any(|start| rest.starts_with(start)))
}

/// Messages under keys with an index: `llm.input_messages.3.message.content`.
fn flat(attributes: &Attributes<'_, '_>, scan: &mut Scan) {
    let parts = || {
        attributes.iter().filter_map(|(kv, _)| {
            let rest = FLAT.iter().find_map(|start| kv.key.strip_prefix(start))?;
            let (index, field) = rest.split_once('.')?;
            let text = match &kv.value {
                Some(Value::String(text)) => *text,
                _ => return None,
            };
            Some((index.parse::<u32>().ok()?, field, text))
        })
    };
    let is_role = |field: &str| matches!(field, "role" | "message.role");
    let roles: Vec<(u32, Role)> = parts()
        .filter(|(_, field, _)| is_role(field))
        .map(|(index, _, role)| (index, Role::of(Some(role))))
        .collect();
    let models = roles.iter().filter(|(_, role)| *role == Role::Model);
    let answered = models.map(|(index, _)| *index).max();
    for (index, field, text) in parts() {
        let new = answered.is_none_or(|answered| index > answered);
        if new && !is_role(field) && roles.contains(&(index, Role::Outside)) {
            scan.text(text);
        }
    }
}

/// Whose message it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Ours,
    Model,
    Outside,
}

impl Role {
    fn of(role: Option<&str>) -> Self {
        match role.unwrap_or_default() {
            "assistant" | "model" | "ai" => Self::Model,
            "user" | "human" | "tool" | "function" => Self::Outside,
            _ => Self::Ours,
        }
    }
}

#[cfg(test)]
mod tests;
