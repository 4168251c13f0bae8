//! Runs executions: moves a [`Record`] along the edges of the machine until it ends.
//!
//! One file a state: `plan` asks the model, `act` carries out an action, `eval` judges and keeps.
//! Before each of them the gate is asked and the wall clock looked at; what each of them decides is in
//! the journal before the next one begins.

mod act;
mod delegate;
mod eval;
mod pay;
mod plan;
mod run;
mod tell;

pub use delegate::Delegate;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rust_decimal::Decimal;

use crate::Error;
use crate::budget::{Budgets, Prices};
use crate::clock::Clock;
use crate::gate::Gate;
use crate::machine::{Counters, Journal, Observation, Record, State, Termination};
use crate::model::Provider;
use crate::policy::Policy;
use crate::spec::{AgentSpec, Task};
use crate::telemetry::Telemetry;
use crate::tools::Toolbox;

/// What an engine works with; each part may be shared with other engines.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Where executions are kept.
    pub journal: Arc<dyn Journal>,
    /// Who answers model calls.
    pub provider: Arc<dyn Provider>,
    /// The tools there are; each agent may call those its specification names.
    pub tools: Arc<Toolbox>,
    /// What is allowed.
    pub policy: Policy,
    /// Control.
    pub gate: Arc<Gate>,
    /// What executions share to spend.
    pub budgets: Arc<Budgets>,
    /// What calls cost.
    pub prices: Arc<dyn Prices>,
    /// Who is told.
    pub telemetry: Telemetry,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// `service.name` in telemetry.
    pub service: String,
    /// Whether prompts, answers, tool inputs and outputs are told, too.
    pub content: bool,
}

/// How an execution ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Its id.
    pub execution_id: String,
    /// success, failure, escalation or abort.
    pub termination: Termination,
    /// In a word: `goal_reached`, `gave_up`, `frozen`, `budget_exhausted`, `max_steps`, ...
    pub reason: String,
    /// In a sentence.
    pub detail: String,
    /// The final answer, if there was one.
    pub answer: Option<String>,
    /// US dollars spent.
    pub spent_usd: Decimal,
    /// How far it went.
    pub counters: Counters,
    /// Nanoseconds since 1970.
    pub started_at_unix_nano: i64,
    /// Nanoseconds since 1970.
    pub ended_at_unix_nano: i64,
}

/// Runs executions. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    parts: Arc<Parts>,
    /// Ids of the executions that run here: nobody runs one twice.
    running: Arc<Mutex<HashSet<String>>>,
}

/// An execution that runs here, until this is dropped.
struct Claim<'a> {
    engine: &'a Engine,
    execution_id: &'a str,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.engine.running().remove(self.execution_id);
    }
}

