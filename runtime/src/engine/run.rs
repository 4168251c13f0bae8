//! One execution in progress: the loop, and what every state needs.

use std::future::Future;
use std::time::Duration;

use super::{Outcome, Parts, outcome};
use crate::Error;
use crate::control::Subject;
use crate::gate::{Limits, Stop};
use crate::machine::{Event, Record, State};
use crate::model::Message;
use crate::telemetry::Telemetry;

/// An execution in progress. Its record in memory is ahead of the journal only between a decision and
/// its write, and nothing happens in the world in between.
pub(super) struct Run<'a> {
    pub(super) parts: &'a Parts,
    pub(super) record: Record,
    pub(super) telemetry: Telemetry,
    /// Hash of the versions of everything that decides: specification, policy, tools.
    pub(super) version_set: String,
    /// It had not ended when we took it: its end is ours to tell.
    fresh: bool,
}

/// What became of something that may be cut.
pub(super) enum Cut<T> {
    Done(T),
    Frozen(Stop),
    Late,
}

impl<'a> Run<'a> {
    pub(super) fn new(parts: &'a Parts, record: Record) -> Self {
        let telemetry = super::tell::for_agent(parts, &record.spec);
        let version_set = super::tell::version_set(parts, &record.spec);
        Self {
            parts,
            fresh: !record.state.is_terminal(),
            record,
            telemetry,
            version_set,
        }
    }

    /// The same as [`finish`](Self::finish), in another process than the one that began it. That it
    /// was taken over is written first: whoever still holds it can't write any more.
    pub(super) async fn go_on(mut self, orphan: bool) -> Result<Outcome, Error> {
        if orphan && !self.record.state.is_terminal() {
            let detail = "the execution that asked for it has ended".to_owned();
            self.bound("parent_ended", detail).await?;
        } else if !self.record.state.is_terminal() {
            self.record.counters.resumes += 1;
            let (resumes, at_most) = (
                self.record.counters.resumes,
                self.record.spec.bounds.max_resumes,
            );
            if resumes > at_most {
                let detail = format!("it was resumed {at_most} times, and no process survived it");
                self.bound("max_resumes", detail).await?;
            } else {
                self.note().await?;
            }
        }
        self.finish().await
    }

    pub(super) async fn finish(mut self) -> Result<Outcome, Error> {
        loop {
            if let Some(outcome) = outcome(&self.record) {
                if self.fresh {
                    self.tell_end(&outcome);
                }
                return Ok(outcome);
            }
            if let Some(stop) = self.parts.gate.stop(&self.subject(None)) {
                self.freeze(&stop).await?;
            } else if self.wall_left().is_zero() {
                self.bound(
                    "max_wall_clock",
                    format!("{} ms have passed", self.record.spec.bounds.max_wall_ms),
                )
                .await?;
            } else {
                self.step().await?;
            }
        }
    }

    async fn step(&mut self) -> Result<(), Error> {
        match self.record.state {
            State::Init => self.admit().await,
            State::Plan => self.plan().await,
            State::Act => self.act().await,
            State::Eval => self.eval().await,
            State::Persist => self.persist().await,
            State::End | State::Escalate | State::Abort => Ok(()),
        }
    }

    async fn admit(&mut self) -> Result<(), Error> {
        if self.record.spec.bounds.max_steps == 0 {
            return self
                .bound("max_steps", "not one step is allowed".to_owned())
                .await;
        }
        let instructions = self.record.spec.instructions.clone();
        if !instructions.is_empty() {
            self.record.messages.push(Message::System {
                content: instructions,
            });
        }
        self.record.messages.push(Message::User {
            content: self.record.task.goal.clone(),
        });
        self.advance(Event::Admitted, "", "admitted").await
    }

    /// Moves along an edge, and writes it.
    pub(super) async fn advance(
        &mut self,
        event: Event,
        reason: &str,
        detail: impl Into<String>,
    ) -> Result<(), Error> {
        let transition = self
            .record
            .apply(event, reason, detail.into(), self.now())?;
        self.record.revision += 1;
        self.parts.journal.write(&self.record, &[transition]).await
    }

    /// Writes what must be known before something happens: a reservation, an action in flight.
    pub(super) async fn note(&mut self) -> Result<(), Error> {
        self.record.revision += 1;
        self.parts.journal.write(&self.record, &[]).await
    }

    pub(super) async fn freeze(&mut self, stop: &Stop) -> Result<(), Error> {
        self.advance(Event::Frozen, "frozen", stop.detail.clone())
            .await
    }

    pub(super) async fn bound(&mut self, reason: &str, detail: String) -> Result<(), Error> {
        self.advance(Event::Bounded, reason, detail).await
    }

    pub(super) fn now(&self) -> i64 {
        self.parts.clock.unix_nano()
    }

    pub(super) fn wall_left(&self) -> Duration {
        Duration::from_millis(self.record.wall_left_ms(self.now()))
    }

    pub(super) fn subject<'s>(&'s self, tool: Option<&'s str>) -> Subject<'s> {
        Subject {
            workspace: &self.record.spec.workspace,
            tenant: self.record.task.tenant.as_deref(),
            agent: &self.record.spec.agent,
            tool,
            execution: Some(&self.record.execution_id),
        }
    }

    /// Waits for its turn, no longer than the wall clock allows.
    pub(super) async fn turn(&self, tool: Option<&str>) -> Cut<Limits> {
        match tokio::time::timeout(self.wall_left(), self.parts.gate.turn(&self.subject(tool)))
            .await
        {
            Ok(Ok(limits)) => Cut::Done(limits),
            Ok(Err(stop)) => Cut::Frozen(stop),
            Err(_) => Cut::Late,
        }
    }

    /// Does something that takes time, unless it is frozen before or meanwhile, or takes too long.
    /// What is cut is dropped; when it is frozen already, it is never begun.
    pub(super) async fn cut<T>(
        &self,
        tool: Option<&str>,
        at_most: Duration,
        doing: impl Future<Output = T> + Send,
    ) -> Cut<T> {
        let who = self.subject(tool);
        tokio::select! {
            biased;
            stop = self.parts.gate.frozen(&who) => Cut::Frozen(stop),
            done = doing => Cut::Done(done),
            () = tokio::time::sleep(at_most) => Cut::Late,
        }
    }
}
