//! `flyball demo`: the whole loop on an empty directory, with a fleet of sample agents of which one runs away.

mod board;

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::cli;
use crate::config::Config;
use crate::say::say;
use crate::serve::Serving;
use board::Board;
use flyball_store::Table;

/// How often the table is printed.
const TABLE_EVERY: Duration = Duration::from_secs(3);

/// Runs it to its end.
pub(super) async fn run(
    mut config: Config,
    data_dir: Option<&Path>,
    options: &cli::Demo,
) -> Result<()> {
    config = alone(config, empty_directory(data_dir)?);
    let serving = Serving::start(&config).await?;
    let mut events = serving
        .store()
        .subscribe_to(&[Table::Alerts, Table::Actions], true);
    let started = Instant::now();
    let say = |line: &str| {
        let mut out = std::io::stdout().lock();
        // The reader may have gone; the demo has not.
        let _ = writeln!(out, "[{:6.2} s] {line}", started.elapsed().as_secs_f64());
    };
    say(&format!(
        "flyball is up on {}: console http://{}/",
        config.store.data_dir.display(),
        serving.ports().http
    ));
    let mut fleet = start_fleet(&serving, options)?;
    say("a fleet of sample agents starts in a process of its own: OTLP in, control out");

    let mut board = Board::default();
    let mut tables = tokio::time::interval(TABLE_EVERY);
    tables.tick().await;
    let ended = loop {
        tokio::select! {
            Some(event) = events.recv() => {
                for line in board.take(&event) {
                    say(&line);
                }
            }
            _ = tables.tick() => say!("{}", board.table()),
            ended = fleet.wait() => break ended.context("the fleet's process was lost")?,
        }
    };
    // What the fleet sent last may still be on its way through the loop.
    let quiet = Duration::from_millis(500);
    while let Ok(Some(event)) = tokio::time::timeout(quiet, events.recv()).await {
        for line in board.take(&event) {
            say(&line);
        }
    }
    if !ended.success() {
        bail!("the fleet ended with {ended}");
    }
    say("the fleet has ended");
    say!("{}", board.table());
    for line in board.verdict() {
        say!("{line}");
    }
    // Nobody reads them any more, and the queue is unbounded.
    drop(events);
    finish(serving, &config, options.keep).await?;
    if board.freeze.is_none() {
        bail!("the runaway was not frozen");
    }
    Ok(())
}

/// The configuration with nothing left of production: own directory, tables beside it, free ports, built-in
/// prices and rules, nobody told.
fn alone(config: Config, data_dir: PathBuf) -> Config {
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Config {
        store: flyball_store::Config::local(data_dir),
        otlp_grpc: free,
        otlp_http: free,
        postgres: free,
        flight_sql: free,
        http: free,
        prices_file: None,
        rules: None,
        webhook_url: None,
        webhook_secret: None,
        ..config
    }
}

/// The directory asked for, which must be empty, or a new one under the system's temporary directory.
fn empty_directory(asked: Option<&Path>) -> Result<PathBuf> {
    let dir = asked.map_or_else(
        || {
            let stamp = chrono::Utc::now().format("%Y%m%d-%H%M%S");
            std::env::temp_dir().join(format!("flyball-demo-{stamp}-{}", std::process::id()))
        },
        Path::to_path_buf,
    );
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    if std::fs::read_dir(&dir)?.next().is_some() {
        bail!(
            "{} is not empty: the demo wants a directory of its own",
            dir.display()
        );
    }
    Ok(dir)
}

/// Starts `flyball agent fleet` against this server's ports.
fn start_fleet(serving: &Serving, options: &cli::Demo) -> Result<Child> {
    let ports = serving.ports();
    let mut child = Command::new(std::env::current_exe()?)
        .args(["agent", "fleet"])
        .args(["--otlp", &format!("http://{}", ports.otlp_grpc)])
        .args(["--control", &format!("http://{}", ports.http)])
        .args(["--seed", &options.seed.to_string()])
        .args(["--seconds", &options.seconds.to_string()])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("cannot start the fleet's process")?;
    if let Some(stdout) = child.stdout.take() {
        tokio::spawn(async move {
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                tracing::debug!(target: "flyball", fleet = line);
            }
        });
    }
    Ok(child)
}

async fn finish(serving: Serving, config: &Config, keep: bool) -> Result<()> {
    let dir = config.store.data_dir.display().to_string();
    if keep {
        let ports = serving.ports();
        say!(
            "it stays up: http://{}/  psql -h 127.0.0.1 -p {} -U flyball flyball  (end it with Ctrl-C)",
            ports.http,
            ports.postgres.port()
        );
        return serving.until_told_to_stop().await;
    }
    serving.stop().await?;
    say!("what it left is in {dir}:");
    say!("  flyball --data-dir {dir} serve");
    say!(
        "  flyball --data-dir {dir} query \"select agent_name, decisions, cost_per_decision_usd from cost_per_decision\""
    );
    Ok(())
}
