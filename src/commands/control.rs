//! `freeze`, `throttle`, `degrade`, `release`, `status`: a person's hand on the throttle.

use anyhow::{Context as _, Result};
use flyball_runtime::control::{InForce, View};
use serde_json::{Value, json};

use crate::cli::{Degrade, Release, ScopeArgs, Target, Throttle};
use crate::config::Config;
use crate::running::Server;

pub(super) async fn freeze(config: &Config, target: &Target) -> Result<()> {
    order(config, "freeze", target, json!({})).await
}

pub(super) async fn throttle(config: &Config, options: &Throttle) -> Result<()> {
    order(
        config,
        "throttle",
        &options.target,
        json!({ "calls_per_minute": options.calls_per_minute }),
    )
    .await
}

pub(super) async fn degrade(config: &Config, options: &Degrade) -> Result<()> {
    let how = json!({ "tier": options.tier, "read_only": options.read_only, "plan_depth": options.plan_depth });
    order(config, "degrade", &options.target, how).await
}

pub(super) async fn release(config: &Config, options: &Release) -> Result<()> {
    let target = &options.target;
    let mut wrong = Vec::new();
    if options.false_alarm {
        // What holds there can be told only before it is lifted.
        let (scope, name) = scope(&target.scope);
        let named = |entry: &&InForce| {
            entry.scope.name() == scope && (scope == "global" || name == entry.scope.target())
        };
        let view = view(&Server::need(&config.store.data_dir).await?).await?;
        let rules = view
            .entries
            .iter()
            .filter(named)
            .filter(|entry| entry.actor.starts_with("rule:"));
        wrong.extend(rules.map(|entry| entry.action_id.clone()));
    }
    order(config, "release", target, json!({})).await?;
    for action_id in wrong {
        super::alerts::false_alarm(config, &action_id, &target.reason).await?;
    }
    Ok(())
}

async fn order(config: &Config, action: &str, target: &Target, mut body: Value) -> Result<()> {
    let (scope, name) = scope(&target.scope);
    body["action"] = json!(action);
    body[scope] = name;
    body["reason"] = json!(target.reason);
    body["actor"] = json!(actor());
    let server = Server::need(&config.store.data_dir).await?;
    let answer = server
        .send(|http| http.post(server.url("/api/v1/control/orders")).json(&body))
        .await?;
    let decision: Value =
        serde_json::from_slice(&answer).context("the server's answer is not JSON")?;
    println!(
        "{action}: {scope} {} (action {})",
        body[scope],
        decision["action_id"].as_str().unwrap_or("?")
    );
    Ok(())
}

fn scope(args: &ScopeArgs) -> (&'static str, Value) {
    let named = [
        ("agent", &args.agent),
        ("tool", &args.tool),
        ("tenant", &args.tenant),
        ("execution", &args.execution),
    ];
    named
        .into_iter()
        .find_map(|(scope, name)| Some((scope, json!(name.as_ref()?))))
        .unwrap_or(("global", json!(true)))
}

/// Who types: the login name, as the ledger will show it.
pub(super) fn actor() -> String {
    format!(
        "cli:{}",
        std::env::var("USER").unwrap_or_else(|_| "unknown".to_owned())
    )
}

async fn view(server: &Server) -> Result<View> {
    let answer = server
        .send(|http| http.get(server.url("/api/v1/control")))
        .await?;
    serde_json::from_slice(&answer).context("the server's answer is not what is in force")
}

/// What is in force, most recent last.
pub(super) async fn status(config: &Config) -> Result<()> {
    let server = Server::need(&config.store.data_dir).await?;
    let view = view(&server).await?;
    if view.entries.is_empty() {
        println!("nothing is throttled, degraded or frozen");
        return Ok(());
    }
    let mut table = comfy_table::Table::new();
    table
        .load_preset(comfy_table::presets::NOTHING)
        .set_header(["scope", "target", "state", "since", "by", "reason"]);
    for entry in &view.entries {
        let scope = serde_json::to_value(&entry.scope)?;
        let state = serde_json::to_value(&entry.state)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let since = chrono::DateTime::from_timestamp_nanos(entry.decided_at_unix_nano);
        table.add_row([
            text(&scope["scope"]),
            text(&scope["target"]),
            text(&state["state"]),
            since.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
            entry.actor.clone(),
            entry.reason.clone(),
        ]);
    }
    println!("{table}");
    Ok(())
}
