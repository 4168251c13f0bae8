//! API keys: who may come in, as what, for which tenants and how fast. They lie in `keys.json`, beside what the ledger
//! keeps apart (the data directory, or `ledger.dir`), for its owner's eyes only.
//!
//! A [`secret`] is shown once, when its key is made; the file has its SHA-256. Keys are never changed and never removed:
//! one that is revoked stays listed, since frames of the log and records of the ledger name it, and a replay has to find
//! it as it was. What the ledger is still to be told of stands in the same file, so that a change and its record can't be
//! parted by a crash.

mod file;
mod key;
mod scram;
mod secret;
mod tell;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, SubsecRound as _, Utc};
use parking_lot::{Mutex, RwLock};

use crate::config::Config;
use crate::error::{Error, Result};
use file::{File, Untold, What};
pub use key::{ApiKey, KeyOrder, Role, Standing};
pub use scram::Scram;
pub use secret::{hash_secret, make_secret};

/// Stands in a data directory for which keys were made: should their file go missing, the door stays shut.
const MARKER: &str = "keys.made";

/// The keys of a data directory. Looked up by every request, changed by whoever owns the directory.
#[derive(Debug)]
pub struct ApiKeys {
    path: PathBuf,
    /// Says in the data directory that there are keys, wherever they lie.
    marker: PathBuf,
    held: RwLock<Arc<Held>>,
    /// One change at a time: each reads the file, and writes it whole.
    changing: Mutex<()>,
}

/// The file, as requests look into it.
#[derive(Debug, Default)]
struct Held {
    /// As listed in the file: the oldest first.
    all: Vec<Arc<ApiKey>>,
    by_secret: HashMap<[u8; 32], Arc<ApiKey>>,
    by_id: HashMap<String, Arc<ApiKey>>,
    untold: Vec<Untold>,
}

impl ApiKeys {
    /// Reads them; none when there is no file.
    ///
    /// # Errors
    /// [`Error::File`], and [`Error::ApiKeys`] when the file holds something else, or keys were made and it is not there:
    /// nobody is let in on a guess.
    pub fn open(config: &Config) -> Result<Self> {
        let path = config.ledger_dir().join(file::NAME);
        let marker = config.data_dir.join(MARKER);
        let file = File::read(&path)?;
        if file.keys.is_empty() && marker.exists() {
            return Err(Error::ApiKeys {
                path,
                reason: format!(
                    "keys were made, and there are none in it: put the file back, or remove {} to begin without keys",
                    marker.display()
                ),
            });
        }
        let held = Held::of(file, &path)?;
        Ok(Self {
            path,
            marker,
            held: RwLock::new(Arc::new(held)),
            changing: Mutex::new(()),
        })
    }

    /// Whether any key was ever made: then whoever comes without one is turned away, also when all are revoked.
    #[must_use]
    pub fn configured(&self) -> bool {
        !self.held.read().all.is_empty()
    }

