//! `kill -9` of a server under load, again and again: nothing that was acknowledged is lost, nothing is there twice.
//!
//! `FLYBALL_KILLS` sets how often (200 unless set).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use tokio::sync::watch;

use crate::harness::{Server, number, query};
use crate::serve::one_call_in;

/// Clients that send at the same time.
const CLIENTS: usize = 3;
/// A request of which no answer came is given up, not sent again, once in so many.
const GIVEN_UP_ONE_IN: u32 = 5;

/// What the clients know.
#[derive(Default)]
struct Book {
    next: AtomicU32,
    acknowledged: Mutex<BTreeSet<u32>>,
    /// Nobody knows whether these are in.
    given_up: Mutex<BTreeSet<u32>>,
    sent_again: AtomicUsize,
    stop: AtomicBool,
}

/// The trace that request makes: `number` in big-endian, behind zeros.
fn trace_id(number: u32) -> [u8; 16] {
    let mut id = [0xa0; 16];
    id[12..].copy_from_slice(&number.to_be_bytes());
    id
}

async fn send(address: &str, request: ExportTraceServiceRequest) -> bool {
    let patience = Duration::from_secs(10);
    let sent = async {
        let mut grpc = TraceServiceClient::connect(format!("http://{address}"))
            .await
            .ok()?;
        grpc.export(request).await.ok()
    };
    tokio::time::timeout(patience, sent)
        .await
        .ok()
        .flatten()
        .is_some()
}

/// Sends one request after the other. What is not answered is sent again, word for word, until it is.
async fn client(book: Arc<Book>, mut address: watch::Receiver<String>) {
    while !book.stop.load(SeqCst) {
        let number = book.next.fetch_add(1, SeqCst);
        let request = one_call_in(&trace_id(number));
        loop {
            let to = address.borrow_and_update().clone();
            if send(&to, request.clone()).await {
                book.acknowledged.lock().unwrap().insert(number);
                break;
            }
            if number.is_multiple_of(GIVEN_UP_ONE_IN) {
                book.given_up.lock().unwrap().insert(number);
                break;
            }
            book.sent_again.fetch_add(1, SeqCst);
            // The next server tells where it is; the same one may only be busy.
            let _ = tokio::time::timeout(Duration::from_millis(500), address.changed()).await;
        }
    }
}

/// How often each trace's spans and charges are there.
fn found(rows: &[serde_json::Value]) -> BTreeMap<u32, f64> {
    let trace = |row: &serde_json::Value| {
        let id = row["trace_id"].as_str().unwrap();
        u32::from_str_radix(&id[24..], 16).unwrap()
    };
    rows.iter()
        .map(|row| (trace(row), number(&row["n"])))
        .collect()
}

const SPANS: &str = "SELECT trace_id, count(*) AS n FROM spans GROUP BY 1";
const CHARGES: &str =
    "SELECT trace_id, sum(calls) AS n FROM charges WHERE kind = 'model_call' GROUP BY 1";

/// Every acknowledged request `times` times, what was given up that often or not at all, and nothing else.
fn compare(
    rows: &[serde_json::Value],
    times: f64,
    acknowledged: &BTreeSet<u32>,
    maybe: &BTreeSet<u32>,
    what: &str,
) {
    let mut found = found(rows);
    for number in acknowledged {
        assert_eq!(
            found.remove(number),
            Some(times),
            "{what} of request {number}, which was acknowledged"
        );
    }
    for (number, n) in found {
        assert!(
            maybe.contains(&number),
            "{what} of request {number}, which nobody sent"
        );
        assert_eq!(n, times, "{what} of request {number}, which was given up");
    }
}

/// Uniform enough, and the same every time.
fn roll(state: &mut u64, sides: u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % sides
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_under_load_again_and_again() {
    let crashes: u32 = std::env::var("FLYBALL_KILLS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(200);
    let dir = tempfile::tempdir().unwrap();
    // Everything happens all the time: flushes, commits, new segments, cuts of the log.
    let settings = "[store]\nflush_age_s = 0\nsegment_bytes = 65536\n";
    std::fs::write(dir.path().join("flyball.toml"), settings).unwrap();
    let config = dir.path().join("flyball.toml");
    let start = || Server::start(dir.path(), &["--config", config.to_str().unwrap()]);
    let started = Instant::now();
    let (book, mut dice) = (Arc::new(Book::default()), 7);
    let mut server = start();
    let (tell, address) = watch::channel(server.address("otlp_grpc"));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| tokio::spawn(client(Arc::clone(&book), address.clone())))
        .collect();
    for crash in 1..=crashes {
        // Now and then long enough for traces to settle, so that charges are flushed, too.
        let lives = if crash % 20 == 0 {
            3_000
        } else {
            roll(&mut dice, 250)
        };
        tokio::time::sleep(Duration::from_millis(lives)).await;
        server.kill();
        server = start();
        tell.send(server.address("otlp_grpc")).unwrap();
        if crash % 50 == 0 {
            // Before the question: what is acknowledged meanwhile may be there as well.
            let acknowledged = book.acknowledged.lock().unwrap().clone();
            let sent: BTreeSet<_> = (0..book.next.load(SeqCst) + 1_000_000).collect();
            compare(&server.query(SPANS), 2.0, &acknowledged, &sent, "spans");
        }
    }
    book.stop.store(true, SeqCst);
    for client in clients {
        client.await.unwrap();
    }
    let acknowledged = book.acknowledged.lock().unwrap().clone();
    let given_up = book.given_up.lock().unwrap().clone();
    // The resolver enters what it had not settled when it was killed.
    let deadline = Instant::now() + Duration::from_secs(60);
    while found(&server.query(CHARGES)).len() < acknowledged.len() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    compare(&server.query(SPANS), 2.0, &acknowledged, &given_up, "spans");
    compare(
        &server.query(CHARGES),
        1.0,
        &acknowledged,
        &given_up,
        "charges",
    );
    server.stop();
    compare(
        &query(dir.path(), SPANS),
        2.0,
        &acknowledged,
        &given_up,
        "spans on disk",
    );
    compare(
        &query(dir.path(), CHARGES),
        1.0,
        &acknowledged,
        &given_up,
        "charges on disk",
    );
    println!(
        "{crashes} kills, {} requests acknowledged ({} of them sent more than once, {} given up), {:?}",
        acknowledged.len(),
        book.sent_again.load(SeqCst),
        given_up.len(),
        started.elapsed()
    );
}
