//! Draws on every account that pays for a call, and waits while others hold what it needs.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rust_decimal::Decimal;
use tokio::sync::oneshot;

use super::limit::accounts;
use super::{Ledger, Limit, Opening, Outputs, Payer, Short};
use crate::Error;
use crate::clock::Clock;
use crate::model::Usage;

/// How long a hold stands without being renewed: so long does the money of a process that died wait.
const LEASE: Duration = Duration::from_secs(60);
/// How often it is looked whether another process has given something back.
const GLANCE: Duration = Duration::from_millis(100);

/// The limits that executions share, and the ledger they are kept in.
#[derive(Debug)]
pub struct Budgets {
    limits: Vec<Limit>,
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    /// By agent and model.
    outputs: Mutex<HashMap<(String, String), Outputs>>,
    /// By account: who waits for it, first come, first served.
    queues: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// Money set aside for one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its id in the ledger; none when nothing is shared.
    pub id: Option<String>,
    /// US dollars.
    pub usd: Decimal,
}

impl Budgets {
    /// These limits, kept in this ledger.
    ///
    /// # Errors
    /// When the ledger can't be read, or a limit is below zero.
    pub async fn new(
        limits: Vec<Limit>,
        ledger: Arc<dyn Ledger>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, Error> {
        if let Some(limit) = limits.iter().find(|limit| limit.usd < Decimal::ZERO) {
            let field = format!("limits.{}.usd", limit.scope.name());
            return Err(Error::invalid(
                field,
                &limit.usd.to_string(),
                "US dollars, zero or more",
            ));
        }
        let mut outputs = HashMap::new();
        for (agent, model, lengths) in ledger.remembered().await? {
            outputs.insert((agent, model), Outputs::of(lengths));
        }
        Ok(Arc::new(Self {
            limits,
            ledger,
            clock,
            outputs: Mutex::new(outputs),
            queues: Mutex::default(),
        }))
    }

    /// Nothing is shared: executions have their own budgets only.
    ///
    /// # Errors
    /// When SQLite has no memory left.
    pub fn none(clock: Arc<dyn Clock>) -> Result<Arc<Self>, Error> {
        Ok(Arc::new(Self {
            limits: Vec::new(),
            ledger: Arc::new(super::SqliteLedger::in_memory()?),
            clock,
            outputs: Mutex::default(),
            queues: Mutex::default(),
        }))
    }

    /// The ledger.
    #[must_use]
    pub fn ledger(&self) -> &Arc<dyn Ledger> {
        &self.ledger
    }

    /// Whether any limit is of this payer.
    #[must_use]
    pub fn concern(&self, payer: &Payer<'_>) -> bool {
        !accounts(&self.limits, payer, self.clock.unix_nano()).is_empty()
    }

    /// Sets `usd` aside on every account that pays, or on none. While others hold what is missing, it
    /// waits, in turn. Dropping the future leaves nothing held.
    ///
    /// # Errors
    /// When the ledger fails; [`Short`] inside when an account can't pay even when all others have
    /// settled for nothing.
    pub async fn hold(
        &self,
        id: &str,
        payer: &Payer<'_>,
        usd: Decimal,
    ) -> Result<Result<Held, Short>, Error> {
        let now = self.clock.unix_nano();
        let accounts = accounts(&self.limits, payer, now);
        if accounts.is_empty() {
            return Ok(Ok(Held { id: None, usd }));
        }
        let mut queued = self.busy(accounts.iter().map(|account| account.name.as_str()));
        let opening = |now| Opening {
            id: id.to_owned(),
            execution_id: payer.execution_id.to_owned(),
            usd,
            accounts: accounts.clone(),
            at_unix_nano: now,
            expires_at_unix_nano: lease(now),
        };
        loop {
            let turn = match &queued {
                Some(account) => Some((account.clone(), self.queue(account).lock_owned().await)),
                None => None,
            };
            let mut settled = self.ledger.settled();
            queued = loop {
                settled.borrow_and_update();
                match self.take(opening(self.clock.unix_nano())).await? {
                    Ok(()) => {
                        return Ok(Ok(Held {
                            id: Some(id.to_owned()),
                            usd,
                        }));
                    }
                    Err(short) if !short.may_pass() => return Ok(Err(short)),
                    Err(short) => {
                        let mine = |(account, _): &(String, _)| *account == short.account;
                        if !turn.as_ref().is_some_and(mine) {
                            break Some(short.account);
                        }
                        let _ = tokio::time::timeout(GLANCE, settled.changed()).await;
                    }
                }
            };
        }
    }

    /// Takes a hold. Who asked may be gone when it stands: then it is given back at once.
    async fn take(&self, opening: Opening) -> Result<Result<(), Short>, Error> {
        let (answer, answered) = oneshot::channel();
        let ledger = Arc::clone(&self.ledger);
        tokio::spawn(async move {
            let id = opening.id.clone();
            let taken = ledger.hold(opening).await;
            if let Err(Ok(Ok(()))) = answer.send(taken)
                && let Err(error) = ledger.settle(&id, Decimal::ZERO).await
            {
                tracing::warn!(%error, id, "a hold that nobody wants stays until its lease ends");
            }
        });
        answered.await.map_err(|_| Error::Closed)?
    }

    /// Adds to what is held; never waits, since the call goes on meanwhile.
    ///
    /// # Errors
    /// As [`hold`](Self::hold).
    pub async fn add(&self, held: &Held, usd: Decimal) -> Result<Result<(), Short>, Error> {
        match &held.id {
            Some(id) => self.ledger.add(id, usd).await,
            None => Ok(Ok(())),
        }
    }

    /// Does what a hold pays for, and keeps the hold meanwhile.
    pub async fn keep<T>(&self, held: &Held, doing: impl Future<Output = T> + Send) -> T {
        let Some(id) = &held.id else {
            return doing.await;
        };
        tokio::pin!(doing);
        loop {
            tokio::select! {
                biased;
                done = &mut doing => return done,
                () = tokio::time::sleep(LEASE / 3) => {
                    if let Err(error) = self.ledger.renew(id, lease(self.clock.unix_nano())).await {
                        tracing::warn!(%error, id, "a hold could not be renewed");
                    }
                }
            }
        }
    }

    /// Gives back what was held, and enters what the call did cost.
    ///
    /// # Errors
    /// When the ledger fails.
    pub async fn settle(&self, held: &Held, cost: Decimal) -> Result<(), Error> {
        match &held.id {
            Some(id) => self.ledger.settle(id, cost).await,
            None => Ok(()),
        }
    }

    /// What an execution of a process that died still holds; see [`Ledger::recover`].
    ///
    /// # Errors
    /// When the ledger fails.
    pub async fn recover(&self, execution_id: &str, noted: Option<&str>) -> Result<(), Error> {
        self.ledger.recover(execution_id, noted).await
    }

    /// How long this model's output to this agent is as a rule, in tokens; see [`Outputs::upper`].
    #[must_use]
    pub fn output_as_a_rule(&self, agent: &str, model: &str) -> Option<u64> {
        let key = (agent.to_owned(), model.to_owned());
        lock(&self.outputs).get(&key).and_then(Outputs::upper)
    }

    /// Learns from one more output, and keeps what was learned now and then.
    ///
    /// # Errors
    /// When the ledger fails.
    pub async fn learn(&self, agent: &str, model: &str, usage: &Usage) -> Result<(), Error> {
        let lengths = {
            let mut outputs = lock(&self.outputs);
            let known = outputs
                .entry((agent.to_owned(), model.to_owned()))
                .or_default();
            known.seen(usage.output_tokens, usage.reasoning_tokens);
            // Without limits there is nothing to hold for, and what is learned serves this process only.
            if self.limits.is_empty() || !known.is_due() {
                return Ok(());
            }
            known.lengths()
        };
        self.ledger.remember(agent, model, lengths).await
    }

    /// The first of these accounts that somebody waits for already: who comes later waits behind.
    fn busy<'n>(&self, mut names: impl Iterator<Item = &'n str>) -> Option<String> {
        let mut queues = lock(&self.queues);
        // Who waits holds a clone: what only we hold is nobody's.
        queues.retain(|_, queue| Arc::strong_count(queue) > 1);
        names
            .find(|name| queues.contains_key(*name))
            .map(str::to_owned)
    }

    fn queue(&self, account: &str) -> Arc<tokio::sync::Mutex<()>> {
        Arc::clone(lock(&self.queues).entry(account.to_owned()).or_default())
    }
}

fn lease(now: i64) -> i64 {
    now.saturating_add(i64::try_from(LEASE.as_nanos()).unwrap_or(i64::MAX))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
