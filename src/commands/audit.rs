//! `flyball audit`: whether the ledger is as it was written, proofs of it, its key, and who is to be forgotten.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use flyball_store::{
    LedgerReport, Proof, PublicKey, SignedHead, Store, ledger_head, prove_growth, prove_record,
    verify_ledger_against,
};

use crate::cli::AuditCommand;
use crate::config::Config;
use crate::core::{WORKSPACE, replay};
use crate::ledger_api::Person;
use crate::running::Server;

/// Runs it; the exit code is 1 when something differs.
pub(crate) async fn run(config: &Config, command: &AuditCommand) -> Result<ExitCode> {
    match command {
        AuditCommand::Verify { public_key, head } => {
            return verify(config, public_key.as_deref(), head.as_deref()).await;
        }
        AuditCommand::Check { proof, key, head } => {
            return check(proof, key.as_deref(), head.as_deref());
        }
        AuditCommand::Head { out } => {
            let head = ledger_head(&config.store, WORKSPACE).await?;
            let head = head.context("no checkpoint has signed the ledger yet")?;
            write(&head, out.as_deref())?;
        }
        AuditCommand::Prove {
            seq,
            head,
            since,
            out,
        } => {
            let head = head.as_deref().map(read_head).transpose()?;
            let proof = match (seq, since) {
                (Some(seq), _) => prove_record(&config.store, WORKSPACE, *seq, head).await?,
                (None, Some(since)) => {
                    prove_growth(&config.store, WORKSPACE, read_head(since)?).await?
                }
                (None, None) => bail!("name a record, or --since a head"),
            };
            write(&proof, out.as_deref())?;
        }
        AuditCommand::RotateKey => {
            println!("the ledger's public key is now {}", rotate(config).await?);
        }
        AuditCommand::Forget { person } => forget(config, person).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn verify(config: &Config, pinned: Option<&str>, head: Option<&Path>) -> Result<ExitCode> {
    let pinned = pinned
        .map(|key| read_key("--public-key", key))
        .transpose()?;
    let kept =
        head.map(|path| Ok::<_, anyhow::Error>((path.display().to_string(), read_head(path)?)));
    let kept = kept.transpose()?.into_iter().collect();
    let report = verify_ledger_against(&config.store, WORKSPACE, pinned, kept).await?;
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

fn check(proof: &Path, key: Option<&str>, head: Option<&Path>) -> Result<ExitCode> {
    let text = std::fs::read_to_string(proof)
        .with_context(|| format!("{}: cannot be read", proof.display()))?;
    let read = Proof::read(&text);
    let read =
        read.map_err(|reason| anyhow::anyhow!("{} is no proof: {reason}", proof.display()))?;
    let trusted = key.map(|key| read_key("--key", key)).transpose()?;
    let kept = head.map(read_head).transpose()?;
    if let Err(flaws) = read.check(trusted.as_ref(), kept.as_ref()) {
        for flaw in flaws {
            println!("BROKEN  {flaw}");
        }
        println!("the proof proves nothing");
        return Ok(ExitCode::FAILURE);
    }
    match &read {
        Proof::Inclusion { record, head, .. } => println!(
            "record {} ({}) is on the ledger of {} records that is signed by {}",
            record.seq, record.event, head.seq, head.public_key
        ),
        Proof::Consistency { old, new, .. } => println!(
            "the ledger of {} records begins with that of {}: nothing was changed or taken out; signed by {}",
            new.seq, old.seq, new.public_key
        ),
    }
    if trusted.is_none() {
        println!("whose key that is, nobody checked: name the one you trust with --key");
    }
    Ok(ExitCode::SUCCESS)
}

async fn rotate(config: &Config) -> Result<String> {
    if let Some(server) = Server::find(&config.store.data_dir).await {
        let url = server.url("/api/v1/ledger/rotate-key");
        let answer = server.send(|http| http.post(url)).await?;
        let answer: serde_json::Value = serde_json::from_slice(&answer)?;
        return Ok(answer["public_key"].as_str().unwrap_or("?").to_owned());
    }
    let store = Store::open(config.store.clone(), replay(config)?).await?;
    let key = store.rotate_ledger_key().await;
    store.close().await?;
    Ok(key?.to_string())
}

async fn forget(config: &Config, person: &str) -> Result<()> {
    let (kind, name) = person
        .split_once(':')
        .with_context(|| format!("{person:?}: expected KIND:NAME, such as cli:ada or user:u-17"))?;
    let key = if let Some(server) = Server::find(&config.store.data_dir).await {
        let url = server.url("/api/v1/ledger/forget");
        let person = Person {
            kind: kind.to_owned(),
            name: name.to_owned(),
        };
        let answer = server.send(|http| http.post(url).json(&person)).await?;
        let answer: serde_json::Value = serde_json::from_slice(&answer)?;
        answer["key"].as_str().map(str::to_owned)
    } else {
        let store = Store::open(config.store.clone(), replay(config)?).await?;
        let key = store.forget_subject(WORKSPACE, kind, name).await;
        store.close().await?;
        key?
    };
    match key {
        Some(key) => println!("erased: key {key} is dropped; the ledger says so without the name"),
        None => println!("the ledger names nobody of that name"),
    }
    Ok(())
}

/// 64 hex digits, or a file that holds them.
fn read_key(flag: &str, given: &str) -> Result<PublicKey> {
    let held = std::fs::read_to_string(given);
    let text = held.as_deref().unwrap_or(given).trim();
    PublicKey::from_hex(text)
        .with_context(|| format!("{flag} {given:?}: expected 64 hex digits, or a file of them"))
}

fn read_head(path: &Path) -> Result<SignedHead> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{}: cannot be read", path.display()))?;
    let head = SignedHead::read(&text);
    head.map_err(|reason| anyhow::anyhow!("{} is no signed head: {reason}", path.display()))
}

fn write(what: &impl serde::Serialize, out: Option<&Path>) -> Result<()> {
    let text = serde_json::to_string_pretty(what)? + "\n";
    match out {
        Some(path) => {
            std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
        }
        None => {
            print!("{text}");
            Ok(())
        }
    }
}
