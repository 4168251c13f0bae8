//! Who may use which route of the console and the REST API: one table, and whatever is not in it is nobody's.
//!
//! The key is looked at before the body is read, and again when it has arrived: a body that takes its time must not
//! outlive its key. Without any key configured everybody may do everything, and the server listens to this machine only.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use flyball_ingest::door::{Door, SENDERS};
use flyball_ingest::server::arrive;
use flyball_ingest::{Error, pipeline};
use flyball_runtime::control::api::Actor;
use flyball_store::Role;

/// Who may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    /// Whoever asks.
    Everybody,
    /// These roles.
    Roles(&'static [Role]),
}

use Role::{Admin, Ingest, Operate, Read};
use Who::{Everybody, Roles};

/// Who may ask, on whichever port.
pub(crate) const ASKERS: &[Role] = &[Read, Operate, Admin];
/// Who look on.
const READERS: Who = Roles(ASKERS);
/// Agents follow what control has in force; people look at it.
const FOLLOWERS: Who = Roles(&[Ingest, Read, Operate, Admin]);
/// Who say what they have done.
const AGENTS: Who = Roles(SENDERS);
/// Who stop agents, and let them go on.
const OPERATORS: Who = Roles(&[Operate, Admin]);
/// Who change what is kept, and who may come in.
const ADMINS: Who = Roles(&[Admin]);

/// Bytes of a body, but for recorded requests.
const BODY_BYTES_MAX: usize = 2 << 20;
/// Bytes of a recorded request, decompressed.
pub(crate) const IMPORT_BYTES_MAX: usize = 256 << 20;
const IMPORT: &str = "/api/v1/import";

/// Method, route, who. A route for GET is one for HEAD too.
#[rustfmt::skip]
const ROUTES: &[(Method, &str, Who)] = &[
    // Says whether it lives, and nothing else.
    (Method::GET,  "/healthz",                  Everybody),
    (Method::GET,  "/readyz",                   Everybody),
    // Says what there is to ask for, and no figure.
    (Method::GET,  "/api/v1/openapi.json",      Everybody),
    // The page itself holds no figures: it asks for a key.
    (Method::GET,  "/",                         Everybody),
    (Method::GET,  "/console/console.css",      Everybody),
    (Method::GET,  "/console/words.js",         Everybody),
    (Method::GET,  "/console/keys.js",          Everybody),
    (Method::GET,  "/console/orders.js",        Everybody),
    (Method::GET,  "/console/console.js",       Everybody),
    (Method::GET,  "/console/icon.svg",         Everybody),

    (Method::GET,  "/metrics",                  READERS),
    (Method::POST, "/api/v1/query",             READERS),
    (Method::GET,  "/api/v1/fleet",             READERS),
    (Method::GET,  "/api/v1/alerts/status",     READERS),
    (Method::GET,  "/api/v1/alerts/notifiers",  READERS),
    (Method::GET,  "/api/v1/alerts/silences",   READERS),
    (Method::GET,  "/api/v1/storage",           READERS),

    (Method::GET,  "/api/v1/control",           FOLLOWERS),
    (Method::GET,  "/api/v1/control/watch",     FOLLOWERS),
    (Method::POST, "/api/v1/control/obeyed",    AGENTS),
    (Method::POST, "/api/v1/control/orders",    OPERATORS),
    // A person who is not told stops nothing.
    (Method::POST, "/api/v1/alerts/silences",   OPERATORS),
    (Method::POST, "/api/v1/alerts/unsilence",  OPERATORS),
    (Method::POST, "/api/v1/alerts/promote",    OPERATORS),
    (Method::POST, "/api/v1/alerts/false-alarm", OPERATORS),

    (Method::POST, IMPORT,                      AGENTS),

    (Method::POST, "/api/v1/storage/compact",   ADMINS),
    (Method::POST, "/api/v1/erase",             ADMINS),
    (Method::GET,  "/api/v1/backup",            ADMINS),
    (Method::POST, "/api/v1/backup",            ADMINS),
    (Method::POST, "/api/v1/ledger/rotate-key", ADMINS),
    (Method::POST, "/api/v1/ledger/forget",     ADMINS),
    (Method::GET,  "/api/v1/keys",              ADMINS),
    (Method::POST, "/api/v1/keys",              ADMINS),
    (Method::POST, "/api/v1/keys/revoke",       ADMINS),
];

