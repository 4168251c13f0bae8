//! The one decorator between Flyball and whatever keeps its objects: a limit on what runs at the same time,
//! another try where that is safe, and figures. Tests put a store that fails beneath it.
//!
//! What is tried again, and by whom:
//!
//! | operation | by the store's own client (S3, GCS, Azure) | here |
//! |---|---|---|
//! | read, list a folder, delete | refused connections, timeouts, 5xx, a body that breaks off | up to [`ATTEMPTS`], if the failure came soon |
//! | put of a name that is never used twice | the same | no: whoever flushes comes back with the same files |
//! | put that must create | 5xx only | never: its outcome may be unknown, and a second attempt would meet the object of the first. Whoever asked can tell its own object from another's |
//! | copy, upload in parts | each request | no |

use std::fmt;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt, Stream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    RenameOptions, Result, UploadPart,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::figures::{Figures, ObjectOperation, Operation};

/// Attempts of what may safely be tried again.
const ATTEMPTS: u32 = 3;
/// The first pause; the next is four times as long.
const PAUSE: Duration = Duration::from_millis(25);
/// So many deletions are asked for together.
const DELETES: usize = 500;
/// What took longer to fail was tried again by the store's own client.
const SOON: Duration = Duration::from_secs(2);

/// An object store with a limit, retries and figures.
#[derive(Debug, Clone)]
pub(crate) struct Guarded {
    inner: Arc<dyn ObjectStore>,
    permits: Arc<Semaphore>,
    figures: Arc<Figures>,
}

impl Guarded {
    /// At most so many operations run at the same time; the others wait.
    pub(crate) fn new(inner: Arc<dyn ObjectStore>, limit: usize) -> Self {
        Self {
            inner,
            permits: Arc::new(Semaphore::new(limit.clamp(1, Semaphore::MAX_PERMITS))),
            figures: Arc::default(),
        }
    }

    /// What is beneath.
    pub(crate) fn inner(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.inner)
    }

    /// Another store, counted with this one, with a limit of its own.
    pub(crate) fn beside(&self, other: Arc<dyn ObjectStore>, limit: usize) -> Self {
        Self {
            figures: Arc::clone(&self.figures),
            ..Self::new(other, limit)
        }
    }

    /// The same store and figures with another limit.
    pub(crate) fn limited(&self, limit: usize) -> Self {
        Self {
            figures: Arc::clone(&self.figures),
            ..Self::new(Arc::clone(&self.inner), limit)
        }
    }

    pub(crate) fn figures(&self) -> Vec<ObjectOperation> {
        self.figures.read()
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        permit.map_err(|source| Error::Generic {
            store: "Guarded",
            source: source.into(),
        })
    }

    /// Once, with a permit and counted. The permit comes back, for an answer that is still being read.
    async fn once<T>(
        &self,
        operation: Operation,
        work: impl Future<Output = Result<T>> + Send,
    ) -> Result<(T, OwnedSemaphorePermit)> {
        let permit = self.permit().await?;
        let start = Instant::now();
        let outcome = work.await;
        let failed = outcome.as_ref().is_err_and(|error| !is_answer(error));
        self.figures.done(operation, start.elapsed(), failed);
        Ok((outcome?, permit))
    }

    /// The same, again if it failed soon and in a way that may pass.
    async fn patiently<T, F>(
        &self,
        operation: Operation,
        work: impl Fn() -> F + Send + Sync,
    ) -> Result<(T, OwnedSemaphorePermit)>
    where
        T: Send,
        F: Future<Output = Result<T>> + Send,
    {
        let start = Instant::now();
        let mut pause = PAUSE;
        for _ in 1..ATTEMPTS {
            match self.once(operation, work()).await {
                Err(error) if may_pass(&error) && start.elapsed() < SOON => {
                    tracing::debug!(%error, "an operation of the object store is tried again");
                }
                outcome => return outcome,
            }
            tokio::time::sleep(pause).await;
            pause *= 4;
            self.figures.tried_again(operation);
        }
        self.once(operation, work()).await
    }
}

/// Answers that come as errors.
fn is_answer(error: &Error) -> bool {
    matches!(
        error,
        Error::NotFound { .. }
            | Error::AlreadyExists { .. }
            | Error::Precondition { .. }
            | Error::NotModified { .. }
    )
}

/// Whether another attempt may succeed.
fn may_pass(error: &Error) -> bool {
    matches!(error, Error::Generic { .. } | Error::JoinError { .. })
}

