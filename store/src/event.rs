//! What subscribers see, in log order.

use std::sync::Arc;

use arrow::array::RecordBatch;
use tokio::sync::mpsc;

use crate::log::{LogPosition, Origin};
use crate::rows::ChargeRow;
use crate::table::Table;

/// What subscribers see, in log order.
#[derive(Debug, Clone)]
pub enum Event {
    /// Acknowledged rows of a table (`spans`, `contents`, ...), log positions filled.
    Rows {
        /// Whose.
        workspace: Arc<str>,
        /// How they came.
        origin: Origin,
        /// Where the request stands in the log.
        position: LogPosition,
        /// Which table.
        table: Table,
        /// The rows.
        batch: RecordBatch,
    },
    /// Journal entries, as they are made.
    Charges {
        /// Whose.
        workspace: Arc<str>,
        /// How the spans came that caused them.
        origin: Origin,
        /// The entries.
        rows: Arc<[ChargeRow]>,
    },
}

/// Those who listen.
#[derive(Debug, Default)]
pub(crate) struct Subscribers(Vec<mpsc::UnboundedSender<Event>>);

impl Subscribers {
    pub(crate) fn add(&mut self) -> mpsc::UnboundedReceiver<Event> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.0.push(sender);
        receiver
    }

    /// Tells everyone who still listens.
    pub(crate) fn publish(&mut self, event: &Event) {
        self.0
            .retain(|subscriber| subscriber.send(event.clone()).is_ok());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
