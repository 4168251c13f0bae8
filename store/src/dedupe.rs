//! Which requests are in already, by the digest of their body.
//!
//! A live request is remembered for one hour after it was received, an import for ever. The log holds the
//! digests of its own frames; before a part of it is cut off, they are written to `state.db`.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::{Connection, params};

use crate::error::Result;
use crate::log::{FrameKind, Header, LogPosition, Origin};

/// How long a live request is remembered, in nanoseconds.
const LIVE_FOR_NANOS: i64 = 3_600 * 1_000_000_000;

type Digest = [u8; 32];

#[derive(Debug, Clone, Copy)]
struct Known {
    position: LogPosition,
    received_at: i64,
    for_ever: bool,
}

impl Known {
    /// Whether a request received now repeats this one.
    fn holds(&self, now: i64) -> bool {
        self.for_ever || now.saturating_sub(self.received_at) < LIVE_FOR_NANOS
    }
}

/// The digests of all workspaces.
/// One request as it is remembered outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub(crate) workspace: Arc<str>,
    pub(crate) digest: Digest,
    pub(crate) position: LogPosition,
    pub(crate) received_at: i64,
    pub(crate) for_ever: bool,
}

#[derive(Debug)]
pub(crate) struct Dedupe {
    memory: Mutex<Memory>,
    db: Mutex<Connection>,
}

#[derive(Debug, Default)]
struct Memory {
    workspaces: HashMap<Arc<str>, HashMap<Digest, Known>>,
    /// Live ones in the order they came, to forget them in time.
    live: VecDeque<(Arc<str>, Digest)>,
    /// Those that only the log holds, in log order.
    unsaved: VecDeque<(LogPosition, Arc<str>, Digest)>,
    /// The latest time of receipt we have heard of: the clock by which live ones expire.
    /// Saved as live, and to be remembered for ever since.
    promoted: Vec<(Arc<str>, Digest)>,
    now: i64,
}

