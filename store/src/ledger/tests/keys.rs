//! Keys that change: with the word of the old one, without it, and forged.

use super::*;

fn key(seed: u8) -> Option<SigningKey> {
    SigningKey::from_seed(&[seed; 32])
}

fn public(seed: u8) -> PublicKey {
    key(seed).unwrap().public()
}

fn special(event: &str) -> AuditRow {
    AuditRow {
        event: event.into(),
        actor: "flyball".into(),
        ..row(0)
    }
}

/// Records, a checkpoint, and so on, as a keeper with these keys writes them; `c` is a checkpoint, `k` a change.
fn written(keeper: &mut Keeper, what: &str) -> Vec<AuditRow> {
    let made = what.chars().zip(1..).map(|(what, n)| {
        let row = match what {
            'c' => special(CHECKPOINT),
            'k' => special(KEY_CHANGED),
            _ => row(n),
        };
        let sealed = sealed(keeper, row);
        keeper.written();
        sealed
    });
    made.collect()
}

#[test]
fn a_key_that_changes_with_the_word_of_the_old_one_is_believed() {
    let mut keeper = Keeper::new(key(1), None);
    let mut rows = written(&mut keeper, "rrcr");
    keeper.change_to(key(2).unwrap());
    assert_eq!(keeper.signed_by_others(), ["default"]);
    rows.extend(written(&mut keeper, "rk"));
    assert_eq!(keeper.signed_by_others(), Vec::<String>::new());
    rows.extend(written(&mut keeper, "rc"));
    keeper.changed();
    rows.extend(written(&mut keeper, "rc"));
    for pinned in [None, Some(public(1)), Some(public(2))] {
        assert_eq!(findings(&rows, pinned), []);
    }
    assert!(matches!(
        &findings(&rows, Some(public(3)))[..],
        [Finding::Record { seq: 10, .. }]
    ));
    // The change taken out, and the chain mended by whoever has the new key only.
    let mut again = Keeper::new(key(2), None);
    let mut forged = rows[..5].to_vec();
    forged.iter().for_each(|row| again.resume("default", row));
    forged.extend(written(&mut again, "c"));
    assert!(matches!(
        &findings(&forged, None)[..],
        [Finding::Record { seq: 6, .. }]
    ));
}

#[test]
fn a_key_without_the_word_of_the_old_one_is_named_unless_it_is_pinned() {
    let rows = written(&mut Keeper::new(key(1), None), "rrc");
    // The key file was lost: another life has another key.
    let mut keeper = Keeper::new(key(2), None);
    rows.iter().for_each(|row| keeper.resume("default", row));
    assert_eq!(keeper.signed_by_others(), ["default"]);
    let mut all = rows;
    all.extend(written(&mut keeper, "krc"));
    let found = findings(&all, None);
    assert!(
        matches!(&found[..], [Finding::Record { seq: 4, .. }]),
        "{found:?}"
    );
    assert!(
        found[0].to_string().contains("without its word"),
        "{}",
        found[0]
    );
    assert_eq!(findings(&all, Some(public(2))), []);
    assert_eq!(findings(&all, Some(public(1))).len(), 1);
}

#[test]
fn a_change_cannot_be_forged_or_moved() {
    let mut keeper = Keeper::new(key(1), None);
    let mut rows = written(&mut keeper, "rrc");
    keeper.change_to(key(2).unwrap());
    rows.extend(written(&mut keeper, "kr"));
    // In another place of the chain, with fresh hashes.
    let mut moved = vec![rows[0].clone()];
    for row in [&rows[3], &rows[1], &rows[2], &rows[4]] {
        let mut row = row.clone();
        chain::seal(&mut row, &Head::of(moved.last().unwrap()));
        moved.push(row);
    }
    let found = findings(&moved, None);
    assert!(
        found
            .iter()
            .any(|f| matches!(f, Finding::Record { seq: 2, .. })),
        "{found:?}"
    );
    // To a key whose owner never agreed.
    for (old, new) in [("old_signature", "old key"), ("new_signature", "new key")] {
        let mut forged = rows.clone();
        let row = &mut forged[3];
        let mut record: serde_json::Value = serde_json::from_str(&row.record).unwrap();
        record[old] = "00".repeat(64).into();
        row.record = record.to_string();
        chain::seal(row, &Head::of(&rows[2]));
        let found = findings(&forged, None);
        assert!(found[0].to_string().contains(new), "{found:?}");
    }
}
