//! Files that nobody lists any more, and entries of the Delta log behind a checkpoint: deleted when old enough.
//!
//! A file goes when the table took it off its list so long ago that no query can still read it; or when the table
//! never listed it and it is so old that no flush can still be about to. Flush and vacuum of one process need no
//! age to tell: what a flush has written is listed, or pending under the lock that both take.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use chrono::Utc;
use deltalake::protocol::checkpoints;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;

use super::{Maintainer, Place};
use crate::error::{Error, Result};
use crate::store::Store;
use crate::tables;

/// Without being asked, a table's folder is listed no more often.
const EVERY: Duration = Duration::from_secs(3_600);

impl Store {
    /// Deletes what nobody can need any more.
    pub(super) async fn vacuum(
        &self,
        maintainer: &mut Maintainer,
        place: &Place,
        at_once: bool,
    ) -> Result<()> {
        let erased = self.erased_files(place)?;
        let due = !erased.is_empty()
            || maintainer
                .vacuumed
                .get(place)
                .is_none_or(|at| at.elapsed() >= EVERY);
        if !due && !at_once {
            return Ok(());
        }
        let Some(delta) = self.version(place) else {
            return Ok(());
        };
        let objects = delta.log_store().object_store(None);
        let mut found: HashMap<Path, (u64, i64)> = HashMap::new();
        let mut list = objects.list(None);
        let listed = || Error::objects("list a table's files");
        while let Some(object) = list.try_next().await.map_err(listed())? {
            if object.location.extension() == Some("parquet")
                && !object.location.as_ref().starts_with("_")
            {
                let modified = object.last_modified.timestamp_millis();
                found.insert(object.location, (object.size, modified));
            }
        }
        // Nothing goes while somebody copies an older version.
        let nobody_copies = self.held.write().await;
        let mut purged: Vec<Path> = erased
            .iter()
            .filter(|path| !found.contains_key(*path))
            .cloned()
            .collect();
        self.spare(place, &mut found, &erased).await?;
        purged.extend(found.keys().filter(|path| erased.contains(*path)).cloned());
        let bytes: u64 = found.values().map(|(bytes, _)| bytes).sum();
        let files = found.len() as u64;
        let paths = futures::stream::iter(found.into_keys().map(Ok)).boxed();
        let mut deleted = objects.delete_stream(paths);
        while let Some(outcome) = deleted.next().await {
            match outcome {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(Error::objects("delete a file")(error)),
            }
        }
        let entries = self.trim_log(place, !purged.is_empty()).await?;
        self.purged(place, &purged)?;
        drop(nobody_copies);
        if entries > 0 {
            self.reload(place).await?;
        }
        self.count(|maintained| {
            maintained.files_vacuumed += files;
            maintained.bytes_vacuumed += bytes;
            maintained.log_entries_deleted += entries;
        });
        maintainer.vacuumed.insert(place.clone(), Instant::now());
        Ok(())
    }

    /// Takes off the list of found files all that must stay: judged by the newest version of the table, between
    /// two flushes.
    async fn spare(
        &self,
        place: &Place,
        found: &mut HashMap<Path, (u64, i64)>,
        erased: &HashSet<Path>,
    ) -> Result<()> {
        let mut flusher = self.flusher.lock().await;
        self.commit_pending(&mut flusher, place).await?;
        let Some(mut delta) = self.version(place) else {
            found.clear();
            return Ok(());
        };
        let failed = || tables::failed("look through it for a vacuum", &place.0, place.1);
        delta.update_incremental(None).await.map_err(failed())?;
        let now = Utc::now().timestamp_millis();
        let age = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let keep = &self.config.maintenance;
        let listed_after = age(keep.vacuum_after);
        let erased_after = age(keep.erased_after).min(listed_after);
        let orphan_after = age(keep.orphan_after);
        for file in tables::files(&delta, &place.0, place.1)? {
            found.remove(&file.object_path());
        }
        let mut taken_off: HashSet<Path> = HashSet::new();
        for (path, at) in tables::taken_off(&delta, &place.0, place.1).await? {
            let at = at.unwrap_or(now);
            let after = if erased.contains(&path) {
                erased_after
            } else {
                listed_after
            };
            if now.saturating_sub(at) < after {
                found.remove(&path);
            } else {
                taken_off.insert(path);
            }
        }
        found.retain(|path, (_, modified)| {
            taken_off.contains(path) || now.saturating_sub(*modified) >= orphan_after
        });
        Ok(())
    }

    /// Deletes entries of the Delta log that a checkpoint has made superfluous. A checkpoint is made with every
    /// hundredth commit; after an erasure one is made now and all before it goes, since the entries tell of the
    /// smallest and largest names in files that are no more.
    async fn trim_log(&self, place: &Place, all: bool) -> Result<u64> {
        let Some(delta) = self.version(place) else {
            return Ok(0);
        };
        let failed = || tables::failed("trim its log", &place.0, place.1);
        let after = i64::try_from(self.config.maintenance.log_after.as_millis());
        let after = if all { 0 } else { after.unwrap_or(i64::MAX) };
        let cutoff = Utc::now().timestamp_millis().saturating_sub(after);
        if all {
            let made = checkpoints::create_checkpoint(&delta, None).await;
            made.map_err(failed())?;
        }
        let version = delta.version().unwrap_or(0);
        let log_store = delta.log_store();
        let deleted =
            checkpoints::cleanup_expired_logs_for(version, log_store.as_ref(), cutoff, None)
                .await
                .map_err(failed())?;
        Ok(deleted as u64)
    }

    /// Loads a table anew: what is in memory was read from entries that are no more, and a state that is only ever
    /// added to grows.
    async fn reload(&self, place: &Place) -> Result<()> {
        let mut flusher = self.flusher.lock().await;
        self.commit_pending(&mut flusher, place).await?;
        let (workspace, table) = (&place.0, place.1);
        if let Some(fresh) = tables::load(&self.objects, workspace, table).await? {
            let mut state = self.state.lock();
            state.workspace_mut(workspace).version_mut(table).delta = Some(fresh);
        }
        Ok(())
    }
}
