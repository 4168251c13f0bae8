//! Runs executions: moves a [`Record`] along the edges of the machine until it ends.
//!
//! One file a state: `plan` asks the model, `act` carries out an action, `eval` judges and keeps.
//! Before each of them the gate is asked and the wall clock looked at; what each of them decides is in
//! the journal before the next one begins.

mod act;
mod eval;
mod plan;
mod run;
mod tell;

use std::sync::Arc;

use rust_decimal::Decimal;

use crate::Error;
use crate::budget::Prices;
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
}

impl Engine {
    /// An engine of these parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self {
            parts: Arc::new(parts),
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
        let Some(mut record) = self.parts.journal.read(execution_id).await? else {
            return Err(Error::UnknownExecution {
                execution_id: execution_id.to_owned(),
            });
        };
        record.budget.forfeit();
        run::Run::new(&self.parts, record).finish().await
    }

    /// Goes on with every execution that has not ended, one after the other.
    ///
    /// # Errors
    /// As [`resume`](Self::resume).
    pub async fn resume_all(&self) -> Result<Vec<Outcome>, Error> {
        let mut outcomes = Vec::new();
        for id in self.parts.journal.unfinished().await? {
            outcomes.push(self.resume(&id).await?);
        }
        Ok(outcomes)
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
