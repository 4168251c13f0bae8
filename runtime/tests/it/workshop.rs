//! A workshop to run executions in: scripted models, tools that count their effects, a journal that
//! crashes on demand.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flyball_runtime::Error;
use flyball_runtime::budget::{Budgets, FlatPrices};
use flyball_runtime::clock::SystemClock;
use flyball_runtime::control::{Governor, NoControl};
use flyball_runtime::engine::{Engine, Parts};
use flyball_runtime::gate::Gate;
use flyball_runtime::machine::{Journal, Record, SqliteJournal, Transition};
use flyball_runtime::model::scripted::{Line, ScriptedCall};
use flyball_runtime::model::{Judgement, Provider, Script, Scripted, Usage};
use flyball_runtime::policy::Policy;
use flyball_runtime::spec::{AgentSpec, Bounds};
use flyball_runtime::telemetry::Telemetry;
use flyball_runtime::tools::{Call, Contract, Effect, Tool, ToolError, Toolbox};
use rust_decimal::Decimal;
use serde_json::{Value, json};

/// 1 USD a million input tokens, 2 of output.
pub(crate) const PRICES: FlatPrices = FlatPrices {
    input: Decimal::ONE,
    output: Decimal::TWO,
};

pub(crate) fn parts(
    governor: Arc<dyn Governor>,
    journal: Arc<dyn Journal>,
    provider: Arc<dyn Provider>,
    tools: Toolbox,
) -> Parts {
    let clock = Arc::new(SystemClock);
    let governed: Arc<dyn Governor> = governor;
    Parts {
        journal,
        provider,
        tools: Arc::new(tools),
        policy: Policy::builtin().unwrap(),
        gate: Gate::new(governed, "test", Arc::<SystemClock>::clone(&clock)),
        budgets: Budgets::none(Arc::<SystemClock>::clone(&clock)).unwrap(),
        prices: Arc::new(PRICES),
        telemetry: Telemetry::none(),
        clock,
        service: "test".into(),
        content: true,
    }
}

/// An engine that nobody controls, with a journal in memory.
pub(crate) fn engine(script: Script, tools: Toolbox) -> (Engine, Arc<SqliteJournal>) {
    let journal = Arc::new(SqliteJournal::in_memory().unwrap());
    let parts = parts(
        Arc::new(NoControl::default()),
        Arc::<SqliteJournal>::clone(&journal),
        Arc::new(Scripted::new(script)),
        tools,
    );
    (Engine::new(parts), journal)
}

pub(crate) fn spec(tools: &[&str]) -> AgentSpec {
    AgentSpec {
        instructions: "be brief".into(),
        tools: tools.iter().map(ToString::to_string).collect(),
        bounds: Bounds {
            max_tokens: 100,
            budget_usd: Some(Decimal::ONE),
            ..Bounds::default()
        },
        ..AgentSpec::new("worker", "m")
    }
}

/// A reply that calls tools; 1,000 tokens in, 50 out.
pub(crate) fn calls(calls: &[(&str, Value)]) -> Line {
    Line {
        tool_calls: calls
            .iter()
            .map(|(name, arguments)| ScriptedCall {
                name: (*name).to_owned(),
                arguments: arguments.clone(),
            })
            .collect(),
        usage: Usage {
            input_tokens: 1000,
            output_tokens: 50,
            ..Usage::default()
        },
        judgement: Judgement {
            confidence: Some(0.9),
            ..Judgement::default()
        },
        ..Line::default()
    }
}

/// A reply that answers.
pub(crate) fn answer(text: &str) -> Line {
    Line {
        content: text.into(),
        ..calls(&[])
    }
}

pub(crate) fn script(replies: Vec<Line>) -> Script {
    Script {
        replies,
        ..Script::default()
    }
}

/// A tool that counts, by idempotency key, how often it had an effect.
#[derive(Debug)]
pub(crate) struct Counting {
    contract: Contract,
    latency: Duration,
    pub(crate) effects: Arc<Mutex<HashMap<String, u32>>>,
}

impl Counting {
    pub(crate) fn new(name: &str, effect: Effect, idempotent: bool) -> Self {
        let contract = Contract {
            effect,
            idempotent,
            input: json!({"type": "object"}),
            output: json!({"type": "object", "required": ["n"]}),
            ..Contract::new(name)
        };
        Self {
            contract,
            latency: Duration::ZERO,
            effects: Arc::default(),
        }
    }

    pub(crate) fn taking(self, latency: Duration) -> Self {
        Self { latency, ..self }
    }

    pub(crate) fn costing(mut self, price_usd: Decimal) -> Self {
        self.contract.price_usd = price_usd;
        self
    }
}

#[async_trait::async_trait]
impl Tool for Counting {
    fn contract(&self) -> &Contract {
        &self.contract
    }

    async fn call(&self, call: Call) -> Result<Value, ToolError> {
        let n = {
            let mut effects = self.effects.lock().unwrap();
            let done = effects.entry(call.idempotency_key.clone()).or_default();
            if !(self.contract.idempotent && *done > 0) {
                *done += 1;
            }
            effects.len()
        };
        // The effect comes first: whoever is cut here does not know that it happened.
        tokio::time::sleep(self.latency).await;
        Ok(json!({"n": n, "input": call.input}))
    }
}

pub(crate) fn toolbox(tools: Vec<Arc<dyn Tool>>) -> Toolbox {
    let mut toolbox = Toolbox::default();
    for tool in tools {
        toolbox.add(tool).unwrap();
    }
    toolbox
}

/// A journal whose n-th write crashes the process, before or after it is on disk.
#[derive(Debug)]
pub(crate) struct Crashing {
    pub(crate) inner: Arc<SqliteJournal>,
    pub(crate) at: usize,
    pub(crate) after: bool,
    writes: AtomicUsize,
}

impl Crashing {
    pub(crate) fn new(inner: Arc<SqliteJournal>, at: usize, after: bool) -> Self {
        Self {
            inner,
            at,
            after,
            writes: AtomicUsize::new(0),
        }
    }

    pub(crate) fn writes(&self) -> usize {
        self.writes.load(Ordering::SeqCst)
    }
}

#[async_trait::async_trait]
impl Journal for Crashing {
    async fn begin(&self, record: &Record) -> Result<(), Error> {
        self.inner.begin(record).await
    }

    async fn write(&self, record: &Record, transitions: &[Transition]) -> Result<(), Error> {
        let n = self.writes.fetch_add(1, Ordering::SeqCst);
        if n == self.at && !self.after {
            return Err(Error::Closed);
        }
        self.inner.write(record, transitions).await?;
        if n == self.at {
            Err(Error::Closed)
        } else {
            Ok(())
        }
    }

    async fn read(&self, execution_id: &str) -> Result<Option<Record>, Error> {
        self.inner.read(execution_id).await
    }

    async fn unfinished(&self) -> Result<Vec<String>, Error> {
        self.inner.unfinished().await
    }

    async fn transitions(&self, execution_id: &str) -> Result<Vec<Transition>, Error> {
        self.inner.transitions(execution_id).await
    }
}
