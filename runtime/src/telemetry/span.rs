//! A span in the making.

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span as Wire, Status};

pub use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

/// A span that has begun. Sent by [`Telemetry::end`](super::Telemetry::end).
#[derive(Debug, Clone)]
pub struct Span {
    pub(super) wire: Wire,
}

impl Span {
    /// A span of a trace, begun at `start_unix_nano`; `parent` is none for a trace's first.
    #[must_use]
    pub fn begin(
        name: impl Into<String>,
        kind: SpanKind,
        trace: [u8; 16],
        parent: Option<[u8; 8]>,
        start_unix_nano: i64,
    ) -> Self {
        let mut id = [0; 8];
        id.copy_from_slice(&uuid::Uuid::new_v4().as_bytes()[..8]);
        Self::begin_as(id, name, kind, trace, parent, start_unix_nano)
    }

    /// The same, with an id that is known before.
    #[must_use]
    pub fn begin_as(
        id: [u8; 8],
        name: impl Into<String>,
        kind: SpanKind,
        trace: [u8; 16],
        parent: Option<[u8; 8]>,
        start_unix_nano: i64,
    ) -> Self {
        let wire = Wire {
            trace_id: trace.to_vec(),
            span_id: id.to_vec(),
            parent_span_id: parent.map(|id| id.to_vec()).unwrap_or_default(),
            name: name.into(),
            kind: kind.into(),
            start_time_unix_nano: start_unix_nano.unsigned_abs(),
            flags: 1,
            ..Wire::default()
        };
        Self { wire }
    }

    /// Its id, to be the parent of others.
    #[must_use]
    pub fn id(&self) -> [u8; 8] {
        let mut id = [0; 8];
        id.copy_from_slice(&self.wire.span_id);
        id
    }

    fn set(&mut self, key: &str, value: Any) -> &mut Self {
        self.wire.attributes.push(attribute(key, value));
        self
    }

    /// Sets a text.
    pub fn text(&mut self, key: &str, value: impl Into<String>) -> &mut Self {
        self.set(key, Any::StringValue(value.into()))
    }

    /// Sets a text, when there is one.
    pub fn maybe(&mut self, key: &str, value: Option<impl Into<String>>) -> &mut Self {
        match value {
            Some(value) => self.text(key, value),
            None => self,
        }
    }

    /// Sets a whole number.
    pub fn int(&mut self, key: &str, value: impl TryInto<i64>) -> &mut Self {
        let value = value.try_into().unwrap_or(i64::MAX);
        self.set(key, Any::IntValue(value))
    }

    /// Sets a number, when there is one.
    pub fn double(&mut self, key: &str, value: Option<f64>) -> &mut Self {
        match value {
            Some(value) => self.set(key, Any::DoubleValue(value)),
            None => self,
        }
    }

    /// Sets yes or no.
    pub fn flag(&mut self, key: &str, value: bool) -> &mut Self {
        self.set(key, Any::BoolValue(value))
    }

    /// Sets a list of texts.
    pub fn list(
        &mut self,
        key: &str,
        values: impl IntoIterator<Item = impl Into<String>>,
    ) -> &mut Self {
        let values = values
            .into_iter()
            .map(|value| AnyValue {
                value: Some(Any::StringValue(value.into())),
            })
            .collect();
        self.set(key, Any::ArrayValue(ArrayValue { values }))
    }

    /// Sets JSON as text, when there is any.
    pub fn json(&mut self, key: &str, value: Option<&serde_json::Value>) -> &mut Self {
        self.maybe(key, value.map(ToString::to_string))
    }

    /// Marks it as failed: `error.type`, and a message.
    pub fn failed(&mut self, kind: &str, message: impl Into<String>) -> &mut Self {
        self.wire.status = Some(Status {
            message: message.into(),
            code: StatusCode::Error.into(),
        });
        self.text("error.type", kind)
    }

    pub(super) fn ended(mut self, end_unix_nano: i64) -> Wire {
        self.wire.end_time_unix_nano = end_unix_nano
            .unsigned_abs()
            .max(self.wire.start_time_unix_nano);
        self.wire
    }
}

pub(super) fn attribute(key: &str, value: Any) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}
