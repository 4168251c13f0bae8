//! What ingest costs: each stage on one core, with prost's decoder as the baseline, and then a real server end to end
//! over gRPC, durable and queryable, with the sender on the same machine.
//!
//!     cargo bench --bench ingest                    a release build (40 minutes the first time)
//!     cargo bench --bench ingest --profile dev      the build that tests use; compare ratios only
//!
//! BATCHES (2000), SPANS (500 a batch), SENDERS (4) and PACE (100000 spans a second, of the second run) can be set in
//! the environment; STAGES=only and STAGES=none leave out the other half. OVERLOAD=60 adds a run of so many seconds at
//! ten times the rate that the first one reached, and BESIDE=1 two at half that rate: alone, and beside heavy queries.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "shared/cpu.rs"]
mod cpu;
#[path = "shared/sender.rs"]
mod sender;
#[path = "ingest/served.rs"]
mod served;
// The other benchmark asks more of a server.
#[allow(dead_code)]
#[path = "shared/server.rs"]
mod server;
#[path = "ingest/stages.rs"]
mod stages;
// And has more agents.
#[allow(dead_code)]
#[path = "shared/traffic.rs"]
mod traffic;

use std::time::Duration;

use served::Beside;
use traffic::Traffic;

/// The server's own.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn number(name: &str, default: usize) -> usize {
    std::env::var(name)
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(default)
}

fn main() {
    let (batches, spans) = (number("BATCHES", 2_000), number("SPANS", 500));
    let (senders, pace) = (number("SENDERS", 4), number("PACE", 100_000));
    let traffic = Traffic::of(spans);
    let half = std::env::var("STAGES").unwrap_or_default();
    println!(
        "{} spans a request, {} bytes a span\n",
        traffic.spans(),
        traffic.bytes() / traffic.spans()
    );
    if half != "none" {
        stages::measure(&traffic, batches.min(400));
    }
    if half == "only" {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    served::head();
    let run = |pace, beside| {
        let run = served::measure(traffic.clone(), batches, senders, pace, beside);
        runtime.block_on(run)
    };
    let fastest = run(None, Beside::Nobody);
    run(Some(pace as f64), Beside::Nobody);
    if number("BESIDE", 0) > 0 {
        for beside in [Beside::Nobody, Beside::Readers] {
            run(Some(fastest / 2.0), beside);
        }
    }
    let overload = number("OVERLOAD", 0);
    if overload > 0 {
        let lasts = Duration::from_secs(overload as u64);
        runtime.block_on(served::overload(traffic, 10.0 * fastest, lasts));
    }
}
