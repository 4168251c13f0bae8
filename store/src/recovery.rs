//! Starting: the lock, the tables, and what the log holds past them.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arrow::array::RecordBatch;
use bytes::Bytes;
use object_store::ObjectStore;
use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::Notify;
use url::Url;

use crate::append::{self, Decoder, OwnEvent, stamp};
use crate::backup;
use crate::config::Config;
use crate::correction::Corrections;
use crate::dedupe::Dedupe;
use crate::directory::{self, Directory};
use crate::disk::Local;
use crate::diskless::{self, BucketMedium};
use crate::error::{Error, Result};
use crate::flush::{self, Flusher};
use crate::ledger::{self, Keeper, SigningKey};
use crate::log::{Files, Frame, FrameKind, Header, Log, LogPosition, Medium, Replay};
use crate::maintain::{self, Maintenance};
use crate::objects::Objects;
use crate::outage::Outage;
use crate::personal::Personal;
use crate::rollup::{self, Roller};
use crate::rows::{AuditRow, Row};
use crate::spill::SpillFolder;
use crate::state::{Stage, State};
use crate::stats::Figures;
use crate::store::Store;
use crate::table::Table;
use crate::tables;

/// Frames are read from the log in portions of about so many bytes, fewer where memory is small.
const PORTION_BYTES: usize = 8 << 20;

impl Store {
    /// Takes the directory's lock, recovers (replays the log past each table's version through `decoder`),
    /// starts the flusher.
    ///
    /// # Errors
    /// [`Error::Locked`] with the owner's name; [`Error::LogCorrupt`] and [`Error::LogGap`] when acknowledged data
    /// is damaged; [`Error::NoPutIfAbsent`] when the object store cannot keep tables; [`Error::TablesUrl`];
    /// [`Error::Undecodable`]; [`Error::SchemaDiffers`]; and what files and the object store say.
    pub async fn open(config: Config, decoder: Arc<dyn Decoder>) -> Result<Arc<Self>> {
        let directory = Directory::own(Arc::new(Local), &config.data_dir)?;
        let objects = Objects::open(&config)?;
        Self::start(config, decoder, directory, objects, false).await
    }

