//! Control from another process: a copy of the view, kept by long polling.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::memory::Memory;
use super::{Decision, Error, Governor, Obeyed, Order, View};

/// After a change: those that come at once are told together.
const BREATH: Duration = Duration::from_millis(2);
/// After a failure, and twice as long after each next one.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How a [`Remote`] keeps in touch.
#[derive(Debug, Clone)]
pub struct RemoteConfig {
    /// How long the control plane may be silent before the view counts as stale.
    pub stale_after: Duration,
    /// How long one request may take, the long poll's own waiting not counted.
    pub timeout: Duration,
    /// Sent as `Authorization: Bearer ...`, when keys are configured.
    pub key: Option<String>,
}

impl Default for RemoteConfig {
    fn default() -> Self {
        Self {
            stale_after: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            key: None,
        }
    }
}

/// A control plane in another process.
///
/// When it can't be reached the last state stays in force, whatever happens: frozen stays frozen.
/// After [`RemoteConfig::stale_after`] it says [`is_stale`](Governor::is_stale). It reconnects by
/// itself.
///
/// A control plane with an earlier epoch or another id (a restored or a new file) has lost its memory:
/// its orders hold, and what held before holds as well. To lift what it has forgotten, freeze that very
/// scope there and release it, or bring the old file back.
#[derive(Debug)]
pub struct Remote {
    line: Line,
    view: watch::Receiver<Arc<View>>,
    stale: Arc<AtomicBool>,
    poller: JoinHandle<()>,
}

impl Remote {
    /// Fetches the view, and keeps it from then on.
    ///
    /// # Errors
    /// When `base_url` (such as `http://127.0.0.1:8080`) does not answer with a view: without a
    /// first view nobody knows what is frozen.
    pub async fn connect(base_url: &str) -> Result<Arc<Self>, Error> {
        Self::connect_with(base_url, RemoteConfig::default()).await
    }

    /// The same, configured.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_with(base_url: &str, config: RemoteConfig) -> Result<Arc<Self>, Error> {
        let line = Line::new(base_url, &config)?;
        let first = line.watch(None, Duration::ZERO).await?;
        let (publish, view) = watch::channel(Arc::new(first.clone()));
        let stale = Arc::new(AtomicBool::new(false));
        let poller = tokio::spawn(poll(
            line.clone(),
            Memory::new(first),
            publish,
            Arc::clone(&stale),
            config.stale_after,
        ));
        Ok(Arc::new(Self {
            line,
            view,
            stale,
            poller,
        }))
    }

    /// Gives an order over there.
    ///
    /// # Errors
    /// When it is refused or can't be delivered.
    pub async fn order(&self, order: &Order) -> Result<Decision, Error> {
        self.line.order(order).await
    }
}

/// Gives one order to the control plane at `base_url`, without keeping in touch.
///
/// # Errors
/// When it is refused or can't be delivered.
pub async fn order(
    base_url: &str,
    order: &Order,
    config: &RemoteConfig,
) -> Result<Decision, Error> {
    Line::new(base_url, config)?.order(order).await
}

/// What is in force at `base_url` now.
///
/// # Errors
/// When it does not answer with a view.
pub async fn view(base_url: &str, config: &RemoteConfig) -> Result<View, Error> {
    Line::new(base_url, config)?
        .watch(None, Duration::ZERO)
        .await
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.poller.abort();
    }
}

#[async_trait::async_trait]
impl Governor for Remote {
    fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.borrow())
    }

    fn watch(&self) -> watch::Receiver<Arc<View>> {
        self.view.clone()
    }

    fn is_stale(&self) -> bool {
        self.stale.load(Ordering::Relaxed)
    }

    async fn obeyed(&self, obeyed: Obeyed) -> Result<(), Error> {
        self.line.post("obeyed", &obeyed).await.map(|_| ())
    }
}

