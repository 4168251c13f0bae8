//! What the store knows of its ledgers while it runs: where each chain ends, and what was entered lately.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::chain;
use super::head::SignedHead;
use super::tip::Tip;
use super::{CHECKPOINT, CHECKPOINT_EVERY, KEY_CHANGED, SigningKey, change, checkpoint, tree};
use crate::append::{Append, OwnEvent};
use crate::error::{Error, Result};
use crate::log::{FrameKind, Header, LogPosition};
use crate::rows::AuditRow;
use crate::table::Table;

/// So many actions and records of a workspace are remembered, so that none is entered twice.
pub(super) const REMEMBERED: usize = 20_000;

const READ_ONLY: &str = "a store that only reads signs nothing";

type Key = [u8; 32];

/// The ledgers of all workspaces.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    key: Option<SigningKey>,
    /// The key that comes next, while it is changed: for ledgers whose record of the change is written.
    next: Option<SigningKey>,
    ledgers: HashMap<String, Ledger>,
    /// Ends of chains as they will be once the group that is being written stands in the log.
    staged: HashMap<String, Tip>,
}

/// One workspace's.
#[derive(Debug, Default)]
struct Ledger {
    tip: Tip,
    /// A checkpoint is on its way.
    asked: bool,
    /// When the oldest record that no checkpoint signs came in.
    unsigned_since: Option<Instant>,
    recent: HashMap<Key, LogPosition>,
    order: VecDeque<Key>,
}

impl Keeper {
    /// Without a key no checkpoint can be made: for a store that only reads.
    pub(crate) fn new(key: Option<SigningKey>, next: Option<SigningKey>) -> Self {
        Self {
            key,
            next,
            ..Self::default()
        }
    }

    /// Where the same event of ours already stands in the log.
    pub(crate) fn known(&self, header: &Header) -> Option<LogPosition> {
        let ledger = self.ledgers.get(&header.workspace)?;
        ledger.recent.get(&header.digest).copied()
    }

    /// Gives a record its place in the chain, in the frame's bytes and in its row. Anything else is left as it
    /// is. Called in log order; the place is kept by [`Keeper::written`] or given up by [`Keeper::unwritten`].
    pub(crate) fn seal(&mut self, append: &mut Append) -> Result<()> {
        let audit = |(table, _): &(Table, _)| *table == Table::Audit;
        if append.header.kind != FrameKind::Own || !append.batches.iter().any(audit) {
            return Ok(());
        }
        let refused = |reason: String| Error::BatchRefused {
            table: Table::Audit,
            reason,
        };
        let event = serde_json::from_slice(&append.body).map_err(|e| refused(e.to_string()))?;
        let OwnEvent::Audit(mut row) = event else {
            return Ok(());
        };
        let workspace = &append.header.workspace;
        let tip = match self.staged.get(workspace) {
            Some(staged) => staged.clone(),
            None => self
                .ledgers
                .get(workspace)
                .map_or_else(Tip::default, |ledger| ledger.tip.clone()),
        };
        match row.event.as_str() {
            CHECKPOINT => row.record = self.checkpoint(workspace, &tip).map_err(refused)?,
            KEY_CHANGED => row.record = self.change(workspace, &tip).map_err(refused)?,
            _ => {}
        }
        chain::seal(&mut row, &tip.head);
        let next = tip.after(&row);
        let event = OwnEvent::Audit(row);
        let batch = event.batch()?;
        let body = serde_json::to_vec(&event).map_err(|e| refused(e.to_string()))?;
        (append.body, append.batches) = (Bytes::from(body), vec![batch]);
        self.staged.insert(workspace.clone(), next);
        Ok(())
    }

    /// What was sealed is in the log.
    pub(crate) fn written(&mut self) {
        for (workspace, tip) in self.staged.drain() {
            let ledger = self.ledgers.entry(workspace).or_default();
            ledger.asked &= tip.unsigned >= CHECKPOINT_EVERY;
            ledger.reach(tip);
        }
    }

    /// What was sealed is not: the numbers are free again.
    pub(crate) fn unwritten(&mut self) {
        self.staged.clear();
    }

    /// Remembers an event of ours that stands in the log. Those without a key may come twice.
    pub(crate) fn remember(&mut self, header: &Header, position: LogPosition) {
        if header.kind == FrameKind::Own && header.digest != [0; 32] {
            self.remember_key(&header.workspace, header.digest, position);
        }
    }

    pub(super) fn remember_key(&mut self, workspace: &str, key: Key, position: LogPosition) {
        let ledger = self.ledgers.entry(workspace.to_owned()).or_default();
        if ledger.recent.insert(key, position).is_none() {
            ledger.order.push_back(key);
        }
        while ledger.order.len() > REMEMBERED
            && let Some(oldest) = ledger.order.pop_front()
        {
            ledger.recent.remove(&oldest);
        }
    }

    /// Takes up a record that was written in an earlier life, from the table or from the log. The log may
    /// tell again what the table has told.
    pub(crate) fn resume(&mut self, workspace: &str, row: &AuditRow) {
        let ledger = self.ledgers.entry(workspace.to_owned()).or_default();
        if row.seq > ledger.tip.head.seq {
            let tip = ledger.tip.after(row);
            ledger.reach(tip);
        }
    }