impl Dedupe {
    /// Loads what `state.db` remembers, made when new.
    pub(crate) fn open(db: Connection) -> Result<Self> {
        db.execute_batch(
            "PRAGMA journal_mode = WAL;
             PRAGMA synchronous = FULL;
             CREATE TABLE IF NOT EXISTS digests (
                 workspace TEXT NOT NULL,
                 digest BLOB NOT NULL,
                 position INTEGER NOT NULL,
                 received_at INTEGER NOT NULL,
                 for_ever INTEGER NOT NULL,
                 PRIMARY KEY (workspace, digest)
             ) WITHOUT ROWID;",
        )?;
        let mut memory = Memory::default();
        let mut query = db.prepare(
            "SELECT workspace, digest, position, received_at, for_ever FROM digests ORDER BY received_at",
        )?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let workspace: String = row.get(0)?;
            let known = Known {
                position: row.get::<_, i64>(2)? as u64,
                received_at: row.get(3)?,
                for_ever: row.get(4)?,
            };
            memory.learn(&workspace, row.get(1)?, known);
        }
        drop(rows);
        drop(query);
        Ok(Self {
            memory: Mutex::new(memory),
            db: Mutex::new(db),
        })
    }

    /// Where the request stands already. An import that was known as live is remembered for ever from now on.
    pub(crate) fn known(&self, header: &Header) -> Option<LogPosition> {
        if header.kind != FrameKind::Otlp {
            return None;
        }
        let mut memory = self.memory.lock();
        let known = memory
            .workspaces
            .get_mut(header.workspace.as_str())?
            .get_mut(&header.digest)?;
        if !known.holds(header.received_at_unix_nano) {
            return None;
        }
        let promote = header.origin == Origin::Import && !known.for_ever;
        known.for_ever |= promote;
        let known = *known;
        if promote && let Some((name, _)) = memory.workspaces.get_key_value(&*header.workspace) {
            let name = Arc::clone(name);
            memory.promoted.push((name, header.digest));
        }
        drop(memory);
        if promote && let Err(error) = self.save_one(&header.workspace, &header.digest, known) {
            tracing::error!(%error, "an import that repeats a live request may be taken again after a restart");
        }
        Some(known.position)
    }

    /// Whether a body with this digest is in, by the clock of the latest request.
    pub(crate) fn seen(&self, workspace: &str, digest: &Digest) -> bool {
        let memory = self.memory.lock();
        memory
            .workspaces
            .get(workspace)
            .and_then(|known| known.get(digest))
            .is_some_and(|known| known.holds(memory.now))
    }

    /// Remembers a request that stands in the log.
    pub(crate) fn learn(&self, position: LogPosition, header: &Header) {
        if header.kind != FrameKind::Otlp {
            return;
        }
        let known = Known {
            position,
            received_at: header.received_at_unix_nano,
            for_ever: header.origin == Origin::Import,
        };
        let mut memory = self.memory.lock();
        let workspace = memory.learn(&header.workspace, header.digest, known);
        memory
            .unsaved
            .push_back((position, workspace, header.digest));
    }

    /// Writes everything up to a log position to `state.db`, so that the log may be cut there.
    pub(crate) fn save_to(&self, position: LogPosition) -> Result<()> {
        let (batch, now) = {
            let mut memory = self.memory.lock();
            memory.forget_expired();
            let count = memory.unsaved.partition_point(|(at, ..)| *at <= position);
            let batch: Vec<_> = memory
                .unsaved
                .iter()
                .take(count)
                .filter_map(|(_, workspace, digest)| {
                    let known = memory.workspaces.get(workspace)?.get(digest)?;
                    Some((Arc::clone(workspace), *digest, *known))
                })
                .collect();
            (batch, memory.now)
        };
        let mut db = self.db.lock();
        let transaction = db.transaction()?;
        for (workspace, digest, known) in &batch {
            save(&transaction, workspace, digest, *known)?;
        }
        transaction.execute(
            "DELETE FROM digests WHERE for_ever = 0 AND received_at <= ?1",
            params![now.saturating_sub(LIVE_FOR_NANOS)],
        )?;
        transaction.commit()?;
        drop(db);
        self.saved(position, &[]);
        // Each was saved when it was promoted.
        self.memory.lock().promoted.clear();
        Ok(())
    }

    /// The requests up to a log position that only the log holds, and those to be remembered longer than was said.
    pub(crate) fn unsaved(&self, position: LogPosition) -> Vec<Remembered> {
        let mut memory = self.memory.lock();
        memory.forget_expired();
        let cut = memory.unsaved.partition_point(|(at, ..)| *at <= position);
        let unsaved = memory.unsaved.iter().take(cut);
        let unsaved = unsaved.map(|(_, workspace, digest)| (workspace, digest));
        let promoted = memory.promoted.iter();
        let promoted = promoted.map(|(workspace, digest)| (workspace, digest));
        let remembered = |(workspace, digest): (&Arc<str>, &Digest)| {
            let known = memory.workspaces.get(workspace)?.get(digest)?;
            Some(Remembered {
                workspace: Arc::clone(workspace),
                digest: *digest,
                position: known.position,
                received_at: known.received_at,
                for_ever: known.for_ever,
            })
        };
        unsaved.chain(promoted).filter_map(remembered).collect()
    }

    /// Those up to a position are remembered outside, and these for ever.
    pub(crate) fn saved(&self, position: LogPosition, entries: &[Remembered]) {
        let mut memory = self.memory.lock();
        for entry in entries.iter().filter(|entry| entry.for_ever) {
            memory.promoted.retain(|(workspace, digest)| {
                *workspace != entry.workspace || *digest != entry.digest
            });
        }
        while memory
            .unsaved
            .front()
            .is_some_and(|(at, ..)| *at <= position)
        {
            memory.unsaved.pop_front();
        }
    }

    /// Takes up what was remembered outside.
    pub(crate) fn restore(&self, remembered: &Remembered) {
        let known = Known {
            position: remembered.position,
            received_at: remembered.received_at,
            for_ever: remembered.for_ever,
        };
        let mut memory = self.memory.lock();
        memory.learn(&remembered.workspace, remembered.digest, known);
    }

    /// Whether it still has to be remembered.
    pub(crate) fn is_needed(&self, remembered: &Remembered) -> bool {
        let age = self
            .memory
            .lock()
            .now
            .saturating_sub(remembered.received_at);
        remembered.for_ever || age < LIVE_FOR_NANOS
    }

    fn save_one(&self, workspace: &str, digest: &Digest, known: Known) -> Result<()> {
        save(&self.db.lock(), workspace, digest, known)
    }
}

fn save(db: &Connection, workspace: &str, digest: &Digest, known: Known) -> Result<()> {
    db.prepare_cached(
        "INSERT INTO digests VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET position = excluded.position, received_at = excluded.received_at,
             for_ever = max(for_ever, excluded.for_ever)",
    )?
    .execute(params![
        workspace,
        digest,
        known.position as i64,
        known.received_at,
        known.for_ever
    ])?;
    Ok(())
}

