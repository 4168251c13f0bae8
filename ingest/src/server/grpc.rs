//! OTLP/gRPC: `Export` of `TraceService`, `LogsService` and `MetricsService`.
//!
//! The service takes the request's bytes and not a decoded message, since the log keeps the bytes. So it
//! opens the (single) frame itself, which also lets every refusal be OTLP's: a library that decodes on its
//! own says `OUT_OF_RANGE` for a request that is too large, and OTLP exporters try that again for ever.

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::{MethodRouter, post};
use bytes::{BufMut, Bytes};
use flyball_listen::Terms;
use flyball_store::{Encoding, Origin, Signal};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use prost::Message;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tonic::Status;
use tonic::codec::{EncodeBody, EncodeBuf, Encoder, SingleMessageCompressionOverride};
use tonic::service::Routes;
use tonic::transport::Server;

use super::status::Refusal;
use super::{BODY_TIMEOUT, with_promise};
use crate::door::SENDERS;
use crate::error::{Error, Result};
use crate::otlp::Compression;
use crate::pipeline::{Accepted, DEFAULT_WORKSPACE, Ingest, Sent};

/// Requests of one connection that are under way at once; further ones wait at the sender, which costs nobody a copy.
const STREAMS_MAX: u32 = 16;

const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
const METRICS: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

/// Serves OTLP/gRPC until `shutdown`, in TLS if an acceptor is given (its protocols are set here); requests under way are
/// then answered first.
///
/// # Errors
/// [`Error::Serve`] when the port fails.
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    ingest: Arc<Ingest>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let router = Router::new()
        .route(TRACES, export(Signal::Traces))
        .route(LOGS, export(Signal::Logs))
        .route(METRICS, export(Signal::Metrics))
        .fallback(async |request: Request| {
            status(Status::unimplemented(format!(
                "no method {}",
                request.uri().path()
            )))
        })
        .with_state(ingest);
    // Dropped with this future, and every connection with it.
    let (_open, incoming) = flyball_listen::open::<()>(listener, Terms::http2(tls));
    Server::builder()
        .http2_keepalive_interval(Some(BODY_TIMEOUT))
        .max_concurrent_streams(Some(STREAMS_MAX))
        .add_routes(Routes::from(router))
        .serve_with_incoming_shutdown(incoming, shutdown)
        .await
        .map_err(|e| Error::Serve {
            protocol: "OTLP/gRPC",
            reason: e.to_string(),
        })
}

fn export(signal: Signal) -> MethodRouter<Arc<Ingest>> {
    post(
        async move |State(ingest): State<Arc<Ingest>>, request: Request| {
            answer(&ingest, signal, request).await
        },
    )
}

async fn answer(ingest: &Ingest, signal: Signal, request: Request) -> Response {
    if !text(request.headers(), CONTENT_TYPE.as_str())
        .is_some_and(|kind| kind.starts_with("application/grpc"))
    {
        // gRPC's own rule for a client that does not speak it.
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return response;
    }
    match accept(ingest, signal, request).await {
        Ok(accepted) => {
            let answer = message(export_response(&accepted).encode_to_vec().into());
            with_promise(answer, ingest.promise())
        }
        Err(error) => refuse(&error),
    }
}

async fn accept(ingest: &Ingest, signal: Signal, request: Request) -> Result<Accepted> {
    let (parts, body) = request.into_parts();
    let caller = ingest.door().admit(&parts.headers, SENDERS)?;
    let compression = Compression::of_header(text(&parts.headers, "grpc-encoding"))?;
    let limit = ingest.limits().body_bytes;
    ingest.has_room()?;
    // Held until the request is answered.
    let mut room = ingest.in_flight();
    let framed = super::read_body(body, FRAME_HEADER, limit, compression, &mut room).await?;
    let (compressed, payload) = unframe(framed)?;
    let compression = match (compressed, compression) {
        (false, _) => Compression::Identity,
        (true, Compression::Identity) => {
            return Err(Error::BadFrame {
                reason: "the message is marked as compressed, but there is no grpc-encoding header"
                    .to_owned(),
            });
        }
        (true, compression) => compression,
    };
    ingest
        .take_in_from(
            &caller,
            payload,
            compression,
            Sent {
                signal,
                encoding: Encoding::Protobuf,
            },
            Origin::Live,
            DEFAULT_WORKSPACE,
        )
        .await
}

/// A flag byte and a length of four.
const FRAME_HEADER: usize = 5;

/// Takes the one message out of its frame: whether it is compressed, and its bytes.
fn unframe(mut framed: Bytes) -> Result<(bool, Bytes)> {
    let bad = |reason: String| Error::BadFrame { reason };
    let Some(&[flag, a, b, c, d]) = framed.first_chunk::<FRAME_HEADER>() else {
        return Err(bad(format!(
            "{} bytes, where a frame has at least {FRAME_HEADER}",
            framed.len()
        )));
    };
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    let payload = framed.split_off(FRAME_HEADER);
    if flag > 1 {
        return Err(bad(format!(
            "compression flag {flag}, where 0 or 1 is meant"
        )));
    }
    if payload.len() != length {
        return Err(bad(format!(
            "it announces a message of {length} bytes and {} follow; Export takes exactly one",
            payload.len()
        )));
    }
    Ok((flag == 1, payload))
}

/// The protocol's answer; `partial_success` stays unset when there is nothing to say. The answers of the three
/// services have the same fields, so this one speaks for all.
pub(super) fn export_response(accepted: &Accepted) -> ExportTraceServiceResponse {
    ExportTraceServiceResponse {
        partial_success: (accepted.rejected > 0).then(|| ExportTracePartialSuccess {
            rejected_spans: i64::try_from(accepted.rejected).unwrap_or(i64::MAX),
            error_message: accepted.message.clone(),
        }),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    // Bytes that are no text name no encoding either: they come out as one that is not supported.
    headers
        .get(name)
        .map(|value| value.to_str().unwrap_or("(not text)"))
}

fn message(message: Bytes) -> Response {
    let once = tokio_stream::once(Ok::<_, Status>(message));
    let body = EncodeBody::new_server(
        Raw,
        once,
        None,
        SingleMessageCompressionOverride::Disable,
        None,
    );
    let mut response = Response::new(Body::new(body));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

fn refuse(error: &Error) -> Response {
    let refusal = Refusal::from(error);
    let details = match refusal.retry_after {
        Some(_) => refusal.to_protobuf(),
        None => Bytes::new(),
    };
    let mut response = status(Status::with_details(refusal.code, refusal.message, details));
    if let Error::UnsupportedContentEncoding { .. } = error {
        response.headers_mut().insert(
            "grpc-accept-encoding",
            HeaderValue::from_static("identity,gzip,zstd"),
        );
    }
    response
}

fn status(status: Status) -> Response {
    status.into_http()
}

/// The answer is encoded already.
#[derive(Debug)]
struct Raw;

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(
        &mut self,
        item: Bytes,
        buffer: &mut EncodeBuf<'_>,
    ) -> std::result::Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}
