//! Data points of metrics as rows.

use flyball_ingest::{Limits, normalise, otlp};
use flyball_store::Encoding;
use flyball_store::rows::{MetricRow, Row};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message;
use serde_json::json;

const RECEIVED: i64 = 1_795_000_000_000_000_000;

fn body() -> Vec<u8> {
    let text = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
    let at =
        |start: &str| json!({ "startTimeUnixNano": start, "timeUnixNano": "1795000000000000000" });
    let with = |mut point: serde_json::Value, more: serde_json::Value| {
        let fields = point.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        point
    };
    let tokens = with(
        at("1794999940000000000"),
        json!({ "asInt": "12", "attributes": [text("type", "input"), text("session.id", "s1"), text("gen_ai.request.model", "m")] }),
    );
    let cost = with(at("0"), json!({ "asDouble": 0.25 }));
    let histogram = with(
        at("1794999940000000000"),
        json!({ "count": "3", "sum": 1.5, "min": 0.25, "max": 1, "bucketCounts": ["1", "2"], "explicitBounds": [0.5] }),
    );
    let exponential = with(
        at("1"),
        json!({ "count": 2, "scale": 3, "zeroCount": 1, "positive": { "offset": -1, "bucketCounts": ["1"] } }),
    );
    let summary = with(
        at("1"),
        json!({ "count": 4, "sum": 8, "quantileValues": [{ "quantile": 0.5, "value": 2 }] }),
    );
    let late = json!({ "timeUnixNano": "9999999999999999999", "asInt": 1 });
    serde_json::to_vec(&json!({ "resourceMetrics": [{
        "resource": { "attributes": [text("service.name", "coder"), text("team", "red")] },
        "scopeMetrics": [{ "scope": { "name": "m" }, "metrics": [
            { "name": "claude_code.token.usage", "unit": "tokens", "sum": {
                "dataPoints": [tokens, late], "aggregationTemporality": 1, "isMonotonic": true } },
            { "name": "queue", "gauge": { "dataPoints": [cost] } },
            { "name": "gen_ai.client.operation.duration", "unit": "s", "histogram": {
                "dataPoints": [histogram], "aggregationTemporality": "AGGREGATION_TEMPORALITY_CUMULATIVE" } },
            { "name": "e", "exponentialHistogram": { "dataPoints": [exponential], "aggregationTemporality": 2 } },
            { "name": "q", "summary": { "dataPoints": [summary] } },
            { "name": "nothing" },
        ]}],
    }]}))
    .unwrap()
}

fn normalised(body: &[u8], encoding: Encoding) -> normalise::Normalised {
    otlp::metrics(body, encoding, Limits::default(), |request| {
        normalise::metrics(request, RECEIVED, &[])
    })
    .unwrap()
}

#[test]
fn every_kind_of_point_is_a_row() {
    let normalised = normalised(&body(), Encoding::Json);
    assert_eq!(normalised.rejected.len(), 1);
    assert_eq!(normalised.rejected[0].index, 1);
    assert_eq!(normalised.spans.num_rows(), 0);
    let rows = MetricRow::read(normalised.metrics.as_ref().unwrap()).unwrap();
    let tokens = &rows[0];
    assert_eq!(tokens.name, "claude_code.token.usage");
    assert_eq!((tokens.value, tokens.value_int), (Some(12.0), Some(12)));
    assert_eq!(
        (tokens.kind.as_str(), tokens.temporality.as_deref()),
        ("sum", Some("delta"))
    );
    assert_eq!(tokens.monotonic, Some(true));
    assert_eq!(tokens.session_id.as_deref(), Some("s1"));
    assert_eq!(tokens.request_model.as_deref(), Some("m"));
    assert_eq!(tokens.team.as_deref(), Some("red"));
    assert!(tokens.start_time.unwrap() < tokens.time);
    assert!(
        tokens
            .attributes
            .as_ref()
            .unwrap()
            .contains("\"type\":\"input\"")
    );
    let gauge = &rows[1];
    assert_eq!(
        (gauge.value, gauge.value_int, gauge.start_time),
        (Some(0.25), None, None)
    );
    assert_eq!((gauge.kind.as_str(), &gauge.temporality), ("gauge", &None));
    let histogram = &rows[2];
    assert_eq!(histogram.temporality.as_deref(), Some("cumulative"));
    assert_eq!((histogram.count, histogram.sum), (Some(3), Some(1.5)));
    assert_eq!((histogram.min, histogram.max), (Some(0.25), Some(1.0)));
    assert_eq!(
        histogram.distribution.as_deref(),
        Some(r#"{"bounds":[0.5],"counts":[1,2]}"#)
    );
    assert!(
        rows[3]
            .distribution
            .as_ref()
            .unwrap()
            .contains(r#""positive":{"counts":[1],"offset":-1}"#)
    );
    assert_eq!(
        rows[4].distribution.as_deref(),
        Some(r#"{"quantiles":[[0.5,2.0]]}"#)
    );
    assert_eq!(rows.len(), 5);
}

#[test]
fn protobuf_says_what_json_says() {
    // The protocol crate's own reader of JSON is a second opinion; it knows enums by their numbers alone.
    let body_of_numbers = String::from_utf8(body()).unwrap();
    let body_of_numbers = body_of_numbers.replace("\"AGGREGATION_TEMPORALITY_CUMULATIVE\"", "2");
    let request: ExportMetricsServiceRequest = serde_json::from_str(&body_of_numbers).unwrap();
    let again = normalised(&request.encode_to_vec(), Encoding::Protobuf);
    let first = normalised(&body(), Encoding::Json);
    assert_eq!(first.batches(), again.batches());
}

#[test]
fn few_bytes_that_would_take_much_memory_are_refused() {
    // A metric with a sum of very many empty points, two bytes each.
    let points = [[0x0a, 0]; 100_000].concat();
    let nested = |number: u8, body: &[u8]| {
        let mut field = vec![number << 3 | 2];
        prost::encoding::encode_varint(body.len() as u64, &mut field);
        field.extend_from_slice(body);
        field
    };
    let body = [7_u8, 2, 2, 1]
        .iter()
        .fold(points, |body, number| nested(*number, &body));
    let read = |limits| otlp::metrics(&body, Encoding::Protobuf, limits, |_| ());
    let refused = read(Limits::of_body(1 << 20));
    assert!(matches!(
        refused,
        Err(flyball_ingest::Error::TooLarge { .. })
    ));
    assert!(read(Limits::of_body(16 << 20)).is_ok());
}
