//! The webhook: a notice as JSON, posted to an address that the configuration names.
//!
//! Its queue is bounded and its worker waits for nobody: whoever notifies returns at once. Redirects are
//! not followed, since where they lead is not what was configured.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::{Client, StatusCode, Url, redirect};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::signature::{SIGNATURE_HEADER, TIMESTAMP_HEADER, sign};
use super::{Notice, Notifier};
use crate::guard::digest;
use crate::{Error, Result};

/// Where notices go, and how.
#[derive(Debug, Clone)]
pub struct WebhookConfig {
    /// Its name in rules.
    pub name: String,
    /// An `http://` or `https://` address.
    pub url: String,
    /// Signs what is sent, if given.
    pub secret: Option<String>,
    /// How often a delivery is tried in all, from 1.
    pub attempts: u32,
    /// Wait before the second attempt; it doubles from there on, up to a minute.
    pub backoff: Duration,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// Notices that may wait; what comes on top is dropped and counted.
    pub queue: usize,
}

impl WebhookConfig {
    /// Six attempts over half a minute, ten seconds each, a thousand notices waiting.
    #[must_use]
    pub fn new(name: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            url: url.into(),
            secret: None,
            attempts: 6,
            backoff: Duration::from_secs(1),
            timeout: Duration::from_secs(10),
            queue: 1_000,
        }
    }
}

/// What became of the notices so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Delivered {
    /// Accepted by the receiver.
    pub sent: u64,
    /// Given up after the last attempt, or refused for good.
    pub failed: u64,
    /// Never tried, since the queue was full.
    pub dropped: u64,
}

#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

/// A running webhook. Dropping it ends its worker once its queue is empty.
#[derive(Debug)]
pub struct Webhook {
    name: String,
    queue: mpsc::Sender<Arc<Notice>>,
    counts: Arc<Counts>,
}

impl Webhook {
    /// Starts it. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the address is not an http or https URL with a host, or carries a password.
    pub fn start(config: WebhookConfig) -> Result<Arc<Self>> {
        let url = address(&config)?;
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .timeout(config.timeout)
            .build()
            .map_err(|e| {
                refused(
                    &config,
                    "client",
                    &e.to_string(),
                    "accepted is a working TLS setup",
                )
            })?;
        let (queue, waiting) = mpsc::channel(config.queue.max(1));
        let counts = Arc::new(Counts::default());
        let name = config.name.clone();
        let worker = Worker {
            config,
            url,
            client,
            counts: Arc::clone(&counts),
        };
        tokio::spawn(worker.run(waiting));
        Ok(Arc::new(Self {
            name,
            queue,
            counts,
        }))
    }

    /// What became of the notices so far.
    #[must_use]
    pub fn delivered(&self) -> Delivered {
        Delivered {
            sent: self.counts.sent.load(Ordering::Relaxed),
            failed: self.counts.failed.load(Ordering::Relaxed),
            dropped: self.counts.dropped.load(Ordering::Relaxed),
        }
    }
}

impl Notifier for Webhook {
    fn name(&self) -> &str {
        &self.name
    }

    fn notify(&self, notice: Arc<Notice>) {
        match self.queue.try_send(notice) {
            Ok(()) => {}
            Err(TrySendError::Full(notice) | TrySendError::Closed(notice)) => {
                self.counts.dropped.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(
                    webhook = self.name,
                    alert = notice.alert_id,
                    "queue is full: notice dropped"
                );
            }
        }
    }
}

struct Worker {
    config: WebhookConfig,
    url: Url,
    client: Client,
    counts: Arc<Counts>,
}

enum Attempt {
    Sent,
    Later(String),
    Never(String),
}

impl Worker {
    async fn run(self, mut waiting: mpsc::Receiver<Arc<Notice>>) {
        // One after the other, so that a resolution never overtakes its alert.
        while let Some(notice) = waiting.recv().await {
            match self.deliver(&notice).await {
                Ok(()) => self.counts.sent.fetch_add(1, Ordering::Relaxed),
                Err(reason) => {
                    tracing::warn!(
                        webhook = self.config.name,
                        alert = notice.alert_id,
                        reason,
                        "notice not delivered"
                    );
                    self.counts.failed.fetch_add(1, Ordering::Relaxed)
                }
            };
        }
    }

    async fn deliver(&self, notice: &Notice) -> std::result::Result<(), String> {
        let body = serde_json::to_vec(notice).map_err(|e| e.to_string())?;
        let status = format!("{:?}", notice.status);
        let id = digest(&[&notice.alert_id, &status, &notice.at]);
        let mut wait = self.config.backoff;
        let mut tried = 1;
        loop {
            match self.attempt(&id, &body).await {
                Attempt::Sent => return Ok(()),
                Attempt::Never(reason) => return Err(reason),
                Attempt::Later(reason) if tried >= self.config.attempts => return Err(reason),
                Attempt::Later(reason) => {
                    tracing::debug!(webhook = self.config.name, reason, tried, "will try again");
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(60));
            tried += 1;
        }
    }

    async fn attempt(&self, id: &str, body: &[u8]) -> Attempt {
        let timestamp = chrono::Utc::now().timestamp().to_string();
        let mut request = self
            .client
            .post(self.url.clone())
            .header("content-type", "application/json")
            .header("x-flyball-delivery", id)
            .header(TIMESTAMP_HEADER, &timestamp)
            .body(body.to_vec());
        if let Some(secret) = &self.config.secret {
            let signature = sign(secret.as_bytes(), &timestamp, body);
            request = request.header(SIGNATURE_HEADER, format!("sha256={signature}"));
        }
        match request.send().await {
            // The address may carry a token: it stays out of our words.
            Err(e) => Attempt::Later(e.without_url().to_string()),
            Ok(response) => match response.status() {
                status if status.is_success() => Attempt::Sent,
                status @ (StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS) => {
                    Attempt::Later(format!("the receiver answers {status}"))
                }
                status if status.is_server_error() => {
                    Attempt::Later(format!("the receiver answers {status}"))
                }
                status => Attempt::Never(format!("the receiver answers {status}")),
            },
        }
    }
}

fn address(config: &WebhookConfig) -> Result<Url> {
    const ACCEPTED: &str =
        "accepted is an http:// or https:// URL with a host and without user or password";
    // A wrong address is not shown whole either: it may carry a password or a token.
    let shown = config.url.split('?').next().unwrap_or_default();
    let shown = shown.rsplit('@').next().unwrap_or_default();
    let url = Url::parse(&config.url).map_err(|_| refused(config, "url", shown, ACCEPTED))?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.host_str().is_some_and(|host| !host.is_empty())
        && url.username().is_empty()
        && url.password().is_none();
    if plain {
        Ok(url)
    } else {
        Err(refused(config, "url", shown, ACCEPTED))
    }
}

fn refused(
    config: &WebhookConfig,
    field: &'static str,
    value: &str,
    accepted: &'static str,
) -> Error {
    Error::Webhook {
        name: config.name.clone(),
        field,
        value: format!("{value:?}"),
        accepted,
    }
}