/// Every route but those of the console's page, and the roles that may use it; None for whoever asks.
pub(crate) fn api() -> impl Iterator<Item = (&'static Method, &'static str, Option<&'static [Role]>)>
{
    let page = |path: &str| path == "/" || path.starts_with("/console/");
    let api = ROUTES.iter().filter(move |(_, path, _)| !page(path));
    api.map(|(method, path, who)| {
        let roles = match who {
            Everybody => None,
            Roles(roles) => Some(*roles),
        };
        (method, *path, roles)
    })
}

/// Who may use a route; nobody, when the table does not know it.
fn who(method: &Method, route: Option<&str>) -> Who {
    let covers = |of: &Method| of == method || (of == Method::GET && method == Method::HEAD);
    let found = ROUTES
        .iter()
        .find(|(of, path, _)| covers(of) && Some(*path) == route);
    found.map_or(Roles(&[]), |(_, _, who)| *who)
}

/// What it takes to judge a request.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    pub(crate) door: Arc<Door>,
    /// Has the room that bodies under way share.
    pub(crate) ingest: Arc<pipeline::Ingest>,
}

/// Middleware for every route: lets in whom the table lets in, waits for the body, and tells the handler who that is (a
/// [`Caller`](flyball_ingest::door::Caller), and an [`Actor`] where it has a key, as extensions).
pub(crate) async fn guard(
    State(Guard { door, ingest }): State<Guard>,
    request: Request,
    next: Next,
) -> Response {
    // What axum has matched is what it will call: no two readings of a path can differ.
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map(MatchedPath::as_str);
    let limit = match route {
        Some(IMPORT) => IMPORT_BYTES_MAX,
        _ => BODY_BYTES_MAX,
    };
    let caller = match who(request.method(), route) {
        Everybody => None,
        Roles(roles) => match door.admit(request.headers(), roles) {
            Ok(caller) => Some(caller),
            Err(error) => return refused(&error),
        },
    };
    let (mut parts, body) = request.into_parts();
    let arrived = match arrive(body, limit, &ingest).await {
        Ok(arrived) => arrived,
        Err(error) => return refused(&error),
    };
    if let Some(caller) = caller {
        if let Err(error) = door.still_admits(&caller) {
            return refused(&error);
        }
        if let Some(actor) = caller.actor() {
            parts.extensions.insert(Actor(actor));
        }
        parts.extensions.insert(caller);
    }
    let body = Body::from(arrived.bytes.clone());
    next.run(Request::from_parts(parts, body)).await
}

/// A refusal, as this port tells it.
fn refused(error: &Error) -> Response {
    let status = match error {
        Error::Unauthenticated { .. } => StatusCode::UNAUTHORIZED,
        Error::TooFast { .. } | Error::Store(_) => StatusCode::TOO_MANY_REQUESTS,
        Error::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Error::BodyCut { .. } => StatusCode::REQUEST_TIMEOUT,
        _ => StatusCode::FORBIDDEN,
    };
    let field = match error {
        Error::TooLarge { .. } | Error::BodyCut { .. } | Error::Store(_) => "body",
        _ => "key",
    };
    let body = serde_json::json!({ "error": { "field": field, "message": error.to_string() } });
    let mut response = (status, axum::Json(body)).into_response();
    let headers = response.headers_mut();
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(delay) = error.retry_after() {
        // Rounded up, so that nobody comes back too early.
        let seconds = delay.as_nanos().div_ceil(1_000_000_000) as u64;
        headers.insert(RETRY_AFTER, seconds.into());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_route_stands_once_and_what_stands_nowhere_is_nobodys() {
        for (at, (method, path, of)) in ROUTES.iter().enumerate() {
            assert_eq!(who(method, Some(path)), *of, "{method} {path}");
            let again = ROUTES.iter().skip(at + 1);
            assert!(
                again.clone().all(|(m, p, _)| (m, p) != (method, path)),
                "{method} {path} twice"
            );
        }
        for (method, path) in [
            (Method::GET, None),
            (Method::GET, Some("/api/v1/unknown")),
            (Method::DELETE, Some("/api/v1/keys")),
            (Method::GET, Some("/api/v1/query")),
            (Method::OPTIONS, Some("/healthz")),
            (Method::GET, Some("/healthz/")),
        ] {
            assert_eq!(who(&method, path), Roles(&[]), "{method} {path:?}");
        }
        assert_eq!(who(&Method::HEAD, Some("/metrics")), READERS);
    }

    #[test]
    fn a_key_for_sending_reads_nothing_and_one_for_reading_changes_nothing() {
        let may = |role, method: &Method, path| match who(method, Some(path)) {
            Everybody => true,
            Roles(roles) => roles.contains(&role),
        };
        for (method, path, who) in ROUTES {
            assert!(may(Admin, method, path), "an admin may do all: {path}");
            if *who != Everybody {
                let reads = method == Method::GET || *path == "/api/v1/query";
                assert!(reads || !may(Read, method, path), "{method} {path}");
                let control = path.starts_with("/api/v1/control");
                assert!(control || !may(Ingest, method, path) || *path == "/api/v1/import");
                assert!(!may(Read, method, path) || may(Operate, method, path));
            }
        }
        assert!(!may(Ingest, &Method::POST, "/api/v1/control/orders"));
        assert!(!may(Operate, &Method::POST, "/api/v1/import"));
    }
}
