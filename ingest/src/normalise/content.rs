//! The content of a span: prompts, answers, arguments, results and reasoning, set apart from the rest.

use flyball_store::rows::{ContentRow, SpanRow};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use serde_json::{Map, Value as Json};
use sha2::{Digest, Sha256};

use super::json;
use crate::conventions::{Side, content_side};

/// The content row of a span; `None` when it carries no content.
pub(super) fn row(sent: &Span, row: &SpanRow) -> Option<ContentRow> {
    let mut sides = [Map::new(), Map::new(), Map::new()];
    let mut put = |side: Side, key: String, value: Json| {
        sides[side as usize].insert(key, value);
    };
    for kv in &sent.attributes {
        if let (Some(side), Some(value)) = (
            content_side(&kv.key),
            kv.value.as_ref().and_then(|v| v.value.as_ref()),
        ) {
            put(side, kv.key.clone(), json::of(value));
        }
    }
    for (index, event) in sent.events.iter().enumerate() {
        for kv in &event.attributes {
            if let (Some(side), Some(value)) = (
                event_side(event, &kv.key),
                kv.value.as_ref().and_then(|v| v.value.as_ref()),
            ) {
                put(
                    side,
                    format!("events.{index}.{}.{}", event.name, kv.key),
                    json::of(value),
                );
            }
        }
    }
    let [input, output, reasoning] = sides.map(json::text);
    let texts = [&input, &output, &reasoning];
    if texts.iter().all(|text| text.is_none()) {
        return None;
    }
    let mut hash = Sha256::new();
    for text in texts {
        let text = text.as_deref().unwrap_or_default();
        // The length keeps apart what would run together.
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    Some(ContentRow {
        date: row.date,
        start_time: row.start_time,
        trace_id: row.trace_id.clone(),
        span_id: row.span_id.clone(),
        bytes: texts
            .iter()
            .map(|text| text.as_ref().map_or(0, String::len) as i64)
            .sum(),
        sha256: hex::encode(hash.finalize()),
        input,
        output,
        reasoning,
        log_position: 0,
    })
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
