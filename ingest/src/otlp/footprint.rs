//! How much memory a protobuf request would take as a tree of messages, before it is built.
//!
//! An empty span is two bytes on the wire and some three hundred in memory, so a body within its limit
//! could still ask for gigabytes. This walk reads tags and lengths only, skips what is not a message,
//! and stops at the first byte that is not protobuf: the real decoder will say what is wrong with it.

use std::mem::size_of;

use opentelemetry_proto::tonic::common::v1::{AnyValue, EntityRef, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

use crate::error::{Error, Result};

/// The messages of a trace request, as far as they hold others.
#[derive(Debug, Clone, Copy)]
enum Node {
    Request,
    ResourceSpans,
    Resource,
    Entity,
    ScopeSpans,
    Scope,
    Span,
    Event,
    Link,
    Status,
    KeyValue,
    AnyValue,
    /// `ArrayValue`: a list of values.
    Array,
    /// `KeyValueList`.
    KeyValues,
    /// A repeated string.
    Text,
}

impl Node {
    /// The message in field `number`; None when the field holds no message.
    fn child(self, number: u64) -> Option<Self> {
        Some(match (self, number) {
            (Self::Request, 1) => Self::ResourceSpans,
            (Self::ResourceSpans, 1) => Self::Resource,
            (Self::ResourceSpans, 2) => Self::ScopeSpans,
            (Self::Resource, 1)
            | (Self::Scope, 3)
            | (Self::Span, 9)
            | (Self::Event, 3)
            | (Self::Link, 4)
            | (Self::KeyValues, 1) => Self::KeyValue,
            (Self::Resource, 3) => Self::Entity,
            (Self::Entity, 3 | 4) => Self::Text,
            (Self::ScopeSpans, 1) => Self::Scope,
            (Self::ScopeSpans, 2) => Self::Span,
            (Self::Span, 11) => Self::Event,
            (Self::Span, 13) => Self::Link,
            (Self::Span, 15) => Self::Status,
            (Self::KeyValue, 2) | (Self::Array, 1) => Self::AnyValue,
            (Self::AnyValue, 5) => Self::Array,
            (Self::AnyValue, 6) => Self::KeyValues,
            _ => return None,
        })
    }

    /// Bytes of the struct itself.
    fn size(self) -> usize {
        match self {
            Self::Request | Self::Array | Self::KeyValues => size_of::<Vec<u8>>(),
            Self::ResourceSpans => size_of::<ResourceSpans>(),
            Self::Resource => size_of::<Resource>(),
            Self::Entity => size_of::<EntityRef>(),
            Self::ScopeSpans => size_of::<ScopeSpans>(),
            Self::Scope => size_of::<InstrumentationScope>(),
            Self::Span => size_of::<Span>(),
            Self::Event => size_of::<Event>(),
            Self::Link => size_of::<Link>(),
            Self::Status => size_of::<Status>(),
            Self::KeyValue => size_of::<KeyValue>(),
            Self::AnyValue => size_of::<AnyValue>(),
            Self::Text => size_of::<String>(),
        }
    }
}

/// Deeper than prost goes (100 messages): what lies below is never built.
const DEPTH_MAX: u32 = 101;

/// Refuses a trace request whose tree would take more than `limit` bytes.
///
/// # Errors
/// [`Error::TooLarge`] when it would.
pub(super) fn check(body: &[u8], limit: usize) -> Result<()> {
    let mut left = limit;
    if walk(Node::Request, body, &mut left, 0) == Walk::OverLimit {
        return Err(Error::TooLarge {
            what: "the decoded request",
            limit,
        });
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Walk {
    Done,
    Malformed,
    OverLimit,
}

fn walk(node: Node, mut rest: &[u8], left: &mut usize, depth: u32) -> Walk {
    let Some(now) = left.checked_sub(node.size()) else {
        return Walk::OverLimit;
    };
    *left = now;
    if depth >= DEPTH_MAX {
        return Walk::Malformed;
    }
    while !rest.is_empty() {
        let Some(key) = varint(&mut rest) else {
            return Walk::Malformed;
        };
        let field = match key & 7 {
            0 => varint(&mut rest).map(|_| &[][..]),
            1 => take(&mut rest, 8),
            2 => varint(&mut rest)
                .and_then(|length| usize::try_from(length).ok())
                .and_then(|length| take(&mut rest, length)),
            5 => take(&mut rest, 4),
            // Groups left protobuf before OTLP began, but a decoder skips them where they are unknown:
            // walk on inside, so that nothing hides there. Its end (4) is a tag without a value.
            3 | 4 => Some(&[][..]),
            _ => None,
        };
        let Some(field) = field else {
            return Walk::Malformed;
        };
        if key & 7 == 2
            && let Some(child) = node.child(key >> 3)
        {
            let walked = walk(child, field, left, depth + 1);
            if walked != Walk::Done {
                return walked;
            }
        }
    }
    Walk::Done
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for (i, byte) in rest.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            *rest = &rest[i + 1..];
            return Some(value);
        }
    }
    None
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (field, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(field)
}
