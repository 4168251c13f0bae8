//! The same against a real S3 server, which the test starts, stops and starts again: `FLYBALL_TEST_WEED` names the
//! `weed` binary of SeaweedFS. Without it there is nothing to do.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use flyball_store::{Config, Diskless, Error, LogKey, Store, Table};

use crate::fixture::*;

/// A SeaweedFS on ports and in a folder of its own.
struct Weed {
    binary: PathBuf,
    folder: tempfile::TempDir,
    ports: Vec<u16>,
    child: Option<Child>,
}

impl Weed {
    fn start() -> Option<Self> {
        let binary = PathBuf::from(std::env::var_os("FLYBALL_TEST_WEED")?);
        let mut weed = Self {
            binary,
            folder: tempfile::tempdir().unwrap(),
            ports: ports(),
            child: None,
        };
        weed.run();
        weed.create_bucket();
        Some(weed)
    }

    fn run(&mut self) {
        let [s3, master, volume, filer, s3_grpc] = self.ports[..] else {
            unreachable!()
        };
        let child = Command::new(&self.binary)
            .arg("server")
            .arg(format!("-dir={}", self.folder.path().display()))
            .args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3"])
            .args(["-s3.port.iceberg=0", "-s3.port.lance=0"])
            .arg(format!("-s3.port={s3}"))
            .arg(format!("-s3.port.grpc={s3_grpc}"))
            .arg(format!("-master.port={master}"))
            .arg(format!("-volume.port={volume}"))
            .arg(format!("-filer.port={filer}"))
            .arg("-master.volumeSizeLimitMB=64")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        let patience = Instant::now();
        while TcpStream::connect(("127.0.0.1", s3)).is_err() {
            assert!(patience.elapsed() < Duration::from_secs(90), "no S3 server");
            std::thread::sleep(Duration::from_millis(100));
        }
        // It listens before it can write.
        std::thread::sleep(Duration::from_secs(4));
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn create_bucket(&self) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.ports[0])).unwrap();
        let host = format!("127.0.0.1:{}", self.ports[0]);
        write!(
            stream,
            "PUT /flyball HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    fn config(&self, disk: &Path, path: &str) -> Config {
        let options = [
            (
                "aws_endpoint",
                format!("http://127.0.0.1:{}", self.ports[0]),
            ),
            ("aws_allow_http", "true".into()),
            ("aws_region", "us-east-1".into()),
            ("aws_access_key_id", "any".into()),
            ("aws_secret_access_key", "any".into()),
        ];
        let options = options.map(|(key, value)| (key.to_owned(), value));
        Config {
            tables_url: Some(format!("s3://flyball/{path}/tables")),
            storage_options: HashMap::from(options),
            ..config(disk)
        }
    }

    fn diskless(&self, disk: &Path, path: &str, ledger: &Path, every: Duration) -> Config {
        Config {
            diskless: Some(Diskless {
                log_url: format!("s3://flyball/{path}/logs"),
                node_id: "n1".into(),
                key: LogKey::from_hex(&"07".repeat(32)).unwrap(),
                ledger_dir: ledger.to_owned(),
                group_every: every,
            }),
            ..self.config(disk, path)
        }
    }
}

