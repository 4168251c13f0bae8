//! A second place that holds everything: taken while the store runs, checked file by file, restored elsewhere.
//!
//! A place (any folder or bucket) holds the files of all backups once, and of each backup the local files and a
//! [`Manifest`], which is written last: without one it is no backup.
//!
//! ```text
//! files/<workspace>/<table>/date=.../part-....parquet   as in the tables; they never change
//! backups/<id>/local/...                                 of the data directory: control, digests, keys
//! backups/<id>/manifest-<sha256>.json                    what there is, and how it must look
//! ```
//!
//! [`take`](crate::Store::backup) flushes all tables at one position of the log, so that they agree with each other,
//! and copies what those versions name. [`verify()`] reads all of it again. [`restore()`] does so while it writes, and
//! makes of every table a new one, whose first commit names all files and carries on this node's positions. What
//! is left to do then is done when it is opened for the first time ([`restored`]).

mod copy;
mod local;
mod manifest;
mod place;
mod progress;
mod restore;
mod restored;
mod take;
mod verify;

pub use manifest::{LedgerHead, LocalFile, Manifest, TableFile, TableVersion};
pub use place::{BackupPlace, list};
pub use progress::{Figures, Progress};
pub use restore::{RestoreOptions, Restored, restore};
pub use take::{BackupOptions, Taken};
pub use verify::{BackupReport, Damage, verify};

pub(crate) use restore::refuse_half_restored;
