//! The messages of a log request.

use std::fmt;
use std::mem::size_of;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::resource::v1::Resource;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::scalar::{Enum, HexId, Number, Text};
use super::value::{Budget, Field, Key, List, Read, in_field};

message!(ExportLogsServiceRequest {
    "resourceLogs" | "resource_logs" => resource_logs: List<ResourceLogs>,
});
message!(ResourceLogs {
    "resource" => resource: Resource,
    "scopeLogs" | "scope_logs" => scope_logs: List<ScopeLogs>,
    "schemaUrl" | "schema_url" => schema_url: Text,
});
message!(ScopeLogs {
    "scope" => scope: InstrumentationScope,
    "logRecords" | "log_records" => log_records: List<LogRecord>,
    "schemaUrl" | "schema_url" => schema_url: Text,
});
message!(LogRecord {
    "timeUnixNano" | "time_unix_nano" => time_unix_nano: Number<u64>,
    "observedTimeUnixNano" | "observed_time_unix_nano" => observed_time_unix_nano: Number<u64>,
    "severityNumber" | "severity_number" => severity_number: Enum<SeverityNumber>,
    "severityText" | "severity_text" => severity_text: Text,
    "body" => body: AnyValue,
    "attributes" => attributes: List<KeyValue>,
    "droppedAttributesCount" | "dropped_attributes_count" => dropped_attributes_count: Number<u32>,
    "flags" => flags: Number<u32>,
    "traceId" | "trace_id" => trace_id: HexId<16>,
    "spanId" | "span_id" => span_id: HexId<8>,
    "eventName" | "event_name" => event_name: Text,
});
