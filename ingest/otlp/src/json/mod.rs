//! OTLP/JSON: which message each object is, and which field each key.
//!
//! The encoding is protobuf's JSON mapping with OTLP's own rules (ids in hex, enums as numbers, unknown
//! keys ignored). Exporters take liberties, and none of these costs anybody their spans: 64-bit integers
//! as strings or as numbers, enums by name, `null` for an absent field, `{}` for an empty list message,
//! `snake_case` keys, half a surrogate pair where a text was cut, a byte order mark.
//! How fields and lists are read is in `value`, the scalars themselves in `scalar`.

mod scalar;
mod value;

use std::fmt;
use std::mem::size_of;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList, any_value,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use scalar::{Base64, Double, Enum, HexId, Number, Text, Truth};
use value::{Budget, Field, Key, List, Read, in_field};

/// Why a body is not the request it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is not JSON, or a value is not what its field takes.
    #[error("{reason} (line {line}, column {column})")]
    Bad {
        /// What is wrong, with the path of the field.
        reason: String,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// The tree of messages would take more memory than it may.
    #[error("the decoded messages are larger than the limit of {limit} bytes")]
    TooLarge {
        /// The limit, bytes.
        limit: usize,
    },
}

/// What a body can be: the request of a signal.
pub trait Request: Read<Value = Self> + Sized {}

impl Request for ExportTraceServiceRequest {}
impl Request for ExportLogsServiceRequest {}
impl Request for ExportMetricsServiceRequest {}

/// Decodes a request; its tree of messages may take `limit` bytes (texts not counted: those cannot outgrow the body).
///
/// # Errors
/// See [`Error`].
pub fn decode<M: Request>(body: &[u8], limit: usize) -> Result<M, Error> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let bad = |reason: String, line, column| Error::Bad {
        reason,
        line,
        column,
    };
    // Once for the whole body: then texts need no check of their own.
    let text = std::str::from_utf8(body).map_err(|e| {
        let (line, column) = position(&body[..e.valid_up_to()]);
        bad(
            format!("invalid UTF-8 at byte {}", e.valid_up_to()),
            line,
            column,
        )
    })?;
    let budget = Budget::of(limit);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    M::read(&mut deserializer, &budget)
        .and_then(|request| deserializer.end().map(|()| request))
        .map_err(|e| {
            if budget.is_spent() {
                return Error::TooLarge { limit };
            }
            let (line, column) = (e.line(), e.column());
            let reason = e.to_string();
            let reason = reason
                .rsplit_once(" at line ")
                .map_or(reason.as_str(), |(reason, _)| reason);
            bad(reason.to_owned(), line, column)
        })
}

/// Line and column, from 1, of the byte after `before`.
fn position(before: &[u8]) -> (usize, usize) {
    let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
    let column = before
        .iter()
        .rev()
        .take_while(|&&byte| byte != b'\n')
        .count()
        + 1;
    (line, column)
}

/// Declares how a message is read: `"key" | "snake_case_key" => field: how`; and, behind `one of`, the alternatives
/// of a field, of which the last one sent counts: `"key" => field: Alternative: how`.
macro_rules! message {
    ($message:ty {
        $( $key:literal $(| $alias:literal)? => $field:ident : $how:ty ),* $(,)?
    } $( one of {
        $( $one:literal $(| $other:literal)? => $of:ident : $($variant:ident)::+ : $what:ty ),* $(,)?
    } )? ) => {
        impl Read for $message {
            type Value = Self;

            fn read<'de, D: Deserializer<'de>>(deserializer: D, budget: &Budget) -> std::result::Result<Self, D::Error> {
                struct Object<'b>(&'b Budget);

                impl<'de> Visitor<'de> for Object<'_> {
                    type Value = $message;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str(concat!("an object (", stringify!($message), ")"))
                    }

                    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
                        self.0.spend(size_of::<$message>())?;
                        let mut message = <$message>::default();
                        const KEYS: &[(&str, &str)] = &[
                            $( ($key, $key), $( ($alias, $key), )? )*
                            $( $( ($one, $one), $( ($other, $one), )? )* )?
                        ];
                        while let Some(key) = map.next_key_seed(Key(KEYS))? {
                            match key {
                                $( Some($key) => {
                                    let value = map
                                        .next_value_seed(Field::<$how>::new(self.0))
                                        .map_err(|e| in_field($key, &e))?;
                                    if let Some(value) = value {
                                        message.$field = value.into();
                                    }
                                } )*
                                $( $( Some($one) => {
                                    let value = map
                                        .next_value_seed(Field::<$what>::new(self.0))
                                        .map_err(|e| in_field($one, &e))?;
                                    if let Some(value) = value {
                                        message.$of = Some($($variant)::+(value));
                                    }
                                } )* )?
                                _ => { map.next_value::<IgnoredAny>()?; }
                            }
                        }
                        Ok(message)
                    }
                }

                deserializer.deserialize_map(Object(budget))
            }
        }
    };
}

