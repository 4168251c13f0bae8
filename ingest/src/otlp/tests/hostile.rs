//! Bodies that were damaged, or made to do damage.

use super::*;

/// Two bytes each: a span with nothing in it.
fn flood_of_spans(count: usize) -> Vec<u8> {
    let scope = [0x12, 0x00].repeat(count);
    let wrap = |tag: u8, inner: Vec<u8>| {
        let mut out = vec![tag];
        prost::encoding::encode_varint(inner.len() as u64, &mut out);
        out.extend(inner);
        out
    };
    wrap(0x0a, wrap(0x12, scope))
}

#[test]
fn a_bomb_is_stopped_at_the_limit() {
    let limit = 1 << 20;
    let zeros = vec![0_u8; 64 << 20];
    let gzip = gzip(&zeros);
    assert!(gzip.len() < limit / 8, "the bomb is small: {}", gzip.len());
    let zstd = Bytes::from(zstd::stream::encode_all(zeros.as_slice(), 3).unwrap());
    for (bomb, compression) in [(gzip, Compression::Gzip), (zstd, Compression::Zstd)] {
        let error = decompress(bomb, compression, limit).unwrap_err();
        assert!(
            matches!(
                error,
                Error::TooLarge {
                    limit: 1_048_576,
                    ..
                }
            ),
            "{error}"
        );
    }
}

#[test]
fn a_body_of_exactly_the_limit_passes_and_one_byte_more_does_not() {
    let body = gzip(&[7; 1000]);
    assert_eq!(
        decompress(body.clone(), Compression::Gzip, 1000)
            .unwrap()
            .len(),
        1000
    );
    assert!(matches!(
        decompress(body, Compression::Gzip, 999),
        Err(Error::TooLarge { .. })
    ));
}

#[test]
fn damaged_compression_names_itself() {
    let good = gzip(&b"x".repeat(500));
    let mut flipped = good.to_vec();
    let checksum = flipped.len() - 6;
    flipped[checksum] ^= 1;
    let with_tail = [good.as_ref(), b"tail"].concat();
    for (what, body) in [
        ("cut", good.slice(..good.len() - 3)),
        ("checksum", flipped.into()),
        ("tail", with_tail.into()),
        (
            "not gzip at all",
            Bytes::from_static(b"{\"resourceSpans\":[]}"),
        ),
        ("empty", Bytes::new()),
    ] {
        let error = decompress(body, Compression::Gzip, 1 << 20).unwrap_err();
        assert!(
            matches!(
                error,
                Error::BadCompression {
                    encoding: "gzip",
                    ..
                }
            ),
            "{what}: {error}"
        );
    }
    let error =
        decompress(Bytes::from_static(b"not zstd"), Compression::Zstd, 1 << 20).unwrap_err();
    assert!(
        error.to_string().starts_with("the body is not valid zstd"),
        "{error}"
    );
}

/// A frame header that asks for a window of 128 MiB: more than RFC 8878 obliges a decoder to give.
#[test]
fn a_zstd_frame_may_not_ask_for_a_huge_window() {
    let body = Bytes::from_static(&[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x88, 0x01, 0x00, 0x00]);
    assert!(matches!(
        decompress(body, Compression::Zstd, 1 << 20),
        Err(Error::BadCompression {
            encoding: "zstd",
            ..
        })
    ));
}

