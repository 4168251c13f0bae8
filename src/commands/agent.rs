//! `flyball agent`: agents of the bundled runtime, in a process of their own.

use std::time::Duration;

use anyhow::Result;
use flyball_runtime::fleet::{self, FleetConfig};

use crate::cli::AgentCommand;

pub(super) async fn run(command: AgentCommand) -> Result<()> {
    let AgentCommand::Fleet {
        otlp,
        control,
        seed,
        seconds,
        healthy,
    } = command;
    let report = fleet::run(FleetConfig {
        otlp_endpoint: otlp,
        control_url: control,
        seed,
        runaway: !healthy,
        duration: Duration::from_secs(seconds),
    })
    .await?;
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}
