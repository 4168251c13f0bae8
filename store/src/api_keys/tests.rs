#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::append::Decoder;
use crate::log::Header;
use crate::rows::{AuditRow, Row};
use crate::store::Store;
use crate::table::Table;

fn order(name: &str) -> KeyOrder {
    KeyOrder {
        name: name.to_owned(),
        role: Role::Ingest,
        workspace: "default".to_owned(),
        tenants: vec!["umbra".to_owned(), "acme".to_owned(), "acme".to_owned()],
        lasts_s: Some(90),
        requests_per_s: Some(5),
        bytes_per_s: None,
    }
}

fn noon() -> DateTime<Utc> {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn keys(dir: &std::path::Path) -> ApiKeys {
    ApiKeys::open(&Config::local(dir)).unwrap()
}

fn text(dir: &std::path::Path) -> String {
    std::fs::read_to_string(dir.join("keys.json")).unwrap()
}

#[test]
fn a_secret_opens_its_key_and_is_kept_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let keys = keys(dir.path());
    assert!(!keys.configured());
    let (key, secret) = keys.add(order("agents"), "cli:ada", noon()).unwrap();
    let (other, _) = keys.add(order("others"), "cli:ada", noon()).unwrap();
    assert_ne!(key.id, other.id);
    assert_eq!((secret.len(), &secret[..4]), (68, "fbk_"));
    assert_eq!(keys.with_secret(&secret), Some(Arc::clone(&key)));
    assert_eq!(key.tenants, ["acme", "umbra"]);
    // A second implementation of what the file holds.
    assert_eq!(key.secret_sha256, crate::sha256(secret.as_bytes()));
    let text = text(dir.path());
    assert!(!text.contains(&secret) && !text.contains(&secret[4..]));
    // Another process reads the same.
    let again = self::keys(dir.path());
    assert_eq!(again.all(), keys.all());
    assert_eq!(again.with_secret(&secret), Some(key));
}

#[cfg(unix)]
#[test]
fn the_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    // A leftover of somebody else's making does not lend its permissions.
    std::fs::write(dir.path().join("keys.json.new"), "x").unwrap();
    keys(dir.path()).add(order("a"), "x", noon()).unwrap();
    let metadata = std::fs::metadata(dir.path().join("keys.json")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    assert!(!dir.path().join("keys.json.new").exists());
}

#[test]
fn nothing_but_a_secret_opens_anything() {
    let dir = tempfile::tempdir().unwrap();
    let keys = keys(dir.path());
    let (key, secret) = keys.add(order("a"), "x", noon()).unwrap();
    for wrong in [
        "",
        "fbk_",
        &key.id,
        &key.secret_sha256,
        &format!("fbk_{}", key.secret_sha256),
        &secret[4..],
        &secret[..67],
        &format!("{secret}0"),
        &format!(" {secret}"),
        &secret.to_uppercase(),
        &format!("fbk_{}", "\u{e9}".repeat(32)),
    ] {
        assert_eq!(keys.with_secret(wrong), None, "{wrong}");
    }
}

#[test]
fn a_key_is_in_force_until_it_expires_or_is_revoked() {
    let dir = tempfile::tempdir().unwrap();
    let keys = keys(dir.path());
    let (key, secret) = keys.add(order("a"), "x", noon()).unwrap();
    let end = noon() + chrono::TimeDelta::seconds(90);
    let last = end - chrono::TimeDelta::nanoseconds(1);
    assert_eq!(key.standing(last), Standing::InForce);
    assert_eq!(key.standing(end), Standing::Expired(end));
    let revoked = keys.revoke(&key.id, "x", noon()).unwrap();
    assert_eq!(revoked.standing(noon()), Standing::Revoked(noon()));
    // Listed as before, and known for what it was; once more changes nothing.
    assert_eq!(keys.with_secret(&secret), Some(revoked));
    let later = keys.revoke(&key.id, "x", end).unwrap();
    assert_eq!(later.revoked_at, Some(noon()));
    assert!(keys.configured());
    // The name is free again.
    keys.add(order("a"), "x", noon()).unwrap();
    let unknown = keys.revoke("key-0", "x", noon()).unwrap_err().to_string();
    assert!(unknown.contains("\"key-0\"") && unknown.contains("keys list"));
}

#[test]
fn an_order_that_cannot_be_carried_out_names_field_value_and_what_is_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let keys = keys(dir.path());
    keys.add(order("taken"), "x", noon()).unwrap();
    let base = || order("a");
    let wrong = [
        (
            KeyOrder {
                name: "a b".into(),
                ..base()
            },
            "name \"a b\"",
        ),
        (
            KeyOrder {
                name: "a\"} 1\n".into(),
                ..base()
            },
            "name ",
        ),
        (
            KeyOrder {
                name: String::new(),
                ..base()
            },
            "name \"\"",
        ),
        (
            KeyOrder {
                name: "n".repeat(65),
                ..base()
            },
            "name ",
        ),
        (order("taken"), "revoke key-"),
        (
            KeyOrder {
                workspace: "No/Way".into(),
                ..base()
            },
            "No/Way",
        ),
        (
            KeyOrder {
                tenants: vec![String::new()],
                ..base()
            },
            "tenant \"\"",
        ),
        (
            KeyOrder {
                tenants: vec!["a\nb".into()],
                ..base()
            },
            "tenant ",
        ),
        (
            KeyOrder {
                lasts_s: Some(0),
                ..base()
            },
            "lasts_s \"0\"",
        ),
        (
            KeyOrder {
                lasts_s: Some(u64::MAX),
                ..base()
            },
            "lasts_s ",
        ),
        (
            KeyOrder {
                requests_per_s: Some(0),
                ..base()
            },
            "requests_per_s \"0\"",
        ),
        (
            KeyOrder {
                bytes_per_s: Some(0),
                ..base()
            },
            "bytes_per_s \"0\"",
        ),
    ];
    let before = text(dir.path());
    for (order, said) in wrong {
        let error = keys.add(order, "x", noon()).unwrap_err().to_string();
        assert!(error.contains(said), "{error} lacks {said}");
    }
    assert_eq!(text(dir.path()), before);
    assert_eq!(
        "writer".parse::<Role>().unwrap_err().to_string(),
        "role \"writer\": expected ingest, read, operate or admin"
    );
}

