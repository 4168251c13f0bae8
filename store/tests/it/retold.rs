//! Spans told more than once, and files written anew under readers' eyes: whatever is flushed, merged, deleted,
//! interrupted or read back in between, every span shows exactly once, in its latest telling.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::compute::filter_record_batch;
use bytes::Bytes;
use flyball_store::rows::{ChargeRow, ContentRow, Date, Entry, Micros, Row, SpanRow};
use flyball_store::{
    Append, Config, Decoder, Encoding, FrameKind, Header, JournalUpdate, Maintenance, Origin,
    Signal, Snapshot, Store, Table,
};
use object_store::ObjectStore;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use sha2::{Digest, Sha256};

use crate::faulty::{Fault, Faulty};
use crate::fixture::{DAY_MICROS, START_MICROS};

/// A telling of a span.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Telling {
    trace: u32,
    span: u32,
    name: String,
    agent: String,
    day: i64,
    content: bool,
}

impl Telling {
    fn new(trace: u32, span: u32, name: &str) -> Self {
        Self {
            trace,
            span,
            name: name.into(),
            agent: format!("agent-{}", trace % 3),
            day: 0,
            content: true,
        }
    }

    fn id(&self) -> (String, String) {
        (
            format!("{:032x}", self.trace),
            format!("{:016x}", self.span),
        )
    }

    fn row(&self) -> SpanRow {
        let start = START_MICROS + self.day * DAY_MICROS + i64::from(self.trace);
        let (trace_id, span_id) = self.id();
        SpanRow {
            date: Date::of_micros(start),
            start_time: Micros(start),
            start_unix_nano: start * 1_000,
            trace_id,
            span_id,
            name: self.name.clone(),
            agent_name: Some(self.agent.clone()),
            status: "ok".into(),
            ..SpanRow::default()
        }
    }

    fn content(&self) -> ContentRow {
        let row = self.row();
        ContentRow {
            date: row.date,
            start_time: row.start_time,
            trace_id: row.trace_id,
            span_id: row.span_id,
            input: Some(self.name.clone()),
            bytes: self.name.len() as i64,
            ..ContentRow::default()
        }
    }
}

#[derive(Debug)]
struct Tellings;

impl Decoder for Tellings {
    fn decode(&self, _: &Header, body: &Bytes) -> Result<Vec<(Table, RecordBatch)>, String> {
        let told: Vec<Telling> = serde_json::from_slice(body).map_err(|e| e.to_string())?;
        let spans: Vec<_> = told.iter().map(Telling::row).collect();
        let contents = told.iter().filter(|telling| telling.content);
        let contents: Vec<_> = contents.map(Telling::content).collect();
        Ok(vec![
            (Table::Spans, SpanRow::batch(&spans).unwrap()),
            (Table::Contents, ContentRow::batch(&contents).unwrap()),
        ])
    }
}

async fn tell(store: &Store, told: &[Telling]) {
    static NEXT: std::sync::atomic::AtomicI64 = std::sync::atomic::AtomicI64::new(1);
    let body = Bytes::from(serde_json::to_vec(told).unwrap());
    let second = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let mut digest = Sha256::new();
    digest.update(&body);
    digest.update(second.to_le_bytes());
    let header = Header {
        kind: FrameKind::Otlp,
        origin: Origin::Live,
        received_at_unix_nano: second * 1_000_000_000,
        workspace: "default".into(),
        key: None,
        signal: Signal::Traces,
        encoding: Encoding::Json,
        rejected: Vec::new(),
        digest: digest.finalize().into(),
    };
    let batches = Tellings.decode(&header, &body).unwrap();
    let append = Append {
        header,
        body,
        batches,
    };
    assert!(!store.append(append).await.unwrap().duplicate);
}

/// Flushes and maintains only when asked; then whatever nobody lists goes at once.
fn config(dir: &Path) -> Config {
    Config {
        flush_age: Duration::from_secs(3_600),
        maintenance: Maintenance {
            every: Duration::ZERO,
            vacuum_after: Duration::ZERO,
            orphan_after: Duration::ZERO,
            log_after: Duration::ZERO,
            ..Maintenance::default()
        },
        ..Config::local(dir)
    }
}

async fn open(dir: &Path) -> Arc<Store> {
    Store::open(config(dir), Arc::new(Tellings)).await.unwrap()
}

async fn open_on(dir: &Path, faulty: &Arc<Faulty>) -> Arc<Store> {
    let tables = dir.join("tables");
    std::fs::create_dir_all(&tables).unwrap();
    let url = url::Url::from_directory_path(tables.canonicalize().unwrap()).unwrap();
    let object_store: Arc<dyn ObjectStore> = Arc::<Faulty>::clone(faulty);
    Store::open_on(config(dir), Arc::new(Tellings), object_store, url)
        .await
        .unwrap()
}

