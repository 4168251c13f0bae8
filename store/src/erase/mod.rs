//! Forgetting a person: rows that tell of a user, a session or a tenant leave the tables, and with them the log.
//!
//! What goes is whole traces: every trace of which a span or a log record names the subject, or of which the resolver
//! attributed a charge to it. Their spans, log records and contents are deleted, and so is what names the subject
//! outside of any trace (metrics). Their charges stay, since sums must not change, but they
//! lose the columns that name people (`user_id`, `session_id`, and `tenant` when a tenant is erased) and the trace
//! they belong to. An erasure is as of now: what is told later about the same subject is kept.
//!
//! It is carried out in steps that can each be repeated, and is entered in a list first ([`list`]), so that one
//! that was cut off goes on at the next call, and a restored backup can be brought up to date
//! ([`Store::replay_erasures`]). The list holds a keyed hash of the subject, never its name.

mod find;
mod list;
mod redact;
mod sums;

pub use list::{Erasure, Subject, SubjectKind};

pub(crate) use list::ErasureList;

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use deltalake::DeltaTable;
use object_store::path::Path;

use crate::append::{self, OwnEvent};
use crate::error::Result;
use crate::log::LogPosition;
use crate::maintain::Place;
use crate::rows::{AuditRow, Micros};
use crate::store::Store;
use crate::table::Table;
use crate::tables::{self, Listed, Operation, Pass, Rewrite};
use find::{Concern, Matches};

/// The tables that tell of people, in the order in which they are worked on.
const TABLES: [Table; 5] = [
    Table::Contents,
    Table::Logs,
    Table::Metrics,
    Table::Charges,
    Table::Spans,
];
/// The event under which an erasure stands on the ledger.
const EVENT: &str = "erasure";

/// What an erasure did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Erased {
    /// Names it in the list of erasures and on the ledger.
    pub id: String,
    /// Nothing was changed.
    pub dry_run: bool,
    /// Traces that tell of the subject.
    pub traces: u64,
    /// Rows up to this log position are concerned.
    pub log_position: LogPosition,
    /// Table by table.
    pub tables: Vec<ErasedTable>,
    /// From then on no file holds a row that went, unless somebody else keeps it; None when nothing went.
    pub gone_at: Option<DateTime<Utc>>,
}

/// What an erasure did to one table.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ErasedTable {
    /// Its name.
    pub table: String,
    /// Rows that were deleted; of `charges`, rows that lost what names people.
    pub rows: u64,
    /// Files that held them.
    pub files: u64,
    /// Their days.
    pub days: Vec<NaiveDate>,
    /// Delta version before.
    pub before: u64,
    /// And after.
    pub after: u64,
}

impl Store {
    /// Erases a subject from a workspace; with `dry_run` it only says what that would do. Traces should have settled
    /// before, since the resolver's memory is not the store's.
    ///
    /// # Errors
    /// [`Error::ReadOnly`](crate::Error::ReadOnly), [`Error::WorkspaceName`](crate::Error::WorkspaceName), and what
    /// tables and log say. One that failed on its way is entered in the list: call it again, it goes on.
    pub async fn erase(
        &self,
        workspace: &str,
        subject: &Subject,
        actor: &str,
        dry_run: bool,
    ) -> Result<Erased> {
        append::check_workspace(workspace)?;
        let log = self.open_log()?;
        let _one_at_a_time = self.maintainer.lock().await;
        if dry_run {
            let matches = Matches::name(&subject.name);
            let traces = self.traces_of(workspace, subject.kind, &matches).await?;
            let concern = Concern {
                traces: Arc::new(traces),
                kind: subject.kind,
                matches,
                position: LogPosition::MAX,
            };
            return self.survey(workspace, &concern).await;
        }
        // What comes from now on stands in segments of its own: those before can go as a whole.
        let position = log.roll().await?;
        self.flush().await?;
        let list = ErasureList::open(self.config.ledger_dir())?;
        let matches = Matches::name(&subject.name);
        let traces = self.traces_of(workspace, subject.kind, &matches).await?;
        // First, since the list does not know the name: who is cut off here has to ask again.
        self.forget_subject(workspace, subject.kind.as_str(), &subject.name)
            .await?;
        let erasure = list.begin(workspace, subject, position, traces)?;
        self.carry_out(&list, erasure, actor).await
    }

