//! One life of the store: from one start to the moment the power goes, or the process is killed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use turmoil::fs::FsHandle;
use url::Url;

use super::check::{charged, check, check_logged};
use super::model::{Charged, Json, Model, charge};
use super::objects::{Door, Reader, Tables};
use super::power::SimDisk;
use crate::config::Config;
use crate::directory::Directory;
use crate::disk::{self, Disk};
use crate::error::{Error, Result};
use crate::folder;
use crate::journal::JournalUpdate;
use crate::ledger;
use crate::log::{Files, Origin};
use crate::maintain::Maintenance;
use crate::objects::{DurableLocal, Objects};
use crate::store::Store;

const DATA: &str = "/data";
/// Operations of the disk in a life, about.
const LIFE_OPERATIONS: u64 = 140;

/// What outlives a life.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) disk: SimDisk,
    pub(super) model: Model,
    pub(super) full: bool,
}

/// How a life ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// What was not synced is gone, or torn.
    Power,
    /// What was written is there.
    Killed,
    /// It was closed.
    Closed,
}

impl Run {
    pub(super) fn new(seed: u64, lies: bool) -> Self {
        Self {
            disk: SimDisk::new(seed, lies),
            model: Model::new(seed),
            full: false,
        }
    }

    fn tables(&self) -> Tables {
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        Arc::new(Door::new(DurableLocal::on(
            disk,
            Arc::new(Reader(self.disk.clone())),
        )))
    }

    async fn open(&self, tables: &Tables) -> Result<Arc<Store>> {
        let config = Config {
            flush_age: Duration::from_secs(2),
            segment_bytes: 2_000,
            // They work on threads of their own, whose order no seed decides.
            maintenance: Maintenance {
                every: Duration::ZERO,
                ..Maintenance::default()
            },
            rollup_every: Duration::ZERO,
            ..Config::local(DATA)
        };
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let directory = Directory::own(Arc::clone(&disk), Path::new(DATA))?;
        folder::create(disk.as_ref(), Path::new("/tables"))
            .map_err(Error::file("create", Path::new("/tables")))?;
        Store::start(config, Arc::new(Json), directory, objects(tables), false).await
    }

    /// Before the first life: a key that is the same in every run.
    pub(super) fn prepare(&self, fs: FsHandle) {
        self.disk.power_on(fs);
        self.disk.set_calm(true);
        folder::create(&self.disk, Path::new(DATA)).unwrap();
        let (key, staged) = (Path::new("/data/ledger.key"), Path::new("/data/ledger.new"));
        disk::write_whole(&self.disk, staged, key, "07".repeat(32).as_bytes(), true).unwrap();
    }

    /// A life with everything that can happen to it.
    pub(super) async fn live(&mut self, fs: FsHandle) -> End {
        self.disk.power_on(fs);
        self.disk.set_calm(false);
        let mut dice = self.model.dice.split();
        let error_in = dice.once_in(3).then(|| 1 + dice.roll(LIFE_OPERATIONS));
        self.disk.plan(1 + dice.roll(LIFE_OPERATIONS), error_in);
        let ended = self.days().await;
        self.disk.note(&format!("ended: {ended:?}"));
        self.disk.power_off();
        match ended {
            Ok(End::Closed) => End::Closed,
            _ if dice.once_in(3) => End::Killed,
            _ => End::Power,
        }
    }

    /// A last, calm life, in which everything must come to rest.
    pub(super) async fn rest(&mut self, fs: FsHandle) {
        self.disk.power_on(fs);
        self.disk.set_calm(true);
        self.make_room();
        let tables = self.tables();
        let store = self.open(&tables).await.unwrap();
        self.begin(&store).await;
        store.close().await.unwrap();
        assert_eq!(store.stats().log_bytes, 0);
        check(&mut self.model, &store).await;
        let log = Arc::new(Files::new(Arc::new(self.disk.clone()), "/data/log"));
        let report = ledger::verify_on(&objects(&tables), log, "default", None, Vec::new())
            .await
            .unwrap();
        assert!(report.findings.is_empty(), "{:?}", report.findings);
    }

    async fn days(&mut self) -> std::result::Result<End, String> {
        let tables = self.tables();
        let store = self.start(&tables).await?;
        self.begin(&store).await;
        for _ in 0..2 + self.model.dice.roll(12) {
            if self.model.dice.once_in(30) {
                store.close().await.map_err(|error| self.excuse(error))?;
                return Ok(End::Closed);
            }
            self.day(&store, &tables).await?;
            if self.disk.is_off() {
                break;
            }
            if self.model.dice.once_in(8) {
                check(&mut self.model, &store).await;
            }
        }
        Ok(End::Power)
    }

