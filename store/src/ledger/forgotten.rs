//! The record that somebody was erased from the ledger. It names the key that was dropped, and nobody.

use serde_json::{Value, json};

use crate::error::Result;
use crate::personal::Personal;
use crate::rows::{AuditRow, Micros};

const FORGOTTEN: &str = "subject.forgotten";

/// The record.
pub(crate) fn forgotten(at: Micros, kind: &str, key: &str) -> AuditRow {
    AuditRow {
        at,
        event: FORGOTTEN.to_owned(),
        actor: "flyball".to_owned(),
        subject: format!("key:{key}"),
        record: json!({ "kind": kind, "key": key }).to_string(),
        ..AuditRow::default()
    }
}

/// Drops the key that such a record names, if it is still there: a crash came in between, or the keys were
/// restored from a backup that is older than the erasure.
pub(crate) fn forget_again(personal: &Personal, row: &AuditRow) -> Result<()> {
    if row.event != FORGOTTEN {
        return Ok(());
    }
    let record: Value = serde_json::from_str(&row.record).unwrap_or_default();
    if let Some(key) = record["key"].as_str()
        && personal.forget(key)?
    {
        tracing::info!(
            key,
            "a person that the ledger says was forgotten is forgotten again"
        );
    }
    Ok(())
}
