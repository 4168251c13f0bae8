//! What a backup holds, and how it must look.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use deltalake::kernel::Add;
use serde::{Deserialize, Serialize};

use crate::log::LogPosition;
use crate::table::Table;

/// The form of manifests that this version writes, and the only one it reads.
pub(super) const FORMAT: u32 = 1;

/// Everything in a backup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Form of the manifest.
    pub format: u32,
    /// Name of the backup: when it was taken, and by which node.
    pub id: String,
    /// Version of Flyball that took it.
    pub flyball: String,
    /// When the tables were flushed for it.
    pub taken_at: DateTime<Utc>,
    /// Id of the node that took it.
    pub node: String,
    /// Every table that the log feeds holds all rows up to here, and none past it.
    pub log_position: LogPosition,
    /// Whether keys are among the local files: who holds the backup can then sign the ledger.
    pub keys: bool,
    /// The tables, by workspace and name.
    pub tables: Vec<TableVersion>,
    /// Files of the data directory.
    pub local: Vec<LocalFile>,
    /// Where each workspace's ledger ends.
    pub ledgers: Vec<LedgerHead>,
}

/// A table at the version that was copied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableVersion {
    /// Its workspace.
    pub workspace: String,
    /// Its name.
    pub table: String,
    /// The Delta version.
    pub version: u64,
    /// What this node's transaction in it carries.
    pub position: LogPosition,
    /// Name and type of each column.
    pub columns: BTreeMap<String, String>,
    /// Its files.
    pub files: Vec<TableFile>,
}

/// A Parquet file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableFile {
    /// What the table's log says of it; its path is that in the table's folder.
    pub add: Add,
    /// SHA-256 of its bytes, lower-case hex.
    pub sha256: String,
    /// Rows in it; None when the table's log does not say.
    pub rows: Option<u64>,
}

/// A file of the data directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalFile {
    /// Its name there.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of them, lower-case hex.
    pub sha256: String,
}

/// The last record of a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerHead {
    /// Whose ledger.
    pub workspace: String,
    /// Number of the record.
    pub seq: i64,
    /// Its hash, lower-case hex.
    pub hash: String,
}

impl Manifest {
    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let files = self.tables.iter().flat_map(|table| &table.files);
        let local: u64 = self.local.iter().map(|file| file.size).sum();
        files.map(TableFile::size).sum::<u64>() + local
    }

    /// Rows of all tables, as far as their logs say.
    #[must_use]
    pub fn rows(&self) -> u64 {
        let files = self.tables.iter().flat_map(|table| &table.files);
        files.filter_map(|file| file.rows).sum()
    }
}

impl TableVersion {
    /// Which table it is; None for one that this version does not know.
    pub(super) fn known(&self) -> Option<Table> {
        Table::ALL
            .into_iter()
            .find(|table| table.name() == self.table)
    }
}

impl TableFile {
    /// Bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.add.size.max(0) as u64
    }
}
