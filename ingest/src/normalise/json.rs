//! Attributes, events and links as JSON text, written as they are walked through.

use flyball_otlp::common::{KeyValue, Value};
use flyball_otlp::trace::{Event, Link};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value as Json;

use super::attributes::Attributes;
use super::content;
use crate::conventions::Key;

/// A value as JSON. Bytes become hex; a double that JSON has no number for becomes text.
struct Written<'s, 'a>(&'s Value<'a>);

impl Serialize for Written<'_, '_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::String(text) => to.serialize_str(text),
            Value::Bool(flag) => to.serialize_bool(*flag),
            Value::Int(number) => to.serialize_i64(*number),
            Value::Double(number) if number.is_finite() => to.serialize_f64(*number),
            Value::Double(number) => to.collect_str(number),
            Value::Array(items) => to.collect_seq(items.iter().map(|item| Maybe(item.as_ref()))),
            Value::KeyValues(pairs) => Object::of_all(pairs).serialize(to),
            Value::Bytes(bytes) => to.serialize_str(&hex::encode(bytes)),
            // A reference into a dictionary that traces do not have.
            Value::StringIndex(_) => to.serialize_unit(),
        }
    }
}

/// A value, or null.
struct Maybe<'s, 'a>(Option<&'s Value<'a>>);

impl Serialize for Maybe<'_, '_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(value) => Written(value).serialize(to),
            None => to.serialize_unit(),
        }
    }
}

/// Attributes as an object, in the order of their keys; of a key sent twice the later stays.
struct Object<'s, 'a>(Vec<(&'s str, Option<&'s Value<'a>>)>);

impl<'s, 'a> Object<'s, 'a> {
    fn of(pairs: impl Iterator<Item = (&'s str, Option<&'s Value<'a>>)>) -> Self {
        let mut pairs: Vec<_> = pairs.collect();
        // Stable: the last of several stays the last.
        pairs.sort_by_key(|(key, _)| *key);
        Self(pairs)
    }

    fn of_all(pairs: &'s [KeyValue<'a>]) -> Self {
        Self::of(pairs.iter().map(|kv| (kv.key, kv.value.as_ref())))
    }
}

impl Serialize for Object<'_, '_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        for (at, (key, value)) in self.0.iter().enumerate() {
            let is_last = self.0.get(at + 1).is_none_or(|(next, _)| next != key);
            if is_last {
                map.serialize_entry(key, &Maybe(*value))?;
            }
        }
        map.end()
    }
}

/// A value as a tree: for looking into.
pub(super) fn of(value: &Value<'_>) -> Json {
    serde_json::to_value(Written(value)).unwrap_or_default()
}

/// An object as text; `None` when it is empty.
pub(super) fn object<'s, 'a: 's>(
    pairs: impl Iterator<Item = (&'s str, Option<&'s Value<'a>>)>,
) -> Option<String> {
    let object = Object::of(pairs);
    if object.0.is_empty() {
        return None;
    }
    serde_json::to_string(&object).ok()
}

/// The attributes that are no content and do not stand in columns, as the text of an object; `None` when there are
/// none. `text` is where to write it.
pub(super) fn attributes<'t>(
    attributes: &Attributes<'_, '_>,
    in_columns: &[Key],
    text: &'t mut Vec<u8>,
) -> Option<&'t str> {
    let stands = |key: &Key| {
        let known = |column: &Key| column.known.is_some() && column.known == key.known;
        in_columns.iter().any(known)
    };
    let rest = attributes
        .iter()
        .filter(|(_, key)| key.side.is_none() && !stands(key));
    let object = Object::of(rest.map(|(kv, _)| (kv.key, kv.value.as_ref())));
    if object.0.is_empty() {
        return None;
    }
    text.clear();
    serde_json::to_writer(&mut *text, &object).ok()?;
    std::str::from_utf8(text).ok()
}

/// A span event without its content.
struct WrittenEvent<'s, 'a>(&'s Event<'a>);

impl Serialize for WrittenEvent<'_, '_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self(event) = self;
        let kept = event
            .attributes
            .iter()
            .filter(|kv| content::event_side(event, kv.key).is_none());
        let mut map = to.serialize_map(Some(3))?;
        let attributes = Object::of(kept.map(|kv| (kv.key, kv.value.as_ref())));
        map.serialize_entry("attributes", &attributes)?;
        map.serialize_entry("name", event.name)?;
        map.serialize_entry("time_unix_nano", &event.time_unix_nano)?;
        map.end()
    }
}

struct WrittenLink<'s, 'a>(&'s Link<'a>);

impl Serialize for WrittenLink<'_, '_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self(link) = self;
        let mut map = to.serialize_map(Some(3))?;
        map.serialize_entry("attributes", &Object::of_all(&link.attributes))?;
        map.serialize_entry("span_id", &hex::encode(link.span_id))?;
        map.serialize_entry("trace_id", &hex::encode(link.trace_id))?;
        map.end()
    }
}

/// Span events without their content, as the text of an array; `None` when there are none.
pub(super) fn events(events: &[Event<'_>]) -> Option<String> {
    array(events.iter().map(WrittenEvent))
}

/// Span links as the text of an array; `None` when there are none.
pub(super) fn links(links: &[Link<'_>]) -> Option<String> {
    array(links.iter().map(WrittenLink))
}

fn array<T: Serialize>(items: impl ExactSizeIterator<Item = T>) -> Option<String> {
    if items.len() == 0 {
        return None;
    }
    serde_json::to_string(&items.collect::<Vec<T>>()).ok()
}
