//! The ledger: records that nobody can change, drop or insert without it being seen.
//!
//! Every record carries its number, the hash of the one before it and its own ([`chain`]). The store's
//! [`keeper`] assigns them in log order and knows a record that is told twice; after a restart [`recall`]
//! gives it back what it knew ([`tip`]). Every so often, and at the end, a checkpoint signs the chain so far, and
//! the Merkle [`tree`] over it ([`checkpoint`], [`head`], [`key`]); the newest such head is kept beside the tables
//! ([`heads`]). A file of the ledger is named for what it holds ([`file`]), so that [`verify`], which goes
//! [along](walk) the chain again ([`files`]), can tell from the files alone whether one byte of them is another
//! than was written. From the tree come proofs that need no files at all ([`prove`], [`proof`]).

mod apart;
mod chain;
mod change;
mod checkpoint;
mod file;
mod files;
mod forgotten;
mod head;
mod heads;
mod keeper;
mod key;
mod proof;
mod prove;
mod recall;
mod tip;
mod tree;
mod verify;
mod walk;

#[cfg(test)]
mod tests;

pub use file::sha256;
pub use head::SignedHead;
pub use key::PublicKey;
pub use proof::{Entry, Flaw, Proof};
pub use prove::{ledger_head, prove_growth, prove_record};
pub use verify::{
    Finding, LedgerReport, verify as verify_ledger, verify_against as verify_ledger_against,
};

pub(crate) use apart::{head_of_files, verify_files};
pub(crate) use chain::{action_key, record_key};
pub(crate) use file::name as file_name;
pub(crate) use forgotten::{forget_again, forgotten};
pub(crate) use heads::{keep as keep_head, put_aside as put_head_aside};
pub(crate) use keeper::Keeper;
pub(crate) use key::SigningKey;
pub(crate) use recall::recall;
#[cfg(test)]
pub(crate) use verify::verify_on;

/// The event of a record that signs those before it.
pub(crate) const CHECKPOINT: &str = "ledger.checkpoint";
/// The event of a record that changes the key which signs.
pub(crate) const KEY_CHANGED: &str = "ledger.key_changed";
/// A checkpoint is due after so many records.
pub(crate) const CHECKPOINT_EVERY: i64 = 1_000;
/// So many in a row without one were never written so: a burst may outrun a checkpoint, but not by that much.
const UNSIGNED_MAX: i64 = 10 * CHECKPOINT_EVERY;