    /// [`Store::open`] with an object store of the caller's making; tables lie under the URL's path in it.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn open_on(
        config: Config,
        decoder: Arc<dyn Decoder>,
        object_store: Arc<dyn ObjectStore>,
        url: Url,
    ) -> Result<Arc<Self>> {
        let directory = Directory::own(Arc::new(Local), &config.data_dir)?;
        let objects = Objects::on(object_store, url)?;
        Self::start(config, decoder, directory, objects, false).await
    }

    /// For a look at a directory that no server runs on: takes the same lock and replays the log, but writes
    /// nothing, neither log nor tables. [`Store::append`] and [`Store::flush`] are refused; [`Store::journal`]
    /// works, in memory.
    ///
    /// # Errors
    /// As [`Store::open`], and [`Error::NoData`] when there is no such directory.
    pub async fn open_read_only(config: Config, decoder: Arc<dyn Decoder>) -> Result<Arc<Self>> {
        let directory = Directory::existing(Arc::new(Local), &config.data_dir)?;
        let objects = Objects::open(&config)?;
        Self::start(config, decoder, directory, objects, true).await
    }

    pub(crate) async fn start(
        config: Config,
        decoder: Arc<dyn Decoder>,
        directory: Directory,
        objects: Objects,
        read_only: bool,
    ) -> Result<Arc<Self>> {
        backup::refuse_half_restored(&config.data_dir, read_only)?;
        let objects = objects.limited(config.objects_at_once);
        if !read_only {
            objects.probe().await?;
        }
        let diskless = config.diskless.clone();
        let node = match &diskless {
            Some(diskless) => diskless.node_id.clone(),
            None => directory.node_id()?,
        };
        let app = format!("flyball/{node}");
        // Nobody knows whether a machine that is gone has still something on its way.
        let fence = (directory.after_crash() || diskless.is_some()) && !read_only;
        let disk = Arc::clone(directory.disk());
        // A reader leaves the file as it is.
        let db = if read_only || diskless.is_some() {
            Connection::open_in_memory()?
        } else {
            disk.database(&directory.state_db())?
        };
        let dedupe = Arc::new(Dedupe::open(db)?);
        let ledger_dir = config.ledger_dir();
        let (key, next_key) = if read_only {
            (None, None)
        } else {
            let key = match &diskless {
                Some(_) => SigningKey::in_folder(disk.as_ref(), ledger_dir)?,
                None => SigningKey::of(disk.as_ref(), ledger_dir)?,
            };
            (Some(key), SigningKey::next_of(disk.as_ref(), ledger_dir)?)
        };
        let personal = Arc::new(Personal::of(ledger_dir, read_only));
        let corrections = Corrections::of(disk.as_ref(), ledger_dir)?;
        let bucket = match diskless {
            Some(diskless) => {
                let dedupe = Arc::clone(&dedupe);
                Some(diskless::open(&config, diskless, &objects, dedupe, read_only).await?)
            }
            None => None,
        };
        let medium: Arc<dyn Medium> = match &bucket {
            Some(bucket) => Arc::new(BucketMedium(Arc::clone(bucket))),
            None => Arc::new(Files::new(Arc::clone(&disk), directory.log())),
        };
        let objects = match &bucket {
            Some(bucket) => objects.of_epoch(bucket.epoch()),
            None => objects,
        };
        let spill = if read_only {
            SpillFolder::temporary()?
        } else {
            SpillFolder::of(&config.data_dir)?
        };
        let mut store = Self {
            state: Arc::new(Mutex::new(
                load(&objects, &app, fence, &config.maintenance).await?,
            )),
            config,
            objects,
            app,
            dedupe,
            ledger: Arc::new(Mutex::new(Keeper::new(key, next_key))),
            personal,
            corrections,
            disk,
            log: None,
            bucket,
            flusher: tokio::sync::Mutex::new(Flusher::default()),
            held: tokio::sync::RwLock::default(),
            maintainer: tokio::sync::Mutex::default(),
            roller: tokio::sync::Mutex::new(Roller::default()),
            full: Arc::new(Notify::new()),
            closed: AtomicBool::new(false),
            figures: Figures::default(),
            history: Default::default(),
            outage: Outage::default(),
            spill,
            directory: Mutex::new(Some(directory)),
        };
        if !read_only {
            ledger::recall(&store.state, &store.ledger, &store.personal).await?;
        }
        maintain::recall(&store.state).await;
        let replay = store
            .replay(
                Replay::open(Arc::clone(&medium), read_only)?,
                &decoder,
                read_only,
            )
            .await?;
        let last = store.check_end(&replay)?;
        store.state.lock().visible = last;
        if read_only {
            return Ok(Arc::new(store));
        }
        let mut tail = replay.finish()?;
        if last >= tail.next {
            // The log is gone but the tables are not: go on behind them, in a segment named for that.
            tail.segments.clear();
            tail.next = last + 1;
        }
        let stage = Stage {
            state: Arc::clone(&store.state),
            dedupe: Arc::clone(&store.dedupe),
            ledger: Arc::clone(&store.ledger),
        };
        let (durability, segment_bytes) = (store.config.durability, store.config.segment_bytes);
        store.log = Some(Log::start(
            medium,
            tail,
            durability,
            segment_bytes,
            Box::new(stage),
        )?);
        store.check_heads();
        store.settle_key().await?;
        store.tell_corrections_left().await?;
        store.finish_restore().await?;
        let store = Arc::new(store);
        tokio::spawn(flush::run(Arc::downgrade(&store)));
        tokio::spawn(maintain::run(Arc::downgrade(&store)));
        if !store.config.rollup_every.is_zero() {
            tokio::spawn(rollup::run(Arc::downgrade(&store)));
        }
        Ok(store)
    }

    /// Reads the whole log: digests of all of it, rows of what the tables lack.
    async fn replay(
        &self,
        mut replay: Replay,
        decoder: &Arc<dyn Decoder>,
        read_only: bool,
    ) -> Result<Replay> {
        loop {
            let portion = PORTION_BYTES.min(self.config.buffer_bytes_max as usize / 8);
            let (next, frames) = if replay.waits() {
                tokio::task::spawn_blocking(move || read_portion(replay, portion)).await??
            } else {
                read_portion(replay, portion)?
            };
            replay = next;
            if frames.is_empty() {
                return Ok(replay);
            }
            for frame in &frames {
                self.replay_frame(frame, decoder.as_ref())?;
                if self.is_short_of_memory() {
                    self.bound_replay(read_only).await?;
                }
            }
            self.bound_replay(read_only).await?;
        }
    }

    /// A log that is longer than memory is flushed as it is read; where that can't be, rows go to the local disk.
    async fn bound_replay(&self, read_only: bool) -> Result<()> {
        let due = self.due();
        if due.is_empty() {
            return Ok(());
        }
        if !read_only {
            let flushed = self.flush_tables(due, true).await;
            return if self.is_short_of_memory() {
                flushed
            } else {
                Ok(())
            };
        }
        if self.is_short_of_memory() {
            let mut flusher = self.flusher.lock().await;
            for place in due {
                self.spill(&mut flusher, &place).await?;
            }
        }
        Ok(())
    }

    fn replay_frame(&self, frame: &Frame, decoder: &dyn Decoder) -> Result<()> {
        let Frame {
            position,
            header,
            body,
            ..
        } = frame;
        if header.kind == FrameKind::Claim {
            self.state.lock().reached(*position);
            return Ok(());
        }
        let undecodable = |reason: String| Error::Undecodable {
            position: *position,
            reason,
        };
        append::check_workspace(&header.workspace)
            .map_err(|error| undecodable(error.to_string()))?;
        self.dedupe.learn(*position, header);
        self.ledger.lock().remember(header, *position);
        let mut state = self.state.lock();
        let logged = &state.workspace_mut(&header.workspace).logged;
        let needed = logged
            .values()
            .any(|logged| logged.version.committed < *position);
        drop(state);
        let batches = if needed {
            decode(header, body, decoder).map_err(undecodable)?
        } else {
            Vec::new()
        };
        let batches = append::fitted(batches).map_err(|error| undecodable(error.to_string()))?;
        let mut state = self.state.lock();
        for (table, batch) in batches {
            if table == Table::Audit {
                let mut ledger = self.ledger.lock();
                for row in AuditRow::read(&batch)? {
                    ledger::forget_again(&self.personal, &row)?;
                    ledger.resume(&header.workspace, &row);
                }
            }
            state.push(
                &header.workspace,
                table,
                *position,
                stamp(&batch, *position)?,
            );
        }
        state.reached(*position);
        Ok(())
    }

    /// The last position in use, after making sure that no table is ahead of a log that holds frames.
    fn check_end(&self, replay: &Replay) -> Result<LogPosition> {
        let log = replay.next_position() - 1;
        let state = self.state.lock();
        let versions = state.workspaces.iter().flat_map(|(name, workspace)| {
            workspace
                .logged
                .iter()
                .map(move |(table, logged)| (name, *table, logged.version.committed))
        });
        let Some((name, table, committed)) = versions.max_by_key(|(_, _, committed)| *committed)
        else {
            return Ok(log);
        };
        if committed > log && !directory::is_empty(replay.segments()) {
            return Err(Error::LogBehindTables {
                log,
                table: tables::full_name(name, table),
                committed,
            });
        }
        Ok(log.max(committed))
    }
}

