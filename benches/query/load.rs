//! The data: taken in as it would come over the wire, charged, flushed, summed and merged. Once; then it is there.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flyball_ingest::resolver::{self, Options};
use flyball_ingest::{Ingest, Limits, Replay, Sink};
use flyball_pricing::Book;
use flyball_store::{Config, Encoding, Origin, Store};
use prost::Message as _;

use crate::fleet::{self, SPANS_OF_TRACE};

pub(crate) const WORKSPACE: &str = "default";

/// Executions of a request.
const BATCH: u64 = 40;

fn config(folder: &Path) -> Config {
    Config::local(folder)
}

pub(crate) async fn open(folder: &Path) -> Arc<Store> {
    Store::open(config(folder), Arc::new(Replay::default()))
        .await
        .unwrap()
}

/// Makes the data, unless the folder has it.
pub(crate) async fn once(folder: &Path, spans: usize) {
    let done = folder.join("bench.done");
    if std::fs::read_to_string(&done).is_ok_and(|made| made == spans.to_string()) {
        return;
    }
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder).unwrap();
    let started = Instant::now();
    let store = open(folder).await;
    let book = Arc::new(Book::builtin().unwrap());
    let charging = resolver::start(Arc::clone(&store), WORKSPACE, book, Options::default());
    let charging = charging.await.unwrap();
    let sink: Arc<dyn Sink> = Arc::<Store>::clone(&store);
    let ingest = Arc::new(Ingest::new(sink, Limits::default()));
    let all = spans as u64 / SPANS_OF_TRACE;
    let senders: Vec<_> = (0..4)
        .map(|sender| tokio::spawn(send(Arc::clone(&ingest), sender, all)))
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
    charging.settle_all().await.unwrap();
    charging.stop().await.unwrap();
    store.flush().await.unwrap();
    store.roll_up().await.unwrap();
    store.maintain().await.unwrap();
    store.close().await.unwrap();
    std::fs::write(done, spans.to_string()).unwrap();
    println!(
        "{} spans were taken in and charged in {:.0} s\n",
        all * SPANS_OF_TRACE,
        started.elapsed().as_secs_f64()
    );
}

/// Every fourth request; what finds no room comes again.
async fn send(ingest: Arc<Ingest>, sender: u64, all: u64) {
    for first in (0..all)
        .step_by(BATCH as usize)
        .skip(sender as usize)
        .step_by(4)
    {
        let request = fleet::request(first..(first + BATCH).min(all), all);
        let body = bytes::Bytes::from(request.encode_to_vec());
        loop {
            let taken = ingest.traces(body.clone(), Encoding::Protobuf, Origin::Import, WORKSPACE);
            match taken.await {
                Ok(_) => break,
                Err(error) if error.retry_after().is_some() => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}