    /// The tree over a ledger as far as it goes, computed from all of it: what was read back did not tell.
    pub(super) fn resume_tree(&mut self, workspace: &str, tree: tree::Tree) {
        if let Some(ledger) = self.ledgers.get_mut(workspace) {
            ledger.tip.grow_from(tree);
        }
    }

    /// Whether nobody knows the tree over a ledger: what was read back of it does not begin with a checkpoint
    /// that has one.
    pub(super) fn lacks_tree(&self, workspace: &str) -> bool {
        let ledger = self.ledgers.get(workspace);
        ledger.is_some_and(|ledger| ledger.tip.tree.is_none())
    }

    /// Whether it is time for a checkpoint; says so once.
    pub(crate) fn due(&mut self, workspace: &str) -> bool {
        let Some(ledger) = self.ledgers.get_mut(workspace) else {
            return false;
        };
        let due = !ledger.asked && ledger.tip.unsigned >= CHECKPOINT_EVERY;
        ledger.asked |= due;
        due
    }

    /// Ledgers whose oldest unsigned record has waited so long; says so once.
    pub(crate) fn overdue(&mut self, age: Duration) -> Vec<String> {
        let mut overdue = Vec::new();
        for (workspace, ledger) in &mut self.ledgers {
            let waited = ledger
                .unsigned_since
                .is_some_and(|since| since.elapsed() >= age);
            if waited && !ledger.asked {
                ledger.asked = true;
                overdue.push(workspace.clone());
            }
        }
        overdue
    }

    /// The checkpoint that was due could not be made: ask again, after a while.
    pub(crate) fn ask_again(&mut self, workspace: &str) {
        if let Some(ledger) = self.ledgers.get_mut(workspace) {
            ledger.asked = false;
            ledger.unsigned_since = ledger.unsigned_since.map(|_| Instant::now());
        }
    }

    /// What the last checkpoint of a ledger signs.
    pub(crate) fn signed(&self, workspace: &str) -> Option<Arc<SignedHead>> {
        self.ledgers.get(workspace)?.tip.signed.clone()
    }

    /// Number of the last record of every ledger.
    pub(crate) fn ends(&self) -> Vec<(String, i64)> {
        let end = |(name, ledger): (&String, &Ledger)| (name.clone(), ledger.tip.head.seq);
        self.ledgers.iter().map(end).collect()
    }

    /// Ledgers that were last signed by another key than the one that signs from now on.
    pub(crate) fn signed_by_others(&self) -> Vec<String> {
        let Some(key) = self
            .next
            .as_ref()
            .or(self.key.as_ref())
            .map(SigningKey::public)
        else {
            return Vec::new();
        };
        let others = self.ledgers.iter().filter(|(_, ledger)| {
            let signer = ledger.tip.signer.as_ref();
            signer.is_some_and(|signer| *signer != key)
        });
        others.map(|(workspace, _)| workspace.clone()).collect()
    }

    /// A key that is to sign from now on, once each ledger that another has signed holds the change.
    pub(crate) fn change_to(&mut self, next: SigningKey) {
        self.next = Some(next);
    }

    /// Every ledger holds the change: the key before is needed no more.
    pub(crate) fn changed(&mut self) {
        if let Some(next) = self.next.take() {
            self.key = Some(next);
        }
    }

    /// Workspaces whose last records no checkpoint has signed.
    pub(crate) fn unsigned(&self) -> Vec<String> {
        let unsigned = self
            .ledgers
            .iter()
            .filter(|(_, ledger)| ledger.tip.unsigned > 0);
        unsigned.map(|(workspace, _)| workspace.clone()).collect()
    }

    fn checkpoint(&self, workspace: &str, tip: &Tip) -> std::result::Result<String, String> {
        let key = self.key.as_ref().ok_or(READ_ONLY)?;
        let old = key.public();
        let signer = match &self.next {
            // Once the change stands in the ledger, and where nobody has signed yet.
            Some(next) if tip.signer.as_ref() != Some(&old) => next,
            _ => key,
        };
        checkpoint::sign(signer, workspace, &tip.head, tip.tree.as_ref())
    }

    /// From the key that signed last to the one that signs from now on; the first may be lost.
    fn change(&self, workspace: &str, tip: &Tip) -> std::result::Result<String, String> {
        let key = self.key.as_ref().ok_or(READ_ONLY)?;
        let old = tip.signer.clone().unwrap_or_else(|| key.public());
        let new = self.next.as_ref().unwrap_or(key);
        let by = (key.public() == old).then_some(key);
        change::sign(workspace, &tip.head, &old, by, new)
    }
}

impl Ledger {
    fn reach(&mut self, tip: Tip) {
        self.tip = tip;
        self.unsigned_since = match self.tip.unsigned {
            0 => None,
            _ => self.unsigned_since.or_else(|| Some(Instant::now())),
        };
    }
}
