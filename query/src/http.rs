//! `POST /api/v1/query`: a statement in, rows out.
//!
//! The body is JSON `{"sql": "SELECT ...", "format": "json"}` when its content type says so, else the
//! SQL text itself. The format may also stand in the URL (`?format=json|csv|arrow|table`), which wins;
//! without one it is JSON: an array of row objects, decimals as strings. `?read=committed` reads only what Delta
//! versions hold, `?read=2026-11-22T09:00:00Z` or `?read=2h` what they held then or so long ago; the header
//! `flyball-versions` names the versions that were read. Errors are JSON
//! `{"error": "..."}`: 400 for what the sender can mend, 413 for a result of too many rows or bytes, 503 when
//! memory is short, 504 past the time limit, 500 for the rest.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde::Deserialize;

use crate::format::{self, Format};
use crate::{Answer, Engine, Error, Result};

/// The header that names the versions that were read.
pub const VERSIONS: HeaderName = HeaderName::from_static("flyball-versions");

/// The longest request that is read, bytes.
const REQUEST_MAX: usize = 1 << 20;

/// The route, to be merged into a larger router. Queries run on `workspace`.
pub fn router(engine: Arc<Engine>, workspace: &str) -> Router {
    let port = Port {
        engine,
        workspace: workspace.into(),
    };
    Router::new()
        .route("/api/v1/query", post(answer))
        .layer(DefaultBodyLimit::max(REQUEST_MAX))
        .with_state(port)
}

#[derive(Debug, Clone)]
struct Port {
    engine: Arc<Engine>,
    workspace: Arc<str>,
}

#[derive(Debug, Deserialize)]
struct InUrl {
    format: Option<String>,
    read: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct InBody {
    sql: String,
    format: Option<String>,
}

async fn answer(
    State(port): State<Port>,
    Query(url): Query<InUrl>,
    headers: HeaderMap,
    body: String,
) -> Response {
    match port.answer(url, &headers, body).await {
        Ok(answer) => answer,
        Err(error) => {
            let text = serde_json::json!({ "error": error.to_string() }).to_string();
            (status(&error), [(CONTENT_TYPE, "application/json")], text).into_response()
        }
    }
}

impl Port {
    async fn answer(&self, url: InUrl, headers: &HeaderMap, body: String) -> Result<Response> {
        let asked = read(headers, body)?;
        let format = match url.format.or(asked.format) {
            Some(name) => name.parse()?,
            None => Format::Json,
        };
        let moment = url.read.as_deref().unwrap_or("latest");
        let moment = moment.parse().map_err(Error::Moment)?;
        let session = self.engine.session(&self.workspace).at(moment);
        let limits = self.engine.config();
        let Answer { batches, versions } = session.answer(&asked.sql, limits.http_rows_max).await?;
        let mut text = Bounded::new(limits.result_bytes_max);
        let written = format::write(&batches, format, &mut text);
        let bytes = text.within().and_then(|bytes| written.map(|()| bytes))?;
        let headers = [
            (CONTENT_TYPE, format.media_type().to_owned()),
            (VERSIONS, versions),
        ];
        Ok((StatusCode::OK, headers, bytes).into_response())
    }
}

/// An answer being written, up to its limit: a value that is held once can be in many rows.
struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
    exceeded: bool,
}

impl Bounded {
    fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            limit,
            exceeded: false,
        }
    }

    fn within(self) -> Result<Vec<u8>> {
        if self.exceeded {
            return Err(Error::TooManyBytes { limit: self.limit });
        }
        Ok(self.bytes)
    }
}

impl std::io::Write for Bounded {
    fn write(&mut self, part: &[u8]) -> std::io::Result<usize> {
        if part.len() > self.limit - self.bytes.len() {
            self.exceeded = true;
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn read(headers: &HeaderMap, body: String) -> Result<InBody> {
    let json = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.trim_start().starts_with("application/json"));
    if !json {
        return Ok(InBody {
            sql: body,
            format: None,
        });
    }
    serde_json::from_str(&body).map_err(|error| Error::Request {
        message: format!(r#"{error}; the body is {{"sql": "SELECT ...", "format": "json"}}"#),
    })
}

fn status(error: &Error) -> StatusCode {
    match error {
        Error::ReadOnly { .. }
        | Error::Setting { .. }
        | Error::Statements { .. }
        | Error::Invalid(_)
        | Error::UnknownColumn { .. }
        | Error::Format { .. }
        | Error::Moment(_)
        | Error::Request { .. } => StatusCode::BAD_REQUEST,
        Error::TooManyRows { .. } | Error::TooManyBytes { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Error::Memory(_) => StatusCode::SERVICE_UNAVAILABLE,
        Error::Timeout { .. } => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
