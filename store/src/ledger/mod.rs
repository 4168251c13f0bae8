//! The ledger: records that nobody can change, drop or insert without it being seen.
//!
//! Every record carries its number, the hash of the one before it and its own ([`chain`]). The store's
//! [`keeper`] assigns them in log order and knows a record that is told twice; after a restart [`recall`]
//! gives it back what it knew. Every so often, and at the end, a checkpoint signs the chain so far
//! ([`checkpoint`], [`key`]). A file of the ledger is named for what it holds ([`file`]), so that [`verify`],
//! which goes [along](walk) the chain again, can tell from the files alone whether one byte of them is another
//! than was written.

mod chain;
mod checkpoint;
mod file;
mod forgotten;
mod keeper;
mod key;
mod recall;
mod verify;
mod walk;

#[cfg(test)]
mod tests;

pub use key::PublicKey;
pub use verify::{Finding, LedgerReport, verify as verify_ledger};

pub(crate) use chain::{action_key, record_key};
pub(crate) use file::name as file_name;
pub(crate) use forgotten::{forget_again, forgotten};
pub(crate) use keeper::Keeper;
pub(crate) use key::SigningKey;
pub(crate) use recall::recall;

/// The event of a record that signs those before it.
pub(crate) const CHECKPOINT: &str = "ledger.checkpoint";
/// A checkpoint is due after so many records.
pub(crate) const CHECKPOINT_EVERY: i64 = 1_000;
/// So many in a row without one were never written so: a burst may outrun a checkpoint, but not by that much.
const UNSIGNED_MAX: i64 = 10 * CHECKPOINT_EVERY;