fn read_portion(mut replay: Replay, most: usize) -> Result<(Replay, Vec<Frame>)> {
    let (mut frames, mut bytes) = (Vec::new(), 0);
    while (bytes < most || frames.is_empty())
        && let Some(frame) = replay.next_frame()?
    {
        bytes += frame.body.len();
        frames.push(frame);
    }
    Ok((replay, frames))
}

fn decode(
    header: &Header,
    body: &Bytes,
    decoder: &dyn Decoder,
) -> std::result::Result<Vec<(Table, RecordBatch)>, String> {
    match header.kind {
        FrameKind::Otlp => decoder.decode(header, body),
        FrameKind::Own => OwnEvent::decode(body),
        FrameKind::Claim => Ok(Vec::new()),
    }
}

/// Every table that exists, with all its columns, and how far it has come. After a crash each is fenced first.
async fn load(
    objects: &Objects,
    app: &str,
    fence: bool,
    maintenance: &Maintenance,
) -> Result<State> {
    let mut state = State::default();
    for name in objects.folders().await? {
        if append::check_workspace(&name).is_err() {
            continue;
        }
        for table in Table::ALL {
            let Some(mut loaded) = tables::load(objects, &name, table).await? else {
                continue;
            };
            // A commit adds the columns that a table of an earlier version lacks: readers find them from the start.
            if fence || tables::lacks_columns(&loaded, &name, table)? {
                loaded = tables::fence(objects, app, &name, table, loaded).await?;
            }
            let app = match table {
                Table::Rollup1m => rollup::app(app),
                _ => app.to_owned(),
            };
            let committed = tables::committed(&loaded, &app, &name, table).await?;
            let workspace = state.workspace_mut(&name);
            if table == Table::Charges {
                workspace.journal.resume_at(committed);
            }
            let version = workspace.version_mut(table);
            (version.delta, version.committed) = (Some(loaded), committed);
        }
        if let Some(workspace) = state.workspaces.get_mut(name.as_str()) {
            let first_kept = maintenance.first_kept(&name, Table::Charges);
            rollup::resume(workspace, &name, first_kept).await?;
        }
    }
    Ok(state)
}
