//! The telling of alerts, for the command line and for operators: `GET /api/v1/alerts/notifiers` says how each notifier
//! stands, `GET /api/v1/alerts/silences` lists the silences, `POST` makes one of
//! `{"silence": {"matchers": ["rule=spend"], "until": "...", "why": "..."}, "actor": "cli:ada"}`, and
//! `POST /api/v1/alerts/unsilence` with `{"id": "...", "actor": "cli:ada"}` ends one.
//!
//! A silence is on the ledger before it mutes anything: nobody is kept from hearing without a trace.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use flyball_alerts::Error;
use flyball_alerts::notify::{Outbox, Silence, SilenceOrder};
use flyball_ingest::door::Caller;
use flyball_store::rows::{AuditRow, Micros};
use flyball_store::{OwnEvent, Store};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::core::WORKSPACE;

/// A silence that is to be, and who wants it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// What it is to be.
    pub(crate) silence: SilenceOrder,
    /// Who asks, where no key says it.
    #[serde(default)]
    pub(crate) actor: Option<String>,
}

/// A silence that is to end, and who wants that.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Unwanted {
    /// Its id.
    pub(crate) id: String,
    /// Who asks, where no key says it.
    #[serde(default)]
    pub(crate) actor: Option<String>,
}

#[derive(Debug, Clone)]
struct Room {
    outbox: Arc<Outbox>,
    store: Arc<Store>,
}

/// The routes.
pub(crate) fn router(outbox: Arc<Outbox>, store: Arc<Store>) -> Router {
    Router::new()
        .route("/api/v1/alerts/notifiers", get(notifiers))
        .route("/api/v1/alerts/silences", get(silences).post(silence))
        .route("/api/v1/alerts/unsilence", post(unsilence))
        .with_state(Room { outbox, store })
}

async fn notifiers(State(room): State<Room>) -> Response {
    let figures = room.outbox.figures();
    match room.outbox.lost().await {
        Ok(lost) => Json(json!({ "notifiers": figures, "lost": lost })).into_response(),
        Err(error) => refused(&error),
    }
}

async fn silences(State(room): State<Room>) -> Response {
    match room.outbox.silences().await {
        Ok(silences) => Json(silences).into_response(),
        Err(error) => refused(&error),
    }
}

async fn silence(
    State(room): State<Room>,
    Extension(caller): Extension<Caller>,
    Json(wanted): Json<Wanted>,
) -> Response {
    let by = actor(&caller, wanted.actor);
    let silence = match room.outbox.check_silence(&wanted.silence, &by) {
        Ok(silence) => silence,
        Err(error) => return refused(&error),
    };
    to_the_end(async move {
        if let Err(error) = room.enter("alerts.silenced", &silence, &by).await {
            return unkept(&error);
        }
        match room.outbox.silence(silence.clone()).await {
            Ok(()) => Json(silence).into_response(),
            Err(error) => refused(&error),
        }
    })
    .await
}

async fn unsilence(
    State(room): State<Room>,
    Extension(caller): Extension<Caller>,
    Json(unwanted): Json<Unwanted>,
) -> Response {
    let by = actor(&caller, unwanted.actor);
    to_the_end(async move {
        match room.outbox.unsilence(&unwanted.id).await {
            // That it mutes no more holds whatever becomes of the record.
            Ok(Some(silence)) => match room.enter("alerts.unsilenced", &silence, &by).await {
                Ok(()) => Json(silence).into_response(),
                Err(error) => unkept(&error),
            },
            Ok(None) => {
                let text = "there is no silence of this id in force or to come";
                (StatusCode::NOT_FOUND, Json(json!({ "error": text }))).into_response()
            }
            Err(error) => refused(&error),
        }
    })
    .await
}

impl Room {
    /// Enters a record on the ledger.
    async fn enter(&self, event: &str, silence: &Silence, by: &str) -> flyball_store::Result<()> {
        let record = json!({
            "matchers": silence.matchers, "from": silence.from, "until": silence.until, "why": silence.why,
        });
        let row = AuditRow {
            at: Micros(chrono::Utc::now().timestamp_micros()),
            event: event.to_owned(),
            actor: by.to_owned(),
            subject: format!("silence:{}", silence.id),
            record: record.to_string(),
            ..AuditRow::default()
        };
        let entered = self.store.record(WORKSPACE, OwnEvent::Audit(row)).await;
        entered.map(|_| ())
    }
}

/// The ledger has not taken it.
fn unkept(error: &flyball_store::Error) -> Response {
    let text = json!({ "error": error.to_string() });
    (StatusCode::SERVICE_UNAVAILABLE, Json(text)).into_response()
}

/// Who it is, for the ledger: a key says so itself; otherwise whoever asks is believed.
fn actor(caller: &Caller, said: Option<String>) -> String {
    let said = || said.unwrap_or_else(|| "api".to_owned());
    caller.actor().unwrap_or_else(said)
}

/// Goes on when whoever asked goes away: the ledger is told of what was done.
async fn to_the_end(work: impl Future<Output = Response> + Send + 'static) -> Response {
    let done = tokio::spawn(work).await;
    done.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

fn refused(error: &Error) -> Response {
    let status = match error {
        Error::Silence { .. } => StatusCode::BAD_REQUEST,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(json!({ "error": error.to_string() }))).into_response()
}
