//! ACT: the next action of the plan passes its five stages, and control is asked before each.

use rust_decimal::Decimal;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::pay::Ahead;
use super::run::{Cut, Run};
use crate::Error;
use crate::machine::{Action, Event, InFlight, Observation, Ruled};
use crate::model::Message;
use crate::policy::{BudgetInput, Input, Ruling, ToolInput, Verdict};
use crate::telemetry::{Span, SpanKind};
use crate::tools::{
    Call, Contract, Fitted, Refused, Stage, ToolError, check_input, check_output, check_permission,
};

/// How an action went: a result for the model to see, or an event that ends the execution.
type Done = Result<Result<Value, Refused>, End>;

struct End {
    event: Event,
    reason: &'static str,
    detail: String,
}

impl End {
    fn frozen(stop: crate::gate::Stop) -> Self {
        Self {
            event: Event::Frozen,
            reason: "frozen",
            detail: stop.detail,
        }
    }
}

impl Run<'_> {
    pub(super) async fn act(&mut self) -> Result<(), Error> {
        let Some(action) = self.record.pending.first().cloned() else {
            // A plan without actions can't come here; were it to, it ends as a bound, not as a loop.
            return self
                .bound("no_action", "the plan has no action left".to_owned())
                .await;
        };
        // As with model calls: nothing is dated after the moment at which this agent obeyed.
        let started = self.now();
        if let Some(stop) = self.parts.gate.stop(&self.subject(Some(&action.tool))) {
            return self.freeze(&stop).await;
        }
        let name = format!("execute_tool {}", action.tool);
        let mut span = self.begin_at(
            name,
            SpanKind::Internal,
            "execute_tool",
            self.record.root_span_id,
            started,
        );
        let input_hash = hash(&action.tool, &action.input);
        let fitted = self.parts.tools.get(&action.tool).cloned();
        self.tell_action(
            &mut span,
            &action,
            fitted.as_ref().map(|fitted| fitted.tool.contract()),
            &input_hash,
        );
        let result = match self.carry_out(&action, &mut span).await? {
            Ok(result) => result,
            Err(end) => {
                span.failed(end.reason, &end.detail);
                self.telemetry.end(span, self.now());
                return self.advance(end.event, end.reason, end.detail).await;
            }
        };
        let (output, told) = match result {
            Ok(output) => (Ok(output.clone()), output.to_string()),
            Err(refused) => {
                span.failed(refused.stage.name(), &refused.reason);
                (Err(refused.to_string()), format!("error: {refused}"))
            }
        };
        let progress = self.progress(fitted.as_ref(), &action.tool, &input_hash, &output);
        span.double("flyball.progress", progress);
        if self.parts.content {
            span.text("gen_ai.tool.call.result", told.clone());
        }
        self.telemetry.end(span, self.now());

        let event = if output.is_ok() {
            Event::Acted
        } else {
            Event::ActionFailed
        };
        let detail = output
            .as_ref()
            .err()
            .cloned()
            .unwrap_or_else(|| action.tool.clone());
        self.record.messages.push(Message::Tool {
            call_id: action.call_id.clone(),
            content: told,
        });
        self.record.pending.remove(0);
        self.record.in_flight = None;
        self.record.observation = Some(Observation::Tool {
            tool: action.tool,
            call_id: action.call_id,
            input_hash,
            output,
            progress,
        });
        self.advance(event, "", detail).await
    }

    async fn carry_out(&mut self, action: &Action, span: &mut Span) -> Result<Done, Error> {
        let name = action.tool.as_str();
        let limits = match self.turn(Some(name)).await {
            Cut::Done(limits) => limits,
            Cut::Frozen(stop) => return Ok(Err(End::frozen(stop))),
            Cut::Late => return Ok(Err(self.too_late())),
        };
        let tools = std::sync::Arc::clone(&self.parts.tools);
        let fitted = match check_input(&tools, name, &action.input) {
            Ok(fitted) => fitted,
            Err(refused) => return Ok(Ok(Err(refused))),
        };
        let contract = fitted.tool.contract();
        if let Some(done) = self.resolve(action, fitted).await {
            return Ok(done);
        }
        if let Some(stop) = self.parts.gate.stop(&self.subject(Some(name))) {
            return Ok(Err(End::frozen(stop)));
        }
        if let Err(refused) =
            check_permission(&self.record.spec, fitted.tool.as_ref(), limits.read_only)
        {
            return Ok(Ok(Err(refused)));
        }
        let ruling = self.rule(action, contract);
        self.record.ruled = Some(Ruled {
            version: self.parts.policy.version().to_owned(),
            verdict: ruling.verdict.name().to_owned(),
            rule: ruling.rule.clone(),
        });
        span.text("flyball.policy.verdict", ruling.verdict.name())
            .text("flyball.policy.rule", &ruling.rule);
        match ruling.verdict {
            Verdict::Allow => {}
            Verdict::Deny => {
                return Ok(Ok(Err(Refused::at(
                    Stage::Policy,
                    format!("denied by {}", ruling.rule),
                ))));
            }
            Verdict::NeedsApproval => {
                let detail = format!("{name} needs approval by rule {}", ruling.rule);
                return Ok(Err(End {
                    event: Event::Asked,
                    reason: "needs_approval",
                    detail,
                }));
            }
        }
        self.execute(action, fitted, contract).await
    }

    /// An action that was in flight when the process died: found out, made again, or given up.
    async fn resolve(&mut self, action: &Action, fitted: &Fitted) -> Option<Done> {
        let in_flight = self.record.in_flight.take()?;
        if in_flight.idempotency_key != action.idempotency_key
            || fitted.tool.contract().is_repeatable()
        {
            return None;
        }
        match fitted.tool.resolve(&action.idempotency_key).await {
            Some(Some(output)) => Some(Ok(
                check_output(fitted, &action.input, &output).map(|()| output)
            )),
            Some(None) => None,
            None => Some(Err(unresolved(
                &action.tool,
                "the process died while it was in flight",
            ))),
        }
    }

    fn rule(&self, action: &Action, contract: &Contract) -> Ruling {
        let spec = &self.record.spec;
        self.parts.policy.decide(&Input {
            agent: &spec.agent,
            role: spec.role.name(),
            environment: &spec.environment,
            workspace: &spec.workspace,
            execution_id: &self.record.execution_id,
            tenant: self.record.task.tenant.as_deref(),
            confidence: self.record.confidence,
            tool: ToolInput {
                name: &contract.name,
                version: &contract.version,
                effect: contract.effect.name(),
                scopes: &contract.scopes,
            },
            arguments: &action.input,
            budget: BudgetInput {
                limit_usd: self.record.budget.limit().map(|limit| limit.to_string()),
                spent_usd: self.record.budget.spent().to_string(),
            },
        })
    }

    async fn execute(
        &mut self,
        action: &Action,
        fitted: &Fitted,
        contract: &Contract,
    ) -> Result<Done, Error> {
        let price = contract.price_usd;
        let mut retries = 0;
        loop {
            let shared = !fitted.tool.is_an_agent();
            let held = match self.set_aside(price, Some(&action.tool), shared).await? {
                Ahead::Held(held) => held,
                Ahead::Short(detail) => {
                    return Ok(Err(End {
                        event: Event::Exhausted,
                        reason: "budget_exhausted",
                        detail,
                    }));
                }
                Ahead::Frozen(stop) => return Ok(Err(End::frozen(stop))),
                Ahead::Late => return Ok(Err(self.too_late())),
            };
            self.record.counters.tool_calls += 1;
            let key = action.idempotency_key.clone();
            self.record.in_flight = Some(InFlight {
                idempotency_key: key.clone(),
                attempt: retries + 1,
            });
            self.note().await?;
            let call = Call {
                input: action.input.clone(),
                idempotency_key: key,
                execution_id: self.record.execution_id.clone(),
                agent: self.record.spec.agent.clone(),
            };
            let at_most = contract.timeout().min(self.wall_left());
            let calling = self.parts.budgets.keep(&held, fitted.tool.call(call));
            let failed = match self.cut(Some(&action.tool), at_most, calling).await {
                Cut::Done(Ok(output)) => {
                    let cost = fitted.tool.cost(&output).unwrap_or(price).min(price);
                    self.settle(&held, cost).await?;
                    return Ok(Ok(
                        check_output(fitted, &action.input, &output).map(|()| output)
                    ));
                }
                Cut::Frozen(stop) => {
                    self.settle(&held, price).await?;
                    return Ok(Err(End::frozen(stop)));
                }
                Cut::Late => {
                    self.settle(&held, price).await?;
                    ToolError::Unknown(format!("no answer within {} ms", at_most.as_millis()))
                }
                Cut::Done(Err(error)) => {
                    let cost = if matches!(error, ToolError::Unknown(_)) {
                        price
                    } else {
                        Decimal::ZERO
                    };
                    self.settle(&held, cost).await?;
                    error
                }
            };
            let again = match &failed {
                ToolError::Transient(_) => true,
                ToolError::Unknown(_) if contract.is_repeatable() => true,
                ToolError::Unknown(why) => return Ok(Err(unresolved(&action.tool, why))),
                _ => false,
            };
            if self.wall_left().is_zero() {
                return Ok(Err(self.too_late()));
            }
            let over = self.record.phase_over(self.now());
            if !again || over || retries >= self.record.spec.bounds.max_retries {
                return Ok(Ok(Err(Refused::at(Stage::Execution, failed.to_string()))));
            }
            retries += 1;
            self.record.counters.retries += 1;
            let pause = std::time::Duration::from_millis(25 << retries.min(8));
            match self
                .cut(
                    Some(&action.tool),
                    self.wall_left(),
                    tokio::time::sleep(pause),
                )
                .await
            {
                Cut::Done(()) => {}
                Cut::Frozen(stop) => return Ok(Err(End::frozen(stop))),
                Cut::Late => return Ok(Err(self.too_late())),
            }
        }
    }

    fn too_late(&self) -> End {
        let detail = format!("{} ms have passed", self.record.spec.bounds.max_wall_ms);
        End {
            event: Event::Bounded,
            reason: "max_wall_clock",
            detail,
        }
    }

    /// How much closer to the goal: what the tool says, else none for a failure or for the same call
    /// with the same result as before, else unknown.
    fn progress(
        &self,
        fitted: Option<&Fitted>,
        tool: &str,
        input_hash: &str,
        output: &Result<Value, String>,
    ) -> Option<f64> {
        let Ok(value) = output else { return Some(0.0) };
        if let Some(told) = fitted.and_then(|fitted| fitted.tool.progress(value)) {
            return Some(told);
        }
        let same =
            self.record.last_action.as_deref() == Some(&fingerprint(tool, input_hash, output));
        same.then_some(0.0)
    }
}

fn unresolved(tool: &str, why: &str) -> End {
    End {
        event: Event::Unresolved,
        reason: "outcome_unknown",
        detail: format!("{tool}: {why}"),
    }
}

/// SHA-256 of a tool and its input, hex.
fn hash(tool: &str, input: &Value) -> String {
    let mut hash = Sha256::new();
    hash.update(tool.as_bytes());
    hash.update([0]);
    hash.update(input.to_string().as_bytes());
    hex::encode(hash.finalize())
}

/// Tells one action and its result from another.
pub(super) fn fingerprint(tool: &str, input_hash: &str, output: &Result<Value, String>) -> String {
    let output = match output {
        Ok(value) => value.to_string(),
        Err(error) => format!("error: {error}"),
    };
    let mut hash = Sha256::new();
    for part in [tool, input_hash, &output] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hex::encode(hash.finalize())
}
