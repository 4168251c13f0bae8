//! Along the chain, record by record: what must hold between one and the next.

use object_store::path::Path;

use super::chain::{self, Head};
use super::files::Visitor;
use super::head::SignedHead;
use super::key::PublicKey;
use super::prove::Quest;
use super::tree::{self, Tree};
use super::verify::{Finding, LedgerReport};
use super::{CHECKPOINT, KEY_CHANGED, UNSIGNED_MAX, change, checkpoint};
use crate::rows::AuditRow;

/// More are not kept: the first tell where to look.
const FINDINGS_MAX: usize = 100;

/// A walk along one workspace's chain.
pub(super) struct Walk {
    workspace: String,
    /// Who must have signed, be it only a change of the key.
    pinned: Option<PublicKey>,
    /// All keys that were believed so far, the one that holds now last.
    trusted: Vec<PublicKey>,
    /// The last checkpoint, and the file it is in.
    signed_at: Option<(i64, String)>,
    /// Heads that were kept elsewhere, with the name of the place: the ledger must agree with them.
    kept: Vec<(String, SignedHead)>,
    /// What is to be proved on the way.
    quest: Option<Quest>,
    /// Over the records so far; None after some that are lost, until a checkpoint tells it.
    tree: Option<Tree>,
    head: Head,
    /// The record at `head` could not be read: what follows cannot be held against it.
    blind: bool,
    unsigned: i64,
    /// Numbers that files which cannot be read held.
    lost: Vec<(i64, i64)>,
    report: LedgerReport,
}

impl Walk {
    pub(super) fn new(workspace: &str, pinned: Option<PublicKey>) -> Self {
        let head = Head::default();
        let report = LedgerReport {
            head: (head.seq, head.hash.clone()),
            ..LedgerReport::default()
        };
        Self {
            workspace: workspace.to_owned(),
            pinned,
            trusted: Vec::new(),
            signed_at: None,
            kept: Vec::new(),
            quest: None,
            tree: Some(Tree::default()),
            head,
            blind: false,
            unsigned: 0,
            lost: Vec::new(),
            report,
        }
    }

    /// With heads that were kept elsewhere.
    pub(super) fn with_kept(mut self, kept: Vec<(String, SignedHead)>) -> Self {
        self.kept = kept;
        self
    }

    /// With something to prove on the way.
    pub(super) fn with_quest(mut self, quest: Quest) -> Self {
        self.quest = Some(quest);
        self
    }

    /// What there was to prove.
    pub(super) fn into_quest(self) -> Option<Quest> {
        self.quest
    }

    /// What was found so far.
    pub(super) fn report(&self) -> LedgerReport {
        LedgerReport {
            head: (self.head.seq, self.head.hash.clone()),
            public_key: self.trusted.last().cloned(),
            ..self.report.clone()
        }
    }

    /// The last number that is accounted for: read, or lost with a file.
    pub(super) fn end(&self) -> i64 {
        let lost = self.lost.iter().map(|(_, last)| *last).max();
        self.head.seq.max(lost.unwrap_or(0))
    }

    /// After the last file: what follows them is in the log.
    pub(super) fn end_of_files(&mut self) {
        let end = self.end();
        self.bridge(end + 1);
    }

    /// After the last record: what only shows when all is known.
    pub(super) fn finish(&mut self) {
        if let Some(pinned) = self.pinned.clone()
            && !self.trusted.contains(&pinned)
            && self.head.seq > 0
            // Where checkpoints are damaged, that is said already.
            && (self.signed_at.is_some() || self.report.findings.is_empty())
        {
            let (seq, path, by) = match (self.signed_at.take(), self.trusted.last()) {
                (Some((seq, path)), Some(key)) => (seq, Some(path), format!("by key {key}")),
                _ => (self.head.seq, None, "by nobody".to_owned()),
            };
            let reason = format!("it is signed {by}, not by {pinned}");
            self.find(Finding::Record { seq, path, reason });
        }
        for (place, head) in std::mem::take(&mut self.kept) {
            self.hold_against_end(&place, &head);
        }
    }

    /// A head that was kept elsewhere must be signed by a key of this ledger, and the ledger reach as far.
    fn hold_against_end(&mut self, place: &str, head: &SignedHead) {
        let reason = match head.signer() {
            Err(reason) => reason,
            Ok(_) if head.workspace != self.workspace => {
                format!("it is of workspace {}", head.workspace)
            }
            Ok(_) if head.seq > self.end() => format!(
                "the ledger ends at record {}: those up to {} were signed and are gone",
                self.end(),
                head.seq
            ),
            Ok(key) if self.is_strange(&key) => {
                format!("it is signed by key {key}, which no checkpoint of the ledger names")
            }
            Ok(_) => return,
        };
        self.find(Finding::Head {
            place: place.to_owned(),
            seq: head.seq,
            reason,
        });
    }

    /// Whether a key is none of this ledger's; without any checkpoint nobody knows.
    fn is_strange(&self, key: &PublicKey) -> bool {
        let mut own = self.trusted.iter().chain(&self.pinned).peekable();
        own.peek().is_some() && own.all(|own| own != key)
    }

