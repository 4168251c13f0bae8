//! The second implementation: prost. Of any bytes both make the same message, or both refuse them.

use std::fmt::Debug;

use flyball_otlp::{
    ExportLogsServiceRequest, ExportMetricsServiceRequest, ExportTraceServiceRequest,
};
use opentelemetry_proto::tonic::collector as sent;
use proptest::prelude::*;
use prost::Message;

use crate::requests::{logs, metrics, traces};
use crate::rewrite::{Dice, damage, rewrite};

/// Equal, where not-a-number equals itself and minus zero is not zero.
fn assert_same<T: PartialEq + Debug>(ours: &T, theirs: &T) {
    let (ours, theirs) = (format!("{ours:?}"), format!("{theirs:?}"));
    assert_eq!(ours, theirs);
}

macro_rules! agree {
    ($($(#[$doc:meta])* $name:ident: $ours:ident, $theirs:ty;)*) => { $(
        $(#[$doc])*
        pub(crate) fn $name(body: &[u8]) -> bool {
            match ($ours::decode(body, usize::MAX), <$theirs>::decode(body)) {
                (Ok(ours), Ok(theirs)) => {
                    assert_same(&ours, &$ours::from(&theirs));
                    true
                }
                (Err(_), Err(_)) => false,
                (Ok(ours), Err(error)) => panic!("prost says {error} of {body:02x?}, we read {ours:?}"),
                (Err(error), Ok(theirs)) => panic!("we say {error} of {body:02x?}, prost reads {theirs:?}"),
            }
        }
    )* };
}

agree! {
    /// Whether both read the body as traces; panics when they disagree.
    traces_agree: ExportTraceServiceRequest, sent::trace::v1::ExportTraceServiceRequest;
    /// The same for logs.
    logs_agree: ExportLogsServiceRequest, sent::logs::v1::ExportLogsServiceRequest;
    /// The same for metrics.
    metrics_agree: ExportMetricsServiceRequest, sent::metrics::v1::ExportMetricsServiceRequest;
}

/// The body as it is, rearranged, and damaged; read as any signal.
fn all_agree(body: &[u8], other: &[u8], dice: &mut Dice) {
    let rewritten = rewrite(body, dice);
    let damaged = damage(&rewritten, other, dice);
    for body in [body, &rewritten, &damaged, &damage(body, other, dice)] {
        traces_agree(body);
        logs_agree(body);
        metrics_agree(body);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn traces_are_read_as_prost_reads_them(request in traces(), other in traces(), seed: u64) {
        let body = request.encode_to_vec();
        prop_assert!(traces_agree(&body));
        all_agree(&body, &other.encode_to_vec(), &mut Dice(seed));
    }

    #[test]
    fn logs_are_read_as_prost_reads_them(request in logs(), other in traces(), seed: u64) {
        let body = request.encode_to_vec();
        prop_assert!(logs_agree(&body));
        all_agree(&body, &other.encode_to_vec(), &mut Dice(seed));
    }

    #[test]
    fn metrics_are_read_as_prost_reads_them(request in metrics(), other in metrics(), seed: u64) {
        let body = request.encode_to_vec();
        prop_assert!(metrics_agree(&body));
        all_agree(&body, &other.encode_to_vec(), &mut Dice(seed));
    }

    #[test]
    fn noise_is_read_as_prost_reads_it(body in proptest::collection::vec(any::<u8>(), 0..64)) {
        traces_agree(&body);
        logs_agree(&body);
        metrics_agree(&body);
    }
}

/// 256 of each, or as PROPTEST_CASES says.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(256)
}