/// The rows a reader sees: files that the table lists and the buffer, without what was told again.
fn shown(dir: &Path, snapshot: &Snapshot, table: Table) -> Vec<RecordBatch> {
    let table = &snapshot.tables[&table];
    let mut batches = table.buffered.clone();
    if let Some(delta) = &table.delta {
        for file in delta.snapshot().unwrap().log_data().iter() {
            let folder = dir.join("tables/default").join(table.table.name());
            let file = std::fs::File::open(folder.join(file.path().as_ref())).unwrap();
            let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
            batches.extend(reader.build().unwrap().map(Result::unwrap));
        }
    }
    let standing = batches.iter().map(|batch| {
        let column = |name| batch.column_by_name(name).unwrap();
        let mask = table.superseded.standing(
            arrow::array::AsArray::as_string::<i32>(column("trace_id")),
            arrow::array::AsArray::as_string::<i32>(column("span_id")),
            arrow::array::AsArray::as_primitive(column("log_position")),
        );
        filter_record_batch(batch, &mask).unwrap()
    });
    standing.collect()
}

/// By span: what it is called, in a list should there be more than one.
fn names(dir: &Path, store: &Store, table: Table) -> BTreeMap<(String, String), Vec<String>> {
    let column = if table == Table::Spans {
        "name"
    } else {
        "input"
    };
    let mut found: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for batch in shown(dir, &store.snapshot("default"), table) {
        let text = |name| {
            let column = batch.column_by_name(name).unwrap();
            arrow::array::AsArray::as_string::<i32>(column).clone()
        };
        let (traces, spans, names) = (text("trace_id"), text("span_id"), text(column));
        for row in 0..batch.num_rows() {
            let id = (traces.value(row).to_owned(), spans.value(row).to_owned());
            found
                .entry(id)
                .or_default()
                .push(names.value(row).to_owned());
        }
    }
    found
}

fn files(store: &Store, table: Table) -> u64 {
    let stats = store.stats();
    let found = stats.tables.iter().find(|stats| stats.table == table);
    found.unwrap().files
}

fn on_disk(dir: &Path, table: Table) -> usize {
    let mut count = 0;
    let mut folders = vec![dir.join("tables/default").join(table.name())];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                if entry.file_name() != "_delta_log" {
                    folders.push(entry.path());
                }
            } else {
                count += 1;
            }
        }
    }
    count
}

fn wanted(told: &[&Telling]) -> BTreeMap<(String, String), Vec<String>> {
    let entry = |telling: &&Telling| (telling.id(), vec![telling.name.clone()]);
    told.iter().map(entry).collect()
}

#[tokio::test]
async fn a_span_told_again_shows_once_at_every_moment() {
    let pending = Telling::new(1, 1, "pending");
    let renamed = Telling {
        agent: "another".into(),
        ..Telling::new(1, 1, "final")
    };
    let moved = Telling {
        day: 1,
        ..Telling::new(1, 1, "final")
    };
    let other = Telling::new(2, 1, "other");
    for last in [renamed, moved, Telling::new(1, 1, "final")] {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path()).await;
        tell(&store, &[pending.clone(), other.clone()]).await;
        store.flush().await.unwrap();
        let both = |store: &Store, what: &str, telling: &Telling| {
            for table in [Table::Spans, Table::Contents] {
                let found = names(dir.path(), store, table);
                assert_eq!(found, wanted(&[telling, &other]), "{what}, {table:?}");
            }
        };
        both(&store, "pending", &pending);
        tell(&store, std::slice::from_ref(&last)).await;
        both(&store, "told again, in the buffer", &last);
        drop(store);
        store = open(dir.path()).await;
        both(&store, "after a crash", &last);
        store.flush().await.unwrap();
        both(&store, "told again, flushed", &last);
        store.close().await.unwrap();
        store = open(dir.path()).await;
        both(&store, "after a restart", &last);
        let before = store.snapshot("default");
        let done = store.maintain().await.unwrap();
        assert_eq!(done.duplicates, 2, "one span, one content");
        both(&store, "after maintenance", &last);
        assert!(
            store.snapshot("default").tables[&Table::Spans]
                .superseded
                .is_empty()
        );
        assert!(!before.tables[&Table::Spans].superseded.is_empty());
        // A third time, now that nothing of it is in memory.
        let third = Telling::new(1, 1, "third");
        tell(&store, std::slice::from_ref(&third)).await;
        store.flush().await.unwrap();
        both(&store, "a third time", &third);
        store.maintain().await.unwrap();
        both(&store, "a third time, after maintenance", &third);
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn many_small_files_become_one_a_day_and_the_old_ones_go() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    for trace in 0..12 {
        let told = (0..2).map(|day| Telling {
            day,
            ..Telling::new(trace, day as u32, "x")
        });
        tell(&store, &told.collect::<Vec<_>>()).await;
        store.flush().await.unwrap();
    }
    assert_eq!(files(&store, Table::Spans), 24);
    let before = names(dir.path(), &store, Table::Spans);
    let done = store.maintain().await.unwrap();
    assert_eq!(
        (files(&store, Table::Spans), files(&store, Table::Contents)),
        (2, 2)
    );
    assert_eq!(
        (done.compactions, done.files_in, done.files_out),
        (4, 48, 4)
    );
    assert_eq!((done.duplicates, done.files_vacuumed), (0, 48));
    assert_eq!(
        (
            on_disk(dir.path(), Table::Spans),
            on_disk(dir.path(), Table::Contents)
        ),
        (2, 2)
    );
    assert_eq!(names(dir.path(), &store, Table::Spans), before);
    assert_eq!(
        store.maintain().await.unwrap().compactions,
        0,
        "nothing is left to do"
    );
    assert!(
        store
            .stats()
            .tables
            .iter()
            .any(|table| table.compacted.is_some())
    );
    store.close().await.unwrap();
    let store = open(dir.path()).await;
    assert_eq!(names(dir.path(), &store, Table::Spans), before);
}

