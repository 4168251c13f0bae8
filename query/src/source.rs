//! Where a statement's rows come from.

use std::fmt::Debug;

use async_trait::async_trait;
use flyball_store::{Moment, Result, Snapshot, Store, Table};

/// Gives out every table of a workspace as of one moment. The store does; tests hand in a fixed one.
#[async_trait]
pub trait Source: Debug + Send + Sync {
    /// All tables of the workspace now. A workspace without data has no tables in it, or empty ones.
    fn snapshot(&self, workspace: &str) -> Snapshot;

    /// A text of the ledger with the names of people in it readable, as far as this source has their keys.
    fn opened(&self, text: &str) -> String {
        text.to_owned()
    }

    /// At least these tables of it, at a moment. Who knows but one moment gives that.
    ///
    /// # Errors
    /// What finding the tables of that moment says.
    async fn snapshot_at(
        &self,
        workspace: &str,
        _moment: Moment,
        _tables: &[Table],
    ) -> Result<Snapshot> {
        Ok(self.snapshot(workspace))
    }
}

#[async_trait]
impl Source for Store {
    fn snapshot(&self, workspace: &str) -> Snapshot {
        Self::snapshot(self, workspace)
    }

    fn opened(&self, text: &str) -> String {
        Self::opened(self, text)
    }

    async fn snapshot_at(
        &self,
        workspace: &str,
        moment: Moment,
        tables: &[Table],
    ) -> Result<Snapshot> {
        Self::snapshot_at(self, workspace, moment, tables).await
    }
}

/// One moment, for ever: whatever the workspace asked for.
impl Source for Snapshot {
    fn snapshot(&self, _workspace: &str) -> Snapshot {
        self.clone()
    }
}
