#![allow(clippy::unwrap_used)]
use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::log::{Encoding, FrameKind, Origin, Signal};

fn header() -> impl Strategy<Value = Header> {
    (
        prop_oneof![Just(FrameKind::Otlp), Just(FrameKind::Own)],
        prop_oneof![
            Just(Origin::Live),
            Just(Origin::Import),
            Just(Origin::Replay)
        ],
        any::<i64>(),
        ".{0,40}",
        proptest::option::of(".{0,40}"),
        prop_oneof![
            Just(Signal::Traces),
            Just(Signal::Logs),
            Just(Signal::Metrics)
        ],
        prop_oneof![Just(Encoding::Protobuf), Just(Encoding::Json)],
        proptest::collection::vec(any::<u32>(), 0..20),
        any::<[u8; 32]>(),
    )
        .prop_map(
            |(
                kind,
                origin,
                received_at_unix_nano,
                workspace,
                key,
                signal,
                encoding,
                rejected,
                digest,
            )| Header {
                kind,
                origin,
                received_at_unix_nano,
                workspace,
                key,
                signal,
                encoding,
                rejected,
                digest,
            },
        )
}

fn split(bytes: &[u8]) -> Option<(Bytes, u32)> {
    let (len, crc) = prefix(bytes.get(..PREFIX)?.try_into().ok()?)?;
    (bytes.len() == PREFIX + len).then(|| (Bytes::copy_from_slice(&bytes[PREFIX..]), crc))
}

proptest! {
    #[test]
    fn a_frame_survives_the_round_trip(header in header(), body in proptest::collection::vec(any::<u8>(), 0..300), position: u64, synced: u64) {
        let mut bytes = Vec::new();
        encode(&mut bytes, position, synced, &header, &body);
        prop_assert!(bytes.len() as u64 <= size_of(&header, &body));
        let (payload, crc) = split(&bytes).unwrap();
        let frame = decode(payload, crc).unwrap();
        prop_assert_eq!(frame, Frame { position, synced, header, body: body.into() });
    }

    #[test]
    fn no_flipped_bit_passes(header in header(), body in proptest::collection::vec(any::<u8>(), 0..100), at: prop::sample::Index, bit in 0..8u8) {
        let mut bytes = Vec::new();
        encode(&mut bytes, 7, 6, &header, &body);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let read = split(&bytes).map(|(payload, crc)| decode(payload, crc));
        prop_assert!(!matches!(read, Some(Ok(_))));
    }

    #[test]
    fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let crc = crc32c::crc32c(&bytes);
        let _ = decode(Bytes::from(bytes.clone()), crc);
        let _ = Header::decode(&bytes);
    }
}
