//! Spans (`opentelemetry.proto.trace.v1`).

use crate::common::{InstrumentationScope, KeyValue, Resource};
use crate::error::Result;

message! {
    /// What a sender of spans sends.
    pub struct ExportTraceServiceRequest<'a> {
        /// Spans by what recorded them.
        1 => resource_spans: Vec<ResourceSpans<'a>> = many,
    }

    /// The spans of one resource.
    pub struct ResourceSpans<'a> {
        /// The resource.
        1 => resource: Option<Resource<'a>> = one,
        /// Its spans by scope.
        2 => scope_spans: Vec<ScopeSpans<'a>> = many,
        /// Schema of the resource's attributes.
        3 => schema_url: &'a str = text,
    }

    /// The spans of one scope.
    pub struct ScopeSpans<'a> {
        /// The scope.
        1 => scope: Option<InstrumentationScope<'a>> = one,
        /// Its spans.
        2 => spans: Vec<Span<'a>> = many,
        /// Schema of the spans' attributes.
        3 => schema_url: &'a str = text,
    }

    /// One piece of work.
    pub struct Span<'a> {
        /// 16 bytes, as sent: not checked.
        1 => trace_id: &'a [u8] = bytes,
        /// 8 bytes, as sent: not checked.
        2 => span_id: &'a [u8] = bytes,
        /// W3C trace state.
        3 => trace_state: &'a str = text,
        /// 8 bytes; empty for a root. Not checked.
        4 => parent_span_id: &'a [u8] = bytes,
        /// W3C trace flags, and whether the parent is remote.
        16 => flags: u32 = fixed32,
        /// Its name.
        5 => name: &'a str = text,
        /// 1 internal, 2 server, 3 client, 4 producer, 5 consumer; others may come.
        6 => kind: i32 = int32,
        /// Start, nanoseconds since 1970.
        7 => start_time_unix_nano: u64 = fixed64,
        /// End, nanoseconds since 1970.
        8 => end_time_unix_nano: u64 = fixed64,
        /// What is told of it.
        9 => attributes: Vec<KeyValue<'a>> = many,
        /// Attributes that the sender dropped.
        10 => dropped_attributes_count: u32 = uint32,
        /// What happened meanwhile.
        11 => events: Vec<Event<'a>> = many,
        /// Events that the sender dropped.
        12 => dropped_events_count: u32 = uint32,
        /// Other spans that it has to do with.
        13 => links: Vec<Link<'a>> = many,
        /// Links that the sender dropped.
        14 => dropped_links_count: u32 = uint32,
        /// How it ended.
        15 => status: Option<Status<'a>> = one,
    }

    /// Something that happened during a span.
    pub struct Event<'a> {
        /// When, nanoseconds since 1970.
        1 => time_unix_nano: u64 = fixed64,
        /// What.
        2 => name: &'a str = text,
        /// What is told of it.
        3 => attributes: Vec<KeyValue<'a>> = many,
        /// Attributes that the sender dropped.
        4 => dropped_attributes_count: u32 = uint32,
    }

    /// Another span that this one has to do with.
    pub struct Link<'a> {
        /// 16 bytes, as sent: not checked.
        1 => trace_id: &'a [u8] = bytes,
        /// 8 bytes, as sent: not checked.
        2 => span_id: &'a [u8] = bytes,
        /// W3C trace state.
        3 => trace_state: &'a str = text,
        /// What is told of it.
        4 => attributes: Vec<KeyValue<'a>> = many,
        /// Attributes that the sender dropped.
        5 => dropped_attributes_count: u32 = uint32,
        /// W3C trace flags, and whether the other span is remote.
        6 => flags: u32 = fixed32,
    }

    /// How a span ended.
    pub struct Status<'a> {
        /// In words.
        2 => message: &'a str = text,
        /// 0 unset, 1 ok, 2 error; others may come.
        3 => code: i32 = int32,
    }
}

impl<'a> ExportTraceServiceRequest<'a> {
    /// Reads a body whose messages may take `limit` bytes of memory (strings and ids take none).
    ///
    /// # Errors
    /// What is wrong, and in which field.
    pub fn decode(body: &'a [u8], limit: usize) -> Result<Self> {
        crate::message::decode(body, limit)
    }
}
