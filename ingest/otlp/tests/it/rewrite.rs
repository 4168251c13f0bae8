//! Bodies rearranged as the wire format allows (fields doubled, dropped, swapped, renumbered, unknown ones put
//! between), which decoders must read; and bodies damaged in ways that it does not.

use prost::encoding::{WireType, decode_key, decode_varint, encode_varint};

/// Numbers that look like chance and come again with the same seed (SplitMix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `sides`, which is not zero.
    pub(crate) fn below(&mut self, sides: usize) -> usize {
        (self.next() % sides as u64) as usize
    }

    fn one_in(&mut self, sides: usize) -> bool {
        self.below(sides) == 0
    }
}

/// Key and value, as they stand on the wire.
struct Field {
    key: u64,
    value: Vec<u8>,
}

/// The fields of a message; None when the bytes are none.
fn fields(mut body: &[u8]) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    while !body.is_empty() {
        let (number, wire) = decode_key(&mut body).ok()?;
        let start = body;
        let length = match wire {
            WireType::Varint => {
                decode_varint(&mut body).ok()?;
                0
            }
            WireType::SixtyFourBit => 8,
            WireType::ThirtyTwoBit => 4,
            WireType::LengthDelimited => usize::try_from(decode_varint(&mut body).ok()?).ok()?,
            WireType::StartGroup | WireType::EndGroup => return None,
        };
        body = body.get(length..)?;
        let value = start[..start.len() - body.len()].to_vec();
        fields.push(Field {
            key: u64::from(number) << 3 | wire as u64,
            value,
        });
    }
    Some(fields)
}

fn delimited(bytes: &[u8]) -> Vec<u8> {
    let mut value = Vec::new();
    encode_varint(bytes.len() as u64, &mut value);
    value.extend(bytes);
    value
}

/// The same message, more or less.
pub(crate) fn rewrite(body: &[u8], dice: &mut Dice) -> Vec<u8> {
    let Some(mut fields) = fields(body) else {
        return body.to_vec();
    };
    for field in &mut fields {
        if field.key & 7 == 2 && !dice.one_in(4) {
            let mut inside = field.value.as_slice();
            if decode_varint(&mut inside).is_ok() {
                field.value = delimited(&rewrite(inside, dice));
            }
        }
    }
    for _ in 0..dice.below(3) {
        rearrange(&mut fields, dice);
    }
    let mut out = Vec::new();
    for Field { key, value } in fields {
        encode_varint(key, &mut out);
        out.extend(value);
    }
    out
}

fn rearrange(fields: &mut Vec<Field>, dice: &mut Dice) {
    let at = dice.below(fields.len() + 1);
    let other = dice.below(fields.len().max(1));
    match (dice.below(6), fields.get(other)) {
        (0, Some(field)) => {
            let copy = Field {
                key: field.key,
                value: field.value.clone(),
            };
            fields.insert(at, copy);
        }
        (1, Some(_)) => drop(fields.remove(other)),
        (2, Some(_)) => {
            let last = fields.len() - 1;
            fields.swap(other, at.min(last));
        }
        (3, Some(_)) => {
            let number = dice.below(17) as u64 + u64::from(!dice.one_in(20));
            fields[other].key = number << 3 | fields[other].key & 7;
        }
        (4, _) => fields.insert(at, unknown(dice)),
        _ => {}
    }
}

/// A field that no message of ours has, or a group.
fn unknown(dice: &mut Dice) -> Field {
    let number = [19, 2_000, (1 << 29) - 1, 9][dice.below(4)];
    let (wire, value) = match dice.below(5) {
        0 => (0, vec![0xff, 0xff, 0x03]),
        1 => (1, vec![7; 8]),
        2 => (2, delimited(b"\xff\xfe")),
        3 => (5, vec![7; 4]),
        _ => {
            let mut group = vec![0x0b, 0x08, 0x01, 0x0c];
            encode_varint(number << 3 | 4, &mut group);
            (3, group)
        }
    };
    Field {
        key: number << 3 | wire,
        value,
    }
}

/// Bits flipped, bytes cut out, doubled or taken from elsewhere, the end cut off.
pub(crate) fn damage(body: &[u8], other: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut out = body.to_vec();
    for _ in 0..=dice.below(3) {
        if out.is_empty() {
            break;
        }
        let (at, end) = (dice.below(out.len()), dice.below(out.len() + 1));
        let range = at.min(end)..at.max(end).min(at.min(end) + 1 + dice.below(24));
        match dice.below(6) {
            0 | 1 => out[at] ^= 1 << dice.below(8),
            2 => out.truncate(at),
            3 => drop(out.drain(range)),
            4 => {
                let piece = out[range].to_vec();
                out.splice(at..at, piece);
            }
            _ if !other.is_empty() => {
                let from = dice.below(other.len());
                let piece = &other[from..(from + 1 + dice.below(24)).min(other.len())];
                out.splice(at..at, piece.iter().copied());
            }
            _ => {}
        }
    }
    out
}
