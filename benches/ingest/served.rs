//! A real server over gRPC, end to end: one process serves, this one sends, both share the machine.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tonic::transport::Channel;

use crate::cpu;
use crate::sender::{Pace, connect, offer, send};
use crate::server::{Server, count, read};
use crate::traffic::Traffic;

/// Who else is at the server while it takes in.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Beside {
    Nobody = 0,
    /// Two that ask for more than there is time for, again and again.
    Readers = 2,
}

/// One run: as fast as it goes, or at a pace of so many spans a second. Prints a row; spans acknowledged a second.
pub(crate) async fn measure(
    traffic: Traffic,
    batches: usize,
    senders: usize,
    spans_a_second: Option<f64>,
    beside: Beside,
) -> f64 {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), None);
    let (pid, grpc, http) = (server.pid(), server.grpc(), server.http());
    let readers: Vec<_> = (0..beside as usize)
        .map(|_| tokio::spawn(read(http.clone())))
        .collect();
    let spans = traffic.spans();
    let traffic = Arc::new(traffic);
    let (before, started) = (cpu::of_process(pid), Instant::now());
    let tasks: Vec<_> = (0..senders)
        .map(|sender| {
            let numbers = (sender..batches).step_by(senders);
            let traffic = Arc::clone(&traffic);
            let pace = spans_a_second.map(|rate| Pace::of(sender, senders, spans, rate));
            tokio::spawn(send(grpc.clone(), traffic, numbers, pace))
        })
        .collect();
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await.unwrap());
    }
    let acknowledged = started.elapsed().as_secs_f64();
    let at_acknowledged = cpu::of_process(pid) - before;
    for reader in readers {
        reader.abort();
    }
    let kept = count(&http, "spans").await;
    assert_eq!(
        kept,
        batches * spans,
        "every acknowledged span is queryable"
    );
    let queryable = started.elapsed().as_secs_f64();
    let peak = cpu::peak_mib(pid);
    let in_all = server.stop() - before;
    let flushed = started.elapsed().as_secs_f64();
    took.sort_unstable();
    let quantile = |q: usize| took[(took.len() * q / 100).min(took.len() - 1)].as_secs_f64() * 1e3;
    let millions = kept as f64 / 1e6;
    println!(
        "| {}{} | {kept} | {:.0} | {:.1} | {:.1} | {:.1} | {:.0} | {:.0} | {:.2} / {:.2} | {peak:.0} |",
        spans_a_second.map_or("as fast as it goes".to_owned(), |rate| format!(
            "{rate:.0}/s"
        )),
        match beside {
            Beside::Nobody => "",
            Beside::Readers => ", beside two heavy queries",
        },
        kept as f64 / acknowledged,
        kept as f64 / acknowledged * (traffic.bytes() / spans) as f64 / 1e6,
        quantile(50),
        quantile(99),
        kept as f64 / queryable,
        kept as f64 / flushed,
        at_acknowledged / millions,
        in_all / millions,
    );
    kept as f64 / acknowledged
}

/// The head of the table that [`measure`] adds rows to.
pub(crate) fn head() {
    println!(
        "| load | spans | spans/s acknowledged | MB/s | ack p50 ms | ack p99 ms | spans/s until all are queryable | spans/s until all is Parquet | server's CPU s per million spans, at the last acknowledgement / in all | server's peak MiB |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
}

/// The type of the detail that tells how long to wait.
const RETRY_INFO: &[u8] = b"type.googleapis.com/google.rpc.RetryInfo";
/// Requests that may be under way at once: what is offered beyond them was not sent in time.
const UNDER_WAY: usize = 512;

/// What became of the requests of an overload.
#[derive(Debug, Default)]
struct Answers {
    acknowledged: usize,
    refused: usize,
}

/// Offers so many spans a second for so long, whatever the answers are, and sends nothing twice. Prints what became of
/// them, and fails when an acknowledged span is missing or a refusal says no delay.
pub(crate) async fn overload(traffic: Traffic, spans_a_second: f64, lasts: Duration) {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), None);
    let (pid, grpc) = (server.pid(), server.grpc());
    let mut channels = Vec::new();
    for _ in 0..8 {
        channels.push(connect(&grpc).await);
    }
    let (spans, traffic) = (traffic.spans(), Arc::new(traffic));
    let room = Arc::new(tokio::sync::Semaphore::new(UNDER_WAY));
    let mut tasks = tokio::task::JoinSet::new();
    let (started, mut answers, mut peak) = (Instant::now(), Answers::default(), 0_f64);
    let mut number = 0;
    while started.elapsed() < lasts {
        let due = (started.elapsed().as_secs_f64() * spans_a_second / spans as f64) as usize;
        while number < due
            && let Ok(permit) = Arc::clone(&room).try_acquire_owned()
        {
            let (channel, traffic) = (
                channels[number % channels.len()].clone(),
                Arc::clone(&traffic),
            );
            tasks.spawn(async move {
                let _permit = permit;
                once(channel, traffic.body(number)).await
            });
            number += 1;
        }
        while let Some(acknowledged) = tasks.try_join_next() {
            answers.count(acknowledged.unwrap());
        }
        peak = peak.max(cpu::peak_mib(pid));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    while let Some(acknowledged) = tasks.join_next().await {
        answers.count(acknowledged.unwrap());
    }
    let took = started.elapsed().as_secs_f64();
    let kept = count(&server.http(), "spans").await;
    assert_eq!(
        kept,
        answers.acknowledged * spans,
        "every acknowledged span is there, no other"
    );
    println!(
        "\nOffered {spans_a_second:.0} spans/s for {took:.0} s, {:.0} spans/s of it sent: {} requests acknowledged ({:.0} spans/s), \
         all of whose spans are there; {} refused, each with a delay. The server's peak was {:.0} MiB.",
        (number * spans) as f64 / took,
        answers.acknowledged,
        (answers.acknowledged * spans) as f64 / took,
        answers.refused,
        peak.max(cpu::peak_mib(pid)),
    );
}

impl Answers {
    fn count(&mut self, acknowledged: bool) {
        if acknowledged {
            self.acknowledged += 1;
        } else {
            self.refused += 1;
        }
    }
}

/// Sends a request once; whether it was acknowledged. A refusal says when to come back.
async fn once(channel: Channel, body: Vec<u8>) -> bool {
    let sent = offer(&channel, body).await;
    if let Err(refusal) = &sent {
        let mut details = refusal.details().windows(RETRY_INFO.len());
        assert!(details.any(|some| some == RETRY_INFO), "{refusal:?}");
    }
    sent.is_ok()
}
