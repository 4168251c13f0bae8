//! Everything a reader sees, under one lock: buffers, table versions, and how far the log has been shown.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use deltalake::DeltaTable;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::append::{Append, stamp};
use crate::buffer::{Buffer, Taken};
use crate::config::Config;
use crate::dedupe::Dedupe;
use crate::error::{Error, Result};
use crate::event::{Event, Subscribers};
use crate::journal::{Journal, JournalUpdate, TakenCharges};
use crate::ledger::Keeper;
use crate::log::{Audience, FrameKind, LogPosition, Origin, Written};
use crate::rollup::{Minutes, Rolled};
use crate::snapshot::{Snapshot, TableSnapshot};
use crate::spill::Spilled;
use crate::table::Table;

/// How soon a client should come back when the buffer is full: a flush takes about that long.
const BUFFER_RETRY_MS: u64 = 1_000;

/// A table of a workspace.
type Place = (Arc<str>, Table);

/// What the lock protects.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) workspaces: BTreeMap<Arc<str>, Workspace>,
    pub(crate) subscribers: Subscribers,
    /// Everything in the log up to here is visible.
    pub(crate) visible: LogPosition,
    /// Bytes of requests that are on their way through the log.
    reserved: u64,
    /// The most bytes that all buffers ever held.
    pub(crate) peak: u64,
}

/// One workspace's tables.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) logged: BTreeMap<Table, Logged>,
    pub(crate) journal: Journal,
    pub(crate) charges: Version,
    pub(crate) rolled: Rolled,
}

/// A table that is fed from the log.
#[derive(Debug)]
pub(crate) struct Logged {
    pub(crate) buffer: Buffer,
    pub(crate) version: Version,
}

/// What of a table is committed.
#[derive(Debug, Default)]
pub(crate) struct Version {
    /// Loaded at the version of the last commit; None before the first.
    pub(crate) delta: Option<DeltaTable>,
    /// The position that the last commit carries: for logged tables and the charges a log position, for the rollup
    /// the Delta version of the charges that it sums.
    pub(crate) committed: LogPosition,
    pub(crate) flushed_at: Option<Instant>,
    /// Rows past it that had to leave memory, oldest first.
    pub(crate) spilled: VecDeque<Spilled>,
}

impl Default for Workspace {
    fn default() -> Self {
        let logged = |table: Table| {
            (
                table,
                Logged {
                    buffer: Buffer::new(table),
                    version: Version::default(),
                },
            )
        };
        Self {
            logged: Table::ALL
                .into_iter()
                .filter(|table| table.is_logged())
                .map(logged)
                .collect(),
            journal: Journal::default(),
            charges: Version::default(),
            rolled: Rolled::default(),
        }
    }
}

impl Logged {
    /// Position of the oldest row that no commit holds.
    fn oldest(&self) -> Option<LogPosition> {
        let spilled = self.version.spilled.front().map(|spilled| spilled.first);
        spilled.or_else(|| self.buffer.oldest())
    }
}

impl Workspace {
    pub(crate) fn version_mut(&mut self, table: Table) -> &mut Version {
        match self.logged.get_mut(&table) {
            Some(logged) => &mut logged.version,
            None if table == Table::Rollup1m => &mut self.rolled.version,
            None => &mut self.charges,
        }
    }

    /// What is committed of a table, and what is not.
    fn table(&self, table: Table) -> TableSnapshot {
        let mut superseded = Arc::default();
        let (version, buffered, bounds) = match self.logged.get(&table) {
            Some(Logged { buffer, version }) => {
                superseded = Arc::clone(buffer.retold().superseded());
                (version, buffer.batches(), buffer.bounds())
            }
            None if table == Table::Rollup1m => (&self.rolled.version, Vec::new(), Vec::new()),
            None => (&self.charges, self.journal.batches(), self.journal.bounds()),
        };
        TableSnapshot {
            table,
            delta: version.delta.clone(),
            spilled: version
                .spilled
                .iter()
                .map(|spilled| Arc::clone(&spilled.file))
                .collect(),
            buffered,
            bounds,
            superseded,
        }
    }

    /// Minutes of charges that no commit holds yet: in memory, or in files that wait for the object store.
    fn uncommitted_minutes(&self) -> Minutes {
        let mut minutes = self.journal.minutes();
        for spilled in &self.charges.spilled {
            minutes.extend(&spilled.minutes);
        }
        minutes
    }

    fn bytes(&self) -> u64 {
        self.logged
            .values()
            .map(|logged| logged.buffer.bytes())
            .sum::<u64>()
            + self.journal.bytes()
    }
}

impl State {
    /// The workspace of that name, made when new.
    pub(crate) fn workspace_mut(&mut self, name: &str) -> &mut Workspace {
        let name = self.name(name);
        self.workspaces.entry(name).or_default()
    }

    /// The one copy of a workspace's name.
    pub(crate) fn name(&self, name: &str) -> Arc<str> {
        self.workspaces
            .get_key_value(name)
            .map_or_else(|| Arc::from(name), |(name, _)| Arc::clone(name))
    }

