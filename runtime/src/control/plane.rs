//! [`Control`]: commits an order with its outbox row, then lets it take effect.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::{
    ControlEvent, Decision, Error, InForce, Ledger, Mode, Obeyed, Order, State, View, outbox,
    tables,
};
use crate::sqlite::Database;

/// The control plane: durable state in one SQLite file, and one [`View`] of it in memory.
///
/// Dropping it stops the delivery to the ledger; what was not delivered is when it is opened again.
#[derive(Debug)]
pub struct Control {
    database: Database,
    board: Arc<Board>,
    pending: Arc<Notify>,
    drainer: JoinHandle<()>,
}

/// The view, for those who look (lock-free) and those who wait.
#[derive(Debug)]
struct Board {
    now: ArcSwap<View>,
    changes: watch::Sender<Arc<View>>,
}

impl Board {
    /// Called on the database's thread, in the order of commits. Wakes nobody when nothing changed.
    fn publish(&self, view: View) {
        if **self.now.load() == view {
            return;
        }
        let view = Arc::new(view);
        self.now.store(Arc::clone(&view));
        self.changes.send_replace(view);
    }
}

impl Control {
    /// Opens (or creates) the SQLite file, and starts to drain the outbox to `ledger`.
    ///
    /// # Errors
    /// When the file can't be opened, or holds something that can't be read back.
    pub async fn open(path: &Path, ledger: Arc<dyn Ledger>) -> Result<Arc<Self>, Error> {
        let path = path.to_owned();
        let opened = tokio::task::spawn_blocking(move || Database::open(&path, tables::SCHEMA));
        let database = opened.await.map_err(|_| Error::Closed)??;
        let view = Arc::new(database.write(tables::view).await?);
        let board = Arc::new(Board {
            now: ArcSwap::new(Arc::clone(&view)),
            changes: watch::Sender::new(view),
        });
        let pending = Arc::new(Notify::new());
        // What an earlier life left in the outbox goes first.
        pending.notify_one();
        let drainer = tokio::spawn(outbox::drain(
            database.clone(),
            ledger,
            Arc::clone(&pending),
        ));
        Ok(Arc::new(Self {
            database,
            board,
            pending,
            drainer,
        }))
    }

    /// Commits the change with its outbox row, then lets it take effect, then answers.
    ///
    /// Releasing a scope where nothing is set changes nothing: the answer's `previous` is `Running`.
    ///
    /// # Errors
    /// When a field is not acceptable (the error names it), or the change could not be committed.
    pub async fn order(&self, order: Order) -> Result<Decision, Error> {
        self.order_at(order, crate::clock::unix_nano()).await
    }

    pub(crate) async fn order_at(&self, order: Order, at: i64) -> Result<Decision, Error> {
        order.check()?;
        let board = Arc::clone(&self.board);
        let decision = self
            .database
            .write_then(
                move |c| decide(c, order, at),
                move |(decision, view)| {
                    board.publish(view);
                    decision
                },
            )
            .await?;
        self.pending.notify_one();
        Ok(decision)
    }

    /// Notes that a runtime obeyed. The first word counts; later ones change nothing.
    ///
    /// # Errors
    /// When no such action was decided here, or it could not be committed.
    pub async fn obeyed(&self, obeyed: Obeyed) -> Result<(), Error> {
        self.database
            .write(move |c| {
                if !tables::is_known(c, &obeyed.action_id)? {
                    return Err(Error::UnknownAction {
                        action_id: obeyed.action_id,
                    });
                }
                if tables::insert_obeyed(c, &obeyed)? {
                    tables::put_out(c, &ControlEvent::Obeyed(obeyed))?;
                }
                Ok(())
            })
            .await?;
        self.pending.notify_one();
        Ok(())
    }

    /// What is in force now.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        self.board.now.load_full()
    }

    /// Waits until the ledger has every event so far, at most this long; says whether it has. What it has
    /// not yet is delivered when the file is opened again.
    ///
    /// # Errors
    /// When the outbox can't be read.
    pub async fn drained(&self, patience: Duration) -> Result<bool, Error> {
        let end = tokio::time::Instant::now() + patience;
        while !self
            .database
            .write(|c| tables::outbox(c, 1))
            .await?
            .is_empty()
        {
            if tokio::time::Instant::now() >= end {
                return Ok(false);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(true)
    }

    /// Changes of the view.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<View>> {
        self.board.changes.subscribe()
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.drainer.abort();
    }
}

/// Decides inside a transaction; answers the view as it is then. Also when this order changes nothing:
/// an earlier one may have been committed, and its commit reported as failed, so that nobody was told.
fn decide(c: &rusqlite::Connection, order: Order, at: i64) -> Result<(Decision, View), Error> {
    let action_id = order
        .action_id
        .clone()
        .unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
    if let Some(earlier) = tables::answer(c, &action_id, &order.state)? {
        return Ok((earlier, tables::view(c)?));
    }
    let there = tables::entries_of(c, &order.scope)?;
    let previous = there
        .first()
        .map_or(State::Running, |entry| entry.state.clone());
    let by_rule = order.is_rules();
    let gone: Vec<InForce> = there
        .into_iter()
        .filter(|entry| !by_rule || entry.actor == order.actor)
        .collect();

    let released = order.state == State::Running;
    let changes = order.mode == Mode::Enforce && (!released || !gone.is_empty());
    let epoch = if changes {
        tables::bump_epoch(c)?
    } else {
        tables::view(c)?.epoch
    };
    let mut decision = Decision {
        action_id: action_id.clone(),
        scope: order.scope,
        state: order.state,
        previous,
        actor: order.actor,
        reason: order.reason,
        rule: order.rule,
        mode: order.mode,
        cause: order.cause,
        evidence: order.evidence,
        decided_at_unix_nano: at,
        epoch,
    };
    if changes {
        release(c, &gone, &decision)?;
    }
    match gone.first() {
        Some(first) if released && changes => decision.action_id.clone_from(&first.action_id),
        _ if released && order.mode == Mode::Enforce => {} // there was nothing to release
        _ => {
            if changes {
                tables::insert_entry(c, &in_force(&decision))?;
            }
            tables::put_out(c, &ControlEvent::Decided(decision.clone()))?;
        }
    }
    tables::keep_answer(c, &action_id, &decision)?;
    Ok((decision, tables::view(c)?))
}

/// Takes entries out of force, and tells the ledger for each of them.
fn release(c: &rusqlite::Connection, gone: &[InForce], because: &Decision) -> Result<(), Error> {
    for entry in gone {
        tables::delete_entry(c, &entry.action_id)?;
        let released = Decision {
            action_id: entry.action_id.clone(),
            previous: entry.state.clone(),
            ..because.clone()
        };
        tables::put_out(c, &ControlEvent::Released(released))?;
    }
    Ok(())
}

fn in_force(decision: &Decision) -> InForce {
    InForce {
        action_id: decision.action_id.clone(),
        scope: decision.scope.clone(),
        state: decision.state.clone(),
        actor: decision.actor.clone(),
        reason: decision.reason.clone(),
        decided_at_unix_nano: decision.decided_at_unix_nano,
    }
}