#[test]
fn a_small_body_may_not_become_a_huge_tree() {
    let flood = flood_of_spans(100_000);
    let limits = Limits {
        body_bytes: 1 << 20,
        decoded_bytes: 8 << 20,
        ..Limits::default()
    };
    let error = traces(&flood.clone().into(), Encoding::Protobuf, limits).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the decoded request is larger than the limit of 8388608 bytes: send smaller batches"
    );
    assert_eq!(
        spans(&traces(&flood.into(), Encoding::Protobuf, Limits::NONE).unwrap()).len(),
        100_000
    );

    let json = format!(
        "{{\"resourceSpans\":[{{\"scopeSpans\":[{{\"spans\":[{}{{}}]}}]}}]}}",
        "{},".repeat(99_999)
    );
    let error = traces(&json.clone().into(), Encoding::Json, limits).unwrap_err();
    assert!(
        matches!(
            error,
            Error::TooLarge {
                what: "the decoded request",
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(
        spans(&traces(&json.into(), Encoding::Json, Limits::NONE).unwrap()).len(),
        100_000
    );
}

#[test]
fn protobuf_that_is_cut_anywhere_is_refused_or_shorter() {
    let body = fixture("openai_v2/0002.pb");
    let whole = protobuf(&body).unwrap();
    for length in 0..body.len() {
        if let Ok(part) = protobuf(&body[..length]) {
            assert!(spans(&part).len() < spans(&whole).len(), "cut at {length}");
        }
    }
}

#[test]
fn json_that_is_cut_anywhere_is_refused_with_its_position() {
    let body = fixture("autogen/0001.json");
    let text = std::str::from_utf8(&body).unwrap().trim_end();
    for length in 0..text.len() {
        let Some(part) = text.get(..length) else {
            continue;
        };
        let error = from_json(part).unwrap_err();
        assert!(
            matches!(error, Error::BadJson { line: 1, .. }),
            "cut at {length}: {error}"
        );
    }
}

#[test]
fn bad_protobuf_names_the_field() {
    // trace_id as a number.
    let span = [0x08, 0x01];
    let body = [&[0x0a, 0x06, 0x12, 0x04, 0x12, 0x02][..], &span].concat();
    let error = protobuf(&body).unwrap_err().to_string();
    assert!(
        error.starts_with("not a valid protobuf ExportTraceServiceRequest"),
        "{error}"
    );
    assert!(error.contains("trace_id"), "{error}");
}

#[test]
fn invalid_utf8_is_refused_in_either_encoding() {
    let span = [0x2a, 0x02, 0xff, 0xfe];
    let body = [&[0x0a, 0x08, 0x12, 0x06, 0x12, 0x04][..], &span].concat();
    let error = protobuf(&body).unwrap_err().to_string();
    assert!(error.contains("name") && error.contains("UTF-8"), "{error}");

    let body = Bytes::from_static(b"{\n \"resourceSpans\": [\"\xff\"]}");
    let error = traces(&body, Encoding::Json, Limits::default()).unwrap_err();
    let Error::BadJson {
        line,
        column,
        reason,
        ..
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!(
        (line, column, reason.as_str()),
        (2, 21, "invalid UTF-8 at byte 22")
    );
}

#[test]
fn deep_nesting_is_refused_without_exhausting_the_stack() {
    let (open, close) = ("{\"arrayValue\":{\"values\":[", "]}}");
    let nested = |depth: usize| {
        format!(
            "{{\"resourceSpans\":[{{\"resource\":{{\"attributes\":[{{\"key\":\"k\",\"value\":{}{{}}{}}}]}}}}]}}",
            open.repeat(depth),
            close.repeat(depth)
        )
    };
    assert!(from_json(&nested(30)).is_ok());
    for depth in [60, 100_000] {
        let error = from_json(&nested(depth)).unwrap_err().to_string();
        assert!(error.contains("recursion limit"), "{error}");
    }

    // The same in protobuf, from the inside out: AnyValue{array: ArrayValue{values: [..]}}.
    let wrap = |tag: u8, inner: Vec<u8>| {
        let mut out = vec![tag];
        prost::encoding::encode_varint(inner.len() as u64, &mut out);
        out.extend(inner);
        out
    };
    let nested = |depth: usize| {
        let value = (0..depth).fold(Vec::new(), |value, _| wrap(0x2a, wrap(0x0a, value)));
        wrap(0x0a, wrap(0x0a, wrap(0x0a, wrap(0x12, value))))
    };
    assert!(protobuf(&nested(40)).is_ok());
    for depth in [60, 5_000] {
        let error = protobuf(&nested(depth)).unwrap_err().to_string();
        assert!(error.contains("recursion limit"), "{error}");
    }
}
