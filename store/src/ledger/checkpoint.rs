//! A checkpoint's record: the signed head of the chain up to the record before it.

use super::chain::Head;
use super::head::SignedHead;
use super::key::{PublicKey, SigningKey};
use super::tree::Tree;
use crate::rows::AuditRow;

/// The `record` of a checkpoint that signs this head, and the tree over all records up to it.
pub(super) fn sign(
    key: &SigningKey,
    workspace: &str,
    head: &Head,
    tree: Option<&Tree>,
) -> Result<String, String> {
    let signed = SignedHead::sign(key, workspace, head, tree);
    serde_json::to_string(&signed).map_err(|error| error.to_string())
}

/// Whether a checkpoint signs what stands before it, and by whom; without `trusted`, anybody's key will do. With
/// `tree`, that of the records before it, the root must be that tree's.
pub(super) fn check(
    row: &AuditRow,
    workspace: &str,
    trusted: Option<&PublicKey>,
    tree: Option<&Tree>,
) -> Result<(PublicKey, SignedHead), String> {
    let signed =
        SignedHead::read(&row.record).map_err(|error| format!("it is no checkpoint: {error}"))?;
    let key = signed.signer()?;
    if let Some(trusted) = trusted
        && *trusted != key
    {
        return Err(format!("it is signed by key {key}, not by {trusted}"));
    }
    if (signed.workspace.as_str(), signed.seq, &signed.hash)
        != (workspace, row.seq - 1, &row.previous_hash)
    {
        return Err(format!(
            "it signs record {} of {} with hash {}, not the one before it",
            signed.seq, signed.workspace, signed.hash
        ));
    }
    if let (Some(tree), Some(root)) = (tree, &signed.root) {
        let found = hex::encode(tree.root());
        if found != *root {
            return Err(format!(
                "it signs a tree with root {root}, but that of the records before it is {found}"
            ));
        }
    }
    if signed.root.is_some() && signed.tree().is_none() {
        return Err("its peaks do not lead to its root".into());
    }
    Ok((key, signed))
}