    /// Goes on with erasures that were cut off.
    ///
    /// # Errors
    /// As [`Store::erase`].
    pub async fn resume_erasures(&self) -> Result<Vec<Erased>> {
        self.open_log()?;
        // Before the list is read: one that is being carried out is not cut off, and would get a second receipt.
        let _one_at_a_time = self.maintainer.lock().await;
        let Some(list) = ErasureList::existing(self.config.ledger_dir())? else {
            return Ok(Vec::new());
        };
        let open = list.all()?.into_iter().filter(|erasure| !erasure.done);
        let open: Vec<_> = open.collect();
        let mut done = Vec::with_capacity(open.len());
        for erasure in open {
            self.flush().await?;
            done.push(self.carry_out(&list, erasure, "flyball").await?);
        }
        Ok(done)
    }

    /// Carries out erasures once more, on tables that may be older than they are: what a restored backup needs
    /// before it serves. They are those of [`Store::erasures`] of the directory that was backed up, whose
    /// `erasures` folder has to be in this store's data directory.
    ///
    /// # Errors
    /// As [`Store::erase`].
    pub async fn replay_erasures(&self, erasures: &[Erasure]) -> Result<Vec<Erased>> {
        self.open_log()?;
        let list = ErasureList::open(self.config.ledger_dir())?;
        let _one_at_a_time = self.maintainer.lock().await;
        let mut done = Vec::new();
        for erasure in erasures {
            self.flush().await?;
            let matches = Matches::hash(list.key(), erasure.hash.clone());
            let traces = self
                .traces_of(&erasure.workspace, erasure.kind, &matches)
                .await?;
            let again = list.begin_again(erasure, traces)?;
            done.push(self.carry_out(&list, again, "flyball").await?);
        }
        Ok(done)
    }

    /// All erasures that were ever asked for in this data directory, oldest first.
    ///
    /// # Errors
    /// When the list cannot be read.
    pub fn erasures(&self) -> Result<Vec<Erasure>> {
        ErasureList::existing(self.config.ledger_dir())?
            .map_or_else(|| Ok(Vec::new()), |list| list.all())
    }

    async fn carry_out(&self, list: &ErasureList, erasure: Erasure, actor: &str) -> Result<Erased> {
        let (workspace, position) = (erasure.workspace.as_str(), erasure.log_position);
        let concern = Concern {
            traces: Arc::new(erasure.traces.iter().cloned().collect::<HashSet<_>>()),
            kind: erasure.kind,
            matches: Matches::hash(list.key(), erasure.hash.clone()),
            position,
        };
        let mut erased = Erased {
            id: erasure.id.clone(),
            traces: concern.traces.len() as u64,
            log_position: position,
            ..Erased::default()
        };
        for table in TABLES {
            let place = (self.state.lock().name(workspace), table);
            let done = self
                .rewrite_without(list, &place, &concern, &erasure)
                .await?;
            erased.tables.extend(done);
        }
        let sums = self.erase_from_sums(list, &erasure).await?;
        erased.tables.extend(sums);
        self.cut_log_to(position).await?;
        if erased.tables.iter().any(|table| table.files > 0) {
            erased.gone_at = Some(Utc::now() + self.config.maintenance.erased_after);
        }
        self.receipt(&erasure, &erased, actor).await?;
        list.finish(&erasure.id)?;
        Ok(erased)
    }

    /// What an erasure would do; what it would do to the sums follows from the charges.
    async fn survey(&self, workspace: &str, concern: &Concern) -> Result<Erased> {
        let mut erased = Erased {
            dry_run: true,
            traces: concern.traces.len() as u64,
            log_position: self.state.lock().visible,
            ..Erased::default()
        };
        for table in TABLES {
            let place: Place = (self.state.lock().name(workspace), table);
            let mut found = ErasedTable {
                table: table.name().to_owned(),
                ..ErasedTable::default()
            };
            if let Some(delta) = self.version(&place) {
                found.before = delta.version().unwrap_or(0);
                for file in tables::files(&delta, workspace, table)? {
                    let rows = find::count(&delta, table, &file, concern).await?;
                    found.note(&file, rows);
                }
            }
            found.after = found.before;
            found.rows += self.buffered_of(&place, concern);
            erased.tables.push(found);
        }
        Ok(erased)
    }

