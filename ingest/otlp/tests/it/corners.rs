//! The corners of the wire format, one by one: what each means is written out, and prost agrees.

use flyball_otlp::common::Value;
use flyball_otlp::metrics::Data;
use flyball_otlp::trace::Span;
use flyball_otlp::{
    DEPTH_MAX, Error, ExportLogsServiceRequest, ExportMetricsServiceRequest,
    ExportTraceServiceRequest, Problem,
};

use crate::oracle::{logs_agree, metrics_agree, traces_agree};

/// A length-delimited field of a number below 16.
fn wrap(number: u8, inside: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    prost::encoding::encode_varint(inside.len() as u64, &mut out);
    out.extend(inside);
    out
}

/// The body of a request with one span.
fn with_span(span: &[u8]) -> Vec<u8> {
    wrap(1, &wrap(2, &wrap(2, span)))
}

/// What becomes of a span; prost must agree.
fn read<T>(span: &[u8], look: impl FnOnce(&Span<'_>) -> T) -> Result<T, Problem> {
    let body = with_span(span);
    traces_agree(&body);
    let request = ExportTraceServiceRequest::decode(&body, usize::MAX)
        .map_err(|e: Error| e.problem().clone())?;
    Ok(look(&request.resource_spans[0].scope_spans[0].spans[0]))
}

fn problem(span: &[u8]) -> Problem {
    read(span, |_| ()).unwrap_err()
}

#[test]
fn of_a_scalar_sent_twice_the_last_counts_and_messages_sent_twice_are_merged() {
    let name = [wrap(5, b"first"), wrap(5, b"last")].concat();
    assert_eq!(read(&name, |span| span.name.to_owned()), Ok("last".into()));
    let status = [wrap(15, &wrap(2, b"broken")), wrap(15, &[0x18, 2])].concat();
    let told = read(&status, |span| {
        let status = span.status.as_ref().unwrap();
        (status.message.to_owned(), status.code)
    });
    assert_eq!(told, Ok(("broken".into(), 2)));
    // A resource in two pieces, the spans between them.
    let attribute = |key: &[u8]| wrap(1, &wrap(1, key));
    let group = [
        wrap(1, &attribute(b"a")),
        wrap(2, &[]),
        wrap(1, &attribute(b"b")),
    ]
    .concat();
    let body = wrap(1, &group);
    assert!(traces_agree(&body));
    let request = ExportTraceServiceRequest::decode(&body, usize::MAX).unwrap();
    let resource = request.resource_spans[0].resource.as_ref().unwrap();
    let keys: Vec<&str> = resource.attributes.iter().map(|kv| kv.key).collect();
    assert_eq!(keys, ["a", "b"]);
}

#[test]
fn of_a_oneof_the_last_alternative_counts_and_the_same_message_is_merged() {
    let value = |value: &[u8]| wrap(9, &[wrap(1, b"k"), wrap(2, value)].concat());
    let first = |span: &Span<'_>| format!("{:?}", span.attributes[0].value);
    let both = value(&[wrap(1, b"text"), vec![0x18, 7]].concat());
    assert_eq!(read(&both, first), Ok("Some(Int(7))".into()));
    let lists = |a: &[u8], b: &[u8]| value(&[wrap(5, a), wrap(5, b)].concat());
    let one = |number: u8| wrap(1, &[0x18, number]);
    assert_eq!(
        read(&lists(&one(1), &one(2)), first),
        Ok("Some(Array([Some(Int(1)), Some(Int(2))]))".into())
    );
    // The list that a number came between begins anew.
    let broken = value(&[wrap(5, &one(1)), vec![0x18, 9], wrap(5, &one(2))].concat());
    assert_eq!(
        read(&broken, first),
        Ok("Some(Array([Some(Int(2))]))".into())
    );
    // The value itself is a message too: two of them merge into one.
    let twice = [
        wrap(1, b"k"),
        wrap(2, &wrap(5, &one(1))),
        wrap(2, &wrap(5, &one(2))),
    ]
    .concat();
    assert_eq!(
        read(&wrap(9, &twice), first),
        Ok("Some(Array([Some(Int(1)), Some(Int(2))]))".into())
    );
    assert_eq!(read(&value(&[]), first), Ok("None".into()));
}

#[test]
fn unknown_fields_and_groups_are_skipped() {
    let known = wrap(5, b"n");
    for unknown in [
        vec![0xa0, 0x06, 0x80, 0x01],                      // 100, varint
        vec![0xa1, 0x06, 1, 2, 3, 4, 5, 6, 7, 8],          // 100, eight bytes
        vec![0xa2, 0x06, 2, 0xff, 0xfe],                   // 100, bytes
        vec![0xa5, 0x06, 1, 2, 3, 4],                      // 100, four bytes
        vec![0xa3, 0x06, 0x0b, 0x08, 1, 0x0c, 0xa4, 0x06], // 100, a group with a group in it
    ] {
        let span = [unknown.clone(), known.clone(), unknown].concat();
        assert_eq!(read(&span, |span| span.name.to_owned()), Ok("n".into()));
    }
    for (broken, why) in [
        (vec![0xa4, 0x06], Problem::GroupEnd),
        (vec![0xa3, 0x06, 0x9c, 0x06], Problem::GroupEnd),
        (vec![0xa3, 0x06, 0x08], Problem::Cut),
        (vec![0xa3, 0x06], Problem::Cut),
        (vec![0xa6, 0x06], Problem::Key(806)),
        (vec![0xa7, 0x06], Problem::Key(807)),
        (vec![0x02, 0x00], Problem::Key(2)),
    ] {
        assert_eq!(problem(&broken), why, "{broken:02x?}");
    }
}

#[test]
fn integers_may_be_padded_but_not_past_64_bits() {
    let dropped = |span: &Span<'_>| span.dropped_attributes_count;
    assert_eq!(read(&[0x50, 0x87, 0x80, 0x80, 0x00], dropped), Ok(7));
    let ten = |last: u8| [&[0x50][..], &[0xff; 9], &[last]].concat();
    assert_eq!(read(&ten(0x01), dropped), Ok(u32::MAX), "the upper bits go");
    assert_eq!(problem(&ten(0x02)), Problem::Varint);
    assert_eq!(problem(&ten(0x81)), Problem::Varint);
    assert_eq!(problem(&[0x50, 0x80]), Problem::Cut);
    assert_eq!(problem(&[0x50]), Problem::Cut);
    let kind = |span: &Span<'_>| span.kind;
    let minus_one = [&[0x30][..], &[0xff; 9], &[0x01]].concat();
    assert_eq!(read(&minus_one, kind), Ok(-1));
    assert_eq!(read(&[0x30, 0xff, 0xff, 0xff, 0xff, 0x0f], kind), Ok(-1));
    // A key of more than 32 bits is none.
    let key = [0x80, 0x80, 0x80, 0x80, 0x10, 0x00];
    assert_eq!(problem(&key), Problem::Key(1 << 32));
}

#[test]
fn lengths_may_not_reach_past_their_message() {
    for span in [
        &[0x2a, 0x01][..],
        &[0x2a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        &[0x39, 1, 2, 3, 4, 5, 6, 7],
        &[0x85, 0x01, 1, 2, 3],
    ] {
        assert_eq!(problem(span), Problem::Cut, "{span:02x?}");
    }
    // A name that reaches past its span, into bytes that the request has.
    let body = [with_span(&[0x2a, 0x05, b'a']), vec![0x0a, 0x02, 0x12, 0x00]].concat();
    assert!(!traces_agree(&body));
}

#[test]
fn values_of_another_wire_type_are_refused_with_the_field() {
    assert_eq!(
        problem(&[0x08, 0x01]),
        Problem::WireType {
            found: 0,
            expected: 2
        }
    );
    let body = with_span(&[0x08, 0x01]);
    let error = ExportTraceServiceRequest::decode(&body, usize::MAX).unwrap_err();
    assert_eq!(
        error.to_string(),
        "resource_spans.scope_spans.spans.trace_id: wire type 0, expected 2"
    );
    for span in [[0x3a, 0x00], [0x4d, 0x00], [0x48, 0x00]] {
        assert!(matches!(problem(&span), Problem::WireType { .. }));
    }
}

#[test]
fn strings_are_utf8_and_bytes_are_anything() {
    let name = |span: &Span<'_>| span.name.to_owned();
    assert_eq!(
        read(&wrap(5, "\u{1f600}\0".as_bytes()), name),
        Ok("\u{1f600}\0".into())
    );
    for broken in [&b"\xff"[..], b"\xed\xa0\xbd", b"\xc0\x80", b"\xf0\x9f\x98"] {
        assert_eq!(problem(&wrap(5, broken)), Problem::Utf8, "{broken:02x?}");
        let id = read(&wrap(1, broken), |span| span.trace_id.to_vec());
        assert_eq!(id, Ok(broken.to_vec()));
    }
    // Replaced by a later one, but checked all the same.
    let twice = [wrap(5, b"\xff"), wrap(5, b"good")].concat();
    assert_eq!(problem(&twice), Problem::Utf8);
}

#[test]
fn messages_nest_a_hundred_deep_and_groups_count_as_messages() {
    let nested = |depth: usize, innermost: &[u8]| {
        // One level is AnyValue and ArrayValue.
        let value = (0..depth).fold(innermost.to_vec(), |value, _| wrap(5, &wrap(1, &value)));
        wrap(9, &wrap(2, &value))
    };
    // Request, resource_spans, scope_spans and spans are three messages down; attribute and value two more.
    let (deepest, known, unknown) = ((DEPTH_MAX as usize - 5) / 2, [0x18, 1], [0x78, 1]);
    for (depth, innermost) in [
        (deepest, &known[..]),
        (deepest, &unknown),
        (deepest, &wrap(5, &[])),
        (deepest, &wrap(5, &known)),
        (deepest, &wrap(5, &unknown)),
        (deepest + 1, &[]),
        (deepest + 1, &known),
        (1_000, &[]),
    ] {
        traces_agree(&with_span(&nested(depth, innermost)));
    }
    assert_eq!(read(&nested(deepest, &known), |_| ()), Ok(()));
    assert_eq!(problem(&nested(deepest + 1, &[])), Problem::TooDeep);
    for depth in [90, 95, 96, 97, 98, 99, 100, 101, 50_000] {
        let group = [[0xa3, 0x06].repeat(depth), [0xa4, 0x06].repeat(depth)].concat();
        traces_agree(&with_span(&group));
        traces_agree(&group);
    }
}

#[test]
fn lists_of_numbers_may_be_packed_or_not_or_both() {
    let point = [
        vec![0x31, 1, 0, 0, 0, 0, 0, 0, 0],
        wrap(6, &[2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]),
        vec![0x31, 4, 0, 0, 0, 0, 0, 0, 0],
    ]
    .concat();
    let metric = |point: &[u8]| wrap(1, &wrap(2, &wrap(2, &wrap(9, &wrap(1, point)))));
    let body = metric(&point);
    assert!(metrics_agree(&body));
    let request = ExportMetricsServiceRequest::decode(&body, usize::MAX).unwrap();
    let Some(Data::Histogram(histogram)) =
        &request.resource_metrics[0].scope_metrics[0].metrics[0].data
    else {
        panic!("{request:?}")
    };
    assert_eq!(histogram.data_points[0].bucket_counts, [1, 2, 3, 4]);
    for broken in [
        wrap(6, &[1, 2, 3]),
        vec![0x30, 1],
        vec![0x35, 1, 2, 3, 4],
        vec![0x32, 8, 0],
    ] {
        assert!(!metrics_agree(&metric(&broken)), "{broken:02x?}");
    }
    // Bounds are doubles; bucket counts of exponential histograms are varints.
    assert!(metrics_agree(&metric(&wrap(7, &1.5_f64.to_le_bytes()))));
    let buckets = wrap(
        8,
        &[vec![0x08, 0x03], wrap(2, &[1, 0x80, 0x01]), vec![0x10, 5]].concat(),
    );
    let exponential = wrap(1, &wrap(2, &wrap(2, &wrap(10, &wrap(1, &buckets)))));
    assert!(metrics_agree(&exponential));
}

#[test]
fn a_log_record_without_a_body_and_with_an_empty_one_say_the_same() {
    let record = |record: &[u8]| wrap(1, &wrap(2, &wrap(2, record)));
    for body in [record(&[]), record(&wrap(5, &[]))] {
        assert!(logs_agree(&body));
        let request = ExportLogsServiceRequest::decode(&body, usize::MAX).unwrap();
        assert_eq!(
            request.resource_logs[0].scope_logs[0].log_records[0].body,
            None
        );
    }
    let body = record(&wrap(5, &wrap(1, b"")));
    let request = ExportLogsServiceRequest::decode(&body, usize::MAX).unwrap();
    let said = &request.resource_logs[0].scope_logs[0].log_records[0].body;
    assert_eq!(said, &Some(Value::String("")));
}
