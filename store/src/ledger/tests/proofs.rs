//! Proofs made along a walk and checked by themselves.

use super::super::files::Visitor;
use super::super::prove::{Goal, Quest};
use super::*;

/// A ledger with a checkpoint after every `every` records.
fn signed_every(every: i64, records: i64) -> Vec<AuditRow> {
    let mut keeper = Keeper::new(SigningKey::from_seed(&[1; 32]), None);
    let mut rows = Vec::new();
    for n in 1..=records {
        let mut row = row(n);
        if n % every == 0 {
            row.event = CHECKPOINT.into();
        }
        rows.push(sealed(&mut keeper, row));
        keeper.written();
    }
    rows
}

fn pursued(rows: &[AuditRow], goal: Goal) -> Option<Proof> {
    let mut walk = Walk::new("default", None).with_quest(Quest::of(goal));
    for row in rows {
        if walk.is_done() {
            break;
        }
        walk.step(row, "file");
    }
    walk.into_quest().unwrap().into_proof()
}

fn proof(rows: &[AuditRow], seq: i64) -> Option<Proof> {
    pursued(
        rows,
        Goal::Record {
            seq,
            under: None,
            found: None,
        },
    )
}

fn head(rows: &[AuditRow], at: usize) -> SignedHead {
    SignedHead::read(&rows[at].record).unwrap().without_peaks()
}

#[test]
fn every_record_before_a_checkpoint_is_proved_by_itself() {
    let rows = signed_every(7, 50);
    let key = SigningKey::from_seed(&[1; 32]).unwrap().public();
    for row in &rows[..48] {
        let proof = proof(&rows, row.seq).unwrap();
        let json = serde_json::to_string(&proof).unwrap();
        assert_eq!(Proof::read(&json), Ok(proof.clone()));
        assert_eq!(proof.check(Some(&key), None), Ok(()));
        let Proof::Inclusion {
            record, hash, head, ..
        } = &proof
        else {
            panic!("another proof");
        };
        // What anybody can do with json and hashlib.
        let compact = serde_json::to_string(record).unwrap();
        assert_eq!((compact, hash), (chain::canonical(row), &row.hash));
        assert_eq!(head.seq, (row.seq / 7 + 1) * 7 - 1);
    }
    assert_eq!(
        proof(&rows, 49),
        None,
        "the last checkpoint signs those before it"
    );
    assert_eq!(proof(&rows, 51), None);
}

#[test]
fn a_record_is_proved_under_the_head_that_somebody_kept() {
    let rows = signed_every(7, 50);
    let kept = head(&rows, 41);
    let goal = |under| Goal::Record {
        seq: 3,
        under: Some(under),
        found: None,
    };
    let proof = pursued(&rows, goal(kept.clone())).unwrap();
    assert_eq!(proof.check(None, Some(&kept)), Ok(()));
    assert!(matches!(
        &proof.check(None, Some(&head(&rows, 6))).unwrap_err()[..],
        [Flaw::Head(_)]
    ));
    let mut other = kept;
    other.root = Some("00".repeat(32));
    assert_eq!(pursued(&rows, goal(other)), None, "no such checkpoint");
}

#[test]
fn what_fails_is_named() {
    let rows = signed_every(7, 50);
    let sound = proof(&rows, 3).unwrap();
    let flaws = |change: &dyn Fn(&mut Entry, &mut String, &mut Vec<String>, &mut SignedHead)| {
        let Proof::Inclusion {
            mut record,
            mut hash,
            mut path,
            mut head,
        } = sound.clone()
        else {
            panic!("another proof");
        };
        change(&mut record, &mut hash, &mut path, &mut head);
        let changed = Proof::Inclusion {
            record,
            hash,
            path,
            head,
        };
        changed.check(None, None).unwrap_err()
    };
    let found = flaws(&|record, _, _, _| record.actor = "cli:eve".into());
    assert!(matches!(&found[..], [Flaw::Record(_)]), "{found:?}");
    let found = flaws(&|record, _, _, _| record.at += 1);
    assert!(matches!(&found[..], [Flaw::Record(_)]), "{found:?}");
    let found = flaws(&|_, _, path, _| path.swap(0, 1));
    assert!(matches!(&found[..], [Flaw::Path(_)]), "{found:?}");
    let found = flaws(&|_, _, path, _| path.truncate(1));
    assert!(matches!(&found[..], [Flaw::Path(_)]), "{found:?}");
    let found = flaws(&|_, _, path, _| path[0] = "x".into());
    assert!(matches!(&found[..], [Flaw::Path(_)]), "{found:?}");
    let found = flaws(&|_, _, _, head| head.signature = "00".repeat(64));
    assert!(matches!(&found[..], [Flaw::Signature(_)]), "{found:?}");
    let found = flaws(&|_, _, _, head| head.root = Some("00".repeat(32)));
    assert!(
        matches!(&found[..], [Flaw::Path(_), Flaw::Signature(_)]),
        "{found:?}"
    );
    let found = flaws(&|record, hash, _, _| {
        record.subject = "agent:other".into();
        *hash = chain::hash(&AuditRow {
            subject: record.subject.clone(),
            ..rows[2].clone()
        });
    });
    assert!(
        matches!(&found[..], [Flaw::Path(_)]),
        "a record that was never there: {found:?}"
    );
    let eve = SigningKey::from_seed(&[9; 32]).unwrap().public();
    assert!(matches!(
        &sound.check(Some(&eve), None).unwrap_err()[..],
        [Flaw::Key(_)]
    ));
}

