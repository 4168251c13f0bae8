//! The command line.

mod alerts;
mod control;
mod keys;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use alerts::{Alerts, AlertsCommand, Backtest, Telling};
pub(crate) use control::{Degrade, Release, ScopeArgs, Target, Throttle};
pub(crate) use keys::{Keys, KeysAdd, KeysCommand};

/// Watches AI agents, counts what they cost to the last digit, and stops the ones that go wrong.
#[derive(Debug, Parser)]
#[command(name = "flyball", version, propagate_version = true)]
pub(crate) struct Cli {
    /// Settings file; `flyball.toml` in the working directory when there is one.
    #[arg(long, global = true, env = "FLYBALL_CONFIG")]
    pub config: Option<PathBuf>,
    /// Local data directory (setting `data.dir`, $FLYBALL_DATA_DIR).
    #[arg(long, global = true)]
    pub data_dir: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server: OTLP in, SQL out, alerts and control between.
    Serve(Listen),
    /// Run everything on an empty directory with a fleet of sample agents, and watch one run away.
    Demo(Demo),
    /// Load recorded OTLP: .pb, .json, .gz, files or folders of them.
    Import(Import),
    /// Ask in SQL.
    Query(Query),
    /// Print a FinOps report.
    Report(Report),
    /// Stop an agent, a tool, a tenant, an execution or everything, until released.
    Freeze(Target),
    /// Slow them down.
    Throttle(Throttle),
    /// Let them go on with less: a cheaper tier, read-only tools, shallower plans.
    Degrade(Degrade),
    /// Lift what was set on that very scope.
    Release(Release),
    /// Show what is in force.
    Status,
    /// Alert rules and who is told of them: try a rule on the past, see what it has shown, put it in force, keep quiet.
    Alerts(Alerts),
    /// Show what the tables take up, or tidy them now.
    Storage(Storage),
    /// Price again what was charged, by the book in use: what differs is taken back and entered anew.
    Reprice(Reprice),
    /// Forget a user, a session or a tenant: their traces go, their sums stay.
    Erase(Erase),
    /// Print which attributes of which convention fill which column, best first.
    Conventions(Conventions),
    /// Print the metrics, functions and views that can be asked for in SQL, and what each means.
    Metrics(Metrics),
    /// Print every setting in force, and where each value came from.
    Config,
    /// Run agents of the bundled runtime.
    Agent(Agent),
    /// Copy everything to another place, while a server runs or while none does.
    Backup(Backup),
    /// Make a data directory and tables out of a backup.
    Restore(Restore),
    /// What the price book says, and what a foreign list would change.
    Prices(Prices),
    /// The ledger, a chain nobody can change unseen: check it, prove what is on it, change its key, erase people.
    Audit(Audit),
    /// API keys: who may come in, as what, and for which tenants.
    Keys(Keys),
}

/// Where to listen; each overrides its setting `listen.*`.
#[derive(Debug, Args, Default)]
pub(crate) struct Listen {
    /// OTLP/gRPC.
    #[arg(long)]
    pub otlp_grpc: Option<String>,
    /// OTLP/HTTP.
    #[arg(long)]
    pub otlp_http: Option<String>,
    /// PostgreSQL wire.
    #[arg(long)]
    pub postgres: Option<String>,
    /// Arrow Flight SQL.
    #[arg(long)]
    pub flight_sql: Option<String>,
    /// Console and REST API.
    #[arg(long)]
    pub http: Option<String>,
    /// Price file (flyball-prices/1 or LiteLLM's format), instead of the built-in book.
    #[arg(long)]
    pub prices: Option<PathBuf>,
    /// Alert rules, instead of the built-in ones.
    #[arg(long)]
    pub rules: Option<PathBuf>,
}

/// Options of `demo`.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Stay up when the fleet has ended.
    #[arg(long)]
    pub keep: bool,
    /// Seconds the fleet runs at most.
    #[arg(long, default_value_t = 30)]
    pub seconds: u64,
    /// Seed of the fleet.
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
}

/// Options of `import`.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// Files or folders.
    #[arg(required = true)]
    pub paths: Vec<PathBuf>,
    /// Price file (flyball-prices/1 or LiteLLM's format) that replaces the book for this run.
    #[arg(long)]
    pub prices: Option<PathBuf>,
}

