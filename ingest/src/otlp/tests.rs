#![allow(clippy::unwrap_used)]

//! What bodies come out as, and what becomes of hostile ones.

mod hostile;
mod json;

use std::io::Write;

use bytes::Bytes;
use flate2::write::GzEncoder;
use flyball_otlp::ExportTraceServiceRequest as View;
use flyball_store::Encoding;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value::Value,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use prost::Message;

use super::*;

pub(super) fn gzip(body: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap().into()
}

/// The request as a tree. That of a protobuf body is made by prost, of bytes that the decoder accepted.
pub(super) fn traces(
    body: &Bytes,
    encoding: Encoding,
    limits: Limits,
) -> Result<ExportTraceServiceRequest> {
    let tree = match encoding {
        Encoding::Protobuf => ExportTraceServiceRequest::decode(body.as_ref()).ok(),
        Encoding::Json => flyball_otlp::json::decode(body, limits.decoded_bytes).ok(),
    };
    super::traces(body, encoding, limits, |read| {
        let tree = tree.unwrap();
        assert_eq!(format!("{read:?}"), format!("{:?}", View::from(&tree)));
        tree
    })
}

fn protobuf_within(body: &[u8], limits: Limits) -> Result<ExportTraceServiceRequest> {
    traces(&Bytes::copy_from_slice(body), Encoding::Protobuf, limits)
}

pub(super) fn protobuf(body: &[u8]) -> Result<ExportTraceServiceRequest> {
    protobuf_within(body, Limits::default())
}

pub(super) fn from_json(body: &str) -> Result<ExportTraceServiceRequest> {
    traces(
        &Bytes::copy_from_slice(body.as_bytes()),
        Encoding::Json,
        Limits::default(),
    )
}

fn fixture(path: &str) -> Bytes {
    let path = format!("{}/tests/fixtures/otlp/{path}", env!("CARGO_MANIFEST_DIR"));
    let raw = Bytes::from(std::fs::read(path).unwrap());
    let compression = Compression::sniff(&raw);
    decompress(raw, compression, 1 << 20).unwrap()
}

fn spans(request: &ExportTraceServiceRequest) -> Vec<&Span> {
    request
        .resource_spans
        .iter()
        .flat_map(|r| &r.scope_spans)
        .flat_map(|s| &s.spans)
        .collect()
}

#[test]
fn content_types_are_read_as_exporters_send_them() {
    assert_eq!(
        encoding_of(Some("application/x-protobuf")).unwrap(),
        Encoding::Protobuf
    );
    assert_eq!(
        encoding_of(Some("Application/JSON; charset=utf-8")).unwrap(),
        Encoding::Json
    );
    for wrong in [
        None,
        Some(""),
        Some("text/plain"),
        Some("application/jsonl"),
    ] {
        assert!(
            matches!(
                encoding_of(wrong),
                Err(Error::UnsupportedContentType { .. })
            ),
            "{wrong:?}"
        );
    }
}

#[test]
fn content_encodings_are_gzip_zstd_and_none() {
    assert_eq!(Compression::of_header(None).unwrap(), Compression::Identity);
    assert_eq!(
        Compression::of_header(Some("identity")).unwrap(),
        Compression::Identity
    );
    assert_eq!(
        Compression::of_header(Some("GZIP")).unwrap(),
        Compression::Gzip
    );
    assert_eq!(
        Compression::of_header(Some("zstd")).unwrap(),
        Compression::Zstd
    );
    for wrong in ["br", "gzip, gzip", "deflate"] {
        let error = Compression::of_header(Some(wrong)).unwrap_err();
        assert!(error.to_string().contains(wrong), "{error}");
    }
}

