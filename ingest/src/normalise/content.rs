//! The content of a span: prompts, answers, arguments, results and reasoning, set apart from the rest.

use std::borrow::Cow;

use flyball_otlp::common::Value;
use flyball_otlp::trace::{Event, Span};
use flyball_store::rows::{ContentRow, Date, Micros};
use sha2::{Digest, Sha256};

use super::accept::Place;
use super::attributes::Attributes;
use super::json;
use crate::conventions::events::message_side;
use crate::conventions::{Side, content_side};

/// What goes on the three sides, in the order of [`Side`].
#[derive(Debug, Default)]
pub(super) struct Sides<'s, 'a>([Vec<(Cow<'s, str>, &'s Value<'a>)>; 3]);

/// What content is the content of.
#[derive(Debug)]
pub(super) struct Of<'i> {
    /// Start, nanoseconds since 1970.
    pub(super) start: i64,
    pub(super) trace_id: &'i str,
    pub(super) span_id: &'i str,
    /// The span that a record was sent in.
    pub(super) of_span_id: Option<String>,
}

impl<'s, 'a> Sides<'s, 'a> {
    pub(super) fn put(&mut self, side: Side, key: Cow<'s, str>, value: &'s Value<'a>) {
        self.0[side as usize].push((key, value));
    }

    /// The content row of what this is the content of; `None` when there is none.
    pub(super) fn row(&self, of: Of<'_>) -> Option<ContentRow> {
        let text = |side: &Vec<(Cow<'_, str>, &Value<'_>)>| {
            json::object(side.iter().map(|(key, value)| (key.as_ref(), Some(*value))))
        };
        let [input, output, reasoning] = self.0.each_ref().map(text);
        let texts = [&input, &output, &reasoning];
        if texts.iter().all(|text| text.is_none()) {
            return None;
        }
        Some(ContentRow {
            date: Date::of_nanos(of.start),
            start_time: Micros::of_nanos(of.start),
            trace_id: of.trace_id.to_owned(),
            span_id: of.span_id.to_owned(),
            of_span_id: of.of_span_id,
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
pub(super) fn row(
    sent: &Span<'_>,
    attributes: &Attributes<'_, '_>,
    stands: &Place,
) -> Option<ContentRow> {
    let mut sides = Sides::default();
    for (kv, key) in attributes.iter() {
        if let (Some(side), Some(value)) = (key.side, &kv.value) {
            sides.put(side, Cow::Borrowed(kv.key), value);
        }
    }
    for (index, event) in sent.events.iter().enumerate() {
        for kv in &event.attributes {
            if let (Some(side), Some(value)) = (event_side(event, kv.key), &kv.value) {
                let key = format!("events.{index}.{}.{}", event.name, kv.key);
                sides.put(side, Cow::Owned(key), value);
            }
        }
    }
    sides.row(Of {
        start: stands.start,
        trace_id: stands.trace_id.as_str(),
        span_id: stands.span_id.as_str(),
        of_span_id: None,
    })
}

/// On which side an attribute of an event stands; `None` when it is no content. The messages of older
/// GenAI conventions are content as a whole, whatever their keys.
pub(super) fn event_side(event: &Event<'_>, key: &str) -> Option<Side> {
    message_side(event.name).or_else(|| content_side(key))
}
