//! The arguments of `flyball alerts`.

use clap::{Args, Subcommand};

/// Options of `alerts`.
#[derive(Debug, Args)]
pub(crate) struct Alerts {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: AlertsCommand,
}

/// What can be done about the telling of alerts. None of it touches rules, actions or what is recorded.
#[derive(Debug, Subcommand)]
pub(crate) enum AlertsCommand {
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
