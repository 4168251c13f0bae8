//! Proofs that need no data directory: that a record is on the ledger that a head signs, and that a ledger has
//! only grown between two heads.

use super::chain;
use super::head::SignedHead;
use super::key::PublicKey;
use super::tree::{self, Hash};
use crate::rows::{AuditRow, Micros};

/// A proof, as kept in JSON.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "proof")]
pub enum Proof {
    /// A record is on the ledger that the head signs.
    #[serde(rename = "flyball.ledger.inclusion.1")]
    Inclusion {
        /// The record.
        record: Entry,
        /// Its hash, in hex.
        hash: String,
        /// The audit path (RFC 6962, 2.1.1), from below, in hex.
        path: Vec<String>,
        /// The head.
        head: SignedHead,
    },
    /// The ledger of the newer head begins with that of the older.
    #[serde(rename = "flyball.ledger.consistency.1")]
    Consistency {
        /// The older head.
        old: SignedHead,
        /// The newer.
        new: SignedHead,
        /// The consistency proof (RFC 6962, 2.1.2), in hex.
        path: Vec<String>,
    },
}

/// A record as it is hashed: its compact JSON, with the members in this order, is the canonical one.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Entry {
    /// Who; people are sealed.
    pub actor: String,
    /// When, in microseconds since 1970.
    pub at: i64,
    /// What.
    pub event: String,
    /// Hash of the record before.
    pub previous_hash: String,
    /// All of it, as JSON.
    pub record: String,
    /// Its number.
    pub seq: i64,
    /// On what; people are sealed.
    pub subject: String,
}

/// What is wrong with a proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flaw {
    /// The record is not the one that was hashed.
    Record(String),
    /// The path does not lead to what the head signs.
    Path(String),
    /// A head is not signed by the key it names.
    Signature(String),
    /// A head is signed by a key that is not the trusted one.
    Key(String),
    /// The proof is of another head than the one that was kept.
    Head(String),
}

impl std::fmt::Display for Flaw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (what, reason) = match self {
            Self::Record(reason) => ("the record was altered", reason),
            Self::Path(reason) => ("the path is wrong", reason),
            Self::Signature(reason) => ("the signature is wrong", reason),
            Self::Key(reason) => ("the key is not the trusted one", reason),
            Self::Head(reason) => ("the head is not the one that was kept", reason),
        };
        write!(f, "{what}: {reason}")
    }
}

impl Entry {
    pub(super) fn of(row: &AuditRow) -> Self {
        Self {
            actor: row.actor.clone(),
            at: row.at.0,
            event: row.event.clone(),
            previous_hash: row.previous_hash.clone(),
            record: row.record.clone(),
            seq: row.seq,
            subject: row.subject.clone(),
        }
    }

    fn hash(&self) -> String {
        chain::hash(&AuditRow {
            seq: self.seq,
            at: Micros(self.at),
            event: self.event.clone(),
            actor: self.actor.clone(),
            subject: self.subject.clone(),
            record: self.record.clone(),
            previous_hash: self.previous_hash.clone(),
            ..AuditRow::default()
        })
    }
}

impl Proof {
    /// Checks it, without anything but itself: `trusted` must have signed (without it, any key will do), and the
    /// head, or the older of two, must be the one that was `kept`.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn check(
        &self,
        trusted: Option<&PublicKey>,
        kept: Option<&SignedHead>,
    ) -> Result<(), Vec<Flaw>> {
        let mut flaws = Vec::new();
        let first = match self {
            Self::Inclusion {
                record,
                hash,
                path,
                head,
            } => {
                flaws.extend(inclusion(record, hash, path, head).err());
                head
            }
            Self::Consistency { old, new, path } => {
                flaws.extend(consistency(old, new, path).err());
                old
            }
        };
        if let Some(kept) = kept
            && !kept.says_as(first)
        {
            flaws.push(Flaw::Head(format!(
                "it signs record {} with hash {}, the one kept signs record {} with hash {}",
                first.seq, first.hash, kept.seq, kept.hash
            )));
        }
        for head in self.heads() {
            match head.signer() {
                Err(reason) => flaws.push(Flaw::Signature(format!(
                    "head of record {}: {reason}",
                    head.seq
                ))),
                Ok(key) if trusted.is_some_and(|trusted| *trusted != key) => flaws.push(Flaw::Key(
                    format!("the head of record {} is signed by {key}", head.seq),
                )),
                Ok(_) => {}
            }
        }
        if flaws.is_empty() { Ok(()) } else { Err(flaws) }
    }

    /// The signed heads in it.
    #[must_use]
    pub fn heads(&self) -> Vec<&SignedHead> {
        match self {
            Self::Inclusion { head, .. } => vec![head],
            Self::Consistency { old, new, .. } => vec![old, new],
        }
    }

    /// Reads one from JSON.
    ///
    /// # Errors
    /// What is not as it should be, in words.
    pub fn read(json: &str) -> Result<Self, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }
}

fn inclusion(record: &Entry, hash: &str, path: &[String], head: &SignedHead) -> Result<(), Flaw> {
    let found = record.hash();
    if found != hash {
        return Err(Flaw::Record(format!(
            "it hashes to {found}, but its hash says {hash}"
        )));
    }
    let malformed = || Flaw::Path("a hash in it is not 64 hex digits".into());
    let leaf = tree::from_hex(hash).ok_or_else(malformed)?;
    let path = hashes(path).ok_or_else(malformed)?;
    let root = head
        .root()
        .ok_or_else(|| Flaw::Path("the head has no root".into()))?;
    let index = u64::try_from(record.seq)
        .ok()
        .and_then(|seq| seq.checked_sub(1));
    let size = u64::try_from(head.seq).ok();
    let reached = index
        .zip(size)
        .and_then(|(index, size)| tree::root_by_path(&leaf, index, size, &path));
    match reached {
        Some(reached) if reached == root => Ok(()),
        Some(reached) => Err(Flaw::Path(format!(
            "from record {} it leads to {}, but the head of record {} signs {}",
            record.seq,
            hex::encode(reached),
            head.seq,
            hex::encode(root)
        ))),
        None => Err(Flaw::Path(format!(
            "it has {} steps, which no path from record {} to the head of record {} has",
            path.len(),
            record.seq,
            head.seq
        ))),
    }
}

fn consistency(old: &SignedHead, new: &SignedHead, path: &[String]) -> Result<(), Flaw> {
    if old.workspace != new.workspace {
        return Err(Flaw::Path(format!(
            "it is of workspaces {} and {}",
            old.workspace, new.workspace
        )));
    }
    let rootless = || Flaw::Path("a head has no root".into());
    let (old_root, new_root) = (
        old.root().ok_or_else(rootless)?,
        new.root().ok_or_else(rootless)?,
    );
    let path =
        hashes(path).ok_or_else(|| Flaw::Path("a hash in it is not 64 hex digits".into()))?;
    let sizes = u64::try_from(old.seq).ok().zip(u64::try_from(new.seq).ok());
    let reached =
        sizes.and_then(|(old, new)| tree::roots_by_consistency(old, &old_root, new, &path));
    match reached {
        Some((older, newer)) if older == old_root && newer == new_root => Ok(()),
        _ => Err(Flaw::Path(format!(
            "the ledger of {} records does not begin with that of {}",
            new.seq, old.seq
        ))),
    }
}

fn hashes(texts: &[String]) -> Option<Vec<Hash>> {
    texts.iter().map(|text| tree::from_hex(text)).collect()
}
