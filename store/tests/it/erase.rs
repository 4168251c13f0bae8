//! A subject that was erased is nowhere on the disk any more, and no sum has changed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use bytes::Bytes;
use flyball_store::rows::{
    AuditRow, ChargeRow, ContentRow, Date, Entry, LogRow, MetricRow, Micros, Row, SpanRow,
};
use flyball_store::{
    Append, BackupOptions, BackupPlace, BackupProgress, Config, Decoder, Encoding, FrameKind,
    Header, JournalUpdate, Maintenance, Origin, OwnEvent, RestoreOptions, Signal, Store, Subject,
    SubjectKind, Table, restore, verify_ledger,
};
use object_store::ObjectStore;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rust_decimal::Decimal;
use sha2::{Digest, Sha256};

use crate::faulty::{Fault, Faulty};

const ADA: &str = "ada-lovelace-1815";
const BOB: &str = "bob-babbage-1791";

/// A span and who it was for; only the first of a trace says so.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
struct Said {
    trace: u32,
    span: u32,
    user: String,
}

impl Said {
    fn row(&self) -> SpanRow {
        let start = 1_790_000_000_000_000 + i64::from(self.trace % 2) * 86_400_000_000;
        SpanRow {
            date: Date::of_micros(start),
            start_time: Micros(start),
            trace_id: format!("{:032x}", self.trace),
            span_id: format!("{:016x}", self.span),
            name: format!("call {}", self.span),
            user_id: (self.span == 1).then(|| self.user.clone()),
            session_id: (self.span == 1).then(|| format!("session of {}", self.user)),
            tenant: Some("acme".into()),
            attributes: Some(format!("{{\"note\":\"for {}\"}}", self.user)),
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
            input: Some(format!("my name is {}", self.user)),
            ..ContentRow::default()
        }
    }

    /// Sent in the trace without a name, or in no trace with it.
    fn log(&self) -> LogRow {
        let (row, traced) = (self.row(), self.span < 3);
        LogRow {
            date: row.date,
            time: row.start_time,
            trace_id: traced.then_some(row.trace_id),
            user_id: (!traced).then(|| self.user.clone()),
            body: Some(format!("a line about {}", self.user)),
            ..LogRow::default()
        }
    }

    fn metric(&self) -> MetricRow {
        let row = self.row();
        MetricRow {
            date: row.date,
            time: row.start_time,
            user_id: Some(self.user.clone()),
            ..MetricRow::default()
        }
    }

    fn charge(&self) -> ChargeRow {
        let row = self.row();
        ChargeRow {
            date: row.date,
            start_time: row.start_time,
            charge_id: format!("charge-{}-{}", self.trace, self.span),
            entry: Entry::Charge.as_str().into(),
            trace_id: row.trace_id,
            span_id: row.span_id,
            // The resolver knows from the trace what the span itself does not say.
            user_id: Some(self.user.clone()),
            session_id: Some(format!("session of {}", self.user)),
            tenant: row.tenant,
            cost_usd: Some(Decimal::new(i64::from(self.trace) + 1, 3)),
            input_tokens: Some(10),
            calls: 1,
            ..ChargeRow::default()
        }
    }
}

#[derive(Debug)]
struct SaidSo;

impl Decoder for SaidSo {
    fn decode(&self, _: &Header, body: &Bytes) -> Result<Vec<(Table, RecordBatch)>, String> {
        let said: Vec<Said> = serde_json::from_slice(body).map_err(|e| e.to_string())?;
        let spans: Vec<_> = said.iter().map(Said::row).collect();
        let contents: Vec<_> = said.iter().map(Said::content).collect();
        let logs: Vec<_> = said.iter().map(Said::log).collect();
        let metrics: Vec<_> = said.iter().map(Said::metric).collect();
        Ok(vec![
            (Table::Spans, SpanRow::batch(&spans).unwrap()),
            (Table::Contents, ContentRow::batch(&contents).unwrap()),
            (Table::Logs, LogRow::batch(&logs).unwrap()),
            (Table::Metrics, MetricRow::batch(&metrics).unwrap()),
        ])
    }
}

/// Three spans a trace.
fn said(trace: u32) -> Vec<Said> {
    let user = if trace.is_multiple_of(3) { ADA } else { BOB };
    let span = |span| Said {
        trace,
        span,
        user: user.into(),
    };
    (1..=3).map(span).collect()
}