impl Drop for Weed {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Free ports whose gRPC ports (10,000 more) are free too. Not those that the system gives out for the near end of a
/// connection: waiting for such a port would at last connect to itself.
fn ports() -> Vec<u16> {
    let mut found = Vec::new();
    while found.len() < 5 {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port() % 9_000 + 20_000;
        let usable = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if usable(port) && usable(port + 10_000) && !found.contains(&port) {
            found.push(port);
        }
    }
    found
}

async fn open(config: Config) -> Result<Arc<Store>, Error> {
    Store::open(config, Arc::new(Json)).await
}

async fn tell(store: &Store, traces: std::ops::Range<u32>) {
    for trace in traces {
        store.append(request(&[Told::new(trace, 1)])).await.unwrap();
    }
}

fn everywhere(store: &Store) -> usize {
    let snapshot = store.snapshot("default");
    let spilled = &snapshot.tables[&Table::Spans].spilled;
    rows_on_disk(&snapshot, Table::Spans)
        + rows_buffered(&snapshot, Table::Spans)
        + spilled
            .iter()
            .map(|file| file.rows() as usize)
            .sum::<usize>()
}

/// Scenario: the server dies while requests come in, with more than memory holds, and comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_server_that_dies_and_comes_back_is_caught_up_with() {
    let Some(mut weed) = Weed::start() else {
        return;
    };
    let disk = tempfile::tempdir().unwrap();
    let memory = 1 << 20;
    let config = Config {
        buffer_bytes_max: memory,
        flush_bytes: memory / 4,
        ..weed.config(disk.path(), "outage")
    };
    let store = open(config.clone()).await.unwrap();
    tell(&store, 0..20).await;
    store.flush().await.unwrap();
    weed.stop();
    let (mut told, began) = (20, Instant::now());
    while store.stats().spilled_bytes == 0 || told < 400 {
        match store.append(request(&[Told::new(told, 1)])).await {
            Ok(_) => told += 1,
            Err(Error::Full { what: "buffer", .. }) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => panic!("{error}"),
        }
        assert!(began.elapsed() < Duration::from_secs(180));
    }
    let stats = store.stats();
    println!(
        "server away: {told} requests acknowledged in {:?}, at most {} bytes in memory, {} on the local disk",
        began.elapsed(),
        stats.buffered_peak,
        stats.spilled_bytes + stats.log_bytes
    );
    assert!(stats.outage.is_some());
    assert_eq!(everywhere(&store), told as usize);
    weed.run();
    let began = Instant::now();
    while store.stats().spilled_bytes > 0 || store.stats().outage.is_some() {
        assert!(
            began.elapsed() < Duration::from_secs(120),
            "{:?}",
            store.stats()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("server back: caught up in {:?}", began.elapsed());
    assert_eq!(everywhere(&store), told as usize);
    store.close().await.unwrap();
    let store = open(config).await.unwrap();
    assert_eq!(rows(&store, Table::Spans), told as usize);
    assert_eq!(spans(&store).await.len(), told as usize);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_on_a_real_server_outlives_its_machine_and_shuts_the_older_out() {
    let Some(weed) = Weed::start() else { return };
    let ledger = tempfile::tempdir().unwrap();
    std::fs::write(ledger.path().join("ledger.key"), "5a".repeat(32)).unwrap();
    let start = async || {
        let disk = tempfile::tempdir().unwrap();
        let config = weed.diskless(disk.path(), "log", ledger.path(), Duration::ZERO);
        (open(config).await.unwrap(), disk)
    };
    let (older, _one) = start().await;
    tell(&older, 0..10).await;
    older.flush().await.unwrap();
    tell(&older, 10..15).await;
    let (newer, _two) = start().await;
    assert_eq!(spans(&newer).await.len(), 15);
    let refused = older
        .append(request(&[Told::new(99, 1)]))
        .await
        .unwrap_err();
    assert!(matches!(refused, Error::LogPoisoned { .. }), "{refused}");
    assert!(older.flush().await.is_err());
    assert!(
        newer
            .append(request(&[Told::new(3, 1)]))
            .await
            .unwrap()
            .duplicate
    );
    newer.close().await.unwrap();
    let (last, _three) = start().await;
    assert_eq!(rows(&last, Table::Spans), 15);
    assert!(
        last.append(request(&[Told::new(3, 1)]))
            .await
            .unwrap()
            .duplicate
    );
    last.close().await.unwrap();
}

/// Prints how long an acknowledgement takes: on the local disk, and in the bucket at two paces.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_acknowledgement_costs() {
    let Some(weed) = Weed::start() else { return };
    let ledger = tempfile::tempdir().unwrap();
    std::fs::write(ledger.path().join("ledger.key"), "5a".repeat(32)).unwrap();
    let paces = [
        ("bucket, group every 250 ms", 250),
        ("bucket, as fast as it goes", 0),
    ];
    let disk = tempfile::tempdir().unwrap();
    let mut stores = vec![("local disk", open(config(disk.path())).await.unwrap(), disk)];
    for (name, ms) in paces {
        let disk = tempfile::tempdir().unwrap();
        let pace = Duration::from_millis(ms);
        let config = weed.diskless(disk.path(), &format!("pace{ms}"), ledger.path(), pace);
        stores.push((name, open(config).await.unwrap(), disk));
    }
    for (name, store, _disk) in stores {
        let mut waits = Vec::new();
        let began = Instant::now();
        // Sixteen clients, one request at a time each.
        let clients: Vec<_> = (0..16_u32)
            .map(|client| {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    let mut waits = Vec::new();
                    for n in 0..30 {
                        let request = request(&[Told::new(client * 1_000 + n, 1)]);
                        let began = Instant::now();
                        store.append(request).await.unwrap();
                        waits.push(began.elapsed());
                    }
                    waits
                })
            })
            .collect();
        for client in clients {
            waits.extend(client.await.unwrap());
        }
        waits.sort();
        let at =
            |share: f64| waits[((waits.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        println!(
            "{name}: p50 {:.1} ms, p99 {:.1} ms, {} requests in {} groups, {:.1} s",
            at(0.5),
            at(0.99),
            waits.len(),
            store.stats().log_syncs,
            began.elapsed().as_secs_f64()
        );
        store.close().await.unwrap();
    }
}
