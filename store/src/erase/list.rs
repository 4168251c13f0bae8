//! The list of erasures, beside the log: enough to go on with one, and to carry it out again on a restored
//! backup, without naming anybody.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::disk::{self, Local};
use crate::error::{Error, Result};
use crate::folder;
use crate::log::LogPosition;

/// What kind of name is erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectKind {
    /// A user: `user_id`.
    User,
    /// A session: `session_id`.
    Session,
    /// A tenant: `tenant`.
    Tenant,
}

impl SubjectKind {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Session => "session",
            Self::Tenant => "tenant",
        }
    }

    /// The column that names it.
    pub(super) fn column(self) -> &'static str {
        match self {
            Self::User => "user_id",
            Self::Session => "session_id",
            Self::Tenant => "tenant",
        }
    }

    /// What a charge loses.
    pub(super) fn personal_columns(self) -> &'static [&'static str] {
        match self {
            Self::User | Self::Session => &["user_id", "session_id"],
            Self::Tenant => &["user_id", "session_id", "tenant"],
        }
    }
}

/// Who is to be forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// What kind of name it is.
    pub kind: SubjectKind,
    /// The name, exactly as it was sent.
    pub name: String,
}

/// An erasure, as the list has it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Erasure {
    /// Names it on the ledger.
    pub id: String,
    /// Microseconds since 1970.
    pub at_micros: i64,
    /// Whose tables.
    pub workspace: String,
    /// What kind of name.
    pub kind: SubjectKind,
    /// HMAC-SHA-256 of kind and name under the key beside the list, in hex.
    pub hash: String,
    /// Rows up to this log position are concerned.
    pub log_position: LogPosition,
    /// Whether it has been carried out.
    pub done: bool,
    /// While it has not: the traces concerned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub traces: Vec<String>,
    /// Files that hold what was erased and are deleted soon, as `table/path`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
}

/// The list and its key, in the folder `erasures` of a data directory.
#[derive(Debug)]
pub(crate) struct ErasureList {
    folder: PathBuf,
    key: Vec<u8>,
}

impl ErasureList {
    /// Opens it if anything was ever erased.
    pub(crate) fn existing(data_dir: &Path) -> Result<Option<Self>> {
        if !data_dir.join("erasures").is_dir() {
            return Ok(None);
        }
        Self::open(data_dir).map(Some)
    }

