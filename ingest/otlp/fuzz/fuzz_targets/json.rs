//! Any bytes read as JSON: no panic, and no more memory than allowed. And as protobuf: what prost makes of the bytes, written
//! as JSON by the protocol's own crate, is read back as the same message.
#![no_main]

use std::fmt::Debug;

use flyball_otlp::json::{self, Request};
use libfuzzer_sys::fuzz_target;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use serde::Serialize;

fuzz_target!(|body: &[u8]| {
    check::<ExportTraceServiceRequest>(body);
    check::<ExportLogsServiceRequest>(body);
    check::<ExportMetricsServiceRequest>(body);
});

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
