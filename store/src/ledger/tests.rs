#![allow(clippy::unwrap_used)]

mod keys;
mod proofs;
mod trees;

use proptest::prelude::*;

use super::chain::{self, Head};
use super::file::{self, Name};
use super::files::Visitor;
use super::tree::Tree;
use super::walk::Walk;
use super::*;
use crate::append::OwnEvent;
use crate::rows::{AuditRow, Micros};

fn row(n: i64) -> AuditRow {
    AuditRow {
        at: Micros(n),
        event: "control.decided".into(),
        actor: "cli:ada".into(),
        subject: format!("agent:{}", n % 3),
        record: format!("{{\"n\":{n}}}"),
        ..AuditRow::default()
    }
}

/// A ledger of so many records with a checkpoint at the end, signed by the key of this seed.
fn ledger(rows: i64, seed: u8) -> Vec<AuditRow> {
    let key = SigningKey::from_seed(&[seed; 32]).unwrap();
    let (mut head, mut tree) = (Head::default(), Tree::default());
    let mut sealed = Vec::new();
    for n in 1..=rows + 1 {
        let mut row = row(n);
        if n == rows + 1 {
            row.event = CHECKPOINT.into();
            row.record = checkpoint::sign(&key, "default", &head, Some(&tree)).unwrap();
        }
        chain::seal(&mut row, &head);
        head = Head::of(&row);
        tree.add(&tree::from_hex(&row.hash).unwrap());
        sealed.push(row);
    }
    sealed
}

/// What a keeper makes of a record.
fn sealed(keeper: &mut Keeper, row: AuditRow) -> AuditRow {
    let mut append = OwnEvent::Audit(row).into_append("default").unwrap();
    keeper.seal(&mut append).unwrap();
    let OwnEvent::Audit(row) = serde_json::from_slice(&append.body).unwrap() else {
        panic!("another event");
    };
    row
}

fn findings(rows: &[AuditRow], pinned: Option<PublicKey>) -> Vec<Finding> {
    let mut walk = Walk::new("default", pinned);
    rows.iter().for_each(|row| walk.step(row, "file"));
    walk.finish();
    walk.report().findings
}

fn first_broken(rows: &[AuditRow]) -> Option<i64> {
    match findings(rows, None).first()? {
        Finding::Record { seq, .. } => Some(*seq),
        Finding::File { .. } | Finding::Head { .. } => None,
    }
}

/// The text and its hash were made by Python's json and hashlib.
#[test]
fn the_hash_is_of_canonical_json() {
    let row = AuditRow {
        seq: 1,
        at: Micros(1_763_784_000_123_456),
        event: "control.decided".into(),
        actor: "cli:ada".into(),
        subject: "agent:tri\"age\\".into(),
        record: "{\"reason\":\"\u{20ac}$\u{f}\nA'B\"}".into(),
        previous_hash: "0".repeat(64),
        ..AuditRow::default()
    };
    let wanted = r#"{"actor":"cli:ada","at":1763784000123456,"event":"control.decided","previous_hash":"0000000000000000000000000000000000000000000000000000000000000000","record":"{\"reason\":\"€$\u000f\nA'B\"}","seq":1,"subject":"agent:tri\"age\\"}"#;
    assert_eq!(chain::canonical(&row), wanted);
    assert_eq!(
        chain::hash(&row),
        "09957e83c8f4a1563bcfe45d34eba4513745876865e76ac8d38fb7c4637370fc"
    );
}

#[test]
fn a_sound_ledger_is_sound() {
    let rows = ledger(5, 1);
    assert_eq!(findings(&rows, None), []);
    assert_eq!(
        (rows[0].seq, rows[0].previous_hash.as_str()),
        (1, chain::GENESIS)
    );
}

#[test]
fn who_rewrites_it_all_needs_the_key() {
    let key = |seed| SigningKey::from_seed(&[seed; 32]).unwrap().public();
    let forged = ledger(5, 2);
    assert_eq!(findings(&forged, None), [], "sound in itself");
    assert_eq!(findings(&ledger(5, 1), Some(key(1))), []);
    assert!(matches!(
        &findings(&forged, Some(key(1)))[..],
        [Finding::Record { seq: 6, .. }]
    ));
    assert!(
        matches!(
            &findings(&forged[..5], Some(key(1)))[..],
            [Finding::Record { seq: 5, .. }]
        ),
        "nor does it help to leave the checkpoint out"
    );
    let mut other = Walk::new("other", Some(key(1)));
    ledger(5, 1).iter().for_each(|row| other.step(row, "file"));
    other.finish();
    assert_eq!(
        other.report().findings.len(),
        1,
        "another workspace's checkpoint"
    );
}

