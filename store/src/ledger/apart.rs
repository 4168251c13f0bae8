//! A ledger's files apart from its log: where they end, and whether they are as they were written.

use deltalake::DeltaTable;
use object_store::ObjectStore;
use object_store::path::Path;

use super::chain::Head;
use super::file;
use super::files::{self, Opened};
use super::verify::LedgerReport;
use super::walk::Walk;
use crate::error::{Error, Result};

/// Number and hash of the last record in the files that a table names.
pub(crate) async fn head_of_files(loaded: &DeltaTable, workspace: &str) -> Result<(i64, String)> {
    let store = loaded.log_store().object_store(None);
    let files = files::listed(loaded, workspace)?.into_iter();
    let last = files
        .filter_map(|(path, name)| Some((path, name?)))
        .max_by_key(|(_, name)| name.last);
    let mut head = Head::default();
    if let Some((path, name)) = last {
        let damaged = |reason| Error::LedgerEnd {
            workspace: workspace.to_owned(),
            path: path.to_string(),
            reason,
        };
        let opened = Opened::of(store.as_ref(), path.clone(), name).await;
        for row in opened.map_err(damaged)? {
            let row = row.map_err(damaged)?;
            if row.seq > head.seq {
                head = Head::of(&row);
            }
        }
    }
    Ok((head.seq, head.hash))
}

/// Goes along the chain in these files of a folder, as verification does with those that a table names.
pub(crate) async fn verify_files(
    store: &dyn ObjectStore,
    paths: Vec<Path>,
    workspace: &str,
) -> LedgerReport {
    let mut files: Vec<_> = paths
        .into_iter()
        .map(|path| {
            let name = path.filename().and_then(file::parse);
            (path, name)
        })
        .collect();
    files.sort_by_key(|(_, name)| name.as_ref().map(|name| (name.first, name.last)));
    let mut walk = Walk::new(workspace, None);
    files::along(store, files, &mut walk).await;
    walk.end_of_files();
    walk.finish();
    walk.report()
}
