//! The log in a bucket, and a data directory that is empty at every start: the same promises.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use flyball_store::{Config, Diskless, Error, LogKey, Origin, Store, Table};
use object_store::memory::InMemory;
use object_store::path::Path as Location;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::cable::Cable;
use crate::fixture::*;

/// A bucket, and what a new machine is configured with.
struct Cloud {
    bucket: Arc<InMemory>,
    cable: Arc<Cable>,
    secrets: tempfile::TempDir,
    key: &'static str,
}

/// A store on a machine of its own: its disk goes with it.
struct Machine {
    store: Arc<Store>,
    _disk: tempfile::TempDir,
}

impl Cloud {
    fn new() -> Self {
        let bucket = Arc::new(InMemory::new());
        let secrets = tempfile::tempdir().unwrap();
        std::fs::write(secrets.path().join("ledger.key"), "5a".repeat(32)).unwrap();
        let objects: Arc<dyn ObjectStore> = Arc::<InMemory>::clone(&bucket);
        Self {
            cable: Cable::to(objects),
            bucket,
            secrets,
            key: "07",
        }
    }

    fn ledger_key(&self) -> PathBuf {
        self.secrets.path().join("ledger.key")
    }

    fn config(&self, disk: &Path) -> Config {
        Config {
            diskless: Some(Diskless {
                log_url: "s3://bucket/logs".into(),
                node_id: "n1".into(),
                key: LogKey::from_hex(&self.key.repeat(32)).unwrap(),
                ledger_dir: self.secrets.path().to_owned(),
                group_every: Duration::ZERO,
            }),
            ..config(disk)
        }
    }

    async fn try_start(&self) -> Result<Machine, Error> {
        let disk = tempfile::tempdir().unwrap();
        let url = url::Url::parse("s3://bucket/tables").unwrap();
        let objects = Arc::<Cable>::clone(&self.cable) as _;
        let config = self.config(disk.path());
        let store = Store::open_on(config, Arc::new(Json), objects, url).await?;
        Ok(Machine { store, _disk: disk })
    }

    async fn start(&self) -> Machine {
        self.try_start().await.unwrap()
    }

    /// Objects of the log, oldest first.
    async fn log(&self) -> Vec<Location> {
        use futures::TryStreamExt;
        let prefix = Location::from("logs/n1/log");
        let listed: Vec<_> = self.bucket.list(Some(&prefix)).try_collect().await.unwrap();
        let mut paths: Vec<_> = listed.into_iter().map(|meta| meta.location).collect();
        paths.sort();
        paths
    }
}

async fn tell(store: &Store, traces: std::ops::Range<u32>) {
    for trace in traces {
        let told = [Told::new(trace, 1), Told::new(trace, 2)];
        store.append(request(&told)).await.unwrap();
    }
}

async fn check(store: &Store, traces: u32) {
    assert_eq!(rows(store, Table::Spans), traces as usize * 2);
    assert_eq!(rows(store, Table::Contents), traces as usize * 2);
    assert_eq!(spans(store).await.len(), traces as usize * 2);
}

#[tokio::test]
async fn a_new_machine_has_every_acknowledged_row_once() {
    let cloud = Cloud::new();
    let one = cloud.start().await;
    tell(&one.store, 0..5).await;
    drop(one);
    let two = cloud.start().await;
    check(&two.store, 5).await;
    tell(&two.store, 5..8).await;
    two.store.flush().await.unwrap();
    check(&two.store, 8).await;
    tell(&two.store, 8..12).await;
    drop(two);
    let three = cloud.start().await;
    check(&three.store, 12).await;
    assert_eq!(
        rows_on_disk(&three.store.snapshot("default"), Table::Spans),
        16
    );
    three.store.close().await.unwrap();
    assert_eq!(cloud.log().await.len(), 3, "what is left are the claims");
    let four = cloud.start().await;
    check(&four.store, 12).await;
    tell(&four.store, 12..13).await;
    drop(four);
    check(&cloud.start().await.store, 13).await;
}

