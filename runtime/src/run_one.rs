//! Runs one agent once, from a file: `flyball agent run FILE`. `runtime/examples` has such a file, and
//! says how to put a real model in place of its script.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::Error;
use crate::budget::{BookPrices, Budgets, Limit, Prices, SqliteLedger};
use crate::clock::SystemClock;
use crate::control::client::{Remote, RemoteConfig};
use crate::control::{Governor, NoControl};
use crate::engine::{Engine, Outcome, Parts};
use crate::gate::Gate;
use crate::machine::{Journal, SqliteJournal};
use crate::model::{OpenAi, Provider, Script, Scripted};
use crate::policy::Policy;
use crate::spec::{AgentSpec, Task};
use crate::telemetry::{ExporterConfig, Telemetry};
use crate::tools::{Contract, ScriptedTool, Toolbox};

/// A file that says everything one run needs, in JSON.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunFile {
    /// Who.
    pub agent: AgentSpec,
    /// What.
    pub task: Task,
    /// Which model answers.
    pub provider: ProviderFile,
    /// Tools that answer what the file says.
    #[serde(default)]
    pub tools: Vec<ToolFile>,
    /// What it shares with others to spend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<SharedFile>,
}

/// What executions share to spend.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedFile {
    /// The ledger's file: processes that name the same share it.
    pub ledger: PathBuf,
    /// Such as `{"scope": "agent", "window": "day", "usd": "5.00"}`: five dollars a day for each agent.
    pub limits: Vec<Limit>,
}

/// Which model answers.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ProviderFile {
    /// A script, in the file.
    Scripted {
        /// What it says.
        script: Script,
    },
    /// A server that speaks OpenAI's chat completions: `{"kind": "openai", "name": "openai",
    /// "base_url": "https://api.openai.com/v1", "key_env": "OPENAI_API_KEY"}`.
    Openai {
        /// As telemetry and the price book name it.
        name: String,
        /// Such as `http://127.0.0.1:8090/v1`.
        base_url: String,
        /// The environment variable that holds the key, if one is needed.
        key_env: Option<String>,
    },
}

/// A tool that answers what the file says.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolFile {
    /// What it promises.
    pub contract: Contract,
    /// What it answers, in turn; the last one for ever. An object with `error` fails with that text.
    #[serde(default)]
    pub outputs: Vec<Value>,
    /// How long it takes.
    #[serde(default)]
    pub latency_ms: u64,
}

/// Where a run is told, by whom it is governed, and where it is kept.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// OTLP/gRPC; none: nobody is told.
    pub otlp_endpoint: Option<String>,
    /// Control API; none: only its own bounds hold it.
    pub control_url: Option<String>,
    /// API key for both, of role ingest; none: they ask for none.
    pub key: Option<String>,
    /// Journal file; none: it does not survive the process.
    pub journal: Option<PathBuf>,
    /// Price file in LiteLLM's format, instead of the built-in book.
    pub prices: Option<PathBuf>,
}

impl RunFile {
    /// Reads a file.
    ///
    /// # Errors
    /// When it can't be read, or is not such a file: says where.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let unreadable = |reason: String| Error::Unreadable {
            path: path.to_owned(),
            reason,
        };
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
        serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))
    }
}