async fn tell(store: &Store, traces: std::ops::Range<u32>) {
    for trace in traces {
        let said = said(trace);
        let body = Bytes::from(serde_json::to_vec(&said).unwrap());
        let header = Header {
            kind: FrameKind::Otlp,
            origin: Origin::Live,
            received_at_unix_nano: 1,
            workspace: "default".into(),
            key: None,
            signal: Signal::Traces,
            encoding: Encoding::Json,
            rejected: Vec::new(),
            digest: Sha256::digest(&body).into(),
        };
        let batches = SaidSo.decode(&header, &body).unwrap();
        let append = Append {
            header,
            body,
            batches,
        };
        store.append(append).await.unwrap();
        let update = JournalUpdate {
            settled: vec![said[0].row().trace_id],
            ..JournalUpdate::of(&said.iter().map(Said::charge).collect::<Vec<_>>()).unwrap()
        };
        store.journal("default", Origin::Live, update).unwrap();
    }
}

fn config(dir: &Path) -> Config {
    Config {
        flush_age: Duration::from_secs(3_600),
        maintenance: Maintenance {
            every: Duration::ZERO,
            erased_after: Duration::ZERO,
            ..Maintenance::default()
        },
        ..Config::local(dir)
    }
}

async fn open(dir: &Path) -> Arc<Store> {
    Store::open(config(dir), Arc::new(SaidSo)).await.unwrap()
}

