//! Who is told of alerts: what the settings say, and the outbox that carries it to them.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use flyball_alerts::notify::{self, Channel, Kind, Options, Outbox, Secret, Webhook};
use flyball_alerts::ports::Clock;

use crate::config::Config;

/// The file, in the data directory. By its ending a backup knows how to copy it while it is in use.
const FILE: &str = "alerts-outbox.db";
/// The notifier that `alerts.webhook_url` is short for.
const WEBHOOK: &str = "webhook";

/// Opens the outbox, and goes on telling where it was left.
pub(crate) fn open(config: &Config) -> Result<Arc<Outbox>> {
    let path = config.store.data_dir.join(FILE);
    let (channels, options) = (channels(config)?, Options::default());
    Ok(Outbox::open(&path, channels, options, Clock::default())?)
}

fn channels(config: &Config) -> Result<Vec<Channel>> {
    let env = |name: &str| std::env::var(name).ok();
    let mut channels = match &config.notifiers {
        Some(path) => notify::load(path, &env)?,
        None => Vec::new(),
    };
    if let Some(url) = &config.webhook_url {
        if channels.iter().any(|channel| channel.name == WEBHOOK) {
            bail!("alerts.webhook_url: alerts.notifiers has a notifier called {WEBHOOK} already");
        }
        let secret = config.webhook_secret.as_deref().map(Secret::new);
        let webhook = Webhook::to(url, secret).context("alerts.webhook_url")?;
        channels.push(Channel::new(WEBHOOK, Kind::Webhook(webhook)));
    }
    Ok(channels)
}
