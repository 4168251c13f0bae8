//! A change of the key that signs checkpoints: a record in which the new key, and the old one if it is still at
//! hand, sign the chain so far.

use super::chain::Head;
use super::key::{PublicKey, SigningKey};
use crate::rows::AuditRow;

/// What the record holds, as JSON.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Change {
    workspace: String,
    /// Number of the record before.
    seq: i64,
    /// Its hash.
    hash: String,
    old_key: String,
    new_key: String,
    /// By the old key, over the statement; none when that key is lost.
    old_signature: Option<String>,
    /// By the new key.
    new_signature: String,
}

/// The keys before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Changed {
    pub(super) old: PublicKey,
    pub(super) new: PublicKey,
    /// Whether the old key agrees.
    pub(super) agreed: bool,
}

impl Change {
    fn statement(&self) -> String {
        let Self {
            workspace,
            seq,
            hash,
            old_key,
            new_key,
            ..
        } = self;
        format!("flyball ledger key change 1\n{workspace}\n{seq}\n{hash}\n{old_key}\n{new_key}\n")
    }
}

/// The `record` of a change after this head. `by` is the old key itself, if it is at hand.
pub(super) fn sign(
    workspace: &str,
    head: &Head,
    old: &PublicKey,
    by: Option<&SigningKey>,
    new: &SigningKey,
) -> Result<String, String> {
    let mut change = Change {
        workspace: workspace.to_owned(),
        seq: head.seq,
        hash: head.hash.clone(),
        old_key: old.to_string(),
        new_key: new.public().to_string(),
        old_signature: None,
        new_signature: String::new(),
    };
    let statement = change.statement();
    change.old_signature = by.map(|key| key.sign(&statement));
    change.new_signature = new.sign(&statement);
    serde_json::to_string(&change).map_err(|error| error.to_string())
}

/// The new key that a record names, unchecked: for our own records.
pub(super) fn new_key(row: &AuditRow) -> Option<PublicKey> {
    let change: Change = serde_json::from_str(&row.record).ok()?;
    PublicKey::from_hex(&change.new_key)
}

/// Which keys a record changes, and whether they signed what stands before it.
pub(super) fn check(row: &AuditRow, workspace: &str) -> Result<Changed, String> {
    let change: Change = serde_json::from_str(&row.record)
        .map_err(|error| format!("it is no change of the key: {error}"))?;
    let key = |text: &str| {
        PublicKey::from_hex(text).ok_or_else(|| format!("its key {text:?} is not 64 hex digits"))
    };
    let (old, new) = (key(&change.old_key)?, key(&change.new_key)?);
    if (change.workspace.as_str(), change.seq, &change.hash)
        != (workspace, row.seq - 1, &row.previous_hash)
    {
        return Err("it changes the key after another record than the one before it".into());
    }
    let statement = change.statement();
    if !new.signed(&statement, &change.new_signature) {
        return Err(format!("the new key {new} did not sign it"));
    }
    let agreed = match &change.old_signature {
        Some(signature) if !old.signed(&statement, signature) => {
            return Err(format!("its signature is not by the old key {old}"));
        }
        signature => signature.is_some(),
    };
    Ok(Changed { old, new, agreed })
}
