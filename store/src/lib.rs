//! What Flyball keeps, and the promise that nothing acknowledged is lost or doubled.
//!
//! Data passes through the modules in this order: a request ([`Append`]) is framed and synced in the `log`,
//! recognised by `dedupe` when it comes again, and its rows stand in the hot `buffer`, all under the one lock
//! of `state`. A `flush` sorts them into Parquet and makes one Delta commit a table (`tables`, on `objects`),
//! and a [`Snapshot`] lets a reader see table and buffer as one. The resolver's charges come in by another
//! door ([`JournalUpdate`]): they are derived, so the log does not carry them, and they are flushed once their
//! trace has settled. Names of people in the ledger are sealed (`personal`), so that they can be erased.
//! `maintain` merges small files, takes out of them what was told again (`telling`), and deletes what nobody
//! lists any more. What charts ask for is summed by minute (`rollup`), and a snapshot says for which minutes that
//! holds. Who may come in, and as whom, `api_keys` say. After a restart `recovery` replays the log past what the tables hold, and [`Resume`] gives the resolver
//! the traces that were open.

pub mod hashed;
pub mod rows;

mod api_keys;
mod append;
mod backup;
mod bounds;
mod buffer;
mod chunks;
mod config;
mod correction;
mod dedupe;
mod directory;
mod disk;
mod diskless;
mod erase;
mod error;
mod event;
mod flush;
mod folder;
mod forget;
mod history;
mod journal;
mod ledger;
mod log;
mod maintain;
mod moment;
mod objects;
mod outage;
mod personal;
mod recovery;
mod resume;
mod rollup;
mod signing;
mod snapshot;
mod spill;
mod state;
mod stats;
mod store;
mod table;
mod tables;
mod telling;

pub use api_keys::{ApiKey, ApiKeys, KeyOrder, Role, Scram, Standing, hash_secret, make_secret};
pub use append::{Append, Appended, Decoder, OwnEvent};
pub use backup::{
    BackupOptions, BackupPlace, BackupReport, Damage, Figures as BackupFigures, LedgerHead,
    LocalFile, Manifest, Progress as BackupProgress, RestoreOptions, Restored, TableFile,
    TableVersion, Taken as BackupTaken, list as list_backups, restore, verify as verify_backup,
};
pub use bounds::{Bound, Bounds, ColumnBounds};
pub use config::{Config, Diskless, Durability};
pub use diskless::LogKey;
pub use erase::{Erased, ErasedTable, Erasure, Subject, SubjectKind};
pub use error::{Error, Result};
pub use event::Event;
pub use journal::JournalUpdate;
pub use ledger::{
    Entry as LedgerEntry, Finding, Flaw, LedgerReport, Proof, PublicKey, SignedHead, ledger_head,
    prove_growth, prove_record, sha256, verify_ledger, verify_ledger_against,
};
pub use log::{Encoding, FrameKind, Header, LogPosition, Origin, Signal};
pub use maintain::{Maintained, Maintenance, Retain, Storage, StoredTable};
pub use moment::Moment;
pub use objects::{DurableLocal, LATENCY_BUCKETS_MS, ObjectOperation};
pub use resume::Resume;
pub use rollup::{MINUTE_MICROS, Minutes, sketch};
pub use snapshot::{Snapshot, StoredFile, TableSnapshot};
pub use spill::SpilledFile;
pub use stats::{Stats, TableStats};
pub use store::Store;
pub use table::Table;
pub use telling::Superseded;

#[cfg(test)]
mod simulation;
