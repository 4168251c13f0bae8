//! A file of the ledger is named for what it holds: the records by number, and the SHA-256 of its bytes.
//!
//! `audit-<first>-<last>-<sha256>.zstd.parquet`. So no byte of it can change unseen, also none that carries
//! no record (padding, statistics, the footer), and a file that is damaged or gone still says what it held.

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::{max, min};
use arrow::datatypes::Int64Type;
use sha2::{Digest, Sha256};

const PREFIX: &str = "audit-";
const SUFFIX: &str = ".zstd.parquet";

/// What a name says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    /// Number of the first record.
    pub(super) first: i64,
    /// Number of the last.
    pub(super) last: i64,
    /// SHA-256 of the file, in lower-case hex.
    pub(super) sha256: String,
}

/// The name of a file with these rows and bytes.
pub(crate) fn name(rows: &RecordBatch, bytes: &[u8]) -> String {
    let seqs = rows
        .column_by_name("seq")
        .and_then(ArrayRef::as_primitive_opt::<Int64Type>);
    let (first, last) = seqs.map_or((None, None), |seqs| (min(seqs), max(seqs)));
    let (first, last) = (first.unwrap_or(0), last.unwrap_or(0));
    format!("{PREFIX}{first:012}-{last:012}-{}{SUFFIX}", sha256(bytes))
}

/// SHA-256 in lower-case hex, as the ledger writes it.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Reads a name; None when it is not one of ours.
pub(super) fn parse(name: &str) -> Option<Name> {
    let middle = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let mut parts = middle.split('-');
    let name = Name {
        first: parts.next()?.parse().ok()?,
        last: parts.next()?.parse().ok()?,
        sha256: parts.next()?.to_owned(),
    };
    let sound = name.sha256.len() == 64 && name.first >= 1 && name.first <= name.last;
    (sound && parts.next().is_none()).then_some(name)
}
