//! `keys.json`: always whole, never read half.

use std::path::Path;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::key::ApiKey;
use crate::disk::{self, Local};
use crate::error::{Error, Result};

/// Its name.
pub(super) const NAME: &str = "keys.json";
/// What we write; another is of a version that knows more than we do.
const VERSION: u32 = 1;

/// What it holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    version: u32,
    /// The oldest first.
    pub(super) keys: Vec<ApiKey>,
    /// What the ledger is still to be told, the oldest first.
    pub(super) untold: Vec<Untold>,
}

/// A change that the ledger may not know of yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Untold {
    pub(super) what: What,
    /// Which key.
    pub(super) id: String,
    pub(super) at: DateTime<Utc>,
    /// Who did it.
    pub(super) actor: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum What {
    Created,
    Revoked,
}

impl Untold {
    pub(super) fn of(what: What, key: &ApiKey, at: DateTime<Utc>, actor: &str) -> Self {
        Self {
            what,
            id: key.id.clone(),
            at,
            actor: actor.to_owned(),
        }
    }
}

impl File {
    /// Reads it; without one there are no keys.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = match disk::read_text(&Local, path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self {
                    version: VERSION,
                    keys: Vec::new(),
                    untold: Vec::new(),
                });
            }
            Err(error) => return Err(Error::file("read", path)(error)),
        };
        let damaged = |reason: String| Error::ApiKeys {
            path: path.to_owned(),
            reason,
        };
        let file: Self = serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        if file.version != VERSION {
            let reason = format!(
                "it is of version {}, where {VERSION} is known",
                file.version
            );
            return Err(damaged(reason));
        }
        Ok(file)
    }

    /// Writes it. Complete before it has its name, and durable when this returns.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_vec_pretty(self).map_err(|error| Error::ApiKeys {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        let (staged, private) = (path.with_added_extension("new"), true);
        disk::write_whole(&Local, &staged, path, &text, private).map_err(Error::file("write", path))
    }
}
