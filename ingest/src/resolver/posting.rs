//! Updates of the journal, apart by how what caused them came.

use flyball_store::rows::ChargeRow;
use flyball_store::{JournalUpdate, Origin};

/// What is to be journalled, and how what caused it came.
#[derive(Debug)]
pub struct Post {
    /// Live, import or replay: of the latest spans of these traces.
    pub origin: Origin,
    /// For [`flyball_store::Store::journal`].
    pub update: JournalUpdate,
}

/// Updates by origin.
#[derive(Debug, Default)]
pub(super) struct Posting([JournalUpdate; 3]);

const ORIGINS: [Origin; 3] = [Origin::Live, Origin::Import, Origin::Replay];

impl Posting {
    pub(super) fn of(&mut self, origin: Origin) -> &mut JournalUpdate {
        let at = ORIGINS
            .iter()
            .position(|known| *known == origin)
            .unwrap_or_default();
        &mut self.0[at]
    }

    pub(super) fn add(&mut self, origin: Origin, rows: Vec<ChargeRow>) {
        self.of(origin).post.extend(rows);
    }

    pub(super) fn posts(self) -> Vec<Post> {
        let posts = ORIGINS
            .into_iter()
            .zip(self.0)
            .map(|(origin, update)| Post { origin, update });
        posts
            .filter(|post| !post.update.post.is_empty() || !post.update.settled.is_empty())
            .collect()
    }
}
