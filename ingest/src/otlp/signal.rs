//! Which signal a JSON document is of, when nobody said.

use std::borrow::Cow;
use std::fmt;

use flyball_store::Signal;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

/// The OTLP signal whose key stands at the top of a JSON document: `resourceSpans`, `resourceLogs` or
/// `resourceMetrics`.
///
/// # Errors
/// The reason, when it is no JSON object or holds none of them.
pub(crate) fn signal_of(body: &[u8]) -> std::result::Result<Signal, String> {
    struct Top;

    impl<'de> Visitor<'de> for Top {
        type Value = Option<Signal>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(
            self,
            mut map: A,
        ) -> std::result::Result<Self::Value, A::Error> {
            let mut signal = None;
            while let Some(key) = map.next_key::<Cow<'_, str>>()? {
                signal = signal.or(match &*key {
                    "resourceSpans" | "resource_spans" => Some(Signal::Traces),
                    "resourceLogs" | "resource_logs" => Some(Signal::Logs),
                    "resourceMetrics" | "resource_metrics" => Some(Signal::Metrics),
                    _ => None,
                });
                map.next_value::<IgnoredAny>()?;
            }
            Ok(signal)
        }
    }

    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    (&mut deserializer)
        .deserialize_map(Top)
        .and_then(|signal| deserializer.end().map(|()| signal))
        .map_err(|e| format!("not JSON: {e}"))?
        .ok_or_else(|| "JSON without resourceSpans, resourceLogs or resourceMetrics".to_owned())
}
