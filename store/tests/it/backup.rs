//! Backups: taken while requests come in, checked, restored elsewhere, and told apart from what was tampered with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flyball_store::rows::{AuditRow, Micros};
use flyball_store::{
    BackupOptions, BackupPlace, BackupProgress, BackupTaken, Config, Error, Manifest, Origin,
    OwnEvent, RestoreOptions, Store, Table, restore, verify_backup, verify_ledger,
};

use crate::fixture::*;

fn place(dir: &Path) -> BackupPlace {
    BackupPlace {
        url: dir.display().to_string(),
        ..BackupPlace::default()
    }
}

async fn take(store: &Store, to: &Path) -> BackupTaken {
    let options = BackupOptions::default();
    let progress = BackupProgress::default();
    store.backup(&place(to), options, &progress).await.unwrap()
}

async fn restored(from: &Path, to: &Path) -> Result<Arc<Store>, Error> {
    let progress = BackupProgress::default();
    let options = RestoreOptions::default();
    restore(&place(from), &options, &config(to), &progress).await?;
    Store::open(config(to), Arc::new(Json)).await
}

async fn damage(to: &Path) -> Vec<String> {
    let report = verify_backup(&place(to), None, &BackupProgress::default()).await;
    let damage = report.unwrap().damage;
    damage.iter().map(ToString::to_string).collect()
}

async fn say(store: &Store, subject: &str) {
    let row = AuditRow {
        at: Micros(START_MICROS),
        event: "test".into(),
        subject: subject.into(),
        record: "{}".into(),
        ..AuditRow::default()
    };
    store.record("default", OwnEvent::Audit(row)).await.unwrap();
}

/// Files under a folder, by path in it.
fn files(folder: &Path) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap();
                found.insert(name.display().to_string(), path);
            }
        }
    }
    found
}