#[test]
fn a_compressed_body_comes_out_as_it_went_in() {
    let body = Bytes::from_static(b"telemetry telemetry telemetry");
    let two_members = [gzip(b"telemetry telemetry "), gzip(b"telemetry")].concat();
    let zstd = zstd::stream::encode_all(body.as_ref(), 3).unwrap();
    for (compressed, compression) in [
        (body.clone(), Compression::Identity),
        (gzip(&body), Compression::Gzip),
        (two_members.into(), Compression::Gzip),
        (zstd.into(), Compression::Zstd),
    ] {
        assert_eq!(Compression::sniff(&compressed), compression);
        assert_eq!(
            decompress(compressed, compression, body.len()).unwrap(),
            body
        );
    }
}

/// Counts were taken with another program.
#[test]
fn recorded_bodies_decode() {
    for (path, encoding, count) in [
        ("openai_v2/0002.pb", Encoding::Protobuf, 16),
        ("oi_langgraph/0001.pb.gz", Encoding::Protobuf, 3),
        ("autogen/0001.json", Encoding::Json, 2),
        ("otel_openai_js/0001.json.gz", Encoding::Json, 26),
    ] {
        let request = traces(&fixture(path), encoding, Limits::default()).unwrap();
        let spans = spans(&request);
        assert_eq!(spans.len(), count, "{path}");
        assert!(
            spans
                .iter()
                .all(|span| span.trace_id.len() == 16 && span.span_id.len() == 8),
            "{path}"
        );
        assert!(
            spans
                .iter()
                .all(|span| span.end_time_unix_nano >= span.start_time_unix_nano),
            "{path}"
        );
    }
}

/// The protocol crate's own JSON reader is an independent second opinion.
#[test]
fn recorded_json_reads_as_another_reader_reads_it() {
    for path in ["autogen/0001.json", "otel_openai_js/0001.json.gz"] {
        let body = fixture(path);
        let theirs: ExportTraceServiceRequest = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            traces(&body, Encoding::Json, Limits::default()).unwrap(),
            theirs,
            "{path}"
        );
    }
}

#[test]
fn limits_hold_for_the_body_itself() {
    let limits = Limits {
        body_bytes: 10,
        decoded_bytes: 1000,
        ..Limits::default()
    };
    let error = traces(
        &Bytes::from_static(b"0123456789a"),
        Encoding::Protobuf,
        limits,
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the request body is larger than the limit of 10 bytes: send smaller batches"
    );
}

fn value() -> impl Strategy<Value = AnyValue> {
    let leaf = prop_oneof![
        Just(None),
        ".{0,12}".prop_map(|text| Some(Value::StringValue(text))),
        any::<bool>().prop_map(|truth| Some(Value::BoolValue(truth))),
        any::<i64>().prop_map(|number| Some(Value::IntValue(number))),
        (-1e15..1e15).prop_map(|number| Some(Value::DoubleValue(number))),
        vec(any::<u8>(), 0..9).prop_map(|bytes| Some(Value::BytesValue(bytes))),
    ]
    .prop_map(|value| AnyValue { value });
    leaf.prop_recursive(3, 12, 4, |inner| {
        let keyed = (".{0,8}", inner.clone()).prop_map(|(key, value)| KeyValue {
            key,
            value: Some(value),
            ..KeyValue::default()
        });
        prop_oneof![
            vec(inner, 0..4).prop_map(|values| Value::ArrayValue(ArrayValue { values })),
            vec(keyed, 0..4).prop_map(|values| Value::KvlistValue(KeyValueList { values })),
        ]
        .prop_map(|value| AnyValue { value: Some(value) })
    })
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    vec(
        ("[a-z_.]{1,12}", option::of(value())).prop_map(|(key, value)| KeyValue {
            key,
            value,
            ..KeyValue::default()
        }),
        0..4,
    )
}

fn id(bytes: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), bytes)
}