    /// Refuses a request while those who listen are too far behind.
    pub(crate) fn check_queues(&mut self, limit: u64) -> Result<()> {
        let (_, used) = self.subscribers.queued();
        if used > limit {
            return Err(Error::Full {
                what: "queue",
                used,
                limit,
                retry_after_ms: BUFFER_RETRY_MS,
            });
        }
        Ok(())
    }

    /// Sets bytes of the buffer aside for a request, or refuses it. One request always fits an empty buffer.
    pub(crate) fn reserve(&mut self, bytes: u64, limit: u64) -> Result<()> {
        let used = self.reserved + self.buffered_bytes();
        if used > 0 && used + bytes > limit {
            return Err(Error::Full {
                what: "buffer",
                used,
                limit,
                retry_after_ms: BUFFER_RETRY_MS,
            });
        }
        self.reserved += bytes;
        Ok(())
    }

    /// Refuses a request while the buffer has no room at all, once it has what is under way.
    pub(crate) fn check_buffer(&self, under_way: u64, limit: u64) -> Result<()> {
        let used = self.reserved + self.buffered_bytes() + under_way;
        if used >= limit {
            return Err(Error::Full {
                what: "buffer",
                used,
                limit,
                retry_after_ms: BUFFER_RETRY_MS,
            });
        }
        Ok(())
    }

    /// Gives them back.
    pub(crate) fn release(&mut self, bytes: u64) {
        self.reserved = self.reserved.saturating_sub(bytes);
    }

    pub(crate) fn buffered_bytes(&self) -> u64 {
        self.workspaces.values().map(Workspace::bytes).sum()
    }

    /// Enters stamped rows into a buffer, unless a commit holds them already.
    pub(crate) fn push(
        &mut self,
        workspace: &str,
        table: Table,
        position: LogPosition,
        batch: RecordBatch,
    ) {
        if let Some(logged) = self.workspace_mut(workspace).logged.get_mut(&table)
            && position > logged.version.committed
        {
            logged.buffer.push(position, batch);
        }
    }

    /// The rows a flush of a logged table takes now.
    pub(crate) fn take(&mut self, workspace: &str, table: Table) -> Option<Taken> {
        let visible = self.visible;
        self.workspaces
            .get_mut(workspace)?
            .logged
            .get_mut(&table)?
            .buffer
            .take(visible)
    }

    /// What flushes of all tables take at one moment, and up to which position.
    pub(crate) fn take_all(
        &mut self,
    ) -> (LogPosition, Vec<(Place, Taken)>, Vec<(Place, TakenCharges)>) {
        let visible = self.visible;
        let (mut logged, mut charges) = (Vec::new(), Vec::new());
        for (name, workspace) in &mut self.workspaces {
            for (table, rows) in &mut workspace.logged {
                let taken = rows.buffer.take(visible);
                logged.extend(taken.map(|taken| ((Arc::clone(name), *table), taken)));
            }
            let taken = workspace.journal.take();
            charges.extend(taken.map(|taken| ((Arc::clone(name), Table::Charges), taken)));
        }
        (visible, logged, charges)
    }

    /// What a flush took of a logged table and has not committed.
    pub(crate) fn taken(
        &mut self,
        workspace: &str,
        table: Table,
        to: LogPosition,
    ) -> Option<Taken> {
        let logged = self.workspaces.get(workspace)?.logged.get(&table)?;
        let batches = logged.buffer.taken();
        (!batches.is_empty()).then_some(Taken { batches, to })
    }

    /// Tables whose rows wait for a flush, by bytes or age; all that have any when memory or disk run short, and
    /// those that had to leave memory.
    pub(crate) fn due(&self, config: &Config, disk_short: bool) -> Vec<(Arc<str>, Table)> {
        let short = disk_short || self.buffered_bytes() > config.buffer_bytes_max / 2;
        let due = |rows: usize, bytes: u64, since: Option<Instant>| {
            rows > 0
                && (short
                    || bytes >= config.flush_bytes
                    || since.is_some_and(|since| since.elapsed() >= config.flush_age))
        };
        let mut tables = Vec::new();
        for (name, workspace) in &self.workspaces {
            for (table, Logged { buffer, version }) in &workspace.logged {
                if !version.spilled.is_empty() || due(buffer.rows(), buffer.bytes(), buffer.since())
                {
                    tables.push((Arc::clone(name), *table));
                }
            }
            let journal = &workspace.journal;
            if !workspace.charges.spilled.is_empty()
                || journal.since().is_some()
                    && due(journal.rows(), journal.bytes(), journal.since())
            {
                tables.push((Arc::clone(name), Table::Charges));
            }
        }
        tables
    }

    /// Whether a logged table still holds rows up to a position.
    pub(crate) fn waits(&self, (workspace, table): &(Arc<str>, Table), until: LogPosition) -> bool {
        let logged = self
            .workspaces
            .get(workspace)
            .and_then(|workspace| workspace.logged.get(table));
        logged
            .and_then(|logged| logged.buffer.oldest())
            .is_some_and(|oldest| oldest <= until)
    }

