//! Spans that stand on disk twice, found when their files are merged: whoever told them again did so too long
//! after the first time for the buffer to remember.

use deltalake::DeltaTable;
use futures::TryStreamExt;

use super::Place;
use crate::error::Result;
use crate::log::LogPosition;
use crate::tables::{self, Listed};
use crate::telling::{self, SpanId, Superseded};

/// Rows of other files that are compared with a merge's, at least.
const COMPARED: u64 = 4 << 20;

/// Spans of these files that have more than one telling: among themselves, or in other files whose rows start in
/// the same stretch of time (what tells a span again gives it the same start). The nearest come first, and no
/// more than four times as many rows are compared as are merged, or four million.
pub(super) async fn find(
    delta: &DeltaTable,
    (workspace, table): &Place,
    merged: &[Listed],
) -> Result<Superseded> {
    let mut mine: Vec<(SpanId, LogPosition)> = Vec::new();
    for file in merged {
        let mut batches = tables::tellings(delta, file, None).await?;
        while let Some(batch) = batches.try_next().await? {
            mine.extend(telling::told(&batch));
        }
    }
    let (mine, mut found) = tokio::task::spawn_blocking(move || {
        mine.sort_unstable();
        let found = Superseded::twice(&mine);
        (mine, found)
    })
    .await?;
    let others = others(tables::files(delta, workspace, *table)?, merged);
    let mut left = COMPARED.max(4 * mine.len() as u64);
    for file in others {
        if file.rows > left {
            break;
        }
        left -= file.rows;
        let mut batches = tables::tellings(delta, &file, None).await?;
        while let Some(batch) = batches.try_next().await? {
            for (id, position) in telling::told(&batch) {
                let at = mine.partition_point(|(mine, _)| *mine <= id);
                let newest = at.checked_sub(1).and_then(|at| mine.get(at));
                if let Some((mine, newest)) = newest
                    && *mine == id
                    && *newest != position
                {
                    found.learn(id, position.max(*newest));
                }
            }
        }
    }
    Ok(found)
}

/// Files that have rows of the same time, the nearest in the log first.
fn others(mut files: Vec<Listed>, merged: &[Listed]) -> Vec<Listed> {
    let starts = merged.iter().filter_map(Listed::starts);
    let Some((from, to)) = starts.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))) else {
        return Vec::new();
    };
    let last = |file: &Listed| file.positions().map_or(0, |(_, last)| last);
    let ours = merged.iter().map(last).max().unwrap_or(0);
    files.retain(|file| {
        let overlaps = file
            .starts()
            .is_none_or(|(first, last)| first <= to && last >= from);
        overlaps && merged.iter().all(|merged| merged.path != file.path)
    });
    files.sort_by_cached_key(|file| last(file).abs_diff(ours));
    files
}
