//! The stages of a request on one core, each with all that come before it: decoding, decoding to Arrow, the log, Parquet.
//! The machine may be busy with other things, so rates are of CPU time, not of the clock.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use flyball_ingest::{Ingest, Limits, Replay, Sink, normalise, otlp};
use flyball_store::{Config, Encoding, Origin, Store};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;

use crate::cpu;
use crate::traffic::Traffic;

/// How long each stage of pure computing runs at least, of CPU time.
const AT_LEAST: Duration = Duration::from_secs(2);

/// Some instant in 2026, nanoseconds since 1970.
const RECEIVED: i64 = 1_795_000_000_000_000_000;

/// Measures every stage and prints a row for each.
pub(crate) fn measure(traffic: &Traffic, batches: usize) {
    println!("| stage, one core | spans/s | MB/s | CPU s per million spans |");
    println!("|---|---|---|---|");
    let bodies: Vec<Bytes> = (0..64).map(|number| traffic.body(number).into()).collect();
    computed("decode, prost trees (baseline)", traffic, &bodies, |body| {
        black_box(ExportTraceServiceRequest::decode(body.as_ref()).unwrap());
    });
    let limits = Limits::default();
    computed("decode, by reference", traffic, &bodies, |body| {
        otlp::traces(body, Encoding::Protobuf, limits, |request| {
            black_box(request);
        })
        .unwrap();
    });
    computed("decode to Arrow rows", traffic, &bodies, |body| {
        let rows = otlp::traces(body, Encoding::Protobuf, limits, |request| {
            normalise::spans(request, RECEIVED, &[])
        });
        black_box(rows.unwrap());
    });
    stored(traffic, batches);
}

fn computed(name: &str, traffic: &Traffic, bodies: &[Bytes], work: impl Fn(&Bytes)) {
    bodies.iter().for_each(&work);
    let before = cpu::of_this_thread();
    let mut rounds = 0;
    while cpu::of_this_thread() - before < AT_LEAST {
        bodies.iter().for_each(&work);
        rounds += bodies.len();
    }
    let took = (cpu::of_this_thread() - before).as_secs_f64();
    row(name, traffic, rounds, took);
}

/// Through the real way in, into a real store; no resolver, so no charges.
fn stored(traffic: &Traffic, batches: usize) {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut config = Config::local(folder.path());
        // Nothing is flushed before we ask for it.
        (config.flush_bytes, config.flush_age) = (u64::MAX, Duration::from_secs(3600));
        config.buffer_bytes_max = 8 << 30;
        let store = Store::open(config, Arc::new(Replay::default())).await.unwrap();
        let sink: Arc<dyn Sink> = Arc::<Store>::clone(&store);
        let ingest = Ingest::new(sink, Limits::default());
        let bodies: Vec<Bytes> = (0..batches)
            .map(|number| traffic.body(number).into())
            .collect();
        let pid = std::process::id();
        let (before, started) = (cpu::of_process(pid), Instant::now());
        for body in bodies {
            let accepted = ingest
                .traces(body, Encoding::Protobuf, Origin::Live, "default")
                .await
                .unwrap();
            assert_eq!(accepted.kept as usize, traffic.spans());
        }
        row(
            "+ digest, log append, sync, hot buffer",
            traffic,
            batches,
            cpu::of_process(pid) - before,
        );
        let logged = started.elapsed();
        store.flush().await.unwrap();
        row(
            "+ Parquet, committed",
            traffic,
            batches,
            cpu::of_process(pid) - before,
        );
        println!(
            "\nThe last two by the clock: {:.0} spans/s logged, one request at a time; {:.0} spans/s with Parquet.\n",
            (batches * traffic.spans()) as f64 / logged.as_secs_f64(),
            (batches * traffic.spans()) as f64 / started.elapsed().as_secs_f64()
        );
        store.close().await.unwrap();
    });
}

fn row(name: &str, traffic: &Traffic, requests: usize, seconds: f64) {
    let spans = (requests * traffic.spans()) as f64;
    let megabytes = (requests * traffic.bytes()) as f64 / 1e6;
    println!(
        "| {name} | {:.0} | {:.0} | {:.2} |",
        spans / seconds,
        megabytes / seconds,
        seconds / spans * 1e6
    );
}