    /// Opens the store. An error of the disk may end an attempt, but the next one goes through.
    async fn start(&mut self, tables: &Tables) -> std::result::Result<Arc<Store>, String> {
        for _ in 0..2 {
            match self.open(tables).await {
                Ok(store) => return Ok(store),
                Err(error) => self.disk.note(&self.excuse(error)),
            }
            self.make_room();
        }
        if self.disk.is_off() {
            return Err("the power went".into());
        }
        self.open(tables)
            .await
            .map_err(|error| panic!("the store cannot be opened: {error}"))
    }

    /// After the start: all that must be there is, and the resolver enters the charges that are not on disk.
    async fn begin(&mut self, store: &Store) {
        let on_disk = charged(&self.model, store).await;
        for (trace, state) in &mut self.model.charges {
            if on_disk.contains(&format!("charge-{trace}")) {
                assert_ne!(
                    *state,
                    Charged::Open,
                    "charge {trace} of an open trace is on disk"
                );
                *state = Charged::Flushed;
                continue;
            }
            assert_ne!(
                *state,
                Charged::Flushed,
                "charge {trace}, which was flushed, is lost"
            );
            *state = Charged::Open;
            let update = JournalUpdate::of(&[charge(*trace)]).unwrap();
            store.journal("default", Origin::Replay, update).unwrap();
        }
        check_logged(&mut self.model, store).await;
    }

    async fn day(&mut self, store: &Store, tables: &Tables) -> std::result::Result<(), String> {
        match self.model.dice.roll(12) {
            0..4 => self.send(store).await,
            4 if self.model.has_events => self.tell_events(store).await,
            5 => {
                self.settle(store);
                Ok(())
            }
            6..9 => self.flush(store, tables).await,
            9 => {
                // Long enough for the flush that nobody asks for.
                tokio::time::sleep(Duration::from_secs(6)).await;
                Ok(())
            }
            10 if !self.full => {
                self.disk.fill();
                self.full = true;
                self.send(store).await
            }
            _ => {
                self.make_room();
                self.send(store).await
            }
        }
    }

    /// A flush, and requests that come in while it runs.
    async fn flush(&mut self, store: &Store, tables: &Tables) -> std::result::Result<(), String> {
        let mut visits = tables.open();
        let flush = async {
            let flushed = store.flush().await;
            tables.close();
            flushed
        };
        let settled: Vec<_> = self
            .model
            .charges
            .iter()
            .filter(|(_, state)| **state == Charged::Settled)
            .map(|(trace, _)| *trace)
            .collect();
        let visitors = async {
            let mut outcome = Ok(());
            while let Some(over) = visits.recv().await {
                if self.model.dice.once_in(4) {
                    outcome = outcome.and(self.send(store).await);
                }
                drop(over);
            }
            outcome
        };
        let (flushed, visited) = tokio::join!(flush, visitors);
        match flushed {
            Ok(()) => {
                for trace in settled {
                    self.model.charges.insert(trace, Charged::Flushed);
                }
            }
            Err(_) if self.full => self.disk.note("no room to flush"),
            Err(error) => self.disk.note(&self.excuse(error)),
        }
        visited
    }

    fn make_room(&mut self) {
        if std::mem::take(&mut self.full) {
            self.disk.clear();
        }
    }

    /// An error is excused when the power is off or the disk has failed, or when there is no room.
    pub(super) fn excuse(&self, error: Error) -> String {
        let excused = self.disk.is_off() || self.disk.has_failed() || self.full;
        assert!(excused, "an error without a reason: {error}");
        if self.disk.is_off() {
            "the power went".into()
        } else {
            format!("excused: {}", kind(&error))
        }
    }
}

/// The error without what is random in it.
fn kind(error: &Error) -> &'static str {
    match error {
        Error::Full { .. } => "full",
        Error::LogPoisoned { .. } => "poisoned",
        Error::File { doing, .. } | Error::Objects { doing, .. } | Error::Delta { doing, .. } => {
            doing
        }
        Error::State(_) => "state.db",
        _ => "other",
    }
}

fn objects(tables: &Tables) -> Objects {
    let store: Arc<dyn object_store::ObjectStore> = Arc::<Door<DurableLocal>>::clone(tables);
    // Of a local folder deltalake would ask the machine's own disk.
    Objects::on(store, Url::parse("s3://simulation/tables").unwrap()).unwrap()
}
