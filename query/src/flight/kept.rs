//! What the port keeps for clients between calls, under names that nobody can guess: tokens and prepared statements.
//! So much for each key and so long, and no more.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_rustls::rustls::crypto::ring;
use tonic::Status;

use crate::gate::Reader;

/// Things by name, each with its owner. At most so many for each owner: of a client that leaks them, the one that was
/// longest unused makes room.
#[derive(Debug)]
pub(super) struct Kept<T> {
    each_max: usize,
    idle_max: Duration,
    things: Mutex<HashMap<String, Entry<T>>>,
}

#[derive(Debug)]
struct Entry<T> {
    owner: Reader,
    used: Instant,
    thing: T,
}

impl<T: Clone> Kept<T> {
    /// Keeps `each_max` for an owner, each until it was not used for `idle_max`.
    pub(super) fn new(each_max: usize, idle_max: Duration) -> Self {
        Self {
            each_max,
            idle_max,
            things: Mutex::default(),
        }
    }

    /// Keeps a thing; its name.
    ///
    /// # Errors
    /// When this machine has no randomness to give.
    pub(super) fn keep(&self, owner: &Reader, thing: T) -> Result<String, Status> {
        let name = hex(&random::<32>()?);
        let now = Instant::now();
        let mut things = self.things.lock();
        things.retain(|_, entry| now - entry.used < self.idle_max);
        let own = || things.iter().filter(|(_, entry)| entry.owner == *owner);
        if own().count() >= self.each_max
            && let Some((oldest, _)) = own().min_by_key(|(_, entry)| entry.used)
        {
            let oldest = oldest.clone();
            things.remove(&oldest);
        }
        let entry = Entry {
            owner: owner.clone(),
            used: now,
            thing,
        };
        things.insert(name.clone(), entry);
        Ok(name)
    }

    /// The thing of this name and whose it is, which is used by this.
    pub(super) fn get(&self, name: &str) -> Option<(Reader, T)> {
        let now = Instant::now();
        let mut things = self.things.lock();
        let entry = things.get_mut(name)?;
        if now - entry.used >= self.idle_max {
            things.remove(name);
            return None;
        }
        entry.used = now;
        Some((entry.owner.clone(), entry.thing.clone()))
    }

    /// Puts another in its place, if it is still kept.
    pub(super) fn replace(&self, name: &str, thing: T) {
        if let Some(entry) = self.things.lock().get_mut(name) {
            entry.thing = thing;
        }
    }

    /// Forgets it.
    pub(super) fn forget(&self, name: &str) {
        self.things.lock().remove(name);
    }
}

/// Bytes that nobody can guess.
pub(super) fn random<const N: usize>() -> Result<[u8; N], Status> {
    let mut bytes = [0; N];
    ring::default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| Status::unavailable("this machine has no randomness to give"))?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn reader(key: &str) -> Reader {
        Reader {
            key_id: Some(key.to_owned()),
            workspace: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_owner_s_longest_unused_makes_room_and_nobody_else_s() {
        let kept = Kept::new(2, Duration::from_secs(60));
        let (a, b) = (reader("a"), reader("b"));
        let other = kept.keep(&b, 0).unwrap();
        let mut names = Vec::new();
        for n in 1..=2 {
            tokio::time::advance(Duration::from_secs(1)).await;
            names.push(kept.keep(&a, n).unwrap());
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(kept.get(&names[0]), Some((a.clone(), 1)));
        kept.keep(&a, 3).unwrap();
        assert_eq!(kept.get(&names[1]), None, "not used since");
        assert_eq!(kept.get(&names[0]), Some((a, 1)));
        assert_eq!(kept.get(&other), Some((b, 0)));
        assert!(names[0].len() == 64 && names[0] != names[1]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_used_stays_and_what_is_not_goes() {
        let kept = Kept::new(2, Duration::from_secs(60));
        let name = kept.keep(&reader("a"), 1).unwrap();
        for _ in 0..3 {
            tokio::time::advance(Duration::from_secs(59)).await;
            assert!(kept.get(&name).is_some());
        }
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(kept.get(&name), None);
        let name = kept.keep(&reader("a"), 1).unwrap();
        kept.replace(&name, 2);
        assert_eq!(kept.get(&name).unwrap().1, 2);
        kept.forget(&name);
        assert_eq!(kept.get(&name), None);
    }
}
