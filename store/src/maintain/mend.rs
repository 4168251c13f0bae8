//! Files that hold earlier tellings of spans that were told again: written anew without them.

use std::sync::Arc;
use std::time::Duration;

use deltalake::DeltaTable;
use futures::TryStreamExt;

use super::Place;
use crate::error::Result;
use crate::log::LogPosition;
use crate::store::Store;
use crate::tables::{self, Listed, Pass, Rewrite};
use crate::telling::Superseded;

/// So many spans told again are worth rewriting files for...
const MANY: usize = 4_000;
/// ...or any, when they have waited so long. Each costs readers a little.
const LONG: Duration = Duration::from_secs(600);

impl Store {
    /// Takes earlier tellings off the disk, if it is time, so that readers need not look for them any more.
    pub(super) async fn mend(&self, place: &Place, at_once: bool) -> Result<()> {
        if !self.is_to_mend(place, at_once) {
            return Ok(());
        }
        // Between two flushes, so that every row is either loose in the buffer, where only the newest telling
        // is, or in the version we get.
        let superseded = {
            let mut flusher = self.flusher.lock().await;
            self.commit_pending(&mut flusher, place).await?;
            let mut state = self.state.lock();
            let workspace = state.workspace_mut(&place.0);
            let Some(logged) = workspace.logged.get(&place.1) else {
                return Ok(());
            };
            Arc::clone(logged.buffer.retold().superseded())
        };
        let Some(delta) = self.version(place) else {
            return Ok(());
        };
        let (spans, mut holders) = (superseded.spans(), Vec::new());
        for file in tables::files(&delta, &place.0, place.1)? {
            if file.day.is_some() && holds(&delta, &file, &superseded, &spans).await? {
                holders.push(file);
            }
        }
        // Small files of a day go together, so that mending makes no more files than there were.
        holders.sort_by_key(|file| (file.day, file.bytes));
        while let Some(first) = holders.first() {
            let (day, mut bytes) = (first.day, 0);
            let together = holders.iter().take_while(|file| {
                let fits = bytes == 0 || bytes + file.bytes <= self.config.maintenance.target_bytes;
                bytes += file.bytes;
                fits && file.day == day
            });
            let count = together.count().clamp(1, 64);
            let some: Vec<Listed> = holders.drain(..count).collect();
            let (Some(day), again) = (day, Arc::clone(&superseded)) else {
                continue;
            };
            let pass: Pass = Box::new(move |rows| again.filter(&rows));
            let rewrite = Rewrite {
                log_store: &delta.log_store(),
                table: place.1,
                day,
                target_bytes: self.config.maintenance.target_bytes,
                part_bytes: self.config.maintenance.part_bytes,
            };
            let done = rewrite.run(&some, pass, &|| self.goes_on()).await?;
            if !self.swap_files(place, done).await? {
                // Their rows are in files we have not looked at: another time.
                return Ok(());
            }
        }
        let mut state = self.state.lock();
        let workspace = state.workspace_mut(&place.0);
        if let Some(logged) = workspace.logged.get_mut(&place.1) {
            logged.buffer.retold_mut().mended(&superseded);
        }
        Ok(())
    }

    fn is_to_mend(&self, (workspace, table): &Place, at_once: bool) -> bool {
        let state = self.state.lock();
        let workspace = state.workspaces.get(workspace);
        let Some(logged) = workspace.and_then(|workspace| workspace.logged.get(table)) else {
            return false;
        };
        let retold = logged.buffer.retold();
        let waited = retold.since().is_some_and(|since| since.elapsed() >= LONG);
        let spans = retold.superseded().len();
        spans >= MANY || (spans > 0 && (at_once || waited))
    }
}

/// Whether a file holds a row that does not stand.
async fn holds(
    delta: &DeltaTable,
    file: &Listed,
    superseded: &Superseded,
    spans: &[(String, String)],
) -> Result<bool> {
    let ends = superseded.ends();
    let stands = |(first, _): (i64, i64)| first.max(0) as LogPosition >= ends;
    if file.positions().is_some_and(stands) {
        return Ok(false);
    }
    let mut batches = tables::tellings(delta, file, Some(spans)).await?;
    while let Some(batch) = batches.try_next().await? {
        if superseded.hides_any(&batch) {
            return Ok(true);
        }
    }
    Ok(false)
}
