//! The newest signed head of each ledger, kept beside the tables: `heads/<workspace>.json` in the data directory.
//!
//! Tables and log can be cut behind a checkpoint without the chain showing it; this file, and a copy of it
//! elsewhere, still says how far the ledger reached. One that is of a longer ledger than is there at a start is
//! put aside (`<workspace>.lost-<seq>.json`), so that it is not replaced while the ledger grows again.

use std::path::{Path, PathBuf};

use super::head::SignedHead;
use crate::disk::{self, Disk, Entry};
use crate::error::{Error, Result};
use crate::folder;

const FOLDER: &str = "heads";

fn path(data_dir: &Path, workspace: &str) -> PathBuf {
    data_dir.join(FOLDER).join(format!("{workspace}.json"))
}

/// Keeps a head; on stable storage when this returns. An older one than is there already is not kept.
pub(crate) fn keep(disk: &dyn Disk, data_dir: &Path, head: &SignedHead) -> Result<()> {
    let path = path(data_dir, &head.workspace);
    // What cannot be read is no reason not to write: `verify` has named it by then, or will not miss it.
    if newest(disk, data_dir, &head.workspace)
        .is_ok_and(|kept| kept.is_some_and(|kept| kept.seq >= head.seq))
    {
        return Ok(());
    }
    let write = || -> std::io::Result<()> {
        folder::create(disk, &data_dir.join(FOLDER))?;
        let mut text = serde_json::to_string_pretty(head)?;
        text.push('\n');
        let staged = path.with_added_extension("new");
        disk::write_whole(disk, &staged, &path, text.as_bytes(), false)
    };
    write().map_err(Error::file("write", &path))
}

/// The newest head of a ledger, if there is one.
pub(crate) fn newest(
    disk: &dyn Disk,
    data_dir: &Path,
    workspace: &str,
) -> Result<Option<SignedHead>> {
    read(disk, &path(data_dir, workspace))
}

/// Every head of a ledger that is kept, with the path of its file.
pub(crate) fn all(
    disk: &dyn Disk,
    data_dir: &Path,
    workspace: &str,
) -> Result<Vec<(String, SignedHead)>> {
    let folder = data_dir.join(FOLDER);
    let files = match disk.list(&folder) {
        Ok(files) => files,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::file("read", &folder)(error)),
    };
    let mut heads = Vec::new();
    for Entry { name, .. } in files {
        let rest = name.strip_prefix(workspace).unwrap_or_default();
        if !rest.starts_with('.') || !rest.ends_with(".json") {
            continue;
        }
        let path = folder.join(&name);
        if let Some(head) = read(disk, &path)? {
            heads.push((path.display().to_string(), head));
        }
    }
    heads.sort_by_key(|(_, head)| head.seq);
    Ok(heads)
}

/// Puts a head aside that is of a longer ledger than the one that was found, which ends at this record.
pub(crate) fn put_aside(disk: &dyn Disk, data_dir: &Path, workspace: &str, end: i64) -> Result<()> {
    let Some(head) = newest(disk, data_dir, workspace)?.filter(|head| head.seq > end) else {
        return Ok(());
    };
    let from = path(data_dir, workspace);
    let to = from.with_file_name(format!("{workspace}.lost-{}.json", head.seq));
    tracing::error!(
        workspace, head = %to.display(), found = end, signed = head.seq,
        "the ledger ends before a record that was signed: `flyball audit verify` goes on to say so until this file is removed"
    );
    disk.rename(&from, &to)
        .and_then(|()| disk.sync_folder(&data_dir.join(FOLDER)))
        .map_err(Error::file("rename", &from))
}

fn read(disk: &dyn Disk, path: &Path) -> Result<Option<SignedHead>> {
    let text = match disk::read_text(disk, path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::file("read", path)(error)),
    };
    match SignedHead::read(&text) {
        Ok(head) => Ok(Some(head)),
        Err(reason) => Err(Error::LedgerHead {
            path: path.to_owned(),
            reason,
        }),
    }
}
