//! Objects on the simulated disk: written by the real [`DurableLocal`](crate::DurableLocal), read by [`Reader`].

use std::fmt;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;
use std::thread::ThreadId;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    Result,
};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::power::SimDisk;
use crate::disk::Disk;

/// Reads, lists and deletes; for the writing there is `DurableLocal`.
#[derive(Debug)]
pub(super) struct Reader(pub(super) SimDisk);

fn file_of(location: &Path) -> PathBuf {
    FsPath::new("/").join(location.as_ref())
}

fn failed(location: &Path, error: std::io::Error) -> Error {
    let path = location.to_string();
    match error.kind() {
        std::io::ErrorKind::NotFound => Error::NotFound {
            path,
            source: error.into(),
        },
        _ => Error::Generic {
            store: "Reader",
            source: error.into(),
        },
    }
}

fn meta(location: Path, size: u64) -> ObjectMeta {
    ObjectMeta {
        location,
        last_modified: chrono::Utc::now(),
        size,
        e_tag: None,
        version: None,
    }
}

impl Reader {
    /// What lies under a prefix; staged files do not count. A prefix that is no folder holds nothing.
    fn entries(&self, prefix: &Path) -> Result<(Vec<ObjectMeta>, Vec<Path>)> {
        let (mut files, mut folders) = (Vec::new(), Vec::new());
        let entries = match self.0.entries(&file_of(prefix)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            entries => entries.map_err(|error| failed(prefix, error))?,
        };
        for (name, is_folder, bytes) in entries {
            let location = prefix.clone().join(name.as_str());
            if is_folder {
                folders.push(location);
            } else if !name.contains('#') {
                files.push(meta(location, bytes));
            }
        }
        Ok((files, folders))
    }

    fn all(&self, prefix: &Path) -> Result<Vec<ObjectMeta>> {
        let (mut files, folders) = self.entries(prefix)?;
        for folder in folders {
            files.extend(self.all(&folder)?);
        }
        files.sort_by(|a, b| a.location.cmp(&b.location));
        Ok(files)
    }
}

impl fmt::Display for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reader")
    }
}

#[async_trait]
impl ObjectStore for Reader {
    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        unreachable!("DurableLocal writes")
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        unreachable!("DurableLocal writes")
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let bytes = self
            .0
            .contents(&file_of(location))
            .map_err(|error| failed(location, error))?;
        let bytes = Bytes::from(bytes);
        let meta = meta(location.clone(), bytes.len() as u64);
        options.check_preconditions(&meta)?;
        let range = match options.range {
            None => 0..meta.size,
            Some(range) => range.as_range(meta.size).map_err(|source| Error::Generic {
                store: "Reader",
                source: source.into(),
            })?,
        };
        let part = bytes.slice(range.start as usize..range.end as usize);
        Ok(GetResult {
            payload: GetResultPayload::Stream(stream::once(async move { Ok(part) }).boxed()),
            meta,
            range,
            attributes: object_store::Attributes::default(),
        })
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let disk = self.0.clone();
        let delete = move |location: Result<Path>| {
            let location = location?;
            match disk.remove(&file_of(&location)) {
                Ok(()) => Ok(location),
                Err(error) => Err(failed(&location, error)),
            }
        };
        locations.map(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let listed = self.all(&prefix.cloned().unwrap_or_default());
        match listed {
            Ok(listed) => stream::iter(listed.into_iter().map(Ok)).boxed(),
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let (objects, common_prefixes) = self.entries(&prefix.cloned().unwrap_or_default())?;
        Ok(ListResult {
            objects,
            common_prefixes,
        })
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        unreachable!("DurableLocal copies")
    }
}

/// Whoever is let in while an object is being put; answers when it is out again.
pub(super) type Visit = oneshot::Sender<()>;

/// A store that lets somebody in before every put, when there is somebody: so requests come in at every point of a
/// flush, and always at the same.
#[derive(Debug)]
pub(super) struct Door<S> {
    pub(super) inner: S,
    home: ThreadId,
    visits: Mutex<Option<mpsc::UnboundedSender<Visit>>>,
}

impl<S> Door<S> {
    pub(super) fn new(inner: S) -> Self {
        Self {
            inner,
            home: std::thread::current().id(),
            visits: Mutex::new(None),
        }
    }

    pub(super) fn open(&self) -> mpsc::UnboundedReceiver<Visit> {
        let (sender, receiver) = mpsc::unbounded_channel();
        *self.visits.lock() = Some(sender);
        receiver
    }

    pub(super) fn close(&self) {
        self.visits.lock().take();
    }

    async fn let_in(&self) {
        // A checkpoint of a table is written on a thread of its own, while ours waits for it.
        if std::thread::current().id() != self.home {
            return;
        }
        let Some(visits) = self.visits.lock().clone() else {
            return;
        };
        let (visit, over) = oneshot::channel();
        if visits.send(visit).is_ok() {
            let _ = over.await;
        }
    }
}

impl<S> fmt::Display for Door<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Door")
    }
}

#[async_trait]
impl<S: ObjectStore> ObjectStore for Door<S> {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.let_in().await;
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

/// The store that tables are kept in.
pub(super) type Tables = Arc<Door<crate::DurableLocal>>;
