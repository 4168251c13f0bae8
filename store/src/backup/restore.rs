//! Making a data directory and tables out of a backup.

use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::copy::{Look, copy, look};
use super::manifest::{LocalFile, Manifest, TableFile, TableVersion};
use super::place::{self, BackupPlace, Opened};
use super::progress::Progress;
use super::{local, restored};
use crate::config::Config;
use crate::directory::Directory;
use crate::disk::{self, Disk as _, Local};
use crate::error::{Error, Result};
use crate::folder;
use crate::objects::Objects;
use crate::table::Table;
use crate::tables;

/// Stands in a data directory while it is being restored, and holds the backup's name.
pub(super) const MARKER: &str = "restoring";

/// Name of the key that signs the ledger, in the data directory.
const LEDGER_KEY: &str = "ledger.key";

/// Files that are copied at the same time.
const COPIES: usize = 4;

/// Which backup, and what it does not hold.
#[derive(Debug, Clone, Default)]
pub struct RestoreOptions {
    /// Its name; None for the latest.
    pub backup: Option<String>,
    /// The file of the key that signs the ledger, for a backup without keys.
    pub ledger_key: Option<PathBuf>,
    /// The folder `erasures` of the data directory that was backed up. Without it, the list of erasures is the one
    /// in the latest backup of the same node in the same place.
    pub erasures: Option<PathBuf>,
    /// That key is lost: sign with a new one, which whoever checks the ledger has to be told.
    pub new_ledger_key: bool,
}

/// What was restored.
#[derive(Debug, Clone)]
pub struct Restored {
    /// The backup.
    pub manifest: Manifest,
    /// The id of the new node: the one that took the backup may go on elsewhere.
    pub node: String,
}

/// Refuses a data directory in which a restore did not come to its end. What is left to do at the first opening
/// cannot be done by who only reads.
pub(crate) fn refuse_half_restored(data_dir: &FsPath, read_only: bool) -> Result<()> {
    if read_only && let Some(restored) = restored::noted(data_dir)? {
        return Err(Error::HalfRestored {
            path: data_dir.to_owned(),
            backup: restored.backup,
            mend: "start `flyball serve` on it, which brings it to its end",
        });
    }
    let path = data_dir.join(MARKER);
    match std::fs::read_to_string(&path) {
        Ok(backup) => Err(Error::HalfRestored {
            path: data_dir.to_owned(),
            backup: backup.trim().to_owned(),
            mend: "run `flyball restore` again, it goes on where it stopped",
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::file("read", &path)(error)),
    }
}

/// Restores a backup into the data directory and the tables' place of a configuration,
/// both of which must be empty. Every file is checked as it is written. A restore that was cut off goes on where
/// it was when the same is asked for again; until it is through, the directory cannot be opened.
///
/// The directory gets a node id of its own. Its tables begin with a commit that names all files and says for this
/// node how far the log had come, so it goes on behind that with an empty log.
///
/// # Errors
/// [`Error::NotEmpty`]; [`Error::NoBackup`]; [`Error::NoLedgerKey`]; [`Error::BackupDamaged`] names a file that is gone or changed;
/// [`Error::SchemaDiffers`] when this version has other columns; what files and object stores say.
pub async fn restore(
    place: &BackupPlace,
    options: &RestoreOptions,
    config: &Config,
    progress: &Progress,
) -> Result<Restored> {
    let place = place.open()?;
    let manifest = place.manifest(options.backup.as_deref()).await?;
    if !manifest.keys && options.ledger_key.is_none() && !options.new_ledger_key {
        return Err(Error::NoLedgerKey {
            backup: manifest.id,
        });
    }
    let given = given(options)?;
    let data_dir = &config.data_dir;
    let going_on = begin(data_dir, &manifest.id)?;
    let directory = Directory::own(Arc::new(Local), data_dir)?;
    let objects = Objects::open(config)?;
    objects.probe().await?;
    if !going_on && let Some(found) = first_object(&objects).await? {
        // Nothing was written: whoever asks again shall not be told that it goes on.
        let _ = std::fs::remove_file(data_dir.join(MARKER));
        return Err(Error::NotEmpty { place: found });
    }
    let node = directory.node_id()?;
    for table in &manifest.tables {
        for file in &table.files {
            progress.expect(file.size());
        }
    }
    for table in &manifest.tables {
        restore_table(&place, &manifest.id, table, &objects, &node, progress).await?;
    }
    for (id, file) in &local_files(&place, &manifest, options).await? {
        progress.expect(file.size);
        let wanted = Look {
            size: file.size,
            sha256: file.sha256.clone(),
        };
        let path = place::local_file(id, &file.name);
        let bytes = read_local(place.store.as_ref(), &path, &wanted).await?;
        write_private(&data_dir.join(local_name(&file.name)?), &bytes)?;
        progress.done(file.size, true);
    }
    for (name, bytes) in given {
        write_private(&data_dir.join(name), &bytes)?;
    }
    restored::note(data_dir, &manifest)?;
    let marker = data_dir.join(MARKER);
    Local
        .remove(&marker)
        .and_then(|()| Local.sync_folder(data_dir))
        .map_err(Error::file("remove", &marker))?;
    directory.give_back(true, false);
    Ok(Restored { manifest, node })
}

/// Files of the data directory that come from elsewhere than the backup.
fn given(options: &RestoreOptions) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut given = Vec::new();
    let read = |path: &FsPath| std::fs::read(path).map_err(Error::file("read", path));
    if let Some(path) = &options.ledger_key {
        given.push((PathBuf::from(LEDGER_KEY), read(path)?));
    }
    if let Some(folder) = &options.erasures {
        let entries = std::fs::read_dir(folder).map_err(Error::file("list", folder))?;
        for entry in entries {
            let path = entry.map_err(Error::file("list", folder))?.path();
            if let Some(name) = path.file_name().filter(|_| path.is_file()) {
                given.push((FsPath::new(local::ERASURES).join(name), read(&path)?));
            }
        }
    }
    Ok(given)
}

