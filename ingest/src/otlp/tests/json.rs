//! What exporters' JSON may look like.

use super::*;

fn one_span(fields: &str) -> Span {
    let body = format!("{{\"resourceSpans\":[{{\"scopeSpans\":[{{\"spans\":[{{{fields}}}]}}]}}]}}");
    let request = from_json(&body).unwrap();
    spans(&request)[0].clone()
}

fn reason(fields: &str) -> String {
    let body = format!("{{\"resourceSpans\":[{{\"scopeSpans\":[{{\"spans\":[{{{fields}}}]}}]}}]}}");
    from_json(&body).unwrap_err().to_string()
}

fn attribute(json: &str) -> Option<Value> {
    one_span(&format!(
        "\"attributes\":[{{\"key\":\"k\",\"value\":{json}}}]"
    ))
    .attributes[0]
        .value
        .clone()?
        .value
}

#[test]
fn ids_are_hex_in_either_case() {
    let span = one_span(
        "\"traceId\":\"5B8EFFF798038103D269B633813FC60C\",\"spanId\":\"eee19b7ec3c1b174\",\"parentSpanId\":\"\"",
    );
    assert_eq!(
        hex::encode(span.trace_id),
        "5b8efff798038103d269b633813fc60c"
    );
    assert_eq!(hex::encode(span.span_id), "eee19b7ec3c1b174");
    assert!(span.parent_span_id.is_empty());
}

/// Its neighbours must not pay for it, so it goes on to where single spans are judged, with a length
/// that no id has.
#[test]
fn an_id_that_is_no_hex_is_kept_as_one_that_cannot_be_valid() {
    for (text, length) in [
        ("zzzzzzzzzzzzzzzz", 17),
        ("W47/95gDgQPSabYzgT/GDA==", 24),
        ("xyz", 3),
    ] {
        let span = one_span(&format!("\"traceId\":\"{text}\",\"name\":\"kept\""));
        assert_eq!(span.trace_id.len(), length, "{text}");
        assert_eq!(span.name, "kept");
    }
}

#[test]
fn integers_come_as_strings_or_numbers() {
    let nanos = 1_795_307_539_282_000_000_u64;
    for json in ["\"1795307539282000000\"", "1795307539282000000"] {
        assert_eq!(
            one_span(&format!("\"startTimeUnixNano\":{json}")).start_time_unix_nano,
            nanos,
            "{json}"
        );
    }
    assert_eq!(
        one_span("\"endTimeUnixNano\":1.5e9").end_time_unix_nano,
        1_500_000_000
    );
    assert_eq!(
        one_span("\"endTimeUnixNano\":\"18446744073709551615\"").end_time_unix_nano,
        u64::MAX
    );
    assert_eq!(
        attribute("{\"intValue\":\"-9223372036854775808\"}"),
        Some(Value::IntValue(i64::MIN))
    );
    assert_eq!(
        attribute("{\"intValue\":18081}"),
        Some(Value::IntValue(18_081))
    );
    for (json, named) in [
        ("-1", "`-1`"),
        ("\"12a\"", "\"12a\""),
        ("1.5", "1.5"),
        ("1e30", "1e+30"),
        ("true", "boolean"),
    ] {
        let reason = reason(&format!("\"startTimeUnixNano\":{json}"));
        assert!(
            reason.contains("startTimeUnixNano: ") && reason.contains(named),
            "{json}: {reason}"
        );
        assert!(
            reason.contains("an integer (u64), as a number or a string"),
            "{reason}"
        );
    }
}

#[test]
fn enums_come_as_numbers_or_names() {
    assert_eq!(one_span("\"kind\":3").kind, 3);
    assert_eq!(one_span("\"kind\":\"SPAN_KIND_CLIENT\"").kind, 3);
    assert_eq!(
        one_span("\"status\":{\"code\":\"STATUS_CODE_ERROR\"}")
            .status
            .unwrap()
            .code,
        2
    );
    assert_eq!(
        one_span("\"kind\":77").kind,
        77,
        "a newer protocol has more of them"
    );
    assert!(reason("\"kind\":\"CLIENT\"").contains("SPAN_KIND_CLIENT"));
}

#[test]
fn doubles_have_names_where_json_has_no_number() {
    assert_eq!(
        attribute("{\"doubleValue\":0.5}"),
        Some(Value::DoubleValue(0.5))
    );
    assert_eq!(
        attribute("{\"doubleValue\":3}"),
        Some(Value::DoubleValue(3.0))
    );
    assert_eq!(
        attribute("{\"doubleValue\":\"-Infinity\"}"),
        Some(Value::DoubleValue(f64::NEG_INFINITY))
    );
    assert!(
        matches!(attribute("{\"doubleValue\":\"NaN\"}"), Some(Value::DoubleValue(n)) if n.is_nan())
    );
    assert_eq!(
        attribute("{\"doubleValue\": 0.30000000000000004 }"),
        Some(Value::DoubleValue(0.1 + 0.2))
    );
    for wrong in ["\"x\u{e9}\"", "true", "{}"] {
        let fields =
            format!("\"attributes\":[{{\"key\":\"k\",\"value\":{{\"doubleValue\":{wrong}}}}}]");
        assert!(
            reason(&fields).contains("doubleValue: invalid value"),
            "{wrong}"
        );
    }
    // JSON.stringify turns NaN into null.
    assert_eq!(attribute("{\"doubleValue\":null}"), None);
}

