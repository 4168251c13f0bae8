//! What happens to the end of a ledger: signed before long, and not cut off unseen; and keys that change.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flyball_store::{
    Config, Finding, LedgerReport, SignedHead, Store, ledger_head, verify_ledger,
    verify_ledger_against,
};

use crate::fixture::{Json, config, open};
use crate::ledger::{files, record, verify};

async fn head(dir: &Path) -> SignedHead {
    ledger_head(&config(dir), "default").await.unwrap().unwrap()
}

async fn against(dir: &Path, kept: &SignedHead) -> LedgerReport {
    let kept = vec![("usb stick".to_owned(), kept.clone())];
    verify_ledger_against(&config(dir), "default", None, kept)
        .await
        .unwrap()
}

/// Takes the last life away: its files, its commits and the log.
fn cut(dir: &Path, keep: &[std::path::PathBuf], commits: usize) {
    for path in files(dir) {
        if !keep.contains(&path) {
            std::fs::remove_file(path).unwrap();
        }
    }
    let mut log: Vec<_> = std::fs::read_dir(dir.join("tables/default/audit/_delta_log"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    log.sort();
    for path in log.split_off(commits) {
        std::fs::remove_file(path).unwrap();
    }
    for segment in std::fs::read_dir(dir.join("log")).unwrap() {
        std::fs::remove_file(segment.unwrap().path()).unwrap();
    }
}

fn commits(dir: &Path) -> usize {
    let log = std::fs::read_dir(dir.join("tables/default/audit/_delta_log")).unwrap();
    log.filter(|file| {
        file.as_ref()
            .unwrap()
            .path()
            .extension()
            .is_some_and(|e| e == "json")
    })
    .count()
}

#[tokio::test]
async fn a_signed_tail_that_is_cut_off_is_missed() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let mut first_life = 0;
    for n in [1, 2] {
        let store = open(dir).await;
        record(&store, n).await;
        store.close().await.unwrap();
        if n == 1 {
            first_life = commits(dir);
        }
    }
    let (whole, kept) = (verify(dir).await, head(dir).await);
    assert_eq!((whole.findings.len(), kept.seq, whole.records), (0, 3, 4));
    assert_eq!(against(dir, &kept).await.findings, []);
    let first: Vec<_> = files(dir).into_iter().take(2).collect();
    cut(dir, &first, first_life);
    let report = verify(dir).await;
    assert_eq!(report.records, 2, "{report:?}");
    let [Finding::Head { seq: 3, .. }] = &report.findings[..] else {
        panic!("{report:?}");
    };
    assert!(
        report.findings[0].to_string().contains("are gone"),
        "{}",
        report.findings[0]
    );
    // A start puts the head aside, so that it is still named when the ledger has grown past it.
    let store = open(dir).await;
    for n in 11..=14 {
        record(&store, n).await;
    }
    store.close().await.unwrap();
    let report = verify(dir).await;
    let found = report.findings[0].to_string();
    assert!(
        found.contains("default.lost-3.json") && found.contains("another than was signed"),
        "{found}"
    );
    assert!(head(dir).await.seq > 3);
    // Who can write the directory can take that file away, but not the copy elsewhere.
    std::fs::remove_file(dir.join("heads/default.lost-3.json")).unwrap();
    assert_eq!(verify(dir).await.findings, []);
    assert!(matches!(
        &against(dir, &kept).await.findings[..],
        [Finding::Head { .. }]
    ));
}

#[tokio::test]
async fn a_head_that_is_forged_or_of_another_ledger_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    for dir in [&dir, &other] {
        let store = open(dir.path()).await;
        record(&store, 1).await;
        store.close().await.unwrap();
    }
    let own = head(dir.path()).await;
    let mut forged = own.clone();
    forged.seq = 99;
    for kept in [forged, head(other.path()).await] {
        let found = against(dir.path(), &kept).await.findings;
        assert!(
            !found.is_empty() && found.iter().all(|f| matches!(f, Finding::Head { .. })),
            "{found:?}"
        );
    }
    let path = dir.path().join("heads/default.json");
    std::fs::write(&path, "{}").unwrap();
    let refused = verify_ledger(&config(dir.path()), "default", None).await;
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("heads/default.json")
    );
}

#[tokio::test]
async fn a_record_is_signed_before_long() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        checkpoint_age: Duration::from_millis(300),
        ..config(dir.path())
    };
    let store = Store::open(config, Arc::new(Json)).await.unwrap();
    let began = Instant::now();
    record(&store, 1).await;
    let path = dir.path().join("heads/default.json");
    while !path.exists() {
        assert!(began.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert_eq!(head(dir.path()).await.seq, 1);
    // An idle ledger is left alone.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    drop(store);
    let report = verify(dir.path()).await;
    assert_eq!((report.pending, report.findings), (Some(2), Vec::new()));
    assert!(report.signed_head.unwrap().says_as(&head(dir.path()).await));
}

#[tokio::test]
async fn a_key_changes_and_one_that_was_lost_is_missed() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let store = open(dir).await;
    record(&store, 1).await;
    store.close().await.unwrap();
    let first = verify(dir).await.public_key.unwrap();
    let store = open(dir).await;
    record(&store, 2).await;
    let second = store.rotate_ledger_key().await.unwrap();
    assert_ne!(first, second);
    record(&store, 3).await;
    store.close().await.unwrap();
    assert!(!dir.join("ledger.key.next").exists());
    for pinned in [None, Some(first.clone()), Some(second.clone())] {
        let report = verify_ledger(&config(dir), "default", pinned)
            .await
            .unwrap();
        assert_eq!(
            (report.findings, report.public_key),
            (Vec::new(), Some(second.clone()))
        );
    }
    assert_eq!(head(dir).await.public_key, second.to_string());
    // Cut off after the new key was made: the next start goes on.
    let old_key = std::fs::read(dir.join("ledger.key")).unwrap();
    std::fs::write(dir.join("ledger.key.next"), "ab".repeat(32)).unwrap();
    let store = open(dir).await;
    record(&store, 4).await;
    store.close().await.unwrap();
    let report = verify_ledger(&config(dir), "default", Some(first))
        .await
        .unwrap();
    assert_eq!(report.findings, []);
    assert!(report.public_key.is_some_and(|key| key != second));
    assert!(!dir.join("ledger.key.next").exists());
    assert_ne!(std::fs::read(dir.join("ledger.key")).unwrap(), old_key);
    // Lost: what comes is signed by a key nobody vouched for.
    std::fs::remove_file(dir.join("ledger.key")).unwrap();
    let store = open(dir).await;
    record(&store, 5).await;
    store.close().await.unwrap();
    let report = verify(dir).await;
    assert_eq!(report.findings.len(), 1, "{report:?}");
    assert!(report.findings[0].to_string().contains("without its word"));
    let report = verify_ledger(&config(dir), "default", report.public_key)
        .await
        .unwrap();
    assert_eq!(report.findings, [], "unless it is said to be right");
}
