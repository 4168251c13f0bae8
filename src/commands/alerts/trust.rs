//! `flyball alerts list`, `promote`, `false-alarm`: what rules have shown, and what people make of it.

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::cli::StorageFormat;
use crate::commands::control::actor;
use crate::config::Config;
use crate::running::Server;
use crate::say::say;
use crate::trust_api::{Promotion, Wrong};

/// Prints every rule.
pub(super) async fn list(config: &Config, format: StorageFormat) -> Result<()> {
    let server = Server::need(&config.store.data_dir).await?;
    let url = server.url("/api/v1/alerts/status");
    let answer = server.send(|http| http.get(url)).await?;
    let status: Value =
        serde_json::from_slice(&answer).context("the server's answer is not JSON")?;
    let rules = status["rules"]
        .as_array()
        .context("no rules in the server's answer")?;
    if format == StorageFormat::Json {
        // The keys are what `status` is for.
        let rules = rules.iter().map(|rule| {
            let mut rule = rule.clone();
            if let Some(fields) = rule.as_object_mut() {
                fields.remove("keys");
            }
            rule
        });
        say!(
            "{}",
            serde_json::to_string_pretty(&rules.collect::<Vec<_>>())?
        );
        return Ok(());
    }
    let mut table = comfy_table::Table::new();
    table
        .load_preset(comfy_table::presets::NOTHING)
        .set_header([
            "rule",
            "mode",
            "from",
            "action",
            "would have acted",
            "right",
            "wrong",
            "false alarms",
            "for a promotion",
        ]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for rule in rules {
        let standing = &rule["standing"];
        let evidence = &standing["evidence"];
        let acts = verb(&rule["action"]) != "notify";
        let number = |name: &str| match acts {
            true => evidence[name].to_string(),
            false => "-".to_owned(),
        };
        let lacks = match (acts, text(&rule["mode"]).as_str()) {
            (true, "shadow") => standing["lacks"].as_str().unwrap_or("it has shown enough"),
            _ => "",
        };
        table.add_row([
            text(&rule["name"]),
            text(&rule["mode"]),
            text(&standing["origin"]),
            verb(&rule["action"]),
            number("actions"),
            number("right"),
            number("wrong"),
            number("false_alarms"),
            lacks.to_owned(),
        ]);
    }
    say!("{table}");
    Ok(())
}

/// Puts a rule in force; against its evidence, for this reason.
pub(super) async fn promote(config: &Config, rule: &str, anyway: Option<&str>) -> Result<()> {
    let wanted = Promotion {
        rule: rule.to_owned(),
        anyway: anyway.map(str::to_owned),
        actor: actor(),
    };
    let server = Server::need(&config.store.data_dir).await?;
    let url = server.url("/api/v1/alerts/promote");
    let answer = server.send(|http| http.post(url).json(&wanted)).await?;
    let standing: Value =
        serde_json::from_slice(&answer).context("the server's answer is not JSON")?;
    let evidence = &standing["evidence"];
    say!(
        "{rule} is in force: it would have acted {} times in shadow, {} right, {} wrong",
        evidence["actions"],
        evidence["right"],
        evidence["wrong"]
    );
    Ok(())
}

/// Says that an action was wrong.
pub(in crate::commands) async fn false_alarm(
    config: &Config,
    action_id: &str,
    reason: &str,
) -> Result<()> {
    let wrong = Wrong {
        action_id: action_id.to_owned(),
        reason: reason.to_owned(),
        actor: actor(),
    };
    let server = Server::need(&config.store.data_dir).await?;
    let url = server.url("/api/v1/alerts/false-alarm");
    let answer = server.send(|http| http.post(url).json(&wrong)).await?;
    let said: Value = serde_json::from_slice(&answer).context("the server's answer is not JSON")?;
    let rule = said["rule"].as_str().unwrap_or("?");
    say!("action {action_id} counts against rule {rule}");
    if let Some(why) = said["demoted"].as_str() {
        say!("{rule} is in shadow from now on: {why}");
    }
    Ok(())
}

/// The name of an action, with or without parameters.
fn verb(action: &Value) -> String {
    let named = action.as_object().and_then(|action| action.keys().next());
    let plain = action.as_str().or(named.map(String::as_str));
    plain.unwrap_or_default().to_owned()
}
