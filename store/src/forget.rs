//! People on the ledger: sealed when they are named, erased when they are to be forgotten.

use std::sync::Arc;

use crate::append::{self, OwnEvent};
use crate::disk::{self, Disk};
use crate::error::Result;
use crate::ledger;
use crate::rows::{AuditRow, Micros};
use crate::store::Store;

impl Store {
    /// Erases a person from the ledger: what names `kind:name` there (`user:...`, `session:...`, `tenant:...`, or an
    /// actor such as `cli:...`) shows as `erased` from now on, for ever, and the chain stays as it is. A record
    /// `subject.forgotten` says so without the name: it holds the id of the key that was dropped, which is also
    /// the answer; None when nobody of that name is on the ledger. A later record that names the same person is
    /// sealed with a new key.
    ///
    /// # Errors
    /// As [`Store::record`]. When it fails the person may still be known: call it again.
    pub async fn forget_subject(
        &self,
        workspace: &str,
        kind: &str,
        name: &str,
    ) -> Result<Option<String>> {
        let (personal, place) = (Arc::clone(&self.personal), workspace.to_owned());
        let (known, named) = (kind.to_owned(), name.to_owned());
        let find = move |_: &dyn Disk| personal.key_of(&place, &known, &named);
        let key = disk::work_on(&self.disk, find).await?;
        let Some(key) = key else { return Ok(None) };
        // The record first: after a crash in between, the next start drops the key.
        let at = Micros(chrono::Utc::now().timestamp_micros());
        let record = OwnEvent::Audit(ledger::forgotten(at, kind, &key));
        self.record(workspace, record).await?;
        let (personal, id) = (Arc::clone(&self.personal), key.clone());
        disk::work_on(&self.disk, move |_| personal.forget(&id)).await?;
        Ok(Some(key))
    }

    /// A text of the ledger (`actor`, `subject` or `record`) with the names in it readable again; those of people
    /// who were forgotten, or whose keys are elsewhere, read `erased`.
    #[must_use]
    pub fn opened(&self, text: &str) -> String {
        self.personal.opened(text)
    }

    /// The record with the names of people sealed.
    pub(crate) async fn sealed_record(
        &self,
        workspace: &str,
        mut row: AuditRow,
    ) -> Result<AuditRow> {
        append::check_workspace(workspace)?;
        if self.personal.seal_at_hand(workspace, &mut row) {
            return Ok(row);
        }
        let (personal, workspace) = (Arc::clone(&self.personal), workspace.to_owned());
        // Whoever is named for the first time gets a key, which has to be on disk first.
        let seal = move |_: &dyn Disk| personal.seal(&workspace, &mut row).map(|()| row);
        disk::work_on(&self.disk, seal).await
    }
}
