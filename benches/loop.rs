//! The loop, closed: a span goes wrong, a rule sees it, control orders, an agent obeys. How long each stage takes on an
//! idle server, at half of what ingest can take in, and beside heavy queries; and what rules cost ingest.
//!
//!     cargo bench --bench loop                    a release build (40 minutes the first time)
//!     cargo bench --bench loop --profile dev      the build that tests use; no figure to quote
//!
//! A real `flyball serve` with its built-in rules, its own ports, and ten thousand healthy agents that it knows and that
//! send the background. TRIALS (300 a situation, one every EVERY ms: 100), AGENTS (10000), BATCHES (400 requests of 500
//! spans in each run as fast as it goes) and ROUNDS (2, of the rules' cost) can be set in the environment;
//! LOOP=only and LOOP=none leave out the other half. Ends with an error when a promise is broken.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "loop/cost.rs"]
mod cost;
// The other benchmark asks more of it.
#[allow(dead_code)]
#[path = "shared/cpu.rs"]
mod cpu;
#[path = "loop/figures.rs"]
mod figures;
#[path = "loop/misdeeds.rs"]
mod misdeeds;
#[path = "shared/sender.rs"]
mod sender;
#[allow(dead_code)]
#[path = "shared/server.rs"]
mod server;
#[path = "loop/situation.rs"]
mod situation;
#[allow(dead_code)]
#[path = "shared/traffic.rs"]
mod traffic;
#[path = "loop/trials.rs"]
mod trials;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use situation::Beside;
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

fn main() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if runtime.block_on(measure()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

async fn measure() -> bool {
    let trials = u32::try_from(number("TRIALS", 300)).unwrap();
    let every = Duration::from_millis(number("EVERY", 100) as u64);
    let (agents, batches) = (number("AGENTS", 10_000), number("BATCHES", 400));
    let half = std::env::var("LOOP").unwrap_or_default();
    let traffic = Arc::new(Traffic::of_agents(500, agents));
    let mut kept = true;
    if half != "none" {
        let fastest = cost::run(&traffic, batches, None).await.spans_a_second;
        println!(
            "As fast as it goes, with the built-in rules: {fastest:.0} spans a second of {agents} agents."
        );
        let (idle, half) = (None, Some(fastest / 2.0));
        let situations = [
            ("Idle", idle, 0),
            ("Ingest at half of its maximum", half, 0),
            ("The same beside two heavy queries", half, 2),
        ];
        for (name, spans_a_second, readers) in situations {
            let beside = Beside {
                spans_a_second,
                readers,
            };
            kept &= situation::measure(name, &traffic, beside, (trials, every)).await;
        }
    }
    if half != "only" {
        cost::measure(&traffic, agents, batches, number("ROUNDS", 2)).await;
    }
    kept
}