impl Memory {
    fn learn(&mut self, workspace: &str, digest: Digest, mut known: Known) -> Arc<str> {
        let workspace = match self.workspaces.get_key_value(workspace) {
            Some((name, _)) => Arc::clone(name),
            None => Arc::from(workspace),
        };
        self.now = self.now.max(known.received_at);
        let digests = self.workspaces.entry(Arc::clone(&workspace)).or_default();
        known.for_ever |= digests.get(&digest).is_some_and(|earlier| earlier.for_ever);
        digests.insert(digest, known);
        if !known.for_ever {
            self.live.push_back((Arc::clone(&workspace), digest));
        }
        workspace
    }

    fn forget_expired(&mut self) {
        while let Some((workspace, digest)) = self.live.front() {
            let digests = self.workspaces.get_mut(workspace);
            match digests.as_ref().and_then(|digests| digests.get(digest)) {
                Some(known) if !known.for_ever && known.holds(self.now) => break,
                Some(known) if !known.for_ever => {
                    let digest = *digest;
                    digests.map(|digests| digests.remove(&digest));
                }
                _ => {}
            }
            self.live.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::log::{Encoding, Signal};

    const MINUTE: i64 = 60_000_000_000;

    fn header(workspace: &str, digest: u8, origin: Origin, at: i64) -> Header {
        Header {
            kind: FrameKind::Otlp,
            origin,
            received_at_unix_nano: at,
            workspace: workspace.into(),
            key: None,
            signal: Signal::Traces,
            encoding: Encoding::Protobuf,
            rejected: Vec::new(),
            digest: [digest; 32],
        }
    }

    #[test]
    fn a_live_request_is_known_for_an_hour_and_an_import_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let dedupe = Dedupe::open(Connection::open(dir.path().join("state.db")).unwrap()).unwrap();
        dedupe.learn(1, &header("a", 1, Origin::Live, 0));
        dedupe.learn(2, &header("a", 2, Origin::Import, 0));
        let known = |digest, origin, at| dedupe.known(&header("a", digest, origin, at));
        assert_eq!(known(1, Origin::Live, 59 * MINUTE), Some(1));
        assert_eq!(known(1, Origin::Live, 60 * MINUTE), None);
        assert_eq!(
            known(2, Origin::Live, 10_000 * MINUTE),
            Some(2),
            "a live request equal to an import"
        );
        assert_eq!(known(3, Origin::Live, 0), None);
        assert_eq!(
            dedupe.known(&header("b", 1, Origin::Live, 0)),
            None,
            "another workspace"
        );
    }

    #[test]
    fn an_import_of_what_came_live_is_kept_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        let dedupe = Dedupe::open(Connection::open(&path).unwrap()).unwrap();
        dedupe.learn(1, &header("a", 1, Origin::Live, 0));
        assert_eq!(
            dedupe.known(&header("a", 1, Origin::Import, MINUTE)),
            Some(1)
        );
        drop(dedupe);
        let dedupe = Dedupe::open(Connection::open(&path).unwrap()).unwrap();
        assert_eq!(
            dedupe.known(&header("a", 1, Origin::Import, 1_000 * MINUTE)),
            Some(1)
        );
    }

    #[test]
    fn what_was_saved_survives_and_what_expired_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        let dedupe = Dedupe::open(Connection::open(&path).unwrap()).unwrap();
        dedupe.learn(1, &header("a", 1, Origin::Live, 0));
        dedupe.learn(2, &header("a", 2, Origin::Import, MINUTE));
        dedupe.learn(3, &header("a", 3, Origin::Live, 30 * MINUTE));
        dedupe.learn(4, &header("a", 4, Origin::Live, 61 * MINUTE));
        dedupe.save_to(3).unwrap();
        drop(dedupe);
        let dedupe = Dedupe::open(Connection::open(&path).unwrap()).unwrap();
        let now = 62 * MINUTE;
        let known: Vec<_> = (1..=4)
            .map(|digest| dedupe.known(&header("a", digest, Origin::Live, now)))
            .collect();
        assert_eq!(
            known,
            [None, Some(2), Some(3), None],
            "the first expired, the last was only in the log"
        );
        assert!(dedupe.seen("a", &[3; 32]) && !dedupe.seen("a", &[1; 32]));
    }
}
