//! A span's attributes, and what the tables say of their keys.

use flyball_otlp::common::{KeyValue, Value};

use crate::conventions::{Convention, KEY_COUNT, Key, Side, key};

/// Attributes with what is known of each key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attributes<'s, 'a> {
    sent: &'s [KeyValue<'a>],
    keys: &'s [Key],
}

impl<'s, 'a> Attributes<'s, 'a> {
    /// Looks every key up; `keys` is where to, and is used again for the next span.
    pub(super) fn of(sent: &'s [KeyValue<'a>], keys: &'s mut Vec<Key>) -> Self {
        keys.clear();
        keys.extend(sent.iter().map(|kv| key(kv.key)));
        Self { sent, keys }
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (&'s KeyValue<'a>, &'s Key)> {
        self.sent.iter().zip(self.keys)
    }

    /// As they were sent.
    pub(super) fn sent(&self) -> &'s [KeyValue<'a>] {
        self.sent
    }

    /// The last value of a key; of a key sent twice the later stays, in `attributes` too.
    pub(super) fn find(&self, name: &str) -> Option<&'s Value<'a>> {
        find(self.sent, name)
    }

    /// The same by the number of a known key.
    pub(super) fn find_known(&self, number: u16) -> Option<&'s Value<'a>> {
        let mut backwards = self.iter().rev();
        let (kv, _) = backwards.find(|(_, key)| key.known == Some(number))?;
        kv.value.as_ref()
    }

    /// Which convention the span is read by.
    pub(super) fn convention(&self) -> Option<Convention> {
        Convention::of(self.keys.iter().filter_map(|key| key.mark))
    }

    /// The texts that may tell an operation, by the key's place among those that do.
    pub(super) fn operations(&self) -> [Option<&'a str>; KEY_COUNT] {
        let mut texts = [None; KEY_COUNT];
        for (kv, key) in self.iter() {
            if let Some(slot) = key.operation.and_then(|place| texts.get_mut(place)) {
                *slot = match kv.value {
                    Some(Value::String(text)) => Some(text),
                    Some(Value::Bool(true)) => Some("true"),
                    _ => None,
                };
            }
        }
        texts
    }

    /// Whether any stands on this side of the content.
    pub(super) fn has_content(&self, side: Side) -> bool {
        self.keys.iter().any(|key| key.side == Some(side))
    }
}

/// The last value of a key.
pub(super) fn find<'s, 'a>(attributes: &'s [KeyValue<'a>], name: &str) -> Option<&'s Value<'a>> {
    let mut backwards = attributes.iter().rev();
    backwards.find(|kv| kv.key == name)?.value.as_ref()
}