/// Scenario: requests, flushes and lost machines in an order that a seed decides.
#[tokio::test]
async fn random_histories_on_machines_that_vanish() {
    let seeds = std::env::var("FLYBALL_SEEDS").map_or(4, |seeds| seeds.parse().unwrap());
    for seed in 0..seeds {
        let cloud = Cloud::new();
        let mut machine = cloud.start().await;
        let (mut told, mut dice) = (0, seed ^ 0x9e37_79b9_7f4a_7c15_u64);
        for _ in 0..24 {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            match (dice >> 33) % 8 {
                0..4 => {
                    tell(&machine.store, told..told + 1).await;
                    told += 1;
                }
                // Fails where a put was not answered, and is tried again by the next.
                4 => drop(machine.store.flush().await),
                // The answer to the next put is lost, whatever it is.
                5 => cloud.cable.lose_answers(1),
                6 => {
                    cloud.cable.lose_answers(0);
                    drop(machine);
                    machine = cloud.start().await;
                }
                _ => {
                    cloud.cable.lose_answers(0);
                    machine.store.close().await.unwrap();
                    machine = cloud.start().await;
                }
            }
            assert_eq!(
                rows(&machine.store, Table::Spans),
                told as usize * 2,
                "seed {seed}"
            );
        }
        check(&machine.store, told).await;
        for trace in 0..told {
            let again = [Told::new(trace, 1), Told::new(trace, 2)];
            let again = machine.store.append(request(&again)).await.unwrap();
            assert!(again.duplicate, "seed {seed}, trace {trace}");
        }
    }
}

#[tokio::test]
async fn a_request_sent_again_is_known_to_the_next_machine_though_the_log_is_cut() {
    let cloud = Cloud::new();
    let one = cloud.start().await;
    let live = || request_at(&[Told::new(1, 1)], Origin::Live, 1_000);
    let import = || request_at(&[Told::new(2, 1)], Origin::Import, 1_000);
    for append in [live(), import()] {
        assert!(!one.store.append(append).await.unwrap().duplicate);
    }
    one.store.close().await.unwrap();
    let two = cloud.start().await;
    assert!(two.store.append(live()).await.unwrap().duplicate);
    assert!(two.store.append(import()).await.unwrap().duplicate);
    // Two hours later the live one is forgotten, the import is not.
    let later = |trace, origin| request_at(&[Told::new(trace, 1)], origin, 10_000);
    assert!(
        two.store
            .append(later(2, Origin::Live))
            .await
            .unwrap()
            .duplicate
    );
    assert!(
        !two.store
            .append(later(1, Origin::Live))
            .await
            .unwrap()
            .duplicate
    );
    two.store.close().await.unwrap();
    let three = cloud.start().await;
    assert!(three.store.append(import()).await.unwrap().duplicate);
    assert_eq!(rows(&three.store, Table::Spans), 3);
}

#[tokio::test]
async fn of_two_with_the_same_id_the_older_acknowledges_and_commits_nothing_more() {
    let cloud = Cloud::new();
    let older = cloud.start().await;
    tell(&older.store, 0..3).await;
    older.store.flush().await.unwrap();
    tell(&older.store, 3..5).await;
    let newer = cloud.start().await;
    check(&newer.store, 5).await;
    let refused = older
        .store
        .append(request(&[Told::new(9, 1)]))
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, Error::LogPoisoned { reason } if reason.contains("node.id")),
        "{refused}"
    );
    assert!(older.store.stats().log_poisoned);
    let refused = older.store.flush().await.unwrap_err();
    assert!(matches!(refused, Error::TakenOver { .. }), "{refused}");
    newer.store.flush().await.unwrap();
    assert!(older.store.flush().await.is_err());
    check(&newer.store, 5).await;
    tell(&newer.store, 5..6).await;
    assert!(older.store.close().await.is_err());
    drop(newer);
    check(&cloud.start().await.store, 6).await;
}

/// Scenario: both have rows for a table that did not exist when the newer one started.
#[tokio::test]
async fn a_table_that_the_older_makes_behind_the_newers_back_doubles_nothing() {
    let cloud = Cloud::new();
    let older = cloud.start().await;
    tell(&older.store, 0..3).await;
    let newer = cloud.start().await;
    check(&newer.store, 3).await;
    // Too late for its log, in time for a table that nobody has shut it out of.
    older.store.flush().await.unwrap();
    let refused = newer.store.flush().await.unwrap_err();
    assert!(matches!(refused, Error::TakenOver { .. }), "{refused}");
    drop(newer);
    check(&cloud.start().await.store, 3).await;
}

#[tokio::test]
async fn damage_names_the_object_and_a_wrong_key_says_so() {
    let mut cloud = Cloud::new();
    let one = cloud.start().await;
    tell(&one.store, 0..4).await;
    drop(one);
    cloud.key = "08";
    let error = cloud.try_start().await.err().unwrap();
    assert!(error.to_string().contains("store.log_key_file"), "{error}");
    cloud.key = "07";
    let paths = cloud.log().await;
    let victim = paths[2].clone();
    let whole = cloud
        .bucket
        .get(&victim)
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    let mut flipped = whole.to_vec();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let other = cloud
        .bucket
        .get(&paths[3])
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    for damaged in [
        flipped,
        whole[..whole.len() - 1].to_vec(),
        Vec::new(),
        other.to_vec(),
    ] {
        cloud.bucket.put(&victim, damaged.into()).await.unwrap();
        let error = cloud.try_start().await.err().unwrap();
        let text = error.to_string();
        assert!(matches!(error, Error::LogCorrupt { .. }), "{text}");
        assert!(text.contains(victim.filename().unwrap()), "{text}");
    }
    cloud.bucket.delete(&victim).await.unwrap();
    let error = cloud.try_start().await.err().unwrap();
    assert!(matches!(error, Error::LogGap { .. }), "{error}");
    cloud.bucket.put(&victim, whole.into()).await.unwrap();
    check(&cloud.start().await.store, 4).await;
}

