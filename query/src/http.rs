//! `POST /api/v1/query`: a statement in, rows out, as they come.
//!
//! The body is JSON `{"sql": "SELECT ... WHERE agent_name = $1", "parameters": ["triage"], "format": "json"}` when its
//! content type says so, else the SQL text itself. Parameters are a list for `$1`, `$2`, ... or an object for `$name`.
//! The format may also stand in the URL (`?format=json|jsonl|csv|arrow|parquet|table`), which wins over the body's, which
//! wins over an `Accept` header; without any it is JSON: an array of row objects, decimals as strings. `?read=committed`
//! reads only what Delta versions hold, `?read=2026-11-22T09:00:00Z` or `?read=2h` what they held then or so long ago; the
//! header `flyball-versions` names the versions that were read.
//!
//! Errors are JSON `{"error": "..."}`: 400 for what the sender can mend, 413 for a result of too many rows or bytes, 503
//! when memory is short or too many statements run (then with `Retry-After`), 504 past the time limit, 500 for the rest. An
//! answer of up to a mebibyte is whole before its head is sent. Of a larger one the rows go out while later ones are still
//! being read, so an error behind that can only cut the connection: the answer has no last chunk, and the JSON, Arrow or
//! Parquet in it no end.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};

use crate::format::{Format, Writer};
use crate::parameters::Parameters;
use crate::session::Started;
use crate::{Config, Engine, Error, Result, Session};

/// The header that names the versions that were read.
pub const VERSIONS: HeaderName = HeaderName::from_static("flyball-versions");

/// The longest request that is read, bytes.
const REQUEST_MAX: usize = 1 << 20;
/// An answer up to this is whole before its head is sent, bytes: so its status is the last word on it.
const HEAD_BYTES: usize = 1 << 20;
/// Behind that, what is handed on at once, bytes.
const PART_BYTES: usize = 64 << 10;
/// Rows that are written before what is written is handed on.
const PART_ROWS: usize = 1024;

/// How long past its time limits a statement is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

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
    parameters: Option<Box<RawValue>>,
}

async fn answer(
    State(port): State<Port>,
    Query(url): Query<InUrl>,
    headers: HeaderMap,
    body: String,
) -> Response {
    match port.answer(url, &headers, body).await {
        Ok(answer) => answer,
        Err(error) => refused(&error),
    }
}

impl Port {
    async fn answer(&self, url: InUrl, headers: &HeaderMap, body: String) -> Result<Response> {
        let asked = read(headers, body)?;
        let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
        let format = match url.format.or(asked.format) {
            Some(name) => name.parse()?,
            None => accept.and_then(Format::accepted).unwrap_or(Format::Json),
        };
        let moment = url.read.as_deref().unwrap_or("latest");
        let moment = moment.parse().map_err(Error::Moment)?;
        let session = self.engine.session(&self.workspace).at(moment);
        let limits = self.engine.config().clone();
        let values = asked.parameters.as_deref().map(Parameters::read);
        let (sql, values) = (asked.sql, values.transpose()?.unwrap_or_default());
        // Rows are also written out there, which for much JSON takes longer than reading them.
        let work = move |head, parts| write(session, sql, values, format, limits, head, parts);
        let limit = self.engine.config().time_limit;
        // Planning and running have their own limits, but for threads that let nobody in between.
        let begun = self.engine.executor().pipe(work);
        let begun = tokio::time::timeout(2 * limit + PATIENCE, begun).await;
        let (head, rest) = begun.unwrap_or(Err(Error::Timeout { limit }))?;
        let Head {
            versions,
            first,
            whole,
        } = head;
        let body = if whole {
            Body::from(first)
        } else {
            let first = stream::iter([Ok::<_, Infallible>(first)]);
            let rest = rest.inspect_err(|error| {
                // Its words can hold what somebody asked for.
                tracing::info!(status = status(error).as_u16(), "an answer was cut");
            });
            Body::from_stream(first.map_err(|never| match never {}).chain(rest))
        };
        let headers = [
            (CONTENT_TYPE, format.media_type().to_owned()),
            (VERSIONS, versions),
        ];
        Ok((StatusCode::OK, headers, body).into_response())
    }
}

/// What is known before the answer begins, and how it begins.
struct Head {
    versions: String,
    first: Bytes,
    /// Whether that is all of it.
    whole: bool,
}