fn ada() -> Subject {
    Subject {
        kind: SubjectKind::User,
        name: ADA.into(),
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

/// Files that hold a text: as bytes, or in a value of a Parquet file.
fn holding(dir: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = files(dir);
    found.retain(|path| {
        let bytes = std::fs::read(path).unwrap();
        let plain = bytes
            .windows(text.len())
            .any(|part| part == text.as_bytes());
        plain || path.extension().is_some_and(|e| e == "parquet") && in_values(path, text)
    });
    found
}

fn in_values(path: &Path, text: &str) -> bool {
    let file = std::fs::File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let mut batches = reader.build().unwrap().map(Result::unwrap);
    batches.any(|batch| {
        let rows = arrow::util::pretty::pretty_format_batches(std::slice::from_ref(&batch));
        rows.unwrap().to_string().contains(text)
    })
}

/// Rows, money, tokens and calls of everything in the journal, and whose names stand in it.
async fn totals(store: &Store) -> (usize, Decimal, i64, i64, Vec<String>) {
    let mut traces: Vec<_> = (0..100).map(|trace| format!("{trace:032x}")).collect();
    traces.push("erased".into());
    let found = store.traces("default", &traces).await.unwrap();
    let rows: Vec<_> = found
        .charges
        .iter()
        .flat_map(|batch| ChargeRow::read(batch).unwrap())
        .collect();
    let mut users: Vec<_> = rows.iter().filter_map(|row| row.user_id.clone()).collect();
    users.sort();
    users.dedup();
    (
        rows.len(),
        rows.iter().filter_map(|row| row.cost_usd).sum(),
        rows.iter().filter_map(|row| row.input_tokens).sum(),
        rows.iter().map(|row| row.calls).sum(),
        users,
    )
}

/// Spans that can be read, by user; those without one count for nobody.
async fn spans(store: &Store) -> usize {
    let traces: Vec<_> = (0..100).map(|trace| format!("{trace:032x}")).collect();
    let found = store.traces("default", &traces).await.unwrap();
    found.spans.iter().map(RecordBatch::num_rows).sum()
}

fn listed(store: &Store, table: Table) -> (Option<u64>, u64) {
    let stats = store.stats();
    let found = stats.tables.into_iter().find(|stats| stats.table == table);
    let found = found.unwrap();
    (found.version, found.files)
}

#[tokio::test]
async fn nothing_of_the_subject_is_left_and_every_sum_is_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    tell(&store, 0..6).await;
    let named = AuditRow {
        at: Micros(1_790_000_000_000_000),
        event: "review".into(),
        actor: format!("user:{ADA}"),
        subject: "agent:x".into(),
        record: "{}".into(),
        ..AuditRow::default()
    };
    store
        .record("default", OwnEvent::Audit(named))
        .await
        .unwrap();
    store.flush().await.unwrap();
    tell(&store, 6..12).await;
    let before = totals(&store).await;
    assert_eq!((before.0, spans(&store).await), (36, 36));

    let at_first = files(dir.path());
    let asked = store
        .erase("default", &ada(), "cli:me", true)
        .await
        .unwrap();
    assert!(asked.dry_run && asked.gone_at.is_none());
    assert_eq!(asked.traces, 4);
    let rows: Vec<_> = asked
        .tables
        .iter()
        .map(|t| (t.table.as_str(), t.rows))
        .collect();
    let tables = ["contents", "logs", "metrics", "charges", "spans"];
    assert_eq!(rows, tables.map(|table| (table, 12)));
    assert_eq!(files(dir.path()), at_first, "a dry run writes nothing");
    assert_eq!(
        (totals(&store).await, spans(&store).await),
        (before.clone(), 36)
    );

    let done = store
        .erase("default", &ada(), "cli:me", false)
        .await
        .unwrap();
    assert_eq!(done.traces, 4);
    for table in &done.tables {
        assert_eq!((table.rows, table.days.len()), (12, 2), "{}", table.table);
        assert!(table.after > table.before, "{}", table.table);
    }
    assert_eq!(spans(&store).await, 24);
    let after = totals(&store).await;
    assert_eq!(
        (after.0, after.1, after.2, after.3),
        (before.0, before.1, before.2, before.3)
    );
    assert_eq!(after.4, [BOB]);

    // The files that held it go with the next maintenance; the grace of this store is nothing.
    assert!(!holding(dir.path(), ADA).is_empty());
    store.maintain().await.unwrap();
    assert_eq!(holding(dir.path(), ADA), Vec::<PathBuf>::new());
    assert!(
        !holding(dir.path(), BOB).is_empty(),
        "the search does find what is there"
    );
    assert!(
        store
            .erasures()
            .unwrap()
            .iter()
            .all(|e| e.done && e.files.is_empty())
    );

    // The receipt stands on the ledger and names nobody.
    store.flush().await.unwrap();
    store.close().await.unwrap();
    let report = verify_ledger(&config(dir.path()), "default", None)
        .await
        .unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    let store = open(dir.path()).await;
    assert_eq!(totals(&store).await, after);
    assert_eq!(spans(&store).await, 24);
    let ledger = dir.path().join("tables/default/audit");
    let receipts = files(&ledger).into_iter().filter(|path| {
        path.extension().is_some_and(|e| e == "parquet") && in_values(path, &done.id)
    });
    assert_eq!(receipts.count(), 1);
    // As of now: who comes back is kept.
    tell(&store, 12..13).await;
    store.flush().await.unwrap();
    assert!(totals(&store).await.4.contains(&ADA.to_owned()));
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_tenant_goes_with_its_bounds_in_the_delta_log() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    tell(&store, 0..3).await;
    store.flush().await.unwrap();
    store.roll_up().await.unwrap();
    let before = totals(&store).await;
    let acme = Subject {
        kind: SubjectKind::Tenant,
        name: "acme".into(),
    };
    store
        .erase("default", &acme, "cli:me", false)
        .await
        .unwrap();
    store.maintain().await.unwrap();
    assert_eq!(holding(dir.path(), "acme"), Vec::<PathBuf>::new());
    let after = totals(&store).await;
    assert_eq!(
        (after.0, after.1, after.2, after.3),
        (before.0, before.1, before.2, before.3)
    );
    assert_eq!((spans(&store).await, after.4.len()), (0, 0));
    assert_eq!(listed(&store, Table::Spans).1, 0);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_tenant_goes_from_sums_that_outlived_their_charges() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config {
        rollup_every: Duration::from_secs(3_600),
        ..config(dir.path())
    };
    // The calls are of September 2026, and whole days before today go.
    config.maintenance.retain = vec!["charges=0".parse().unwrap()];
    let store = Store::open(config, Arc::new(SaidSo)).await.unwrap();
    tell(&store, 0..4).await;
    store.flush().await.unwrap();
    store.roll_up().await.unwrap();
    store.maintain().await.unwrap();
    assert_eq!(
        (listed(&store, Table::Charges).1, totals(&store).await.0),
        (0, 0)
    );
    let summed = async |store: &Store| {
        let snapshot = store.snapshot("default");
        assert!(snapshot.unrolled.is_empty());
        listed(store, Table::Rollup1m).1
    };
    assert!(summed(&store).await > 0);
    assert!(!holding(&dir.path().join("tables/default/rollup_1m"), "acme").is_empty());
    let acme = Subject {
        kind: SubjectKind::Tenant,
        name: "acme".into(),
    };
    let done = store
        .erase("default", &acme, "cli:me", false)
        .await
        .unwrap();
    let sums = done
        .tables
        .iter()
        .find(|of| of.table == "rollup_1m")
        .unwrap();
    assert!(sums.files > 0, "{sums:?}");
    store.maintain().await.unwrap();
    assert!(summed(&store).await > 0, "the sums stay");
    assert_eq!(holding(dir.path(), "acme"), Vec::<PathBuf>::new());
    assert!(store.erasures().unwrap().iter().all(|e| e.files.is_empty()));
    store.close().await.unwrap();
}

#[tokio::test]
async fn what_was_merged_before_goes_as_soon_as_what_was_erased() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.maintenance.vacuum_after = Duration::from_secs(86_400);
    let store = Store::open(config, Arc::new(SaidSo)).await.unwrap();
    for trace in 0..12 {
        tell(&store, trace..trace + 1).await;
        store.flush().await.unwrap();
    }
    let done = store.maintain().await.unwrap();
    assert!(done.compactions > 0, "{done:?}");
    let small = holding(dir.path(), ADA);
    store.maintain().await.unwrap();
    assert_eq!(
        holding(dir.path(), ADA),
        small,
        "small files stay for readers"
    );
    store
        .erase("default", &ada(), "cli:me", false)
        .await
        .unwrap();
    store.maintain().await.unwrap();
    assert_eq!(holding(dir.path(), ADA), Vec::<PathBuf>::new());
    assert_eq!(spans(&store).await, 24);
    store.close().await.unwrap();
}