mod logs;
mod metrics;

message!(ExportTraceServiceRequest {
    "resourceSpans" | "resource_spans" => resource_spans: List<ResourceSpans>,
});
message!(ResourceSpans {
    "resource" => resource: Resource,
    "scopeSpans" | "scope_spans" => scope_spans: List<ScopeSpans>,
    "schemaUrl" | "schema_url" => schema_url: Text,
});
message!(Resource {
    "attributes" => attributes: List<KeyValue>,
    "droppedAttributesCount" | "dropped_attributes_count" => dropped_attributes_count: Number<u32>,
    "entityRefs" | "entity_refs" => entity_refs: List<EntityRef>,
});
message!(EntityRef {
    "schemaUrl" | "schema_url" => schema_url: Text,
    "type" => r#type: Text,
    "idKeys" | "id_keys" => id_keys: List<Text>,
    "descriptionKeys" | "description_keys" => description_keys: List<Text>,
});
message!(ScopeSpans {
    "scope" => scope: InstrumentationScope,
    "spans" => spans: List<Span>,
    "schemaUrl" | "schema_url" => schema_url: Text,
});
message!(InstrumentationScope {
    "name" => name: Text,
    "version" => version: Text,
    "attributes" => attributes: List<KeyValue>,
    "droppedAttributesCount" | "dropped_attributes_count" => dropped_attributes_count: Number<u32>,
});
message!(Span {
    "traceId" | "trace_id" => trace_id: HexId<16>,
    "spanId" | "span_id" => span_id: HexId<8>,
    "traceState" | "trace_state" => trace_state: Text,
    "parentSpanId" | "parent_span_id" => parent_span_id: HexId<8>,
    "flags" => flags: Number<u32>,
    "name" => name: Text,
    "kind" => kind: Enum<SpanKind>,
    "startTimeUnixNano" | "start_time_unix_nano" => start_time_unix_nano: Number<u64>,
    "endTimeUnixNano" | "end_time_unix_nano" => end_time_unix_nano: Number<u64>,
    "attributes" => attributes: List<KeyValue>,
    "droppedAttributesCount" | "dropped_attributes_count" => dropped_attributes_count: Number<u32>,
    "events" => events: List<Event>,
    "droppedEventsCount" | "dropped_events_count" => dropped_events_count: Number<u32>,
    "links" => links: List<Link>,
    "droppedLinksCount" | "dropped_links_count" => dropped_links_count: Number<u32>,
    "status" => status: Status,
});
message!(Event {
    "timeUnixNano" | "time_unix_nano" => time_unix_nano: Number<u64>,
    "name" => name: Text,
    "attributes" => attributes: List<KeyValue>,
    "droppedAttributesCount" | "dropped_attributes_count" => dropped_attributes_count: Number<u32>,
});
message!(Link {
    "traceId" | "trace_id" => trace_id: HexId<16>,
    "spanId" | "span_id" => span_id: HexId<8>,
    "traceState" | "trace_state" => trace_state: Text,
    "attributes" => attributes: List<KeyValue>,
    "droppedAttributesCount" | "dropped_attributes_count" => dropped_attributes_count: Number<u32>,
    "flags" => flags: Number<u32>,
});
message!(Status {
    "message" => message: Text,
    "code" => code: Enum<StatusCode>,
});
message!(KeyValue {
    "key" => key: Text,
    "value" => value: AnyValue,
    "keyStrindex" | "key_strindex" => key_strindex: Number<i32>,
});
message!(ArrayValue {
    "values" => values: List<AnyValue>,
});
message!(KeyValueList {
    "values" => values: List<KeyValue>,
});

message!(AnyValue {
} one of {
    "stringValue" | "string_value" => value: any_value::Value::StringValue: Text,
    "intValue" | "int_value" => value: any_value::Value::IntValue: Number<i64>,
    "boolValue" | "bool_value" => value: any_value::Value::BoolValue: Truth,
    "doubleValue" | "double_value" => value: any_value::Value::DoubleValue: Double,
    "arrayValue" | "array_value" => value: any_value::Value::ArrayValue: ArrayValue,
    "kvlistValue" | "kvlist_value" => value: any_value::Value::KvlistValue: KeyValueList,
    "bytesValue" | "bytes_value" => value: any_value::Value::BytesValue: Base64,
    "stringValueStrindex" | "string_value_strindex" => value: any_value::Value::StringValueStrindex: Number<i32>,
});
