//! `POST /api/v1/backup` starts a backup inside the server, one at a time; `GET` tells how it goes. It is not cut
//! off when whoever asked for it goes away. Anybody on this machine can ask, so keys go only into a backup for
//! somebody who can read them anyway.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use flyball_store::{
    BackupFigures, BackupOptions, BackupPlace, BackupProgress, BackupTaken, Store, sha256,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

/// What is asked for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    /// Where it goes: an absolute path or a URL.
    pub(crate) url: String,
    /// Options of its object store.
    #[serde(default)]
    pub(crate) storage_options: HashMap<String, String>,
    /// Leave keys out.
    #[serde(default)]
    pub(crate) without_keys: bool,
    /// Unless keys are left out: what [`proof`] makes of the ledger's key.
    #[serde(default)]
    pub(crate) proof: Option<String>,
}

/// Shows that somebody can read the key that signs the ledger, without telling it. None where there is none.
pub(crate) fn proof(data_dir: &Path) -> Option<String> {
    let key = std::fs::read_to_string(data_dir.join("ledger.key")).ok()?;
    Some(sha256(format!("flyball backup\n{}", key.trim()).as_bytes()))
}

/// Compares by hash, so that the time it takes says nothing.
fn proves(data_dir: &Path, said: Option<&str>) -> bool {
    let hash = |proof: &str| sha256(proof.as_bytes());
    proof(data_dir).is_some_and(|wanted| said.map(hash) == Some(hash(&wanted)))
}

/// How a backup goes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Going {
    /// Which one was asked for: a new name for each request.
    pub(crate) job: String,
    /// How far it has come.
    pub(crate) figures: BackupFigures,
    /// What was taken, once it is.
    pub(crate) taken: Option<Outcome>,
    /// Why it ended without.
    pub(crate) error: Option<String>,
}

/// A backup that was taken, in short.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Its name.
    pub(crate) id: String,
    /// SHA-256 of its manifest.
    pub(crate) sha256: String,
    /// Everything acknowledged up to here is in it.
    pub(crate) log_position: u64,
    /// Rows of all tables.
    pub(crate) rows: u64,
    /// Bytes of all files.
    pub(crate) bytes: u64,
    /// Whether it holds keys.
    pub(crate) keys: bool,
}

impl From<&BackupTaken> for Outcome {
    fn from(taken: &BackupTaken) -> Self {
        let manifest = &taken.manifest;
        Self {
            id: manifest.id.clone(),
            sha256: taken.sha256.clone(),
            log_position: manifest.log_position,
            rows: manifest.rows(),
            bytes: manifest.bytes(),
            keys: manifest.keys,
        }
    }
}

/// The last backup that was asked for.
#[derive(Clone)]
struct Desk {
    store: Arc<Store>,
    data_dir: Arc<Path>,
    last: Arc<Mutex<Option<Job>>>,
}

struct Job {
    going: Going,
    progress: Arc<BackupProgress>,
}

/// The routes.
pub(crate) fn router(store: Arc<Store>, data_dir: &Path) -> Router {
    Router::new()
        .route("/api/v1/backup", get(look).post(begin))
        .with_state(Desk {
            store,
            data_dir: Arc::from(data_dir),
            last: Arc::default(),
        })
}

async fn look(State(desk): State<Desk>) -> Response {
    match desk.last.lock().await.as_ref() {
        Some(job) => Json(job.look()).into_response(),
        None => refused(StatusCode::NOT_FOUND, "no backup was asked for yet"),
    }
}

async fn begin(State(desk): State<Desk>, Json(request): Json<Request>) -> Response {
    if !request.without_keys && !proves(&desk.data_dir, request.proof.as_deref()) {
        let text = "a backup with keys is for who can read ledger.key: ask for one without_keys";
        return refused(StatusCode::FORBIDDEN, text);
    }
    let mut last = desk.last.lock().await;
    if let Some(job) = last.as_ref()
        && !job.going.ended()
    {
        let text = "a backup is being taken already: one at a time";
        return refused(StatusCode::CONFLICT, text);
    }
    let job = Job {
        going: Going {
            job: uuid::Uuid::new_v4().to_string(),
            figures: BackupFigures::default(),
            taken: None,
            error: None,
        },
        progress: Arc::default(),
    };
    let going = job.going.clone();
    let progress = Arc::clone(&job.progress);
    *last = Some(job);
    drop(last);
    tokio::spawn(async move {
        let place = BackupPlace {
            url: request.url,
            storage_options: request.storage_options,
        };
        let options = BackupOptions {
            without_keys: request.without_keys,
        };
        let taken = desk.store.backup(&place, options, &progress).await;
        if let Some(job) = desk.last.lock().await.as_mut() {
            match taken {
                Ok(taken) => job.going.taken = Some(Outcome::from(&taken)),
                Err(error) => {
                    tracing::warn!(target: "flyball", %error, "a backup could not be taken");
                    job.going.error = Some(error.to_string());
                }
            }
        }
    });
    (StatusCode::ACCEPTED, Json(going)).into_response()
}

impl Job {
    fn look(&self) -> Going {
        Going {
            figures: self.progress.figures(),
            ..self.going.clone()
        }
    }
}

impl Going {
    /// Whether it is over, one way or the other.
    pub(crate) fn ended(&self) -> bool {
        self.taken.is_some() || self.error.is_some()
    }
}

fn refused(status: StatusCode, text: &str) -> Response {
    (status, Json(serde_json::json!({ "error": text }))).into_response()
}