/// What of the data directory is restored, and out of which backup: the list of erasures is the latest there is.
async fn local_files(
    place: &Opened,
    manifest: &Manifest,
    options: &RestoreOptions,
) -> Result<Vec<(String, LocalFile)>> {
    let of_erasures = |file: &LocalFile| file.name.starts_with(local::ERASURES);
    let own = manifest.local.iter().filter(|file| !of_erasures(file));
    let mut files: Vec<_> = own
        .map(|file| (manifest.id.clone(), file.clone()))
        .collect();
    if options.erasures.is_none()
        && let Some(latest) = place.latest_of(&manifest.node).await?
    {
        let lists = latest.local.into_iter().filter(of_erasures);
        files.extend(lists.map(|file| (latest.id.clone(), file)));
    }
    Ok(files)
}

/// Makes the data directory, with a marker in it. True when an earlier restore of the same backup began there.
fn begin(data_dir: &FsPath, id: &str) -> Result<bool> {
    folder::create_private(&Local, data_dir).map_err(Error::file("create", data_dir))?;
    let marker = data_dir.join(MARKER);
    if let Ok(backup) = std::fs::read_to_string(&marker) {
        return if backup.trim() == id {
            Ok(true)
        } else {
            Err(Error::HalfRestored {
                path: data_dir.to_owned(),
                backup: backup.trim().to_owned(),
                mend: "ask for that one again, or empty the directory",
            })
        };
    }
    let mut entries = std::fs::read_dir(data_dir).map_err(Error::file("list", data_dir))?;
    if let Some(found) = entries.next() {
        let found = found.map_err(Error::file("list", data_dir))?;
        return Err(Error::NotEmpty {
            place: found.path().display().to_string(),
        });
    }
    write_private(&marker, id.as_bytes())?;
    Ok(false)
}

