//! The content of a span: prompts, answers, arguments, results and reasoning, set apart from the rest.

use flyball_store::rows::{ContentRow, SpanRow};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use serde_json::{Map, Value as Json};
use sha2::{Digest, Sha256};

use super::json;
use crate::conventions::{Side, content_side};

/// What goes on the three sides, in the order of [`Side`].
#[derive(Debug, Default)]
pub(super) struct Sides([Map<String, Json>; 3]);

impl Sides {
    pub(super) fn put(&mut self, side: Side, key: String, value: Json) {
        self.0[side as usize].insert(key, value);
    }

    /// The content row of what this is the content of; `None` when there is none.
    pub(super) fn row(self, row: &SpanRow, of_span_id: Option<String>) -> Option<ContentRow> {
        let [input, output, reasoning] = self.0.map(json::text);
        let texts = [&input, &output, &reasoning];
        if texts.iter().all(|text| text.is_none()) {
            return None;
        }
        Some(ContentRow {
            date: row.date,
            start_time: row.start_time,
            trace_id: row.trace_id.clone(),
            span_id: row.span_id.clone(),
            of_span_id,
            bytes: texts
                .iter()
                .map(|text| text.as_ref().map_or(0, String::len) as i64)
                .sum(),
            sha256: content_hash(texts),
            input,
            output,
            reasoning,
            log_position: 0,
        })
    }
}

/// SHA-256 over the three sides of a content, in hex.
pub(crate) fn content_hash(texts: [&Option<String>; 3]) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        let text = text.as_deref().unwrap_or_default();
        // The length keeps apart what would run together.
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    hex::encode(hash.finalize())
}

/// The content row of a span; `None` when it carries no content.
pub(super) fn row(sent: &Span, row: &SpanRow) -> Option<ContentRow> {
    let mut sides = Sides::default();
    for kv in &sent.attributes {
        if let (Some(side), Some(value)) = (
            content_side(&kv.key),
            kv.value.as_ref().and_then(|v| v.value.as_ref()),
        ) {
            sides.put(side, kv.key.clone(), json::of(value));
        }
    }
    for (index, event) in sent.events.iter().enumerate() {
        for kv in &event.attributes {
            if let (Some(side), Some(value)) = (
                event_side(event, &kv.key),
                kv.value.as_ref().and_then(|v| v.value.as_ref()),
            ) {
                let key = format!("events.{index}.{}.{}", event.name, kv.key);
                sides.put(side, key, json::of(value));
            }
        }
    }
    sides.row(row, None)
}

/// On which side an attribute of an event stands; `None` when it is no content. The messages of older
/// GenAI conventions are content as a whole, whatever their keys.
pub(super) fn event_side(event: &Event, key: &str) -> Option<Side> {
    match event.name.as_str() {
        "gen_ai.system.message"
        | "gen_ai.user.message"
        | "gen_ai.assistant.message"
        | "gen_ai.tool.message" => Some(Side::Input),
        "gen_ai.choice" => Some(Side::Output),
        _ => content_side(key),
    }
}
