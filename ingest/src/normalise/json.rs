//! Attributes, events and links as JSON text.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use serde_json::{Map, Value as Json, json};

use super::content;
use crate::conventions::content_side;

/// A value as JSON. Bytes become hex; a double that JSON has no number for becomes text.
pub(super) fn of(value: &Value) -> Json {
    match value {
        Value::StringValue(text) => Json::String(text.clone()),
        Value::BoolValue(flag) => Json::Bool(*flag),
        Value::IntValue(number) => Json::from(*number),
        Value::DoubleValue(number) => serde_json::Number::from_f64(*number)
            .map_or_else(|| Json::String(number.to_string()), Json::Number),
        Value::ArrayValue(array) => array.values.iter().map(of_any).collect(),
        Value::KvlistValue(list) => Json::Object(object(list.values.iter())),
        Value::BytesValue(bytes) => Json::String(hex::encode(bytes)),
        // A reference into a dictionary that traces do not have.
        Value::StringValueStrindex(_) => Json::Null,
    }
}

fn of_any(value: &AnyValue) -> Json {
    value.value.as_ref().map_or(Json::Null, of)
}

/// Attributes as an object; of a key sent twice the later stays.
pub(super) fn object<'a>(attributes: impl Iterator<Item = &'a KeyValue>) -> Map<String, Json> {
    attributes
        .map(|kv| (kv.key.clone(), kv.value.as_ref().map_or(Json::Null, of_any)))
        .collect()
}

/// The attributes that are no content and do not stand in columns, as the text of an object; `None` when there are
/// none.
pub(super) fn attributes(attributes: &[KeyValue], in_columns: &[&str]) -> Option<String> {
    let rest =
        |kv: &&KeyValue| content_side(&kv.key).is_none() && !in_columns.contains(&kv.key.as_str());
    text(object(attributes.iter().filter(rest)))
}

/// The text of an object; `None` when it is empty.
pub(super) fn text(object: Map<String, Json>) -> Option<String> {
    (!object.is_empty()).then(|| Json::Object(object).to_string())
}

/// Span events without their content, as the text of an array; `None` when there are none.
pub(super) fn events(events: &[Event]) -> Option<String> {
    let told = |event: &Event| {
        let kept = event
            .attributes
            .iter()
            .filter(|kv| content::event_side(event, &kv.key).is_none());
        json!({ "name": event.name, "time_unix_nano": event.time_unix_nano, "attributes": object(kept) })
    };
    array(events.iter().map(told).collect())
}

/// Span links as the text of an array; `None` when there are none.
pub(super) fn links(links: &[Link]) -> Option<String> {
    let told = |link: &Link| {
        json!({
            "trace_id": hex::encode(&link.trace_id),
            "span_id": hex::encode(&link.span_id),
            "attributes": object(link.attributes.iter()),
        })
    };
    array(links.iter().map(told).collect())
}

fn array(items: Vec<Json>) -> Option<String> {
    (!items.is_empty()).then(|| Json::Array(items).to_string())
}
