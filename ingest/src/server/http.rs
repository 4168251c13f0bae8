//! OTLP/HTTP: `POST /v1/traces`, `/v1/logs` and `/v1/metrics`, protobuf or JSON.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, ORIGIN, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{MethodRouter, post};
use bytes::Bytes;
use flyball_listen::{Terms, http1};
use flyball_store::{Encoding, Origin, Signal};
use prost::Message;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tonic::Code;

use super::grpc::export_response;
use super::status::Refusal;
use super::with_promise;
use crate::door::SENDERS;
use crate::error::{Error, Result};
use crate::otlp::{self, Compression};
use crate::pipeline::{Accepted, DEFAULT_WORKSPACE, Ingest, Sent};

/// Serves OTLP/HTTP until `shutdown`, in TLS if an acceptor is given (its protocols are set here); requests under way are
/// then answered first.
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    ingest: Arc<Ingest>,
    shutdown: impl Future<Output = ()>,
) {
    let router = Router::new()
        .route("/v1/traces", export(Signal::Traces))
        .route("/v1/logs", export(Signal::Logs))
        .route("/v1/metrics", export(Signal::Metrics))
        .fallback(async |request: Request| {
            let refusal = Refusal {
                code: Code::Unimplemented,
                http: StatusCode::NOT_FOUND,
                message: format!(
                    "no such path: {} (there are /v1/traces, /v1/logs and /v1/metrics)",
                    request.uri().path()
                ),
                retry_after: None,
            };
            refused(&refusal, answer_in(request.headers()))
        })
        .method_not_allowed_fallback(async |request: Request| {
            let refusal = Refusal {
                code: Code::Unimplemented,
                http: StatusCode::METHOD_NOT_ALLOWED,
                message: format!("method {} is not allowed here: send POST", request.method()),
                retry_after: None,
            };
            refused(&refusal, answer_in(request.headers()))
        })
        .layer(from_fn_with_state(Arc::clone(&ingest), no_web_page))
        .with_state(ingest);
    // Dropped with this future, and every connection with it.
    let (_open, incoming) = flyball_listen::open(listener, Terms::http1(tls));
    http1::serve(incoming, router, http1::HEAD_MAX, shutdown).await;
}

/// Refuses what a web page sends by its reader's browser: no exporter has an `Origin`, and a page that has
/// its own name resolve to this machine is given away by the `Host` it believes to be talking to. Where a key is asked
/// for, no name matters: such a page has none.
async fn no_web_page(State(ingest): State<Arc<Ingest>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let host = headers.get(HOST).map(|host| host.to_str().unwrap_or("?"));
    let message = if headers.contains_key(ORIGIN) {
        "requests of web pages (with an Origin header) are not taken".to_owned()
    } else if let Some(host) = host.filter(|host| !may_be_ours(host))
        && !ingest.door().is_locked()
    {
        format!("host `{host}` is not this server's: send to an IP address or localhost")
    } else {
        return next.run(request).await;
    };
    let refusal = Refusal {
        code: Code::PermissionDenied,
        http: StatusCode::FORBIDDEN,
        message,
        retry_after: None,
    };
    refused(&refusal, answer_in(headers))
}

/// Whether no page of elsewhere can have this name: an IP address, `localhost`, and what no public name
/// server may answer for, names without a dot (containers call each other so) and those in `internal`.
fn may_be_ours(host: &str) -> bool {
    if host.parse::<SocketAddr>().is_ok() {
        return true;
    }
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.to_ascii_lowercase();
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    bare.parse::<IpAddr>().is_ok()
        || (!name.is_empty() && name.chars().all(plain))
        || name.ends_with(".localhost")
        || name.ends_with(".internal")
}

fn export(signal: Signal) -> MethodRouter<Arc<Ingest>> {
    post(
        async move |State(ingest): State<Arc<Ingest>>, request: Request| {
            let encoding = answer_in(request.headers());
            match accept(&ingest, signal, request).await {
                Ok(accepted) => {
                    with_promise(success(&accepted, signal, encoding), ingest.promise())
                }
                Err(error) => refuse(&error, encoding),
            }
        },
    )
}

async fn accept(ingest: &Ingest, signal: Signal, request: Request) -> Result<Accepted> {
    let (parts, body) = request.into_parts();
    let caller = ingest.door().admit(&parts.headers, SENDERS)?;
    let encoding = otlp::encoding_of(text(&parts.headers, &CONTENT_TYPE))?;
    let compression = Compression::of_header(text(&parts.headers, &CONTENT_ENCODING))?;
    let limit = ingest.limits().body_bytes;
    let announced =
        text(&parts.headers, &CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(Error::TooLarge {
            what: "the request body",
            limit,
        });
    }
    if let Err(full) = ingest.has_room() {
        // An answer that comes before the body has been sent is lost on many clients.
        super::let_pass(body, limit).await;
        return Err(full);
    }
    // Held until the request is answered.
    let mut room = ingest.in_flight();
    let body = super::read_body(body, 0, limit, compression, &mut room).await?;
    ingest
        .take_in_from(
            &caller,
            body,
            compression,
            Sent { signal, encoding },
            Origin::Live,
            DEFAULT_WORKSPACE,
        )
        .await
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    // Bytes that are no text name nothing we know either.
    headers
        .get(name)
        .map(|value| value.to_str().unwrap_or("(not text)"))
}

/// Answers come in the request's encoding; in JSON, which a person can read, when that is none of ours.
fn answer_in(headers: &HeaderMap) -> Encoding {
    otlp::encoding_of(text(headers, &CONTENT_TYPE)).unwrap_or(Encoding::Json)
}

fn success(accepted: &Accepted, signal: Signal, encoding: Encoding) -> Response {
    let body = match encoding {
        Encoding::Protobuf => export_response(accepted).encode_to_vec().into(),
        Encoding::Json if accepted.rejected == 0 => Bytes::from_static(b"{}"),
        // 64-bit integers are strings in protobuf's JSON.
        Encoding::Json => serde_json::json!({
            "partialSuccess": {
                rejected_of(signal): accepted.rejected.to_string(),
                "errorMessage": accepted.message,
            }
        })
        .to_string()
        .into(),
    };
    answer(StatusCode::OK, body, encoding)
}

/// The name of the count of what was not kept.
fn rejected_of(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "rejectedSpans",
        Signal::Logs => "rejectedLogRecords",
        Signal::Metrics => "rejectedDataPoints",
    }
}

fn refuse(error: &Error, encoding: Encoding) -> Response {
    refused(&Refusal::from(error), encoding)
}

fn refused(refusal: &Refusal, encoding: Encoding) -> Response {
    let body = match encoding {
        Encoding::Protobuf => refusal.to_protobuf(),
        Encoding::Json => refusal.to_json(),
    };
    let mut response = answer(refusal.http, body, encoding);
    if let Some(seconds) = refusal.retry_after_seconds() {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    if refusal.http == StatusCode::UNAUTHORIZED {
        let scheme = HeaderValue::from_static("Bearer");
        response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
    }
    response
}

fn answer(status: StatusCode, body: Bytes, encoding: Encoding) -> Response {
    let content_type = match encoding {
        Encoding::Protobuf => "application/x-protobuf",
        Encoding::Json => "application/json",
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
