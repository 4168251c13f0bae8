//! `flyball alerts`: rules, whether they can be trusted, and who is told.

mod backtest;
mod csv;
mod picture;
mod telling;
mod trust;

pub(super) use trust::false_alarm;

use anyhow::Result;

use crate::cli::AlertsCommand;
use crate::config::Config;

/// Runs one of its commands.
pub(super) async fn run(config: &Config, command: &AlertsCommand) -> Result<()> {
    match command {
        AlertsCommand::Backtest(options) => backtest::run(config, options).await,
        AlertsCommand::List { format } => trust::list(config, *format).await,
        AlertsCommand::Promote {
            rule,
            anyway,
            reason,
        } => {
            let reason = reason.as_deref().filter(|_| *anyway);
            trust::promote(config, rule, reason).await
        }
        AlertsCommand::FalseAlarm { action_id, reason } => {
            false_alarm(config, action_id, reason).await
        }
        AlertsCommand::Telling(telling) => telling::run(config, telling).await,
    }
}
