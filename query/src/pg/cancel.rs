//! Cancelling a statement: a second connection names the first by its process id and secret, and what
//! the first is running ends, also while it is sending rows.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion_postgres::pgwire::api::cancel::CancelHandler;
use datafusion_postgres::pgwire::messages::cancel::CancelRequest;
use datafusion_postgres::pgwire::messages::startup::SecretKey;
use futures::StreamExt;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{Error, Result};

/// Every open connection of a port.
#[derive(Debug, Default)]
pub(super) struct Connections {
    open: Mutex<HashMap<i32, (SecretKey, Signal)>>,
}

impl Connections {
    /// Makes a connection known, once it has its process id and secret.
    pub(super) fn opened(&self, (process, secret): (i32, SecretKey), signal: Signal) {
        self.open.lock().insert(process, (secret, signal));
    }

    /// Forgets the connection that has this signal.
    pub(super) fn closed(&self, signal: &Signal) {
        self.open
            .lock()
            .retain(|_, (_, other)| !Arc::ptr_eq(&other.0, &signal.0));
    }
}

#[async_trait]
impl CancelHandler for Connections {
    async fn on_cancel_request(&self, request: CancelRequest) {
        let open = self.open.lock();
        if let Some((secret, signal)) = open.get(&request.pid)
            && secret.eq_value(&request.secret_key)
        {
            signal.0.send_replace(());
        }
    }
}

/// One connection's: fired for what runs at that moment, not for what is run later.
#[derive(Debug, Clone)]
pub(super) struct Signal(Arc<watch::Sender<()>>);

impl Default for Signal {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(())))
    }
}

impl Signal {
    /// Runs something that ends in rows, and watches over both until the signal is fired.
    pub(super) async fn watch(
        &self,
        started: impl Future<Output = Result<SendableRecordBatchStream>>,
    ) -> Result<SendableRecordBatchStream> {
        let mut fired = self.0.subscribe();
        let rows = tokio::select! {
            rows = started => rows?,
            _ = fired.changed() => return Err(Error::Cancelled),
        };
        let schema = rows.schema();
        let watched = futures::stream::unfold(Some((rows, fired)), |state| async {
            let (mut rows, mut fired) = state?;
            tokio::select! {
                batch = rows.next() => batch.map(|batch| (batch, Some((rows, fired)))),
                _ = fired.changed() => {
                    Some((Err(DataFusionError::External(Box::new(Error::Cancelled))), None))
                }
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, watched)))
    }
}
