//! Telling people: what a notice says, and how it reaches them.
//!
//! A notice goes from the engine into the [`Outbox`], which writes it down before anybody is told, on a thread of its
//! own: whoever notifies returns at once. Each notifier has a worker that takes what is due to it, puts it into the
//! form of its [`kind`](channel::Kind), sends it and notes what came of it. What is configured is a [`Channel`], read
//! from a [`file`](load). A [`Silence`] keeps people from being told; it stops nothing else.

mod channel;
mod email;
mod file;
mod forms;
mod http;
mod outbox;
mod secret;
mod signature;
mod silence;
mod worker;

pub use channel::{Channel, Group, GroupBy, Kind};
pub use email::{Cover, Email};
pub use file::{load, parse};
pub use forms::{Alertmanager, Otlp, PagerDuty, Slack, Webhook};
pub use outbox::{Figures, Lost, Options, Outbox, Standing};
pub use secret::Secret;
pub use signature::{SIGNATURE_HEADER, TIMESTAMP_HEADER, sign};
pub use silence::{Matcher, Silence, SilenceOrder};

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::guard::digest;
use crate::rule::Severity;

/// What a notice is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
    /// It is too much, but not for long enough yet. Nobody is told; it is only not over.
    Pending,
}

impl About {
    /// The word in what is sent.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
            Self::NoData => "no_data",
            Self::Error => "error",
            Self::ActionFailed => "action_failed",
            Self::Pending => "pending",
        }
    }
}

/// What was done, or why not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}: {}", self.action, self.target, self.outcome)
    }
}

/// A notice, as it is sent: one JSON object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// How bad.
    pub severity: Severity,
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

impl Notice {
    /// Tells this notice from every other, and stays the same however often it is sent.
    #[must_use]
    pub fn delivery_id(&self) -> String {
        digest(&[&self.alert_id, self.status.as_str(), &self.at])
    }

    /// Whether it says that something was done to somebody.
    fn acted(&self) -> bool {
        let ordered = |deed: &Deed| deed.action_id.is_some();
        self.action.as_ref().is_some_and(ordered)
    }
}

/// Passes notices on.
pub trait Notifier: Send + Sync + fmt::Debug {
    /// Its name in rules and configuration.
    fn name(&self) -> &str;
    /// Takes a notice for delivery. Must return at once: nothing that acts waits for it.
    fn notify(&self, notice: Arc<Notice>);
    /// Is told now and then of all alerts that stand: one it never heard of was lost on the way, and one that it
    /// takes for standing and is not among them is over. Must return at once.
    fn standing(&self, standing: Vec<Arc<Notice>>) {
        drop(standing);
    }
}

/// A notice as one notifier is told it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Telling {
    /// Stays the same over every try: receivers can drop doubles by it.
    pub(crate) delivery_id: String,
    pub(crate) notice: Notice,
    /// When the alert began, RFC 3339.
    pub(crate) since: String,
}
