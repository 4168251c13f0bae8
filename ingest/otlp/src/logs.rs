//! Log records (`opentelemetry.proto.logs.v1`).

use crate::common::{InstrumentationScope, KeyValue, Resource, Value};
use crate::error::Result;

message! {
    /// What a sender of logs sends.
    pub struct ExportLogsServiceRequest<'a> {
        /// Records by what recorded them.
        1 => resource_logs: Vec<ResourceLogs<'a>> = many,
    }

    /// The records of one resource.
    pub struct ResourceLogs<'a> {
        /// The resource.
        1 => resource: Option<Resource<'a>> = one,
        /// Its records by scope.
        2 => scope_logs: Vec<ScopeLogs<'a>> = many,
        /// Schema of the resource's attributes.
        3 => schema_url: &'a str = text,
    }

    /// The records of one scope.
    pub struct ScopeLogs<'a> {
        /// The scope.
        1 => scope: Option<InstrumentationScope<'a>> = one,
        /// Its records.
        2 => log_records: Vec<LogRecord<'a>> = many,
        /// Schema of the records' attributes.
        3 => schema_url: &'a str = text,
    }

    /// One log record, or one event.
    pub struct LogRecord<'a> {
        /// When it happened, nanoseconds since 1970; 0 is unknown.
        1 => time_unix_nano: u64 = fixed64,
        /// When it was seen, nanoseconds since 1970.
        11 => observed_time_unix_nano: u64 = fixed64,
        /// 1 to 24, from trace to fatal; 0 is unknown.
        2 => severity_number: i32 = int32,
        /// Severity in the words of its source.
        3 => severity_text: &'a str = text,
        /// What it says; None when nothing was sent, or a value that holds nothing.
        5 => body: Option<Value<'a>> = message,
        /// What is told of it.
        6 => attributes: Vec<KeyValue<'a>> = many,
        /// Attributes that the sender dropped.
        7 => dropped_attributes_count: u32 = uint32,
        /// W3C trace flags.
        8 => flags: u32 = fixed32,
        /// 16 bytes, or none, as sent: not checked.
        9 => trace_id: &'a [u8] = bytes,
        /// 8 bytes, or none, as sent: not checked.
        10 => span_id: &'a [u8] = bytes,
        /// Name of the event, when it is one.
        12 => event_name: &'a str = text,
    }
}

impl<'a> ExportLogsServiceRequest<'a> {
    /// Reads a body whose messages may take `limit` bytes of memory (strings and ids take none).
    ///
    /// # Errors
    /// What is wrong, and in which field.
    pub fn decode(body: &'a [u8], limit: usize) -> Result<Self> {
        crate::message::decode(body, limit)
    }
}