/// Options of `query`.
#[derive(Debug, Args)]
pub(crate) struct Query {
    /// The statement. Without one: a prompt, or the statements on standard input.
    pub sql: Option<String>,
    /// How to print the rows: table, csv, json, jsonl, arrow or parquet; by default, a table or what --output ends in.
    #[arg(long)]
    pub(crate) format: Option<flyball_query::format::Format>,
    /// Write them to this file.
    #[arg(long, short, value_name = "FILE", requires = "sql")]
    pub(crate) output: Option<PathBuf>,
    /// Show how it would be answered and what would be read for it; with =analyze, run it and show what was read.
    #[arg(long, value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "plan", requires = "sql")]
    pub(crate) explain: Option<Explain>,
    /// Read only what Delta versions hold, as every other reader of the tables does; they are named on stderr.
    #[arg(long, conflicts_with = "as_of")]
    pub(crate) committed: bool,
    /// Read what Delta versions held then: a time (RFC 3339) or how long ago (90s, 15m, 2h, 7d).
    #[arg(long, value_name = "TIME")]
    pub(crate) as_of: Option<String>,
}

/// How far `query --explain` goes.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Explain {
    /// The plan, and what it would read.
    Plan,
    /// Runs it: the plan with figures, and what it has read.
    Analyze,
}

/// Output formats.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// Comma-separated values with a header.
    Csv,
    /// An array of objects; decimals as strings.
    Json,
}

/// Options of `report`.
#[derive(Debug, Args)]
pub(crate) struct Report {
    /// Which report.
    #[command(subcommand)]
    pub kind: ReportKind,
}

/// The reports.
#[derive(Debug, Subcommand)]
pub(crate) enum ReportKind {
    /// What everything cost, by the dimensions asked for.
    Chargeback {
        /// Dimensions: team, agent, tenant, environment, user, session, model, provider, tool, day.
        #[arg(long, value_delimiter = ',', default_value = "team,agent")]
        by: Vec<String>,
        /// From this day (YYYY-MM-DD, UTC).
        #[arg(long)]
        since: Option<String>,
        /// Before this day.
        #[arg(long)]
        until: Option<String>,
        /// table or csv.
        #[arg(long, value_enum, default_value = "table")]
        format: Format,
    },
}

/// Options of `agent`.
#[derive(Debug, Args)]
pub(crate) struct Agent {
    /// What to run.
    #[command(subcommand)]
    pub command: AgentCommand,
}

/// What the bundled runtime can run.
#[derive(Debug, Subcommand)]
pub(crate) enum AgentCommand {
    /// The fleet of sample agents that `demo` uses, against a running server.
    Fleet {
        /// Where spans go (OTLP/gRPC).
        #[arg(long, default_value = "http://127.0.0.1:4317")]
        otlp: String,
        /// Control API.
        #[arg(long, default_value = "http://127.0.0.1:8080")]
        control: String,
        /// API key for both, of role ingest; best given in the environment.
        #[arg(long, env = "FLYBALL_KEY", hide_env_values = true)]
        key: Option<String>,
        /// Seed.
        #[arg(long, default_value_t = 7)]
        seed: u64,
        /// Seconds at most.
        #[arg(long, default_value_t = 30)]
        seconds: u64,
        /// No agent runs away.
        #[arg(long)]
        healthy: bool,
    },
    /// One agent, once, from a file; exit code 0 only when it ends in success.
    Run {
        /// What to run, in JSON: agent, task, provider and tools (see runtime/examples).
        file: PathBuf,
        /// Where spans go (OTLP/gRPC), such as http://127.0.0.1:4317; without it nobody is told.
        #[arg(long)]
        otlp: Option<String>,
        /// Control API, such as http://127.0.0.1:8080; without it only its own bounds hold it.
        #[arg(long)]
        control: Option<String>,
        /// API key for both, of role ingest; best given in the environment.
        #[arg(long, env = "FLYBALL_KEY", hide_env_values = true)]
        key: Option<String>,
        /// File that keeps every transition; without it they go with the process.
        #[arg(long)]
        journal: Option<PathBuf>,
        /// Price file (flyball-prices/1 or LiteLLM's format), instead of the built-in book.
        #[arg(long)]
        prices: Option<PathBuf>,
    },
}

