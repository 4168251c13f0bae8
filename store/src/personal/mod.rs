//! Names of people in the ledger: kept so that they can be erased without touching the chain.
//!
//! A record that names somebody ([`fields`] says who that is, and where) holds the name, and what was said in
//! free words, as a [`sealed`] text: encrypted with a key that belongs to that person alone. The chain hashes
//! the sealed text. The key lies in `subjects.db` of the data directory ([`keys`]); with it the text is read
//! back, and once it is dropped nobody can, while every hash stays what it was.

mod fields;
mod keys;
mod sealed;

#[cfg(test)]
mod tests;

use std::path::Path;

use serde_json::Value;

use crate::error::Result;
use crate::rows::AuditRow;
use keys::Keys;

/// What stands where a text was that nobody can read any more.
pub(crate) const ERASED: &str = "erased";

/// Seals and opens what names people.
#[derive(Debug)]
pub(crate) struct Personal {
    keys: Keys,
}

impl Personal {
    /// For a data directory; nothing is opened before somebody is named.
    pub(crate) fn of(data_dir: &Path, read_only: bool) -> Self {
        Self {
            keys: Keys::of(data_dir, read_only),
        }
    }

    /// The same as [`Personal::seal`], if it takes no look into the file: nobody is named, or everybody was before.
    /// Whether it was done.
    pub(crate) fn seal_at_hand(&self, workspace: &str, row: &mut AuditRow) -> bool {
        let mut people = Vec::new();
        for person in fields::people(row) {
            let Some(key) = self.keys.at_hand(workspace, &person) else {
                return false;
            };
            people.push((person, key));
        }
        if !people.is_empty() {
            fields::seal(row, &people);
        }
        true
    }

    /// Seals what names people in a record, each with the key of the person. The same record comes out the
    /// same every time, as long as the keys live. May wait for the disk when somebody is named for the first time.
    pub(crate) fn seal(&self, workspace: &str, row: &mut AuditRow) -> Result<()> {
        let mut people = Vec::new();
        for person in fields::people(row) {
            let key = self.keys.of_person(workspace, &person)?;
            people.push((person, key));
        }
        if !people.is_empty() {
            fields::seal(row, &people);
        }
        Ok(())
    }

    /// A text of a record as it was before it was sealed; what cannot be read any more is `erased`.
    pub(crate) fn opened(&self, text: &str) -> String {
        if sealed::is_sealed(text) {
            return match self.opened_value(Value::from(text)) {
                Value::String(text) => text,
                other => other.to_string(),
            };
        }
        if !text.contains("\"sealed:") {
            return text.to_owned();
        }
        match serde_json::from_str(text) {
            Ok(value) => self.opened_value(value).to_string(),
            Err(_) => text.to_owned(),
        }
    }

    fn opened_value(&self, value: Value) -> Value {
        match value {
            Value::String(text) if sealed::is_sealed(&text) => {
                let key = sealed::key_id(&text).and_then(|id| self.keys.by_id(id));
                match key.and_then(|key| sealed::open(&key, &text)) {
                    Some(inner) => self.opened_value(inner),
                    None => Value::from(ERASED),
                }
            }
            Value::Array(items) => items
                .into_iter()
                .map(|item| self.opened_value(item))
                .collect(),
            Value::Object(members) => members
                .into_iter()
                .map(|(name, member)| (name, self.opened_value(member)))
                .collect(),
            other => other,
        }
    }

    /// The id of a person's key, if the person was ever named and not forgotten since.
    pub(crate) fn key_of(&self, workspace: &str, kind: &str, name: &str) -> Result<Option<String>> {
        self.keys.find(workspace, &format!("{kind}:{name}"))
    }

    /// Drops a key: what was sealed with it is erased. Whether there was one.
    pub(crate) fn forget(&self, id: &str) -> Result<bool> {
        self.keys.forget(id)
    }
}
