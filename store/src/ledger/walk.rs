//! Along the chain, record by record: what must hold between one and the next.

use object_store::path::Path;

use super::chain::{self, Head};
use super::key::PublicKey;
use super::verify::{Finding, LedgerReport};
use super::{CHECKPOINT, UNSIGNED_MAX, checkpoint};
use crate::rows::AuditRow;

/// More are not kept: the first tell where to look.
const FINDINGS_MAX: usize = 100;

/// A walk along one workspace's chain.
pub(super) struct Walk {
    workspace: String,
    trusted: Option<PublicKey>,
    head: Head,
    /// The record at `head` could not be read: what follows cannot be held against it.
    blind: bool,
    unsigned: i64,
    /// Numbers that files which cannot be read held.
    lost: Vec<(i64, i64)>,
    report: LedgerReport,
}

impl Walk {
    pub(super) fn new(workspace: &str, trusted: Option<PublicKey>) -> Self {
        let head = Head::default();
        let report = LedgerReport {
            head: (head.seq, head.hash.clone()),
            ..LedgerReport::default()
        };
        Self {
            workspace: workspace.to_owned(),
            trusted,
            head,
            blind: false,
            unsigned: 0,
            lost: Vec::new(),
            report,
        }
    }

    /// What was found so far.
    pub(super) fn report(&self) -> LedgerReport {
        LedgerReport {
            head: (self.head.seq, self.head.hash.clone()),
            public_key: self.trusted.clone(),
            ..self.report.clone()
        }
    }

    /// The last number that is accounted for: read, or lost with a file.
    pub(super) fn end(&self) -> i64 {
        let lost = self.lost.iter().map(|(_, last)| *last).max();
        self.head.seq.max(lost.unwrap_or(0))
    }

    /// One more file was read.
    pub(super) fn read_file(&mut self) {
        self.report.files += 1;
    }

    /// A file whose records are lost.
    pub(super) fn damaged(&mut self, path: &Path, held: Option<(i64, i64)>, reason: &str) {
        self.lost.extend(held);
        self.find(Finding::File {
            path: path.to_string(),
            held,
            reason: reason.to_owned(),
        });
    }

    /// The next record, by number.
    pub(super) fn step(&mut self, row: &AuditRow, path: &str) {
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
        if row.event == CHECKPOINT {
            self.checkpoint(row, path);
        } else if self.unsigned == UNSIGNED_MAX + 1 {
            let reason = format!(
                "no checkpoint signs any of the {} records before it",
                self.unsigned - 1
            );
            self.broken(row, path, reason);
        }
        self.head = Head::of(row);
        self.blind = false;
    }

    /// After the last file: what follows them is in the log.
    pub(super) fn end_of_files(&mut self) {
        let end = self.end();
        self.bridge(end + 1);
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
        }
    }

    fn checkpoint(&mut self, row: &AuditRow, path: &str) {
        match checkpoint::check(row, &self.workspace, self.trusted.as_ref()) {
            Ok(key) => {
                self.trusted.get_or_insert(key);
                self.report.checkpoints += 1;
                self.report.signed_to = row.seq - 1;
                self.unsigned = 0;
            }
            Err(reason) => self.broken(row, path, reason),
        }
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
