//! Any bytes, read by reference and by prost: the same message, or an error from both; and no more memory than allowed.
#![no_main]

use flyball_otlp::ExportTraceServiceRequest as Ours;
use libfuzzer_sys::fuzz_target;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest as Theirs;
use prost::Message;

fuzz_target!(|body: &[u8]| {
    match (Ours::decode(body, usize::MAX), Theirs::decode(body)) {
        (Ok(ours), Ok(theirs)) => {
            let seen = Ours::from(&theirs);
            // Not-a-number is unlike itself, but not in writing.
            assert!(ours == seen || format!("{ours:?}") == format!("{seen:?}"));
        }
        (Err(_), Err(_)) => {}
        (Ok(_), Err(error)) => panic!("prost refuses what we read: {error}"),
        (Err(error), Ok(_)) => panic!("prost reads what we refuse: {error}"),
    }
    // What is within the limit is the same message; what is not is refused for that.
    if let Ok(within) = Ours::decode(body, 8 * body.len()) {
        assert!(Ours::decode(body, usize::MAX).is_ok_and(|all| format!("{all:?}") == format!("{within:?}")));
    }
});
