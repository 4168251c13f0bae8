//! The routes that belong to no room: health, metrics, alert status, and the import of recorded requests.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Extension, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use flyball_alerts::Alerts;
use flyball_alerts::books::Histogram;
use flyball_alerts::notify::Outbox;
use flyball_ingest::Error;
use flyball_ingest::door::Caller;
use flyball_ingest::otlp::{Compression, Limits};
use flyball_ingest::pipeline::{Ingest, Sent};
use flyball_ingest::resolver::Asker;
use flyball_query::gauges::Gauges;
use flyball_store::{Encoding, Error as StoreError, Origin, Signal, Store};

use crate::access::IMPORT_BYTES_MAX;
use crate::commands::Answer;
use crate::core::WORKSPACE;
use crate::metrics;
use crate::running::health_of;

#[derive(Clone)]
struct Rooms {
    store: Arc<Store>,
    counts: Asker,
    ingest: Arc<Ingest>,
    alerts: Arc<Alerts>,
    outbox: Arc<Outbox>,
    gauges: Arc<Gauges>,
    obeyed: Arc<Histogram>,
}

/// `GET /healthz`, `/readyz`, `/metrics`, `/api/v1/alerts/status`, `/api/v1/storage`; `POST /api/v1/import`,
/// `/api/v1/storage/compact`, `/api/v1/erase`.
pub(crate) fn router(
    store: Arc<Store>,
    counts: Asker,
    ingest: Arc<Ingest>,
    (alerts, outbox, obeyed): (Arc<Alerts>, Arc<Outbox>, Arc<Histogram>),
    gauges: Arc<Gauges>,
    instance: &str,
) -> Router {
    let health = health_of(instance);
    Router::new()
        .route("/healthz", get(async move || health))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route(
            "/api/v1/alerts/status",
            get(async |State(rooms): State<Rooms>| axum::Json(rooms.alerts.status())),
        )
        .route(
            "/api/v1/import",
            post(import).layer(DefaultBodyLimit::max(IMPORT_BYTES_MAX)),
        )
        .route("/api/v1/storage", get(storage))
        .route("/api/v1/storage/compact", post(compact))
        .route("/api/v1/erase", post(erase))
        .with_state(Rooms {
            store,
            counts,
            ingest,
            alerts,
            outbox,
            gauges,
            obeyed,
        })
}

/// Ready while requests can be acknowledged.
async fn ready(State(rooms): State<Rooms>) -> Response {
    if rooms.store.stats().log_poisoned {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            "the log cannot be written\n",
        )
            .into_response();
    }
    "ready\n".into_response()
}

/// Which signal a recorded body is of.
#[derive(Debug, Clone, Copy, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SignalName {
    #[default]
    Traces,
    Logs,
    Metrics,
}

impl From<SignalName> for Signal {
    fn from(name: SignalName) -> Self {
        match name {
            SignalName::Traces => Self::Traces,
            SignalName::Logs => Self::Logs,
            SignalName::Metrics => Self::Metrics,
        }
    }
}

impl From<Signal> for SignalName {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Traces => Self::Traces,
            Signal::Logs => Self::Logs,
            Signal::Metrics => Self::Metrics,
        }
    }
}

/// What is asked for besides the body.
#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
pub(crate) struct What {
    #[serde(default)]
    pub(crate) signal: SignalName,
}

/// A recorded OTLP request, decompressed, as its body came; it may never cause an action.
async fn import(
    State(rooms): State<Rooms>,
    Extension(caller): Extension<Caller>,
    Query(what): Query<What>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let json = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    let encoding = if json {
        Encoding::Json
    } else {
        Encoding::Protobuf
    };
    // Recorded bodies may be larger than live ones.
    let ingest = Ingest::clone(&rooms.ingest).with_limits(Limits::of_body(IMPORT_BYTES_MAX));
    let sent = Sent {
        signal: what.signal.into(),
        encoding,
    };
    match ingest
        .take_in_from(
            &caller,
            body,
            Compression::Identity,
            sent,
            Origin::Import,
            WORKSPACE,
        )
        .await
    {
        Ok(accepted) => axum::Json(Answer::from(accepted)).into_response(),
        Err(error) => {
            let status = match &error {
                Error::Store(StoreError::Full { .. }) => StatusCode::TOO_MANY_REQUESTS,
                Error::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::BAD_REQUEST,
            };
            let text = serde_json::json!({ "error": error.to_string() });
            (status, axum::Json(text)).into_response()
        }
    }
}

/// What the tables take up.
async fn storage(State(rooms): State<Rooms>) -> Response {
    told(rooms.store.storage())
}

/// Runs maintenance until nothing is left to do, and says what that was.
async fn compact(State(rooms): State<Rooms>) -> Response {
    told(rooms.store.maintain().await)
}

/// Forgets a user, a session or a tenant. Open traces are settled first: the resolver's memory is not the store's.
async fn erase(
    State(rooms): State<Rooms>,
    Extension(caller): Extension<Caller>,
    axum::Json(order): axum::Json<crate::commands::Order>,
) -> Response {
    let by = caller.actor().unwrap_or_else(|| "api".to_owned());
    // It goes on when whoever asked goes away: what is half erased is not forgotten.
    let erased = tokio::spawn(erase_by(rooms, order, by)).await;
    erased.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

async fn erase_by(rooms: Rooms, order: crate::commands::Order, by: String) -> Response {
    if !order.dry_run
        && let Err(error) = rooms.counts.settle_all().await
    {
        let text = serde_json::json!({ "error": error.to_string() });
        return (StatusCode::SERVICE_UNAVAILABLE, axum::Json(text)).into_response();
    }
    let (subject, dry_run) = (order.subject(), order.dry_run);
    told(rooms.store.erase(WORKSPACE, &subject, &by, dry_run).await)
}

fn told<T: serde::Serialize>(outcome: flyball_store::Result<T>) -> Response {
    match outcome {
        Ok(told) => axum::Json(told).into_response(),
        Err(error) => {
            let text = serde_json::json!({ "error": error.to_string() });
            (StatusCode::SERVICE_UNAVAILABLE, axum::Json(text)).into_response()
        }
    }
}

/// Flyball's own health, in Prometheus' text format, and what was last known of the catalogue's metrics.
async fn metrics(State(rooms): State<Rooms>) -> Response {
    // A resolver that has stopped has no counts; that it stopped shows in the log and ends the server.
    let counts = rooms.counts.counts().await.unwrap_or_default();
    let mut text = metrics::text(&rooms.store.stats(), &counts);
    text.push_str(&metrics::durability(rooms.store.durability()));
    text.push_str(&metrics::keys(&rooms.ingest.door().counts()));
    text.push_str(&metrics::texts(rooms.ingest.policy()));
    text.push_str(&metrics::objects(&rooms.store.object_operations()));
    text.push_str(&metrics::notifiers(&rooms.outbox.figures()));
    text.push_str(&metrics::alerts(
        &rooms.alerts.books(),
        &rooms.obeyed.times(),
    ));
    text.push_str(&rooms.gauges.text());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}