fn span() -> impl Strategy<Value = Span> {
    let event =
        (any::<u64>(), ".{0,8}", attributes()).prop_map(|(time_unix_nano, name, attributes)| {
            Event {
                time_unix_nano,
                name,
                attributes,
                dropped_attributes_count: 1,
            }
        });
    let link = (id(16), id(8), attributes()).prop_map(|(trace_id, span_id, attributes)| Link {
        trace_id,
        span_id,
        attributes,
        flags: 257,
        ..Link::default()
    });
    let status = (".{0,8}", 0..3).prop_map(|(message, code)| Status { message, code });
    (
        (
            id(16),
            id(8),
            prop_oneof![Just(Vec::new()), id(8)],
            ".{0,12}",
            0..6,
        ),
        (
            any::<u64>(),
            any::<u64>(),
            attributes(),
            vec(event, 0..2),
            vec(link, 0..2),
            option::of(status),
        ),
    )
        .prop_map(
            |(
                (trace_id, span_id, parent_span_id, name, kind),
                (start_time_unix_nano, end_time_unix_nano, attributes, events, links, status),
            )| Span {
                trace_id,
                span_id,
                parent_span_id,
                name,
                kind,
                start_time_unix_nano,
                end_time_unix_nano,
                attributes,
                events,
                links,
                status,
                flags: 256,
                trace_state: "a=b".to_owned(),
                ..Span::default()
            },
        )
}

/// Requests of every shape the protocol has.
pub(crate) fn request() -> impl Strategy<Value = ExportTraceServiceRequest> {
    let scope = option::of(attributes().prop_map(|attributes| InstrumentationScope {
        name: "scope".to_owned(),
        version: "1".to_owned(),
        attributes,
        dropped_attributes_count: 2,
    }));
    let scope_spans = (scope, vec(span(), 0..4)).prop_map(|(scope, spans)| ScopeSpans {
        scope,
        spans,
        schema_url: "https://opentelemetry.io/schemas/1.37.0".to_owned(),
    });
    let resource = option::of(attributes().prop_map(|attributes| Resource {
        attributes,
        ..Resource::default()
    }));
    let resource_spans =
        (resource, vec(scope_spans, 0..3)).prop_map(|(resource, scope_spans)| ResourceSpans {
            resource,
            scope_spans,
            ..ResourceSpans::default()
        });
    vec(resource_spans, 0..3)
        .prop_map(|resource_spans| ExportTraceServiceRequest { resource_spans })
}

proptest! {
    #[test]
    fn protobuf_and_json_of_one_request_are_read_alike(request in request()) {
        prop_assert_eq!(&protobuf(&request.encode_to_vec()).unwrap(), &request);
        let json = serde_json::to_string(&request).unwrap();
        prop_assert_eq!(&from_json(&json).unwrap(), &request, "{}", json);
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(body in vec(any::<u8>(), 0..400)) {
        let body = Bytes::from(body);
        for encoding in [Encoding::Protobuf, Encoding::Json] {
            let _ = traces(&body, encoding, Limits::default());
        }
        for compression in [Compression::Gzip, Compression::Zstd] {
            let _ = decompress(body.clone(), compression, 1 << 20);
        }
        let _ = signal_of(&body);
    }

    #[test]
    fn a_flipped_bit_is_an_error_or_another_request_but_never_a_panic(
        request in request(), at in any::<prop::sample::Index>(), bit in 0..8_u32
    ) {
        let mut body = request.encode_to_vec();
        if !body.is_empty() {
            let at = at.index(body.len());
            body[at] ^= 1_u8 << bit;
            let _ = protobuf(&body);
        }
        let mut json = serde_json::to_vec(&request).unwrap();
        let at = at.index(json.len());
        json[at] ^= 1_u8 << bit;
        let _ = traces(&json.into(), Encoding::Json, Limits::default());
    }

    /// The measure is never so strict that an ordinary tree is refused.
    #[test]
    fn a_tree_within_its_limit_is_let_through(request in request()) {
        let body = request.encode_to_vec();
        // No message of the protocol is larger than a span, and each takes two bytes at least.
        let most = (body.len() / 2 + 1) * std::mem::size_of::<Span>();
        let limits = Limits {
            decoded_bytes: most,
            ..Limits::default()
        };
        prop_assert!(protobuf_within(&body, limits).is_ok());
    }
}