#[tokio::test]
async fn an_erasure_that_was_cut_off_goes_on() {
    for nth in 1..=4 {
        let dir = tempfile::tempdir().unwrap();
        let faulty = Faulty::new();
        let tables = dir.path().join("tables");
        std::fs::create_dir_all(&tables).unwrap();
        let url = url::Url::from_directory_path(tables.canonicalize().unwrap()).unwrap();
        let on = async || {
            let objects: Arc<dyn ObjectStore> = Arc::<Faulty>::clone(&faulty);
            Store::open_on(config(dir.path()), Arc::new(SaidSo), objects, url.clone())
                .await
                .unwrap()
        };
        let store = on().await;
        tell(&store, 0..6).await;
        store.flush().await.unwrap();
        let before = totals(&store).await;
        // The nth file or commit of the erasure does not come through, and nothing after it.
        faulty.fail(Fault::AfterThenDown, [".parquet", ".json"][nth % 2], 1);
        let failed = store.erase("default", &ada(), "cli:me", false).await;
        assert!(failed.is_err(), "{failed:?}");
        drop(store);
        faulty.heal();
        let store = on().await;
        assert_eq!(store.resume_erasures().await.unwrap().len(), 1);
        assert_eq!(store.resume_erasures().await.unwrap().len(), 0);
        let after = totals(&store).await;
        assert_eq!((after.0, after.1), (before.0, before.1));
        assert_eq!((after.4, spans(&store).await), (vec![BOB.to_owned()], 12));
        store.maintain().await.unwrap();
        assert_eq!(holding(dir.path(), ADA), Vec::<PathBuf>::new());
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_restored_backup_forgets_before_it_serves() {
    let (dir, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(dir.path()).await;
    tell(&store, 0..6).await;
    let backup = BackupPlace {
        url: place.path().display().to_string(),
        ..BackupPlace::default()
    };
    let progress = BackupProgress::default();
    store
        .backup(&backup, BackupOptions::default(), &progress)
        .await
        .unwrap();
    store
        .erase("default", &ada(), "cli:me", false)
        .await
        .unwrap();
    store.close().await.unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let there = elsewhere.path().join("data");
    let options = RestoreOptions {
        erasures: Some(dir.path().join("erasures")),
        ..RestoreOptions::default()
    };
    restore(
        &backup,
        &options,
        &config(&there),
        &BackupProgress::default(),
    )
    .await
    .unwrap();
    let restored = open(&there).await;
    assert_eq!(spans(&restored).await, 12);
    assert_eq!(totals(&restored).await.4, [BOB]);
    restored.maintain().await.unwrap();
    assert_eq!(holding(&there, ADA), Vec::<PathBuf>::new());
    restored.close().await.unwrap();
}
