//! A checkpoint's record: the signature over the chain up to the record before it.

use super::chain::Head;
use super::key::{PublicKey, SigningKey};
use crate::rows::AuditRow;

/// What its `record` holds, as JSON.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Signed {
    workspace: String,
    /// Number of the last record that is signed.
    seq: i64,
    /// Its hash.
    hash: String,
    /// Ed25519, 64 hex digits.
    public_key: String,
    /// Over `flyball ledger checkpoint 1`, workspace, seq and hash, each with a line feed after it; in hex.
    signature: String,
}

/// The `record` of a checkpoint that signs this head.
pub(super) fn sign(key: &SigningKey, workspace: &str, head: &Head) -> Result<String, String> {
    let signed = Signed {
        workspace: workspace.to_owned(),
        seq: head.seq,
        hash: head.hash.clone(),
        public_key: key.public().to_string(),
        signature: key.sign(workspace, head),
    };
    serde_json::to_string(&signed).map_err(|error| error.to_string())
}

/// Whether a checkpoint signs what stands before it, and by whom; without `trusted`, anybody's key will do.
pub(super) fn check(
    row: &AuditRow,
    workspace: &str,
    trusted: Option<&PublicKey>,
) -> Result<PublicKey, String> {
    let signed: Signed = serde_json::from_str(&row.record)
        .map_err(|error| format!("it is no checkpoint: {error}"))?;
    let key = PublicKey::from_hex(&signed.public_key)
        .ok_or_else(|| format!("its key {:?} is not 64 hex digits", signed.public_key))?;
    if let Some(trusted) = trusted
        && *trusted != key
    {
        return Err(format!("it is signed by key {key}, not by {trusted}"));
    }
    let before = Head {
        seq: row.seq - 1,
        hash: row.previous_hash.clone(),
    };
    if (signed.workspace.as_str(), signed.seq, &signed.hash)
        != (workspace, before.seq, &before.hash)
    {
        return Err(format!(
            "it signs record {} of {} with hash {}, not the one before it",
            signed.seq, signed.workspace, signed.hash
        ));
    }
    if !key.signed(workspace, &before, &signed.signature) {
        return Err(format!("its signature is not by key {key}"));
    }
    Ok(key)
}
