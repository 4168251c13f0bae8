//! Carries events from the outbox to the ledger, in order, until each is kept.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::{ControlEvent, Ledger, tables};
use crate::Error;
use crate::sqlite::Database;

/// Events read at a time.
const BATCH: u32 = 64;
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Looks again even when nobody calls.
const IDLE: Duration = Duration::from_secs(2);

/// Runs until the task is aborted or the database is closed.
pub(super) async fn drain(database: Database, ledger: Arc<dyn Ledger>, pending: Arc<Notify>) {
    loop {
        match deliver(&database, ledger.as_ref()).await {
            Ok(0) => {
                let _ = tokio::time::timeout(IDLE, pending.notified()).await;
            }
            Ok(_) => {}
            Err(Error::Closed) => return,
            Err(error) => {
                tracing::error!(%error, "the outbox can't be read; trying again");
                tokio::time::sleep(LONGEST_PAUSE).await;
            }
        }
    }
}

/// Delivers one batch; says how many events it held.
async fn deliver(database: &Database, ledger: &dyn Ledger) -> Result<usize, Error> {
    let events = database.write(|c| tables::outbox(c, BATCH)).await?;
    let mut kept = None;
    for (seq, event) in &events {
        persist(ledger, event).await;
        kept = Some(*seq);
    }
    // A crash before this deletes them delivers them twice; ids make that harmless.
    if let Some(seq) = kept {
        database
            .write(move |c| tables::delete_outbox(c, seq))
            .await?;
    }
    Ok(events.len())
}

async fn persist(ledger: &dyn Ledger, event: &ControlEvent) {
    let mut pause = FIRST_PAUSE;
    while let Err(reason) = ledger.record(event).await {
        tracing::warn!(
            reason,
            "the ledger did not keep a control event; trying again"
        );
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
