//! Keeps other web pages away from a server that trusts whoever can reach it.
//!
//! A browser sends its owner's requests wherever a page tells it to. Two things give such a page away:
//! `Origin` (and `Sec-Fetch-Site`), which it cannot forge, and, when it has its own name resolve to this
//! machine, the `Host` it believes to be talking to.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
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

    /// Refuses a request that came under a name that is not ours. One without any name (HTTP/1.0) passes
    /// when no browser sent it.
    pub(super) fn check(&self, headers: &HeaderMap, uri: &Uri) -> Result<(), Refusal> {
        let hosts = hosts(headers, uri);
        if let Some(unknown) = hosts.iter().find(|host| !self.know(host)) {
            return Err(Refusal::UnknownHost((*unknown).to_owned()));
        }
        if hosts.is_empty() && (origin(headers).is_some() || site(headers).is_some()) {
            return Err(Refusal::UnknownHost(String::new()));
        }
        Ok(())
    }
}

/// Middleware for every route: refuses (403) what came under a name that is not ours, whatever the method,
/// since a page whose name was made to resolve to this machine may read all that it gets; and, except for
/// GET, HEAD and OPTIONS, what another web page sent. What no browser sent has no `Origin` and no
/// `Sec-Fetch-Site`, and only its name counts.
///
/// ```
/// use axum::{Router, middleware::from_fn_with_state, routing::post};
/// use flyball_dashboards::console::{Hosts, same_origin};
/// let routes: Router = Router::new()
///     .route("/api/v1/control/orders", post(|| async {}))
///     .layer(from_fn_with_state(Hosts::default(), same_origin));
/// ```
pub async fn same_origin(State(hosts): State<Hosts>, request: Request, next: Next) -> Response {
    match judge(&hosts, request.method(), request.headers(), request.uri()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

fn judge(hosts: &Hosts, method: &Method, headers: &HeaderMap, uri: &Uri) -> Result<(), Refusal> {
    if ![Method::GET, Method::HEAD, Method::OPTIONS].contains(method) {
        own_page(headers, uri)?;
    }
    hosts.check(headers, uri)
}

/// Refuses what a page of another origin sent.
fn own_page(headers: &HeaderMap, uri: &Uri) -> Result<(), Refusal> {
    let (origin, site) = (origin(headers), site(headers));
    if let Some(site) = site.filter(|site| !["same-origin", "none"].contains(site)) {
        return Err(Refusal::ForeignOrigin(origin.unwrap_or(site).to_owned()));
    }
    let host = hosts(headers, uri).first().copied().unwrap_or_default();
    if let Some(origin) = origin {
        let from = origin.split_once("://").map(|(_, authority)| authority);
        if !from.is_some_and(|from| from.eq_ignore_ascii_case(host)) {
            return Err(Refusal::ForeignOrigin(origin.to_owned()));
        }
    }
    Ok(())
}

/// The names a request came under: HTTP/2 has it in the request line.
fn hosts<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Vec<&'a str> {
    let named = headers.get_all(header::HOST).iter().map(text);
    named
        .chain(uri.authority().map(Authority::as_str))
        .collect()
}

fn origin(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::ORIGIN).map(text)
}

fn site(headers: &HeaderMap) -> Option<&str> {
    headers.get(FETCH_SITE).map(text)
}

/// A header that is not text is as good as a foreign one.
fn text(value: &HeaderValue) -> &str {
    value.to_str().unwrap_or("?")
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

    const METHODS: [Method; 4] = [Method::GET, Method::HEAD, Method::OPTIONS, Method::POST];

    fn verdict(headers: &[(&'static str, &str)]) -> Result<(), Refusal> {
        asked(&Method::POST, headers)
    }

    fn asked(method: &Method, headers: &[(&'static str, &str)]) -> Result<(), Refusal> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        let hosts = Hosts::with(["Governor.example.com".to_owned()]);
        judge(&hosts, method, &map, &Uri::from_static("/api/v1/control"))
    }

    #[test]
    fn what_no_browser_sent_passes_under_our_names_or_none() {
        for method in METHODS {
            for host in [
                "10.1.2.3:8080",
                "[::1]",
                "localhost",
                "governor.example.com:80",
            ] {
                assert!(asked(&method, &[("host", host)]).is_ok(), "{method} {host}");
            }
            // HTTP/1.0 need not say.
            assert!(asked(&method, &[]).is_ok(), "{method}");
        }
    }

    #[test]
    fn a_foreign_name_is_refused_whatever_the_method() {
        for method in METHODS {
            for host in [
                "evil.example",
                "evil.example:8080",
                "127.0.0.1.evil.example",
                "localhost.evil",
                "",
            ] {
                assert!(
                    matches!(
                        asked(&method, &[("host", host)]),
                        Err(Refusal::UnknownHost(_))
                    ),
                    "{method} {host:?}"
                );
            }
            let two = [("host", "localhost"), ("host", "evil.example")];
            assert!(asked(&method, &two).is_err(), "{method}");
            // A browser always says where it believes to be.
            for header in [
                ("origin", "http://evil.example"),
                ("sec-fetch-site", "same-origin"),
            ] {
                assert!(asked(&method, &[header]).is_err(), "{method} {header:?}");
            }
        }
        // As HTTP/2 and proxies put it.
        let line = Uri::from_static("http://evil.example:8080/metrics");
        assert!(judge(&Hosts::default(), &Method::GET, &HeaderMap::new(), &line).is_err());
    }

    #[test]
    fn reading_may_start_from_another_page() {
        // A link to the console: what comes is shown to the person, not to that page.
        let link = [("host", "127.0.0.1:8080"), ("sec-fetch-site", "cross-site")];
        assert!(asked(&Method::GET, &link).is_ok());
        assert!(verdict(&link).is_err());
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
