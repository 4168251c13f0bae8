//! One execution's durable state, and the one way to change where it stands.

use rust_decimal::Decimal;
use serde_json::Value;

use super::{Event, State, Termination, next};
use crate::Error;
use crate::budget::Budget;
use crate::model::Message;
use crate::spec::{AgentSpec, Task};

/// How far an execution has gone. Never reset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Turns of the loop: how often it was planned.
    pub steps: u32,
    /// Retries of calls, all together.
    pub retries: u32,
    /// Evaluations without progress, in a row.
    pub stalls: u32,
    /// Model calls that were started.
    pub model_calls: u32,
    /// Tool calls that were started.
    pub tool_calls: u32,
    /// How often it planned anew for want of progress.
    pub replans: u32,
    /// Output tokens of all planning together.
    pub planning_tokens: u64,
    /// Phases that took longer than their budget.
    pub overruns: u32,
    /// How often another process went on with it.
    pub resumes: u32,
}

/// An action that the model chose.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Action {
    /// The model's id for the call.
    pub call_id: String,
    /// The tool's name.
    pub tool: String,
    /// Its input.
    pub input: Value,
    /// Given to the tool: the same key twice is the same effect.
    pub idempotency_key: String,
}

/// The action that may have happened.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct InFlight {
    /// The action's key.
    pub idempotency_key: String,
    /// Which attempt, from 1.
    pub attempt: u32,
}

/// What there is to judge.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Observation {
    /// An action's result.
    Tool {
        /// The tool.
        tool: String,
        /// The model's id for the call.
        call_id: String,
        /// SHA-256 of tool and input, hex.
        input_hash: String,
        /// The output; an error in words when it failed.
        output: Result<Value, String>,
        /// How much closer to the goal, when the tool knows.
        progress: Option<f64>,
    },
    /// The model's answer.
    Answer {
        /// In words.
        text: String,
        /// Whether the agent says that the goal is reached.
        success: bool,
    },
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Ended {
    /// success, failure, escalation or abort.
    pub termination: Termination,
    /// In a word, such as `budget_exhausted`.
    pub reason: String,
    /// In a sentence.
    pub detail: String,
    /// Nanoseconds since 1970.
    pub at_unix_nano: i64,
}

/// One execution.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Record {
    /// Its id.
    pub execution_id: String,
    /// The agent, as it was when the execution began.
    pub spec: AgentSpec,
    /// What was asked.
    pub task: Task,
    /// Its trace, 16 bytes.
    pub trace_id: [u8; 16],
    /// The span of the execution, 8 bytes.
    pub root_span_id: [u8; 8],
    /// When it began, in nanoseconds since 1970.
    pub started_at_unix_nano: i64,
    /// Where it stands.
    pub state: State,
    /// Since when it stands there, in nanoseconds since 1970.
    #[serde(default)]
    pub entered_at_unix_nano: i64,
    /// Transitions so far.
    pub seq: u64,
    /// Writes so far; one who writes on an older revision is refused.
    pub revision: u64,
    /// How far it has gone.
    pub counters: Counters,
    /// What it may spend, has reserved and has spent.
    pub budget: Budget,
    /// The conversation with the model.
    pub messages: Vec<Message>,
    /// Actions of the plan that are still to do.
    pub pending: Vec<Action>,
    /// The action that may have happened.
    pub in_flight: Option<InFlight>,
    /// What there is to judge.
    pub observation: Option<Observation>,
    /// Tool, input and output of the last action: the same again is no progress.
    pub last_action: Option<String>,
    /// The model's own estimate at the last decision, 0 to 1.
    pub confidence: Option<f64>,
    /// The hold in the ledger that pays for the call in flight.
    #[serde(default)]
    pub hold: Option<String>,
    /// What policy said of the latest action.
    #[serde(default)]
    pub ruled: Option<Ruled>,
    /// How it ended, if it has.
    pub ended: Option<Ended>,
}

/// What policy said of an action.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Ruled {
    /// Version of the bundle.
    pub version: String,
    /// allow, needs_approval or deny.
    pub verdict: String,
    /// The rule that decided.
    pub rule: String,
}