/// Something that lies where the tables shall be.
async fn first_object(objects: &Objects) -> Result<Option<String>> {
    let (store, root) = objects.root();
    let mut list = store.list(Some(&root));
    let first = list.try_next().await;
    let first = first.map_err(Error::objects("list the place for the tables"))?;
    Ok(first.map(|object| object.location.to_string()))
}

async fn restore_table(
    place: &Opened,
    id: &str,
    version: &TableVersion,
    objects: &Objects,
    node: &str,
    progress: &Progress,
) -> Result<()> {
    let Some(table) = version.known() else {
        return Err(Error::SchemaDiffers {
            table: format!("{}/{}", version.workspace, version.table),
            reason: "this version of Flyball has no such table".into(),
        });
    };
    tables::check_columns(&version.columns, &version.workspace, table)?;
    let log_store = objects.log_store(&version.workspace, table)?;
    let target = log_store.object_store(None);
    let copies = version.files.iter().map(|file| {
        let target = Arc::clone(&target);
        async move {
            let source = place::table_file(&version.workspace, &version.table, &file.add.path);
            let copied = restore_file(place.store.as_ref(), &source, target.as_ref(), file).await?;
            progress.done(file.size(), copied);
            Ok::<_, Error>(())
        }
    });
    let copies: Vec<_> = copies.collect();
    futures::stream::iter(copies)
        .buffered(COPIES)
        .try_collect::<()>()
        .await?;
    let first = tables::First {
        adds: version.files.iter().map(|file| file.add.clone()).collect(),
        app: format!("flyball/{node}"),
        position: (table.is_logged() || table == Table::Charges).then_some(version.position),
        restored_from: id.to_owned(),
    };
    tables::create_restored(objects, &version.workspace, table, first).await
}

/// Copies a file, unless an earlier attempt did. True when it had to be copied.
async fn restore_file(
    from: &dyn ObjectStore,
    source: &Path,
    to: &dyn ObjectStore,
    file: &TableFile,
) -> Result<bool> {
    let wanted = Look {
        size: file.size(),
        sha256: file.sha256.clone(),
    };
    let target = Path::from(file.add.path.as_str());
    match to.head(&target).await {
        Ok(there) if there.size == wanted.size => {
            let there = look(to, &target).await;
            if there.is_ok_and(|there| there == wanted) {
                return Ok(false);
            }
        }
        Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
        Err(error) => return Err(Error::objects("look for a restored file")(error)),
    }
    copy((from, source), (to, &target), Some(&wanted)).await?;
    Ok(true)
}

async fn read_local(store: &dyn ObjectStore, path: &Path, wanted: &Look) -> Result<bytes::Bytes> {
    let damaged = |reason: String| Error::BackupDamaged {
        path: path.to_string(),
        reason,
    };
    let got = match store.get(path).await {
        Ok(got) => got,
        Err(object_store::Error::NotFound { .. }) => return Err(damaged("it is gone".into())),
        Err(error) => return Err(Error::objects("read a file of a backup")(error)),
    };
    let bytes = got.bytes().await;
    let bytes = bytes.map_err(Error::objects("read a file of a backup"))?;
    match Look::of(&bytes).differs(wanted) {
        Some(reason) => Err(damaged(reason)),
        None => Ok(bytes),
    }
}

/// A name that stays in the data directory.
fn local_name(name: &str) -> Result<PathBuf> {
    let path = FsPath::new(name);
    let within = |part| matches!(part, std::path::Component::Normal(_));
    if !name.is_empty() && path.components().all(within) {
        return Ok(path.to_owned());
    }
    Err(Error::BackupDamaged {
        path: name.to_owned(),
        reason: "it is no name of a file in the data directory".into(),
    })
}

/// Writes a file for its owner alone; on stable storage, under its name, when this returns.
pub(super) fn write_private(path: &FsPath, bytes: &[u8]) -> Result<()> {
    let staged = path.with_added_extension("new");
    path.parent()
        .map_or(Ok(()), |folder| folder::create_private(&Local, folder))
        .and_then(|()| disk::write_whole(&Local, &staged, path, bytes, true))
        .map_err(Error::file("write", path))
}