#[test]
fn a_ledger_has_only_grown() {
    let rows = signed_every(7, 50);
    let newest = head(&rows, 48);
    for at in (6..49).step_by(7) {
        let old = head(&rows, at);
        let grown = |rows: &[AuditRow]| {
            let goal = Goal::Growth {
                old: old.clone(),
                peak: None,
                newest: None,
            };
            pursued(rows, goal).unwrap()
        };
        let proof = grown(&rows);
        assert_eq!(proof.check(None, Some(&old)), Ok(()));
        assert!(matches!(&proof, Proof::Consistency { new, .. } if new.says_as(&newest)));
        // Written anew from the first record on, by whoever has the key.
        let mut keeper = Keeper::new(SigningKey::from_seed(&[1; 32]), None);
        let forged: Vec<_> = rows
            .iter()
            .map(|row| {
                let mut row = row.clone();
                row.actor = if row.seq == 2 {
                    "cli:eve".into()
                } else {
                    row.actor
                };
                let row = sealed(&mut keeper, row);
                keeper.written();
                row
            })
            .collect();
        assert_eq!(findings(&forged, None), [], "sound in itself");
        assert!(matches!(
            &grown(&forged).check(None, None).unwrap_err()[..],
            [Flaw::Path(_)]
        ));
        let mut walk = Walk::new("default", None).with_kept(vec![("usb".into(), old.clone())]);
        forged.iter().for_each(|row| walk.step(row, "file"));
        walk.finish();
        assert!(matches!(
            &walk.report().findings[..],
            [Finding::Head { .. }]
        ));
    }
}

/// A ledger of before there were trees goes on with one, once all of it was read.
#[test]
fn checkpoints_without_a_root_stay_valid() {
    let key = SigningKey::from_seed(&[1; 32]).unwrap();
    let mut rows = Vec::new();
    let mut end = Head::default();
    for n in 1..=4 {
        let mut row = row(n);
        if n == 4 {
            row.event = CHECKPOINT.into();
            row.record = checkpoint::sign(&key, "default", &end, None).unwrap();
            assert!(!row.record.contains("root") && !row.record.contains("peaks"));
        }
        chain::seal(&mut row, &end);
        end = Head::of(&row);
        rows.push(row);
    }
    assert_eq!(findings(&rows, None), []);
    let mut keeper = Keeper::new(Some(key), None);
    rows.iter().for_each(|row| keeper.resume("default", row));
    assert!(!keeper.lacks_tree("default"), "all of it is there");
    let mut late = Keeper::new(SigningKey::from_seed(&[1; 32]), None);
    rows[2..].iter().for_each(|row| late.resume("default", row));
    assert!(late.lacks_tree("default"));
    let mut tree = Tree::default();
    rows.iter()
        .for_each(|row| tree.add(&tree::from_hex(&row.hash).unwrap()));
    late.resume_tree("default", tree);
    for keeper in [&mut keeper, &mut late] {
        let mut rows = rows.clone();
        for event in ["control.decided", CHECKPOINT] {
            let mut row = row(9);
            row.event = event.into();
            rows.push(sealed(keeper, row));
            keeper.written();
        }
        assert_eq!(findings(&rows, None), []);
        assert_eq!(proof(&rows, 1).unwrap().check(None, None), Ok(()));
    }
}

/// What was read back need not reach the first record: a checkpoint's peaks tell the tree.
#[test]
fn a_checkpoint_tells_the_tree() {
    let rows = signed_every(7, 50);
    let mut keeper = Keeper::new(SigningKey::from_seed(&[1; 32]), None);
    rows[40..]
        .iter()
        .for_each(|row| keeper.resume("default", row));
    assert!(!keeper.lacks_tree("default"));
    let mut all = rows;
    all.push(sealed(
        &mut keeper,
        AuditRow {
            event: CHECKPOINT.into(),
            ..row(51)
        },
    ));
    assert_eq!(findings(&all, None), []);
    // A root that is not that of the records is seen, though it is signed.
    let key = SigningKey::from_seed(&[1; 32]).unwrap();
    let last = all.pop().unwrap();
    let mut wrong = Tree::default();
    (0..50).for_each(|_| wrong.add(&[7; 32]));
    let end = Head::of(&all[49]);
    let mut row = last;
    row.record = checkpoint::sign(&key, "default", &end, Some(&wrong)).unwrap();
    chain::seal(&mut row, &end);
    all.push(row);
    assert_eq!(first_broken(&all), Some(51));
}