#[tokio::test]
async fn a_reader_keeps_its_files_until_the_vacuum() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.maintenance.vacuum_after = Duration::from_secs(3_600);
    let store = Store::open(config, Arc::new(Tellings)).await.unwrap();
    for trace in 0..3 {
        tell(&store, &[Telling::new(trace, 1, "x")]).await;
        store.flush().await.unwrap();
    }
    let early = store.snapshot("default");
    let done = store.maintain().await.unwrap();
    assert_eq!((done.files_out, done.files_vacuumed), (2, 0));
    let rows = |snapshot| -> usize {
        let batches = shown(dir.path(), snapshot, Table::Spans);
        batches.iter().map(RecordBatch::num_rows).sum()
    };
    assert_eq!((rows(&early), rows(&store.snapshot("default"))), (3, 3));
}

#[tokio::test]
async fn many_commits_make_checkpoints_and_the_log_behind_them_goes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    for trace in 0..110 {
        let telling = Telling {
            content: false,
            ..Telling::new(trace, 1, "x")
        };
        tell(&store, &[telling]).await;
        store.flush().await.unwrap();
    }
    let log = dir.path().join("tables/default/spans/_delta_log");
    let entries = |suffix: &str| {
        let names = std::fs::read_dir(&log).unwrap().map(Result::unwrap);
        let names = names.map(|entry| entry.file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(suffix)).count()
    };
    assert_eq!(entries(".checkpoint.parquet"), 1);
    assert!(entries(".json") > 100);
    let done = store.maintain().await.unwrap();
    assert!(done.log_entries_deleted > 90, "{done:?}");
    assert!(entries(".json") < 50, "{} entries", entries(".json"));
    // The store goes on without them.
    tell(&store, &[Telling::new(1_000, 1, "x")]).await;
    store.flush().await.unwrap();
    store.maintain().await.unwrap();
    store.close().await.unwrap();
    let store = open(dir.path()).await;
    assert_eq!(names(dir.path(), &store, Table::Spans).len(), 111);
}

#[tokio::test]
async fn days_past_their_retention_leave_and_only_where_it_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let old = Telling::new(1, 1, "old");
    let today = {
        let days = (chrono::Utc::now().timestamp_micros() - START_MICROS) / DAY_MICROS;
        Telling {
            day: days,
            ..Telling::new(2, 1, "today")
        }
    };
    tell(&store, &[old.clone(), today.clone()]).await;
    store.close().await.unwrap();
    let mut config = config(dir.path());
    config.maintenance.retain = vec![flyball_store::Retain {
        workspace: Some("default".into()),
        table: Table::Contents,
        days: 2,
    }];
    let store = Store::open(config, Arc::new(Tellings)).await.unwrap();
    let done = store.maintain().await.unwrap();
    assert_eq!(
        (done.files_expired, done.rows_expired, done.files_vacuumed),
        (1, 1, 1)
    );
    assert_eq!(
        names(dir.path(), &store, Table::Contents),
        wanted(&[&today])
    );
    assert_eq!(
        names(dir.path(), &store, Table::Spans),
        wanted(&[&old, &today])
    );
    assert_eq!(store.maintain().await.unwrap().files_expired, 0);
}

