//! At the start: which spans were flushed lately, and which of them stand on disk in more than one telling.

use futures::TryStreamExt;
use parking_lot::Mutex;

use super::Place;
use crate::error::Result;
use crate::log::LogPosition;
use crate::state::State;
use crate::tables;
use crate::telling::{self, REMEMBERED, SpanId};

/// Reads the ids of each table's newest rows back. Without them a span that is told again later is shown twice for
/// a while, which is no reason not to start.
pub(crate) async fn recall(state: &Mutex<State>) {
    let told: Vec<Place> = state.lock().tables();
    for place in told
        .into_iter()
        .filter(|(_, table)| table.is_told_by_span())
    {
        let found = match newest(state, &place).await {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(
                    workspace = &*place.0, table = place.1.name(), %error,
                    "the ids of the last spans cannot be read back: until compaction a span told again may show twice"
                );
                continue;
            }
        };
        let mut state = state.lock();
        let workspace = state.workspace_mut(&place.0);
        if let Some(logged) = workspace.logged.get_mut(&place.1) {
            logged.buffer.retold_mut().recall(found);
        }
    }
}

async fn newest(
    state: &Mutex<State>,
    (workspace, table): &Place,
) -> Result<Vec<(SpanId, LogPosition)>> {
    let delta = {
        let mut state = state.lock();
        let version = state.workspace_mut(workspace).version_mut(*table);
        version.delta.clone()
    };
    let Some(delta) = delta else {
        return Ok(Vec::new());
    };
    let files = tables::files(&delta, workspace, *table)?;
    let mut found = Vec::new();
    for file in tables::newest(files, REMEMBERED as u64).into_iter().rev() {
        let mut batches = tables::tellings(&delta, &file, None).await?;
        while let Some(batch) = batches.try_next().await? {
            found.extend(telling::told(&batch));
        }
        if found.len() >= REMEMBERED {
            break;
        }
    }
    Ok(found)
}
