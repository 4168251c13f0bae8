//! Keeps other web pages away from a server that trusts whoever can reach it.
//!
//! A browser sends its owner's requests wherever a page tells it to. Two things give such a page away:
//! `Origin` (and `Sec-Fetch-Site`), which it cannot forge, and, when it has its own name resolve to this
//! machine, the `Host` it believes to be talking to.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::refusal;

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Under which names this server may be reached. IP addresses and `localhost` always: no other page can
/// take them for its own name.
#[derive(Debug, Clone, Default)]
pub struct Hosts(Arc<[String]>);

impl Hosts {
    /// These names besides (without port), such as `flyball.example.com`.
    #[must_use]
    pub fn with(names: impl IntoIterator<Item = String>) -> Self {
        Self(
            names
                .into_iter()
                .map(|name| name.to_ascii_lowercase())
                .collect(),
        )
    }

    /// Whether a `Host` (or the authority of an origin) is one of ours, whatever its port.
    fn know(&self, authority: &str) -> bool {
        let name = without_port(authority).to_ascii_lowercase();
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        bare.parse::<IpAddr>().is_ok()
            || name == "localhost"
            || name.ends_with(".localhost")
            || self.0.contains(&name)
    }

    /// Refuses a request that came under a name that is not ours.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        match text(headers, &header::HOST) {
            Some(host) if !self.know(host) => Err(Refusal::UnknownHost(host.to_owned())),
            _ => Ok(()),
        }
    }
}

/// Middleware for every route that changes something: refuses (403) what another web page sent. Requests
/// that no browser sent (no `Origin`, no `Sec-Fetch-Site`) pass, and so do GET, HEAD and OPTIONS.
///
/// ```
/// use axum::{Router, middleware::from_fn_with_state, routing::post};
/// use flyball_dashboards::console::{Hosts, same_origin};
/// let routes: Router = Router::new()
///     .route("/api/v1/control/orders", post(|| async {}))
///     .layer(from_fn_with_state(Hosts::default(), same_origin));
/// ```
pub async fn same_origin(State(hosts): State<Hosts>, request: Request, next: Next) -> Response {
    let safe = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    if !safe
        && let Err(refusal) = judge(
            &hosts,
            request.headers(),
            request.uri().authority().map(|a| a.as_str()),
        )
    {
        return refusal.into_response();
    }
    next.run(request).await
}

fn judge(hosts: &Hosts, headers: &HeaderMap, authority: Option<&str>) -> Result<(), Refusal> {
    // A header that is not text is as good as a foreign one.
    let origin = headers
        .get(header::ORIGIN)
        .map(|value| value.to_str().unwrap_or("?"));
    let site = headers
        .get(FETCH_SITE)
        .map(|value| value.to_str().unwrap_or("?"));
    if origin.is_none() && site.is_none() {
        return Ok(());
    }
    if let Some(site) = site.filter(|site| !["same-origin", "none"].contains(site)) {
        return Err(Refusal::ForeignOrigin(origin.unwrap_or(site).to_owned()));
    }
    // HTTP/2 names the host in the request line.
    let host = text(headers, &header::HOST)
        .or(authority)
        .unwrap_or_default();
    if let Some(origin) = origin {
        let from = origin.split_once("://").map(|(_, authority)| authority);
        if !from.is_some_and(|from| from.eq_ignore_ascii_case(host)) {
            return Err(Refusal::ForeignOrigin(origin.to_owned()));
        }
    }
    if !hosts.know(host) {
        return Err(Refusal::UnknownHost(host.to_owned()));
    }
    Ok(())
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => authority,
    }
}

/// Why a request was refused.
#[derive(Debug)]
pub(super) enum Refusal {
    ForeignOrigin(String),
    UnknownHost(String),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (field, message) = match self {
            Self::ForeignOrigin(origin) => (
                "Origin",
                format!(
                    "Origin: {origin:?} is another site; accepted: this server's own pages, or no browser"
                ),
            ),
            Self::UnknownHost(host) => (
                "Host",
                format!(
                    "Host: {host:?} is not a name of this server; accepted: its IP address, localhost, or a configured name"
                ),
            ),
        };
        refusal(StatusCode::FORBIDDEN, Some(field), &message)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn verdict(headers: &[(&'static str, &str)]) -> Result<(), Refusal> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        judge(
            &Hosts::with(["Governor.example.com".to_owned()]),
            &map,
            None,
        )
    }

    #[test]
    fn what_no_browser_sent_passes() {
        assert!(verdict(&[("host", "anything.example")]).is_ok());
        assert!(verdict(&[]).is_ok());
    }

    #[test]
    fn own_pages_pass() {
        for (host, origin) in [
            ("127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("LOCALHOST:8080", "http://localhost:8080"),
            ("[::1]:8080", "http://[::1]:8080"),
            ("governor.example.com", "https://governor.example.com"),
        ] {
            let same = [
                ("host", host),
                ("origin", origin),
                ("sec-fetch-site", "same-origin"),
            ];
            assert!(verdict(&same).is_ok(), "{host} {origin}");
        }
    }

    #[test]
    fn other_pages_are_refused() {
        for (host, origin) in [
            ("127.0.0.1:8080", "http://evil.example"),
            ("127.0.0.1:8080", "http://127.0.0.1:3000"),
            ("127.0.0.1:8080", "http://127.0.0.1:8080.evil.example"),
            ("127.0.0.1:8080", "null"),
            ("127.0.0.1:8080", ""),
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("", "http://evil.example"),
        ] {
            assert!(
                matches!(
                    verdict(&[("host", host), ("origin", origin)]),
                    Err(Refusal::ForeignOrigin(_))
                ),
                "{origin}"
            );
        }
        for site in ["cross-site", "same-site", "?"] {
            assert!(
                verdict(&[("host", "localhost"), ("sec-fetch-site", site)]).is_err(),
                "{site}"
            );
        }
    }

    #[test]
    fn a_foreign_name_that_resolves_to_us_is_refused() {
        let rebound = [
            ("host", "evil.example:8080"),
            ("origin", "http://evil.example:8080"),
        ];
        assert!(matches!(verdict(&rebound), Err(Refusal::UnknownHost(_))));
    }
}