/// One line of an execution's history.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Transition {
    /// From 1, gapless.
    pub seq: u64,
    /// Nanoseconds since 1970.
    pub at_unix_nano: i64,
    /// Where it stood.
    pub from: State,
    /// What happened.
    pub event: Event,
    /// Where it stands.
    pub to: State,
    /// Why, in words.
    pub detail: String,
    /// What policy said of the action that led here, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ruled: Option<Ruled>,
}

impl Record {
    /// A new execution in INIT.
    #[must_use]
    pub fn new(
        execution_id: String,
        spec: AgentSpec,
        task: Task,
        started_at_unix_nano: i64,
    ) -> Self {
        let budget = Budget::new(spec.bounds.budget_usd);
        let trace_id = *uuid::Uuid::new_v4().as_bytes();
        let mut root_span_id = [0; 8];
        root_span_id.copy_from_slice(&uuid::Uuid::new_v4().as_bytes()[..8]);
        Self {
            execution_id,
            spec,
            task,
            trace_id,
            root_span_id,
            started_at_unix_nano,
            state: State::Init,
            entered_at_unix_nano: started_at_unix_nano,
            seq: 0,
            revision: 0,
            counters: Counters::default(),
            budget,
            messages: Vec::new(),
            pending: Vec::new(),
            in_flight: None,
            observation: None,
            last_action: None,
            confidence: None,
            hold: None,
            ruled: None,
            ended: None,
        }
    }

    /// Moves along an edge of the table. Nothing else changes `state`.
    ///
    /// # Errors
    /// When the table has no such edge; the record is as before.
    pub fn apply(
        &mut self,
        event: Event,
        reason: &str,
        detail: String,
        at: i64,
    ) -> Result<Transition, Error> {
        let Some(to) = next(self.state, event) else {
            return Err(Error::NoSuchTransition {
                state: self.state.name(),
                event: format!("{event:?}"),
            });
        };
        self.seq += 1;
        let transition = Transition {
            seq: self.seq,
            at_unix_nano: at,
            from: self.state,
            event,
            to,
            detail,
            // Said of an action: it goes with the edge that leaves ACT.
            ruled: self.ruled.take(),
        };
        if self.phase_over(at) {
            self.counters.overruns += 1;
        }
        self.state = to;
        self.entered_at_unix_nano = at;
        if to == State::Plan {
            self.counters.steps += 1;
        }
        if let Some(termination) = event.termination() {
            let detail = transition.detail.clone();
            self.ended = Some(Ended {
                termination,
                reason: reason.to_owned(),
                detail,
                at_unix_nano: at,
            });
            self.pending.clear();
        }
        Ok(transition)
    }

    /// Spent so far, US dollars.
    #[must_use]
    pub fn spent(&self) -> Decimal {
        self.budget.spent()
    }

    /// Whether the phase in which it stands has taken longer than its budget.
    #[must_use]
    pub fn phase_over(&self, now_unix_nano: i64) -> bool {
        let phases = &self.spec.bounds.phases;
        let at_most = match self.state {
            State::Plan => phases.plan_ms,
            State::Act => phases.act_ms,
            State::Eval => phases.evaluate_ms,
            _ => None,
        };
        let took = now_unix_nano.saturating_sub(self.entered_at_unix_nano) / 1_000_000;
        at_most.is_some_and(|ms| i64::try_from(ms).is_ok_and(|ms| took > ms))
    }

    /// Actions that its next plan may have: half as many for each phase that took too long, at least one.
    #[must_use]
    pub fn plan_depth(&self) -> u32 {
        let halved = self.spec.bounds.plan_depth >> self.counters.overruns.min(31);
        halved.max(1)
    }

    /// Whether one more step, at what steps did cost so far, would cost more than the goal is worth.
    #[must_use]
    pub fn is_worth_no_more(&self) -> bool {
        let Some(value) = self.task.value_usd else {
            return false;
        };
        let steps = Decimal::from(self.counters.steps.max(1));
        self.spent() + self.spent() / steps > value
    }

    /// Milliseconds left of the wall clock bound.
    #[must_use]
    pub fn wall_left_ms(&self, now_unix_nano: i64) -> u64 {
        let used =
            u64::try_from(now_unix_nano.saturating_sub(self.started_at_unix_nano) / 1_000_000)
                .unwrap_or(0);
        self.spec.bounds.max_wall_ms.saturating_sub(used)
    }
}
