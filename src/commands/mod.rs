//! One module a command. Each finds the running server and goes through its API, or takes the lock itself.

mod agent;
mod alerts;
mod audit;
mod backup;
mod control;
mod conventions;
mod demo;
mod erase;
mod import;
mod keys;
mod metrics;
mod prices;
mod progress;
mod query;
mod report;
mod reprice;
mod storage;

pub(crate) use erase::Order;
pub(crate) use import::Answer;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use flyball_store::ApiKeys;

use crate::cli::{Cli, Command};
use crate::config::{Config, Settings};
use crate::say::say;
use crate::serve::Serving;

/// Runs one command to its end.
pub(crate) fn run(cli: Cli) -> Result<ExitCode> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    runtime.block_on(dispatch(cli))
}

async fn dispatch(cli: Cli) -> Result<ExitCode> {
    let settings = settings(&cli)?;
    if matches!(cli.command, Command::Config) {
        print_settings(&settings);
        return Ok(ExitCode::SUCCESS);
    }
    let config = settings.config()?;
    match cli.command {
        Command::Serve(_) => {
            let keys = ApiKeys::open(&config.store)?;
            settings.check_doors(keys.configured())?;
            serve(&config).await?;
        }
        Command::Demo(options) => demo::run(config, cli.data_dir.as_deref(), &options).await?,
        Command::Import(options) => import::run(&config, &options).await?,
        Command::Query(options) => query::run(&config, &options).await?,
        Command::Report(options) => report::run(&config, &options.kind).await?,
        Command::Freeze(target) => control::freeze(&config, &target).await?,
        Command::Throttle(options) => control::throttle(&config, &options).await?,
        Command::Degrade(options) => control::degrade(&config, &options).await?,
        Command::Release(options) => control::release(&config, &options).await?,
        Command::Status => control::status(&config).await?,
        Command::Alerts(options) => alerts::run(&config, &options.command).await?,
        Command::Conventions(options) => conventions::run(&options)?,
        Command::Metrics(options) => metrics::run(&options)?,
        Command::Reprice(options) => reprice::run(&config, &options).await?,
        Command::Erase(options) => erase::run(&config, &options).await?,
        Command::Storage(options) => storage::run(&config, &options).await?,
        Command::Agent(options) => return agent::run(options.command).await,
        Command::Backup(options) => return backup::run(&config, options).await,
        Command::Restore(options) => backup::restore(config, options).await?,
        Command::Audit(options) => return audit::run(&config, &options.command).await,
        Command::Keys(options) => keys::run(&config, &options.command, options.format).await?,
        Command::Prices(options) => prices::run(&config, &options.command)?,
        Command::Config => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Defaults, file, environment and this command's flags.
fn settings(cli: &Cli) -> Result<Settings> {
    let text = |path: &Option<std::path::PathBuf>| path.as_ref().map(|p| p.display().to_string());
    let mut flags = vec![("data.dir", text(&cli.data_dir))];
    if let Command::Serve(listen) = &cli.command {
        flags.extend([
            ("listen.otlp_grpc", listen.otlp_grpc.clone()),
            ("listen.otlp_http", listen.otlp_http.clone()),
            ("listen.postgres", listen.postgres.clone()),
            ("listen.flight_sql", listen.flight_sql.clone()),
            ("listen.http", listen.http.clone()),
            ("prices.file", text(&listen.prices)),
            ("alerts.rules", text(&listen.rules)),
        ]);
    }
    Ok(Settings::load(
        cli.config.as_deref(),
        |name| std::env::var(name).ok(),
        &flags,
    )?)
}

fn print_settings(settings: &Settings) {
    let mut table = comfy_table::Table::new();
    table
        .load_preset(comfy_table::presets::NOTHING)
        .set_header(["setting", "value", "from", "meaning"]);
    for (key, value, source) in settings.in_force() {
        table.add_row([key.name, value.as_str(), &source.to_string(), key.doc]);
    }
    say!("{table}");
}

async fn serve(config: &Config) -> Result<()> {
    let serving = Serving::start(config).await?;
    let ports = serving.ports();
    say!("flyball serves {}", config.store.data_dir.display());
    say!(
        "  OTLP        grpc://{}  http://{}/v1/traces",
        ports.otlp_grpc,
        ports.otlp_http
    );
    say!(
        "  SQL         psql -h {} -p {} -U flyball flyball",
        ports.postgres.ip(),
        ports.postgres.port()
    );
    say!("  Flight SQL  grpc://{}", ports.flight_sql);
    say!("  console     http://{}/", ports.http);
    serving.until_told_to_stop().await?;
    say!("flyball has stopped; everything is flushed");
    Ok(())
}