#[test]
fn a_file_that_is_not_understood_lets_nobody_in() {
    let dir = tempfile::tempdir().unwrap();
    let (key, _) = keys(dir.path()).add(order("a"), "x", noon()).unwrap();
    let whole = text(dir.path());
    for (from, to) in [
        ("\"version\": 1", "\"version\": 2"),
        ("\"role\"", "\"only_from\": \"10.0.0.0/8\", \"role\""),
        ("\"ingest\"", "\"everything\""),
        (key.secret_sha256.as_str(), "0f"),
        ("\"keys\"", "\"kyes\""),
    ] {
        let changed = whole.replacen(from, to, 1);
        assert_ne!(changed, whole);
        for text in [changed.as_str(), &whole[..whole.len() / 2], ""] {
            std::fs::write(dir.path().join("keys.json"), text).unwrap();
            let error = ApiKeys::open(&Config::local(dir.path())).unwrap_err();
            assert!(error.to_string().contains("keys.json"), "{error}");
        }
    }
}

#[test]
fn a_file_that_went_missing_lets_nobody_in_and_is_not_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    let keys = keys(dir.path());
    let (first, secret) = keys.add(order("first"), "cli:ada", noon()).unwrap();
    let path = dir.path().join("keys.json");
    let whole = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let problems = [
        keys.revoke(&first.id, "cli:ada", noon()).unwrap_err(),
        keys.add(order("second"), "cli:ada", noon()).unwrap_err(),
        keys.reload().unwrap_err(),
    ];
    for problem in problems {
        assert!(problem.to_string().contains(&first.id), "{problem}");
    }
    assert!(keys.configured() && keys.with_secret(&secret).is_some());
    let problem = ApiKeys::open(&Config::local(dir.path())).unwrap_err();
    assert!(
        problem.to_string().contains("put the file back"),
        "{problem}"
    );
    std::fs::write(&path, whole).unwrap();
    keys.revoke(&first.id, "cli:ada", noon()).unwrap();
    ApiKeys::open(&Config::local(dir.path())).unwrap();
    // On purpose.
    std::fs::remove_file(&path).unwrap();
    std::fs::remove_file(dir.path().join("keys.made")).unwrap();
    assert!(
        !ApiKeys::open(&Config::local(dir.path()))
            .unwrap()
            .configured()
    );
}

#[test]
fn two_who_change_the_file_do_not_undo_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (keys(dir.path()), keys(dir.path()));
    first.add(order("a"), "x", noon()).unwrap();
    second.add(order("b"), "x", noon()).unwrap();
    let names: Vec<_> = second.all().iter().map(|key| key.name.clone()).collect();
    assert_eq!(names, ["a", "b"]);
}

/// No request is in these logs.
#[derive(Debug)]
struct Nothing;

impl Decoder for Nothing {
    fn decode(
        &self,
        _: &Header,
        _: &Bytes,
    ) -> std::result::Result<Vec<(Table, arrow::array::RecordBatch)>, String> {
        Err("no request was expected".to_owned())
    }
}

#[tokio::test]
async fn the_ledger_is_told_once_of_each_change_also_after_a_crash_and_never_a_secret() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::local(dir.path());
    let store = Store::open(config.clone(), Arc::new(Nothing))
        .await
        .unwrap();
    let keys = keys(dir.path());
    let (key, secret) = keys.add(order("a"), "cli:ottilie", noon()).unwrap();
    let untold = text(dir.path());
    keys.tell(&store).await.unwrap();
    assert!(!text(dir.path()).contains("cli:ottilie"), "it is told");
    // As if it had died before it could note that.
    std::fs::write(dir.path().join("keys.json"), untold).unwrap();
    let keys = self::keys(dir.path());
    keys.tell(&store).await.unwrap();
    keys.revoke(&key.id, "cli:bob", noon()).unwrap();
    keys.tell(&store).await.unwrap();
    keys.tell(&store).await.unwrap();
    let rows: Vec<AuditRow> = store.snapshot("default").tables[&Table::Audit]
        .buffered
        .iter()
        .flat_map(|batch| AuditRow::read(batch).unwrap())
        .collect();
    let told: Vec<_> = rows
        .iter()
        .map(|row| (row.event.as_str(), row.subject.clone()))
        .collect();
    let subject = format!("key:{}", key.id);
    assert_eq!(
        told,
        [("key.created", subject.clone()), ("key.revoked", subject)]
    );
    for row in &rows {
        assert!(row.record.contains("\"role\":\"ingest\""), "{}", row.record);
        assert!(!row.record.contains(&secret) && !row.record.contains(&key.secret_sha256));
        // Sealed, so that both can be forgotten.
        assert!(!row.record.contains("acme") && !row.actor.contains("ottilie"));
    }
    store.close().await.unwrap();
}
