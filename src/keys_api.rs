//! API keys, for the command line and for admins: `GET /api/v1/keys` lists them, `POST /api/v1/keys` makes one and tells its
//! secret this once, `POST /api/v1/keys/revoke` with `{"id": "key-...", "actor": "cli:ada"}` revokes one.
//!
//! Whoever reaches the port of a server without keys may do everything, but not this: the first key decides who may come
//! in from then on, so it takes somebody who can read the data directory.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use flyball_ingest::door::Caller;
use flyball_store::{ApiKey, ApiKeys, Error, KeyOrder, Role, Store};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::core::WORKSPACE;

/// A key that is to be made, and who wants it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// What it is to be.
    pub(crate) key: KeyOrder,
    /// Who asks, where no key says it.
    pub(crate) actor: String,
}

/// A key that is to be revoked, and who wants that.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Unwanted {
    /// Its id.
    pub(crate) id: String,
    /// Who asks, where no key says it.
    pub(crate) actor: String,
}

/// A key as it is shown: all but the hash.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Shown {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) workspace: String,
    /// Empty for any.
    pub(crate) tenants: Vec<String>,
    pub(crate) requests_per_s: Option<u32>,
    pub(crate) bytes_per_s: Option<u64>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) expires_at: Option<DateTime<Utc>>,
    pub(crate) revoked_at: Option<DateTime<Utc>>,
    /// in force, expired or revoked.
    pub(crate) state: String,
    /// Of a new key, this once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<String>,
}

impl From<&ApiKey> for Shown {
    fn from(key: &ApiKey) -> Self {
        Self {
            id: key.id.clone(),
            name: key.name.clone(),
            role: key.role,
            workspace: key.workspace.clone(),
            tenants: key.tenants.clone(),
            requests_per_s: key.requests_per_s.map(Into::into),
            bytes_per_s: key.bytes_per_s.map(Into::into),
            created_at: key.created_at,
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
            state: key.standing(Utc::now()).as_str().to_owned(),
            secret: None,
        }
    }
}

/// The keys, and the ledger that is told of them.
#[derive(Debug, Clone)]
pub(crate) struct Desk {
    pub(crate) store: Arc<Store>,
    pub(crate) keys: Arc<ApiKeys>,
}

impl Desk {
    /// Makes a key. It is in force when this returns.
    pub(crate) async fn add(&self, order: KeyOrder, actor: &str) -> Result<Shown, Error> {
        if order.workspace != WORKSPACE {
            return Err(Error::ApiKeyOrder {
                field: "workspace",
                value: order.workspace,
                accepted: format!("{WORKSPACE:?}, the only workspace there is"),
            });
        }
        let (keys, by) = (Arc::clone(&self.keys), actor.to_owned());
        let make = move || keys.add(order, &by, Utc::now());
        let (key, secret) = tokio::task::spawn_blocking(make).await??;
        self.tell().await;
        Ok(Shown {
            secret: Some(secret),
            ..Shown::from(&*key)
        })
    }

    /// Revokes a key. It opens nothing when this returns.
    pub(crate) async fn revoke(&self, id: &str, actor: &str) -> Result<Shown, Error> {
        let (keys, id, by) = (Arc::clone(&self.keys), id.to_owned(), actor.to_owned());
        let revoke = move || keys.revoke(&id, &by, Utc::now());
        let key = tokio::task::spawn_blocking(revoke).await??;
        self.tell().await;
        Ok(Shown::from(&*key))
    }

    async fn tell(&self) {
        // The change holds all the same: that it is to be told stands in the file.
        if let Err(error) = self.keys.tell(&self.store).await {
            tracing::warn!(target: "flyball", %error, "the ledger has not taken a change of the API keys yet; it will with the next, or at the next start");
        }
    }
}

/// The routes.
pub(crate) fn router(desk: Desk) -> Router {
    Router::new()
        .route("/api/v1/keys", get(list).post(add))
        .route("/api/v1/keys/revoke", post(revoke))
        .with_state(desk)
}

async fn list(State(desk): State<Desk>) -> Response {
    let keys: Vec<Shown> = desk
        .keys
        .all()
        .iter()
        .map(|key| Shown::from(&**key))
        .collect();
    Json(keys).into_response()
}

async fn add(
    State(desk): State<Desk>,
    Extension(caller): Extension<Caller>,
    Json(wanted): Json<Wanted>,
) -> Response {
    match actor(&caller, wanted.actor) {
        Some(actor) => {
            answered(to_the_end(async move { desk.add(wanted.key, &actor).await }).await)
        }
        None => not_anyone(),
    }
}

async fn revoke(
    State(desk): State<Desk>,
    Extension(caller): Extension<Caller>,
    Json(unwanted): Json<Unwanted>,
) -> Response {
    match actor(&caller, unwanted.actor) {
        Some(actor) => {
            answered(to_the_end(async move { desk.revoke(&unwanted.id, &actor).await }).await)
        }
        None => not_anyone(),
    }
}

/// Goes on when whoever asked goes away: the ledger is told of what was done.
async fn to_the_end(
    work: impl Future<Output = Result<Shown, Error>> + Send + 'static,
) -> Result<Shown, Error> {
    tokio::spawn(work).await?
}

/// Who it is, for the ledger: a key says so itself, a command on this machine is believed.
fn actor(caller: &Caller, said: String) -> Option<String> {
    match caller {
        Caller::Anyone => None,
        Caller::Local => Some(said),
        Caller::Key(_) => caller.actor(),
    }
}

fn not_anyone() -> Response {
    let text =
        "the first key is made by somebody who can read the data directory: `flyball keys add`";
    refused(StatusCode::FORBIDDEN, text)
}

fn answered(answer: Result<Shown, Error>) -> Response {
    match answer {
        Ok(key) => ([(header::CACHE_CONTROL, "no-store")], Json(key)).into_response(),
        Err(error) => {
            let status = match error {
                Error::ApiKeyOrder { .. } | Error::WorkspaceName { .. } => StatusCode::BAD_REQUEST,
                _ => StatusCode::SERVICE_UNAVAILABLE,
            };
            refused(status, &error.to_string())
        }
    }
}

fn refused(status: StatusCode, text: &str) -> Response {
    (status, Json(json!({ "error": text }))).into_response()
}