    /// Rewrites the files of a table that hold rows which are concerned.
    async fn rewrite_without(
        &self,
        list: &ErasureList,
        place: &Place,
        concern: &Concern,
        erasure: &Erasure,
    ) -> Result<Option<ErasedTable>> {
        let Some(delta) = self.version(place) else {
            return Ok(None);
        };
        let mut done = ErasedTable {
            table: place.1.name().to_owned(),
            before: delta.version().unwrap_or(0),
            ..ErasedTable::default()
        };
        let mut concerned = Vec::new();
        for file in tables::files(&delta, &place.0, place.1)? {
            let rows = find::count(&delta, place.1, &file, concern).await?;
            concerned.extend(file.day.filter(|_| rows > 0).map(|day| (file, day, rows)));
        }
        let mut names: Vec<_> = concerned
            .iter()
            .map(|(file, ..)| noted(place, &file.path))
            .collect();
        // What was merged or rewritten lately held the same rows.
        let taken_off = tables::taken_off(&delta, &place.0, place.1).await?;
        names.extend(taken_off.iter().map(|(path, _)| noted(place, path)));
        list.note(&erasure.id, &names)?;
        for (file, day, rows) in concerned {
            let (pass, operation) = if place.1 == Table::Charges {
                let pass = redact::without_names(concern.clone());
                (pass, Operation::Update { reason: "erasure" })
            } else {
                let pass = redact::without_rows(concern.clone());
                (pass, Operation::Delete { reason: "erasure" })
            };
            self.rewrite_one(place, &delta, (&file, day), pass, operation)
                .await?;
            done.note(&file, rows);
        }
        let after = self.version(place).and_then(|delta| delta.version());
        done.after = after.unwrap_or(done.before);
        Ok(Some(done))
    }

    /// Puts a file in the place of another, its rows having gone through the pass.
    async fn rewrite_one(
        &self,
        place: &Place,
        delta: &DeltaTable,
        (file, day): (&Listed, NaiveDate),
        pass: Pass,
        operation: Operation,
    ) -> Result<()> {
        let rewrite = Rewrite {
            log_store: &delta.log_store(),
            table: place.1,
            day,
            target_bytes: u64::MAX,
            part_bytes: self.config.maintenance.part_bytes,
        };
        let written = rewrite
            .run(std::slice::from_ref(file), pass, &|| self.goes_on())
            .await?;
        let commit = tables::Commit::replace(operation, written.adds, written.removes, false);
        if self.replace(place, &commit).await? {
            return Ok(());
        }
        // Somebody else has rewritten the file. Asked again, we find its rows where they are now.
        Err(tables::overtaken(&place.0, place.1))
    }

    /// Files of a table that hold what was erased and are not deleted yet.
    pub(crate) fn erased_files(&self, place: &Place) -> Result<HashSet<Path>> {
        let Some(list) = ErasureList::existing(self.config.ledger_dir())? else {
            return Ok(HashSet::new());
        };
        let (all, prefix) = (list.all()?, format!("{}/", place.1.name()));
        let here = all.iter().filter(|erasure| *erasure.workspace == *place.0);
        let files = here.flat_map(|erasure| &erasure.files);
        let paths = files.filter_map(|file| Path::parse(file.strip_prefix(&prefix)?).ok());
        Ok(paths.collect())
    }

    /// These are deleted now.
    pub(crate) fn purged(&self, place: &Place, files: &[Path]) -> Result<()> {
        let list = ErasureList::existing(self.config.ledger_dir())?;
        let (Some(list), false) = (list, files.is_empty()) else {
            return Ok(());
        };
        let names = files.iter().map(|path| noted(place, path));
        list.purged(&place.0, &names.collect())
    }

    /// Waits until the log holds nothing up to a position any more.
    async fn cut_log_to(&self, position: LogPosition) -> Result<()> {
        // Flushed up to there it has been; a journal or a table that failed may still hold it back.
        self.flush().await?;
        let safe = self.state.lock().safe_to_cut();
        if safe < position {
            return Err(crate::Error::LogHeld {
                position,
                held_at: safe,
            });
        }
        Ok(())
    }

    async fn receipt(&self, erasure: &Erasure, erased: &Erased, actor: &str) -> Result<()> {
        let record = serde_json::json!({
            "erasure": erasure.id,
            "kind": erasure.kind.as_str(),
            "subject_hmac_sha256": erasure.hash,
            "log_position": erasure.log_position,
            "traces": erased.traces,
            "tables": erased.tables,
        });
        let row = AuditRow {
            at: Micros(Utc::now().timestamp_micros()),
            event: EVENT.to_owned(),
            actor: actor.to_owned(),
            subject: format!("erasure:{}", erasure.id),
            record: record.to_string(),
            ..AuditRow::default()
        };
        self.record(&erasure.workspace, OwnEvent::Audit(row))
            .await
            .map(drop)
    }
}

/// A table's file as the list of erasures names it.
fn noted(place: &Place, path: &dyn std::fmt::Display) -> String {
    format!("{}/{path}", place.1.name())
}

impl ErasedTable {
    fn note(&mut self, file: &Listed, rows: u64) {
        if rows == 0 {
            return;
        }
        self.rows += rows;
        self.files += 1;
        if let Some(day) = file.day.filter(|day| !self.days.contains(day)) {
            self.days.push(day);
            self.days.sort_unstable();
        }
    }
}
