//! How many statements run at once. Further ones wait in a queue that is bounded in length and in time, and are
//! refused past it: a server that is asked too much says so, rather than answering everybody late.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{Error, Result};

/// Places, and the queue in front of them.
#[derive(Debug)]
pub(crate) struct Admission {
    places: Arc<Semaphore>,
    queue: Semaphore,
    at_once: usize,
    wait: Duration,
}

/// A statement's place, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

impl Admission {
    /// So many at once, so many that wait, and for so long.
    pub(crate) fn new(at_once: usize, queue: usize, wait: Duration) -> Self {
        let at_once = at_once.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            places: Arc::new(Semaphore::new(at_once)),
            queue: Semaphore::new(queue.min(Semaphore::MAX_PERMITS)),
            at_once,
            wait,
        }
    }

    /// A place, first come first served. Who stops waiting leaves the queue.
    ///
    /// # Errors
    /// [`Error::Busy`] when the queue is full, or the wait was in vain.
    pub(crate) async fn enter(&self) -> Result<Place> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(Place(place));
        }
        let _in_queue = self.queue.try_acquire().map_err(|_| self.busy())?;
        let place = Arc::clone(&self.places).acquire_owned();
        match tokio::time::timeout(self.wait, place).await {
            Ok(Ok(place)) => Ok(Place(place)),
            _ => Err(self.busy()),
        }
    }

    fn busy(&self) -> Error {
        Error::Busy {
            at_once: self.at_once,
            retry_after: self.wait.max(Duration::from_secs(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SHORT: Duration = Duration::from_millis(30);
    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn places_are_given_out_and_come_back() {
        let admission = Admission::new(2, 0, LONG);
        let (one, _two) = (admission.enter().await.unwrap(), admission.enter().await);
        let refused = admission.enter().await.unwrap_err();
        assert!(
            matches!(refused, Error::Busy { at_once: 2, .. }),
            "{refused}"
        );
        drop(one);
        admission.enter().await.unwrap();
    }

    #[tokio::test]
    async fn who_waits_is_let_in_in_turn_or_refused_in_time() {
        let admission = Arc::new(Admission::new(1, 1, LONG));
        let first = admission.enter().await.unwrap();
        let waiting = tokio::spawn({
            let admission = Arc::clone(&admission);
            async move { admission.enter().await }
        });
        while admission.queue.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        // The queue is full.
        assert!(admission.enter().await.is_err());
        drop(first);
        let second = waiting.await.unwrap().unwrap();
        drop(second);

        let admission = Admission::new(1, 1, SHORT);
        let _held = admission.enter().await.unwrap();
        let started = std::time::Instant::now();
        assert!(admission.enter().await.is_err());
        assert!(started.elapsed() >= SHORT);
    }

    #[tokio::test]
    async fn who_gives_up_leaves_the_queue() {
        let admission = Admission::new(1, 1, LONG);
        let _held = admission.enter().await.unwrap();
        assert!(
            tokio::time::timeout(SHORT, admission.enter())
                .await
                .is_err()
        );
        assert_eq!(admission.queue.available_permits(), 1);
    }
}
