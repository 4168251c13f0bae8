//! The keys of people, in `subjects.db` of the data directory: made when somebody is named for the first time,
//! gone when the person is forgotten.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use ring::rand::{SecureRandom, SystemRandom};
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::sealed::{Key, SECRET_BYTES};
use crate::error::{Error, Result};

const FILE: &str = "subjects.db";
/// So many keys are kept at hand.
const AT_HAND: usize = 10_000;

/// All keys of a data directory.
#[derive(Debug)]
pub(super) struct Keys {
    path: PathBuf,
    read_only: bool,
    /// One lock for the file and what is at hand of it: a key that was dropped cannot come back.
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    /// None before anybody is named.
    db: Option<Connection>,
    /// By workspace and person.
    by_person: HashMap<(String, String), Arc<Key>>,
    by_id: HashMap<String, Arc<Key>>,
}

impl Keys {
    pub(super) fn of(data_dir: &Path, read_only: bool) -> Self {
        Self {
            path: data_dir.join(FILE),
            read_only,
            open: Mutex::default(),
        }
    }

    /// A person's key, if it was asked for lately.
    pub(super) fn at_hand(&self, workspace: &str, person: &str) -> Option<Arc<Key>> {
        let place = (workspace.to_owned(), person.to_owned());
        self.open.lock().by_person.get(&place).map(Arc::clone)
    }

    /// A person's key; made, and on disk before this returns, when there is none.
    pub(super) fn of_person(&self, workspace: &str, person: &str) -> Result<Arc<Key>> {
        let mut open = self.open.lock();
        let place = (workspace.to_owned(), person.to_owned());
        if let Some(key) = open.by_person.get(&place) {
            return Ok(Arc::clone(key));
        }
        if self.read_only {
            return Err(Error::ReadOnly);
        }
        let db = open.db(&self.path, true)?.ok_or(Error::ReadOnly)?;
        let key = match find(db, workspace, person)? {
            Some((id, secret)) => self.key(id, &secret)?,
            None => {
                let (id, secret) = self.random()?;
                db.execute(
                    "INSERT INTO subject_keys (id, workspace, person, secret) VALUES (?1, ?2, ?3, ?4)",
                    params![id, workspace, person, secret],
                )?;
                self.key(id, &secret)?
            }
        };
        open.keep(Some(place), &key);
        Ok(key)
    }

    /// The key of that id, if it is still there.
    pub(super) fn by_id(&self, id: &str) -> Option<Arc<Key>> {
        let mut open = self.open.lock();
        if let Some(key) = open.by_id.get(id) {
            return Some(Arc::clone(key));
        }
        let secret = open.secret(&self.path, id).unwrap_or_else(|error| {
            tracing::error!(%error, "the keys of people cannot be read: names show as erased");
            None
        });
        let key = self.key(id.to_owned(), &secret?).ok()?;
        open.keep(None, &key);
        Some(key)
    }

    /// The id of a person's key, if there is one.
    pub(super) fn find(&self, workspace: &str, person: &str) -> Result<Option<String>> {
        let mut open = self.open.lock();
        let Some(db) = open.db(&self.path, false)? else {
            return Ok(None);
        };
        Ok(find(db, workspace, person)?.map(|(id, _)| id))
    }

    /// Drops a key, from the file and from memory. A reader leaves the file as it is.
    pub(super) fn forget(&self, id: &str) -> Result<bool> {
        if self.read_only {
            return Ok(false);
        }
        let mut open = self.open.lock();
        let Some(db) = open.db(&self.path, false)? else {
            return Ok(false);
        };
        let gone = db.execute("DELETE FROM subject_keys WHERE id = ?1", [id])?;
        open.by_id.remove(id);
        open.by_person.retain(|_, key| key.id != id);
        Ok(gone > 0)
    }

    fn key(&self, id: String, secret: &[u8]) -> Result<Arc<Key>> {
        let key = Key::new(id, secret).ok_or_else(|| Error::SubjectKeys {
            path: self.path.clone(),
            reason: format!("a key in it does not have {SECRET_BYTES} bytes"),
        })?;
        Ok(Arc::new(key))
    }

    fn random(&self) -> Result<(String, Vec<u8>)> {
        let (mut id, mut secret) = ([0; 8], vec![0; SECRET_BYTES]);
        let random = SystemRandom::new();
        let filled = random.fill(&mut id).and_then(|()| random.fill(&mut secret));
        filled.map_err(|_| Error::SubjectKeys {
            path: self.path.clone(),
            reason: "the operating system gives no random numbers".into(),
        })?;
        Ok((hex::encode(id), secret))
    }
}

impl Open {
    /// The file, opened; None when there is none and none is to be made.
    fn db(&mut self, path: &Path, make: bool) -> Result<Option<&Connection>> {
        if self.db.is_none() {
            if !make && !path.exists() {
                return Ok(None);
            }
            self.db = Some(open(path)?);
        }
        Ok(self.db.as_ref())
    }

    fn secret(&mut self, path: &Path, id: &str) -> Result<Option<Vec<u8>>> {
        let Some(db) = self.db(path, false)? else {
            return Ok(None);
        };
        let mut query = db.prepare_cached("SELECT secret FROM subject_keys WHERE id = ?1")?;
        Ok(query.query_row([id], |row| row.get(0)).optional()?)
    }

    fn keep(&mut self, place: Option<(String, String)>, key: &Arc<Key>) {
        if self.by_id.len() >= AT_HAND {
            self.by_id.clear();
            self.by_person.clear();
        }
        self.by_id.insert(key.id.clone(), Arc::clone(key));
        if let Some(place) = place {
            self.by_person.insert(place, Arc::clone(key));
        }
    }
}

/// For its owner's eyes only. What is deleted is overwritten in the file, and the journal is emptied.
fn open(path: &Path) -> Result<Connection> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(Error::file("open", path))?;
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    db.execute_batch(
        "PRAGMA journal_mode = TRUNCATE;
         PRAGMA synchronous = EXTRA;
         PRAGMA secure_delete = ON;
         CREATE TABLE IF NOT EXISTS subject_keys (
             id TEXT NOT NULL PRIMARY KEY,
             workspace TEXT NOT NULL,
             person TEXT NOT NULL,
             secret BLOB NOT NULL,
             UNIQUE (workspace, person)
         ) WITHOUT ROWID;",
    )?;
    Ok(db)
}

fn find(db: &Connection, workspace: &str, person: &str) -> Result<Option<(String, Vec<u8>)>> {
    let mut query = db.prepare_cached(
        "SELECT id, secret FROM subject_keys WHERE workspace = ?1 AND person = ?2",
    )?;
    let found = query.query_row([workspace, person], |row| Ok((row.get(0)?, row.get(1)?)));
    Ok(found.optional()?)
}
