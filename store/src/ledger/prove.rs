//! Proofs made: along the chain once, with no more in hand than the way up from one leaf.

use super::head::SignedHead;
use super::heads;
use super::proof::{Entry, Proof};
use super::tree::{self, Climb, Hash};
use super::verify::{self, LedgerReport};
use super::walk::Walk;
use crate::config::Config;
use crate::disk::Local;
use crate::error::{Error, Result};
use crate::objects::Objects;
use crate::rows::AuditRow;

/// What is to be proved, and how far that is.
pub(super) struct Quest {
    goal: Goal,
    climb: Climb,
    /// Some record was missing, so that the tree is not the ledger's.
    broken: bool,
    proof: Option<Proof>,
}

pub(super) enum Goal {
    /// That this record is on the ledger; once it went by, what it says.
    Record {
        seq: i64,
        under: Option<SignedHead>,
        found: Option<AuditRow>,
    },
    /// That the ledger has only grown since; once it was reached, the tree's last peak then.
    Growth {
        old: SignedHead,
        peak: Option<Hash>,
        newest: Option<Box<Proof>>,
    },
}

impl Quest {
    pub(super) fn of(goal: Goal) -> Self {
        let leaf = match &goal {
            Goal::Record { seq, .. } => seq - 1,
            Goal::Growth { old, .. } => old.seq - 1,
        };
        Self {
            goal,
            climb: Climb::from(u64::try_from(leaf).unwrap_or_default()),
            broken: false,
            proof: None,
        }
    }

    /// The next record went by.
    pub(super) fn record(&mut self, row: &AuditRow) {
        let next = i64::try_from(self.climb.tree().size()).map(|size| size + 1);
        let Some(hash) = tree::from_hex(&row.hash).filter(|_| next == Ok(row.seq)) else {
            self.broken = true;
            return;
        };
        self.climb.add(&hash);
        match &mut self.goal {
            Goal::Record { seq, found, .. } if *seq == row.seq => *found = Some(row.clone()),
            Goal::Growth { old, peak, .. } if old.seq == row.seq => {
                *peak = self.climb.tree().peaks().last().copied();
            }
            _ => {}
        }
    }

    /// A checkpoint is about to go by: the tree so far is the one that it signs.
    pub(super) fn checkpoint(&mut self, head: &SignedHead) {
        let fits = i64::try_from(self.climb.tree().size()) == Ok(head.seq) && head.root.is_some();
        if self.broken || !fits {
            return;
        }
        match &mut self.goal {
            Goal::Record {
                under,
                found: Some(row),
                ..
            } if under.as_ref().is_none_or(|under| under.says_as(head)) => {
                self.proof = Some(Proof::Inclusion {
                    record: Entry::of(row),
                    hash: row.hash.clone(),
                    path: in_hex(self.climb.path()),
                    head: under.clone().unwrap_or_else(|| head.clone()),
                });
            }
            Goal::Growth {
                old,
                peak: Some(peak),
                newest,
            } => {
                let path = consistency(old.seq, head.seq, *peak, &self.climb);
                *newest = Some(Box::new(Proof::Consistency {
                    old: old.clone(),
                    new: head.clone(),
                    path: in_hex(path),
                }));
            }
            _ => {}
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.proof.is_some()
    }

    pub(super) fn into_proof(self) -> Option<Proof> {
        match self.goal {
            Goal::Growth { newest, .. } => newest.map(|proof| *proof),
            Goal::Record { .. } => self.proof,
        }
    }
}

/// The path of a consistency proof: the way up from the last peak of the older tree, and that peak before it
/// unless it is the whole older tree.
pub(super) fn consistency(old: i64, new: i64, peak: Hash, climb: &Climb) -> Vec<Hash> {
    if old == new {
        return Vec::new();
    }
    let height = old.trailing_zeros() as usize;
    let above = climb.path().into_iter().skip(height);
    let begins = (old & (old - 1) != 0).then_some(peak);
    begins.into_iter().chain(above).collect()
}

fn in_hex(path: Vec<Hash>) -> Vec<String> {
    path.iter().map(hex::encode).collect()
}

/// Proves that a record is on the ledger: under the first checkpoint after it, or under a head that was kept.
/// Reads the table's files, and what only the log holds; takes no lock.
///
/// # Errors
/// [`Error::Unproved`] when the record or the checkpoint is not there or the ledger is broken before it; else as
/// [`verify_ledger`](crate::verify_ledger).
pub async fn prove_record(
    config: &Config,
    workspace: &str,
    seq: i64,
    under: Option<SignedHead>,
) -> Result<Proof> {
    if seq < 1 {
        return Err(unproved(format!(
            "record {seq}: records are numbered from 1"
        )));
    }
    if let Some(head) = under.as_ref().filter(|head| head.seq < seq) {
        return Err(unproved(format!(
            "record {seq} came after the head, which signs those up to {}",
            head.seq
        )));
    }
    let (proof, report) = pursue(
        config,
        workspace,
        Goal::Record {
            seq,
            under,
            found: None,
        },
    )
    .await?;
    proof.ok_or_else(|| missing(&report, &format!("record {seq}")))
}

/// Proves that the ledger has only grown since a head was signed, up to the newest checkpoint.
///
/// # Errors
/// As [`prove_record`].
pub async fn prove_growth(config: &Config, workspace: &str, since: SignedHead) -> Result<Proof> {
    if since.seq < 1 || since.root.is_none() {
        return Err(unproved(
            "the older head has no root: it is of before there was a tree".into(),
        ));
    }
    let what = format!("the growth since record {}", since.seq);
    let goal = Goal::Growth {
        old: since,
        peak: None,
        newest: None,
    };
    let (proof, report) = pursue(config, workspace, goal).await?;
    let proof = proof.ok_or_else(|| missing(&report, &what))?;
    match proof.check(None, None) {
        Ok(()) => Ok(proof),
        Err(flaws) => Err(unproved(format!(
            "{what}: {}",
            flaws
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("; ")
        ))),
    }
}

/// The newest signed head of a ledger: the one kept in the data directory, else that of its last checkpoint.
///
/// # Errors
/// As [`verify_ledger`](crate::verify_ledger).
pub async fn ledger_head(config: &Config, workspace: &str) -> Result<Option<SignedHead>> {
    if let Some(head) = heads::newest(&Local, config.ledger_dir(), workspace)? {
        return Ok(Some(head));
    }
    let mut walk = Walk::new(workspace, None);
    verify::go(
        &Objects::open(config)?,
        verify::log_of(config)?,
        workspace,
        &mut walk,
    )
    .await?;
    Ok(walk.report().signed_head)
}

async fn pursue(
    config: &Config,
    workspace: &str,
    goal: Goal,
) -> Result<(Option<Proof>, LedgerReport)> {
    let mut walk = Walk::new(workspace, None).with_quest(Quest::of(goal));
    verify::go(
        &Objects::open(config)?,
        verify::log_of(config)?,
        workspace,
        &mut walk,
    )
    .await?;
    let report = walk.report();
    Ok((walk.into_quest().and_then(Quest::into_proof), report))
}

fn unproved(reason: String) -> Error {
    Error::Unproved { reason }
}

fn missing(report: &LedgerReport, what: &str) -> Error {
    unproved(match report.findings.first() {
        Some(finding) => format!("{what}: the ledger is not as it was written: {finding}"),
        None => format!(
            "{what}: the ledger ends at record {}, and its checkpoints sign those up to {}",
            report.head.0, report.signed_to
        ),
    })
}
