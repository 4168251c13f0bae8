//! From stale minutes to commits: in the background, a portion at a time, and once more when asked.
//!
//! A portion that is committed counts at once; one that fails, or that a restart cuts short, is stale as before.
//! Only a run's last commit names the journal's version, so that a restart never believes more than was done.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use chrono::NaiveDate;
use deltalake::DeltaTable;
use futures::TryStreamExt;

use super::fold::{Fold, Reversed};
use super::source::Source;
use super::{Minutes, fold};
use crate::error::{Error, Result};
use crate::rows::{Date, RollupRow, Row};
use crate::store::Store;
use crate::table::Table;
use crate::tables::{self, Commit, Listed, Operation, Outcome, Slice};

/// Smaller files of a day are taken into the next one that is written for it, so that a day has few.
const SMALL_BYTES: u64 = 1 << 20;
/// Pause after a failed run of a workspace; it doubles with every further failure up to the longest.
const BACK_OFF: Duration = Duration::from_secs(2);
const BACK_OFF_MAX: Duration = Duration::from_secs(120);
/// How often a portion is begun anew since somebody else changed the table meanwhile.
const OVERTAKEN_MAX: u32 = 3;
/// How often the background task looks whether the store was closed, at least.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What runs leave behind for the next ones.
#[derive(Debug, Default)]
pub(crate) struct Roller {
    /// A commit of which nobody knows whether it was made. Until it is known, nothing else is committed: its rows
    /// would stand twice.
    pending: HashMap<Arc<str>, Pending>,
    failed: HashMap<Arc<str>, (u32, Instant)>,
    /// The store is closed and the directory may have another owner: nothing is written any more.
    stopped: bool,
}

/// A portion on its way into the table.
#[derive(Debug, Clone)]
struct Pending {
    commit: Commit,
    minutes: Arc<Minutes>,
    rows: u64,
}

/// The application whose transactions in the rollup name versions of the journal.
pub(crate) fn app(app: &str) -> String {
    format!("{app}/rollup")
}

impl Store {
    /// Sums all minutes whose charges have reached the disk since they were summed last. It happens in the
    /// background as well ([`Config::rollup_every`](crate::Config::rollup_every)).
    ///
    /// # Errors
    /// The first failure; workspaces after it are still done, and what was not is read from the journal as before.
    pub async fn roll_up(&self) -> Result<()> {
        if self.log.is_none() {
            return Err(Error::ReadOnly);
        }
        self.roll_up_all(true).await
    }

    async fn roll_up_all(&self, even_if_failed_lately: bool) -> Result<()> {
        let mut roller = self.roller.lock().await;
        if roller.stopped {
            return Err(Error::Closed);
        }
        let names: Vec<Arc<str>> = self.state.lock().workspaces.keys().cloned().collect();
        let mut outcome = Ok(());
        for name in names {
            let rests = roller.failed.get(&name);
            if !even_if_failed_lately && rests.is_some_and(|(_, until)| Instant::now() < *until) {
                continue;
            }
            let rolled = self.roll_up_one(&mut roller, &name).await;
            self.state.lock().workspace_mut(&name).rolled.give_back();
            match &rolled {
                Ok(()) => drop(roller.failed.remove(&name)),
                Err(error) => self.note_rollup_failure(&mut roller, &name, error),
            }
            outcome = outcome.and(rolled);
        }
        outcome
    }

    async fn roll_up_one(&self, roller: &mut Roller, name: &Arc<str>) -> Result<()> {
        self.settle_rollup(roller, name).await?;
        let (charges, stale, rolled_to) = {
            let mut state = self.state.lock();
            let workspace = state.workspace_mut(name);
            let Some(charges) = workspace.charges.delta.clone() else {
                return Ok(());
            };
            let rolled = &mut workspace.rolled;
            (charges, rolled.begin(), rolled.version.committed)
        };
        if stale.is_empty() {
            return Ok(());
        }
        let source = Source::of(&charges, name, &stale)?;
        let mut portions = source.portions(&stale).into_iter().map(Arc::new).peekable();
        while let Some(minutes) = portions.next() {
            if self.closed.load(Relaxed) {
                return Ok(());
            }
            let last = portions.peek().is_none();
            let position = match charges.version() {
                Some(version) if last => version,
                _ => rolled_to,
            };
            self.roll_portion(roller, name, &source, &minutes, position)
                .await?;
        }
        Ok(())
    }

