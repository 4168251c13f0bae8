//! Tables as they were: of each, the newest Delta version that was committed by then, and no buffer.
//!
//! The time of a version is that of its file in the Delta log, by the clock of whoever keeps the tables, as it
//! is for other readers. What was acknowledged by then but flushed later is not in it, at most what a flush
//! waits for. A version can be read as long as its entries of the log and every file it names are kept: until a
//! vacuum takes what compaction, retention or erasure replaced.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use deltalake::DeltaTable;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::moment::Moment;
use crate::rollup::Minutes;
use crate::snapshot::Snapshot;
use crate::store::Store;
use crate::table::Table;
use crate::tables;

/// So many old versions are kept loaded.
const LOADED_MAX: usize = 32;
/// For so long a version's files are taken to be there still.
const BELIEVED: Duration = Duration::from_secs(10);
/// Files that are looked for at the same time.
const LOOKS: usize = 16;

/// A word in the first commit of a table that did not begin with it.
pub(crate) const RESTORED: &str = "flyballRestored";

/// Old versions that were asked for lately, the latest last.
#[derive(Debug, Default)]
pub(crate) struct Loaded(Mutex<VecDeque<Old>>);

#[derive(Debug)]
struct Old {
    place: (Arc<str>, Table, u64),
    delta: DeltaTable,
    checked: Instant,
}

/// An entry of a table's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    version: u64,
    at: DateTime<Utc>,
}

impl Store {
    /// These tables of a workspace at a moment; without a moment of the past, under one lock.
    ///
    /// # Errors
    /// [`Error::HistoryEnds`] when what a table held then is not kept any more; what the object store and the
    /// Delta log say.
    pub async fn snapshot_at(
        &self,
        workspace: &str,
        moment: Moment,
        tables: &[Table],
    ) -> Result<Snapshot> {
        let mut now = self.snapshot(workspace);
        if moment == Moment::Latest {
            return Ok(now);
        }
        let Some(at) = moment.past(Utc::now()) else {
            if moment == Moment::Committed {
                now.tables = now
                    .tables
                    .into_iter()
                    .map(|(table, rows)| (table, rows.committed()))
                    .collect();
            }
            return Ok(now);
        };
        // What was summed is replaced all the time; of the past the journal tells.
        let kept = tables.iter().filter(|table| **table != Table::Rollup1m);
        let wanted = kept.filter_map(|table| now.tables.remove(table));
        let then = wanted.map(|rows| async {
            let mut rows = rows.committed();
            if let Some(delta) = rows.delta.take() {
                rows.delta = self
                    .version_at(&now.workspace, rows.table, delta, at)
                    .await?;
            }
            Ok::<_, Error>((rows.table, rows))
        });
        let then: Vec<_> = then.collect();
        let tables = futures::future::try_join_all(then).await?;
        Ok(Snapshot {
            workspace: Arc::clone(&now.workspace),
            tables: tables.into_iter().collect(),
            unrolled: Minutes::all(),
        })
    }

    /// A table at its newest version of that time; None when there was none yet.
    async fn version_at(
        &self,
        workspace: &Arc<str>,
        table: Table,
        current: DeltaTable,
        at: DateTime<Utc>,
    ) -> Result<Option<DeltaTable>> {
        let newest = current.version().unwrap_or(0);
        let log = Log {
            workspace,
            table,
            store: current.log_store().object_store(None),
        };
        let mut entries = log.entries().await?;
        entries.retain(|entry| entry.version <= newest);
        let Some(entry) = picked(&entries, at) else {
            let oldest = entries.first().copied();
            return match oldest {
                None => Ok(None),
                Some(first) if first.version == 0 && !log.was_restored().await? => Ok(None),
                Some(first) => Err(log.ends(at, first.at)),
            };
        };
        if entry.version == newest {
            return Ok(Some(current));
        }
        let place = (Arc::clone(workspace), table, entry.version);
        if let Some(delta) = self.history.get(&place) {
            return Ok(Some(delta));
        }
        let old = self.load(&log, entry.version).await?;
        if log.is_whole(&old, &current).await? {
            self.history.keep(place, old.clone());
            return Ok(Some(old));
        }
        let oldest = self.oldest_whole(&log, &entries, entry).await?;
        Err(log.ends(at, oldest))
    }

    async fn load(&self, log: &Log<'_>, version: u64) -> Result<DeltaTable> {
        let mut old = DeltaTable::new(self.objects.log_store(log.workspace, log.table)?);
        let loaded = old.load_version(version).await;
        loaded.map_err(|source| Error::Delta {
            table: tables::full_name(log.workspace, log.table),
            doing: "load an old version of it",
            source: Box::new(source),
        })?;
        Ok(old)
    }

    /// When the oldest version was committed of which all files are there, given one of which they are not.
    /// Files go in the order in which they were replaced, so it lies where the broken end and the whole begin.
    async fn oldest_whole(
        &self,
        log: &Log<'_>,
        entries: &[Entry],
        broken: Entry,
    ) -> Result<DateTime<Utc>> {
        let there: HashSet<Path> = log
            .store
            .list(None)
            .map_ok(|object| object.location)
            .try_collect()
            .await
            .map_err(Error::objects("list the files of a table"))?;
        let (mut low, mut high) = (
            entries.partition_point(|entry| entry.version <= broken.version),
            entries.len().saturating_sub(1),
        );
        while low < high {
            let middle = usize::midpoint(low, high);
            let old = self.load(log, entries[middle].version).await?;
            if files(&old).is_subset(&there) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Ok(entries.get(high).map_or(broken.at, |entry| entry.at))
    }
}

/// The newest version of that time.
fn picked(entries: &[Entry], at: DateTime<Utc>) -> Option<Entry> {
    entries.iter().rfind(|entry| entry.at <= at).copied()
}

fn files(delta: &DeltaTable) -> HashSet<Path> {
    let Ok(state) = delta.snapshot() else {
        return HashSet::new();
    };
    state
        .log_data()
        .iter()
        .map(|file| file.object_store_path())
        .collect()
}

impl Loaded {
    fn get(&self, place: &(Arc<str>, Table, u64)) -> Option<DeltaTable> {
        let mut loaded = self.0.lock();
        loaded.retain(|old| old.place != *place || old.checked.elapsed() < BELIEVED);
        let found = loaded.iter().find(|old| old.place == *place)?;
        Some(found.delta.clone())
    }

