//! What a running server does with the ledger for the command line: `POST /api/v1/ledger/rotate-key`, and
//! `POST /api/v1/ledger/forget` with `{"kind": "cli", "name": "ada"}`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use flyball_store::{Error, Store};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::core::WORKSPACE;

/// Somebody on the ledger.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Person {
    /// `cli`, `user`, `session`, `tenant`, ...
    pub(crate) kind: String,
    /// The name, without its kind.
    pub(crate) name: String,
}

/// The routes.
pub(crate) fn router(store: Arc<Store>) -> Router {
    Router::new()
        .route("/api/v1/ledger/rotate-key", post(rotate_key))
        .route("/api/v1/ledger/forget", post(forget))
        .with_state(store)
}

async fn rotate_key(State(store): State<Arc<Store>>) -> Response {
    let answer = store.rotate_ledger_key().await;
    answered(answer.map(|key| json!({ "public_key": key.to_string() })))
}

async fn forget(State(store): State<Arc<Store>>, Json(person): Json<Person>) -> Response {
    let answer = store
        .forget_subject(WORKSPACE, &person.kind, &person.name)
        .await;
    answered(answer.map(|key| json!({ "key": key })))
}

fn answered(answer: Result<serde_json::Value, Error>) -> Response {
    match answer {
        Ok(body) => Json(body).into_response(),
        Err(error) => {
            let body = json!({ "error": error.to_string() });
            (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
        }
    }
}
