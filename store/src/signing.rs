//! When the ledger is signed, and by whom: after many records, after a while, at the end; and how the key changes.

use crate::append::OwnEvent;
use crate::config::Durability;
use crate::disk::{self, Disk};
use crate::error::Result;
use crate::ledger::{self, PublicKey, SigningKey};
use crate::rows::{AuditRow, Micros};
use crate::store::Store;

impl Store {
    /// Signs a workspace's ledger as far as it goes, and keeps the head beside the tables.
    pub(crate) async fn checkpoint(&self, workspace: &str) -> Result<()> {
        self.sign(workspace, ledger::CHECKPOINT).await?;
        // A head must not be on stable storage before what it signs is.
        if self.config.durability != Durability::Durable {
            self.open_log()?.sync().await?;
        }
        let Some(head) = self.ledger.lock().signed(workspace) else {
            return Ok(());
        };
        let data_dir = self.config.ledger_dir().to_owned();
        disk::work_on(&self.disk, move |disk| {
            ledger::keep_head(disk, &data_dir, &head)
        })
        .await
    }

    /// Signs ledgers whose oldest unsigned record has waited for long.
    pub(crate) async fn sign_overdue(&self) {
        let overdue = self.ledger.lock().overdue(self.config.checkpoint_age);
        self.sign_all(overdue).await;
    }

    /// Signs what no checkpoint has signed yet. What cannot be signed now is by the next checkpoint.
    pub(crate) async fn sign_ledgers(&self) {
        if self.open_log().is_err() {
            return;
        }
        let unsigned = self.ledger.lock().unsigned();
        self.sign_all(unsigned).await;
    }

    async fn sign_all(&self, workspaces: Vec<String>) {
        for workspace in workspaces {
            if let Err(error) = self.checkpoint(&workspace).await {
                tracing::warn!(workspace, %error, "the last records of the ledger are not signed yet");
                self.ledger.lock().ask_again(&workspace);
            }
        }
    }

    /// Gives the ledger another key. The old one signs the new one in a record of each ledger, and is gone then.
    /// The answer is the new key's public half.
    ///
    /// # Errors
    /// As [`Store::record`], and [`Error::LedgerKey`](crate::Error::LedgerKey). A change that was cut off goes on at
    /// the next start, or with the next call.
    pub async fn rotate_ledger_key(&self) -> Result<PublicKey> {
        self.open_log()?;
        let data_dir = self.config.ledger_dir().to_owned();
        let make = move |disk: &dyn Disk| SigningKey::make_next(disk, &data_dir);
        let next = disk::work_on(&self.disk, make).await?;
        let public = next.public();
        self.ledger.lock().change_to(next);
        self.enter_key().await?;
        Ok(public)
    }

    /// At a start: ledgers that another key has signed get the record of the change, be it that one was cut off
    /// or that the key is lost.
    pub(crate) async fn settle_key(&self) -> Result<()> {
        self.enter_key().await
    }

    async fn enter_key(&self) -> Result<()> {
        let others = self.ledger.lock().signed_by_others();
        for workspace in others {
            self.sign(&workspace, ledger::KEY_CHANGED).await?;
        }
        let data_dir = self.config.ledger_dir().to_owned();
        let install = move |disk: &dyn Disk| SigningKey::install_next(disk, &data_dir);
        disk::work_on(&self.disk, install).await?;
        self.ledger.lock().changed();
        Ok(())
    }

    /// Enters a record whose text the ledger itself writes, when its turn has come.
    async fn sign(&self, workspace: &str, event: &str) -> Result<()> {
        let row = AuditRow {
            at: Micros(chrono::Utc::now().timestamp_micros()),
            event: event.to_owned(),
            actor: "flyball".to_owned(),
            subject: format!("workspace:{workspace}"),
            ..AuditRow::default()
        };
        self.append(OwnEvent::Audit(row).into_append(workspace)?)
            .await
            .map(drop)
    }

    /// At a start: heads of ledgers that end before them are put aside, for `verify` to name.
    pub(crate) fn check_heads(&self) {
        let ends = self.ledger.lock().ends();
        for (workspace, end) in ends {
            if let Err(error) = ledger::put_head_aside(
                self.disk.as_ref(),
                self.config.ledger_dir(),
                &workspace,
                end,
            ) {
                tracing::error!(workspace, %error, "the kept head of the ledger cannot be compared with it");
            }
        }
    }
}