/// A small generator: the same seed, the same history.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn charge(n: u32) -> ChargeRow {
    let telling = Telling::new(n, 1, "x");
    ChargeRow {
        charge_id: format!("charge-{n}"),
        entry: Entry::Charge.as_str().into(),
        trace_id: telling.id().0,
        calls: 1,
        ..ChargeRow::default()
    }
}

async fn history(seed: u64) {
    let mut dice = Dice(seed);
    let dir = tempfile::tempdir().unwrap();
    let faulty = Faulty::new();
    let mut store = open_on(dir.path(), &faulty).await;
    let (mut spans, mut contents) = (BTreeMap::new(), BTreeMap::new());
    let (mut charges, mut flushed) = (0, 0);
    for step in 0..40 {
        let at = format!("seed {seed}, step {step}");
        match dice.roll(12) {
            0..5 => {
                let told: Vec<_> = (0..=dice.roll(3))
                    .map(|_| {
                        let (trace, span) = (dice.roll(6) as u32, dice.roll(3) as u32);
                        Telling {
                            agent: format!("agent-{}", dice.roll(3)),
                            day: dice.roll(3) as i64,
                            content: dice.roll(2) == 0,
                            ..Telling::new(trace, span, &format!("{step}"))
                        }
                    })
                    .collect();
                tell(&store, &told).await;
                for telling in told {
                    if telling.content {
                        contents.insert(telling.id(), vec![telling.name.clone()]);
                    }
                    spans.insert(telling.id(), vec![telling.name]);
                }
                let update = JournalUpdate {
                    settled: vec![charge(charges).trace_id],
                    ..JournalUpdate::of(&[charge(charges)]).unwrap()
                };
                store.journal("default", Origin::Live, update).unwrap();
                charges += 1;
            }
            step @ 5..10 => {
                let fault = [
                    None,
                    Some(Fault::Before),
                    Some(Fault::After),
                    Some(Fault::AfterThenDown),
                ];
                let fault = fault[dice.roll(4) as usize];
                let suffix = [".parquet", ".json"][dice.roll(2) as usize];
                if let Some(fault) = fault {
                    faulty.fail(fault, suffix, 1 + dice.roll(8) as usize);
                }
                let outcome = if step < 8 {
                    store.flush().await
                } else {
                    store.maintain().await.map(drop)
                };
                assert!(outcome.is_ok() || fault.is_some(), "{at}: {outcome:?}");
                faulty.heal();
                if dice.roll(2) == 0 {
                    store.flush().await.unwrap();
                    flushed = charges;
                }
            }
            _ => {
                if dice.roll(2) == 0 {
                    store.close().await.unwrap();
                    flushed = charges;
                }
                drop(store);
                store = open_on(dir.path(), &faulty).await;
                let known: usize = shown(dir.path(), &store.snapshot("default"), Table::Charges)
                    .iter()
                    .map(RecordBatch::num_rows)
                    .sum();
                assert!(
                    known >= flushed as usize,
                    "{at}: {known} charges of {flushed}"
                );
                charges = known as u32;
            }
        }
        assert_eq!(names(dir.path(), &store, Table::Spans), spans, "{at}");
        assert_eq!(names(dir.path(), &store, Table::Contents), contents, "{at}");
        let rows = shown(dir.path(), &store.snapshot("default"), Table::Charges);
        let rows: usize = rows.iter().map(RecordBatch::num_rows).sum();
        assert_eq!(rows, charges as usize, "{at}");
    }
    store.maintain().await.unwrap();
    store.flush().await.unwrap();
    store.maintain().await.unwrap();
    for (table, wanted) in [(Table::Spans, &spans), (Table::Contents, &contents)] {
        let snapshot = store.snapshot("default");
        assert!(snapshot.tables[&table].superseded.is_empty(), "seed {seed}");
        let rows = crate::fixture::rows_on_disk(&snapshot, table);
        assert_eq!(rows, wanted.len(), "seed {seed}: {table:?} on disk");
        assert_eq!(
            on_disk(dir.path(), table) as u64,
            files(&store, table),
            "seed {seed}"
        );
    }
}

#[tokio::test]
async fn random_histories_show_each_span_once_in_its_latest_telling() {
    let seeds = std::env::var("FLYBALL_SEEDS").ok();
    let seeds: u64 = seeds.and_then(|seeds| seeds.parse().ok()).unwrap_or(4);
    let seeds: Vec<u64> = (1..=seeds).collect();
    for some in seeds.chunks(4) {
        futures::future::join_all(some.iter().map(|seed| history(*seed))).await;
    }
}
