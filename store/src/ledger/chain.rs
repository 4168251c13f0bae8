//! The chain itself, as pure functions: what is hashed, and whether a record follows from the one before.

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::rows::{ActionRow, AuditRow};

/// What stands in for the hash before the first record.
pub(super) const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The last record of a chain, as far as the next one needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    /// Its number; 0 before the first.
    pub(super) seq: i64,
    /// Its hash, in lower-case hex.
    pub(super) hash: String,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            seq: 0,
            hash: GENESIS.to_owned(),
        }
    }
}

impl Head {
    /// The head that this record is.
    pub(super) fn of(row: &AuditRow) -> Self {
        Self {
            seq: row.seq,
            hash: row.hash.clone(),
        }
    }
}

/// What is hashed: canonical JSON (RFC 8785) of the record. Keys are sorted, numbers are whole (`at` in
/// microseconds since 1970), and `record` is hashed as the text it is.
pub(super) fn canonical(row: &AuditRow) -> String {
    let text = |text: &str| Value::from(text);
    format!(
        r#"{{"actor":{},"at":{},"event":{},"previous_hash":{},"record":{},"seq":{},"subject":{}}}"#,
        text(&row.actor),
        row.at.0,
        text(&row.event),
        text(&row.previous_hash),
        text(&row.record),
        row.seq,
        text(&row.subject),
    )
}

/// The hash a record must carry: SHA-256 of its canonical JSON, in lower-case hex.
pub(super) fn hash(row: &AuditRow) -> String {
    hex::encode(Sha256::digest(canonical(row)))
}

/// Makes a record the next of its chain.
pub(super) fn seal(row: &mut AuditRow, head: &Head) {
    row.seq = head.seq + 1;
    row.previous_hash.clone_from(&head.hash);
    row.hash = hash(row);
}

/// Whether a record is as it was written, by itself; the error says what differs.
pub(super) fn intact(row: &AuditRow) -> Result<(), String> {
    let found = hash(row);
    if found == row.hash {
        Ok(())
    } else {
        Err(format!(
            "its content hashes to {found}, but its hash says {}",
            row.hash
        ))
    }
}

/// Whether a record points to this head; the error says what differs.
pub(super) fn follows(row: &AuditRow, head: &Head) -> Result<(), String> {
    if row.previous_hash == head.hash {
        Ok(())
    } else {
        Err(format!(
            "it follows a record with hash {}, but record {} has {}",
            row.previous_hash, head.seq, head.hash
        ))
    }
}

/// Recognises a record that is told again: the same event by the same actor on the same subject at the same
/// microsecond, in the same words.
pub(crate) fn record_key(row: &AuditRow) -> [u8; 32] {
    key(&[
        "audit",
        &row.at.0.to_string(),
        &row.event,
        &row.actor,
        &row.subject,
        &row.record,
    ])
}

/// Recognises an action's event that is told again: by the action, what befell it, who said so and when.
pub(crate) fn action_key(row: &ActionRow) -> [u8; 32] {
    let by = row.obeyed_by.as_deref().unwrap_or(&row.actor);
    key(&[
        "action",
        &row.at.0.to_string(),
        &row.action_id,
        &row.event,
        by,
    ])
}

/// Lengths stand before the parts, so that no two lists of parts look the same.
fn key(parts: &[&str]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}
