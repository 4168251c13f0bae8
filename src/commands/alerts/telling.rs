//! `flyball alerts`: who is told, and what need not be told for a while.

use anyhow::{Context as _, Result};
use chrono::{TimeDelta, Utc};
use flyball_alerts::notify::SilenceOrder;
use serde_json::Value;

use crate::alerts_api::{Unwanted, Wanted};
use crate::cli::Telling;
use crate::commands::control::actor;
use crate::commands::keys::seconds;
use crate::config::Config;
use crate::running::Server;
use crate::say::say;

/// Through the running server: it alone tells.
pub(super) async fn run(config: &Config, command: &Telling) -> Result<()> {
    let server = Server::need(&config.store.data_dir).await?;
    match command {
        Telling::Notifiers => {
            let url = server.url("/api/v1/alerts/notifiers");
            print_notifiers(&json(&server.send(|http| http.get(url)).await?)?);
        }
        Telling::Silence {
            matchers,
            lasts,
            why,
        } => {
            let seconds = seconds(lasts).and_then(|s| i64::try_from(s).ok());
            let lasts = seconds.and_then(TimeDelta::try_seconds).with_context(|| {
                format!("--for {lasts:?}: expected a time such as 30m, 2h or 7d")
            })?;
            let until = Utc::now().checked_add_signed(lasts);
            let wanted = Wanted {
                silence: SilenceOrder {
                    matchers: matchers.clone(),
                    from: None,
                    until: until.context("--for: expected at most 30d")?,
                    why: why.clone(),
                },
                actor: Some(actor()),
            };
            let url = server.url("/api/v1/alerts/silences");
            let silence = json(&server.send(|http| http.post(url).json(&wanted)).await?)?;
            say!(
                "silence {} until {}: {}",
                text(&silence["id"]),
                minute(&silence["until"]),
                words(&silence["matchers"])
            );
        }
        Telling::Silences => {
            let url = server.url("/api/v1/alerts/silences");
            print_silences(&json(&server.send(|http| http.get(url)).await?)?);
        }
        Telling::Unsilence { id } => {
            let unwanted = Unwanted {
                id: id.clone(),
                actor: Some(actor()),
            };
            let url = server.url("/api/v1/alerts/unsilence");
            server.send(|http| http.post(url).json(&unwanted)).await?;
            say!("silence {id} has ended");
        }
    }
    Ok(())
}

fn json(answer: &[u8]) -> Result<Value> {
    serde_json::from_slice(answer).context("the server's answer is not JSON")
}

fn print_notifiers(answer: &Value) {
    let empty = Vec::new();
    let notifiers = answer["notifiers"].as_array().unwrap_or(&empty);
    if notifiers.is_empty() {
        say!("nobody is told of alerts: see the settings alerts.notifiers and alerts.webhook_url");
        return;
    }
    const COLUMNS: [&str; 8] = [
        "name", "kind", "sent", "waiting", "silenced", "failed", "dropped", "trouble",
    ];
    let mut table = comfy_table::Table::new();
    table
        .load_preset(comfy_table::presets::NOTHING)
        .set_header(COLUMNS);
    for of in notifiers {
        table.add_row(COLUMNS.map(|column| shown(&of[column])));
    }
    say!("{table}");
    for lost in answer["lost"].as_array().unwrap_or(&empty).iter().take(10) {
        say!(
            "given up by {}: alert {}: {}",
            text(&lost["notifier"]),
            text(&lost["alert_id"]),
            text(&lost["reason"])
        );
    }
}

fn print_silences(answer: &Value) {
    let empty = Vec::new();
    let silences = answer.as_array().unwrap_or(&empty);
    if silences.is_empty() {
        say!("nothing is silenced");
        return;
    }
    let mut table = comfy_table::Table::new();
    table
        .load_preset(comfy_table::presets::NOTHING)
        .set_header(["id", "state", "matchers", "from", "until", "by", "why"]);
    for of in silences {
        table.add_row([
            shown(&of["id"]),
            shown(&of["state"]),
            words(&of["matchers"]),
            minute(&of["from"]),
            minute(&of["until"]),
            shown(&of["by"]),
            shown(&of["why"]),
        ]);
    }
    say!("{table}");
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn words(value: &Value) -> String {
    let words = value.as_array().into_iter().flatten().map(text);
    words.collect::<Vec<_>>().join(" ")
}

fn minute(value: &Value) -> String {
    let at = chrono::DateTime::parse_from_rfc3339(text(value));
    at.map_or_else(
        |_| text(value).to_owned(),
        |at| at.format("%Y-%m-%d %H:%M UTC").to_string(),
    )
}
