//! The ledger through the store: one chain, whatever happens, and no byte of it changes unseen.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use flyball_store::rows::{ActionRow, AuditRow, Micros, Row};
use flyball_store::{Finding, LedgerReport, OwnEvent, PublicKey, Store, Table, verify_ledger};

use crate::fixture::{DAY_MICROS, START_MICROS, config, open};

pub(crate) fn row(n: i64) -> AuditRow {
    AuditRow {
        at: Micros(START_MICROS + n),
        event: "control.decided".into(),
        actor: "cli:ada".into(),
        subject: format!("agent:a{n}"),
        record: format!("{{\"n\":{n}}}"),
        ..AuditRow::default()
    }
}

pub(crate) async fn record(store: &Store, n: i64) -> u64 {
    let told = store.record("default", OwnEvent::Audit(row(n))).await;
    told.unwrap()
}

pub(crate) async fn verify(dir: &Path) -> LedgerReport {
    verify_ledger(&config(dir), "default", None).await.unwrap()
}

/// What stands in the store's buffer, by number.
fn buffered(store: &Store) -> Vec<AuditRow> {
    let snapshot = store.snapshot("default");
    let batches = snapshot.tables[&Table::Audit].buffered.iter();
    batches
        .flat_map(|batch| AuditRow::read(batch).unwrap())
        .collect()
}

/// A ledger of three files on two days, closed: records 1 to 10, and the checkpoint.
pub(crate) async fn three_files(dir: &Path) {
    let store = open(dir).await;
    for n in 1..=4 {
        record(&store, n).await;
    }
    store.flush().await.unwrap();
    for n in 5..=10 {
        record(&store, if n % 2 == 0 { n } else { n + DAY_MICROS }).await;
    }
    store.close().await.unwrap();
}

pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for day in std::fs::read_dir(dir.join("tables/default/audit")).unwrap() {
        let day = day.unwrap().path();
        if day
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("date=")
        {
            found.extend(
                std::fs::read_dir(day)
                    .unwrap()
                    .map(|file| file.unwrap().path()),
            );
        }
    }
    found.sort_by_key(|path| path.file_name().unwrap().to_owned());
    found
}

#[tokio::test]
async fn the_chain_goes_on_after_crash_flush_and_close() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    for n in 1..=3 {
        record(&store, n).await;
    }
    drop(store);
    let store = open(dir.path()).await;
    record(&store, 4).await;
    let seqs: Vec<_> = buffered(&store).iter().map(|row| row.seq).collect();
    assert_eq!(seqs, [1, 2, 3, 4]);
    store.flush().await.unwrap();
    record(&store, 5).await;
    drop(store);
    let report = verify(dir.path()).await;
    assert_eq!((report.records, report.pending), (4, Some(1)));
    assert_eq!(report.findings, []);
    let store = open(dir.path()).await;
    record(&store, 6).await;
    store.close().await.unwrap();
    // Nothing new, so nothing to sign.
    open(dir.path()).await.close().await.unwrap();
    let report = verify(dir.path()).await;
    assert_eq!((report.records, report.pending), (7, Some(0)));
    assert_eq!(
        (report.head.0, report.checkpoints, report.signed_to),
        (7, 1, 6)
    );
    assert_eq!(report.findings, []);
}

