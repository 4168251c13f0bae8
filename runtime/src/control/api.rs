//! Control over HTTP, for other processes, scripts and the console.
//!
//! | request | answer |
//! |---|---|
//! | `GET /api/v1/control` | the [`View`] |
//! | `GET /api/v1/control/watch?epoch=N[&plane=P][&wait_ms=M]` | the view, at once when its epoch is not N (or its plane not P), else when it changes or after M ms (25 s) |
//! | `POST /api/v1/control/orders` | an [`Order`](super::Order), or the short form `{"action":"freeze","agent":"triage","reason":"..."}`; answers the [`Decision`] |
//! | `POST /api/v1/control/obeyed` | an [`Obeyed`]; 204 |
//!
//! Who was let in with a key ([`Actor`]) orders in its name, whatever the order says.
//!
//! What the caller can mend is 400 (404 for an action unknown here), with
//! `{"error":{"field":..., "message":...}}`; what is ours is 500.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use super::{Control, Decision, Error, Obeyed, View, request};

/// The longest that a watch is held open.
pub const LONGEST_WATCH: Duration = Duration::from_secs(25);

/// Who orders, where whoever serves the routes knows: an extension of the request.
#[derive(Debug, Clone)]
pub struct Actor(
    /// As the ledger names it, such as `key:grafana`.
    pub String,
);

/// The routes, ready to be merged into a server's router.
pub fn router(control: Arc<Control>) -> axum::Router {
    axum::Router::new()
        .route("/api/v1/control", get(view))
        .route("/api/v1/control/watch", get(watch))
        .route("/api/v1/control/orders", post(order))
        .route("/api/v1/control/obeyed", post(obeyed))
        .with_state(control)
}

async fn view(State(control): State<Arc<Control>>) -> Json<View> {
    Json(View::clone(&control.view()))
}

async fn watch(
    State(control): State<Arc<Control>>,
    RawQuery(query): RawQuery,
) -> Result<Json<View>, Refusal> {
    let query = query.unwrap_or_default();
    let known = number(
        &query,
        "epoch",
        "the epoch of the view you hold, a whole number",
    )?;
    let plane = parameter(&query, "plane");
    let wait = number(&query, "wait_ms", "a whole number of milliseconds")?
        .map_or(LONGEST_WATCH, |ms| {
            Duration::from_millis(ms).min(LONGEST_WATCH)
        });
    let mut changes = control.watch();
    if let Some(known) = known {
        // Ends by itself with the control plane; then the last view is the answer.
        let differs = |view: &Arc<View>| {
            view.epoch != known || plane.is_some_and(|plane| view.plane != plane)
        };
        let _ = tokio::time::timeout(wait, changes.wait_for(differs)).await;
    }
    let view = View::clone(&changes.borrow());
    Ok(Json(view))
}

fn parameter<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query
        .split('&')
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

fn number(query: &str, name: &'static str, accepted: &str) -> Result<Option<u64>, Refusal> {
    parameter(query, name)
        .map(|value| {
            value
                .parse()
                .map_err(|_| Refusal(Error::invalid(name, value, accepted)))
        })
        .transpose()
}

async fn order(
    State(control): State<Arc<Control>>,
    actor: Option<Extension<Actor>>,
    body: Bytes,
) -> Result<Json<Decision>, Refusal> {
    let mut order = request::read_order(&body)?;
    if let Some(Extension(Actor(actor))) = actor {
        order.actor = actor;
    }
    Ok(Json(control.order(order).await?))
}

async fn obeyed(
    State(control): State<Arc<Control>>,
    actor: Option<Extension<Actor>>,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    let mut obeyed: Obeyed = serde_json::from_slice(&body).map_err(|error| {
        let accepted =
            format!("action_id, by (texts) and obeyed_at_unix_nano (a whole number) ({error})");
        Error::invalid("body", &String::from_utf8_lossy(&body), accepted)
    })?;
    // Any key that sends may say so: whose word it was belongs beside it.
    if let Some(Extension(Actor(actor))) = actor {
        obeyed.by = format!("{} ({actor})", obeyed.by);
    }
    control.obeyed(obeyed).await?;
    Ok(StatusCode::NO_CONTENT)
}

struct Refusal(Error);

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, field) = match &self.0 {
            Error::Invalid { field, .. } | Error::Missing { field, .. } => {
                (StatusCode::BAD_REQUEST, Some(field.clone()))
            }
            Error::UnknownAction { .. } => (StatusCode::NOT_FOUND, Some("action_id".to_owned())),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, None),
        };
        let message = self.0.to_string();
        (
            status,
            Json(serde_json::json!({ "error": { "field": field, "message": message } })),
        )
            .into_response()
    }
}
