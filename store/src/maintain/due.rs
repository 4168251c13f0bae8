//! When maintenance runs by itself, and in which order.

use std::sync::Weak;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::{Maintainer, Place, stopped};
use crate::store::Store;

/// How often the background task wakes up to see whether the store is still there.
const WAKE_EVERY: Duration = Duration::from_secs(1);
/// A table that did not change is looked at again after so long: days end and grow quiet.
const LOOK_AGAIN: Duration = Duration::from_secs(300);
/// Pause after a failure; it doubles with every further one up to the longest.
const BACK_OFF: Duration = Duration::from_secs(10);
const BACK_OFF_MAX: Duration = Duration::from_secs(600);

/// The background task: ends when the store is closed or gone.
pub(crate) async fn run(store: Weak<Store>) {
    let (mut last, mut first) = (Instant::now(), true);
    loop {
        let Some(strong) = store.upgrade() else {
            return;
        };
        let every = strong.config.maintenance.every;
        if every.is_zero() {
            return;
        }
        if std::mem::take(&mut first)
            && let Err(error) = strong.resume_erasures().await
        {
            tracing::error!(%error, "an erasure that was cut off could not be carried out; the next start tries again");
        }
        drop(strong);
        tokio::time::sleep(WAKE_EVERY.min(every.max(Duration::from_millis(10)))).await;
        let Some(strong) = store.upgrade() else {
            return;
        };
        if strong.closed.load(Relaxed) {
            return;
        }
        if last.elapsed() >= every {
            strong.look_around().await;
            last = Instant::now();
        }
    }
}

impl Store {
    async fn look_around(&self) {
        let mut maintainer = self.maintainer.lock().await;
        let tables = self.state.lock().tables();
        for place in tables {
            if !self.goes_on() {
                return;
            }
            let Some(version) = self.version(&place).and_then(|delta| delta.version()) else {
                continue;
            };
            if maintainer.may_rest(&place, version) {
                continue;
            }
            match self.keep(&mut maintainer, &place, false).await {
                Ok(()) => maintainer.looked_at(&place, version),
                Err(error) if stopped(&error) => return,
                Err(error) => {
                    self.count(|maintained| maintained.failures += 1);
                    let (failures, pause) = maintainer.failed(&place);
                    tracing::error!(
                        workspace = &*place.0, table = place.1.name(), %error, failures, retry_in = ?pause,
                        "maintenance of a table failed; its rows are all there"
                    );
                }
            }
        }
    }
}

impl Maintainer {
    fn may_rest(&self, place: &Place, version: u64) -> bool {
        let failed = self.failed.get(place);
        if let Some((_, until)) = failed {
            return Instant::now() < *until;
        }
        self.looked
            .get(place)
            .is_some_and(|(seen, at)| *seen == version && at.elapsed() < LOOK_AGAIN)
    }

    fn looked_at(&mut self, place: &Place, version: u64) {
        self.failed.remove(place);
        self.looked.insert(place.clone(), (version, Instant::now()));
    }

    fn failed(&mut self, place: &Place) -> (u32, Duration) {
        let failures = self.failed.get(place).map_or(0, |(failures, _)| *failures) + 1;
        let pause = BACK_OFF
            .saturating_mul(1 << (failures - 1).min(10))
            .min(BACK_OFF_MAX);
        self.failed
            .insert(place.clone(), (failures, Instant::now() + pause));
        (failures, pause)
    }
}