#[tokio::test]
async fn what_is_told_again_is_entered_once() {
    let dir = tempfile::tempdir().unwrap();
    let action = || {
        OwnEvent::Action(ActionRow {
            at: Micros(START_MICROS),
            action_id: "a".into(),
            event: "decided".into(),
            ..ActionRow::default()
        })
    };
    let store = open(dir.path()).await;
    let (told, again) = futures::join!(record(&store, 1), record(&store, 1));
    assert_eq!(told, again, "in one group or in two");
    let acted = store.record("default", action()).await.unwrap();
    drop(store);
    let store = open(dir.path()).await;
    assert_eq!(record(&store, 1).await, told, "from the log");
    assert_eq!(store.record("default", action()).await.unwrap(), acted);
    store.close().await.unwrap();
    let store = open(dir.path()).await;
    assert_eq!(record(&store, 1).await, told, "from the table");
    assert_eq!(store.record("default", action()).await.unwrap(), acted);
    assert!(record(&store, 2).await > told);
    let elsewhere = store.record("other", OwnEvent::Audit(row(1))).await;
    assert_ne!(
        elsewhere.unwrap(),
        told,
        "each workspace has a ledger of its own"
    );
    assert_eq!(buffered(&store).len(), 1);
    store.close().await.unwrap();
    // Two records and two checkpoints.
    let report = verify(dir.path()).await;
    assert_eq!((report.records, report.findings), (4, Vec::new()));
    let other = verify_ledger(&config(dir.path()), "other", None)
        .await
        .unwrap();
    assert_eq!((other.records, other.findings), (2, Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_make_one_chain_and_every_thousand_is_signed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let told = (1..=2_500).map(|n| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { record(&store, n).await })
    });
    futures::future::try_join_all(told).await.unwrap();
    drop(store);
    let report = verify(dir.path()).await;
    assert_eq!(report.findings, []);
    let signed = report.pending.unwrap() - 2_500;
    assert!(
        (1..=2).contains(&signed),
        "{signed} checkpoints without a close"
    );
    open(dir.path()).await.close().await.unwrap();
    let report = verify(dir.path()).await;
    assert_eq!(report.findings, []);
    assert_eq!(
        (report.head.0, report.signed_to),
        (report.records, report.records - 1)
    );
}

#[tokio::test]
async fn a_flipped_byte_anywhere_names_the_file_and_its_records() {
    let every_byte = std::env::var_os("FLYBALL_EVERY_BYTE").is_some();
    let step = if every_byte { 1 } else { 97 };
    let mut tried = 0;
    let dir = tempfile::tempdir().unwrap();
    three_files(dir.path()).await;
    assert_eq!(verify(dir.path()).await.findings, []);
    let files = files(dir.path());
    assert_eq!(files.len(), 4, "the checkpoint is of today");
    for path in &files {
        let sound = std::fs::read(path).unwrap();
        for at in (0..sound.len()).step_by(step).chain([sound.len() - 1]) {
            let mut bytes = sound.clone();
            bytes[at] ^= 1 << (at % 8);
            tried += 1;
            std::fs::write(path, &bytes).unwrap();
            let report = verify(dir.path()).await;
            let [
                Finding::File {
                    path: named,
                    held: Some(_),
                    ..
                },
            ] = &report.findings[..]
            else {
                panic!("byte {at} of {}: {:?}", path.display(), report.findings);
            };
            assert!(path.to_str().unwrap().ends_with(named), "{named}");
        }
        std::fs::write(path, &sound[..sound.len() / 2]).unwrap();
        assert_eq!(verify(dir.path()).await.findings.len(), 1, "cut");
        std::fs::remove_file(path).unwrap();
        let report = verify(dir.path()).await;
        assert!(
            report.findings[0].to_string().contains("it is gone"),
            "{report:?}"
        );
        std::fs::write(path, &sound).unwrap();
    }
    assert_eq!(verify(dir.path()).await.findings, []);
    if every_byte {
        println!(
            "{tried} bytes flipped, one by one, in {} files",
            files.len()
        );
    }
}

#[tokio::test]
async fn a_store_goes_on_only_from_an_end_it_can_trust() {
    let dir = tempfile::tempdir().unwrap();
    three_files(dir.path()).await;
    let files = files(dir.path());
    let damage = |path: &Path| {
        let sound = std::fs::read(path).unwrap();
        let mut bytes = sound.clone();
        bytes[100] ^= 1;
        std::fs::write(path, bytes).unwrap();
        sound
    };
    let (first, last) = (&files[0], files.last().unwrap());
    let sound = damage(last);
    let refused = Store::open(config(dir.path()), Arc::new(crate::fixture::Json)).await;
    let said = refused.unwrap_err().to_string();
    assert!(
        said.contains(last.file_name().unwrap().to_str().unwrap()),
        "{said}"
    );
    std::fs::write(last, sound).unwrap();
    damage(first);
    let store = open(dir.path()).await;
    record(&store, 20).await;
    assert_eq!(buffered(&store)[0].seq, 12);
    store.close().await.unwrap();
    let report = verify(dir.path()).await;
    assert_eq!(report.findings.len(), 1, "only the old file: {report:?}");
}

