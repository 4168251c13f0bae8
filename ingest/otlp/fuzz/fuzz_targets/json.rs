//! Any bytes read as JSON: no panic, no more memory than allowed, and the spans and log records that the protocol's own
//! crate reads, we read alike. (Of a metric whose data it does not understand it reads all the rest; we refuse that.)
//! And as protobuf: what prost makes of the bytes, written as JSON, is read back as the same message.
#![no_main]

use std::fmt::Debug;

use flyball_otlp::json::{self, Request};
use libfuzzer_sys::fuzz_target;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use serde::{Serialize, de::DeserializeOwned};

fuzz_target!(|body: &[u8]| {
    check::<ExportTraceServiceRequest>(body);
    compare::<ExportTraceServiceRequest>(body);
    check::<ExportLogsServiceRequest>(body);
    compare::<ExportLogsServiceRequest>(body);
    check::<ExportMetricsServiceRequest>(body);
});

/// What the protocol's own crate reads and we do not refuse, we read alike. (It also takes lists for messages, and passes
/// over texts that are not UTF-8 where nobody asks for them.)
fn compare<M: Request + DeserializeOwned + Debug + PartialEq>(body: &[u8]) {
    let ours = json::decode::<M>(body, usize::MAX);
    if let (Ok(ours), Ok(theirs)) = (ours, serde_json::from_slice::<M>(body)) {
        assert!(alike(&ours, &theirs), "{ours:?}\n{theirs:?}");
    }
}

fn check<M: Request + Message + Default + Serialize + Debug + PartialEq>(body: &[u8]) {
    let within = json::decode::<M>(body, 8 * body.len());
    let ours = json::decode::<M>(body, usize::MAX);
    if let Ok(within) = within {
        assert!(ours.as_ref().is_ok_and(|ours| alike(ours, &within)));
    }
    let Ok(sent) = M::decode(body) else { return };
    // JSON has no number for these; what is written for them is `null`.
    let words = format!("{sent:?}");
    if words.contains("NaN") || words.contains("inf") {
        return;
    }
    let text = serde_json::to_vec(&sent).expect("a message can be written");
    let ours = json::decode::<M>(&text, usize::MAX);
    let ours = ours.unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&text)));
    assert!(alike(&ours, &sent), "{ours:?}\n{sent:?}");
}

/// Equal, or equal in writing: not-a-number is unlike itself.
fn alike<M: PartialEq + Debug>(one: &M, other: &M) -> bool {
    one == other || format!("{one:?}") == format!("{other:?}")
}
