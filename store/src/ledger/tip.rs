//! The end of a chain: all that is needed to go on with it and to sign it.

use std::sync::Arc;

use super::chain::Head;
use super::head::SignedHead;
use super::key::PublicKey;
use super::tree::{self, Tree};
use super::{CHECKPOINT, KEY_CHANGED, change};
use crate::rows::AuditRow;

/// The end of a chain.
#[derive(Debug, Clone)]
pub(super) struct Tip {
    pub(super) head: Head,
    /// Records since the last checkpoint.
    pub(super) unsigned: i64,
    /// Over all records; None while nobody knows it.
    pub(super) tree: Option<Tree>,
    /// What the last checkpoint says.
    pub(super) signed: Option<Arc<SignedHead>>,
    /// By whom it is signed, or was to be signed from then on.
    pub(super) signer: Option<PublicKey>,
}

impl Default for Tip {
    fn default() -> Self {
        Self {
            head: Head::default(),
            unsigned: 0,
            tree: Some(Tree::default()),
            signed: None,
            signer: None,
        }
    }
}

impl Tip {
    /// One record further. Records between may be missing: then the tree is unknown until a checkpoint tells it.
    pub(super) fn after(&self, row: &AuditRow) -> Self {
        let mut next = Self {
            head: Head::of(row),
            unsigned: self.unsigned + 1,
            ..self.clone()
        };
        if row.seq != self.head.seq + 1 {
            next.tree = None;
        }
        match row.event.as_str() {
            CHECKPOINT => next.take_checkpoint(row),
            KEY_CHANGED => next.signer = change::new_key(row).or(next.signer),
            _ => {}
        }
        next.tree = next.tree.and_then(|mut tree| {
            tree.add(&tree::from_hex(&row.hash)?);
            Some(tree)
        });
        next
    }

    /// A tree that was computed from all records.
    pub(super) fn grow_from(&mut self, tree: Tree) {
        if i64::try_from(tree.size()) == Ok(self.head.seq) {
            self.tree = Some(tree);
        }
    }

    fn take_checkpoint(&mut self, row: &AuditRow) {
        self.unsigned = 0;
        let Ok(signed) = SignedHead::read(&row.record) else {
            return;
        };
        if self.tree.is_none() && signed.seq == row.seq - 1 {
            self.tree = signed.tree();
        }
        self.signer = PublicKey::from_hex(&signed.public_key);
        self.signed = Some(Arc::new(signed.without_peaks()));
    }
}