    /// All of them, the oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<ApiKey>> {
        self.held.read().all.clone()
    }

    /// The key that has this secret, whether it is in force or not. Looked up by hash, so that the time it takes says
    /// nothing of how much of a wrong secret is right.
    #[must_use]
    pub fn with_secret(&self, secret: &str) -> Option<Arc<ApiKey>> {
        let hash = hash_secret(secret)?;
        self.held.read().by_secret.get(&hash).cloned()
    }

    /// The key of that id, whether it is in force or not.
    #[must_use]
    pub fn with_id(&self, id: &str) -> Option<Arc<ApiKey>> {
        self.held.read().by_id.get(id).cloned()
    }

    /// Makes a key. When this returns it is durable and in force; the second value is its secret, which nobody can
    /// tell again. [`ApiKeys::tell`] then tells the ledger.
    ///
    /// # Errors
    /// [`Error::ApiKeyOrder`] names what is wrong with the order; [`Error::File`].
    pub fn add(
        &self,
        order: KeyOrder,
        actor: &str,
        now: DateTime<Utc>,
    ) -> Result<(Arc<ApiKey>, String)> {
        let now = now.trunc_subsecs(6);
        let (secret, hash) = secret::make()?;
        let mut key = order.key(hash, now)?;
        key.scram = Some(Scram::of(&secret)?);
        let id = key.id.clone();
        self.change(|file| {
            let taken = |other: &&ApiKey| other.name == key.name && other.revoked_at.is_none();
            if let Some(other) = file.keys.iter().find(taken) {
                return Err(Error::ApiKeyOrder {
                    field: "name",
                    value: key.name.clone(),
                    accepted: format!("a name that no other key has: revoke {} first", other.id),
                });
            }
            file.untold
                .push(Untold::of(What::Created, &key, now, actor));
            file.keys.push(key);
            Ok(())
        })?;
        Ok((self.listed(&id)?, secret))
    }

    /// Revokes a key. When this returns that is durable and in force; who was revoked before stays as it is. The answer
    /// is the key. [`ApiKeys::tell`] then tells the ledger.
    ///
    /// # Errors
    /// [`Error::ApiKeyOrder`] when no key has that id; [`Error::File`].
    pub fn revoke(&self, id: &str, actor: &str, now: DateTime<Utc>) -> Result<Arc<ApiKey>> {
        let now = now.trunc_subsecs(6);
        self.listed(id)?;
        self.change(|file| {
            let File { keys, untold, .. } = file;
            if let Some(key) = keys.iter_mut().find(|key| key.id == id)
                && key.revoked_at.is_none()
            {
                key.revoked_at = Some(now);
                untold.push(Untold::of(What::Revoked, key, now, actor));
            }
            Ok(())
        })?;
        self.listed(id)
    }

    fn listed(&self, id: &str) -> Result<Arc<ApiKey>> {
        self.with_id(id).ok_or_else(|| Error::ApiKeyOrder {
            field: "id",
            value: id.to_owned(),
            accepted: "the id of a key, as `flyball keys list` shows it".to_owned(),
        })
    }

    /// Reads the file again, now that we have the directory to ourselves: somebody else may have changed it.
    ///
    /// # Errors
    /// [`Error::File`], and [`Error::ApiKeys`] when it holds something else, or no longer every key.
    pub fn reload(&self) -> Result<()> {
        let _changing = self.changing.lock();
        let file = self.read()?;
        *self.held.write() = Arc::new(Held::of(file, &self.path)?);
        Ok(())
    }

    /// Changes the file, then what requests see. The file is read again first: before we had the directory to
    /// ourselves, somebody else may have changed it.
    fn change(&self, change: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
        let _changing = self.changing.lock();
        let mut file = self.read()?;
        change(&mut file)?;
        if !file.keys.is_empty() {
            self.mark()?;
        }
        let written = file.write(&self.path);
        // Also after a failure: what requests see is what the next start would.
        let file = match &written {
            Ok(()) => file,
            Err(_) => self.read()?,
        };
        *self.held.write() = Arc::new(Held::of(file, &self.path)?);
        written
    }

    /// The file, which must have every key that it ever had: without them the door would stand open.
    fn read(&self) -> Result<File> {
        let file = File::read(&self.path)?;
        let held = self.held.read();
        let gone = held
            .all
            .iter()
            .find(|held| !file.keys.iter().any(|key| key.id == held.id));
        match gone {
            Some(key) => Err(Error::ApiKeys {
                path: self.path.clone(),
                reason: format!("key {} is not in it any more: put the file back", key.id),
            }),
            None => Ok(file),
        }
    }

    /// Leaves word in the data directory that keys were made.
    fn mark(&self) -> Result<()> {
        if self.marker.exists() {
            return Ok(());
        }
        let text = b"API keys were made for this data directory: it is not served without them.\n";
        std::fs::write(&self.marker, text).map_err(Error::file("write", &self.marker))
    }
}

impl Held {
    fn of(file: File, path: &std::path::Path) -> Result<Self> {
        let mut held = Self {
            untold: file.untold,
            ..Self::default()
        };
        for key in file.keys {
            let damaged = |reason: &str| Error::ApiKeys {
                path: path.to_owned(),
                reason: format!("key {:?}: {reason}", key.id),
            };
            let hash = key
                .hash()
                .ok_or_else(|| damaged("secret_sha256 is not 64 hex digits"))?;
            let key = Arc::new(key.clone());
            let twice = held.by_secret.insert(hash, Arc::clone(&key)).is_some()
                || held
                    .by_id
                    .insert(key.id.clone(), Arc::clone(&key))
                    .is_some();
            if twice {
                return Err(damaged("it is listed twice"));
            }
            held.all.push(key);
        }
        Ok(held)
    }
}
