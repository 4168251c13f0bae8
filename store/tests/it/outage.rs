//! The object store is away for long: requests go on being acknowledged within the memory limit until the disk
//! limit, every row stays readable, and when it is back everything is caught up by itself.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flyball_store::rows::{ChargeRow, Entry, Row};
use flyball_store::{Config, DurableLocal, Error, JournalUpdate, Origin, Store, Table};

use crate::cable::Cable;
use crate::fixture::*;

/// Small enough that a test outgrows it: a request of a few spans takes some ten kilobytes in memory.
const MEMORY: u64 = 1 << 20;

fn small(dir: &Path) -> Config {
    Config {
        buffer_bytes_max: MEMORY,
        flush_bytes: MEMORY / 4,
        ..config(dir)
    }
}

async fn open(config: Config, cable: &Arc<Cable>) -> Arc<Store> {
    let tables = config.data_dir.join("tables");
    std::fs::create_dir_all(&tables).unwrap();
    let url = url::Url::from_directory_path(tables.canonicalize().unwrap()).unwrap();
    let patience = Instant::now();
    loop {
        let objects = Arc::<Cable>::clone(cable) as _;
        let opened = Store::open_on(config.clone(), Arc::new(Json), objects, url.clone()).await;
        match opened {
            // A flush of the one that was dropped is not through.
            Err(Error::Locked { .. }) if patience.elapsed() < Duration::from_secs(20) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            opened => return opened.unwrap(),
        }
    }
}

/// Spans of a trace; names long enough that few fill the memory.
fn trace(trace: u32) -> Vec<Told> {
    let told = |span| Told {
        name: format!("{trace}-{span}-").repeat(400),
        ..Told::new(trace, span)
    };
    (1..=8).map(told).collect()
}

/// Tells one more trace, waiting politely while memory is full; its bytes in the log.
async fn tell(store: &Store, number: u32) -> Result<u64, Error> {
    let request = request(&trace(number));
    let bytes = request.body.len() as u64;
    let patience = Instant::now();
    loop {
        let told = store.append(self::request(&trace(number))).await;
        match told {
            Err(Error::Full { what: "buffer", .. })
                if patience.elapsed() < Duration::from_secs(20) =>
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            told => return told.map(|_| bytes),
        }
    }
}

fn charge(number: u32) -> JournalUpdate {
    let row = ChargeRow {
        charge_id: format!("charge-{number}"),
        entry: Entry::Charge.as_str().into(),
        trace_id: Told::new(number, 1).trace_id(),
        calls: 1,
        ..ChargeRow::default()
    };
    JournalUpdate {
        settled: vec![row.trace_id.clone()],
        resolved_to: u64::from(number),
        ..JournalUpdate::of(&[row]).unwrap()
    }
}

/// Everything of these traces, each span and charge once, wherever it lies.
async fn check(store: &Store, traces: u32) {
    let ids: Vec<_> = (0..traces)
        .map(|number| Told::new(number, 1).trace_id())
        .collect();
    let found = store.traces("default", &ids).await.unwrap();
    let spans: usize = found.spans.iter().map(|batch| batch.num_rows()).sum();
    assert_eq!(spans, traces as usize * 8);
    let charges: Vec<_> = found
        .charges
        .iter()
        .flat_map(|batch| ChargeRow::read(batch).unwrap())
        .map(|row| row.charge_id)
        .collect();
    let different: BTreeSet<_> = charges.iter().collect();
    assert_eq!(
        (charges.len(), different.len()),
        (traces as usize, traces as usize)
    );
    let all = rows_everywhere(store, Table::Spans);
    assert_eq!(all, traces as usize * 8, "no span is told twice here");
    assert_eq!(rows_everywhere(store, Table::Contents), all);
    assert_eq!(rows_everywhere(store, Table::Charges), traces as usize);
}

fn rows_everywhere(store: &Store, table: Table) -> usize {
    let snapshot = store.snapshot("default");
    let spilled = &snapshot.tables[&table].spilled;
    rows_on_disk(&snapshot, table)
        + rows_buffered(&snapshot, table)
        + spilled
            .iter()
            .map(|file| file.rows() as usize)
            .sum::<usize>()
}

