//! `flyball backup` and `flyball restore`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use flyball_store::{
    BackupFigures, BackupOptions, BackupPlace, BackupProgress, RestoreOptions, list_backups,
    verify_backup,
};
use indicatif::ProgressBar;

use super::progress;
use crate::backups::{Going, Outcome, Request, proof};
use crate::cli;
use crate::config::{Config, pairs};
use crate::core::Core;
use crate::running::Server;
use crate::say::say;

/// How often a running backup is asked how it goes.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Takes a backup, or checks one; the exit code is 1 when something differs.
pub(super) async fn run(config: &Config, options: cli::Backup) -> Result<ExitCode> {
    match options.command {
        Some(cli::BackupCommand::Verify { place, backup }) => {
            return verify(&place_of(config, &place)?, backup.as_deref()).await;
        }
        Some(cli::BackupCommand::List { place }) => {
            return list(&place_of(config, &place)?).await;
        }
        None => {}
    }
    let place = options
        .place
        .context("where shall the backup go? Name a folder or a URL")?;
    let place = place_of(config, &place)?;
    let (outcome, figures) = match Server::find(&config.store.data_dir).await {
        Some(server) => {
            let proof = proof(&config.store.data_dir).filter(|_| !options.without_keys);
            through(&server, place, options.without_keys, proof).await?
        }
        None => alone(config, &place, options.without_keys).await?,
    };
    say!(
        "backup {}: {} files, {} rows, {} bytes; {} files were copied, {} were there already",
        outcome.id,
        figures.files,
        outcome.rows,
        outcome.bytes,
        figures.files_copied,
        figures.files - figures.files_copied.min(figures.files)
    );
    say!(
        "everything acknowledged up to log position {} is in it",
        outcome.log_position
    );
    if outcome.keys {
        say!(
            "it holds the key that signs the ledger: keep it as secret as the data directory (--without-keys leaves keys out)"
        );
    } else {
        say!("it holds no keys: a restore needs ledger.key from elsewhere");
    }
    say!("manifest {}", outcome.sha256);
    Ok(ExitCode::SUCCESS)
}

/// Where backups are; paths are made absolute, since a server has a working directory of its own.
fn place_of(config: &Config, place: &cli::Place) -> Result<BackupPlace> {
    let url = if place.url.contains("://") {
        place.url.clone()
    } else {
        std::path::absolute(&place.url)?.display().to_string()
    };
    let storage_options = match &place.storage_options {
        Some(text) => pairs(text).with_context(|| {
            format!("--storage-options {text:?}: expected key=value pairs, comma between")
        })?,
        None => config.store.storage_options.clone(),
    };
    Ok(BackupPlace {
        url,
        storage_options,
    })
}

/// Has the running server do it.
async fn through(
    server: &Server,
    place: BackupPlace,
    without_keys: bool,
    proof: Option<String>,
) -> Result<(Outcome, BackupFigures)> {
    let request = Request {
        url: place.url,
        storage_options: place.storage_options,
        without_keys,
        proof,
    };
    let url = server.url("/api/v1/backup");
    let begun = server.send(|http| http.post(&url).json(&request)).await?;
    let begun: Going = serde_json::from_slice(&begun)?;
    let bar = Bar::new();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let going = server.send(|http| http.get(&url)).await?;
        let going: Going = serde_json::from_slice(&going)?;
        if going.job != begun.job {
            bail!(
                "another backup was asked for meanwhile; what became of this one the server's log says"
            );
        }
        bar.show(going.figures);
        match (going.taken, going.error) {
            (Some(taken), _) => return Ok((taken, going.figures)),
            (None, Some(error)) => bail!("{error}"),
            (None, None) => {}
        }
    }
}

/// Does it on a directory that no server runs on.
async fn alone(
    config: &Config,
    place: &BackupPlace,
    without_keys: bool,
) -> Result<(Outcome, BackupFigures)> {
    if !config.store.data_dir.join("log").is_dir() {
        bail!(
            "{} is no data directory of Flyball: there is nothing to back up",
            config.store.data_dir.display()
        );
    }
    let core = Core::open(config).await?;
    let progress = BackupProgress::default();
    let taken = watched(
        &progress,
        core.store
            .backup(place, BackupOptions { without_keys }, &progress),
    )
    .await;
    core.close().await?;
    Ok((Outcome::from(&taken?), progress.figures()))
}

