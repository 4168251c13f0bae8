//! How the value of a field is read into its place.
//!
//! Each function takes the place, the field's key as read, and the reader. Of a scalar sent twice the last counts;
//! a message sent twice is merged; a list grows.

use crate::error::{Problem, Result};
use crate::message::Message;
use crate::reader::{Key, Reader, Wire};

pub(crate) fn text<'a>(place: &mut &'a str, key: Key, from: &mut Reader<'a>) -> Result<()> {
    key.wire.must_be(Wire::Delimited)?;
    let bytes = from.delimited()?;
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            *place = text;
            Ok(())
        }
        Err(_) => Err(Problem::Utf8.into()),
    }
}

pub(crate) fn bytes<'a>(place: &mut &'a [u8], key: Key, from: &mut Reader<'a>) -> Result<()> {
    key.wire.must_be(Wire::Delimited)?;
    *place = from.delimited()?;
    Ok(())
}

/// Declares how a scalar is read: its wire type, and the expression that makes a value.
macro_rules! scalar {
    ($($name:ident: $value:ty = $wire:ident, |$from:ident| $read:expr;)*) => { $(
        #[inline(always)]
        pub(crate) fn $name(place: &mut $value, key: Key, $from: &mut Reader<'_>) -> Result<()> {
            key.wire.must_be(Wire::$wire)?;
            *place = $read;
            Ok(())
        }
    )* };
}

// A varint that is too long for its field loses its upper bits, as protobuf has it.
scalar! {
    boolean: bool = Varint, |from| from.varint()? != 0;
    int32: i32 = Varint, |from| from.varint()? as i32;
    int64: i64 = Varint, |from| from.varint()? as i64;
    uint32: u32 = Varint, |from| from.varint()? as u32;
    uint64: u64 = Varint, |from| from.varint()?;
    sint32: i32 = Varint, |from| zigzag(from.varint()? as u32);
    fixed32: u32 = Fixed32, |from| u32::from_le_bytes(from.fixed()?);
    fixed64: u64 = Fixed64, |from| u64::from_le_bytes(from.fixed()?);
    sfixed64: i64 = Fixed64, |from| i64::from_le_bytes(from.fixed()?);
    double: f64 = Fixed64, |from| f64::from_le_bytes(from.fixed()?);
}

/// Zero, minus one, one, minus two, ...
fn zigzag(value: u32) -> i32 {
    (value >> 1) as i32 ^ -((value & 1) as i32)
}

/// A double whose absence means something.
pub(crate) fn double_or_none(
    place: &mut Option<f64>,
    key: Key,
    from: &mut Reader<'_>,
) -> Result<()> {
    double(place.get_or_insert_default(), key, from)
}

/// A message that is always there, if only as its default.
#[inline]
pub(crate) fn message<'a, M: Message<'a>>(
    place: &mut M,
    key: Key,
    from: &mut Reader<'a>,
) -> Result<()> {
    from.message(key.wire, |from, key| place.merge_field(key, from))
}

/// A message whose absence means something.
#[inline]
pub(crate) fn one<'a, M: Message<'a>>(
    place: &mut Option<M>,
    key: Key,
    from: &mut Reader<'a>,
) -> Result<()> {
    message(place.get_or_insert_default(), key, from)
}

/// A list of messages.
#[inline]
pub(crate) fn many<'a, M: Message<'a>>(
    list: &mut Vec<M>,
    key: Key,
    from: &mut Reader<'a>,
) -> Result<()> {
    key.wire.must_be(Wire::Delimited)?;
    from.spend(size_of::<M>())?;
    if list.len() == list.capacity() {
        // No more at once than there is room for.
        let room = from.room_for(size_of::<M>());
        list.reserve(from.run(key.number).min(room + 1));
    }
    let mut item = M::default();
    message(&mut item, key, from)?;
    list.push(item);
    Ok(())
}

/// A message that is nothing but a list of messages, in its first field.
pub(crate) fn wrapped<'a, M: Message<'a>>(
    list: &mut Vec<M>,
    key: Key,
    from: &mut Reader<'a>,
) -> Result<()> {
    from.message(key.wire, |from, key| match key.number {
        1 => many(list, key, from).map_err(|e| e.within("values")),
        _ => from.skip(key),
    })
}

/// A list of strings.
pub(crate) fn texts<'a>(list: &mut Vec<&'a str>, key: Key, from: &mut Reader<'a>) -> Result<()> {
    let mut item = "";
    text(&mut item, key, from)?;
    push(list, item, from)
}

/// Declares how a list of numbers is read: packed into one value, or each on its own.
macro_rules! numbers {
    ($($name:ident: $value:ty = $wire:ident, $one:ident;)*) => { $(
        pub(crate) fn $name(list: &mut Vec<$value>, key: Key, from: &mut Reader<'_>) -> Result<()> {
            let mut one = |key: Key, from: &mut Reader<'_>| {
                let mut item = <$value>::default();
                $one(&mut item, key, from)?;
                push(list, item, from)
            };
            if key.wire != Wire::Delimited {
                return one(key, from);
            }
            let key = Key { wire: Wire::$wire, ..key };
            from.packed(|from| one(key, from))
        }
    )* };
}

numbers! {
    uint64s: u64 = Varint, uint64;
    fixed64s: u64 = Fixed64, fixed64;
    doubles: f64 = Fixed64, double;
}

fn push<T>(list: &mut Vec<T>, item: T, from: &mut Reader<'_>) -> Result<()> {
    from.spend(size_of::<T>())?;
    list.push(item);
    Ok(())
}

/// The alternative of a oneof: its numbers stand among the message's own.
#[inline]
pub(crate) fn oneof<'a, M: Message<'a>>(
    place: &mut M,
    key: Key,
    from: &mut Reader<'a>,
) -> Result<()> {
    place.merge_field(key, from)
}