    /// Opens it; folder and key are made when missing.
    pub(crate) fn open(data_dir: &Path) -> Result<Self> {
        let folder = data_dir.join("erasures");
        folder::create_private(&Local, &folder).map_err(Error::file("create", &folder))?;
        let path = folder.join("key");
        let key = match std::fs::read(&path) {
            Ok(key) if key.len() == 32 => key,
            Ok(_) => {
                let source = std::io::Error::other("it is not 32 bytes long");
                return Err(Error::file("use", &path)(source));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let mut key = vec![0; 32];
                let made = SystemRandom::new().fill(&mut key);
                made.map_err(|_| {
                    Error::file("make", &path)(std::io::Error::other("no randomness"))
                })?;
                write(&path, &key)?;
                key
            }
            Err(error) => return Err(Error::file("read", &path)(error)),
        };
        Ok(Self { folder, key })
    }

    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }

    /// All of them, oldest first.
    pub(crate) fn all(&self) -> Result<Vec<Erasure>> {
        let path = self.path();
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| Error::file("read", &path)(std::io::Error::other(error))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(Error::file("read", &path)(error)),
        }
    }

    /// Enters one that is to be carried out.
    pub(super) fn begin(
        &self,
        workspace: &str,
        subject: &super::Subject,
        log_position: LogPosition,
        traces: HashSet<String>,
    ) -> Result<Erasure> {
        self.enter(Erasure {
            id: uuid::Uuid::new_v4().to_string(),
            at_micros: chrono::Utc::now().timestamp_micros(),
            workspace: workspace.to_owned(),
            kind: subject.kind,
            hash: keyed(&self.key, subject.kind, &subject.name),
            log_position,
            done: false,
            traces: traces.into_iter().collect(),
            files: Vec::new(),
        })
    }

    /// Enters one of another list, to be carried out here.
    pub(super) fn begin_again(
        &self,
        erasure: &Erasure,
        traces: HashSet<String>,
    ) -> Result<Erasure> {
        self.enter(Erasure {
            done: false,
            traces: traces.into_iter().collect(),
            files: Vec::new(),
            ..erasure.clone()
        })
    }

    fn enter(&self, erasure: Erasure) -> Result<Erasure> {
        let mut all = self.all()?;
        all.retain(|other| other.id != erasure.id);
        all.push(erasure.clone());
        self.keep(&all)?;
        Ok(erasure)
    }

    /// These files are about to go.
    pub(super) fn note(&self, id: &str, files: &[String]) -> Result<()> {
        self.change(|erasure| {
            if erasure.id == id {
                erasure.files.extend(files.iter().cloned());
            }
        })
    }

    /// It has been carried out.
    pub(super) fn finish(&self, id: &str) -> Result<()> {
        self.change(|erasure| {
            if erasure.id == id {
                (erasure.done, erasure.traces) = (true, Vec::new());
            }
        })
    }

    /// These files are deleted.
    pub(crate) fn purged(&self, workspace: &str, files: &HashSet<String>) -> Result<()> {
        self.change(|erasure| {
            if erasure.workspace == workspace {
                erasure.files.retain(|file| !files.contains(file));
            }
        })
    }

    fn change(&self, change: impl FnMut(&mut Erasure)) -> Result<()> {
        let mut all = self.all()?;
        all.iter_mut().for_each(change);
        self.keep(&all)
    }

    fn keep(&self, all: &[Erasure]) -> Result<()> {
        let path = self.path();
        let bytes = serde_json::to_vec_pretty(all)
            .map_err(|error| Error::file("write", &path)(std::io::Error::other(error)))?;
        write(&path, &bytes)
    }

    fn path(&self) -> PathBuf {
        self.folder.join("list.json")
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let staged = path.with_extension("new");
    disk::write_whole(&Local, &staged, path, bytes, true).map_err(Error::file("write", path))
}

/// The hash of a name that only who has the key can compare with.
pub(super) fn keyed(key: &[u8], kind: SubjectKind, name: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let text = format!("{}\n{name}", kind.as_str());
    hex::encode(hmac::sign(&key, text.as_bytes()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_list_names_nobody_and_keeps_what_is_left_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let list = ErasureList::open(dir.path()).unwrap();
        let subject = Subject {
            kind: SubjectKind::User,
            name: "ada.lovelace@example.com".into(),
        };
        let begun = list
            .begin("default", &subject, 7, HashSet::from(["t".to_owned()]))
            .unwrap();
        let again = ErasureList::open(dir.path()).unwrap();
        assert_eq!(again.all().unwrap(), std::slice::from_ref(&begun));
        assert_eq!(again.key(), list.key());
        again
            .note(&begun.id, &["spans/x".into(), "spans/y".into()])
            .unwrap();
        again.finish(&begun.id).unwrap();
        again
            .purged("other", &["spans/x".to_owned()].into())
            .unwrap();
        again
            .purged("default", &["spans/y".to_owned()].into())
            .unwrap();
        let [done] = &again.all().unwrap()[..] else {
            panic!()
        };
        assert!(done.done && done.traces.is_empty() && done.files == ["spans/x"]);
        for entry in std::fs::read_dir(dir.path().join("erasures")).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            assert!(!String::from_utf8_lossy(&bytes).contains("lovelace"));
        }
        let other = Subject {
            kind: SubjectKind::Session,
            ..subject
        };
        assert_ne!(keyed(list.key(), other.kind, &other.name), begun.hash);
    }
}
