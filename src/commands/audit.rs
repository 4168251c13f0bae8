//! `flyball audit`: whether the ledger is as it was written.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use flyball_store::{LedgerReport, PublicKey, verify_ledger};

use crate::cli::AuditCommand;
use crate::config::Config;
use crate::core::WORKSPACE;

/// Runs it; the exit code is 1 when something differs.
pub(crate) async fn run(config: &Config, command: &AuditCommand) -> Result<ExitCode> {
    match command {
        AuditCommand::Verify { public_key } => verify(config, public_key.as_deref()).await,
    }
}

async fn verify(config: &Config, pinned: Option<&str>) -> Result<ExitCode> {
    let pinned = pinned
        .map(|hex| {
            PublicKey::from_hex(hex)
                .with_context(|| format!("--public-key {hex:?}: expected 64 hex digits"))
        })
        .transpose()?;
    let report = verify_ledger(&config.store, WORKSPACE, pinned).await?;
    print(&report);
    Ok(if report.findings.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn print(report: &LedgerReport) {
    for finding in &report.findings {
        println!("BROKEN  {finding}");
    }
    let (seq, hash) = &report.head;
    println!(
        "{} records in {} files; the last is {seq}, hash {hash}",
        report.records, report.files
    );
    match report.pending {
        Some(0) => {}
        Some(pending) => println!("{pending} more records are not yet in files; the log has them"),
        None => {
            println!("the log could not be read: how many records are not yet in files is unknown");
        }
    }
    match &report.public_key {
        Some(key) => println!(
            "{} checkpoints sign the records up to {}; public key {key}",
            report.checkpoints, report.signed_to
        ),
        None => println!("no checkpoint has signed a record yet"),
    }
    if report.findings.is_empty() {
        println!("the ledger is as it was written");
    } else {
        println!("the ledger is NOT as it was written: see the first line");
    }
}
