//! Who is a person, and where in a record people are named.
//!
//! | where | who |
//! |---|---|
//! | `actor` | everybody but [`NOBODY`]: a person, or a key that a person holds |
//! | `subject` | those of [`SUBJECTS`] |
//! | in `record`, anywhere | a member of [`MEMBERS`], and any text that equals one of the names above |
//! | in `record`, [`FREE`] | may name anybody who is named elsewhere in the record |

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::sealed::{self, Key};
use crate::rows::AuditRow;

/// Actors that are no people; one that ends in a colon stands for all that begin so.
const NOBODY: [&str; 6] = ["", "api", "flyball", "rule:", "runtime:", "agent:"];
/// Subjects that are people, or whatever the sender made one of.
const SUBJECTS: [&str; 3] = ["user:", "session:", "tenant:"];
/// Members of a record's JSON that name somebody, and the kind of name.
const MEMBERS: [(&str, &str); 5] = [
    ("user", "user"),
    ("user_id", "user"),
    ("session", "session"),
    ("session_id", "session"),
    ("tenant", "tenant"),
];
/// Members of a record's JSON that are free words: sealed with the keys of all who are named in the record.
const FREE: [&str; 2] = ["reason", "evidence"];

/// Who is named in a record, as `kind:name`.
pub(super) fn people(row: &AuditRow) -> BTreeSet<String> {
    let mut people = BTreeSet::new();
    people.extend(actor(&row.actor));
    if SUBJECTS.iter().any(|kind| is_named(&row.subject, kind)) {
        people.insert(row.subject.clone());
    }
    // Most records have none of these members: they need not be read as JSON.
    if MEMBERS
        .iter()
        .any(|(name, _)| row.record.contains(&format!("\"{name}\"")))
        && let Ok(record) = serde_json::from_str(&row.record)
    {
        members(&record, &mut people);
    }
    people
}

/// Puts sealed texts where these people are named.
pub(super) fn seal(row: &mut AuditRow, people: &[(String, Arc<Key>)]) {
    let key_of = |person: &str| {
        people
            .iter()
            .find(|(name, _)| name == person)
            .map(|(_, key)| key)
    };
    if let Some(key) = actor(&row.actor).as_deref().and_then(key_of) {
        row.actor = sealed::seal(key, &Value::from(row.actor.as_str()));
    }
    if let Some(key) = key_of(&row.subject) {
        row.subject = sealed::seal(key, &Value::from(row.subject.as_str()));
    }
    row.record = match serde_json::from_str(&row.record) {
        Ok(record) => within(record, people).to_string(),
        Err(_) => with_all(&Value::from(row.record.as_str()), people),
    };
}

/// The person that an actor is. A name without a kind is that of an `actor`.
fn actor(actor: &str) -> Option<String> {
    let nobody = |name: &&str| match name.strip_suffix(':') {
        Some(_) => actor.starts_with(*name),
        None => actor == *name,
    };
    if NOBODY.iter().any(nobody) {
        None
    } else if actor.contains(':') {
        Some(actor.to_owned())
    } else {
        Some(format!("actor:{actor}"))
    }
}

fn is_named(text: &str, kind: &str) -> bool {
    text.strip_prefix(kind).is_some_and(|name| !name.is_empty())
}

fn members(value: &Value, people: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| members(item, people)),
        Value::Object(object) => {
            for (name, member) in object {
                let kind = MEMBERS.iter().find(|(known, _)| known == name);
                match (kind, member) {
                    (Some((_, kind)), Value::String(text)) if !text.is_empty() => {
                        people.insert(format!("{kind}:{text}"));
                    }
                    _ => members(member, people),
                }
            }
        }
        _ => {}
    }
}

fn within(value: Value, people: &[(String, Arc<Key>)]) -> Value {
    match value {
        Value::String(text) => match people.iter().find(|(person, _)| names(&text, person)) {
            Some((_, key)) => Value::from(sealed::seal(key, &Value::from(text))),
            None => Value::from(text),
        },
        Value::Array(items) => items.into_iter().map(|item| within(item, people)).collect(),
        Value::Object(object) => object
            .into_iter()
            .map(|(name, member)| {
                let free = FREE.contains(&name.as_str()) && !member.is_null();
                let member = if free {
                    Value::from(with_all(&member, people))
                } else {
                    within(member, people)
                };
                (name, member)
            })
            .collect(),
        other => other,
    }
}

/// Whether a text is a person's name, with its kind or without.
fn names(text: &str, person: &str) -> bool {
    let bare = person.split_once(':').map_or(person, |(_, name)| name);
    !text.is_empty() && (text == person || text == bare)
}

/// Sealed with one key after the other: without any of them it cannot be read.
fn with_all(value: &Value, people: &[(String, Arc<Key>)]) -> String {
    let mut value = value.clone();
    for (_, key) in people {
        value = Value::from(sealed::seal(key, &value));
    }
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}
