//! What can go wrong in the store, named for what a person has to mend.

use std::path::PathBuf;

use crate::log::LogPosition;
use crate::table::Table;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The buffer or the disk is full: nothing was written, try again later.
    #[error("{what} is full ({used} of {limit} bytes): try again in {retry_after_ms} ms")]
    Full {
        /// `buffer`, `disk`, or `queue` (of those who listen to what comes in).
        what: &'static str,
        /// Bytes in use; for the disk, the bytes that did not fit any more.
        used: u64,
        /// Bytes allowed; 0 when the operating system set the limit.
        limit: u64,
        /// When it makes sense to come back, in milliseconds.
        retry_after_ms: u64,
    },
    /// One request is larger than a frame of the log can be.
    #[error(
        "a request of {bytes} bytes is more than a frame of the log holds ({limit} bytes): send it in parts"
    )]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The size allowed.
        limit: u64,
    },
    /// A workspace's name becomes a folder's name, so it is kept simple.
    #[error(
        "workspace {name:?} is not 1 to 64 characters of a-z, 0-9, - and _, the first a letter or digit"
    )]
    WorkspaceName {
        /// The name as given.
        name: String,
    },
    /// A batch does not fit the table it was sent to.
    #[error("a batch for table {table} was refused: {reason}", table = table.name())]
    BatchRefused {
        /// The table.
        table: Table,
        /// What does not fit.
        reason: String,
    },
    /// Another process (or another [`Store`](crate::Store) of this one) owns the data directory.
    #[error("{path} is in use by {holder}: stop it, or go through its ports", path = path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// The process, as it entered itself in the lock file.
        holder: String,
    },
    /// There is nothing to read there.
    #[error("{path} is no data directory of Flyball (it has no log): name another, or start `flyball serve` on it", path = path.display())]
    NoData {
        /// The directory.
        path: PathBuf,
    },
    /// A file of the data directory could not be read or written.
    #[error("{path}: cannot {doing}: {source}", path = path.display())]
    File {
        /// What was attempted.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The log holds something it never wrote, and not at its end: acknowledged data is damaged.
    #[error("the log is damaged: segment {segment}, offset {offset}: {reason}. Restore the segment from a backup; nothing was changed", segment = segment.display())]
    LogCorrupt {
        /// The segment file.
        segment: PathBuf,
        /// Bytes from its start.
        offset: u64,
        /// What was found.
        reason: String,
    },
    /// A segment is missing: acknowledged data is gone.
    #[error("the log is incomplete: expected a segment that starts at position {expected}, found {found}", found = found.display())]
    LogGap {
        /// The position that should come next.
        expected: LogPosition,
        /// The segment that comes next.
        found: PathBuf,
    },
    /// The log ends before what a table already holds: the directory is older than the tables.
    #[error(
        "the log ends at position {log}, but table {table} has committed up to {committed}: the data directory is older than the tables"
    )]
    LogBehindTables {
        /// Last position of the log.
        log: LogPosition,
        /// The table, as `workspace/name`.
        table: String,
        /// The position it has committed.
        committed: LogPosition,
    },
    /// Writing or syncing the log failed before: what is on disk is unknown, so nothing more is acknowledged.
    #[error(
        "the log takes no more requests since it could not be written: {reason}. Mend that and restart"
    )]
    LogPoisoned {
        /// The first failure.
        reason: String,
    },
    /// The log in the bucket cannot be used.
    #[error("the log cannot be used: {reason}")]
    LogUnusable {
        /// What is in the way.
        reason: String,
    },
    /// The bucket does not take the log now, so nothing more is taken in; try again later.
    #[error(
        "the bucket has not taken the log for {stalled_s} s: nothing is acknowledged until it does"
    )]
    LogStalled {
        /// For how long, in seconds.
        stalled_s: u64,
    },
    /// Another process with our node id has taken over: this one may write to tables no more.
    #[error(
        "table {table}: another process with this node.id has taken over: stop this one, or give it another id"
    )]
    TakenOver {
        /// The table, as `workspace/name`.
        table: String,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// The store was opened for reading only.
    #[error("the store was opened read-only")]
    ReadOnly,
    /// A frame that was acknowledged cannot be decoded any more.
    #[error("the request at log position {position} cannot be decoded again: {reason}")]
    Undecodable {
        /// Where it stands.
        position: LogPosition,
        /// What the decoder said.
        reason: String,
    },
    /// Where tables should live is not a place we know.
    #[error(
        "tables_url {url:?}: {reason}. Accepted: file:///path, s3://bucket/path, gs://bucket/path, az://container/path"
    )]
    TablesUrl {
        /// As configured.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The object store overwrites where it should refuse, so two writers could destroy each other's commits.
    #[error(
        "{url} does not refuse to overwrite an object that exists (put-if-absent): tables cannot be kept safely there"
    )]
    NoPutIfAbsent {
        /// The place.
        url: String,
    },
    /// The object store failed.
    #[error("object store: cannot {doing}: {source}")]
    Objects {
        /// What was attempted.
        doing: &'static str,
        /// What it said.
        source: object_store::Error,
    },
    /// A Delta table could not be loaded, created or committed to.
    #[error("table {table}: cannot {doing}: {source}")]
    Delta {
        /// The table, as `workspace/name`.
        table: String,
        /// What was attempted.
        doing: &'static str,
        /// What was said.
        source: Box<deltalake::DeltaTableError>,
    },
    /// Somebody else changes a table as fast as we do.
    #[error(
        "table {table} was changed by another writer each time it was to be: let one process maintain it"
    )]
    Overtaken {
        /// The table, as `workspace/name`.
        table: String,
    },
    /// The log cannot be cut yet.
    #[error(
        "the log still holds what stands at positions up to {position}, since rows from {held_at} on could not be flushed: ask again"
    )]
    LogHeld {
        /// Up to where it was to be cut.
        position: LogPosition,
        /// Up to where it can be.
        held_at: LogPosition,
    },
    /// A table on disk has a column of another type than this version of Flyball writes, or lacks one that must be there.
    #[error("table {table}: {reason}")]
    SchemaDiffers {
        /// The table, as `workspace/name`.
        table: String,
        /// The column and both types.
        reason: String,
    },
    /// A Parquet file could not be written or read.
    #[error("Parquet: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
    /// Rows could not be arranged.
    #[error("Arrow: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
    /// Bytes that should be a sketch are none.
    #[error("a sketch of {what} cannot be used: {reason}")]
    Sketch {
        /// quantiles or distinct.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The local SQLite file failed.
    #[error("state.db: {0}")]
    State(#[from] rusqlite::Error),
    /// The key that signs the ledger is not to be used.
    #[error("{path}: {reason}. Restore the file from a backup; without it a new key would have to be trusted", path = path.display())]
    LedgerKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The newest signed head of the ledger is not to be read.
    #[error("{path} is no signed head of the ledger: {reason}. `flyball audit head` prints one", path = path.display())]
    LedgerHead {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// What was to be proved of the ledger is not so, or not yet.
    #[error("cannot be proved: {reason}")]
    Unproved {
        /// What is missing.
        reason: String,
    },
    /// The keys of people are not to be used.
    #[error("{path}: {reason}. Restore the file from a backup", path = path.display())]
    SubjectKeys {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file of API keys is not to be used.
    #[error("{path}: {reason}. Restore the file from a backup; until then nobody is let in", path = path.display())]
    ApiKeys {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// What is asked of an API key cannot be had.
    #[error("{field} {value:?}: expected {accepted}")]
    ApiKeyOrder {
        /// What was asked.
        field: &'static str,
        /// As it was given.
        value: String,
        /// The accepted form.
        accepted: String,
    },
    /// The operating system gives no random numbers.
    #[error("the operating system gives no random numbers: no secret can be made")]
    NoRandomness,
    /// The chain cannot go on, since nobody knows where it ended.
    #[error(
        "the last file of the ledger of workspace {workspace} is damaged: {path}: {reason}. Restore it from a backup; `flyball audit verify` names all that is damaged"
    )]
    LedgerEnd {
        /// Whose ledger.
        workspace: String,
        /// The file, in the table's folder.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A moment to read that is none.
    #[error(
        "moment {given:?} is not known: use latest, committed, a time (RFC 3339, such as 2026-11-22T09:00:00Z) or how long ago (90s, 15m, 2h, 7d)"
    )]
    Moment {
        /// As asked for.
        given: String,
    },
    /// What a table held then is not kept any more.
    #[error(
        "table {table} cannot be read as of {}: the oldest point is {}",
        asked.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true),
        oldest.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
    )]
    HistoryEnds {
        /// The table, as `workspace/name`.
        table: String,
        /// The time asked for.
        asked: chrono::DateTime<chrono::Utc>,
        /// The earliest that can be asked for.
        oldest: chrono::DateTime<chrono::Utc>,
    },
    /// Where backups should be is not a place we know.
    #[error(
        "backup place {url:?}: {reason}. Accepted: a path, file:///path, s3://bucket/path, gs://bucket/path, az://container/path"
    )]
    BackupUrl {
        /// As given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no complete backup there.
    #[error(
        "{place} holds no {}: a backup is complete once it has a manifest",
        wanted.as_ref().map_or_else(|| "backup".to_owned(), |id| format!("backup {id}"))
    )]
    NoBackup {
        /// The place.
        place: String,
        /// The one that was asked for; None for the latest.
        wanted: Option<String>,
    },
    /// Something of a backup is not as it was written.
    #[error("the backup is damaged: {path}: {reason}")]
    BackupDamaged {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A restore needs an empty place.
    #[error(
        "{place} exists: a backup is restored into an empty directory and an empty place for tables"
    )]
    NotEmpty {
        /// What was found.
        place: String,
    },
    /// A backup without keys does not hold what signs the ledger.
    #[error(
        "backup {backup} was taken without keys: name the file of the key that signs the ledger, or ask for a new one if it is lost"
    )]
    NoLedgerKey {
        /// The backup.
        backup: String,
    },
    /// A restore did not come to its end.
    #[error("{path} holds part of backup {backup}: {mend}", path = path.display())]
    HalfRestored {
        /// The data directory.
        path: PathBuf,
        /// The backup.
        backup: String,
        /// What to do about it.
        mend: &'static str,
    },
    /// A background task of ours stopped unexpectedly.
    #[error("a background task stopped: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl Error {
    /// For `map_err` on file operations.
    pub(crate) fn file(
        doing: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File {
            doing,
            path,
            source,
        }
    }

    /// For `map_err` on object store operations.
    pub(crate) fn objects(doing: &'static str) -> impl FnOnce(object_store::Error) -> Self {
        move |source| Self::Objects { doing, source }
    }
}