/// Runs the agent of a file once, to its end.
///
/// # Errors
/// When the file is not one, a part can't be had, or the journal fails.
pub async fn run_one(path: &Path, options: &RunOptions) -> Result<Outcome, Error> {
    let file = RunFile::read(path)?;
    let telemetry = match &options.otlp_endpoint {
        Some(endpoint) => Telemetry::start(ExporterConfig {
            key: options.key.clone(),
            ..ExporterConfig::to(endpoint.clone())
        })?,
        None => Telemetry::none(),
    };
    let governor: Arc<dyn Governor> = match &options.control_url {
        Some(url) => {
            let key = options.key.clone();
            let config = RemoteConfig {
                key,
                ..RemoteConfig::default()
            };
            Remote::connect_with(url, config).await?
        }
        None => Arc::new(NoControl::default()),
    };
    let journal: Arc<dyn Journal> = match &options.journal {
        Some(path) => Arc::new(SqliteJournal::open(path).await?),
        None => Arc::new(SqliteJournal::in_memory()?),
    };
    let clock = Arc::new(SystemClock);
    let gate = Gate::new(
        governor,
        format!("run-{}", std::process::id()),
        Arc::<SystemClock>::clone(&clock),
    );
    let mut tools = Toolbox::default();
    for tool in file.tools.clone() {
        let latency = Duration::from_millis(tool.latency_ms);
        tools.add(Arc::new(ScriptedTool::new(
            tool.contract,
            tool.outputs,
            latency,
        )))?;
    }
    let engine = Engine::new(Parts {
        journal,
        provider: provider(file.provider.clone())?,
        tools: Arc::new(tools),
        policy: Policy::builtin()?,
        gate: Arc::clone(&gate),
        budgets: budgets(file.shared.as_ref(), Arc::<SystemClock>::clone(&clock)).await?,
        prices: prices(options.prices.as_deref())?,
        telemetry: telemetry.clone(),
        clock,
        service: "flyball-run".to_owned(),
        content: true,
    });
    let outcome = go_on_or_begin(&engine, &file).await;
    gate.settle(Duration::from_secs(5)).await;
    telemetry.flush(Duration::from_secs(5)).await;
    outcome
}

/// What a process before this one left unfinished of this agent comes first, and when this task is among
/// it, that is the run. Other agents' executions wait for a process that has their tools.
async fn go_on_or_begin(engine: &Engine, file: &RunFile) -> Result<Outcome, Error> {
    let mut ours = None;
    for execution_id in engine.unfinished().await? {
        let Some(record) = engine.record(&execution_id).await? else {
            continue;
        };
        if record.spec.agent != file.agent.agent {
            tracing::warn!(execution_id, agent = record.spec.agent, "left unfinished");
            continue;
        }
        let outcome = engine.resume(&execution_id).await?;
        tracing::info!(execution_id, reason = outcome.reason, "resumed, and ended");
        if record.task == file.task {
            ours = Some(outcome);
        }
    }
    match ours {
        Some(outcome) => Ok(outcome),
        None => engine.run(&file.agent, &file.task).await,
    }
}

fn provider(file: ProviderFile) -> Result<Arc<dyn Provider>, Error> {
    match file {
        ProviderFile::Scripted { script } => Ok(Arc::new(Scripted::new(script))),
        ProviderFile::Openai {
            name,
            base_url,
            key_env,
        } => {
            let key = key_env
                .map(|variable| {
                    std::env::var(&variable).map_err(|_| {
                        Error::missing(
                            format!("environment variable {variable}"),
                            "the provider's key",
                        )
                    })
                })
                .transpose()?;
            Ok(Arc::new(OpenAi::new(
                name,
                &base_url,
                key,
                Duration::from_secs(120),
            )?))
        }
    }
}

async fn budgets(
    shared: Option<&SharedFile>,
    clock: Arc<SystemClock>,
) -> Result<Arc<Budgets>, Error> {
    match shared {
        Some(SharedFile { ledger, limits }) => {
            let ledger = Arc::new(SqliteLedger::open(ledger).await?);
            Budgets::new(limits.clone(), ledger, clock).await
        }
        None => Budgets::none(clock),
    }
}

fn prices(path: Option<&Path>) -> Result<Arc<dyn Prices>, Error> {
    let book = match path {
        Some(path) => flyball_pricing::Book::read(path),
        None => flyball_pricing::Book::builtin(),
    };
    let book =
        book.map_err(|error| Error::invalid("prices", &format!("{path:?}"), error.to_string()))?;
    Ok(Arc::new(BookPrices(Arc::new(book))))
}
