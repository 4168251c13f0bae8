//! Live ingest, for as long as a test wants it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use prost::Message as _;

use crate::harness::Server;
use crate::serve::one_call_in;

/// Sends one call of one agent after the other, each a trace of two spans that costs $0.00021.
pub(crate) struct Load {
    acknowledged: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    /// Starts it, on its own thread, a few milliseconds between requests.
    pub(crate) fn start(server: &Server) -> Self {
        let url = format!("http://{}/v1/traces", server.address("otlp_http"));
        let (acknowledged, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (count, done) = (Arc::clone(&acknowledged), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let http = reqwest::Client::new();
                while !done.load(Ordering::Relaxed) {
                    let trace = (u128::from(count.load(Ordering::Relaxed)) + 1).to_be_bytes();
                    let answer = http
                        .post(&url)
                        .header("content-type", "application/x-protobuf")
                        .body(one_call_in(&trace).encode_to_vec())
                        .send()
                        .await;
                    if done.load(Ordering::Relaxed) && answer.is_err() {
                        // The test is over, and its server with it.
                        return;
                    }
                    let answer = answer.unwrap();
                    assert!(answer.status().is_success(), "{answer:?}");
                    count.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(3)).await;
                }
            });
        });
        Self {
            acknowledged,
            stop,
            thread: Some(thread),
        }
    }

    /// Requests that were acknowledged so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Ends it; how many requests were acknowledged.
    pub(crate) fn stop(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        self.acknowledged()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