/// Options of `storage`.
#[derive(Debug, Args)]
pub(crate) struct Storage {
    /// What to do; without it, show.
    #[command(subcommand)]
    pub(crate) command: Option<StorageCommand>,
    /// How to print: table or json.
    #[arg(long, value_enum, default_value = "table", global = true)]
    pub(crate) format: StorageFormat,
}

/// How `storage` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StorageFormat {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// What can be done with the tables.
#[derive(Debug, Subcommand)]
pub(crate) enum StorageCommand {
    /// Merge small files, remove what was told again or is past its retention, delete what nobody lists.
    Compact,
}

/// Options of `erase`.
#[derive(Debug, Args)]
pub(crate) struct Erase {
    /// Whom.
    #[command(flatten)]
    pub(crate) subject: SubjectArgs,
    /// Only say what would go.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How to print: table or json.
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: StorageFormat,
}

/// Exactly one of these, exactly as it was sent.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct SubjectArgs {
    /// A user.
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// A session.
    #[arg(long)]
    pub(crate) session: Option<String>,
    /// A tenant.
    #[arg(long)]
    pub(crate) tenant: Option<String>,
}

/// Options of `conventions`.
#[derive(Debug, Args)]
pub(crate) struct Conventions {
    /// Only what fills this column of `spans`, or stands under this key.
    pub(crate) of: Option<String>,
    /// How to print: table or json.
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: StorageFormat,
}

/// Options of `metrics`.
#[derive(Debug, Args)]
pub(crate) struct Metrics {
    /// Only this one, with all that is said of it and its SQL.
    pub(crate) of: Option<String>,
    /// How to print: table, json, markdown (the page docs/metrics.md) or grafana (the dashboard); the last two always whole.
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: PageFormat,
}

/// How the catalogue is printed.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum PageFormat {
    /// For people.
    Table,
    /// For programs.
    Json,
    /// For the documentation.
    Markdown,
    /// A dashboard with a panel for each metric.
    Grafana,
}

/// Options of `reprice`.
#[derive(Debug, Args)]
pub(crate) struct Reprice {
    /// Calls that began then or later: a UTC day or an instant.
    #[arg(long)]
    pub(crate) since: String,
    /// ... and before this.
    #[arg(long)]
    pub(crate) until: Option<String>,
    /// Only this model (or tool), in any spelling.
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// Only say what would change.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Options of `prices`.
#[derive(Debug, Args)]
pub(crate) struct Prices {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: PricesCommand,
}

/// What can be done with a price book.
#[derive(Debug, Subcommand)]
pub(crate) enum PricesCommand {
    /// Bring a foreign list into the book, show what changes, and write the book to a file. What is negative or jumps
    /// more than tenfold is kept in quarantine, out of force.
    Import {
        /// The list.
        file: PathBuf,
        /// Its format; told by the file itself when not given.
        #[arg(long, value_enum)]
        format: Option<PriceList>,
        /// Where the book goes.
        #[arg(long)]
        out: PathBuf,
        /// The book to bring it into, instead of `prices.file` or the built-in one.
        #[arg(long)]
        book: Option<PathBuf>,
    },
    /// Print the book.
    List {
        /// Only this model, in any spelling.
        #[arg(long)]
        model: Option<String>,
        /// Only what was in force, and known, then (a UTC day or instant).
        #[arg(long)]
        at: Option<String>,
        /// Only what is kept out of force.
        #[arg(long)]
        quarantined: bool,
        /// A price file, instead of the book in use.
        #[arg(long)]
        book: Option<PathBuf>,
    },
    /// Put an entry that is in quarantine in force.
    Accept {
        /// Its id, as `prices list --quarantined` shows it.
        id: String,
        /// The price file, instead of `prices.file`.
        #[arg(long)]
        book: Option<PathBuf>,
    },
}

/// Formats of price lists.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum PriceList {
    /// Our own, flyball-prices/1.
    Flyball,
    /// LiteLLM's model prices.
    Litellm,
    /// genai-prices' providers.
    GenaiPrices,
}

