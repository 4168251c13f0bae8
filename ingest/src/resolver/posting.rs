//! Updates of the journal, apart by how what caused them came.

use arrow::error::ArrowError;
use flyball_store::{JournalUpdate, LogPosition, Origin};

use super::entries::Entries;

/// What is to be journalled, and how what caused it came.
#[derive(Debug)]
pub struct Post {
    /// Live, import or replay: of the latest spans of these traces.
    pub origin: Origin,
    /// For [`flyball_store::Store::journal`].
    pub update: JournalUpdate,
}

/// Updates by origin.
#[derive(Debug)]
pub(super) struct Posting([Update; 3]);

/// What came in one way leads to.
#[derive(Debug)]
pub(super) struct Update {
    pub(super) entries: Entries,
    /// Traces that have settled.
    pub(super) settled: Vec<String>,
}

const ORIGINS: [Origin; 3] = [Origin::Live, Origin::Import, Origin::Replay];

impl Posting {
    /// None yet, of a moment (nanoseconds since 1970).
    pub(super) fn at(now: i64) -> Self {
        Self(ORIGINS.map(|_| Update {
            entries: Entries::at(now),
            settled: Vec::new(),
        }))
    }

    pub(super) fn of(&mut self, origin: Origin) -> &mut Update {
        let at = ORIGINS
            .iter()
            .position(|known| *known == origin)
            .unwrap_or_default();
        &mut self.0[at]
    }

    /// How many entries enter something, and how many take something back.
    pub(super) fn counts(&self) -> (u64, u64) {
        let entries = || self.0.iter().map(|update| &update.entries);
        (
            entries().map(Entries::entered).sum(),
            entries().map(Entries::taken_back).sum(),
        )
    }

    /// What is to be journalled. The last of it says how far everything is resolved; those before it must not.
    ///
    /// # Errors
    /// When an amount does not fit its column.
    pub(super) fn posts(
        self,
        before: LogPosition,
        resolved_to: LogPosition,
    ) -> Result<Vec<Post>, ArrowError> {
        let mut posts = Vec::new();
        for (origin, Update { entries, settled }) in ORIGINS.into_iter().zip(self.0) {
            if entries.is_empty() && settled.is_empty() {
                continue;
            }
            posts.push(Post {
                origin,
                update: JournalUpdate {
                    post: entries.batch()?.into_iter().collect(),
                    settled,
                    resolved_to: before,
                },
            });
        }
        if let Some(last) = posts.last_mut() {
            last.update.resolved_to = resolved_to;
        }
        Ok(posts)
    }
}
