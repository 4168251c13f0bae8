//! `flyball alerts`: rules, and whether they can be trusted.

mod backtest;
mod csv;
mod picture;

use anyhow::Result;

use crate::cli::AlertsCommand;
use crate::config::Config;

/// Runs one of its commands.
pub(super) async fn run(config: &Config, command: &AlertsCommand) -> Result<()> {
    match command {
        AlertsCommand::Backtest(options) => backtest::run(config, options).await,
    }
}
