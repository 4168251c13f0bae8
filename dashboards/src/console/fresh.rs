//! Figures at most a second old when they can be had, and never waited for longer than [`PATIENCE`].
//!
//! Whoever looks at the fleet to stop something must not wait for sums over a long journal. So figures
//! are asked for beside the requests: once at a time for each window, however many pages are open, and
//! what comes late is kept for the next request.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat};
use tokio::sync::{Mutex, watch};

use super::FleetData;
use super::facts::{Facts, Window};
use crate::Error;

/// How long a request waits for figures.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// How long figures are fresh, nanoseconds.
const FRESH: i64 = 1_000_000_000;

/// The last figures of each window.
#[derive(Debug, Default)]
pub(super) struct Fresh([Slot; Window::ALL.len()]);

#[derive(Debug, Default)]
struct Slot {
    last: Arc<watch::Sender<Option<Arc<Facts>>>>,
    /// Held while figures are asked for.
    asking: Arc<Mutex<()>>,
}

impl Fresh {
    /// The figures of a window at `now`; when they do not come in time, the last ones, with an error.
    pub(super) async fn facts(
        &self,
        data: &Arc<dyn FleetData>,
        window: Window,
        now: i64,
    ) -> Arc<Facts> {
        let slot = &self.0[window as usize];
        let mut answers = slot.last.subscribe();
        let last = answers.borrow_and_update().clone();
        if let Some(last) = &last
            && (0..FRESH).contains(&now.saturating_sub(last.asked_at))
        {
            return Arc::clone(last);
        }
        if let Ok(asking) = Arc::clone(&slot.asking).try_lock_owned() {
            let (data, told) = (Arc::clone(data), Arc::clone(&slot.last));
            tokio::spawn(async move {
                let facts = Arc::new(Facts::ask(data.as_ref(), window, now).await);
                // Before the answer is out: whoever has seen it may ask again.
                drop(asking);
                told.send_replace(Some(facts));
            });
        }
        let answered = tokio::time::timeout(PATIENCE, answers.changed()).await;
        match answers.borrow().as_ref() {
            Some(facts) if matches!(answered, Ok(Ok(()))) => Arc::clone(facts),
            _ => Arc::new(late(last.as_deref(), now)),
        }
    }
}

/// The last figures once more, or none, and that they are not of now.
fn late(last: Option<&Facts>, now: i64) -> Facts {
    let since = last.and_then(|last| DateTime::from_timestamp_micros(last.asked_at / 1_000));
    let shown = since.map_or_else(
        || "none are shown yet".to_owned(),
        |since| {
            let since = since.to_rfc3339_opts(SecondsFormat::Secs, true);
            format!("shown as they were at {since}")
        },
    );
    let mut facts = last.cloned().unwrap_or_else(|| Facts {
        asked_at: now,
        ..Facts::default()
    });
    let error = Error::Query {
        what: "figures",
        reason: format!(
            "no answer within {} s; {shown}, states are of now",
            PATIENCE.as_secs()
        ),
    };
    facts.errors.push(error.to_string());
    facts
}