#[tokio::test]
async fn a_commit_that_is_taken_away_leaves_its_files() {
    let dir = tempfile::tempdir().unwrap();
    three_files(dir.path()).await;
    let log = dir.path().join("tables/default/audit/_delta_log");
    let mut commits: Vec<_> = std::fs::read_dir(log)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    commits.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "json")
    });
    commits.sort();
    std::fs::remove_file(commits.last().unwrap()).unwrap();
    let report = verify(dir.path()).await;
    assert_eq!(report.records, 4);
    let said = report.findings[0].to_string();
    assert!(said.contains("the table names it no more"), "{said}");
}

#[tokio::test]
async fn a_pinned_key_must_have_signed() {
    let dir = tempfile::tempdir().unwrap();
    three_files(dir.path()).await;
    let own = verify(dir.path()).await.public_key.unwrap();
    let pinned = |key| async {
        verify_ledger(&config(dir.path()), "default", key)
            .await
            .unwrap()
    };
    assert_eq!(pinned(Some(own)).await.findings, []);
    let another = PublicKey::from_hex(&"ab".repeat(32));
    let report = pinned(another).await;
    assert!(
        matches!(&report.findings[..], [Finding::Record { seq: 11, .. }]),
        "{report:?}"
    );
}

#[cfg(unix)]
#[tokio::test]
async fn the_key_is_its_owners_alone_and_half_a_key_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).await.close().await.unwrap();
    let path = dir.path().join("ledger.key");
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let whole = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, &whole[..20]).unwrap();
    let refused = Store::open(config(dir.path()), Arc::new(crate::fixture::Json)).await;
    assert!(refused.unwrap_err().to_string().contains("ledger.key"));
}

/// What names people is nowhere on disk in clear, and what is dropped is gone for good: after a crash between
/// the record and the key, and with the keys of an older backup.
#[tokio::test]
async fn who_is_forgotten_is_erased_and_the_chain_stays() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let of_bob = AuditRow {
        subject: "user:bob".into(),
        record: r#"{"reason":"bob asked for it","user_id":"bob"}"#.into(),
        ..row(2)
    };
    record(&store, 1).await;
    let told = store
        .record("default", OwnEvent::Audit(of_bob.clone()))
        .await
        .unwrap();
    let again = store
        .record("default", OwnEvent::Audit(of_bob.clone()))
        .await;
    assert_eq!(again.unwrap(), told, "recognised though it is sealed");
    let kept = buffered(&store);
    assert_eq!(store.opened(&kept[1].subject), "user:bob");
    assert!(store.opened(&kept[1].record).contains("bob asked"));
    store.flush().await.unwrap();
    let in_files = |word: &str| {
        let mut files = files(dir.path());
        files.extend(
            std::fs::read_dir(dir.path().join("log"))
                .unwrap()
                .map(|f| f.unwrap().path()),
        );
        files.iter().any(|path| {
            let bytes = std::fs::read(path).unwrap();
            bytes
                .windows(word.len())
                .any(|part| part == word.as_bytes())
        })
    };
    record(&store, 3).await;
    assert!(in_files("control.decided"));
    assert!(!in_files("bob") && !in_files("cli:ada"));
    drop(store);
    let keys = dir.path().join("subjects.db");
    let backup = std::fs::read(&keys).unwrap();

    let store = open(dir.path()).await;
    assert_eq!(
        store
            .record("default", OwnEvent::Audit(of_bob))
            .await
            .unwrap(),
        told,
        "from the table"
    );
    assert_eq!(
        store
            .forget_subject("default", "user", "eve")
            .await
            .unwrap(),
        None
    );
    let key = store
        .forget_subject("default", "user", "bob")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        store
            .forget_subject("default", "user", "bob")
            .await
            .unwrap(),
        None
    );
    let erased = |store: &Store| {
        let subject = store.opened(&kept[1].subject);
        (subject.as_str(), store.opened(&kept[0].actor).as_str()) == ("erased", "cli:ada")
    };
    assert!(erased(&store));
    let receipt = buffered(&store).pop().unwrap();
    assert_eq!(
        (receipt.event.as_str(), receipt.subject),
        ("subject.forgotten", format!("key:{key}"))
    );
    drop(store);
    for flushed in [false, true] {
        std::fs::write(&keys, &backup).unwrap();
        let store = open(dir.path()).await;
        assert!(
            erased(&store),
            "by the record, from the {}",
            if flushed { "table" } else { "log" }
        );
        store.close().await.unwrap();
    }
    let report = verify(dir.path()).await;
    assert_eq!((report.findings, report.records), (Vec::new(), 5));
}
