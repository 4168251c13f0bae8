//! The arguments of `flyball freeze`, `throttle`, `degrade` and `release`.

use clap::Args;

/// Whom a control command is about: exactly one.
#[derive(Debug, Args)]
#[group(skip)]
pub(crate) struct Target {
    /// Whom.
    #[command(flatten)]
    pub scope: ScopeArgs,
    /// Why; kept on the ledger.
    #[arg(long)]
    pub reason: String,
}

/// Options of `release`.
#[derive(Debug, Args)]
pub(crate) struct Release {
    /// Whom and why.
    #[command(flatten)]
    pub target: Target,
    /// What rules had set there was wrong: it counts against them.
    #[arg(long)]
    pub false_alarm: bool,
}

/// Exactly one of these.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct ScopeArgs {
    /// An agent, by name.
    #[arg(long)]
    pub agent: Option<String>,
    /// A tool, by name.
    #[arg(long)]
    pub tool: Option<String>,
    /// A tenant.
    #[arg(long)]
    pub tenant: Option<String>,
    /// One execution, by id.
    #[arg(long)]
    pub execution: Option<String>,
    /// Everything.
    #[arg(long)]
    pub global: bool,
}

/// Options of `throttle`.
#[derive(Debug, Args)]
pub(crate) struct Throttle {
    /// Whom and why.
    #[command(flatten)]
    pub target: Target,
    /// Calls a minute.
    #[arg(long, default_value_t = 10)]
    pub calls_per_minute: u32,
}

/// Options of `degrade`.
#[derive(Debug, Args)]
pub(crate) struct Degrade {
    /// Whom and why.
    #[command(flatten)]
    pub target: Target,
    /// Model tier to fall back to.
    #[arg(long)]
    pub tier: Option<String>,
    /// Only tools that read.
    #[arg(long)]
    pub read_only: bool,
    /// Deepest plan.
    #[arg(long)]
    pub plan_depth: Option<u32>,
}
