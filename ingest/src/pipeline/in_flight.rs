//! How much all bodies together may weigh that are under way at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Error, Result};

/// Room is given out in pieces of this many bytes.
const PIECE: usize = 1 << 10;

/// How long a body waits for room. Others are done in milliseconds, unless there are far too many.
const PATIENCE: Duration = Duration::from_millis(500);

/// When a sender that found no room should come back, milliseconds.
const COME_BACK_MS: u64 = 1_000;

/// The room for bodies under way; shared by both ports.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    pieces: Arc<Semaphore>,
    total: u32,
}

impl Room {
    pub(crate) fn of(bytes: usize) -> Self {
        let total = pieces(bytes);
        Self {
            pieces: Arc::new(Semaphore::new(total as usize)),
            total,
        }
    }

    /// Bytes that bodies under way hold.
    pub(crate) fn used(&self) -> u64 {
        let free = self.pieces.available_permits();
        ((self.total as usize).saturating_sub(free) * PIECE) as u64
    }

    /// Room for one body, which takes it as its bytes arrive.
    pub(crate) fn body(&self) -> InFlight {
        InFlight {
            room: self.clone(),
            held: None,
        }
    }
}

/// One body's share of the [`Room`], given back when dropped.
#[derive(Debug)]
pub(crate) struct InFlight {
    room: Room,
    held: Option<OwnedSemaphorePermit>,
}

impl InFlight {
    /// Holds room for this many bytes in all. A body larger than the whole room may have all of it.
    pub(crate) async fn grow_to(&mut self, bytes: usize) -> Result<()> {
        let held = self.held.as_ref().map_or(0, |held| held.num_permits());
        let wanted = pieces(bytes).min(self.room.total) as usize;
        let Some(more) = wanted.checked_sub(held).filter(|more| *more > 0) else {
            return Ok(());
        };
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        let acquired = Arc::clone(&self.room.pieces).acquire_many_owned(more);
        match tokio::time::timeout(PATIENCE, acquired).await {
            Ok(Ok(permit)) => {
                match &mut self.held {
                    Some(held) => held.merge(permit),
                    None => self.held = Some(permit),
                }
                Ok(())
            }
            _ => Err(self.full()),
        }
    }

    fn full(&self) -> Error {
        Error::Store(flyball_store::Error::Full {
            what: "the room for requests under way",
            used: self.room.used(),
            limit: (self.room.total as usize * PIECE) as u64,
            retry_after_ms: COME_BACK_MS,
        })
    }
}

fn pieces(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(PIECE))
        .unwrap_or(u32::MAX)
        .min(u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn bodies_that_do_not_fit_together_are_told_to_come_back() {
        let room = Room::of(10 * PIECE);
        let mut first = room.body();
        first.grow_to(1).await.unwrap();
        first.grow_to(6 * PIECE).await.unwrap();
        let mut second = room.body();
        second.grow_to(4 * PIECE).await.unwrap();
        let full = second.grow_to(4 * PIECE + 1).await.unwrap_err();
        assert_eq!(
            full.to_string(),
            "the room for requests under way is full (10240 of 10240 bytes): try again in 1000 ms"
        );
        drop(first);
        second.grow_to(10 * PIECE).await.unwrap();
        drop(second);
        assert_eq!(room.pieces.available_permits(), 10);
    }

    #[tokio::test]
    async fn one_that_waits_gets_what_another_gives_back() {
        let room = Room::of(2 * PIECE);
        let mut first = room.body();
        first.grow_to(2 * PIECE).await.unwrap();
        let mut second = room.body();
        let waits = tokio::spawn(async move { second.grow_to(PIECE).await });
        tokio::task::yield_now().await;
        drop(first);
        waits.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_body_larger_than_the_room_goes_alone() {
        let room = Room::of(PIECE);
        room.body().grow_to(usize::MAX).await.unwrap();
    }
}
