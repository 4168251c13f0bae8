//! What the engine needs from outside, each a small trait, with the real thing filled in below.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use flyball_query::Engine;
use flyball_runtime::control::{Control, Decision, Order, View};
use flyball_store::rows::AlertRow;
use flyball_store::{OwnEvent, Store};
use tokio::sync::watch;

/// Answers SQL.
#[async_trait]
pub trait Ask: Send + Sync + fmt::Debug {
    /// The rows of a query.
    ///
    /// # Errors
    /// Why there is no answer, in words.
    async fn ask(&self, workspace: &str, sql: &str) -> Result<Vec<RecordBatch>, String>;
}

/// Takes orders on agents: the control plane.
#[async_trait]
pub trait Orders: Send + Sync + fmt::Debug {
    /// Carries out an order; the same `action_id` twice is one order.
    ///
    /// # Errors
    /// Why it was not carried out, in words.
    async fn order(&self, order: Order) -> Result<Decision, String>;
    /// What is in force now, and every change of it.
    fn watch(&self) -> watch::Receiver<Arc<View>>;
}

/// Keeps alerts.
#[async_trait]
pub trait Records: Send + Sync + fmt::Debug {
    /// Keeps one change of state.
    ///
    /// # Errors
    /// Why it could not be kept, in words; it is tried again.
    async fn record(&self, workspace: &str, row: AlertRow) -> Result<(), String>;
}

#[async_trait]
impl Ask for Engine {
    async fn ask(&self, workspace: &str, sql: &str) -> Result<Vec<RecordBatch>, String> {
        self.query(workspace, sql).await.map_err(|e| e.to_string())
    }
}

#[async_trait]
impl Orders for Control {
    async fn order(&self, order: Order) -> Result<Decision, String> {
        Control::order(self, order).await.map_err(|e| e.to_string())
    }

    fn watch(&self) -> watch::Receiver<Arc<View>> {
        Control::watch(self)
    }
}

#[async_trait]
impl Records for Store {
    async fn record(&self, workspace: &str, row: AlertRow) -> Result<(), String> {
        let kept = Store::record(self, workspace, OwnEvent::Alert(row)).await;
        kept.map(|_| ()).map_err(|e| e.to_string())
    }
}

/// What time it is: nanoseconds since 1970.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> i64 + Send + Sync>);

impl Clock {
    /// A clock that says what the function says, in nanoseconds since 1970.
    pub fn new(now: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The time, in nanoseconds since 1970.
    #[must_use]
    pub fn now(&self) -> i64 {
        (self.0)()
    }
}

impl Default for Clock {
    /// The system's clock.
    fn default() -> Self {
        Self::new(|| chrono::Utc::now().timestamp_nanos_opt().unwrap_or(i64::MAX))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}
