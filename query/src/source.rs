//! Where a statement's rows come from.

use std::fmt::Debug;

use flyball_store::{Snapshot, Store};

/// Gives out every table of a workspace as of one moment. The store does; tests hand in a fixed one.
pub trait Source: Debug + Send + Sync {
    /// All tables of the workspace now. A workspace without data has no tables in it, or empty ones.
    fn snapshot(&self, workspace: &str) -> Snapshot;

    /// A text of the ledger with the names of people in it readable, as far as this source has their keys.
    fn opened(&self, text: &str) -> String {
        text.to_owned()
    }
}

impl Source for Store {
    fn snapshot(&self, workspace: &str) -> Snapshot {
        Self::snapshot(self, workspace)
    }

    fn opened(&self, text: &str) -> String {
        Self::opened(self, text)
    }
}

/// One moment, for ever: whatever the workspace asked for.
impl Source for Snapshot {
    fn snapshot(&self, _workspace: &str) -> Snapshot {
        self.clone()
    }
}
