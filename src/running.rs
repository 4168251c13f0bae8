//! Finding a running server: it leaves its ports in the data directory, and takes them away when it ends. Beside them
//! lies a secret of that run, for its owner's eyes only: who can read it may do everything, with or without API keys.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};

/// The ports in use, as kept in `<data_dir>/ports.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Ports {
    /// This run of it: what `/healthz` says, so that a leftover file is not taken for another server's.
    pub(crate) instance: String,
    /// Process that serves.
    pub pid: u32,
    /// OTLP/gRPC.
    pub otlp_grpc: SocketAddr,
    /// OTLP/HTTP.
    pub otlp_http: SocketAddr,
    /// PostgreSQL wire.
    pub postgres: SocketAddr,
    /// Arrow Flight SQL.
    pub flight_sql: SocketAddr,
    /// Console and REST API.
    pub http: SocketAddr,
}

fn file(data_dir: &Path) -> PathBuf {
    data_dir.join("ports.json")
}

fn token_file(data_dir: &Path) -> PathBuf {
    data_dir.join("run.token")
}

/// Writes a new file that its owner alone can read, in place of the one before.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    // One that is there already may have been made by somebody else, with other permissions.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(text.as_bytes())
}

impl Ports {
    /// Leaves the ports, and the secret of this run, where other commands look.
    pub(crate) fn publish(&self, data_dir: &Path, secret: &str) -> Result<()> {
        let path = token_file(data_dir);
        write_private(&path, secret).with_context(|| format!("cannot write {}", path.display()))?;
        // Renamed into place, so that nobody reads half a file.
        let (path, draft) = (file(data_dir), data_dir.join("ports.json.new"));
        std::fs::write(&draft, serde_json::to_vec_pretty(self)?)
            .and_then(|()| std::fs::rename(&draft, &path))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Takes them away again.
    pub(crate) fn withdraw(data_dir: &Path) {
        // A leftover is harmless: `find` asks the port before it trusts the file.
        let _ = std::fs::remove_file(file(data_dir));
        let _ = std::fs::remove_file(token_file(data_dir));
    }
}

/// A running server's API.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    /// Where it listens.
    pub ports: Ports,
    client: reqwest::Client,
}

impl Server {
    /// The server that owns this data directory, when one answers.
    pub(crate) async fn find(data_dir: &Path) -> Option<Self> {
        let ports: Ports = serde_json::from_slice(&std::fs::read(file(data_dir)).ok()?).ok()?;
        let mut server = Self {
            ports,
            client: direct(None)?,
        };
        let health = server
            .client
            .get(server.url("/healthz"))
            .timeout(std::time::Duration::from_secs(2));
        let said = health.send().await.ok()?.text().await.ok()?;
        if said != health_of(&server.ports.instance) {
            return None;
        }
        // Only now that it is known for the server it should be. Who may not read the file is anybody.
        if let Ok(secret) = std::fs::read_to_string(token_file(data_dir)) {
            server.client = direct(Some(&secret))?;
        }
        Some(server)
    }

    /// The same, or an error that says how to start one.
    pub(crate) async fn need(data_dir: &Path) -> Result<Self> {
        Self::find(data_dir).await.with_context(|| {
            format!(
                "no server runs on {0}: start one with `flyball serve --data-dir {0}`",
                data_dir.display()
            )
        })
    }

    /// Address of a path of its API.
    #[must_use]
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", reachable(self.ports.http))
    }

    /// Sends a request and gives back the body, or the server's own words when it refuses.
    pub(crate) async fn send(
        &self,
        request: impl FnOnce(&reqwest::Client) -> reqwest::RequestBuilder,
    ) -> Result<bytes::Bytes> {
        Ok(whole(self.begin(request).await?).await?.1)
    }

    /// The same, with the body still to be read.
    pub(crate) async fn begin(
        &self,
        request: impl FnOnce(&reqwest::Client) -> reqwest::RequestBuilder,
    ) -> Result<reqwest::Response> {
        let sent = request(&self.client).send().await;
        let answer = sent.context("the server did not answer")?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let (status, body) = whole(answer).await?;
        bail!("{} ({status})", words(&body));
    }

    /// Sends a request and gives back status and body, whatever they are.
    pub(crate) async fn answer(
        &self,
        request: impl FnOnce(&reqwest::Client) -> reqwest::RequestBuilder,
    ) -> Result<(reqwest::StatusCode, bytes::Bytes)> {
        let sent = request(&self.client).send().await;
        whole(sent.context("the server did not answer")?).await
    }
}

/// Status and body, read to its end.
async fn whole(answer: reqwest::Response) -> Result<(reqwest::StatusCode, bytes::Bytes)> {
    let status = answer.status();
    let body = answer.bytes().await;
    Ok((status, body.context("the server's answer broke off")?))
}

/// What a refusal says: `{"error": "..."}`, `{"error": {"message": "..."}}`, or the body itself.
pub(crate) fn words(body: &[u8]) -> String {
    let json = serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default();
    let error = &json["error"];
    let said = error.as_str().or_else(|| error["message"].as_str());
    said.map_or_else(|| String::from_utf8_lossy(body).into_owned(), str::to_owned)
}

/// What a healthy server says of itself.
pub(crate) fn health_of(instance: &str) -> String {
    format!("ok {instance}\n")
}

/// Where a server on this machine is reached that listens there: on all addresses, it does so on loopback too.
fn reachable(address: SocketAddr) -> SocketAddr {
    let loopback = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other,
    };
    SocketAddr::new(loopback, address.port())
}

/// A client that asks no proxy: the server is on this machine, whatever the environment says of the others. It shows
/// the secret, if there is one, with every request.
fn direct(secret: Option<&str>) -> Option<reqwest::Client> {
    let mut headers = HeaderMap::new();
    if let Some(secret) = secret {
        let mut value = HeaderValue::try_from(format!("Bearer {secret}")).ok()?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    let client = reqwest::Client::builder().no_proxy();
    client.default_headers(headers).build().ok()
}
