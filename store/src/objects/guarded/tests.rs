#![allow(clippy::unwrap_used)]
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use object_store::memory::InMemory;
use object_store::{CopyMode, ObjectStoreExt};

use super::*;

/// A store in memory that fails its next so many operations, and knows how many ran at the same time.
#[derive(Debug, Default)]
struct Moody {
    inner: InMemory,
    fail: AtomicUsize,
    running: AtomicUsize,
    most: AtomicUsize,
    asked: AtomicUsize,
}

impl Moody {
    async fn turn(&self) -> Result<()> {
        self.asked.fetch_add(1, SeqCst);
        self.most
            .fetch_max(self.running.fetch_add(1, SeqCst) + 1, SeqCst);
        tokio::time::sleep(Duration::from_millis(10)).await;
        self.running.fetch_sub(1, SeqCst);
        let failing = self
            .fail
            .fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
        match failing {
            Ok(_) => Err(Error::Generic {
                store: "Moody",
                source: "not now".into(),
            }),
            Err(_) => Ok(()),
        }
    }
}

impl fmt::Display for Moody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Moody")
    }
}

#[async_trait]
impl ObjectStore for Moody {
    async fn put_opts(&self, at: &Path, what: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.turn().await?;
        self.inner.put_opts(at, what, opts).await
    }
    async fn put_multipart_opts(
        &self,
        at: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.turn().await?;
        self.inner.put_multipart_opts(at, opts).await
    }
    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.turn().await?;
        self.inner.get_opts(at, options).await
    }
    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let failing = self
            .fail
            .fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
        self.asked.fetch_add(1, SeqCst);
        match failing {
            Ok(_) => futures::stream::iter([Err(Error::Generic {
                store: "Moody",
                source: "not now".into(),
            })])
            .boxed(),
            Err(_) => self.inner.delete_stream(locations),
        }
    }
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }
    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.turn().await?;
        self.inner.list_with_delimiter(prefix).await
    }
    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.turn().await?;
        self.inner.copy_opts(from, to, options).await
    }
}

fn guarded(limit: usize) -> (Arc<Moody>, Guarded) {
    let moody = Arc::new(Moody::default());
    let inner: Arc<dyn ObjectStore> = Arc::<Moody>::clone(&moody);
    (moody, Guarded::new(inner, limit))
}

fn of(store: &Guarded, name: &str) -> ObjectOperation {
    let figures = store.figures();
    figures.into_iter().find(|one| one.name == name).unwrap()
}

#[tokio::test(start_paused = true)]
async fn no_more_run_at_once_than_the_limit_and_all_come_through() {
    let (moody, store) = guarded(3);
    let puts = (0..40).map(|n| {
        let store = store.clone();
        async move { store.put(&Path::from(format!("{n}")), "abc".into()).await }
    });
    let done = futures::future::join_all(puts).await;
    assert!(done.iter().all(Result::is_ok));
    assert_eq!(moody.most.load(SeqCst), 3);
    let put = of(&store, "put");
    assert_eq!((put.count, put.errors, put.bytes), (40, 0, 120));
    // Each took 10 ms of the test's clock.
    assert_eq!((put.within[1], put.within[2]), (0, 40));
    assert_eq!(put.micros, 400_000);
}

#[tokio::test(start_paused = true)]
async fn reads_lists_and_deletions_are_tried_again_and_writes_are_not() {
    let (moody, store) = guarded(8);
    let at = Path::from("a/b");
    store.put(&at, "abc".into()).await.unwrap();
    moody.fail.store(2, SeqCst);
    assert_eq!(store.get(&at).await.unwrap().bytes().await.unwrap(), "abc");
    moody.fail.store(2, SeqCst);
    let listed = store.list_with_delimiter(None).await.unwrap();
    assert_eq!(listed.common_prefixes, [Path::from("a")]);
    moody.fail.store(2, SeqCst);
    store.delete(&at).await.unwrap();
    // Deleting again is no failure: the first deletion's answer may have been lost.
    store.delete(&at).await.unwrap();
    for name in ["get", "list", "delete"] {
        let figures = of(&store, name);
        assert_eq!((figures.errors, figures.retries), (2, 2), "{name}");
    }
    moody.fail.store(3, SeqCst);
    assert!(store.get(&at).await.is_err(), "but not for ever");
    let create = || PutOptions::from(PutMode::Create);
    let copy = CopyOptions::new().with_mode(CopyMode::Overwrite);
    moody.fail.store(3, SeqCst);
    moody.asked.store(0, SeqCst);
    assert!(store.put(&at, "abc".into()).await.is_err());
    assert!(store.put_opts(&at, "abc".into(), create()).await.is_err());
    assert!(store.copy_opts(&at, &Path::from("c"), copy).await.is_err());
    assert_eq!(moody.asked.load(SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_no_failure() {
    let (_, store) = guarded(8);
    let at = Path::from("a");
    let create = || PutOptions::from(PutMode::Create);
    store.put_opts(&at, "1".into(), create()).await.unwrap();
    let again = store.put_opts(&at, "2".into(), create()).await;
    assert!(matches!(again, Err(Error::AlreadyExists { .. })));
    let none = store.get(&Path::from("b")).await;
    assert!(matches!(none, Err(Error::NotFound { .. })));
    let (create, get) = (of(&store, "create"), of(&store, "get"));
    assert_eq!((create.count, create.errors, create.bytes), (2, 0, 1));
    assert_eq!((get.count, get.errors, get.retries), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_being_read_keeps_its_place() {
    let (_, store) = guarded(1);
    let at = Path::from("a");
    store.put(&at, "abc".into()).await.unwrap();
    let body = store.get(&at).await.unwrap().into_stream();
    let other = tokio::time::timeout(Duration::from_secs(60), store.head(&at));
    assert!(other.await.is_err(), "it waits");
    drop(body);
    assert_eq!(store.head(&at).await.unwrap().size, 3);
    let listed: Vec<_> = store.list(None).collect().await;
    assert_eq!(listed.len(), 1);
    assert_eq!(of(&store, "list").count, 1);
}