fn files_of(manifest: &Manifest, table: &str) -> usize {
    let tables = manifest.tables.iter().filter(|found| found.table == table);
    tables.map(|table| table.files.len()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn taken_while_requests_come_in_it_holds_the_log_up_to_one_position() {
    let (dir, to, elsewhere) = (
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    let store = open(dir.path()).await;
    say(&store, "before").await;
    let done = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..3u32)
        .map(|writer| {
            let (store, done) = (Arc::clone(&store), Arc::clone(&done));
            tokio::spawn(async move {
                let mut n = 0;
                while !done.load(Ordering::Relaxed) {
                    let told = Told::new(writer * 100_000 + n, 1);
                    store.append(request(&[told])).await.unwrap();
                    n += 1;
                    if n % 50 == 0 {
                        store.flush().await.unwrap();
                    }
                }
            })
        })
        .collect();
    let mut backups = Vec::new();
    for name in ["one", "two"] {
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        backups.push((name, take(&store, &to.path().join(name)).await));
    }
    done.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    let everything = spans(&store).await;
    for (name, taken) in backups {
        let from = to.path().join(name);
        assert_eq!(damage(&from).await, Vec::<String>::new());
        let position = taken.manifest.log_position as i64;
        let wanted: BTreeMap<_, _> = everything
            .iter()
            .filter(|(_, row)| row.log_position <= position)
            .map(|(id, row)| (id.clone(), row.clone()))
            .collect();
        assert!(!wanted.is_empty() && wanted.len() < everything.len());
        let there = elsewhere.path().join(name);
        let copy = restored(&from, &there).await.unwrap();
        assert_eq!(
            spans(&copy).await,
            wanted,
            "the rows of the moment, each once"
        );
        let snapshot = copy.snapshot("default");
        assert_eq!(rows_on_disk(&snapshot, Table::Contents), wanted.len());
        // It goes on behind the backup's position, as another node.
        let next = copy
            .append(request(&[Told::new(999_999, 1)]))
            .await
            .unwrap();
        // Its first request was the record that it was restored.
        assert_eq!(next.position, taken.manifest.log_position + 2);
        say(&copy, "after").await;
        copy.close().await.unwrap();
        let report = verify_ledger(&config(&there), "default", None)
            .await
            .unwrap();
        assert_eq!(report.findings, Vec::new());
        assert!(report.records >= 3, "{report:?}");
        let copy = open(&there).await;
        assert_eq!(spans(&copy).await.len(), wanted.len() + 1);
        copy.close().await.unwrap();
        let node = |dir: &Path| std::fs::read_to_string(dir.join("node_id")).unwrap();
        assert_ne!(node(&there), node(dir.path()));
    }
    store.close().await.unwrap();
    let report = verify_ledger(&config(dir.path()), "default", None)
        .await
        .unwrap();
    assert_eq!(report.findings, Vec::new());
}

#[tokio::test]
async fn requests_of_the_backup_are_known_and_later_ones_are_not() {
    let (dir, to, elsewhere) = (
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    let store = open(dir.path()).await;
    let import = |trace| request_at(&[Told::new(trace, 1)], Origin::Import, 1_000);
    store.append(import(1)).await.unwrap();
    take(&store, to.path()).await;
    store.append(import(2)).await.unwrap();
    store.close().await.unwrap();
    let copy = restored(to.path(), &elsewhere.path().join("there"))
        .await
        .unwrap();
    assert!(copy.append(import(1)).await.unwrap().duplicate);
    assert!(!copy.append(import(2)).await.unwrap().duplicate);
    assert_eq!(rows(&copy, Table::Spans), 2);
}

#[tokio::test]
async fn the_next_backup_copies_only_what_is_new_and_one_that_was_cut_off_goes_on() {
    let (dir, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(dir.path()).await;
    for trace in 1..=3 {
        store.append(request(&[Told::new(trace, 1)])).await.unwrap();
        store.flush().await.unwrap();
    }
    let copied = async |to: &Path| {
        // Backups are named by the second.
        tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
        let progress = BackupProgress::default();
        let taken = store
            .backup(&place(to), BackupOptions::default(), &progress)
            .await;
        let local = taken.as_ref().unwrap().manifest.local.len() as u64;
        let figures = progress.figures();
        assert_eq!(figures.files_done, figures.files);
        (taken.unwrap().manifest, figures.files_copied - local)
    };
    let (first, files) = copied(to.path()).await;
    assert_eq!((files_of(&first, "spans"), files), (3, 6));
    // Its own record on the ledger is a file more.
    let (second, files) = copied(to.path()).await;
    assert_eq!((files_of(&second, "spans"), files), (3, 1));
    assert!(second.id > first.id);
    // As if the second had been cut off: without a manifest it is no backup.
    for (name, path) in files_matching(to.path(), &format!("backups/{}/manifest", second.id)) {
        std::fs::remove_file(path).unwrap_or_else(|_| panic!("{name}"));
    }
    let one = files_matching(to.path(), "files/default/spans");
    std::fs::remove_file(one.values().next().unwrap()).unwrap();
    let report = verify_backup(&place(to.path()), None, &BackupProgress::default()).await;
    assert_eq!(report.unwrap().manifest.id, first.id);
    store.append(request(&[Told::new(4, 1)])).await.unwrap();
    let (third, files) = copied(to.path()).await;
    // The one that was lost, one of spans, one of contents, and a record of the ledger.
    assert_eq!((files_of(&third, "spans"), files), (4, 4));
    assert_eq!(damage(to.path()).await, Vec::<String>::new());
    store.close().await.unwrap();
}

fn files_matching(folder: &Path, start: &str) -> BTreeMap<String, PathBuf> {
    let mut found = files(folder);
    found.retain(|name, _| name.starts_with(start));
    found
}

#[tokio::test]
async fn what_is_missing_or_changed_is_named_by_the_check_and_by_the_restore() {
    let (dir, to, elsewhere) = (
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    let store = open(dir.path()).await;
    store.append(request(&[Told::new(1, 1)])).await.unwrap();
    say(&store, "something").await;
    take(&store, to.path()).await;
    store.close().await.unwrap();
    let all = files(to.path());
    assert!(all.len() > 5, "{all:?}");
    for (at, (name, path)) in all.iter().enumerate() {
        let sound = std::fs::read(path).unwrap();
        let mut flipped = sound.clone();
        flipped[sound.len() / 2] ^= 1;
        for (what, bytes) in [("flipped", Some(flipped)), ("gone", None)] {
            match bytes {
                Some(bytes) => std::fs::write(path, bytes).unwrap(),
                None => std::fs::remove_file(path).unwrap(),
            }
            let there = elsewhere.path().join(format!("{what}-{at}"));
            let refused = restored(to.path(), &there).await.unwrap_err().to_string();
            if name.contains("manifest-") {
                let report =
                    verify_backup(&place(to.path()), None, &BackupProgress::default()).await;
                let error = report.unwrap_err().to_string();
                assert_eq!(error, refused, "{what} {name}");
                let wanted = if what == "gone" {
                    "no backup"
                } else {
                    name.as_str()
                };
                assert!(error.contains(wanted), "{what} {name}: {error}");
            } else {
                let found = damage(to.path()).await;
                assert!(found[0].contains(name), "{what} {name}: {found:?}");
                assert!(refused.contains(name), "{what} {name}: {refused}");
                // What was restored in part is not opened for the whole.
                let half = Store::open(config(&there), Arc::new(Json)).await;
                assert!(matches!(half, Err(Error::HalfRestored { .. })), "{half:?}");
            }
            std::fs::write(path, &sound).unwrap();
            if at == 0 {
                // Mended, it goes on where it was.
                let copy = restored(to.path(), &there).await.unwrap();
                assert_eq!(rows(&copy, Table::Spans), 1);
                copy.close().await.unwrap();
            }
        }
    }
    assert_eq!(damage(to.path()).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_restore_overwrites_nothing() {
    let (dir, to, elsewhere) = (
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    let store = open(dir.path()).await;
    store.append(request(&[Told::new(1, 1)])).await.unwrap();
    take(&store, to.path()).await;
    let refused = |outcome: Result<Arc<Store>, Error>| match outcome.unwrap_err() {
        Error::NotEmpty { place } => place,
        other => panic!("{other}"),
    };
    // The directory it was taken of, with the server still on it.
    let place_of = refused(restored(to.path(), dir.path()).await);
    assert!(place_of.starts_with(dir.path().to_str().unwrap()));
    // An empty directory, but tables that are in use.
    let there = elsewhere.path().join("there");
    let onto = Config {
        tables_url: Some(format!("file://{}/tables", dir.path().display())),
        ..config(&there)
    };
    for _ in 0..2 {
        let outcome = restore(
            &place(to.path()),
            &RestoreOptions::default(),
            &onto,
            &BackupProgress::default(),
        )
        .await;
        assert!(matches!(outcome, Err(Error::NotEmpty { .. })));
        let _ = std::fs::remove_dir_all(&there);
    }
    // What never was a backup.
    let nothing = restored(elsewhere.path(), &there).await.unwrap_err();
    assert!(matches!(nothing, Error::NoBackup { .. }), "{nothing}");
    store.append(request(&[Told::new(2, 1)])).await.unwrap();
    assert_eq!(spans(&store).await.len(), 2);
    store.close().await.unwrap();
}

#[tokio::test]
async fn keys_are_said_to_be_in_it_or_are_left_out() {
    let (dir, to, elsewhere) = (
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    let store = open(dir.path()).await;
    say(&store, "something").await;
    let (with, without) = (to.path().join("with"), to.path().join("without"));
    let taken = take(&store, &with).await;
    assert!(taken.manifest.keys);
    let key = files(&with)
        .into_iter()
        .find(|(name, _)| name.contains("ledger.key"));
    let key = key.unwrap().1;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        for name in ["files", "backups"] {
            let mode = with.join(name).metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "nobody else gets to it");
        }
    }
    let options = BackupOptions { without_keys: true };
    let progress = BackupProgress::default();
    let taken = store
        .backup(&place(&without), options, &progress)
        .await
        .unwrap();
    assert!(!taken.manifest.keys);
    assert!(!files(&without).keys().any(|name| name.contains("key")));
    store.close().await.unwrap();
    let try_with = async |name: &str, options: RestoreOptions| {
        let there = elsewhere.path().join(name);
        restore(
            &place(&without),
            &options,
            &config(&there),
            &BackupProgress::default(),
        )
        .await?;
        let copy = open(&there).await;
        say(&copy, "after").await;
        copy.close().await.unwrap();
        let report = verify_ledger(&config(&there), "default", None)
            .await
            .unwrap();
        Ok::<_, Error>(report.findings.len())
    };
    let refused = try_with("none", RestoreOptions::default())
        .await
        .unwrap_err();
    assert!(matches!(refused, Error::NoLedgerKey { .. }), "{refused}");
    assert!(!elsewhere.path().join("none").exists());
    let named = RestoreOptions {
        ledger_key: Some(key),
        ..RestoreOptions::default()
    };
    assert_eq!(try_with("named", named).await.unwrap(), 0);
}

#[tokio::test]
async fn an_older_backup_comes_back_with_the_latest_list_of_erasures() {
    let (dir, to, elsewhere) = (
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    let store = open(dir.path()).await;
    store.append(request(&[Told::new(1, 1)])).await.unwrap();
    let list = dir.path().join("erasures/list.json");
    std::fs::create_dir(list.parent().unwrap()).unwrap();
    std::fs::write(&list, "one").unwrap();
    let first = take(&store, to.path()).await.manifest;
    std::fs::write(&list, "one, two").unwrap();
    // Backups are named by the second.
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    take(&store, to.path()).await;
    std::fs::write(&list, "one, two, three").unwrap();
    let come_back = async |name: &str, erasures: Option<PathBuf>| {
        let there = elsewhere.path().join(name);
        let options = RestoreOptions {
            backup: Some(first.id.clone()),
            erasures,
            ..RestoreOptions::default()
        };
        let progress = BackupProgress::default();
        let restored = restore(&place(to.path()), &options, &config(&there), &progress).await;
        assert_eq!(restored.unwrap().manifest, first);
        std::fs::read_to_string(there.join("erasures/list.json")).unwrap()
    };
    assert_eq!(come_back("latest", None).await, "one, two");
    let at_hand = list.parent().map(Path::to_owned);
    assert_eq!(come_back("at hand", at_hand).await, "one, two, three");
    store.close().await.unwrap();
}
