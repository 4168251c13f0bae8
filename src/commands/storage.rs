//! `flyball storage`: what the tables take up, and tidying them now.

use anyhow::{Context as _, Result};
use flyball_store::{Maintained, Storage};

use crate::cli::{Storage as Options, StorageCommand, StorageFormat};
use crate::config::Config;
use crate::core::Core;
use crate::running::Server;

/// Shows, or compacts, through the running server when there is one.
pub(super) async fn run(config: &Config, options: &Options) -> Result<()> {
    match options.command {
        None => show(&ask(config).await?, options.format),
        Some(StorageCommand::Compact) => {
            let done = compact(config).await?;
            match options.format {
                StorageFormat::Json => println!("{}", serde_json::to_string_pretty(&done)?),
                StorageFormat::Table => print_done(&done),
            }
            Ok(())
        }
    }
}

async fn ask(config: &Config) -> Result<Storage> {
    if let Some(server) = Server::find(&config.store.data_dir).await {
        let url = server.url("/api/v1/storage");
        let answer = server.send(|http| http.get(url)).await?;
        return serde_json::from_slice(&answer).context("the server's answer is not storage");
    }
    let core = Core::open_to_read(config).await?;
    let storage = core.store.storage();
    core.close().await?;
    Ok(storage?)
}

async fn compact(config: &Config) -> Result<Maintained> {
    if let Some(server) = Server::find(&config.store.data_dir).await {
        let url = server.url("/api/v1/storage/compact");
        let answer = server.send(|http| http.post(url)).await?;
        return serde_json::from_slice(&answer).context("the server's answer is not maintenance");
    }
    let core = Core::open(config).await?;
    core.store.flush().await?;
    let done = core.store.maintain().await;
    core.close().await?;
    Ok(done?)
}

fn show(storage: &Storage, format: StorageFormat) -> Result<()> {
    if format == StorageFormat::Json {
        println!("{}", serde_json::to_string_pretty(storage)?);
        return Ok(());
    }
    let mut table = comfy_table::Table::new();
    table
        .load_preset(comfy_table::presets::NOTHING)
        .set_header([
            "workspace",
            "table",
            "files",
            "small",
            "bytes",
            "rows",
            "bytes/row",
            "oldest",
            "newest",
            "told again",
            "last compaction",
        ]);
    let day = |day: Option<chrono::NaiveDate>| day.map_or("-".into(), |day| day.to_string());
    for of in &storage.tables {
        let row_bytes = of.bytes as f64 / of.rows.max(1) as f64;
        table.add_row([
            of.workspace.clone(),
            of.table.clone(),
            of.files.to_string(),
            of.small_files.to_string(),
            of.bytes.to_string(),
            of.rows.to_string(),
            format!("{row_bytes:.1}"),
            day(of.oldest_day),
            day(of.newest_day),
            of.superseded.to_string(),
            of.compacted
                .map_or("-".into(), |at| at.format("%Y-%m-%d %H:%M:%S").to_string()),
        ]);
    }
    println!("{table}");
    println!(
        "log: {} bytes; in memory: {} bytes",
        storage.log_bytes, storage.buffered_bytes
    );
    Ok(())
}

fn print_done(done: &Maintained) {
    println!(
        "{} files ({} bytes) became {} ({} bytes); {} rows left out that were told again later",
        done.files_in, done.bytes_in, done.files_out, done.bytes_out, done.duplicates
    );
    if done.files_expired > 0 {
        println!(
            "{} files with {} rows were past their retention",
            done.files_expired, done.rows_expired
        );
    }
    println!(
        "{} files ({} bytes) and {} entries of Delta logs were deleted",
        done.files_vacuumed, done.bytes_vacuumed, done.log_entries_deleted
    );
}
