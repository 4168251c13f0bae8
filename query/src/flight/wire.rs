//! Protobuf by hand, for the few messages that arrow-flight does not know (session options, the details of a status)
//! or does not let others encode. Fields in, fields out: <https://protobuf.dev/programming-guides/encoding/>.

use arrow_flight::sql::Any;

/// A field's value, as far as the wire tells its type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    /// Numbers, booleans, enumerations.
    Varint(u64),
    /// `fixed64`, `sfixed64`, `double`.
    Fixed64([u8; 8]),
    /// Text, bytes, messages.
    Bytes(&'a [u8]),
    /// `fixed32`, `float`.
    Fixed32([u8; 4]),
}

/// The fields of a message by number, in the order in which they came; None when it is none.
pub(super) fn fields(mut message: &[u8]) -> Option<Vec<(u64, Value<'_>)>> {
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message)?;
        let value = match key & 7 {
            0 => Value::Varint(varint(&mut message)?),
            1 => Value::Fixed64(take(&mut message, 8)?.try_into().ok()?),
            2 => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                Value::Bytes(take(&mut message, length)?)
            }
            5 => Value::Fixed32(take(&mut message, 4)?.try_into().ok()?),
            _ => return None,
        };
        found.push((key >> 3, value));
    }
    Some(found)
}

/// The last field of this number, where the message has one that is text, bytes or a message.
pub(super) fn bytes(message: &[u8], number: u64) -> Option<&[u8]> {
    let fields = fields(message)?;
    fields.into_iter().rev().find_map(|(n, value)| match value {
        Value::Bytes(bytes) if n == number => Some(bytes),
        _ => None,
    })
}

/// The same as text.
pub(super) fn text(message: &[u8], number: u64) -> Option<&str> {
    std::str::from_utf8(bytes(message, number)?).ok()
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn take<'a>(message: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = message.split_at_checked(length)?;
    *message = rest;
    Some(taken)
}

/// A message being written.
#[derive(Debug, Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    /// Adds a number, a boolean or an enumeration.
    pub(super) fn varint(mut self, field: u64, value: u64) -> Self {
        self.push(field << 3);
        self.push(value);
        self
    }

    /// Adds text, bytes or a message.
    pub(super) fn bytes(mut self, field: u64, value: &[u8]) -> Self {
        self.push(field << 3 | 2);
        self.push(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    /// What goes over the wire.
    pub(super) fn done(self) -> Vec<u8> {
        self.0
    }

    fn push(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// A packed message on the wire.
pub(super) fn packed(any: &Any) -> Vec<u8> {
    let named = Message::default().bytes(1, any.type_url.as_bytes());
    named.bytes(2, &any.value).done()
}

/// And back; None when it is none.
pub(super) fn unpacked(message: &[u8]) -> Option<Any> {
    fields(message)?;
    Some(Any {
        type_url: text(message, 1)?.to_owned(),
        value: bytes(message, 2).unwrap_or_default().to_vec().into(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The examples of protobuf's own description of its encoding.
    #[test]
    fn messages_are_as_protobuf_describes_them() {
        assert_eq!(Message::default().varint(1, 150).done(), [0x08, 0x96, 0x01]);
        assert_eq!(
            Message::default().bytes(2, b"testing").done(),
            [0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67]
        );
        assert_eq!(
            fields(&[0x1a, 0x03, 0x08, 0x96, 0x01]).unwrap(),
            [(3, Value::Bytes(&[0x08, 0x96, 0x01]))]
        );
        assert_eq!(
            fields(&[0x08, 0x96, 0x01]).unwrap(),
            [(1, Value::Varint(150))]
        );
        let largest = Message::default().varint(1, u64::MAX).done();
        assert_eq!(fields(&largest).unwrap(), [(1, Value::Varint(u64::MAX))]);
    }

    #[test]
    fn what_is_cut_or_of_no_type_is_no_message() {
        for broken in [
            &[0x08][..],
            &[0x08, 0x96],
            &[0x12, 0x07, 0x74],
            &[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
            &[0x0b],
            &[0x09, 1, 2],
            &[0xff; 11],
        ] {
            assert_eq!(fields(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn the_last_of_a_field_counts() {
        let twice = Message::default()
            .bytes(1, b"a")
            .bytes(1, b"b")
            .varint(2, 7);
        let twice = twice.done();
        assert_eq!(text(&twice, 1), Some("b"));
        assert_eq!(bytes(&twice, 2), None);
    }
}
