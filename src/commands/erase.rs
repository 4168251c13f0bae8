//! `flyball erase`: a user, a session or a tenant is forgotten.

use anyhow::{Context as _, Result};
use flyball_store::{Erased, Subject, SubjectKind};
use serde::{Deserialize, Serialize};

use crate::cli::{Erase as Options, StorageFormat, SubjectArgs};
use crate::config::Config;
use crate::core::{Core, WORKSPACE};
use crate::running::Server;

/// What the API is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    /// What kind of name it is.
    pub(crate) kind: SubjectKind,
    /// The name.
    pub(crate) name: String,
    /// Only say what would go.
    #[serde(default)]
    pub(crate) dry_run: bool,
}

impl Order {
    /// Whom it is about.
    pub(crate) fn subject(&self) -> Subject {
        Subject {
            kind: self.kind,
            name: self.name.clone(),
        }
    }
}

/// Erases, or says what that would do, through the running server when there is one.
pub(super) async fn run(config: &Config, options: &Options) -> Result<()> {
    let (kind, name) = subject(&options.subject);
    let order = Order {
        kind,
        name,
        dry_run: options.dry_run,
    };
    let erased = erase(config, &order).await?;
    match options.format {
        StorageFormat::Json => println!("{}", serde_json::to_string_pretty(&erased)?),
        StorageFormat::Table => print(&erased),
    }
    Ok(())
}

fn subject(given: &SubjectArgs) -> (SubjectKind, String) {
    let named = [
        (SubjectKind::User, &given.user),
        (SubjectKind::Session, &given.session),
        (SubjectKind::Tenant, &given.tenant),
    ];
    let given = named
        .into_iter()
        .find_map(|(kind, name)| Some((kind, name.clone()?)));
    // The command line has made sure that there is one.
    given.unwrap_or((SubjectKind::User, String::new()))
}

async fn erase(config: &Config, order: &Order) -> Result<Erased> {
    if let Some(server) = Server::find(&config.store.data_dir).await {
        let url = server.url("/api/v1/erase");
        let answer = server.send(|http| http.post(url).json(order)).await?;
        return serde_json::from_slice(&answer).context("the server's answer is not an erasure");
    }
    let core = Core::open(config).await?;
    let erased = async {
        core.asker().settle_all().await?;
        let (subject, dry_run) = (order.subject(), order.dry_run);
        anyhow::Ok(
            core.store
                .erase(WORKSPACE, &subject, "cli", dry_run)
                .await?,
        )
    };
    let erased = erased.await;
    core.close().await?;
    erased
}

fn print(erased: &Erased) {
    let mut table = comfy_table::Table::new();
    table
        .load_preset(comfy_table::presets::NOTHING)
        .set_header(["table", "rows", "files", "days", "version"]);
    for of in &erased.tables {
        let days = match (of.days.first(), of.days.last()) {
            (Some(first), Some(last)) if first != last => format!("{first} to {last}"),
            (Some(day), _) => day.to_string(),
            _ => "-".to_owned(),
        };
        table.add_row([
            of.table.clone(),
            of.rows.to_string(),
            of.files.to_string(),
            days,
            if of.before == of.after {
                of.before.to_string()
            } else {
                format!("{} -> {}", of.before, of.after)
            },
        ]);
    }
    println!("{table}");
    let verb = if erased.dry_run {
        "would go"
    } else {
        "are gone"
    };
    println!(
        "{} traces {verb}; their charges stay, without names",
        erased.traces
    );
    if !erased.dry_run {
        println!("erasure {} stands on the ledger", erased.id);
    }
    if let Some(at) = erased.gone_at {
        println!(
            "files that held them are deleted from {} on, by the next maintenance",
            at.format("%Y-%m-%d %H:%M:%S UTC")
        );
    }
}
