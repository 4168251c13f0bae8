//! A local folder whose writes are on stable storage when they return.
//!
//! object_store's own local store never syncs: after a power failure its newest files may be empty. This
//! one syncs the file before it gets its name, and the folder after, also for folders it had to make.
//! Everything that only reads is passed on, once all names are known to be durable: what a reader sees may be built
//! upon, and must not be gone after a power failure.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, ErrorKind, Read};
use std::ops::Range;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    RenameTargetMode, Result, UploadPart,
};
use parking_lot::Mutex;

use crate::disk::{Disk, DiskFile, Local, Open};
use crate::folder;

const STORE: &str = "DurableLocal";

/// Bytes copied at a time.
const COPIED_AT_ONCE: usize = 1 << 20;

/// The local file system, with fsync.
#[derive(Debug, Clone)]
pub struct DurableLocal {
    /// Where everything is written.
    disk: Arc<dyn Disk>,
    /// Reads, lists and deletes what is there.
    inner: Arc<dyn ObjectStore>,
    /// Says which file an object is.
    paths: Arc<LocalFileSystem>,
    unsynced: Arc<Unsynced>,
}

/// Folders that could not be synced, in which names may stand that a power failure would take.
#[derive(Debug, Default)]
struct Unsynced(Mutex<BTreeSet<PathBuf>>);

impl Unsynced {
    /// Makes the names beside a file durable.
    fn sync_folder_of(&self, disk: &dyn Disk, path: &FsPath) -> Result<()> {
        let Some(above) = path.parent() else {
            return Ok(());
        };
        disk.sync_folder(above).map_err(|error| {
            self.0.lock().insert(above.to_owned());
            failed(above, error)
        })
    }

    /// Makes good what failed before.
    fn settle(&self, disk: &dyn Disk) -> Result<()> {
        let folders = self.0.lock().clone();
        for folder in folders {
            match disk.sync_folder(&folder) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(failed(&folder, error));
                }
                _ => self.0.lock().remove(&folder),
            };
        }
        Ok(())
    }
}

impl Default for DurableLocal {
    fn default() -> Self {
        Self::on(Arc::new(Local), Arc::new(LocalFileSystem::new()))
    }
}

impl DurableLocal {
    /// Paths are those of the file system, from its root.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// On any disk, with a store that reads what is on it.
    pub(crate) fn on(disk: Arc<dyn Disk>, inner: Arc<dyn ObjectStore>) -> Self {
        let paths = Arc::new(LocalFileSystem::new());
        let unsynced = Arc::default();
        Self {
            disk,
            inner,
            paths,
            unsynced,
        }
    }

    /// Before anything is read.
    async fn settle(&self) -> Result<()> {
        if self.unsynced.0.lock().is_empty() {
            return Ok(());
        }
        let (disk, unsynced) = (Arc::clone(&self.disk), Arc::clone(&self.unsynced));
        blocking(&self.disk, move || unsynced.settle(disk.as_ref())).await
    }

    /// The same before a list.
    fn after_settling(
        &self,
        list: BoxStream<'static, Result<ObjectMeta>>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let own = self.clone();
        let settled = async move { own.settle().await.map(|()| list) };
        stream::once(settled).try_flatten().boxed()
    }

    fn file_of(&self, location: &Path) -> Result<PathBuf> {
        self.paths.path_to_filesystem(location)
    }
}

impl fmt::Display for DurableLocal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(STORE)
    }
}

