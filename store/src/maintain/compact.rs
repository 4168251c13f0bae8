//! Small files become few, in order, and spans that were told again lose their earlier telling.

use std::sync::Arc;

use chrono::Utc;

use super::plan::{self, File, Job, Rules};
use super::{Place, duplicates};
use crate::error::Result;
use crate::store::Store;
use crate::table::Table;
use crate::tables::{self, Commit, Listed, Operation, Pass, Rewrite, Rewritten};
use crate::telling::Superseded;

impl Store {
    /// Merges what is due, until nothing is.
    pub(super) async fn compact(&self, place: &Place, at_once: bool) -> Result<()> {
        if !place.1.is_compacted() {
            return Ok(());
        }
        loop {
            let Some(delta) = self.version(place) else {
                return Ok(());
            };
            let listed = tables::files(&delta, &place.0, place.1)?;
            let rules = Rules {
                target_bytes: self.config.maintenance.target_bytes,
                now: Utc::now().timestamp_millis(),
                at_once,
            };
            let jobs = plan::plan(&known(&listed), rules);
            if jobs.is_empty() {
                return Ok(());
            }
            for Job { day, files } in jobs {
                let files: Vec<Listed> = files.into_iter().map(|at| listed[at].clone()).collect();
                if place.1.is_told_by_span() {
                    let found = duplicates::find(&delta, place, &files).await?;
                    self.supersede(place, &found);
                }
                let again = self.superseded(place);
                let pass: Pass = Box::new(move |rows| again.filter(&rows));
                let rewrite = Rewrite {
                    log_store: &delta.log_store(),
                    table: place.1,
                    day,
                    target_bytes: rules.target_bytes,
                    part_bytes: self.config.maintenance.part_bytes,
                };
                let done = rewrite.run(&files, pass, &|| self.goes_on()).await?;
                if !self.swap_files(place, done).await? {
                    return Ok(());
                }
            }
        }
    }

    /// Puts rewritten files in the place of those they were read from; false when somebody else was quicker.
    pub(super) async fn swap_files(&self, place: &Place, done: Rewritten) -> Result<bool> {
        let Rewritten {
            adds,
            removes,
            rows_in,
            rows_out,
            bytes_in,
            bytes_out,
        } = done;
        let (files_in, files_out) = (removes.len() as u64, adds.len() as u64);
        let target_bytes = self.config.maintenance.target_bytes;
        let operation = Operation::Compact { target_bytes };
        let commit = Commit::replace(operation, adds, removes, rows_in == rows_out);
        if !self.replace(place, &commit).await? {
            tracing::info!(
                workspace = &*place.0,
                table = place.1.name(),
                "somebody else has rewritten the same files: this rewrite is left to the vacuum"
            );
            return Ok(false);
        }
        self.count(|maintained| {
            maintained.compactions += 1;
            maintained.files_in += files_in;
            maintained.files_out += files_out;
            maintained.bytes_in += bytes_in;
            maintained.bytes_out += bytes_out;
            maintained.duplicates += rows_in - rows_out;
        });
        self.figures
            .compacted
            .lock()
            .insert(place.clone(), Utc::now());
        Ok(true)
    }

    /// What readers are told to leave out of a table.
    pub(super) fn superseded(&self, (workspace, table): &Place) -> Arc<Superseded> {
        let state = self.state.lock();
        let workspace = state.workspaces.get(workspace);
        let logged = workspace.and_then(|workspace| workspace.logged.get(table));
        logged.map_or_else(Arc::default, |logged| {
            Arc::clone(logged.buffer.retold().superseded())
        })
    }

    fn supersede(&self, (workspace, table): &Place, found: &Superseded) {
        let mut state = self.state.lock();
        let workspace = state.workspace_mut(workspace);
        if let Some(logged) = workspace.logged.get_mut(table) {
            logged.buffer.retold_mut().supersede_all(found);
        }
    }
}

impl Table {
    /// Whether its small files are merged. The ledger's are not: each is named for the digest of its bytes and the
    /// numbers it holds, which is what `flyball audit verify` stands on, and there are few of them.
    pub(super) fn is_compacted(self) -> bool {
        self != Self::Audit
    }
}

/// What the plan has to know. A file without a day is not ours.
pub(super) fn known(listed: &[Listed]) -> Vec<File> {
    let file = |(at, file): (usize, &Listed)| {
        Some(File {
            at,
            day: file.day?,
            bytes: file.bytes,
            rows: file.rows,
            last: file.positions().map_or(0, |(_, last)| last),
            written_at: file.written_at,
        })
    };
    listed.iter().enumerate().filter_map(file).collect()
}
