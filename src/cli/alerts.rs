//! The arguments of `flyball alerts`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use flyball_alerts::backtest::Timing;

use super::{Format, StorageFormat};

/// Options of `alerts`.
#[derive(Debug, Args)]
pub(crate) struct Alerts {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: AlertsCommand,
}

/// What can be done with rules, and with the telling of alerts.
#[derive(Debug, Subcommand)]
pub(crate) enum AlertsCommand {
    /// Replay history through a rule: what would have fired, and what it would have saved or wrongly stopped. Nothing is
    /// ordered.
    Backtest(Backtest),
    /// Show every rule: its mode, where that comes from, and what it has shown in shadow.
    List {
        /// How to print: table or json.
        #[arg(long, value_enum, default_value = "table")]
        format: StorageFormat,
    },
    /// Put a rule in force that is in shadow, once it has shown what its file asks for (`promote`), until its file changes.
    Promote {
        /// Its name.
        rule: String,
        /// Although it has not shown that; takes an admin, and a --reason.
        #[arg(long, requires = "reason")]
        anyway: bool,
        /// Why; kept on the ledger.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Say that an action was wrong, be it in shadow or in force: it counts against its rule.
    FalseAlarm {
        /// The action's id, as in `actions`.
        action_id: String,
        /// Why; kept on the ledger.
        #[arg(long)]
        reason: String,
    },
    #[command(flatten)]
    Telling(Telling),
}

/// What can be done about the telling of alerts. None of it touches rules, actions or what is recorded.
#[derive(Debug, Subcommand)]
pub(crate) enum Telling {
    /// Show every notifier: what it has told, what waits, and what was given up.
    Notifiers,
    /// Tell nobody of some alerts for a while.
    Silence {
        /// rule, key or severity, then = and a value or =~ and a regular expression that must match the whole value:
        /// rule=spend-rate-high, key=~agent=test-.*; all of them must take an alert.
        #[arg(required = true)]
        matchers: Vec<String>,
        /// For how long: 30m, 2h, 7d; at most 30 days.
        #[arg(long = "for")]
        lasts: String,
        /// Why; kept on the ledger.
        #[arg(long)]
        why: String,
    },
    /// Show the silences: those to come, those in force, and for a week those that are over.
    Silences,
    /// End a silence now; what it held back and still stands is told.
    Unsilence {
        /// Its id, as `alerts silences` shows it.
        id: String,
    },
}

/// Options of `alerts backtest`.
#[derive(Debug, Args)]
pub(crate) struct Backtest {
    /// The rule's name, of those in use or in --file.
    #[arg(required_unless_present = "file")]
    pub(crate) rule: Option<String>,
    /// A file of rules (or a folder of such files) instead of those in use; without a name, each of its rules.
    #[arg(long)]
    pub(crate) file: Option<PathBuf>,
    /// From then on: how long ago (30d, 12h, 90m), a UTC day or an instant.
    #[arg(long, default_value = "30d")]
    pub(crate) since: String,
    /// Until then; by default, now.
    #[arg(long)]
    pub(crate) until: Option<String>,
    /// By which clock: known, when we knew of each call, as the engine did then; ended, when it ended, as if we had known
    /// at once, for what was imported.
    #[arg(long, value_enum, default_value = "known")]
    pub(crate) clock: ClockName,
    /// How to print: table, csv (a line for each firing) or json (everything).
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: Format,
}

/// Names of clocks.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ClockName {
    /// When we knew of it.
    Known,
    /// When it ended.
    Ended,
}

impl From<ClockName> for Timing {
    fn from(name: ClockName) -> Self {
        match name {
            ClockName::Known => Self::Known,
            ClockName::Ended => Self::Ended,
        }
    }
}