impl fmt::Display for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Guarded {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        let operation = match opts.mode {
            PutMode::Overwrite => Operation::Put,
            PutMode::Create | PutMode::Update(_) => Operation::Create,
        };
        let bytes = payload.content_length() as u64;
        let put = self.inner.put_opts(location, payload, opts);
        let (done, _) = self.once(operation, put).await?;
        self.figures.moved(operation, bytes);
        Ok(done)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let begun = self.inner.put_multipart_opts(location, opts);
        let (upload, _) = self.once(Operation::Upload, begun).await?;
        Ok(Box::new(Upload {
            inner: upload,
            guarded: self.clone(),
        }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let get = || self.inner.get_opts(location, options.clone());
        let (mut result, permit) = self.patiently(Operation::Get, get).await?;
        if !options.head {
            let bytes = result.range.end.saturating_sub(result.range.start);
            self.figures.moved(Operation::Get, bytes);
        }
        if let GetResultPayload::Stream(body) = result.payload {
            let body = Held {
                body,
                _permit: permit,
            };
            result.payload = GetResultPayload::Stream(body.boxed());
        }
        Ok(result)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let get = || self.inner.get_ranges(location, ranges);
        let (parts, _) = self.patiently(Operation::Get, get).await?;
        let bytes = parts.iter().map(|part| part.len() as u64).sum();
        self.figures.moved(Operation::Get, bytes);
        Ok(parts)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let guarded = self.clone();
        locations
            .ready_chunks(DELETES)
            .then(move |chunk| {
                let guarded = guarded.clone();
                async move {
                    let deleted = guarded.delete_all(chunk).await;
                    let deleted: Vec<_> = match deleted {
                        Ok(paths) => paths.into_iter().map(Ok).collect(),
                        Err(error) => vec![Err(error)],
                    };
                    futures::stream::iter(deleted)
                }
            })
            .flatten()
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(self.inner.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let list = || self.inner.list_with_delimiter(prefix);
        let (result, _) = self.patiently(Operation::List, list).await?;
        Ok(result)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let copy = self.inner.copy_opts(from, to, options);
        self.once(Operation::Copy, copy).await.map(drop)
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let rename = self.inner.rename_opts(from, to, options);
        self.once(Operation::Copy, rename).await.map(drop)
    }
}

impl Guarded {
    /// Deletes a few objects. What is gone already is gone, whoever deleted it.
    async fn delete_all(&self, locations: Vec<Result<Path>>) -> Result<Vec<Path>> {
        let paths = locations.into_iter().collect::<Result<Vec<_>>>()?;
        let delete = || {
            let each: Vec<_> = paths.iter().cloned().map(Ok).collect();
            let deleted = self
                .inner
                .delete_stream(futures::stream::iter(each).boxed());
            deleted
                .filter(|outcome| {
                    let gone = matches!(outcome, Err(Error::NotFound { .. }));
                    std::future::ready(!gone)
                })
                .try_for_each(|_| std::future::ready(Ok(())))
        };
        self.patiently(Operation::Delete, delete).await.map(drop)?;
        Ok(paths)
    }

    /// A list as it comes, counted when it ends; whoever drops it half way has not failed.
    fn listed(
        &self,
        list: BoxStream<'static, Result<ObjectMeta>>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let guarded = self.clone();
        let begun = async move {
            let permit = match guarded.permit().await {
                Ok(permit) => permit,
                Err(error) => return futures::stream::iter([Err(error)]).boxed(),
            };
            let counting = Counting {
                figures: Arc::clone(&guarded.figures),
                start: Instant::now(),
                failed: false,
            };
            let counted = list.scan(counting, |counting, entry| {
                counting.failed |= entry.is_err();
                std::future::ready(Some(entry))
            });
            let body = counted.boxed();
            Held {
                body,
                _permit: permit,
            }
            .boxed()
        };
        begun.flatten_stream().boxed()
    }
}

/// Counts a list once it is dropped.
struct Counting {
    figures: Arc<Figures>,
    start: Instant,
    failed: bool,
}

impl Drop for Counting {
    fn drop(&mut self) {
        let took = self.start.elapsed();
        self.figures.done(Operation::List, took, self.failed);
    }
}

/// A body that keeps its permit until it is read or dropped.
struct Held<T> {
    body: BoxStream<'static, Result<T>>,
    _permit: OwnedSemaphorePermit,
}

impl<T> Stream for Held<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.body.poll_next_unpin(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.body.size_hint()
    }
}

/// An upload in parts, each of them limited and counted.
#[derive(Debug)]
struct Upload {
    inner: Box<dyn MultipartUpload>,
    guarded: Guarded,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let bytes = data.content_length() as u64;
        let (part, guarded) = (self.inner.put_part(data), self.guarded.clone());
        async move {
            guarded.once(Operation::Upload, part).await.map(drop)?;
            guarded.figures.moved(Operation::Upload, bytes);
            Ok(())
        }
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let complete = self.inner.complete();
        let (done, _) = self.guarded.once(Operation::Upload, complete).await?;
        Ok(done)
    }

    async fn abort(&mut self) -> Result<()> {
        let abort = self.inner.abort();
        self.guarded.once(Operation::Upload, abort).await.map(drop)
    }
}

#[cfg(test)]
mod tests;