#[test]
fn a_ledger_without_checkpoints_is_named() {
    let rows = ledger(UNSIGNED_MAX + 5, 1);
    assert_eq!(first_broken(&rows), Some(UNSIGNED_MAX + 1));
}

#[test]
fn lost_files_are_not_also_missing_records() {
    let rows = ledger(20, 1);
    let mut walk = Walk::new("default", None);
    let path = object_store::path::Path::from("date=2026-11-22/audit");
    walk.damaged(&path, Some((5, 9)), "torn");
    let left = rows
        .iter()
        .filter(|row| !(5..=9).contains(&row.seq) && row.seq != 15);
    left.for_each(|row| walk.step(row, "file"));
    let findings = walk.report().findings;
    assert_eq!(findings.len(), 2, "{findings:?}");
    assert_eq!(
        findings[0].to_string(),
        format!("file {path} (records 5 to 9): torn")
    );
    assert_eq!(findings[1].to_string(), "record 15: it is missing");
}

#[test]
fn names_of_files_say_what_they_hold_and_others_are_refused() {
    use crate::rows::Row;
    let rows = AuditRow::batch(&ledger(4, 1)[1..]).unwrap();
    let name = file::name(&rows, b"bytes");
    let wanted = Name {
        first: 2,
        last: 5,
        sha256: file::sha256(b"bytes"),
    };
    assert_eq!(file::parse(&name), Some(wanted));
    for other in [
        "part-1.zstd.parquet".to_owned(),
        name.replace("audit-000000000002", "audit-000000000006"),
        name.replace("audit-000000000002", "audit-000000000000"),
        name.replace(".zstd", "-x.zstd"),
        name.replace("audit-", "audit--"),
    ] {
        assert_eq!(file::parse(&other), None, "{other}");
    }
}

#[test]
fn numbers_of_what_could_not_be_written_are_given_again() {
    let mut keeper = Keeper::new(SigningKey::from_seed(&[1; 32]), None);
    let sealed = |keeper: &mut Keeper, n| sealed(keeper, row(n));
    let first = sealed(&mut keeper, 1);
    assert_eq!(
        sealed(&mut keeper, 2).previous_hash,
        first.hash,
        "in one group"
    );
    keeper.unwritten();
    assert_eq!(sealed(&mut keeper, 3).seq, 1);
    keeper.written();
    assert_eq!(sealed(&mut keeper, 4).seq, 2);
}

proptest! {
    /// Whatever is done to one record is seen at that record, or at the one after it.
    #[test]
    fn no_record_changes_unseen(at in 0..11_usize, field in 0..7_u8, text in "\\PC{1,8}", number in 1..i64::MAX) {
        let mut rows = ledger(10, 1);
        let row = &mut rows[at];
        let sound = row.clone();
        match field {
            0 => row.actor = text,
            1 => row.event = text,
            2 => row.subject = text,
            3 => row.record = text,
            4 => row.previous_hash = text,
            5 => row.hash = text,
            _ => row.at = Micros(number),
        }
        prop_assume!(*row != sound);
        prop_assert_eq!(first_broken(&rows), Some(sound.seq));
        // Even with a fresh hash of its own.
        let fresh = chain::hash(&rows[at]);
        rows[at].hash = fresh;
        prop_assume!(rows[at].hash != sound.hash);
        // Of the last record nothing is known but what it says: only its signature, or the next one, tells.
        if at < 10 || field == 3 || field == 4 {
            let broken = first_broken(&rows).unwrap();
            prop_assert!((sound.seq..=sound.seq + 1).contains(&broken));
        }
    }

    /// None is taken out, put in or moved.
    #[test]
    fn no_record_comes_or_goes_unseen(at in 0..10_usize, to in 0..10_usize) {
        let rows = ledger(10, 1);
        let mut without = rows.clone();
        without.remove(at);
        prop_assert_eq!(first_broken(&without), Some(rows[at].seq));
        let mut twice = rows.clone();
        twice.insert(to, rows[at].clone());
        prop_assert!(first_broken(&twice).is_some());
        let mut moved = rows;
        moved.swap(at, to);
        prop_assert_eq!(first_broken(&moved).is_some(), at != to);
    }

    /// Two events of ours with the same key are the same event.
    #[test]
    fn keys_tell_events_apart(a in "[ab:]{0,3}", b in "[ab:]{0,3}", c in "[ab:]{0,3}", d in "[ab:]{0,3}") {
        let of = |actor: &str, subject: &str| AuditRow { actor: actor.into(), subject: subject.into(), ..row(1) };
        prop_assert_eq!(record_key(&of(&a, &b)) == record_key(&of(&c, &d)), (&a, &b) == (&c, &d));
    }
}