async fn poll(
    line: Line,
    mut memory: Memory,
    publish: watch::Sender<Arc<View>>,
    stale: Arc<AtomicBool>,
    stale_after: Duration,
) {
    let wait = super::api::LONGEST_WATCH.min(stale_after / 2);
    let mut heard = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        match line.watch(Some(memory.told()), wait).await {
            Ok(view) => {
                heard = Instant::now();
                pause = FIRST_PAUSE;
                if stale.swap(false, Ordering::Relaxed) {
                    tracing::warn!(
                        url = line.base,
                        epoch = view.epoch,
                        "the control plane answers again"
                    );
                }
                if view == *memory.told() {
                    continue;
                }
                let forgot = memory.learn(view);
                publish.send_replace(Arc::new(memory.view()));
                if !forgot {
                    tokio::time::sleep(BREATH).await;
                    continue;
                }
                tracing::warn!(
                    url = line.base,
                    plane = memory.told().plane,
                    epoch = memory.told().epoch,
                    remembered = memory.remembered(),
                    "the control plane is another, or lost its memory; what held before holds as well, \
                     until its scope is frozen and released there"
                );
            }
            Err(error) => {
                tracing::debug!(%error, "the control plane does not answer");
                if heard.elapsed() >= stale_after && !stale.swap(true, Ordering::Relaxed) {
                    tracing::warn!(url = line.base, silent_for = ?heard.elapsed(), "the control plane is lost; the last state holds");
                }
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Requests to one control plane.
#[derive(Debug, Clone)]
struct Line {
    base: String,
    http: reqwest::Client,
    timeout: Duration,
    key: Option<String>,
}

impl Line {
    fn new(base_url: &str, config: &RemoteConfig) -> Result<Self, Error> {
        let base = base_url.trim_end_matches('/').to_owned();
        if !base.starts_with("http://") && !base.starts_with("https://") {
            return Err(Error::invalid(
                "control_url",
                base_url,
                "a URL such as http://127.0.0.1:8080",
            ));
        }
        // No proxy: a control plane is an address of one's own.
        let http = reqwest::Client::builder()
            .no_proxy()
            .tcp_nodelay(true)
            .build();
        let http = http.map_err(|error| Error::Unreachable {
            url: base.clone(),
            reason: error.to_string(),
        })?;
        Ok(Self {
            base,
            http,
            timeout: config.timeout,
            key: config.key.clone(),
        })
    }

    fn failed(&self, error: &reqwest::Error) -> Error {
        let mut reason = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(deeper) = cause {
            reason = format!("{reason}: {deeper}");
            cause = deeper.source();
        }
        Error::Unreachable {
            url: self.base.clone(),
            reason,
        }
    }

    async fn watch(&self, known: Option<&View>, wait: Duration) -> Result<View, Error> {
        let mut url = format!(
            "{}/api/v1/control/watch?wait_ms={}",
            self.base,
            wait.as_millis()
        );
        if let Some(View { epoch, plane, .. }) = known {
            url = format!("{url}&epoch={epoch}");
            // What would have to be escaped is not one of ours.
            if !plane.is_empty() && plane.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                url = format!("{url}&plane={plane}");
            }
        }
        let response = self
            .send(self.http.get(url).timeout(wait + self.timeout))
            .await?;
        response.json().await.map_err(|error| self.failed(&error))
    }

    async fn order(&self, order: &Order) -> Result<Decision, Error> {
        self.post("orders", order)
            .await?
            .json()
            .await
            .map_err(|error| self.failed(&error))
    }

    async fn post<T: serde::Serialize + Sync>(
        &self,
        what: &str,
        body: &T,
    ) -> Result<reqwest::Response, Error> {
        let url = format!("{}/api/v1/control/{what}", self.base);
        self.send(self.http.post(url).json(body).timeout(self.timeout))
            .await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response, Error> {
        let request = match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        };
        let response = request.send().await.map_err(|error| self.failed(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.text().await.unwrap_or_default();
        let message = serde_json::from_str::<serde_json::Value>(&body)
            .ok()
            .and_then(|value| value["error"]["message"].as_str().map(str::to_owned))
            .unwrap_or_else(|| body.chars().take(200).collect());
        Err(Error::Refused {
            url: self.base.clone(),
            status: status.as_u16(),
            message,
        })
    }
}
