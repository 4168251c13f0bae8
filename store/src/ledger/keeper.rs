//! What the store knows of its ledgers while it runs: where each chain ends, and what was entered lately.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use super::chain::{self, Head};
use super::{CHECKPOINT, CHECKPOINT_EVERY, SigningKey, checkpoint};
use crate::append::{Append, OwnEvent};
use crate::error::{Error, Result};
use crate::log::{FrameKind, Header, LogPosition};
use crate::rows::AuditRow;
use crate::table::Table;

/// So many actions and records of a workspace are remembered, so that none is entered twice.
pub(super) const REMEMBERED: usize = 20_000;

type Key = [u8; 32];

/// The ledgers of all workspaces.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    key: Option<SigningKey>,
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
    recent: HashMap<Key, LogPosition>,
    order: VecDeque<Key>,
}

/// The end of a chain.
#[derive(Debug, Default, Clone)]
struct Tip {
    head: Head,
    /// Records since the last checkpoint.
    unsigned: i64,
}

impl Tip {
    fn after(&self, row: &AuditRow) -> Self {
        Self {
            head: Head::of(row),
            unsigned: if row.event == CHECKPOINT {
                0
            } else {
                self.unsigned + 1
            },
        }
    }
}

impl Keeper {
    /// Without a key no checkpoint can be made: for a store that only reads.
    pub(crate) fn new(key: Option<SigningKey>) -> Self {
        Self {
            key,
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
        if row.event == CHECKPOINT {
            row.record = self.checkpoint(workspace, &tip.head).map_err(refused)?;
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
            ledger.tip = tip;
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
            ledger.tip = ledger.tip.after(row);
        }
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

    /// The checkpoint that was due could not be made: ask again.
    pub(crate) fn ask_again(&mut self, workspace: &str) {
        if let Some(ledger) = self.ledgers.get_mut(workspace) {
            ledger.asked = false;
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

    fn checkpoint(&self, workspace: &str, head: &Head) -> std::result::Result<String, String> {
        let key = self
            .key
            .as_ref()
            .ok_or("a store that only reads signs no checkpoint")?;
        checkpoint::sign(key, workspace, head)
    }
}
