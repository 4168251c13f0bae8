//! Trust in rules, over HTTP: `POST /api/v1/alerts/promote` with `{"rule": "spend", "anyway": "because ..."}` puts a rule
//! in force that is in shadow (against its evidence only with a reason, and only by an admin), `POST
//! /api/v1/alerts/false-alarm` with `{"action_id": "...", "reason": "..."}` says that an action was wrong. Both stand on the
//! ledger.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use flyball_alerts::{Alerts, Error};
use flyball_ingest::door::Caller;
use flyball_store::rows::{AuditRow, Date, Micros};
use flyball_store::{OwnEvent, Role, Store};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::core::WORKSPACE;

/// A rule that is to be promoted.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Promotion {
    /// Which.
    pub(crate) rule: String,
    /// Why, although it has not shown what its file asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) anyway: Option<String>,
    /// Who asks, where no key says it.
    pub(crate) actor: String,
}

/// An action that was wrong.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wrong {
    /// Which.
    pub(crate) action_id: String,
    /// Why.
    pub(crate) reason: String,
    /// Who asks, where no key says it.
    pub(crate) actor: String,
}

#[derive(Debug, Clone)]
struct Desk {
    alerts: Arc<Alerts>,
    store: Arc<Store>,
}

/// The routes.
pub(crate) fn router(alerts: Arc<Alerts>, store: Arc<Store>) -> Router {
    Router::new()
        .route("/api/v1/alerts/promote", post(promote))
        .route("/api/v1/alerts/false-alarm", post(false_alarm))
        .with_state(Desk { alerts, store })
}

async fn promote(
    State(desk): State<Desk>,
    Extension(caller): Extension<Caller>,
    Json(wanted): Json<Promotion>,
) -> Response {
    if let Some(reason) = &wanted.anyway {
        if reason.trim().is_empty() {
            return refused(StatusCode::BAD_REQUEST, "anyway: say why, in a few words");
        }
        if matches!(&caller, Caller::Key(key) if key.role != Role::Admin) {
            let text = "against its evidence, a rule is promoted by an admin";
            return refused(StatusCode::FORBIDDEN, text);
        }
    }
    let done = tokio::spawn(async move {
        let standing = desk.alerts.promote(&wanted.rule, wanted.anyway.is_some());
        let standing = standing.await?;
        let record = json!({ "standing": &standing, "anyway": &wanted.anyway });
        let by = actor(&caller, wanted.actor);
        desk.note("alerts.promoted", by, &wanted.rule, &record)
            .await;
        Ok(standing)
    });
    answered(done.await)
}

async fn false_alarm(
    State(desk): State<Desk>,
    Extension(caller): Extension<Caller>,
    Json(wrong): Json<Wrong>,
) -> Response {
    if wrong.reason.trim().is_empty() {
        return refused(StatusCode::BAD_REQUEST, "reason: say why, in a few words");
    }
    let done = tokio::spawn(async move {
        let said = desk.alerts.false_alarm(&wrong.action_id).await?;
        let record = json!({ "false_alarm": &said, "reason": &wrong.reason });
        let by = actor(&caller, wrong.actor);
        desk.note("alerts.false_alarm", by, &said.rule, &record)
            .await;
        if said.demoted.is_some() {
            let by = format!("rule:{}", said.rule);
            desk.note("alerts.demoted", by, &said.rule, &record).await;
        }
        Ok(said)
    });
    answered(done.await)
}

impl Desk {
    async fn note(&self, event: &str, actor: String, rule: &str, record: &Value) {
        let at = Micros(chrono::Utc::now().timestamp_micros());
        let audit = AuditRow {
            date: Date::of_micros(at.0),
            at,
            event: event.to_owned(),
            actor,
            subject: format!("rule:{rule}"),
            record: record.to_string(),
            ..AuditRow::default()
        };
        let kept = self.store.record(WORKSPACE, OwnEvent::Audit(audit)).await;
        if let Err(error) = kept {
            // What was said holds all the same.
            tracing::error!(target: "flyball", %error, event, rule, "the ledger has not taken what was said of a rule");
        }
    }
}

/// Who it is, for the ledger: a key says so itself, a command on this machine is believed.
fn actor(caller: &Caller, said: String) -> String {
    caller.actor().unwrap_or(said)
}

fn answered<T: Serialize>(done: Result<Result<T, Error>, tokio::task::JoinError>) -> Response {
    match done {
        Ok(Ok(told)) => Json(told).into_response(),
        Ok(Err(error)) => {
            let status = match error {
                Error::RuleUnknown { .. } | Error::ActionUnknown { .. } => StatusCode::NOT_FOUND,
                Error::NotPromoted { .. } => StatusCode::CONFLICT,
                _ => StatusCode::SERVICE_UNAVAILABLE,
            };
            refused(status, &error.to_string())
        }
        Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn refused(status: StatusCode, text: &str) -> Response {
    (status, Json(json!({ "error": text }))).into_response()
}