async fn list(place: &BackupPlace) -> Result<ExitCode> {
    let mut table = comfy_table::Table::new();
    table
        .load_preset(comfy_table::presets::NOTHING)
        .set_header(["backup", "taken", "rows", "bytes", "log position", "keys"]);
    for manifest in list_backups(place).await? {
        table.add_row([
            manifest.id.clone(),
            manifest
                .taken_at
                .to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            manifest.rows().to_string(),
            manifest.bytes().to_string(),
            manifest.log_position.to_string(),
            if manifest.keys { "yes" } else { "no" }.to_owned(),
        ]);
    }
    say!("{table}");
    Ok(ExitCode::SUCCESS)
}

async fn verify(place: &BackupPlace, backup: Option<&str>) -> Result<ExitCode> {
    let progress = BackupProgress::default();
    let report = watched(&progress, verify_backup(place, backup, &progress)).await?;
    for damage in &report.damage {
        say!("DAMAGED  {damage}");
    }
    let manifest = &report.manifest;
    let files = manifest.local.len() + manifest.tables.iter().map(|t| t.files.len()).sum::<usize>();
    say!(
        "backup {} of {}: {files} files, {} rows, {} bytes, log position {}",
        manifest.id,
        manifest.taken_at.to_rfc3339(),
        manifest.rows(),
        manifest.bytes(),
        manifest.log_position
    );
    for head in &manifest.ledgers {
        say!(
            "the ledger of {} ends with record {}, hash {}",
            head.workspace,
            head.seq,
            head.hash
        );
    }
    if report.damage.is_empty() {
        say!("the backup is as it was written");
        return Ok(ExitCode::SUCCESS);
    }
    say!("the backup is NOT as it was written: see the first line");
    Ok(ExitCode::FAILURE)
}

/// Restores a backup, and opens it once: what has to be done before it serves is done then.
pub(super) async fn restore(mut config: Config, options: cli::Restore) -> Result<()> {
    let place = place_of(&config, &options.place)?;
    if let Some(url) = options.tables_url {
        config.store.tables_url = Some(url);
    }
    let progress = BackupProgress::default();
    let wanted = RestoreOptions {
        backup: options.backup,
        ledger_key: options.ledger_key,
        erasures: options.erasures,
        new_ledger_key: options.new_ledger_key,
    };
    let restored = watched(
        &progress,
        flyball_store::restore(&place, &wanted, &config.store, &progress),
    )
    .await?;
    let core = Core::open(&config).await?;
    core.close().await?;
    let manifest = &restored.manifest;
    let dir = config.store.data_dir.display();
    say!(
        "backup {} is restored to {dir}: {} rows up to log position {}, every file checked",
        manifest.id,
        manifest.rows(),
        manifest.log_position
    );
    say!("it goes on as node {}; to serve it:", restored.node);
    match &config.store.tables_url {
        Some(url) => say!("  FLYBALL_DATA_TABLES_URL={url} flyball --data-dir {dir} serve"),
        None => say!("  flyball --data-dir {dir} serve"),
    }
    Ok(())
}

/// Waits for work and shows how far it has come.
async fn watched<T: Send>(progress: &BackupProgress, work: impl Future<Output = T> + Send) -> T {
    let bar = Bar::new();
    let mut work = std::pin::pin!(work);
    loop {
        match tokio::time::timeout(LOOK_EVERY, &mut work).await {
            Ok(done) => return done,
            Err(_) => bar.show(progress.figures()),
        }
    }
}

/// Bytes and files as they are copied.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        Self(progress::bar(
            "{bar:30} {bytes}/{total_bytes}  {msg}  {elapsed}",
        ))
    }

    fn show(&self, figures: BackupFigures) {
        self.0.set_length(figures.bytes);
        self.0.set_position(figures.bytes_done);
        self.0
            .set_message(format!("{}/{} files", figures.files_done, figures.files));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