    async fn roll_portion(
        &self,
        roller: &mut Roller,
        name: &Arc<str>,
        source: &Source<'_>,
        minutes: &Arc<Minutes>,
        position: u64,
    ) -> Result<()> {
        let rows = summed(source, minutes).await?;
        for _ in 0..OVERTAKEN_MAX {
            let current = self.rollup_of(name);
            let new = rows.clone();
            let Some(pending) = self
                .replacement(name, current, new, minutes, position)
                .await?
            else {
                self.done(name, minutes, None);
                return Ok(());
            };
            roller.pending.insert(Arc::clone(name), pending);
            if self.settle_rollup(roller, name).await? {
                return Ok(());
            }
        }
        Err(Error::Overtaken {
            table: tables::full_name(name, Table::Rollup1m),
        })
    }

    /// The rows in the place of what the table holds of these minutes. None when neither has any.
    async fn replacement(
        &self,
        name: &str,
        current: Option<DeltaTable>,
        mut rows: Vec<RollupRow>,
        minutes: &Arc<Minutes>,
        position: u64,
    ) -> Result<Option<Pending>> {
        let found = rows.len() as u64;
        let mut removes = Vec::new();
        if let Some(current) = &current {
            let days: HashSet<Date> = rows.iter().map(|row| row.date).collect();
            let goes = |file: &Listed| {
                let day = file.day.map(|day| Date(day.to_epoch_days()));
                let beside = file.bytes < SMALL_BYTES && day.is_some_and(|day| days.contains(&day));
                beside || file.minutes("minute").meets(minutes)
            };
            let files = tables::files(current, name, Table::Rollup1m)?;
            let old: Vec<Listed> = files.into_iter().filter(goes).collect();
            rows.extend(kept(current, &old, minutes).await?);
            removes.extend(old.iter().map(Listed::remove));
        }
        if rows.is_empty() && removes.is_empty() {
            return Ok(None);
        }
        let batch = tokio::task::spawn_blocking(move || RollupRow::batch(&rows)).await??;
        let adds = match batch.num_rows() {
            0 => Vec::new(),
            _ => {
                let log_store = self.objects.log_store(name, Table::Rollup1m)?;
                tables::write(&log_store, Table::Rollup1m, vec![batch]).await?
            }
        };
        let operation = Operation::Update {
            reason: "minutes of the journal were summed anew",
        };
        Ok(Some(Pending {
            commit: Commit::replace(operation, adds, removes, false).at(position),
            minutes: Arc::clone(minutes),
            rows: found,
        }))
    }

    /// Makes the commit that waits, if one does. False when others changed the table so that it cannot be made.
    async fn settle_rollup(&self, roller: &mut Roller, name: &Arc<str>) -> Result<bool> {
        let Some(pending) = roller.pending.get(name).cloned() else {
            return Ok(true);
        };
        // Each Delta table has one writer, and maintenance is one as well.
        let one = self.flusher.lock().await;
        let outcome = tables::commit(
            &self.objects,
            &app(&self.app),
            name,
            Table::Rollup1m,
            self.rollup_of(name),
            &pending.commit,
        )
        .await?;
        roller.pending.remove(name);
        let known = match outcome {
            Outcome::Made(delta) => {
                self.figures.rollup_commits.fetch_add(1, Relaxed);
                self.figures.rolled_rows.fetch_add(pending.rows, Relaxed);
                self.done(name, &pending.minutes, Some((delta, &pending.commit)));
                true
            }
            Outcome::Overtaken(delta) => {
                let mut state = self.state.lock();
                state.workspace_mut(name).rolled.version.delta = Some(delta);
                false
            }
        };
        drop(one);
        Ok(known)
    }

