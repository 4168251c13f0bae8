//! What of the data directory goes into a backup: all but what belongs to this node's run alone.

use std::path::{Path as FsPath, PathBuf};

use rusqlite::{Connection, OpenFlags, params};

use crate::error::{Error, Result};
use crate::log::LogPosition;

/// Holds the digests of requests, which go with a position of the log.
const DIGESTS: &str = "state.db";
/// Holds the keys that names of people in the ledger are sealed with.
const SUBJECTS: &str = "subjects.db";
/// Holds what the ledger is still to be told of. The last flush may make it.
const CORRECTIONS: &str = crate::correction::FILE;

/// The one folder that goes with them, if there is one: the list of erasures.
pub(super) const ERASURES: &str = "erasures";

/// How a file of the data directory is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// SQLite, maybe in use: as of one moment.
    Database,
    /// As it is. Written by renaming, so never half.
    Plain,
}

/// Whether it is to be left out with the keys.
fn holds_keys(name: &str) -> bool {
    name == SUBJECTS || name.contains(".key")
}

/// What a file is by its name; None for what a restored directory makes anew.
fn kind(name: &str) -> Option<Kind> {
    const OF_THIS_RUN: [&str; 6] = [
        "lock",
        "ports.json",
        "run.token",
        "node_id",
        super::restore::MARKER,
        super::restored::FILE,
    ];
    const UNFINISHED: [&str; 5] = [".new", ".tmp", "-wal", "-shm", "-journal"];
    if OF_THIS_RUN.contains(&name) || UNFINISHED.iter().any(|end| name.ends_with(end)) {
        return None;
    }
    Some(match name.rsplit_once('.') {
        Some((_, "db")) => Kind::Database,
        _ => Kind::Plain,
    })
}

/// Files of a data directory that go into a backup, in two lots: those that have to be copied before the tables
/// are flushed, and those that have to be copied after. What control has decided is told to the ledger once more
/// if the ledger is found to lack it, never the other way round; what the tables hold must be known as taken in,
/// who is named in them must have a key, and the list of erasures is the better the later it is.
pub(super) fn listed(
    data_dir: &FsPath,
    keys: bool,
) -> Result<(Vec<(String, Kind)>, Vec<(String, Kind)>)> {
    let mut files = Vec::new();
    for folder in ["", ERASURES] {
        for file in names(&data_dir.join(folder))? {
            let Some(kind) = kind(&file).filter(|_| keys || !holds_keys(&file)) else {
                continue;
            };
            let name = FsPath::new(folder).join(file);
            files.push((name.to_string_lossy().into_owned(), kind));
        }
    }
    files.push((CORRECTIONS.to_owned(), Kind::Plain));
    files.sort();
    files.dedup();
    let late = [DIGESTS, SUBJECTS, CORRECTIONS];
    let early =
        |(name, _): &(String, Kind)| !late.contains(&name.as_str()) && !name.starts_with(ERASURES);
    Ok(files.into_iter().partition(early))
}

/// Files of a folder; none when there is no such folder.
fn names(folder: &FsPath) -> Result<Vec<String>> {
    let cannot = || Error::file("list", folder);
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(cannot()(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(cannot())?;
        if entry.file_type().map_err(cannot())?.is_file() {
            names.extend(entry.file_name().into_string().ok());
        }
    }
    Ok(names)
}

/// Copies files into a scratch folder. One that is gone since it was listed is left out.
pub(super) fn stage(
    data_dir: &FsPath,
    files: &[(String, Kind)],
    scratch: &FsPath,
) -> Result<Vec<(String, PathBuf)>> {
    let mut staged = Vec::new();
    for (name, kind) in files {
        let (from, to) = (data_dir.join(name), scratch.join(name));
        if let Some(folder) = to.parent() {
            std::fs::create_dir_all(folder).map_err(Error::file("create", folder))?;
        }
        let done = match kind {
            Kind::Database => copy_database(&from, &to)?,
            Kind::Plain => match std::fs::copy(&from, &to) {
                Ok(_) => true,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
                Err(error) => return Err(Error::file("copy", &from)(error)),
            },
        };
        if done {
            staged.push((name.clone(), to));
        }
    }
    Ok(staged)
}

fn copy_database(from: &FsPath, to: &FsPath) -> Result<bool> {
    if !from.is_file() {
        return Ok(false);
    }
    let db = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    db.busy_timeout(std::time::Duration::from_secs(30))?;
    db.execute("VACUUM INTO ?1", params![to.to_string_lossy()])?;
    Ok(true)
}

/// Forgets requests past a position in a staged copy of the digests: their rows are in no table of the backup, so
/// they must be taken in when they come again.
pub(super) fn forget_past(staged: &[(String, PathBuf)], position: LogPosition) -> Result<()> {
    let Some((_, path)) = staged.iter().find(|(name, _)| name == DIGESTS) else {
        return Ok(());
    };
    let db = Connection::open(path)?;
    db.execute(
        "DELETE FROM digests WHERE position > ?1",
        params![position as i64],
    )?;
    // One file, without a journal beside it.
    db.execute_batch("PRAGMA journal_mode = DELETE; VACUUM;")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn everything_goes_but_what_belongs_to_this_run() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "alerts.json",
            "control.db",
            "control.db-journal",
            "control.db-wal",
            "ledger.key",
            "ledger.key.next",
            "lock",
            "node_id",
            "ports.json",
            "ports.json.new",
            "run.token",
            "something-new",
            "state.db",
            "subjects.db",
        ] {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        std::fs::create_dir(dir.path().join("log")).unwrap();
        std::fs::create_dir(dir.path().join("erasures")).unwrap();
        std::fs::write(dir.path().join("erasures/list.json"), "[]").unwrap();
        let names = |keys| {
            let (before, after) = listed(dir.path(), keys).unwrap();
            let names = |files: Vec<(String, Kind)>| -> Vec<String> {
                files.into_iter().map(|(name, _)| name).collect()
            };
            (names(before), names(after))
        };
        let (before, after) = names(true);
        assert_eq!(
            before,
            [
                "alerts.json",
                "control.db",
                "ledger.key",
                "ledger.key.next",
                "something-new"
            ]
        );
        assert_eq!(
            after,
            [
                "corrections.json",
                "erasures/list.json",
                "state.db",
                "subjects.db"
            ]
        );
        let (before, after) = names(false);
        assert_eq!(before, ["alerts.json", "control.db", "something-new"]);
        assert_eq!(
            after,
            ["corrections.json", "erasures/list.json", "state.db"]
        );
    }

    #[test]
    fn a_database_in_use_is_copied_as_of_one_moment_and_forgets_what_is_later() {
        let (dir, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let db = Connection::open(dir.path().join("state.db")).unwrap();
        db.execute_batch(
            "PRAGMA journal_mode = WAL;
             CREATE TABLE digests (position INTEGER NOT NULL);
             INSERT INTO digests VALUES (1), (2), (3);
             BEGIN; INSERT INTO digests VALUES (0);",
        )
        .unwrap();
        let (_, after) = listed(dir.path(), true).unwrap();
        let staged = stage(dir.path(), &after, scratch.path()).unwrap();
        forget_past(&staged, 2).unwrap();
        db.execute_batch("COMMIT").unwrap();
        let copy = Connection::open(&staged[0].1).unwrap();
        let sum: i64 = copy
            .query_row(
                "SELECT sum(position) + 10 * count(*) FROM digests",
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(
            sum, 23,
            "positions 1 and 2, and not what was never committed"
        );
    }
}