async fn caught_up(store: &Store) {
    let patience = Instant::now();
    while store.stats().spilled_bytes > 0 || store.stats().outage.is_some() {
        assert!(
            patience.elapsed() < Duration::from_secs(60),
            "{:?}",
            store.stats()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Scenario: far more comes in than memory holds, then the store comes back.
#[tokio::test]
async fn with_the_store_away_memory_stays_bounded_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let cable = Cable::to(Arc::new(DurableLocal::new()));
    let store = open(small(dir.path()), &cable).await;
    let mut told = 0;
    for _ in 0..5 {
        tell(&store, told).await.unwrap();
        store
            .journal("default", Origin::Live, charge(told))
            .unwrap();
        told += 1;
    }
    store.flush().await.unwrap();
    cable.pull();
    let (mut peak, mut log) = (0, 0);
    while log < 3 * MEMORY {
        log += tell(&store, told).await.unwrap();
        store
            .journal("default", Origin::Live, charge(told))
            .unwrap();
        told += 1;
        peak = peak.max(store.stats().buffered_bytes);
    }
    let stats = store.stats();
    assert!(peak <= MEMORY + MEMORY / 16, "{peak} bytes in memory");
    assert!(
        stats.spilled_bytes > 0 && stats.outage.is_some(),
        "{stats:?}"
    );
    assert!(stats.log_bytes >= 3 * MEMORY, "the log has it all");
    // What is on the far side cannot be read now, and says so; what is on ours can.
    let ours: Vec<_> = (5..told)
        .map(|number| Told::new(number, 1).trace_id())
        .collect();
    assert!(store.traces("default", &ours).await.is_err());
    assert_eq!(rows_everywhere(&store, Table::Spans), told as usize * 8);
    cable.plug_in();
    check(&store, told).await;
    caught_up(&store).await;
    check(&store, told).await;
    store.flush().await.unwrap();
    assert_eq!(rows(&store, Table::Spans), told as usize * 8);
    assert_eq!(store.stats().log_bytes, 0, "nothing holds the log any more");
    assert_eq!(
        std::fs::read_dir(dir.path().join("spill")).unwrap().count(),
        0
    );
    store.close().await.unwrap();
    check(&*open(small(dir.path()), &cable).await, told).await;
}

/// Scenario: files are uploaded, the answer to the commit is lost, and then the store is away.
#[tokio::test]
async fn a_commit_of_unknown_outcome_leaves_memory_too_and_is_made_once() {
    for made in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let cable = Cable::to(Arc::new(DurableLocal::new()));
        let store = open(small(dir.path()), &cable).await;
        for number in 0..3 {
            tell(&store, number).await.unwrap();
            store
                .journal("default", Origin::Live, charge(number))
                .unwrap();
        }
        store.flush().await.unwrap();
        let mut told = 3;
        for _ in 0..4 {
            tell(&store, told).await.unwrap();
            store
                .journal("default", Origin::Live, charge(told))
                .unwrap();
            told += 1;
        }
        cable.snap_at(".json", made);
        assert!(store.flush().await.is_err());
        while store.stats().spilled_bytes == 0 {
            tell(&store, told).await.unwrap();
            store
                .journal("default", Origin::Live, charge(told))
                .unwrap();
            told += 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(rows_everywhere(&store, Table::Spans), told as usize * 8);
        cable.plug_in();
        caught_up(&store).await;
        check(&store, told).await;
        // A crash now, with the log not cut yet, doubles nothing.
        drop(store);
        let store = open(small(dir.path()), &cable).await;
        assert_eq!(rows_everywhere(&store, Table::Spans), told as usize * 8);
    }
}

/// Scenario: the disk limit is reached while the store is away; then it is back.
#[tokio::test]
async fn at_the_disk_limit_requests_are_refused_politely_and_taken_again_later() {
    let dir = tempfile::tempdir().unwrap();
    let cable = Cable::to(Arc::new(DurableLocal::new()));
    let limit = 2 * MEMORY;
    let config = Config {
        log_bytes_max: limit,
        ..small(dir.path())
    };
    let store = open(config, &cable).await;
    cable.pull();
    let mut told = 0;
    let full = loop {
        match tell(&store, told).await {
            Ok(_) => told += 1,
            Err(full) => break full,
        }
    };
    let Error::Full {
        what: "disk",
        used,
        limit: said,
        retry_after_ms,
    } = full
    else {
        panic!("{full}");
    };
    assert!(used > limit / 2 && said == limit && retry_after_ms > 0);
    assert!(store.stats().refused > 0);
    assert_eq!(rows_everywhere(&store, Table::Spans), told as usize * 8);
    cable.plug_in();
    let patience = Instant::now();
    while tell(&store, told).await.is_err() {
        assert!(patience.elapsed() < Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    told += 1;
    assert_eq!(rows_everywhere(&store, Table::Spans), told as usize * 8);
    store.close().await.unwrap();
}

/// Scenario: a crash in the middle of the outage. Spilled files are memory: the log tells it all again.
#[tokio::test]
async fn a_crash_while_rows_are_spilled_loses_and_doubles_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let cable = Cable::to(Arc::new(DurableLocal::new()));
    let store = open(small(dir.path()), &cable).await;
    cable.pull();
    let mut told = 0;
    while store.stats().spilled_bytes == 0 || told < 60 {
        tell(&store, told).await.unwrap();
        told += 1;
    }
    drop(store);
    cable.plug_in();
    let store = open(small(dir.path()), &cable).await;
    assert_eq!(rows_everywhere(&store, Table::Spans), told as usize * 8);
    store.close().await.unwrap();
}

/// Scenario: a log several times longer than memory is replayed, by its owner and by who only looks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_longer_than_memory_is_replayed_within_it() {
    let dir = tempfile::tempdir().unwrap();
    let cable = Cable::to(Arc::new(DurableLocal::new()));
    let roomy = Config {
        buffer_bytes_max: 1 << 30,
        ..config(dir.path())
    };
    let store = open(roomy, &cable).await;
    let mut told = 0;
    while store.stats().log_bytes < 4 * MEMORY {
        for _ in 0..20 {
            tell(&store, told).await.unwrap();
            told += 1;
        }
    }
    assert!(store.stats().buffered_bytes > 4 * MEMORY);
    drop(store);
    let all = told as usize * 8;
    let reader = Store::open_read_only(small(dir.path()), Arc::new(Json))
        .await
        .unwrap();
    let stats = reader.stats();
    assert!(stats.buffered_bytes <= MEMORY, "{}", stats.buffered_bytes);
    assert_eq!(rows_everywhere(&reader, Table::Spans), all);
    assert_eq!(spans(&reader).await.len(), all);
    reader.close().await.unwrap();
    let store = open(small(dir.path()), &cable).await;
    let stats = store.stats();
    assert!(stats.buffered_peak <= 2 * MEMORY, "{}", stats.buffered_peak);
    assert_eq!(rows_everywhere(&store, Table::Spans), all);
    assert_eq!(spans(&store).await.len(), all);
}

#[tokio::test]
async fn whoever_listens_and_falls_behind_holds_requests_up_and_not_our_own_events() {
    let dir = tempfile::tempdir().unwrap();
    let limit = 256 << 10;
    let config = Config {
        queue_bytes_max: limit,
        ..config(dir.path())
    };
    let store = Store::open(config, Arc::new(Json)).await.unwrap();
    let mut slow = store.subscribe_to(&[Table::Spans], false);
    let mut told = 0;
    let full = loop {
        match tell(&store, told).await {
            Ok(_) => told += 1,
            Err(full) => break full,
        }
    };
    let Error::Full {
        what: "queue",
        used,
        limit: said,
        ..
    } = full
    else {
        panic!("{full}");
    };
    assert!(used > limit && said == limit && told > 0);
    assert!(matches!(
        store.has_room(0),
        Err(Error::Full { what: "queue", .. })
    ));
    let event = flyball_store::OwnEvent::Alert(flyball_store::rows::AlertRow::default());
    store.record("default", event).await.unwrap();
    assert_eq!(store.stats().queued_events, u64::from(told));
    while slow.try_recv().is_ok() {}
    store.has_room(0).unwrap();
    tell(&store, told).await.unwrap();
    drop(slow);
    store.close().await.unwrap();
}
