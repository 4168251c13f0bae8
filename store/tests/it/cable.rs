//! An object store on a cable that can be pulled: everything fails until it is back in, or once after it was done.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;

#[derive(Debug)]
pub(crate) struct Cable {
    inner: Arc<dyn ObjectStore>,
    out: AtomicBool,
    /// The answers to the next so many puts get lost, after they were done.
    deaf: AtomicUsize,
    /// The next put of a name that ends so pulls the cable: after it was done, or before.
    snap: Mutex<Option<(&'static str, bool)>>,
}

impl Cable {
    pub(crate) fn to(inner: Arc<dyn ObjectStore>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            out: AtomicBool::new(false),
            deaf: AtomicUsize::new(0),
            snap: Mutex::new(None),
        })
    }

    pub(crate) fn pull(&self) {
        self.out.store(true, SeqCst);
    }

    pub(crate) fn plug_in(&self) {
        self.out.store(false, SeqCst);
    }

    pub(crate) fn lose_answers(&self, puts: usize) {
        self.deaf.store(puts, SeqCst);
    }

    pub(crate) fn snap_at(&self, suffix: &'static str, done: bool) {
        *self.snap.lock() = Some((suffix, done));
    }

    fn check(&self) -> Result<()> {
        if self.out.load(SeqCst) {
            return Err(broken());
        }
        Ok(())
    }
}

fn broken() -> Error {
    Error::Generic {
        store: "Cable",
        source: "the cable is out".into(),
    }
}

impl fmt::Display for Cable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cable")
    }
}

#[async_trait]
impl ObjectStore for Cable {
    async fn put_opts(&self, at: &Path, what: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.check()?;
        let snap = self
            .snap
            .lock()
            .take_if(|(suffix, _)| at.as_ref().ends_with(*suffix));
        if let Some((_, done)) = snap {
            self.pull();
            if done {
                self.inner.put_opts(at, what, opts).await?;
            }
            return Err(broken());
        }
        let done = self.inner.put_opts(at, what, opts).await?;
        let lost = self
            .deaf
            .fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
        if lost.is_ok() {
            Err(broken())
        } else {
            Ok(done)
        }
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.check()?;
        self.inner.put_multipart_opts(at, opts).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.check()?;
        self.inner.get_opts(at, options).await
    }

    async fn get_ranges(&self, at: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.check()?;
        self.inner.get_ranges(at, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        match self.check() {
            Ok(()) => self.inner.delete_stream(locations),
            Err(error) => Box::pin(futures::stream::iter([Err(error)])),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.check() {
            Ok(()) => self.inner.list(prefix),
            Err(error) => Box::pin(futures::stream::iter([Err(error)])),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.check()?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.check()?;
        self.inner.copy_opts(from, to, options).await
    }
}
