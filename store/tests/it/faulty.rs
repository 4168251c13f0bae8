//! An object store that fails: as told, or as the weather is.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use flyball_store::{DurableLocal, Store};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path as Location;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    RenameOptions, Result, UploadPart,
};
use parking_lot::Mutex;

use crate::fixture::*;
use crate::weather::{Ill, Operation, Weather};

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    /// Nothing is done.
    Before,
    /// It is done, and then an error comes back.
    After,
    /// It is done, an error comes back, and from then on nothing works.
    AfterThenDown,
}

#[derive(Debug)]
pub(crate) struct Faulty {
    inner: DurableLocal,
    /// The next so many puts of names that end so fail.
    plan: Mutex<Option<(Fault, &'static str)>>,
    left: AtomicUsize,
    pub(crate) down: AtomicBool,
    /// Every put takes so many milliseconds, before and after.
    pub(crate) slow_ms: AtomicUsize,
    /// Reads that run now, and the most that ever did at the same time. Each takes so many milliseconds, too.
    reads: AtomicUsize,
    pub(crate) reads_most: AtomicUsize,
    /// What befalls every operation.
    pub(crate) weather: Arc<Weather>,
}

impl Faulty {
    pub(crate) fn new() -> Arc<Self> {
        Self::in_weather(Weather::fair())
    }

    pub(crate) fn in_weather(weather: Weather) -> Arc<Self> {
        Arc::new(Self {
            inner: DurableLocal::new(),
            plan: Mutex::new(None),
            left: AtomicUsize::new(0),
            down: AtomicBool::new(false),
            slow_ms: AtomicUsize::new(0),
            reads: AtomicUsize::new(0),
            reads_most: AtomicUsize::new(0),
            weather: Arc::new(weather),
        })
    }

    pub(crate) fn fail(&self, fault: Fault, suffix: &'static str, times: usize) {
        *self.plan.lock() = Some((fault, suffix));
        self.left.store(times, SeqCst);
    }

    pub(crate) fn heal(&self) {
        self.left.store(0, SeqCst);
        self.down.store(false, SeqCst);
    }

    fn check(&self) -> Result<()> {
        if self.down.load(SeqCst) {
            Err(broken())
        } else {
            Ok(())
        }
    }

    /// What befalls an operation before anything is done.
    async fn begin(&self, operation: Operation) -> Result<Ill> {
        self.check()?;
        let ill = self.weather.befalls(operation);
        match ill {
            Ill::Before => Err(broken()),
            Ill::Slow => {
                tokio::time::sleep(Duration::from_millis(3)).await;
                Ok(ill)
            }
            ill => Ok(ill),
        }
    }

    fn listed(
        &self,
        list: BoxStream<'static, Result<ObjectMeta>>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        if let Err(error) = self.check() {
            return stream::iter([Err(error)]).boxed();
        }
        match self.weather.befalls(Operation::List) {
            Ill::Before => stream::iter([Err(broken())]).boxed(),
            Ill::After => list.take(1).chain(stream::iter([Err(broken())])).boxed(),
            // What was made last is not listed yet.
            Ill::Stale => stream::once(list.try_collect::<Vec<_>>())
                .map_ok(|mut listed| {
                    listed.sort_by_key(|object| object.last_modified);
                    listed.pop();
                    listed.sort_by(|a, b| a.location.cmp(&b.location));
                    stream::iter(listed.into_iter().map(Ok))
                })
                .try_flatten()
                .boxed(),
            _ => list,
        }
    }
}

fn broken() -> Error {
    Error::Generic {
        store: "faulty",
        source: "the cable is out".into(),
    }
}

