//! The made-up fleet under a real control plane.

use std::sync::Arc;

use arrow::array::RecordBatch;
use axum::middleware::from_fn_with_state;
use flyball_dashboards::console::{FleetData, Hosts, same_origin};
use flyball_runtime::control::{Control, ControlEvent, Ledger, View, api};

use crate::fake::Fake;

#[derive(Debug)]
struct NoLedger;

#[async_trait::async_trait]
impl Ledger for NoLedger {
    async fn record(&self, _event: &ControlEvent) -> Result<(), String> {
        Ok(())
    }
}

/// Made-up figures, real control.
#[derive(Debug)]
pub(crate) struct Governed {
    figures: Fake,
    control: Arc<Control>,
    _folder: tempfile::TempDir,
}

impl Governed {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let control = Control::open(&folder.path().join("control.sqlite"), Arc::new(NoLedger))
            .await
            .unwrap();
        Self {
            figures: Fake::default(),
            control,
            _folder: folder,
        }
    }

    /// Control's routes as the server mounts them.
    pub(crate) fn orders(&self) -> axum::Router {
        api::router(Arc::clone(&self.control))
            .layer(from_fn_with_state(Hosts::default(), same_origin))
    }
}

#[async_trait::async_trait]
impl FleetData for Governed {
    async fn query(&self, sql: &str) -> Result<Vec<RecordBatch>, String> {
        self.figures.query(sql).await
    }

    fn control_view(&self) -> Arc<View> {
        self.control.view()
    }
}
