#![allow(clippy::unwrap_used)]
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::rows::Micros;

fn row(actor: &str, subject: &str, record: &Value) -> AuditRow {
    AuditRow {
        at: Micros(1),
        event: "control.decided".into(),
        actor: actor.into(),
        subject: subject.into(),
        record: record.to_string(),
        ..AuditRow::default()
    }
}

fn decided(actor: &str) -> Value {
    json!({
        "event": "decided", "action_id": "a1", "scope": {"scope": "tenant", "target": "acme"},
        "state": {"state": "frozen"}, "actor": actor, "reason": "zoe saw it", "evidence": {"usd": "5"},
        "cause": null, "epoch": 7,
    })
}

fn opened(personal: &Personal, row: &AuditRow) -> (String, String, Value) {
    (
        personal.opened(&row.actor),
        personal.opened(&row.subject),
        serde_json::from_str(&personal.opened(&row.record)).unwrap(),
    )
}

#[test]
fn what_names_people_is_sealed_and_read_back_until_they_are_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let personal = Personal::of(dir.path(), false);
    let clear = row("cli:zoe", "tenant:acme", &decided("cli:zoe"));
    let mut sealed = clear.clone();
    personal.seal("default", &mut sealed).unwrap();
    let all = format!("{}{}{}", sealed.actor, sealed.subject, sealed.record);
    for word in ["zoe", "acme", "saw", "usd"] {
        assert!(!all.contains(word), "{word} in {all}");
    }
    let kept: Value = serde_json::from_str(&sealed.record).unwrap();
    assert_eq!(
        (&kept["action_id"], &kept["epoch"], &kept["state"]["state"]),
        (&json!("a1"), &json!(7), &json!("frozen")),
        "what was decided stays readable"
    );
    let back = (
        clear.actor.clone(),
        clear.subject.clone(),
        decided("cli:zoe"),
    );
    assert_eq!(opened(&personal, &sealed), back);
    // Another process, later.
    let personal = Personal::of(dir.path(), false);
    assert_eq!(opened(&personal, &sealed), back);
    let mut again = clear.clone();
    assert!(!personal.seal_at_hand("default", &mut again));
    personal.seal("default", &mut again).unwrap();
    assert_eq!(again, sealed, "told again it is the same record");
    again = clear.clone();
    assert!(personal.seal_at_hand("default", &mut again));
    assert_eq!(again, sealed);
    let mut elsewhere = clear;
    personal.seal("other", &mut elsewhere).unwrap();
    assert_ne!(
        elsewhere.actor, sealed.actor,
        "each workspace has its own keys"
    );

    let id = personal.key_of("default", "cli", "zoe").unwrap().unwrap();
    assert!(sealed.actor.contains(&id));
    assert!(personal.forget(&id).unwrap());
    assert!(!personal.forget(&id).unwrap());
    for personal in [personal, Personal::of(dir.path(), true)] {
        let (actor, subject, record) = opened(&personal, &sealed);
        assert_eq!((actor.as_str(), subject.as_str()), (ERASED, "tenant:acme"));
        assert_eq!(record["actor"], ERASED);
        assert_eq!(
            record["reason"], ERASED,
            "sealed for both: without one key it is gone"
        );
        assert_eq!(record["scope"]["target"], "acme");
        assert_eq!(record["action_id"], "a1");
    }
    let bytes = std::fs::read(dir.path().join("subjects.db")).unwrap();
    let has = |word: &str| {
        bytes
            .windows(word.len())
            .any(|part| part == word.as_bytes())
    };
    assert!(
        has("tenant:acme") && has("cli:zoe"),
        "of the other workspace"
    );
    assert!(!has(&id), "deleted means overwritten");
}

#[test]
fn machines_are_not_people_and_their_records_stay_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let personal = Personal::of(dir.path(), false);
    for actor in ["flyball", "rule:runaway", "runtime:fleet/triage", "api", ""] {
        let clear = row(
            actor,
            "agent:triage",
            &json!({"reason": "5 usd", "actor": actor}),
        );
        let mut sealed = clear.clone();
        personal.seal("default", &mut sealed).unwrap();
        assert_eq!(sealed, clear);
        assert!(
            personal.seal_at_hand("default", &mut sealed),
            "no look into the file"
        );
        assert_eq!(sealed, clear);
    }
    assert!(!dir.path().join("subjects.db").exists(), "nobody was named");
    let mut bare = row("ann", "agent:triage", &json!("not an object"));
    bare.record = "said in words".into();
    personal.seal("default", &mut bare).unwrap();
    assert!(
        personal
            .key_of("default", "actor", "ann")
            .unwrap()
            .is_some()
    );
    assert!(!bare.record.contains("words"));
    assert_eq!(personal.opened(&bare.record), "said in words");
    let mut by_rule = row(
        "rule:r",
        "agent:a",
        &json!({"evidence": {"spans": [{"user_id": "u-77"}]}}),
    );
    personal.seal("default", &mut by_rule).unwrap();
    assert!(!by_rule.record.contains("u-77"), "{}", by_rule.record);
    assert!(
        personal
            .key_of("default", "user", "u-77")
            .unwrap()
            .is_some()
    );
}

#[test]
fn a_reader_makes_no_key() {
    let dir = tempfile::tempdir().unwrap();
    let personal = Personal::of(dir.path(), true);
    let mut row = row("cli:zoe", "agent:a", &json!({}));
    assert!(personal.seal("default", &mut row).is_err());
    assert_eq!(personal.opened("sealed:00:00"), ERASED);
    assert!(!dir.path().join("subjects.db").exists());
}

#[cfg(unix)]
#[test]
fn the_keys_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let personal = Personal::of(dir.path(), false);
    personal
        .seal("default", &mut row("cli:zoe", "", &json!({})))
        .unwrap();
    let mode = std::fs::metadata(dir.path().join("subjects.db"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

proptest! {
    // Each case makes a file of keys.
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever was said comes back, and nothing that only looks sealed does harm.
    #[test]
    fn any_text_comes_back(actor in "\\PC{1,20}", reason in "\\PC{0,80}", junk in "sealed:[0-9a-f:]{0,80}") {
        let dir = tempfile::tempdir().unwrap();
        let personal = Personal::of(dir.path(), false);
        prop_assume!(!actor.starts_with("sealed:") && !reason.starts_with("sealed:"));
        let record = json!({"reason": reason, "by": actor, "n": 1.5});
        let clear = row(&actor, "agent:a", &record);
        let mut sealed = clear.clone();
        personal.seal("default", &mut sealed).unwrap();
        prop_assert_eq!(opened(&personal, &sealed), (clear.actor, clear.subject, record));
        prop_assert_eq!(personal.opened(&junk), ERASED);
    }

    /// A changed sealed text opens as nothing, not as something else.
    #[test]
    fn a_forged_text_does_not_open(at in 0..200_usize, bit in 0..4_u8) {
        let dir = tempfile::tempdir().unwrap();
        let personal = Personal::of(dir.path(), false);
        let mut row = row("cli:zoe", "agent:a", &json!({}));
        personal.seal("default", &mut row).unwrap();
        let mut bytes = row.actor.into_bytes();
        let at = "sealed:".len() + at % (bytes.len() - "sealed:".len());
        let digit = char::from(bytes[at]).to_digit(16);
        prop_assume!(digit.is_some());
        bytes[at] = char::from_digit(digit.unwrap() ^ (1 << bit), 16).unwrap() as u8;
        prop_assert_eq!(personal.opened(&String::from_utf8(bytes).unwrap()), ERASED);
    }
}