    /// The moment readers turn from the journal to the rollup for these minutes.
    fn done(&self, name: &str, minutes: &Minutes, made: Option<(DeltaTable, &Commit)>) {
        self.figures
            .rolled_minutes
            .fetch_add(minutes.count(), Relaxed);
        let mut state = self.state.lock();
        let rolled = &mut state.workspace_mut(name).rolled;
        if let Some((delta, commit)) = made {
            let version = &mut rolled.version;
            version.delta = Some(delta);
            version.committed = commit.position().unwrap_or(version.committed);
            version.flushed_at = Some(tokio::time::Instant::now());
        }
        rolled.done(minutes);
    }

    fn rollup_of(&self, name: &str) -> Option<DeltaTable> {
        let mut state = self.state.lock();
        state.workspace_mut(name).rolled.version.delta.clone()
    }

    /// Whether days of the journal before this one may go: all that is to be summed of them is. From then on the
    /// rollup alone speaks for them. Where nothing is summed, nothing has to wait.
    pub(crate) fn outlived(&self, name: &str, first: NaiveDate) -> bool {
        let mut state = self.state.lock();
        let workspace = state.workspace_mut(name);
        let summed = workspace
            .rolled
            .expire(first_minute(first), &workspace.journal.minutes());
        summed || self.config.rollup_every.is_zero()
    }

    /// The last run is over: from now on the directory may have another owner.
    pub(crate) async fn stop_rolling_up(&self) {
        self.roller.lock().await.stopped = true;
    }

    fn note_rollup_failure(&self, roller: &mut Roller, name: &Arc<str>, error: &Error) {
        self.figures.rollup_failures.fetch_add(1, Relaxed);
        let failures = roller.failed.get(name).map_or(0, |(failures, _)| *failures) + 1;
        let pause = BACK_OFF
            .saturating_mul(1 << (failures - 1).min(10))
            .min(BACK_OFF_MAX);
        let until = Instant::now() + pause;
        roller.failed.insert(Arc::clone(name), (failures, until));
        tracing::warn!(
            workspace = &**name, %error, failures, retry_in = ?pause,
            "minutes could not be summed; queries read the journal instead"
        );
    }
}

/// The first minute of a day.
pub(super) fn first_minute(day: NaiveDate) -> i64 {
    i64::from(day.to_epoch_days()) * 24 * 60
}

/// The rollup's rows of these minutes. Of the journal's, one batch is in memory at a time, and the ids of what was
/// reversed: an hour may have millions of calls.
async fn summed(source: &Source<'_>, minutes: &Arc<Minutes>) -> Result<Vec<RollupRow>> {
    let mut reversed = Reversed::default();
    let mut reversals = source.rows(minutes, &Reversed::COLUMNS, Some(Reversed::ONLY));
    while let Some(batch) = reversals.try_next().await? {
        reversed.add(&batch)?;
    }
    let mut fold = Fold::new(Arc::clone(minutes), reversed);
    let mut charges = source.rows(minutes, &fold::COLUMNS, None);
    while let Some(batch) = charges.try_next().await? {
        let added = move || fold.add(&batch).map(|()| fold);
        fold = tokio::task::spawn_blocking(added).await??;
    }
    tokio::task::spawn_blocking(move || fold.finish())
        .await
        .map_err(Into::into)
}

/// The rows of these files that are of other minutes.
async fn kept(
    current: &DeltaTable,
    files: &[Listed],
    minutes: &Arc<Minutes>,
) -> Result<Vec<RollupRow>> {
    let slice = Slice {
        time: "minute",
        columns: &[],
        minutes: Arc::clone(minutes),
        inside: false,
        only: None,
    };
    let mut rows = Vec::new();
    let mut found = tables::read_minutes(current, files, &slice);
    while let Some(batch) = found.try_next().await? {
        for row in RollupRow::read(&batch)? {
            let date = Date::of_micros(row.minute.0);
            rows.push(RollupRow { date, ..row });
        }
    }
    Ok(rows)
}

/// The background task: ends when the store is closed or gone.
pub(crate) async fn run(store: Weak<Store>) {
    let mut last = Instant::now();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Some(strong) = store.upgrade() else {
            return;
        };
        if strong.closed.load(Relaxed) {
            return;
        }
        if last.elapsed() >= strong.config.rollup_every {
            // Failures are logged and tried again where they happen.
            let _ = strong.roll_up_all(false).await;
            last = Instant::now();
        }
    }
}
