//! What subscribers see, in log order.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use arrow::array::RecordBatch;
use tokio::sync::mpsc;

use crate::log::{LogPosition, Origin};
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
        /// The entries: rows of [`ChargeRow`](crate::rows::ChargeRow)'s schema.
        batch: RecordBatch,
    },
}

impl Event {
    /// The same, with a workspace's name of its own.
    fn with(&self, workspace: Arc<str>) -> Self {
        let mut event = self.clone();
        match &mut event {
            Self::Rows { workspace: own, .. } | Self::Charges { workspace: own, .. } => {
                *own = workspace;
            }
        }
        event
    }
}

/// Those who listen.
#[derive(Debug, Default)]
pub(crate) struct Subscribers(Vec<Subscriber>);

#[derive(Debug)]
struct Subscriber {
    sender: mpsc::UnboundedSender<Event>,
    tables: Vec<Table>,
    charges: bool,
    told: Told,
}

/// What one subscriber was told and has not let go yet, oldest first, each with its bytes. A channel does not
/// say what is taken out of it, so every event told carries a copy of the workspace's name that nobody else
/// has: when that is gone, the event is.
#[derive(Debug, Default)]
struct Told {
    events: VecDeque<(Weak<str>, u64)>,
    bytes: u64,
}

impl Told {
    fn forget_what_is_gone(&mut self) {
        while let Some((name, bytes)) = self.events.front()
            && name.strong_count() == 0
        {
            self.bytes -= bytes;
            self.events.pop_front();
        }
    }
}

impl Subscriber {
    /// Whether it wants rows of this table, or charges.
    fn wants(&self, table: Option<Table>) -> bool {
        table.map_or(self.charges, |table| self.tables.contains(&table))
    }

    /// False when it does not listen any more.
    fn tell(&mut self, event: &Event, workspace: &str, bytes: u64) -> bool {
        let workspace: Arc<str> = workspace.into();
        self.told.forget_what_is_gone();
        self.told
            .events
            .push_back((Arc::downgrade(&workspace), bytes));
        self.told.bytes += bytes;
        self.sender.send(event.with(workspace)).is_ok()
    }
}

impl Subscribers {
    /// One who wants rows of these tables, and charges or not.
    pub(crate) fn add(
        &mut self,
        tables: &[Table],
        charges: bool,
    ) -> mpsc::UnboundedReceiver<Event> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.0.push(Subscriber {
            sender,
            tables: tables.to_vec(),
            charges,
            told: Told::default(),
        });
        receiver
    }

    /// Tells everyone who still listens and wants it. The bytes are what the event keeps in memory.
    pub(crate) fn publish(&mut self, event: &Event, bytes: u64) {
        let (workspace, table) = match event {
            Event::Rows {
                workspace, table, ..
            } => (workspace, Some(*table)),
            Event::Charges { workspace, .. } => (workspace, None),
        };
        self.0.retain_mut(|subscriber| {
            if subscriber.wants(table) {
                subscriber.tell(event, workspace, bytes)
            } else {
                !subscriber.sender.is_closed()
            }
        });
    }

    /// Whether anybody wants rows of this table, or charges.
    pub(crate) fn want(&self, table: Option<Table>) -> bool {
        self.0.iter().any(|subscriber| subscriber.wants(table))
    }

    /// How many events wait in all queues, and their bytes: an event counts once for everyone it was told.
    pub(crate) fn queued(&mut self) -> (u64, u64) {
        self.0.retain(|subscriber| !subscriber.sender.is_closed());
        let (mut events, mut bytes) = (0, 0);
        for Subscriber { told, .. } in &mut self.0 {
            told.forget_what_is_gone();
            events += told.events.len() as u64;
            bytes += told.bytes;
        }
        (events, bytes)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn charges() -> Event {
        Event::Charges {
            workspace: "w".into(),
            origin: Origin::Live,
            batch: RecordBatch::new_empty(Table::Charges.schema()),
        }
    }

    fn rows(table: Table) -> Event {
        Event::Rows {
            workspace: "w".into(),
            origin: Origin::Live,
            position: 1,
            table,
            batch: RecordBatch::new_empty(table.schema()),
        }
    }

    #[test]
    fn everyone_hears_what_they_asked_for_and_nothing_else() {
        let mut subscribers = Subscribers::default();
        let mut spans = subscribers.add(&[Table::Spans], false);
        let mut money = subscribers.add(&[], true);
        let mut both = subscribers.add(&[Table::Alerts, Table::Actions], true);
        assert!(subscribers.want(Some(Table::Actions)) && subscribers.want(None));
        assert!(!subscribers.want(Some(Table::Contents)));
        for table in [Table::Spans, Table::Contents, Table::Actions] {
            subscribers.publish(&rows(table), 1);
        }
        subscribers.publish(&charges(), 1);
        let heard = |receiver: &mut mpsc::UnboundedReceiver<Event>| {
            let mut heard = Vec::new();
            while let Ok(event) = receiver.try_recv() {
                heard.push(match event {
                    Event::Rows { table, .. } => table.name(),
                    Event::Charges { .. } => "charges",
                });
            }
            heard
        };
        assert_eq!(heard(&mut spans), ["spans"]);
        assert_eq!(heard(&mut money), ["charges"]);
        assert_eq!(heard(&mut both), ["actions", "charges"]);
    }

    #[test]
    fn what_waits_is_counted_until_it_is_dealt_with() {
        let mut subscribers = Subscribers::default();
        let mut slow = subscribers.add(&[Table::Spans], true);
        let quick = subscribers.add(&[], true);
        subscribers.publish(&charges(), 10);
        subscribers.publish(&rows(Table::Spans), 100);
        subscribers.publish(&rows(Table::Contents), 1_000);
        assert_eq!(subscribers.queued(), (3, 120), "charges wait twice");
        drop(quick);
        assert_eq!(
            subscribers.queued(),
            (2, 110),
            "a queue goes with its owner"
        );
        let in_hand = slow.try_recv().unwrap();
        assert_eq!(subscribers.queued(), (2, 110), "it still takes its memory");
        drop(in_hand);
        assert_eq!(subscribers.queued(), (1, 100));
        slow.try_recv().unwrap();
        assert_eq!(subscribers.queued(), (0, 0));
        drop(slow);
        subscribers.publish(&rows(Table::Contents), 1);
        assert!(subscribers.0.is_empty());
    }
}