#[tokio::test]
async fn a_lost_answer_and_an_outage_delay_the_acknowledgement_and_double_nothing() {
    let cloud = Cloud::new();
    let one = cloud.start().await;
    tell(&one.store, 0..1).await;
    cloud.cable.lose_answers(1);
    tell(&one.store, 1..2).await;
    check(&one.store, 2).await;
    cloud.cable.pull();
    let store = Arc::clone(&one.store);
    let waiting = tokio::spawn(async move {
        store
            .append(request(&[Told::new(2, 1), Told::new(2, 2)]))
            .await
    });
    let patience = Instant::now();
    let stalled = loop {
        assert!(patience.elapsed() < Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(100)).await;
        if one.store.stats().log_stalled.is_some() {
            break one
                .store
                .append(request(&[Told::new(3, 1)]))
                .await
                .unwrap_err();
        }
    };
    assert!(matches!(stalled, Error::LogStalled { .. }), "{stalled}");
    assert!(!waiting.is_finished());
    check_rows(&one.store, 4);
    cloud.cable.plug_in();
    assert!(!waiting.await.unwrap().unwrap().duplicate);
    check(&one.store, 3).await;
    // A machine that ends while the bucket is away ends all the same.
    cloud.cable.pull();
    let store = Arc::clone(&one.store);
    let waiting = tokio::spawn(async move {
        store
            .append(request(&[Told::new(3, 1), Told::new(3, 2)]))
            .await
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(
        tokio::time::timeout(Duration::from_secs(60), one.store.close())
            .await
            .unwrap()
            .is_err()
    );
    assert!(waiting.await.unwrap().is_err());
    drop(one);
    cloud.cable.plug_in();
    check(&cloud.start().await.store, 3).await;
}

fn check_rows(store: &Store, spans: usize) {
    assert_eq!(
        rows(store, Table::Spans),
        spans,
        "nothing is shown before it is kept"
    );
}

#[tokio::test]
async fn who_only_looks_takes_nothing_over() {
    let cloud = Cloud::new();
    let dir = tempfile::tempdir().unwrap();
    let url = |folder: &str| {
        let path = dir.path().canonicalize().unwrap().join(folder);
        url::Url::from_file_path(path).unwrap().to_string()
    };
    let config = |disk: &Path| {
        let mut config = cloud.config(disk);
        config.tables_url = Some(url("tables"));
        if let Some(diskless) = &mut config.diskless {
            diskless.log_url = url("logs");
        }
        config
    };
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    let store = Store::open(config(&one), Arc::new(Json)).await.unwrap();
    tell(&store, 0..3).await;
    let log = dir.path().join("logs/n1/log");
    let objects = || std::fs::read_dir(&log).unwrap().count();
    let before = objects();
    std::fs::create_dir_all(two.join("log")).unwrap();
    let reader = Store::open_read_only(config(&two), Arc::new(Json))
        .await
        .unwrap();
    check(&reader, 3).await;
    reader.close().await.unwrap();
    assert_eq!(objects(), before);
    tell(&store, 3..4).await;
    check(&store, 4).await;
}

#[tokio::test]
async fn the_ledger_goes_on_with_the_configured_key_or_not_at_all() {
    let cloud = Cloud::new();
    let one = cloud.start().await;
    let record = |seq: i64| {
        flyball_store::OwnEvent::Audit(flyball_store::rows::AuditRow {
            at: flyball_store::rows::Micros(START_MICROS + seq),
            event: "test".into(),
            actor: "somebody".into(),
            subject: format!("thing:{seq}"),
            ..flyball_store::rows::AuditRow::default()
        })
    };
    one.store.record("default", record(1)).await.unwrap();
    drop(one);
    let two = cloud.start().await;
    two.store.record("default", record(2)).await.unwrap();
    two.store.close().await.unwrap();
    let records = rows(&cloud.start().await.store, Table::Audit);
    assert!(records >= 3, "two records and a checkpoint: {records}");
    std::fs::remove_file(cloud.ledger_key()).unwrap();
    let error = cloud.try_start().await.err().unwrap();
    assert!(matches!(error, Error::LedgerKey { .. }), "{error}");
}