impl Engine {
    /// An engine of these parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self {
            parts: Arc::new(parts),
            running: Arc::default(),
        }
    }

    /// Runs a task to its end, under a new id.
    ///
    /// # Errors
    /// When the journal fails: the execution has not ended then, and can be [resumed](Self::resume).
    pub async fn run(&self, spec: &AgentSpec, task: &Task) -> Result<Outcome, Error> {
        self.run_as(&uuid::Uuid::now_v7().to_string(), spec, task)
            .await
    }

    /// The same, under an id of one's own.
    ///
    /// # Errors
    /// As [`run`](Self::run); and when there is an execution of this id.
    pub async fn run_as(
        &self,
        execution_id: &str,
        spec: &AgentSpec,
        task: &Task,
    ) -> Result<Outcome, Error> {
        let _claim = self.claim(execution_id)?;
        let now = self.parts.clock.unix_nano();
        let record = Record::new(execution_id.to_owned(), spec.clone(), task.clone(), now);
        self.parts.journal.begin(&record).await?;
        run::Run::new(&self.parts, record).finish().await
    }

    /// Goes on with an execution where its record stands, after a crash. One that has ended answers
    /// its outcome.
    ///
    /// A model call that was in flight counts as paid for and is asked again. An action that was in
    /// flight is made again with its key when its tool is read-only or idempotent; else the tool is
    /// asked what became of it, and when it can't tell, the execution ends in ESCALATE.
    ///
    /// # Errors
    /// When there is no such execution, somebody else runs it, or the journal fails.
    pub async fn resume(&self, execution_id: &str) -> Result<Outcome, Error> {
        self.resume_or_end(execution_id, false).await
    }

    async fn resume_or_end(&self, execution_id: &str, orphan: bool) -> Result<Outcome, Error> {
        let _claim = self.claim(execution_id)?;
        let Some(mut record) = self.parts.journal.read(execution_id).await? else {
            return Err(Error::UnknownExecution {
                execution_id: execution_id.to_owned(),
            });
        };
        if !record.state.is_terminal() {
            let noted = record.hold.take();
            let budgets = &self.parts.budgets;
            budgets.recover(execution_id, noted.as_deref()).await?;
        }
        record.budget.forfeit();
        run::Run::new(&self.parts, record).go_on(orphan).await
    }

    /// Goes on with every execution that has not ended, at the same time: for a process that starts.
    /// One that can't go on (its journal fails) leaves the others alone. In the order in which they
    /// began. One that another execution asked for is gone on with by whoever asked, if that one has not
    /// ended; else it is ended, in ESCALATE.
    ///
    /// # Errors
    /// When the journal can't say which they are.
    pub async fn resume_all(&self) -> Result<Vec<(String, Result<Outcome, Error>)>, Error> {
        // Who is whose is asked before anybody goes on: a parent may end meanwhile.
        let mut ours = Vec::new();
        for id in self.unfinished().await? {
            let mut orphan = false;
            let asked_for = |record: Record| record.task.parent;
            if let Some(parent) = self.record(&id).await?.and_then(asked_for) {
                let parent = self.record(&parent).await?;
                if parent.is_some_and(|parent| !parent.state.is_terminal()) {
                    continue;
                }
                orphan = true;
            }
            ours.push((id, orphan));
        }
        let mut resumed = tokio::task::JoinSet::new();
        for (index, (id, orphan)) in ours.into_iter().enumerate() {
            let engine = self.clone();
            resumed.spawn(async move {
                let outcome = engine.resume_or_end(&id, orphan).await;
                (index, (id, outcome))
            });
        }
        let mut outcomes = resumed.join_all().await;
        outcomes.sort_by_key(|(index, _)| *index);
        Ok(outcomes.into_iter().map(|(_, outcome)| outcome).collect())
    }

    /// An execution as it is kept; none when there is none of this id.
    ///
    /// # Errors
    /// When it can't be read.
    pub async fn record(&self, execution_id: &str) -> Result<Option<Record>, Error> {
        self.parts.journal.read(execution_id).await
    }

    /// What executions share to spend.
    #[must_use]
    pub fn budgets(&self) -> &Arc<Budgets> {
        &self.parts.budgets
    }

    /// Ids of executions that have not ended, the oldest first.
    ///
    /// # Errors
    /// When they can't be read.
    pub async fn unfinished(&self) -> Result<Vec<String>, Error> {
        self.parts.journal.unfinished().await
    }

    fn claim<'a>(&'a self, execution_id: &'a str) -> Result<Claim<'a>, Error> {
        if !self.running().insert(execution_id.to_owned()) {
            return Err(Error::Conflict {
                execution_id: execution_id.to_owned(),
            });
        }
        Ok(Claim {
            engine: self,
            execution_id,
        })
    }

    fn running(&self) -> MutexGuard<'_, HashSet<String>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a record that has ended comes to; none while it has not.
fn outcome(record: &Record) -> Option<Outcome> {
    let ended = record.ended.as_ref()?;
    let answer = match (&record.observation, record.state) {
        (Some(Observation::Answer { text, .. }), State::End) => Some(text.clone()),
        _ => None,
    };
    Some(Outcome {
        execution_id: record.execution_id.clone(),
        termination: ended.termination,
        reason: ended.reason.clone(),
        detail: ended.detail.clone(),
        answer,
        spent_usd: record.spent(),
        counters: record.counters,
        started_at_unix_nano: record.started_at_unix_nano,
        ended_at_unix_nano: ended.at_unix_nano,
    })
}
