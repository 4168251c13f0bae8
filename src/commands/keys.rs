//! `flyball keys`: who may come in.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use chrono::{DateTime, Utc};
use flyball_store::{ApiKeys, KeyOrder};

use super::control::actor;
use crate::cli::{KeysAdd, KeysCommand, StorageFormat};
use crate::config::Config;
use crate::core::Core;
use crate::keys_api::{Desk, Shown, Unwanted, Wanted};
use crate::running::Server;
use crate::say::say;

/// Does it through the running server when there is one.
pub(super) async fn run(
    config: &Config,
    command: &KeysCommand,
    format: StorageFormat,
) -> Result<()> {
    match command {
        KeysCommand::Add(options) => {
            let key = add(config, options).await?;
            match format {
                StorageFormat::Json => say!("{}", serde_json::to_string_pretty(&key)?),
                StorageFormat::Table => print_new(&key),
            }
        }
        KeysCommand::List => {
            let keys = list(config).await?;
            match format {
                StorageFormat::Json => say!("{}", serde_json::to_string_pretty(&keys)?),
                StorageFormat::Table => print(&keys),
            }
        }
        KeysCommand::Revoke { id } => {
            let key = revoke(config, id).await?;
            match format {
                StorageFormat::Json => say!("{}", serde_json::to_string_pretty(&key)?),
                StorageFormat::Table => {
                    say!(
                        "{} ({}) is revoked: it opens nothing any more",
                        key.id,
                        key.name
                    );
                }
            }
        }
    }
    Ok(())
}

async fn add(config: &Config, options: &KeysAdd) -> Result<Shown> {
    let wanted = Wanted {
        key: KeyOrder {
            name: options.name.clone(),
            role: options.role.parse()?,
            workspace: options.workspace.clone(),
            tenants: options.tenant.clone(),
            lasts_s: lasts(&options.expires)?,
            requests_per_s: options.requests_per_s,
            bytes_per_s: options.bytes_per_s,
        },
        actor: actor(),
    };
    if let Some(server) = Server::find(&config.store.data_dir).await {
        let url = server.url("/api/v1/keys");
        let answer = server.send(|http| http.post(url).json(&wanted)).await?;
        return serde_json::from_slice(&answer).context("the server's answer is not a key");
    }
    let core = Core::open(config).await?;
    let key = desk(&core).add(wanted.key, &wanted.actor).await;
    core.close().await?;
    Ok(key?)
}

async fn list(config: &Config) -> Result<Vec<Shown>> {
    if let Some(server) = Server::find(&config.store.data_dir).await {
        let url = server.url("/api/v1/keys");
        let answer = server.send(|http| http.get(url)).await?;
        return serde_json::from_slice(&answer)
            .context("the server's answer is not a list of keys");
    }
    let keys = ApiKeys::open(&config.store)?;
    Ok(keys.all().iter().map(|key| Shown::from(&**key)).collect())
}

async fn revoke(config: &Config, id: &str) -> Result<Shown> {
    let unwanted = Unwanted {
        id: id.to_owned(),
        actor: actor(),
    };
    if let Some(server) = Server::find(&config.store.data_dir).await {
        let url = server.url("/api/v1/keys/revoke");
        let answer = server.send(|http| http.post(url).json(&unwanted)).await?;
        return serde_json::from_slice(&answer).context("the server's answer is not a key");
    }
    let core = Core::open(config).await?;
    let key = desk(&core).revoke(id, &unwanted.actor).await;
    core.close().await?;
    Ok(key?)
}

fn desk(core: &Core) -> Desk {
    Desk {
        store: Arc::clone(&core.store),
        keys: Arc::clone(&core.keys),
    }
}

/// Seconds of `90d`, `12h`, `30m`, `45s`; None for `never`.
fn lasts(text: &str) -> Result<Option<u64>> {
    if text == "never" {
        return Ok(None);
    }
    match seconds(text) {
        Some(seconds) => Ok(Some(seconds)),
        None => bail!("--expires {text:?}: expected a time such as 90d, 12h or 30m, or never"),
    }
}

/// Seconds of `90d`, `12h`, `30m`, `45s`; at least one.
pub(super) fn seconds(text: &str) -> Option<u64> {
    let units = [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400)];
    let seconds = units.into_iter().find_map(|(unit, seconds)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(seconds)
    });
    seconds.filter(|seconds| *seconds > 0)
}

fn print_new(key: &Shown) {
    let secret = key.secret.as_deref().unwrap_or_default();
    say!("{secret}");
    say!(
        "key {} ({}): role {}, for {}, {}",
        key.id,
        key.name,
        key.role,
        of(&key.tenants),
        key.expires_at.map_or_else(
            || "for ever".to_owned(),
            |at| format!("until {}", minute(at))
        )
    );
    say!(
        "the first line is its secret, shown this once: send it as `authorization: Bearer fbk_...` or `x-api-key: fbk_...`"
    );
}

fn print(keys: &[Shown]) {
    if keys.is_empty() {
        say!("no API key was ever made: everybody on this machine is let in, and nobody else");
        return;
    }
    let mut table = comfy_table::Table::new();
    table
        .load_preset(comfy_table::presets::NOTHING)
        .set_header([
            "id",
            "name",
            "role",
            "tenants",
            "requests/s",
            "bytes/s",
            "created",
            "expires",
            "state",
        ]);
    let limit = |limit: Option<u64>| limit.map_or_else(|| "any".to_owned(), |n| n.to_string());
    for key in keys {
        table.add_row([
            key.id.clone(),
            key.name.clone(),
            key.role.to_string(),
            of(&key.tenants),
            limit(key.requests_per_s.map(u64::from)),
            limit(key.bytes_per_s),
            minute(key.created_at),
            key.expires_at.map_or_else(|| "never".to_owned(), minute),
            key.state.clone(),
        ]);
    }
    say!("{table}");
}

fn of(tenants: &[String]) -> String {
    match tenants {
        [] => "any tenant".to_owned(),
        tenants => tenants.join(", "),
    }
}

fn minute(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M UTC").to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn how_long_a_key_lasts_is_said_in_one_unit() {
        for (text, seconds) in [
            ("90d", Some(7_776_000)),
            ("12h", Some(43_200)),
            ("30m", Some(1_800)),
            ("1s", Some(1)),
            ("never", None),
        ] {
            assert_eq!(lasts(text).unwrap(), seconds, "{text}");
        }
        for text in [
            "",
            "90",
            "d",
            "0d",
            "-1d",
            "1.5h",
            "90 d",
            "1w",
            "Never",
            "99999999999999999999d",
            "18446744073709551615d",
        ] {
            let error = lasts(text).unwrap_err().to_string();
            assert!(
                error.contains("--expires") && error.contains("90d"),
                "{error}"
            );
        }
    }
}