    /// All tables of all workspaces.
    pub(crate) fn tables(&self) -> Vec<(Arc<str>, Table)> {
        self.workspaces
            .keys()
            .flat_map(|name| Table::ALL.map(|table| (Arc::clone(name), table)))
            .collect()
    }

    /// Every table has everything up to here, so the log may be cut behind it.
    pub(crate) fn safe_to_cut(&self) -> LogPosition {
        let buffers = self
            .workspaces
            .values()
            .flat_map(|workspace| workspace.logged.values());
        buffers
            .filter_map(Logged::oldest)
            .min()
            .map_or(self.visible, |oldest| oldest - 1)
    }

    /// Every table of a workspace as it is now.
    pub(crate) fn snapshot(&self, name: &str) -> Snapshot {
        let workspace = self.workspaces.get(name);
        let of = |table| match workspace {
            Some(workspace) => workspace.table(table),
            None => TableSnapshot {
                table,
                delta: None,
                spilled: Vec::new(),
                buffered: Vec::new(),
                bounds: Vec::new(),
                superseded: Arc::default(),
            },
        };
        Snapshot {
            workspace: self.name(name),
            tables: Table::ALL.map(|table| (table, of(table))).into(),
            unrolled: workspace
                .map(|workspace| workspace.rolled.unrolled(&workspace.uncommitted_minutes()))
                .unwrap_or_default(),
        }
    }

    /// The time the oldest unflushed row of anything has waited.
    pub(crate) fn oldest_wait(&self) -> Option<Duration> {
        let buffers = self
            .workspaces
            .values()
            .flat_map(|workspace| workspace.logged.values());
        buffers
            .filter_map(|logged| logged.buffer.since())
            .min()
            .map(|since| since.elapsed())
    }

    fn show(&mut self, written: Written, stamped: Vec<(Table, RecordBatch)>) {
        let Written {
            position,
            append: Append { header, .. },
            reserved_bytes,
        } = written;
        self.release(reserved_bytes);
        let workspace = self.name(&header.workspace);
        for (table, batch) in stamped {
            if self.subscribers.want(Some(table)) {
                let bytes = batch.get_array_memory_size() as u64;
                let event = Event::Rows {
                    workspace: Arc::clone(&workspace),
                    origin: header.origin,
                    position,
                    table,
                    batch: batch.clone(),
                };
                self.subscribers.publish(&event, bytes);
            }
            self.push(&workspace, table, position, batch);
        }
        self.reached(position);
    }

    /// Everything up to here is visible.
    pub(crate) fn reached(&mut self, position: LogPosition) {
        self.visible = position;
        self.peak = self.peak.max(self.buffered_bytes());
    }

    /// Enters charges and tells the subscribers.
    pub(crate) fn enter(&mut self, name: &str, origin: Origin, update: JournalUpdate) {
        let name = self.name(name);
        if self.subscribers.want(None) {
            for batch in &update.post {
                let event = Event::Charges {
                    workspace: Arc::clone(&name),
                    origin,
                    batch: batch.clone(),
                };
                let bytes = batch.get_array_memory_size() as u64;
                self.subscribers.publish(&event, bytes);
            }
        }
        let JournalUpdate {
            post,
            settled,
            resolved_to,
        } = update;
        let journal = &mut self.workspace_mut(&name).journal;
        journal.enter(post, settled, resolved_to);
        self.peak = self.peak.max(self.buffered_bytes());
    }
}

/// The log's audience: shows what was written to readers and subscribers.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) state: Arc<Mutex<State>>,
    pub(crate) dedupe: Arc<Dedupe>,
    pub(crate) ledger: Arc<Mutex<Keeper>>,
}

impl Audience for Stage {
    fn known(&mut self, append: &Append) -> Option<LogPosition> {
        match append.header.kind {
            FrameKind::Own => self.ledger.lock().known(&append.header),
            FrameKind::Otlp => self.dedupe.known(&append.header),
            FrameKind::Claim => None,
        }
    }

    fn seal(&mut self, append: &mut Append) -> Result<()> {
        self.ledger.lock().seal(append)
    }

    fn unwritten(&mut self) {
        self.ledger.lock().unwritten();
    }

    fn visible(&mut self, group: Vec<Written>) {
        let mut ledger = self.ledger.lock();
        ledger.written();
        for written in &group {
            ledger.remember(&written.append.header, written.position);
        }
        drop(ledger);
        let mut ready = Vec::with_capacity(group.len());
        for mut written in group {
            // Before the rows are visible: the log may be cut as soon as they are.
            self.dedupe.learn(written.position, &written.append.header);
            let batches = std::mem::take(&mut written.append.batches);
            let stamp = |(table, batch)| (table, stamp(&batch, written.position).unwrap_or(batch));
            let stamped: Vec<_> = batches.into_iter().map(stamp).collect();
            ready.push((written, stamped));
        }
        let mut state = self.state.lock();
        for (written, stamped) in ready {
            state.show(written, stamped);
        }
    }

    fn release(&mut self, reserved_bytes: u64) {
        self.state.lock().release(reserved_bytes);
    }
}
