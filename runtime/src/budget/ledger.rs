//! Where it is kept what was spent and reserved under limits that executions share: a small trait.

use rust_decimal::Decimal;
use tokio::sync::watch;

use super::Account;
use crate::Error;

/// A hold to be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// Its id; the same id twice is the same hold.
    pub id: String,
    /// The execution it is for.
    pub execution_id: String,
    /// US dollars.
    pub usd: Decimal,
    /// Who pays: each of them the whole.
    pub accounts: Vec<Account>,
    /// Now, nanoseconds since 1970.
    pub at_unix_nano: i64,
    /// Until when it stands without being renewed.
    pub expires_at_unix_nano: i64,
}

/// An account has not enough left.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{needed} USD are needed of {account}; {spent} of {limit} USD is spent, {reserved} reserved by others"
)]
pub struct Short {
    /// The account.
    pub account: String,
    /// What was asked for, US dollars.
    pub needed: Decimal,
    /// Its limit.
    pub limit: Decimal,
    /// What is spent.
    pub spent: Decimal,
    /// What calls in flight hold.
    pub reserved: Decimal,
}

impl Short {
    /// Whether there may be enough once others have settled.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        self.spent + self.needed <= self.limit
    }
}

/// How an account stands, US dollars.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Balance {
    /// The account.
    pub account: String,
    /// Its limit, as it last was.
    pub limit: Decimal,
    /// Spent and settled, and what is counted as spent because its lease ran out.
    pub spent: Decimal,
    /// Held by calls in flight.
    pub reserved: Decimal,
    /// By how much calls cost more than was held for them: zero, while what bounds a call is kept.
    pub overshot: Decimal,
}

/// Keeps accounts and the holds on them. Each operation is one transaction: what was answered survives a
/// crash. A hold is of all of its accounts or of none.
///
/// A hold whose lease runs out counts as spent: its owner died while a call was in flight, and nobody
/// knows what that cost. Is it settled all the same, the account is put right.
#[async_trait::async_trait]
pub trait Ledger: Send + Sync + std::fmt::Debug {
    /// Takes a hold.
    ///
    /// # Errors
    /// When it can't be kept; [`Short`] inside when an account has not enough left, and nothing is held then.
    async fn hold(&self, opening: Opening) -> Result<Result<(), Short>, Error>;

    /// Adds to a hold that stands.
    ///
    /// # Errors
    /// As [`hold`](Self::hold); and when there is no such hold.
    async fn add(&self, id: &str, usd: Decimal) -> Result<Result<(), Short>, Error>;

    /// Keeps a hold until then.
    ///
    /// # Errors
    /// When it can't be kept.
    async fn renew(&self, id: &str, expires_at_unix_nano: i64) -> Result<(), Error>;

    /// Gives a hold back, and enters what its call did cost; one that is not there is left alone.
    ///
    /// # Errors
    /// When it can't be kept.
    async fn settle(&self, id: &str, cost: Decimal) -> Result<(), Error>;

    /// Settles what an execution held when its process died: `noted` (its call may have been made) at its
    /// full amount, any other at nothing.
    ///
    /// # Errors
    /// When it can't be kept.
    async fn recover(&self, execution_id: &str, noted: Option<&str>) -> Result<(), Error>;

    /// Every account, by name.
    ///
    /// # Errors
    /// When they can't be read.
    async fn balances(&self) -> Result<Vec<Balance>, Error>;

    /// Keeps the lengths of outputs of an agent's calls of a model, the latest last.
    ///
    /// # Errors
    /// When they can't be kept.
    async fn remember(&self, agent: &str, model: &str, outputs: Vec<u64>) -> Result<(), Error>;

    /// All lengths that are kept, by agent and model.
    ///
    /// # Errors
    /// When they can't be read.
    async fn remembered(&self) -> Result<Vec<(String, String, Vec<u64>)>, Error>;

    /// Changes whenever a hold is given back in this process.
    fn settled(&self) -> watch::Receiver<u64>;
}
