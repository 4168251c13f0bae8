//! `flyball agent`: agents of the bundled runtime, in a process of their own.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use flyball_runtime::engine::Outcome;
use flyball_runtime::fleet::{self, FleetConfig};
use flyball_runtime::machine::Termination;
use flyball_runtime::run_one;
use flyball_runtime::run_one::RunOptions;

use crate::cli::AgentCommand;

pub(super) async fn run(command: AgentCommand) -> Result<ExitCode> {
    match command {
        AgentCommand::Fleet {
            otlp,
            control,
            key,
            seed,
            seconds,
            healthy,
        } => {
            let report = fleet::run(FleetConfig {
                otlp_endpoint: otlp,
                control_url: control,
                key,
                seed,
                runaway: !healthy,
                duration: Duration::from_secs(seconds),
            })
            .await?;
            println!("{}", serde_json::to_string(&report)?);
            Ok(ExitCode::SUCCESS)
        }
        AgentCommand::Run {
            file,
            otlp,
            control,
            key,
            journal,
            prices,
        } => {
            let options = RunOptions {
                otlp_endpoint: otlp,
                control_url: control,
                key,
                journal,
                prices,
            };
            let outcome = run_one(&file, &options).await?;
            print(&outcome);
            Ok(if outcome.termination == Termination::Success {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            })
        }
    }
}

fn print(outcome: &Outcome) {
    let counters = &outcome.counters;
    println!("execution    {}", outcome.execution_id);
    println!("termination  {}", outcome.termination.name());
    println!("reason       {}: {}", outcome.reason, outcome.detail);
    println!("cost         {} USD", outcome.spent_usd);
    println!(
        "steps        {} ({} model calls, {} tool calls, {} retries)",
        counters.steps, counters.model_calls, counters.tool_calls, counters.retries
    );
    if let Some(answer) = &outcome.answer {
        println!("answer       {answer}");
    }
}
