//! What tables take up, for a person to look at.

use chrono::{DateTime, NaiveDate, Utc};

use super::plan::Rules;
use super::{Place, compact};
use crate::error::Result;
use crate::store::Store;
use crate::tables;

/// What is kept, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Storage {
    /// Bytes of the log on disk.
    pub log_bytes: u64,
    /// Bytes of rows in memory that wait for their flush.
    pub buffered_bytes: u64,
    /// Every table that has a version, by workspace and name.
    pub tables: Vec<StoredTable>,
}

/// What one table takes up.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StoredTable {
    /// Whose.
    pub workspace: String,
    /// Its name.
    pub table: String,
    /// Delta version.
    pub version: u64,
    /// Files that the version lists.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Their rows, by what the Delta log says.
    pub rows: u64,
    /// The oldest day that has rows (UTC).
    pub oldest_day: Option<NaiveDate>,
    /// The newest.
    pub newest_day: Option<NaiveDate>,
    /// Files that are less than half as large as compaction makes them.
    pub small_files: u64,
    /// Spans that were told again, of which the earlier telling is still on disk (readers do not see it).
    pub superseded: u64,
    /// When files of it were last rewritten; None when not since the store was opened.
    pub compacted: Option<DateTime<Utc>>,
}

impl Store {
    /// What every table takes up, by what the Delta logs say.
    ///
    /// # Errors
    /// When a table's state cannot be read.
    pub fn storage(&self) -> Result<Storage> {
        let stats = self.stats();
        let compacted = self.figures.compacted.lock().clone();
        let mut tables = Vec::new();
        let places = self.state.lock().tables();
        for place in places {
            let Some(delta) = self.version(&place) else {
                continue;
            };
            let listed = tables::files(&delta, &place.0, place.1)?;
            let rules = Rules {
                target_bytes: self.config.maintenance.target_bytes,
                now: 0,
                at_once: false,
            };
            let small = compact::known(&listed);
            let days = || listed.iter().filter_map(|file| file.day);
            let (workspace, table): &Place = &place;
            tables.push(StoredTable {
                workspace: workspace.to_string(),
                table: table.name().to_owned(),
                version: delta.version().unwrap_or(0),
                files: listed.len() as u64,
                bytes: listed.iter().map(|file| file.bytes).sum(),
                rows: listed.iter().map(|file| file.rows).sum(),
                oldest_day: days().min(),
                newest_day: days().max(),
                small_files: small.iter().filter(|file| rules.is_small(file)).count() as u64,
                superseded: self.superseded(&place).len() as u64,
                compacted: compacted.get(&place).copied(),
            });
        }
        Ok(Storage {
            log_bytes: stats.log_bytes,
            buffered_bytes: stats.buffered_bytes,
            tables,
        })
    }
}
