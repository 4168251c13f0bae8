//! Money for calls: set aside before, kept and added to meanwhile, settled after.

use rust_decimal::Decimal;
use tokio::sync::Mutex;

use super::Parts;
use super::run::{Cut, Run};
use crate::Error;
use crate::budget::{Held, Payer};
use crate::gate::Stop;
use crate::machine::Record;
use crate::model::{Listener, Request, Stopped};

/// Output tokens that are paid for beyond what was heard: what may still come while a stream is cut.
pub(super) const MARGIN: u64 = 64;

/// What became of setting money aside.
pub(super) enum Ahead {
    Held(Held),
    Short(String),
    Frozen(Stop),
    Late,
}

/// What a model call may cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Estimate {
    /// Input tokens, at most.
    input: u64,
    /// Output tokens that are paid for before it begins.
    pub(super) output: u64,
    /// Output tokens, at most.
    pub(super) max_output: u64,
    /// What is set aside before it begins, US dollars.
    pub(super) usd: Decimal,
}

/// Who pays for what an execution does.
pub(super) fn payer(record: &Record) -> Payer<'_> {
    Payer {
        execution_id: &record.execution_id,
        workspace: &record.spec.workspace,
        environment: &record.spec.environment,
        agent: &record.spec.agent,
        tenant: record.task.tenant.as_deref(),
        task_type: record.task.kind.as_deref(),
    }
}

impl Run<'_> {
    /// What a model call may cost: as a rule when it can be followed and cut, else at worst. None when
    /// somebody's budget is to be kept and nobody knows the price.
    pub(super) fn estimate(&self, request: &Request) -> Option<Estimate> {
        let provider = &self.parts.provider;
        let input = provider.input_at_most(request);
        let max_output = u64::from(request.max_tokens);
        let agent = &self.record.spec.agent;
        let rule = self.parts.budgets.output_as_a_rule(agent, &request.model);
        let output = rule
            .filter(|_| provider.can_be_cut())
            .map_or(max_output, |rule| (rule + MARGIN).min(max_output));
        let usd = worst(self.parts, &request.model, input, output, self.now());
        let unlimited = || {
            self.record.budget.limit().is_none()
                && !self.parts.budgets.concern(&payer(&self.record))
        };
        let usd = usd.or_else(|| unlimited().then_some(Decimal::ZERO))?;
        Some(Estimate {
            input,
            output,
            max_output,
            usd,
        })
    }

    /// Sets money aside: the execution's own and, when it is `shared`, that of everybody who pays for it.
    /// Waits while others hold what is missing.
    pub(super) async fn set_aside(
        &mut self,
        usd: Decimal,
        tool: Option<&str>,
        shared: bool,
    ) -> Result<Ahead, Error> {
        if let Err(exhausted) = self.record.budget.reserve(usd) {
            return Ok(Ahead::Short(exhausted.to_string()));
        }
        if usd.is_zero() || !shared {
            return Ok(Ahead::Held(Held { id: None, usd }));
        }
        let counters = &self.record.counters;
        let id = format!(
            "{}:{}:{}",
            self.record.execution_id,
            self.record.revision,
            counters.model_calls + counters.tool_calls
        );
        let payer = payer(&self.record);
        let holding = self.parts.budgets.hold(&id, &payer, usd);
        let ahead = match self.cut(tool, self.wall_left(), holding).await {
            Cut::Done(held) => match held? {
                Ok(held) => Ahead::Held(held),
                Err(short) => Ahead::Short(short.to_string()),
            },
            Cut::Frozen(stop) => Ahead::Frozen(stop),
            Cut::Late => Ahead::Late,
        };
        match &ahead {
            Ahead::Held(held) => self.record.hold.clone_from(&held.id),
            _ => self.record.budget.settle(usd, Decimal::ZERO),
        }
        Ok(ahead)
    }

    /// Enters what a call did cost, for everybody who pays.
    pub(super) async fn settle(&mut self, held: &Held, cost: Decimal) -> Result<(), Error> {
        self.record.budget.settle(held.usd, cost);
        self.record.hold = None;
        self.parts.budgets.settle(held, cost).await
    }
}

/// The most that so many tokens can cost; none when nobody knows.
fn worst(parts: &Parts, model: &str, input: u64, output: u64, at: i64) -> Option<Decimal> {
    parts
        .prices
        .worst(parts.provider.name(), model, input, output, at)
}

/// Follows an output as it comes, and sets more aside before what is paid for is used up. What it adds is
/// in the journal and in the ledger before the output goes on.
pub(super) struct Following<'a> {
    parts: &'a Parts,
    model: &'a str,
    estimate: Estimate,
    at: i64,
    state: Mutex<Followed>,
}

/// How far it has come.
pub(super) struct Followed {
    pub(super) record: Record,
    pub(super) held: Held,
    output: u64,
    pub(super) failed: Option<Error>,
}

impl<'a> Following<'a> {
    pub(super) fn new(
        run: &Run<'a>,
        model: &'a str,
        estimate: Estimate,
        held: Held,
        at: i64,
    ) -> Self {
        let state = Followed {
            record: run.record.clone(),
            held,
            output: estimate.output,
            failed: None,
        };
        Self {
            parts: run.parts,
            model,
            estimate,
            at,
            state: Mutex::new(state),
        }
    }

    pub(super) fn into_inner(self) -> Followed {
        self.state.into_inner()
    }

    /// Pays for `output` tokens in all; false when somebody can't.
    async fn pay_for(&self, followed: &mut Followed, output: u64) -> Result<bool, Error> {
        let usd = worst(self.parts, self.model, self.estimate.input, output, self.at);
        let more = usd.map_or(Decimal::ZERO, |usd| usd - followed.held.usd);
        if more > Decimal::ZERO {
            if followed.record.budget.reserve(more).is_err() {
                return Ok(false);
            }
            if self.parts.budgets.add(&followed.held, more).await?.is_err() {
                followed.record.budget.settle(more, Decimal::ZERO);
                return Ok(false);
            }
            followed.held.usd += more;
            followed.record.revision += 1;
            self.parts.journal.write(&followed.record, &[]).await?;
        }
        followed.output = output;
        Ok(true)
    }
}

#[async_trait::async_trait]
impl Listener for Following<'_> {
    async fn heard(&self, output: u64) -> Result<(), Stopped> {
        let mut followed = self.state.lock().await;
        let max = self.estimate.max_output;
        let needed = (output + MARGIN).min(max);
        if needed <= followed.output {
            return Ok(());
        }
        // Half as much again, so that a long output costs few writes; else as much as can be had.
        let ample = needed.max(followed.output + followed.output / 2).min(max);
        for tokens in [ample, needed] {
            match self.pay_for(&mut followed, tokens).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) => {
                    followed.failed = Some(error);
                    return Err(Stopped);
                }
            }
        }
        Err(Stopped)
    }
}
