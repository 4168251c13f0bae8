//! PLAN: the model is asked what to do next, within turn, budget and wall clock.

use std::sync::Arc;
use std::time::Duration;

use rust_decimal::Decimal;

use super::pay::{Ahead, Estimate, Following};
use super::run::{Cut, Run};
use crate::Error;
use crate::budget::Held;
use crate::gate::{Limits, Stop};
use crate::machine::{Action, Event, Observation};
use crate::model::{Message, ModelError, Reply, Request, ToolCall};
use crate::telemetry::{Span, SpanKind};
use crate::tools::Effect;

/// How one attempt at a model call went.
enum Attempt {
    Replied(Box<Reply>),
    Failed(ModelError),
    Frozen(Stop),
    Late,
}

impl Run<'_> {
    pub(super) async fn plan(&mut self) -> Result<(), Error> {
        let mut span = self.begin(
            format!("plan {}", self.record.spec.agent),
            SpanKind::Internal,
            "plan",
        );
        let result = self.ask(&mut span).await;
        self.telemetry.end(span, self.now());
        result
    }

    async fn ask(&mut self, span: &mut Span) -> Result<(), Error> {
        let mut retries = 0;
        if self.planning_tokens_left() == 0 {
            let detail = format!(
                "{} tokens are planned",
                self.record.counters.planning_tokens
            );
            return self.bound("max_planning_tokens", detail).await;
        }
        loop {
            let limits = match self.turn(None).await {
                Cut::Done(limits) => limits,
                Cut::Frozen(stop) => return self.freeze(&stop).await,
                Cut::Late => return self.late().await,
            };
            let request = self.request(&limits, retries);
            let Some(estimate) = self.estimate(&request) else {
                let detail = format!(
                    "model {} has no price, so its budget can't be kept",
                    request.model
                );
                span.failed("price_unknown", &detail);
                return self
                    .advance(Event::Exhausted, "price_unknown", detail)
                    .await;
            };
            let held = match self.set_aside(estimate.usd, None, true).await? {
                Ahead::Held(held) => held,
                Ahead::Short(why) => {
                    span.failed("budget_exhausted", &why);
                    return self
                        .advance(Event::Exhausted, "budget_exhausted", why)
                        .await;
                }
                Ahead::Frozen(stop) => return self.freeze(&stop).await,
                Ahead::Late => return self.late().await,
            };
            let attempt = self
                .attempt(&request, estimate, held, &limits, span)
                .await?;
            match attempt {
                Attempt::Replied(reply) => return self.decide(*reply, &limits, span).await,
                Attempt::Frozen(stop) => {
                    span.failed("frozen", &stop.detail);
                    return self.freeze(&stop).await;
                }
                Attempt::Late => return self.late().await,
                Attempt::Failed(error) => {
                    let max_retries = self.record.spec.bounds.max_retries;
                    let over = self.record.phase_over(self.now());
                    if !error.is_transient() || retries >= max_retries || over {
                        span.failed(error.kind(), error.to_string());
                        return self.give_up(error, retries).await;
                    }
                    retries += 1;
                    self.record.counters.retries += 1;
                    match self
                        .cut(
                            None,
                            self.wall_left(),
                            tokio::time::sleep(pause(&error, retries)),
                        )
                        .await
                    {
                        Cut::Done(()) => {}
                        Cut::Frozen(stop) => return self.freeze(&stop).await,
                        Cut::Late => return self.late().await,
                    }
                }
            }
        }
    }

    /// One attempt: the reservation is on disk before it, settled after it.
    async fn attempt(
        &mut self,
        request: &Request,
        estimate: Estimate,
        held: Held,
        limits: &Limits,
        parent: &Span,
    ) -> Result<Attempt, Error> {
        self.record.counters.model_calls += 1;
        self.note().await?;
        // Taken before control is asked for the last time: so no call that was begun is dated after
        // the moment at which this agent obeyed.
        let started = self.now();
        if let Some(stop) = self.parts.gate.stop(&self.subject(None)) {
            self.record.counters.model_calls -= 1;
            self.settle(&held, Decimal::ZERO).await?;
            return Ok(Attempt::Frozen(stop));
        }
        let mut span = self.begin_at(
            format!("chat {}", request.model),
            SpanKind::Client,
            "chat",
            parent.id(),
            started,
        );
        let (done, held) = self.chat(request, estimate, held, started).await?;
        let attempt = match done {
            Cut::Done(Ok(mut reply)) => {
                if reply.model.is_empty() {
                    reply.model.clone_from(&request.model);
                }
                let cost = self.cost(&held, &reply, started);
                self.settle(&held, cost).await?;
                if let Some(usage) = &reply.usage {
                    self.record.counters.planning_tokens += usage.output_tokens;
                    let agent = &self.record.spec.agent;
                    self.parts
                        .budgets
                        .learn(agent, &request.model, usage)
                        .await?;
                }
                Attempt::Replied(Box::new(reply))
            }
            Cut::Done(Err(error)) => {
                let billed = error.may_be_billed();
                self.settle(&held, if billed { held.usd } else { Decimal::ZERO })
                    .await?;
                Attempt::Failed(error)
            }
            Cut::Frozen(stop) => {
                self.settle(&held, held.usd).await?;
                Attempt::Frozen(stop)
            }
            Cut::Late => {
                self.settle(&held, held.usd).await?;
                Attempt::Late
            }
        };
        self.tell_call(&mut span, request, limits, held.usd);
        match &attempt {
            Attempt::Replied(reply) => self.tell_reply(&mut span, reply),
            Attempt::Failed(error) => {
                span.failed(error.kind(), error.to_string());
            }
            Attempt::Frozen(stop) => {
                span.failed("frozen", &stop.detail);
            }
            Attempt::Late => {
                span.failed("timeout", "cut at the wall clock bound");
            }
        }
        self.telemetry.end(span, self.now());
        Ok(attempt)
    }

    /// Makes the call; follows its output, when not all that it may be is paid for. Answers what is held
    /// for it in the end, too.
    async fn chat(
        &mut self,
        request: &Request,
        estimate: Estimate,
        held: Held,
        started: i64,
    ) -> Result<(Cut<Result<Reply, ModelError>>, Held), Error> {
        let provider = Arc::clone(&self.parts.provider);
        let budgets = Arc::clone(&self.parts.budgets);
        if estimate.output == estimate.max_output {
            let call = budgets.keep(&held, provider.chat(request));
            return Ok((self.cut(None, self.wall_left(), call).await, held));
        }
        let following = Following::new(self, &request.model, estimate, held.clone(), started);
        let call = budgets.keep(&held, provider.chat_heard(request, &following));
        let done = self.cut(None, self.wall_left(), call).await;
        let followed = following.into_inner();
        if let Some(error) = followed.failed {
            return Err(error);
        }
        self.record.budget = followed.record.budget;
        self.record.revision = followed.record.revision;
        Ok((done, followed.held))
    }

    /// What the reply decides: actions, an answer, or that a person must take over.
    async fn decide(
        &mut self,
        reply: Reply,
        limits: &Limits,
        span: &mut Span,
    ) -> Result<(), Error> {
        self.tell_judgement(span, &reply.judgement);
        self.record.confidence = reply.judgement.confidence.or(self.record.confidence);
        let depth = limits
            .plan_depth
            .unwrap_or(u32::MAX)
            .min(self.record.plan_depth())
            .max(1);
        let depth = usize::try_from(depth).unwrap_or(usize::MAX);
        let chosen: Vec<ToolCall> = reply.tool_calls.into_iter().take(depth).collect();
        let seq = self.record.seq;
        self.record.pending = chosen
            .iter()
            .enumerate()
            .map(|(index, call)| Action {
                call_id: call.id.clone(),
                tool: call.name.clone(),
                input: call.arguments.clone(),
                idempotency_key: format!("{}:{seq}:{index}", self.record.execution_id),
            })
            .collect();
        let names: Vec<&str> = chosen.iter().map(|call| call.name.as_str()).collect();
        let detail = names.join(", ");
        let answer = reply.content;
        self.record.messages.push(Message::Assistant {
            content: answer.clone(),
            tool_calls: chosen,
        });
        if let Some(why) = reply.judgement.escalate {
            return self.advance(Event::Asked, "asked_by_agent", why).await;
        }
        if !self.record.pending.is_empty() {
            return self.advance(Event::Chose, "", detail).await;
        }
        let success = reply.judgement.success.unwrap_or(true);
        self.record.observation = Some(Observation::Answer {
            text: answer,
            success,
        });
        self.advance(Event::Answered, "", "a final answer").await
    }

    async fn give_up(&mut self, error: ModelError, retries: u32) -> Result<(), Error> {
        let detail = format!("{error} (after {retries} retries)");
        match error {
            ModelError::Frozen(_) => self.advance(Event::Frozen, "frozen", detail).await,
            ModelError::Cut { partial } => {
                // What had come is kept: it is paid for.
                self.record.messages.push(Message::Assistant {
                    content: partial,
                    tool_calls: Vec::new(),
                });
                self.advance(Event::Exhausted, "budget_exhausted", detail)
                    .await
            }
            ModelError::Budget(_) => {
                self.advance(Event::Exhausted, "budget_exhausted", detail)
                    .await
            }
            error if error.is_transient() => {
                self.advance(Event::Broken, "model_unavailable", detail)
                    .await
            }
            _ => self.advance(Event::Broken, "model_refused", detail).await,
        }
    }

    /// Output tokens that are left for planning, at most what one call may have.
    fn planning_tokens_left(&self) -> u32 {
        let bounds = &self.record.spec.bounds;
        let used = self.record.counters.planning_tokens;
        bounds.max_planning_tokens.map_or(u32::MAX, |at_most| {
            u32::try_from(at_most.saturating_sub(used)).unwrap_or(u32::MAX)
        })
    }

    pub(super) async fn late(&mut self) -> Result<(), Error> {
        self.bound(
            "max_wall_clock",
            format!("{} ms have passed", self.record.spec.bounds.max_wall_ms),
        )
        .await
    }

    fn request(&self, limits: &Limits, attempt: u32) -> Request {
        let spec = &self.record.spec;
        let model = limits
            .tier
            .as_ref()
            .and_then(|tier| spec.tiers.get(tier))
            .unwrap_or(&spec.model);
        let fits = |contract: &crate::tools::Contract| {
            !limits.read_only || contract.effect == Effect::ReadOnly
        };
        Request {
            model: model.clone(),
            agent: spec.agent.clone(),
            execution_id: self.record.execution_id.clone(),
            turn: self.record.counters.steps.saturating_sub(1),
            attempt,
            messages: self.record.messages.clone(),
            tools: self.parts.tools.offers(&spec.tools, fits),
            max_tokens: self.planning_tokens_left().min(spec.bounds.max_tokens),
            temperature: spec.temperature,
        }
    }

    /// What the call did cost; what was held for it when nobody knows.
    fn cost(&self, held: &Held, reply: &Reply, started: i64) -> Decimal {
        let provider = self.parts.provider.name();
        let usage = reply.usage.as_ref();
        let prices = &self.parts.prices;
        let cost = usage.and_then(|usage| prices.cost(provider, &reply.model, usage, started));
        let bounded = self.record.budget.limit().is_some() || held.id.is_some();
        if let Some(cost) = cost.filter(|cost| *cost > held.usd && bounded) {
            tracing::warn!(%cost, held = %held.usd, model = reply.model, "a call cost more than was held for it");
        }
        cost.unwrap_or(held.usd)
    }
}

/// How long to wait before the next attempt: what the provider says, else 100 ms and doubling, at most 10 s.
fn pause(error: &ModelError, retry: u32) -> Duration {
    match error {
        ModelError::Throttled {
            retry_after: Some(wait),
            ..
        } => (*wait).min(Duration::from_secs(59)),
        _ => Duration::from_millis(50 << retry.min(8)).min(Duration::from_secs(10)),
    }
}
