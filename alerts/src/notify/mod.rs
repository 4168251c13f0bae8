//! Telling people: what a notice says, and who passes it on.

mod signature;
mod webhook;

pub use signature::{SIGNATURE_HEADER, TIMESTAMP_HEADER, sign};
pub use webhook::{Delivered, Webhook, WebhookConfig};

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

/// What a notice is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum About {
    /// An alert began to fire.
    Firing,
    /// It is over.
    Resolved,
    /// The rule has nothing to judge by.
    NoData,
    /// The rule cannot be judged.
    Error,
    /// What was ordered could not be done.
    ActionFailed,
}

/// What was done, or why not.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Deed {
    /// throttle, degrade or freeze.
    pub action: String,
    /// About whom, such as `agent triage`.
    pub target: String,
    /// The action's id in `actions`, if something was ordered.
    pub action_id: Option<String>,
    /// In words: ordered, or why not.
    pub outcome: String,
}

/// A notice, as it is sent: one JSON object.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Notice {
    /// What it is about.
    pub status: About,
    /// The same from firing to resolved.
    pub alert_id: String,
    /// The rule.
    pub rule: String,
    /// What the rule is for.
    pub description: String,
    /// What it is about, such as `agent=triage`.
    pub key: String,
    /// info, warning or critical.
    pub severity: &'static str,
    /// The workspace.
    pub workspace: String,
    /// In words, with numbers.
    pub summary: String,
    /// The value that decided, as a decimal number.
    pub value: Option<String>,
    /// What it was held against, as a decimal number.
    pub threshold: String,
    /// When, RFC 3339.
    pub at: String,
    /// What was done about it.
    pub action: Option<Deed>,
    /// Numbers and spans.
    pub evidence: Option<serde_json::Value>,
}

/// Passes notices on.
pub trait Notifier: Send + Sync + fmt::Debug {
    /// Its name in rules and configuration.
    fn name(&self) -> &str;
    /// Takes a notice for delivery. Must return at once: nothing that acts waits for it.
    fn notify(&self, notice: Arc<Notice>);
}
