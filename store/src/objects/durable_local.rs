//! A local folder whose writes are on stable storage when they return.
//!
//! object_store's own local store never syncs: after a power failure its newest files may be empty. This
//! one syncs the file before it gets its name, and the folder after, also for folders it had to make.
//! Everything that only reads is passed on.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    RenameTargetMode, Result, UploadPart,
};
use parking_lot::Mutex;

use crate::folder;

const STORE: &str = "DurableLocal";

/// The local file system, with fsync.
#[derive(Debug, Clone, Default)]
pub struct DurableLocal {
    inner: LocalFileSystem,
}

impl DurableLocal {
    /// Paths are those of the file system, from its root.
    #[must_use]
    pub fn new() -> Self {
        Self {
            inner: LocalFileSystem::new(),
        }
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
        let target = self.inner.path_to_filesystem(location)?;
        blocking(move || {
            let (mut file, staged) = stage(&target)?;
            let written = payload.iter().try_for_each(|part| file.write_all(part));
            publish(written, &file, staged, &target, create)?;
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
        let target = self.inner.path_to_filesystem(location)?;
        let (file, staged) = blocking({
            let target = target.clone();
            move || stage(&target)
        })
        .await?;
        Ok(Box::new(Upload {
            file: Arc::new(Mutex::new(file)),
            staged: Some(staged),
            target,
            offset: 0,
        }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
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

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let (source, target) = (
            self.inner.path_to_filesystem(from)?,
            self.inner.path_to_filesystem(to)?,
        );
        let create = options.mode == CopyMode::Create;
        blocking(move || {
            let mut source_file = File::open(&source).map_err(|error| failed(&source, error))?;
            let (mut file, staged) = stage(&target)?;
            let written = io::copy(&mut source_file, &mut file).map(drop);
            publish(written, &file, staged, &target, create)
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
        let source = self.inner.path_to_filesystem(from)?;
        blocking(move || {
            std::fs::remove_file(&source).map_err(|error| failed(&source, error))?;
            sync_folder_of(&source)
        })
        .await
    }
}

/// An upload in parts: nothing is seen of it before it is complete.
#[derive(Debug)]
struct Upload {
    file: Arc<Mutex<File>>,
    staged: Option<PathBuf>,
    target: PathBuf,
    offset: u64,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (file, target, mut offset) = (Arc::clone(&self.file), self.target.clone(), self.offset);
        self.offset += data.content_length() as u64;
        blocking(move || {
            use std::io::{Seek, SeekFrom};
            let mut file = file.lock();
            for part in &data {
                file.seek(SeekFrom::Start(offset))
                    .map_err(|error| failed(&target, error))?;
                file.write_all(part)
                    .map_err(|error| failed(&target, error))?;
                offset += part.len() as u64;
            }
            Ok(())
        })
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let staged = self
            .staged
            .take()
            .ok_or_else(|| unsupported("complete an upload twice"))?;
        let (file, target) = (Arc::clone(&self.file), self.target.clone());
        blocking(move || {
            publish(Ok(()), &file.lock(), staged, &target, false)?;
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
                blocking(move || {
                    std::fs::remove_file(&staged).map_err(|error| failed(&staged, error))
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
            let _ = std::fs::remove_file(staged);
        }
    }
}

/// A new file beside the target. Names that end in `#` and digits are not listed by the inner store.
fn stage(target: &FsPath) -> Result<(File, PathBuf)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    loop {
        let mut name = target.as_os_str().to_owned();
        name.push(format!(
            "#{}{:06}",
            std::process::id(),
            NEXT.fetch_add(1, Relaxed)
        ));
        let staged = PathBuf::from(name);
        match OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&staged)
        {
            Ok(file) => return Ok((file, staged)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == ErrorKind::NotFound => make_folders(target)?,
            Err(error) => return Err(failed(&staged, error)),
        }
    }
}

/// Makes the folders above a file.
fn make_folders(target: &FsPath) -> Result<()> {
    let Some(above) = target.parent() else {
        return Ok(());
    };
    folder::create(above).map_err(|error| failed(above, error))
}

/// Syncs a staged file and gives it its name; on failure nothing of it is left.
fn publish(
    written: io::Result<()>,
    file: &File,
    staged: PathBuf,
    target: &FsPath,
    create: bool,
) -> Result<()> {
    let named = written.and_then(|()| file.sync_all()).and_then(|()| {
        if create {
            std::fs::hard_link(&staged, target)
        } else {
            std::fs::rename(&staged, target)
        }
    });
    if create || named.is_err() {
        let _ = std::fs::remove_file(&staged);
    }
    named.map_err(|error| failed(target, error))?;
    sync_folder_of(target)
}

fn sync_folder_of(path: &FsPath) -> Result<()> {
    let Some(above) = path.parent() else {
        return Ok(());
    };
    folder::sync(above).map_err(|error| failed(above, error))
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

/// File operations go to the threads made for waiting.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(source) => Err(Error::JoinError { source }),
    }
}

#[cfg(test)]
mod tests;
