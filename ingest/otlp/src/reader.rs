//! Bytes as protobuf's wire format has them: keys, varints, lengths, groups.

use crate::DEPTH_MAX;
use crate::error::{Problem, Result};

/// How a value stands on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Wire {
    Varint = 0,
    Fixed64 = 1,
    Delimited = 2,
    GroupStart = 3,
    GroupEnd = 4,
    Fixed32 = 5,
}

impl Wire {
    /// Refuses a value of another kind than the field's.
    #[inline(always)]
    pub(crate) fn must_be(self, expected: Self) -> Result<()> {
        if self == expected {
            return Ok(());
        }
        Err(Problem::WireType {
            found: self as u8,
            expected: expected as u8,
        }
        .into())
    }
}

/// A field's number, and how its value stands on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) number: u32,
    pub(crate) wire: Wire,
}

/// Reads the message that is under way to its end, and the messages inside it.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    /// Of the innermost message: what has not been read.
    rest: &'a [u8],
    /// Messages that may still be entered.
    depth: u32,
    /// Bytes that messages may still take in memory.
    left: usize,
    limit: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(body: &'a [u8], limit: usize) -> Self {
        Self {
            rest: body,
            depth: DEPTH_MAX,
            left: limit,
            limit,
        }
    }

    /// Whether the message has another field.
    #[inline(always)]
    pub(crate) fn has_more(&self) -> bool {
        !self.rest.is_empty()
    }

    /// Takes memory for what is about to be kept.
    #[inline(always)]
    pub(crate) fn spend(&mut self, bytes: usize) -> Result<()> {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(Problem::TooLarge { limit: self.limit }.into()),
        }
    }

    /// How many values of this size the memory that is left would hold.
    pub(crate) fn room_for(&self, size: usize) -> usize {
        self.left / size.max(1)
    }

    /// Reads a message: `field` is called for each of its fields, with the key read and the value next.
    #[inline]
    pub(crate) fn message(
        &mut self,
        wire: Wire,
        mut field: impl FnMut(&mut Self, Key) -> Result<()>,
    ) -> Result<()> {
        wire.must_be(Wire::Delimited)?;
        if self.depth == 0 {
            return Err(Problem::TooDeep.into());
        }
        let inside = self.delimited()?;
        let after = std::mem::replace(&mut self.rest, inside);
        self.depth -= 1;
        while self.has_more() {
            let key = self.key()?;
            field(self, key)?;
        }
        self.depth += 1;
        self.rest = after;
        Ok(())
    }

    /// Reads values that stand one after the other, without keys.
    #[inline]
    pub(crate) fn packed(&mut self, mut value: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        let inside = self.delimited()?;
        let after = std::mem::replace(&mut self.rest, inside);
        while self.has_more() {
            value(self)?;
        }
        self.rest = after;
        Ok(())
    }

    #[inline(always)]
    pub(crate) fn key(&mut self) -> Result<Key> {
        let key = self.varint()?;
        let Ok(narrow) = u32::try_from(key) else {
            return Err(Problem::Key(key).into());
        };
        let wire = match narrow & 7 {
            0 => Wire::Varint,
            1 => Wire::Fixed64,
            2 => Wire::Delimited,
            3 => Wire::GroupStart,
            4 => Wire::GroupEnd,
            5 => Wire::Fixed32,
            _ => return Err(Problem::Key(key).into()),
        };
        let number = narrow >> 3;
        if number == 0 {
            return Err(Problem::Key(key).into());
        }
        Ok(Key { number, wire })
    }

    #[inline(always)]
    pub(crate) fn varint(&mut self) -> Result<u64> {
        match self.rest {
            [byte, rest @ ..] if *byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64> {
        let mut value = 0_u64;
        for (place, byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * place);
            if *byte < 0x80 {
                // Of the tenth byte, one bit is left of 64.
                if place == 9 && *byte > 1 {
                    return Err(Problem::Varint.into());
                }
                self.rest = self.rest.get(place + 1..).unwrap_or_default();
                return Ok(value);
            }
        }
        let problem = if self.rest.len() < 10 {
            Problem::Cut
        } else {
            Problem::Varint
        };
        Err(problem.into())
    }

    /// As many bytes as the length before them says.
    #[inline(always)]
    pub(crate) fn delimited(&mut self) -> Result<&'a [u8]> {
        let length = self.varint()?;
        self.take(length)
    }

    #[inline(always)]
    fn take(&mut self, length: u64) -> Result<&'a [u8]> {
        let taken = usize::try_from(length)
            .ok()
            .and_then(|length| self.rest.split_at_checked(length));
        let Some((taken, rest)) = taken else {
            return Err(Problem::Cut.into());
        };
        self.rest = rest;
        Ok(taken)
    }

    /// A number of so many bytes, the lowest first.
    #[inline(always)]
    pub(crate) fn fixed<const N: usize>(&mut self) -> Result<[u8; N]> {
        let Some((value, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(Problem::Cut.into());
        };
        self.rest = rest;
        Ok(*value)
    }

    /// Passes over a field that nobody here knows.
    pub(crate) fn skip(&mut self, key: Key) -> Result<()> {
        self.skip_at(key, self.depth)
    }

    fn skip_at(&mut self, key: Key, depth: u32) -> Result<()> {
        if depth == 0 {
            return Err(Problem::TooDeep.into());
        }
        match key.wire {
            Wire::Varint => self.varint().map(drop),
            Wire::Fixed64 => self.fixed::<8>().map(drop),
            Wire::Fixed32 => self.fixed::<4>().map(drop),
            Wire::Delimited => self.delimited().map(drop),
            Wire::GroupEnd => Err(Problem::GroupEnd.into()),
            Wire::GroupStart => loop {
                let inner = self.key()?;
                if inner.wire != Wire::GroupEnd {
                    self.skip_at(inner, depth - 1)?;
                } else if inner.number == key.number {
                    return Ok(());
                } else {
                    return Err(Problem::GroupEnd.into());
                }
            },
        }
    }

    /// How many values of this length-delimited field stand one after the other from here on, counting one whose
    /// key has been read already. A guess for sizing lists: what is malformed ends it.
    pub(crate) fn run(&self, number: u32) -> usize {
        let mut ahead = Self {
            rest: self.rest,
            ..*self
        };
        let same = Key {
            number,
            wire: Wire::Delimited,
        };
        let mut count = 0;
        while ahead.delimited().is_ok() {
            count += 1;
            if !ahead.has_more() || !ahead.key().is_ok_and(|key| key == same) {
                break;
            }
        }
        count.max(1)
    }
}