/// A result, or an error in its place.
fn unless_lost<T>(ill: Ill, done: Result<T>) -> Result<T> {
    match ill {
        Ill::After => done.and(Err(broken())),
        _ => done,
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        location: &Location,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        let create = opts.mode == PutMode::Create;
        let ill = self
            .begin(if create {
                Operation::Create
            } else {
                Operation::Put
            })
            .await?;
        let pause = Duration::from_millis(self.slow_ms.load(SeqCst) as u64);
        tokio::time::sleep(pause).await;
        let plan = *self.plan.lock();
        let hit = plan.filter(|(_, suffix)| location.as_ref().ends_with(suffix));
        let hit = hit.filter(|_| {
            self.left
                .fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1))
                .is_ok()
        });
        match hit {
            Some((Fault::Before, _)) => return Err(broken()),
            Some((fault, _)) => {
                self.inner.put_opts(location, payload, opts).await?;
                self.down.store(fault == Fault::AfterThenDown, SeqCst);
                return Err(broken());
            }
            None => {}
        }
        // The answer to a request that a client sent twice, without telling, or that met another one.
        let exists = || Error::AlreadyExists {
            path: location.to_string(),
            source: "412".into(),
        };
        let done = match ill {
            Ill::Refused => return Err(exists()),
            _ => self.inner.put_opts(location, payload, opts).await,
        };
        tokio::time::sleep(pause).await;
        match ill {
            Ill::DoneAndRefused => done.and(Err(exists())),
            ill => unless_lost(ill, done),
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Location,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let ill = self.begin(Operation::Multipart).await?;
        let inner = self.inner.put_multipart_opts(location, opts).await;
        let weather = Arc::clone(&self.weather);
        unless_lost(
            ill,
            inner.map(|inner| Box::new(Parts { inner, weather }) as Box<dyn MultipartUpload>),
        )
    }

    async fn get_opts(&self, location: &Location, options: GetOptions) -> Result<GetResult> {
        let operation = if options.head {
            Operation::Head
        } else {
            Operation::Get
        };
        let ill = self.begin(operation).await?;
        let reads = self.reads.fetch_add(1, SeqCst) + 1;
        self.reads_most.fetch_max(reads, SeqCst);
        let pause = self.slow_ms.load(SeqCst) as u64;
        if pause > 0 {
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        let done = self.inner.get_opts(location, options).await;
        self.reads.fetch_sub(1, SeqCst);
        match ill {
            // The connection breaks while the bytes come.
            Ill::After => done.map(|got| GetResult {
                meta: got.meta.clone(),
                range: got.range.clone(),
                attributes: got.attributes.clone(),
                payload: GetResultPayload::Stream(
                    got.into_stream()
                        .map_ok(|bytes| bytes.slice(..bytes.len() / 2))
                        .take(1)
                        .chain(stream::iter([Err(broken())]))
                        .boxed(),
                ),
            }),
            _ => done,
        }
    }

    async fn get_ranges(&self, location: &Location, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let ill = self.begin(Operation::Ranges).await?;
        unless_lost(ill, self.inner.get_ranges(location, ranges).await)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Location>>,
    ) -> BoxStream<'static, Result<Location>> {
        let ill = self.weather.befalls(Operation::Delete);
        if self.check().is_err() || ill == Ill::Before {
            return stream::iter([Err(broken())]).boxed();
        }
        let deleted = self.inner.delete_stream(locations);
        deleted.map(move |done| unless_lost(ill, done)).boxed()
    }

    fn list(&self, prefix: Option<&Location>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(self.inner.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Location>,
        offset: &Location,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Location>) -> Result<ListResult> {
        let ill = self.begin(Operation::Folders).await?;
        unless_lost(ill, self.inner.list_with_delimiter(prefix).await)
    }

    async fn copy_opts(&self, from: &Location, to: &Location, options: CopyOptions) -> Result<()> {
        let ill = self.begin(Operation::Copy).await?;
        unless_lost(ill, self.inner.copy_opts(from, to, options).await)
    }

    async fn rename_opts(
        &self,
        from: &Location,
        to: &Location,
        options: RenameOptions,
    ) -> Result<()> {
        let ill = self.begin(Operation::Rename).await?;
        unless_lost(ill, self.inner.rename_opts(from, to, options).await)
    }
}

/// An upload in parts, of which each may fail.
#[derive(Debug)]
struct Parts {
    inner: Box<dyn MultipartUpload>,
    weather: Arc<Weather>,
}

#[async_trait]
impl MultipartUpload for Parts {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let part = self.inner.put_part(data);
        let ill = self.weather.befalls(Operation::Part);
        Box::pin(async move {
            match ill {
                Ill::Before => Err(broken()),
                ill => unless_lost(ill, part.await),
            }
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        match self.weather.befalls(Operation::Complete) {
            Ill::Before => Err(broken()),
            ill => unless_lost(ill, self.inner.complete().await),
        }
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}

pub(crate) async fn try_open_on(
    dir: &Path,
    faulty: &Arc<Faulty>,
) -> flyball_store::Result<Arc<Store>> {
    let tables = dir.join("tables");
    std::fs::create_dir_all(&tables).unwrap();
    let url = url::Url::from_directory_path(tables.canonicalize().unwrap()).unwrap();
    let object_store: Arc<dyn ObjectStore> = Arc::<Faulty>::clone(faulty);
    Store::open_on(config(dir), Arc::new(Json), object_store, url).await
}

pub(crate) async fn open_on(dir: &Path, faulty: &Arc<Faulty>) -> Arc<Store> {
    try_open_on(dir, faulty).await.unwrap()
}