/// Runs a statement and writes its rows out, part by part.
async fn write(
    session: Session,
    sql: String,
    values: Parameters,
    format: Format,
    limits: Config,
    head: oneshot::Sender<Head>,
    parts: mpsc::Sender<Bytes>,
) -> Result<()> {
    let Started { mut rows, versions } = session.start_with(&sql, &values).await?;
    let mut writer = Writer::new(format, &rows.schema())?;
    let mut text = Bounded::new(limits.result_bytes_max);
    let mut waiting = Some((head, versions));
    let mut count = 0;
    while let Some(batch) = rows.next().await {
        let batch = batch.map_err(Error::from_stream)?;
        count += batch.num_rows();
        if count > limits.http_rows_max {
            return Err(Error::TooManyRows {
                limit: limits.http_rows_max,
            });
        }
        for from in (0..batch.num_rows()).step_by(PART_ROWS) {
            let part = batch.slice(from, PART_ROWS.min(batch.num_rows() - from));
            let written = writer.rows(&part, &mut text);
            text.within(written)?;
            let enough = match waiting {
                Some(_) => HEAD_BYTES,
                None => PART_BYTES,
            };
            if text.bytes.len() < enough {
                continue;
            }
            let written = text.take();
            let gone = match waiting.take() {
                Some((head, versions)) => head
                    .send(Head {
                        versions,
                        first: written,
                        whole: false,
                    })
                    .is_err(),
                None => parts.send(written).await.is_err(),
            };
            if gone {
                return Ok(());
            }
        }
    }
    let written = writer.end(&mut text);
    text.within(written)?;
    let written = text.take();
    // That nobody reads any more is no error.
    match waiting {
        Some((head, versions)) => {
            let _ = head.send(Head {
                versions,
                first: written,
                whole: true,
            });
        }
        None => {
            let _ = parts.send(written).await;
        }
    }
    Ok(())
}

/// What is written and not handed on yet; all of it together is limited, since a value that is held once can be in
/// many rows.
struct Bounded {
    bytes: Vec<u8>,
    /// Bytes that may still be written.
    left: usize,
    limit: usize,
    exceeded: bool,
}

impl Bounded {
    fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            left: limit,
            limit,
            exceeded: false,
        }
    }

    /// The outcome of writing, where the limit comes before whatever else is said.
    fn within(&self, written: Result<()>) -> Result<()> {
        if self.exceeded {
            return Err(Error::TooManyBytes { limit: self.limit });
        }
        written
    }

    fn take(&mut self) -> Bytes {
        std::mem::take(&mut self.bytes).into()
    }
}

impl std::io::Write for Bounded {
    fn write(&mut self, part: &[u8]) -> std::io::Result<usize> {
        if part.len() > self.left {
            self.exceeded = true;
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.left -= part.len();
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
            parameters: None,
        });
    }
    serde_json::from_str(&body).map_err(|error| Error::Request {
        message: format!(
            r#"{error}; the body is {{"sql": "SELECT ... $1", "parameters": ["value"], "format": "json"}}"#
        ),
    })
}

/// An error, as this port tells it.
fn refused(error: &Error) -> Response {
    let text = serde_json::json!({ "error": error.to_string() }).to_string();
    let mut answer = (status(error), [(CONTENT_TYPE, "application/json")], text).into_response();
    if let Error::Busy { retry_after, .. } = error {
        let seconds = HeaderValue::from(retry_after.as_secs());
        answer.headers_mut().insert(RETRY_AFTER, seconds);
    }
    answer
}

fn status(error: &Error) -> StatusCode {
    match error {
        Error::ReadOnly { .. }
        | Error::Setting { .. }
        | Error::Statements { .. }
        | Error::TooLong { .. }
        | Error::Invalid(_)
        | Error::UnknownColumn { .. }
        | Error::Format { .. }
        | Error::Moment(_)
        | Error::TooWide { .. }
        | Error::Parameter { .. }
        | Error::Parameters { .. }
        | Error::Request { .. } => StatusCode::BAD_REQUEST,
        Error::TooManyRows { .. } | Error::TooManyBytes { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Error::Memory(_) | Error::Busy { .. } => StatusCode::SERVICE_UNAVAILABLE,
        Error::Timeout { .. } => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