#[async_trait]
impl ObjectStore for DurableLocal {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        let create = match opts.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            PutMode::Update(_) => return Err(unsupported("put with PutMode::Update")),
        };
        let (disk, target) = (Arc::clone(&self.disk), self.file_of(location)?);
        let unsynced = Arc::clone(&self.unsynced);
        blocking(&self.disk, move || {
            let (mut file, staged) = stage(disk.as_ref(), &target)?;
            let written = payload.iter().try_for_each(|part| file.write(part));
            publish(
                disk.as_ref(),
                written,
                file.as_mut(),
                &staged,
                &target,
                create,
                &unsynced,
            )?;
            Ok(PutResult {
                e_tag: None,
                version: None,
            })
        })
        .await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let target = self.file_of(location)?;
        let (file, staged) = blocking(&self.disk, {
            let (disk, target) = (Arc::clone(&self.disk), target.clone());
            move || stage(disk.as_ref(), &target)
        })
        .await?;
        Ok(Box::new(Upload {
            disk: Arc::clone(&self.disk),
            file: Arc::new(Mutex::new(file)),
            staged: Some(staged),
            target,
            offset: 0,
            unsynced: Arc::clone(&self.unsynced),
        }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.settle().await?;
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.settle().await?;
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.after_settling(self.inner.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.after_settling(self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.settle().await?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let (source, target) = (self.file_of(from)?, self.file_of(to)?);
        let create = options.mode == CopyMode::Create;
        let (disk, unsynced) = (Arc::clone(&self.disk), Arc::clone(&self.unsynced));
        blocking(&self.disk, move || {
            let source = disk.read(&source).map_err(|error| failed(&source, error))?;
            let (mut file, staged) = stage(disk.as_ref(), &target)?;
            let written = copy(source, file.as_mut());
            publish(
                disk.as_ref(),
                written,
                file.as_mut(),
                &staged,
                &target,
                create,
                &unsynced,
            )
        })
        .await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let mode = match options.target_mode {
            RenameTargetMode::Overwrite => CopyMode::Overwrite,
            RenameTargetMode::Create => CopyMode::Create,
        };
        self.copy_opts(
            from,
            to,
            CopyOptions {
                mode,
                ..CopyOptions::default()
            },
        )
        .await?;
        let (disk, source) = (Arc::clone(&self.disk), self.file_of(from)?);
        let unsynced = Arc::clone(&self.unsynced);
        blocking(&self.disk, move || {
            disk.remove(&source)
                .map_err(|error| failed(&source, error))?;
            unsynced.sync_folder_of(disk.as_ref(), &source)
        })
        .await
    }
}

/// An upload in parts: nothing is seen of it before it is complete.
#[derive(Debug)]
struct Upload {
    disk: Arc<dyn Disk>,
    file: Arc<Mutex<Box<dyn DiskFile>>>,
    staged: Option<PathBuf>,
    target: PathBuf,
    offset: u64,
    unsynced: Arc<Unsynced>,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (file, target, mut offset) = (Arc::clone(&self.file), self.target.clone(), self.offset);
        self.offset += data.content_length() as u64;
        let disk = Arc::clone(&self.disk);
        let write = move || {
            let mut file = file.lock();
            for part in &data {
                file.write_at(offset, part)
                    .map_err(|error| failed(&target, error))?;
                offset += part.len() as u64;
            }
            Ok(())
        };
        async move { blocking(&disk, write).await }.boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let staged = self
            .staged
            .take()
            .ok_or_else(|| unsupported("complete an upload twice"))?;
        let (file, target) = (Arc::clone(&self.file), self.target.clone());
        let (disk, unsynced) = (Arc::clone(&self.disk), Arc::clone(&self.unsynced));
        blocking(&self.disk, move || {
            let mut file = file.lock();
            publish(
                disk.as_ref(),
                Ok(()),
                file.as_mut(),
                &staged,
                &target,
                false,
                &unsynced,
            )?;
            Ok(PutResult {
                e_tag: None,
                version: None,
            })
        })
        .await
    }

    async fn abort(&mut self) -> Result<()> {
        match self.staged.take() {
            Some(staged) => {
                let disk = Arc::clone(&self.disk);
                blocking(&self.disk, move || {
                    disk.remove(&staged).map_err(|error| failed(&staged, error))
                })
                .await
            }
            None => Ok(()),
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(staged) = self.staged.take() {
            let _ = self.disk.remove(&staged);
        }
    }
}

/// A new file beside the target. Names that end in `#` and digits are not listed by the inner store.
fn stage(disk: &dyn Disk, target: &FsPath) -> Result<(Box<dyn DiskFile>, PathBuf)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    loop {
        let mut name = target.as_os_str().to_owned();
        name.push(format!(
            "#{}{:06}",
            std::process::id(),
            NEXT.fetch_add(1, Relaxed)
        ));
        let staged = PathBuf::from(name);
        match disk.open(&staged, Open::New { private: false }) {
            Ok(file) => return Ok((file, staged)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == ErrorKind::NotFound => make_folders(disk, target)?,
            Err(error) => return Err(failed(&staged, error)),
        }
    }
}

/// Makes the folders above a file.
fn make_folders(disk: &dyn Disk, target: &FsPath) -> Result<()> {
    let Some(above) = target.parent() else {
        return Ok(());
    };
    folder::create(disk, above).map_err(|error| failed(above, error))
}

/// Syncs a staged file and gives it its name; on failure nothing of it is left.
fn publish(
    disk: &dyn Disk,
    written: io::Result<()>,
    file: &mut dyn DiskFile,
    staged: &FsPath,
    target: &FsPath,
    create: bool,
    unsynced: &Unsynced,
) -> Result<()> {
    let named = written.and_then(|()| file.sync_all()).and_then(|()| {
        if create {
            disk.link(staged, target)
        } else {
            disk.rename(staged, target)
        }
    });
    if create || named.is_err() {
        let _ = disk.remove(staged);
    }
    // An error does not say that nothing was done: what others may see now has to be durable, too.
    let settled = unsynced.sync_folder_of(disk, target);
    named.map_err(|error| failed(target, error))?;
    settled
}

fn copy(mut source: Box<dyn Read + Send>, file: &mut dyn DiskFile) -> io::Result<()> {
    let mut bytes = vec![0; COPIED_AT_ONCE];
    loop {
        match source.read(&mut bytes)? {
            0 => return Ok(()),
            read => file.write(&bytes[..read])?,
        }
    }
}

fn failed(path: &FsPath, source: io::Error) -> Error {
    let path = path.display().to_string();
    match source.kind() {
        ErrorKind::AlreadyExists => Error::AlreadyExists {
            path,
            source: source.into(),
        },
        ErrorKind::NotFound => Error::NotFound {
            path,
            source: source.into(),
        },
        ErrorKind::PermissionDenied => Error::PermissionDenied {
            path,
            source: source.into(),
        },
        _ => Error::Generic {
            store: STORE,
            source: format!("{path}: {source}").into(),
        },
    }
}

fn unsupported(operation: &str) -> Error {
    Error::NotImplemented {
        operation: operation.to_owned(),
        implementer: STORE.to_owned(),
    }
}

/// File operations go to the threads made for waiting, if the disk waits.
async fn blocking<T: Send + 'static>(
    disk: &Arc<dyn Disk>,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    if !disk.waits() {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(source) => Err(Error::JoinError { source }),
    }
}

#[cfg(test)]
mod tests;