    /// The heads that were kept elsewhere and are of this record.
    fn hold_against_kept(&mut self, row: &AuditRow) {
        if self.kept.iter().all(|(_, head)| head.seq != row.seq) {
            return;
        }
        let root = self.tree.as_ref().map(|tree| hex::encode(tree.root()));
        let differs = |head: &SignedHead| {
            let other_root = root.is_some() && head.root.is_some() && head.root != root;
            head.hash != row.hash || other_root
        };
        let kept = self
            .kept
            .iter()
            .filter(|(_, head)| head.seq == row.seq && differs(head));
        let findings: Vec<_> = kept
            .map(|(place, head)| Finding::Head {
                place: place.clone(),
                seq: head.seq,
                reason: format!(
                    "the ledger up to record {} is another than was signed: its hash was {}, now it is {}",
                    head.seq, head.hash, row.hash
                ),
            })
            .collect();
        findings.into_iter().for_each(|finding| self.find(finding));
    }

    /// Goes to the record before this number, over those that lost files held; names the first that is nowhere.
    fn bridge(&mut self, seq: i64) {
        let mut next = self.head.seq + 1;
        while next < seq {
            let holds = |(first, last): &&(i64, i64)| *first <= next && next <= *last;
            match self.lost.iter().find(holds) {
                Some((_, last)) => next = last + 1,
                None => {
                    let lost = self.lost.iter().map(|(first, _)| *first);
                    let found = lost
                        .filter(|first| *first > next)
                        .min()
                        .unwrap_or(seq)
                        .min(seq);
                    let reason = if found - next == 1 {
                        "it is missing".to_owned()
                    } else {
                        format!("it and those up to {} are missing", found - 1)
                    };
                    self.find(Finding::Record {
                        seq: next,
                        path: None,
                        reason,
                    });
                    next = found;
                }
            }
        }
        if seq > self.head.seq + 1 {
            self.head.seq = seq - 1;
            self.blind = true;
            self.unsigned = 0;
            self.tree = None;
        }
    }

    fn checkpoint(&mut self, row: &AuditRow, path: &str) {
        let (trusted, tree) = (self.trusted.last(), self.tree.as_ref());
        match checkpoint::check(row, &self.workspace, trusted, tree) {
            Ok((key, signed)) => {
                if self.trusted.is_empty() {
                    self.trusted.push(key);
                }
                self.report.checkpoints += 1;
                self.report.signed_to = row.seq - 1;
                self.unsigned = 0;
                self.signed_at = Some((row.seq, path.to_owned()));
                if self.tree.is_none() {
                    self.tree = signed.tree();
                }
                let signed = signed.without_peaks();
                if let Some(quest) = &mut self.quest {
                    quest.checkpoint(&signed);
                }
                self.report.signed_head = Some(signed);
            }
            Err(reason) => self.broken(row, path, reason),
        }
    }

    fn key_changed(&mut self, row: &AuditRow, path: &str) {
        let changed = match change::check(row, &self.workspace) {
            Ok(changed) => changed,
            Err(reason) => return self.broken(row, path, reason),
        };
        let before = self.trusted.last();
        if before.is_some_and(|before| *before != changed.old) {
            let reason = format!("it changes key {}, which did not sign here", changed.old);
            return self.broken(row, path, reason);
        }
        if !changed.agreed && self.pinned.as_ref() != Some(&changed.new) {
            let reason = format!(
                "key {} takes the place of {} without its word: pin the new key if it is yours",
                changed.new, changed.old
            );
            self.broken(row, path, reason);
        }
        if self.trusted.is_empty() {
            self.trusted.push(changed.old);
        }
        self.trusted.push(changed.new);
        self.signed_at = Some((row.seq, path.to_owned()));
    }

    fn broken(&mut self, row: &AuditRow, path: &str, reason: String) {
        self.find(Finding::Record {
            seq: row.seq,
            path: Some(path.to_owned()),
            reason,
        });
    }

    fn find(&mut self, finding: Finding) {
        if self.report.findings.len() < FINDINGS_MAX {
            self.report.findings.push(finding);
        }
    }
}

impl Visitor for Walk {
    fn step(&mut self, row: &AuditRow, path: &str) {
        if row.seq <= self.head.seq {
            self.broken(row, path, "it stands there twice".into());
            return;
        }
        self.bridge(row.seq);
        let mut verdict = chain::intact(row);
        if !self.blind {
            verdict = verdict.and_then(|()| chain::follows(row, &self.head));
        }
        if let Err(reason) = verdict {
            self.broken(row, path, reason);
        }
        self.report.records += 1;
        self.unsigned += 1;
        match row.event.as_str() {
            CHECKPOINT => self.checkpoint(row, path),
            KEY_CHANGED => self.key_changed(row, path),
            _ => {}
        }
        if self.unsigned == UNSIGNED_MAX + 1 {
            let reason = format!(
                "no checkpoint signs any of the {} records before it",
                self.unsigned - 1
            );
            self.broken(row, path, reason);
        }
        self.head = Head::of(row);
        self.blind = false;
        self.tree = self.tree.take().and_then(|mut tree| {
            tree.add(&tree::from_hex(&row.hash)?);
            Some(tree)
        });
        self.hold_against_kept(row);
        if let Some(quest) = &mut self.quest {
            quest.record(row);
        }
    }

    fn damaged(&mut self, path: &Path, held: Option<(i64, i64)>, reason: &str) {
        self.lost.extend(held);
        self.find(Finding::File {
            path: path.to_string(),
            held,
            reason: reason.to_owned(),
        });
    }

    fn read_file(&mut self) {
        self.report.files += 1;
    }

    fn is_done(&self) -> bool {
        self.quest.as_ref().is_some_and(Quest::is_done)
    }
}