    fn keep(&self, place: (Arc<str>, Table, u64), delta: DeltaTable) {
        let mut loaded = self.0.lock();
        loaded.retain(|old| old.place != place);
        while loaded.len() >= LOADED_MAX {
            loaded.pop_front();
        }
        loaded.push_back(Old {
            place,
            delta,
            checked: Instant::now(),
        });
    }
}

/// A table's log, as files.
struct Log<'a> {
    workspace: &'a str,
    table: Table,
    /// Rooted at the table's folder.
    store: Arc<dyn ObjectStore>,
}

impl Log<'_> {
    /// Versions that the log can still tell of, in order. Without the first commit it begins with a checkpoint.
    async fn entries(&self) -> Result<Vec<Entry>> {
        let folder = Path::from("_delta_log");
        let listed = self.store.list_with_delimiter(Some(&folder)).await;
        let listed = listed.map_err(Error::objects("list the log of a table"))?;
        let (mut commits, mut checkpoints) = (Vec::new(), Vec::new());
        for object in listed.objects {
            let Some((version, kind)) = object.location.filename().and_then(parts) else {
                continue;
            };
            let entry = Entry {
                version,
                at: object.last_modified,
            };
            match kind {
                Kind::Commit => commits.push(entry),
                Kind::Checkpoint => checkpoints.push(entry),
            }
        }
        commits.sort_by_key(|entry| entry.version);
        checkpoints.sort_by_key(|entry| entry.version);
        if commits.first().is_some_and(|first| first.version == 0) {
            return Ok(commits);
        }
        let Some(base) = checkpoints.first().copied() else {
            return Ok(Vec::new());
        };
        commits.retain(|entry| entry.version >= base.version);
        if commits
            .first()
            .is_none_or(|first| first.version > base.version)
        {
            commits.insert(0, base);
        }
        Ok(commits)
    }

    /// Whether the first commit carries on what was somewhere else before.
    async fn was_restored(&self) -> Result<bool> {
        let first = Path::from("_delta_log/00000000000000000000.json");
        let cannot = || Error::objects("read the first commit of a table");
        let first = self.store.get(&first).await.map_err(cannot())?;
        let bytes = first.bytes().await.map_err(cannot())?;
        let info = bytes
            .split(|byte| *byte == b'\n')
            .filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok())
            .any(|action| action["commitInfo"].get(RESTORED).is_some());
        Ok(info)
    }

    /// Whether all files of an old version are there. Those that the current one names are.
    async fn is_whole(&self, old: &DeltaTable, current: &DeltaTable) -> Result<bool> {
        let (old, current) = (files(old), files(current));
        let replaced = old.difference(&current).map(|path| async {
            match self.store.head(path).await {
                Ok(_) => Ok(true),
                Err(object_store::Error::NotFound { .. }) => Ok(false),
                Err(error) => Err(Error::objects("look for a file of a table")(error)),
            }
        });
        let mut there = futures::stream::iter(replaced.collect::<Vec<_>>()).buffer_unordered(LOOKS);
        while let Some(there) = there.try_next().await? {
            if !there {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn ends(&self, asked: DateTime<Utc>, oldest: DateTime<Utc>) -> Error {
        Error::HistoryEnds {
            table: tables::full_name(self.workspace, self.table),
            asked,
            oldest,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Commit,
    Checkpoint,
}

/// What a file of a Delta log is: `<version>.json` or `<version>.checkpoint[...].parquet`.
fn parts(name: &str) -> Option<(u64, Kind)> {
    let (version, rest) = name.split_once('.')?;
    let version = (version.len() == 20).then(|| version.parse().ok())??;
    let kind = match rest {
        "json" => Kind::Commit,
        rest if rest.starts_with("checkpoint") => Kind::Checkpoint,
        _ => return None,
    };
    Some((version, kind))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_newest_version_of_the_time_is_picked() {
        let entry = |version: u64, second: u32| Entry {
            version,
            at: format!("2026-11-22T12:00:{second:02}Z").parse().unwrap(),
        };
        let entries = [entry(3, 10), entry(4, 20), entry(5, 20), entry(6, 40)];
        for (second, version) in [
            (9, None),
            (10, Some(3)),
            (19, Some(3)),
            (20, Some(5)),
            (59, Some(6)),
        ] {
            let picked = picked(&entries, entry(0, second).at);
            assert_eq!(picked.map(|entry| entry.version), version, "{second}");
        }
    }

    #[test]
    fn files_of_the_log_say_what_they_are() {
        let twenty = "00000000000000000012";
        assert_eq!(parts(&format!("{twenty}.json")), Some((12, Kind::Commit)));
        for checkpoint in [
            ".checkpoint.parquet",
            ".checkpoint.0000000001.0000000002.parquet",
            ".checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.json",
        ] {
            assert_eq!(
                parts(&format!("{twenty}{checkpoint}")),
                Some((12, Kind::Checkpoint))
            );
        }
        for other in [
            "_last_checkpoint",
            "12.json",
            ".json",
            "00000000000000000012.crc",
            "x",
        ] {
            assert_eq!(parts(other), None, "{other}");
        }
    }
}