#[test]
fn absent_null_empty_and_unknown_cost_nothing() {
    assert_eq!(
        one_span("\"attributes\":null,\"status\":null,\"name\":null,\"parentSpanId\":null"),
        Span::default()
    );
    assert_eq!(
        one_span("\"deepExtension\":{\"a\":[1,{\"b\":null}]},\"name\":\"x\"").name,
        "x"
    );
    assert_eq!(
        attribute("{\"arrayValue\":{}}"),
        Some(Value::ArrayValue(ArrayValue::default()))
    );
    assert_eq!(
        attribute("{\"kvlistValue\":{\"values\":[]}}"),
        Some(Value::KvlistValue(KeyValueList::default()))
    );
    assert_eq!(attribute("{}"), None);
    assert_eq!(attribute("{\"futureValue\":[1,2]}"), None);
    assert_eq!(
        one_span("\"attributes\":[{\"key\":\"k\"}]").attributes[0].value,
        None
    );
    assert_eq!(
        from_json("{}").unwrap(),
        ExportTraceServiceRequest::default()
    );
}

#[test]
fn snake_case_keys_are_not_lost() {
    let request = from_json(
        "{\"resource_spans\":[{\"scope_spans\":[{\"spans\":[{\"trace_id\":\"5b8efff798038103d269b633813fc60c\",
          \"attributes\":[{\"key\":\"k\",\"value\":{\"int_value\":7}}]}]}]}]}",
    )
    .unwrap();
    let span = spans(&request)[0];
    assert_eq!(span.trace_id.len(), 16);
    assert_eq!(
        span.attributes[0].value.as_ref().unwrap().value,
        Some(Value::IntValue(7))
    );
}

#[test]
fn half_an_emoji_is_replaced_and_not_refused() {
    assert_eq!(
        one_span(r#""name":"cut \ud83d""#).name,
        "cut \u{fffd}\u{fffd}\u{fffd}"
    );
    assert_eq!(
        one_span(r#""name":"whole \ud83d\ude00""#).name,
        "whole \u{1f600}"
    );
    assert_eq!(one_span(r#""name":"tab\tq\"""#).name, "tab\tq\"");
}

#[test]
fn a_byte_order_mark_is_passed_over() {
    assert!(from_json("\u{feff}{\"resourceSpans\":[]}").is_ok());
}

#[test]
fn bytes_are_base64() {
    assert_eq!(
        attribute("{\"bytesValue\":\"Zm9v\"}"),
        Some(Value::BytesValue(b"foo".to_vec()))
    );
    assert!(
        reason("\"attributes\":[{\"key\":\"k\",\"value\":{\"bytesValue\":\"!\"}}]")
            .contains("bytesValue: ")
    );
}

#[test]
fn an_error_tells_the_path_and_the_place() {
    let error =
        from_json("{\"resourceSpans\":[\n  {\"scopeSpans\":[{\"spans\":[{\"name\":42}]}]}]}")
            .unwrap_err();
    assert_eq!(
        error.to_string(),
        "not a valid OTLP/JSON ExportTraceServiceRequest: resourceSpans: scopeSpans: spans: name: \
         invalid type: integer `42`, expected a string (line 2, column 37)"
    );
    for (body, named) in [
        ("[]", "an object"),
        ("null", "an object"),
        ("{} {}", "trailing"),
        ("", "EOF"),
        ("{\"resourceSpans\":3}", "an array"),
    ] {
        let error = from_json(body).unwrap_err().to_string();
        assert!(error.contains(named), "{body}: {error}");
    }
}

#[test]
fn the_signal_stands_at_the_top() {
    use flyball_store::Signal;
    assert_eq!(signal_of(b"{\"resourceSpans\":[]}"), Ok(Signal::Traces));
    assert_eq!(
        signal_of(b" {\"x\":1,\"resourceLogs\":[{}]}"),
        Ok(Signal::Logs)
    );
    assert_eq!(signal_of(b"{\"resource_metrics\":[]}"), Ok(Signal::Metrics));
    assert!(
        signal_of(b"{\"framework\":\"x\"}")
            .unwrap_err()
            .contains("without resourceSpans")
    );
    assert!(
        signal_of(b"{\"resourceSpans\":[")
            .unwrap_err()
            .starts_with("not JSON")
    );
}
