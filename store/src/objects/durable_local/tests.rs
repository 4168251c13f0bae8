#![allow(clippy::unwrap_used)]
use futures::TryStreamExt;
use object_store::ObjectStoreExt;

use super::*;

fn store() -> (tempfile::TempDir, DurableLocal, Path) {
    let dir = tempfile::tempdir().unwrap();
    let root = Path::from_absolute_path(dir.path().canonicalize().unwrap()).unwrap();
    (dir, DurableLocal::new(), root)
}

async fn read(store: &DurableLocal, path: &Path) -> Bytes {
    store.get(path).await.unwrap().bytes().await.unwrap()
}

fn create() -> PutOptions {
    PutOptions {
        mode: PutMode::Create,
        ..PutOptions::default()
    }
}

#[tokio::test]
async fn sixteen_create_one_wins() {
    let (_dir, store, root) = store();
    for round in 0..20 {
        let path = root.clone().join("new").join(format!("commit-{round}"));
        let tries = (0..16u8).map(|me| {
            let (store, path) = (store.clone(), path.clone());
            tokio::spawn(async move {
                (
                    me,
                    store.put_opts(&path, vec![me; 100].into(), create()).await,
                )
            })
        });
        let mut winners = Vec::new();
        for outcome in futures::future::join_all(tries).await {
            match outcome.unwrap() {
                (me, Ok(_)) => winners.push(me),
                (_, Err(Error::AlreadyExists { .. })) => {}
                (_, Err(error)) => panic!("{error}"),
            }
        }
        assert_eq!(winners.len(), 1);
        assert_eq!(read(&store, &path).await, vec![winners[0]; 100]);
    }
}

#[tokio::test]
async fn nothing_staged_is_left_or_listed() {
    let (dir, store, root) = store();
    let path = root.clone().join("a").join("b");
    store.put(&path, "one".into()).await.unwrap();
    store.put(&path, "two".into()).await.unwrap();
    store
        .put_opts(&path, "three".into(), create())
        .await
        .unwrap_err();
    let mut upload = store
        .put_multipart(&root.clone().join("a").join("c"))
        .await
        .unwrap();
    upload.put_part("x".into()).await.unwrap();
    let listed: Vec<_> = store.list(Some(&root)).try_collect().await.unwrap();
    assert_eq!(
        listed
            .iter()
            .map(|meta| meta.location.clone())
            .collect::<Vec<_>>(),
        std::slice::from_ref(&path)
    );
    drop(upload);
    assert_eq!(std::fs::read_dir(dir.path().join("a")).unwrap().count(), 1);
    assert_eq!(read(&store, &path).await, "two");
}

#[tokio::test]
async fn parts_land_in_order_and_at_once() {
    let (_dir, store, root) = store();
    let path = root.clone().join("parts");
    let mut upload = store.put_multipart(&path).await.unwrap();
    let parts = [
        upload.put_part("ab".into()),
        upload.put_part("cd".into()),
        upload.put_part("e".into()),
    ];
    for part in parts.into_iter().rev() {
        part.await.unwrap();
    }
    assert!(matches!(
        store.head(&path).await,
        Err(Error::NotFound { .. })
    ));
    upload.complete().await.unwrap();
    assert_eq!(read(&store, &path).await, "abcde");
}

#[tokio::test]
async fn copies_and_renames_keep_their_modes() {
    let (_dir, store, root) = store();
    let (from, to) = (
        root.clone().join("from"),
        root.clone().join("folder").join("to"),
    );
    store.put(&from, "x".into()).await.unwrap();
    store.copy_if_not_exists(&from, &to).await.unwrap();
    assert!(matches!(
        store.copy_if_not_exists(&from, &to).await,
        Err(Error::AlreadyExists { .. })
    ));
    assert!(matches!(
        store.rename_if_not_exists(&from, &to).await,
        Err(Error::AlreadyExists { .. })
    ));
    store.rename(&from, &to).await.unwrap();
    assert!(matches!(
        store.head(&from).await,
        Err(Error::NotFound { .. })
    ));
    assert!(matches!(
        store.copy(&from, &to).await,
        Err(Error::NotFound { .. })
    ));
    assert_eq!(read(&store, &to).await, "x");
}

/// A disk of which folders cannot be synced for a while.
#[derive(Debug, Default)]
struct Unwilling(std::sync::atomic::AtomicBool);

impl Disk for Unwilling {
    fn sync_folder(&self, folder: &FsPath) -> io::Result<()> {
        match self.0.load(Relaxed) {
            true => Err(io::Error::other("the disk is not willing")),
            false => Local.sync_folder(folder),
        }
    }

    fn open(&self, path: &FsPath, how: Open) -> io::Result<Box<dyn DiskFile>> {
        Local.open(path, how)
    }

    fn read(&self, path: &FsPath) -> io::Result<Box<dyn Read + Send>> {
        Local.read(path)
    }

    fn list(&self, folder: &FsPath) -> io::Result<Vec<crate::disk::Entry>> {
        Local.list(folder)
    }

    fn is_folder(&self, path: &FsPath) -> bool {
        Local.is_folder(path)
    }

    fn make_folder(&self, folder: &FsPath, private: bool) -> io::Result<()> {
        Local.make_folder(folder, private)
    }

    fn rename(&self, from: &FsPath, to: &FsPath) -> io::Result<()> {
        Local.rename(from, to)
    }

    fn link(&self, from: &FsPath, to: &FsPath) -> io::Result<()> {
        Local.link(from, to)
    }

    fn remove(&self, path: &FsPath) -> io::Result<()> {
        Local.remove(path)
    }

    fn database(&self, path: &FsPath) -> rusqlite::Result<rusqlite::Connection> {
        Local.database(path)
    }
}

#[tokio::test]
async fn a_name_that_may_not_last_is_not_shown() {
    let (_dir, _, root) = store();
    let disk = Arc::new(Unwilling::default());
    let store = DurableLocal::on(
        Arc::<Unwilling>::clone(&disk),
        Arc::new(LocalFileSystem::new()),
    );
    let (one, two) = (root.clone().join("one"), root.clone().join("two"));
    store.put(&one, "1".into()).await.unwrap();
    disk.0.store(true, Relaxed);
    store
        .put_opts(&two, "2".into(), create())
        .await
        .unwrap_err();
    // Nobody may take it for made, nor anything else for all there is.
    store.get(&two).await.unwrap_err();
    store.get(&one).await.unwrap_err();
    store
        .list(Some(&root))
        .try_collect::<Vec<_>>()
        .await
        .unwrap_err();
    store.list_with_delimiter(Some(&root)).await.unwrap_err();
    disk.0.store(false, Relaxed);
    assert_eq!(read(&store, &two).await, "2");
    assert_eq!(
        store
            .list(Some(&root))
            .try_collect::<Vec<_>>()
            .await
            .unwrap()
            .len(),
        2
    );
}
