//! Files from one object store to another, in parts, with the hash of what went over.

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{GetResult, ObjectStore, ObjectStoreExt, WriteMultipart};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// Larger files go over in parts of so many bytes; so many at the same time.
const PART: usize = 8 << 20;
const PARTS: usize = 2;

/// How a file looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Look {
    /// Bytes.
    pub(super) size: u64,
    /// SHA-256 of them, lower-case hex.
    pub(super) sha256: String,
}

impl Look {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self {
            size: bytes.len() as u64,
            sha256: hex::encode(Sha256::digest(bytes)),
        }
    }

    /// What differs from how it must look.
    pub(super) fn differs(&self, wanted: &Self) -> Option<String> {
        if self.size != wanted.size {
            return Some(format!(
                "it has {} bytes, {} were written",
                self.size, wanted.size
            ));
        }
        (self.sha256 != wanted.sha256).then(|| {
            format!(
                "its bytes were changed: their SHA-256 is {}, but {} was written",
                self.sha256, wanted.sha256
            )
        })
    }
}

/// Reads a file to its end.
pub(super) async fn look(store: &dyn ObjectStore, path: &Path) -> object_store::Result<Look> {
    let mut stream = store.get(path).await?.into_stream();
    let (mut size, mut hash) = (0, Sha256::new());
    while let Some(part) = stream.try_next().await? {
        size += part.len() as u64;
        hash.update(&part);
    }
    Ok(Look {
        size,
        sha256: hex::encode(hash.finalize()),
    })
}

/// Copies a file. With a look that it must have, nothing is left at the target unless it has it.
pub(super) async fn copy(
    (from, source): (&dyn ObjectStore, &Path),
    (to, target): (&dyn ObjectStore, &Path),
    wanted: Option<&Look>,
) -> Result<Look> {
    let got = from.get(source).await.map_err(read_error(source))?;
    if got.meta.size <= PART as u64 {
        let bytes = got.bytes().await.map_err(read_error(source))?;
        return put(to, target, bytes, source, wanted).await;
    }
    let upload = to.put_multipart(target).await;
    let upload = upload.map_err(Error::objects("write a file"))?;
    let mut upload = WriteMultipart::new_with_chunk_size(upload, PART);
    match pass(got, &mut upload, source, wanted).await {
        Ok(look) => {
            let finished = upload.finish().await;
            finished.map_err(Error::objects("write a file"))?;
            Ok(look)
        }
        Err(error) => {
            // What was written of it has no name yet; what is left of that the store forgets in time.
            let _ = upload.abort().await;
            Err(error)
        }
    }
}

/// Writes a file that is in memory.
pub(super) async fn put(
    to: &dyn ObjectStore,
    target: &Path,
    bytes: Bytes,
    source: &Path,
    wanted: Option<&Look>,
) -> Result<Look> {
    let look = Look::of(&bytes);
    check(&look, wanted, source)?;
    let written = to.put(target, bytes.into()).await;
    written.map_err(Error::objects("write a file"))?;
    Ok(look)
}

async fn pass(
    got: GetResult,
    upload: &mut WriteMultipart,
    source: &Path,
    wanted: Option<&Look>,
) -> Result<Look> {
    let (mut size, mut hash) = (0, Sha256::new());
    let mut stream = got.into_stream();
    while let Some(part) = stream.try_next().await.map_err(read_error(source))? {
        size += part.len() as u64;
        hash.update(&part);
        let room = upload.wait_for_capacity(PARTS).await;
        room.map_err(Error::objects("write a file"))?;
        upload.put(part);
    }
    let look = Look {
        size,
        sha256: hex::encode(hash.finalize()),
    };
    check(&look, wanted, source)?;
    Ok(look)
}

fn check(look: &Look, wanted: Option<&Look>, source: &Path) -> Result<()> {
    match wanted.and_then(|wanted| look.differs(wanted)) {
        Some(reason) => Err(Error::BackupDamaged {
            path: source.to_string(),
            reason,
        }),
        None => Ok(()),
    }
}

/// A file that is gone is said to be.
fn read_error(path: &Path) -> impl FnOnce(object_store::Error) -> Error {
    let path = path.to_string();
    move |error| match error {
        object_store::Error::NotFound { .. } => Error::BackupDamaged {
            path,
            reason: "it is gone".into(),
        },
        other => Error::objects("read a file")(other),
    }
}
