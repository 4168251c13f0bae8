//! The console: one page with the whole fleet, and a button that stops it.
//!
//! In the order in which a request passes through: [`same_origin`] and [`Hosts`] keep other web pages
//! out; `page` serves the page and its few assets, all built in; `facts` asks for the figures in SQL,
//! `cells` reads them out of Arrow and `fresh` keeps them for a moment; `fleet` puts them together with what control has in force, as
//! the JSON of `GET /api/v1/fleet`. Orders go to the control plane's own `POST /api/v1/control/orders`.
//!
//! What control has in force is always shown, whatever becomes of the figures: when no query can be
//! answered, or not in time, the fleet can still be stopped.

mod cells;
mod facts;
mod fleet;
mod fresh;
mod origin;
mod page;

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use axum::Json;
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flyball_runtime::control::View;

pub use facts::Window;
pub use origin::{Hosts, same_origin};

use fresh::Fresh;

/// Where the console's figures come from. The binary fills it with the query engine and the control plane.
#[async_trait::async_trait]
pub trait FleetData: Send + Sync + fmt::Debug {
    /// Answers one SELECT over the workspace shown.
    ///
    /// # Errors
    /// The engine's own words.
    async fn query(&self, sql: &str) -> Result<Vec<RecordBatch>, String>;

    /// What control has in force now.
    fn control_view(&self) -> Arc<View>;
}

/// What the console's routes share.
#[derive(Clone)]
pub struct ConsoleState {
    data: Arc<dyn FleetData>,
    workspace: Arc<str>,
    hosts: Hosts,
    now: Arc<dyn Fn() -> i64 + Send + Sync>,
    /// Figures are asked for at most once a second, however many pages are open.
    fresh: Arc<Fresh>,
}

impl ConsoleState {
    /// A console over `data`. `now` gives nanoseconds since 1970; `hosts` says under which names the
    /// server may be reached besides IP addresses and `localhost`.
    #[must_use]
    pub fn new(
        data: Arc<dyn FleetData>,
        workspace: &str,
        hosts: Hosts,
        now: Arc<dyn Fn() -> i64 + Send + Sync>,
    ) -> Self {
        Self {
            data,
            workspace: Arc::from(workspace),
            hosts,
            now,
            fresh: Arc::default(),
        }
    }
}

impl fmt::Debug for ConsoleState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsoleState")
            .field("data", &self.data)
            .field("workspace", &self.workspace)
            .field("hosts", &self.hosts)
            .finish_non_exhaustive()
    }
}

/// The console's routes, ready to be merged into a server's router:
///
/// | request | answer |
/// |---|---|
/// | `GET /` | the page |
/// | `GET /console/...` | its stylesheet, script and icon |
/// | `GET /api/v1/fleet[?window=1h\|24h\|7d\|all]` | agents with their states and costs, alerts and actions, as JSON |
pub fn router(state: ConsoleState) -> Router {
    Router::new()
        .route("/api/v1/fleet", get(fleet_now))
        .with_state(state)
        .merge(page::router())
}

async fn fleet_now(
    State(state): State<ConsoleState>,
    RawQuery(query): RawQuery,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    if let Err(refusal) = state.hosts.check(&headers, &uri) {
        return refusal.into_response();
    }
    let window = match Window::of_query(query.as_deref().unwrap_or_default()) {
        Ok(window) => window,
        Err(error) => return refusal(StatusCode::BAD_REQUEST, Some("window"), &error.to_string()),
    };
    let now = (state.now)();
    let facts = state.fresh.facts(&state.data, window, now).await;
    // Never older than this moment, so that an order just given is seen to hold.
    let view = state.data.control_view();
    let fleet = fleet::fleet(&facts, &view, &state.workspace, window, (state.now)());
    ([(header::CACHE_CONTROL, "no-store")], Json(fleet)).into_response()
}

/// An error as the API tells it.
fn refusal(status: StatusCode, field: Option<&str>, message: &str) -> Response {
    let body = serde_json::json!({ "error": { "field": field, "message": message } });
    (status, Json(body)).into_response()
}