/// Options of `audit`.
#[derive(Debug, Args)]
pub(crate) struct Audit {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: AuditCommand,
}

/// What can be done with the ledger.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Compute the chain again from the Parquet files and name what differs; exit code 1 if anything does.
    Verify {
        /// A key that must have signed checkpoints or a change of the key: 64 hex digits, or a file of them.
        /// Without it, the first checkpoint's key is believed.
        #[arg(long, visible_alias = "key")]
        public_key: Option<String>,
        /// A file of `audit head` that was kept elsewhere: the ledger must hold all it signs, unchanged.
        #[arg(long)]
        head: Option<PathBuf>,
    },
    /// Print the newest signed head, to be kept elsewhere: it tells whether the ledger was cut or written anew.
    Head {
        /// Write it to this file instead.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Prove that a record is on the ledger, or that the ledger has only grown: a small file that `audit check`
    /// checks without any other.
    Prove {
        /// The record's number.
        #[arg(required_unless_present = "since", conflicts_with = "since")]
        seq: Option<i64>,
        /// Prove the record under this head (a file of `audit head`) instead of the first checkpoint after it.
        #[arg(long)]
        head: Option<PathBuf>,
        /// Prove that the ledger has only grown since this head.
        #[arg(long, conflicts_with = "head")]
        since: Option<PathBuf>,
        /// Write it to this file instead of printing it.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Check a proof, with nothing but itself; exit code 1 if it proves nothing.
    Check {
        /// The file.
        proof: PathBuf,
        /// The key that must have signed: 64 hex digits, or a file of them. Without it, any key will do.
        #[arg(long)]
        key: Option<String>,
        /// The head that was kept (a file of `audit head`): the proof must be of this one.
        #[arg(long)]
        head: Option<PathBuf>,
    },
    /// Give the ledger another signing key, signed by the one before.
    RotateKey,
    /// Erase a person from the ledger: an operator, such as `cli:ada`, or `user:...`, `session:...`, `tenant:...`.
    Forget {
        /// Kind and name, as they stand on the ledger.
        person: String,
    },
}

/// Options of `backup`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Backup {
    /// What else can be done with one.
    #[command(subcommand)]
    pub(crate) command: Option<BackupCommand>,
    /// Where it goes.
    #[command(flatten)]
    pub(crate) place: Option<Place>,
    /// Leave out the key that signs the ledger; a restore then needs it from elsewhere.
    #[arg(long)]
    pub(crate) without_keys: bool,
}

/// Where backups are.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// A folder, or file://, s3://, gs://, az://.
    #[arg(value_name = "PLACE")]
    pub(crate) url: String,
    /// Options of its object store, as key=value, comma between; without them those of the tables.
    #[arg(long)]
    pub(crate) storage_options: Option<String>,
}

/// What can be done with a backup.
#[derive(Debug, Subcommand)]
pub(crate) enum BackupCommand {
    /// Print the backups of a place.
    List {
        /// Where they are.
        #[command(flatten)]
        place: Place,
    },
    /// Read every file of it again and name what differs; exit code 1 if anything does.
    Verify {
        /// Where it is.
        #[command(flatten)]
        place: Place,
        /// Which; without it the latest.
        #[arg(long)]
        backup: Option<String>,
    },
}

/// Options of `restore`.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// Where the backup is.
    #[command(flatten)]
    pub(crate) place: Place,
    /// Which; without it the latest.
    #[arg(long)]
    pub(crate) backup: Option<String>,
    /// Where the tables shall live (setting `data.tables_url`).
    #[arg(long)]
    pub(crate) tables_url: Option<String>,
    /// The file of the key that signs the ledger, for a backup without keys.
    #[arg(long, conflicts_with = "new_ledger_key")]
    pub(crate) ledger_key: Option<PathBuf>,
    /// The folder `erasures` of the data directory that was backed up, if it is at hand. Without it, the list of
    /// erasures is that of the latest backup in the place.
    #[arg(long)]
    pub(crate) erasures: Option<PathBuf>,
    /// That key is lost: sign the ledger with a new one from here on.
    #[arg(long)]
    pub(crate) new_ledger_key: bool,
}
